"""Secrets stand in a playbook by name only: what is stored, hashed and shown to people must not hold them.

CACAO's own way to say so is `kms` with `kms_key_identifier` (section 6): the value comes from a key store.
"""

from __future__ import annotations

from collections.abc import Iterator

from soar.errors import Problem
from soar.playbook.model import Playbook
from soar.playbook.places import Places
from soar.playbook.values import REFERENCE
from soar.strict_text import escaped

SECRETS = frozenset(
    {"api_key", "client_secret", "passphrase", "password", "private_key", "secret_key", "secret_value", "token"}
)
"""Properties of an authentication object that hold a secret."""

_MEND = "Keep the value in the store of secrets, and name it here."


def literal_secrets(playbook: Playbook, places: Places) -> Iterator[Problem]:
    """Each secret that is written out in the definitions of a playbook."""
    for own, definition in playbook.authentication_info_definitions.items():
        for name in sorted((SECRETS | {"secret"}) & set(definition)):
            value = definition[name]
            if value and not (isinstance(value, str) and REFERENCE.fullmatch(value)):
                at = f"/authentication_info_definitions/{escaped(own)}/{name}"
                message = f"a {name} is written out in the playbook"
                yield places.problem("literal_secret", message, at, f"{_MEND} kms: true, kms_key_identifier: NAME.")
