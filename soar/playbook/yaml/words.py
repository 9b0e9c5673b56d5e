"""What a step does, in one sentence: the command that asks a person where no engine knows our extension."""

from __future__ import annotations

import json
from typing import Any

from soar.playbook import durations
from soar.playbook.model import Soar
from soar.playbook.references import in_cacao
from soar.verbs import VERBS


def in_words(soar: Soar) -> str:
    """The sentence. Variables stand in it as CACAO writes them (`__host__:value`)."""
    if soar.manual:
        return in_cacao(soar.manual)
    if soar.undo:
        return f"Take back what was done by: {', '.join(soar.undo)}. Reason: {soar.reason}."
    said = soar.verb.replace("_", " ").capitalize()
    if soar.with_:
        said += ": " + ", ".join(f"{name} = {_value(value)}" for name, value in in_order(soar).items())
    said += "."
    if soar.for_each:
        said += f" Do it for each __{soar.as_}__ in {in_cacao(soar.for_each)}."
    if soar.for_:
        length = in_cacao(soar.for_) if isinstance(soar.for_, str) else durations.written(soar.for_)
        said += f" Go on for {length}."
    if soar.lease:
        said += f" It ends after {durations.written(soar.lease)}."
    if soar.review:
        said += f" Review it within {durations.written(soar.review)}."
    if soar.approval:
        said += f" Ask {soar.approval.persons} of {', '.join(soar.approval.any_of)} first."
    return said


def in_order(soar: Soar) -> dict[str, Any]:
    """The parameters of a step in the order in which its verb names them; JSON keeps no order."""
    known = list(VERBS[soar.verb].params) if soar.verb in VERBS else []
    names = [*(name for name in known if name in soar.with_), *sorted(set(soar.with_) - set(known))]
    return {name: soar.with_[name] for name in names}


def _value(value: Any) -> str:
    return in_cacao(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
