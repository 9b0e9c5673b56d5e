"""Only playbooks that may be run are begun, and nothing leaves the house that is marked to stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from api.app import create_app
from api.wiring import House
from soar.config import Settings, SharingSettings, TrustSettings
from soar.engine import running
from soar.model import ENGINE
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.document import to_document
from soar.playbook.model import Playbook
from soar.playbook.trust.markings import COMMON_OBJECTS, Tlp
from soar.playbook.yaml.yaml_form import load
from soar.protocol import State
from soar.store import people
from soar.store.tables import approvals
from soar.store.tables import runs as run_table
from tests.stage import Cast, living, one_database, rows, until
from tests.story.test_holds import incident
from tests.unit.signed_playbooks import signed

pytestmark = one_database
TELL = """id: tell
name: Tell
steps:
  - {id: tell, do: notify, with: {team: partners, text: Look out}}
"""


def marked(level: Tlp) -> Playbook:
    ident = next(key for key, found in COMMON_OBJECTS.items() if found is level)
    return replace(load(TELL.encode()), markings=(ident,))


@pytest.fixture
def strict(settings: Settings, tmp_path: Path) -> Iterator[House]:
    keys = tmp_path / "keys"
    keys.mkdir()
    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (keys / "ada.pem").write_bytes(b"Name: ada\n" + public)
    trust = TrustSettings(keys=keys, signed_only=True)
    with living(settings.model_copy(update={"trust": trust})) as house:
        yield house


def test_where_only_signed_playbooks_may_run_no_other_is_begun_by_anybody(strict: House) -> None:
    cast = Cast(strict)
    ada = cast.person("ada", "responder")
    key = strict.store.write(lambda tx: people.issue_key(tx, ENGINE, person_id=ada.id))
    where = incident(strict, ada)
    client = TestClient(create_app(strict), headers={"Authorization": f"Bearer {key}"})
    answer = client.post(
        f"/api/v1/incidents/{where}/runs", json={"playbook": "triage-alert", "inputs": {}, "reason": "drill"}
    )
    assert answer.status_code == 403, answer.text
    assert "signed" in answer.text
    with strict.store.read() as conn:
        assert not conn.execute(run_table.select()).all()


@pytest.mark.parametrize(
    ("level", "ends"), [(Tlp.GREEN, State.DONE), (Tlp.AMBER, State.DONE), (Tlp.RED, State.REFUSED)]
)
def test_a_marked_playbook_tells_nobody_outside_more_than_its_marking_allows(
    settings: Settings, level: Tlp, ends: State
) -> None:
    sharing = SharingSettings(highest=Tlp.AMBER, outside_teams=("partners",))
    with living(settings.model_copy(update={"sharing": sharing})) as house:
        ada = Cast(house).person("ada", "responder")
        where = incident(house, ada)
        house.store.write(
            lambda tx: running.start_run(tx, where, marked(level), {}, by=ada, why="drill", automatic=False)
        )
        found = until(lambda: [row for row in rows(house, where, "notify").values() if row.state is ends])
        assert found, rows(house, where)


PATCH = """id: patch
name: Patch
steps:
  - id: tell
    do: notify
    with: {team: on-call, text: Look out}
    approval: {any_of: [responder], within: 1s, on_timeout: go_on}
"""


WIPE = PATCH.replace("notify", "wipe_device").replace("{team: on-call, text: Look out}", "{host: ws-0160}")


@pytest.mark.parametrize(
    ("text", "is_signed", "ends"),
    [(PATCH, True, State.DONE), (PATCH, False, State.WAITING), (WIPE, True, State.WAITING)],
)
def test_silence_is_consent_where_a_signed_playbook_says_so_and_never_to_what_cannot_be_taken_back(
    settings: Settings, tmp_path: Path, text: str, is_signed: bool, ends: State
) -> None:
    key = Ed25519PrivateKey.generate()
    keys = tmp_path / "keys"
    keys.mkdir()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (keys / "ada.pem").write_bytes(b"Name: ada\n" + public)
    document = dict(to_document(load(text.encode())))
    if is_signed:
        document = signed(document, key, by="ada")
    with living(settings.model_copy(update={"trust": TrustSettings(keys=keys)})) as house:
        ada = Cast(house).person("ada", "responder")
        where, book = incident(house, ada), from_document(document)
        house.store.write(lambda tx: running.start_run(tx, where, book, {}, by=ada, why="drill", automatic=False))

        def asked() -> Any:
            with house.store.read() as conn:
                return conn.execute(approvals.select()).first()

        assert until(lambda: (row := asked()) and (row.escalations or row.status == "unopposed"))
        assert until(lambda: [row.state for row in rows(house, where).values()] == [ends])
        assert asked().status == ("unopposed" if ends is State.DONE else "open")
