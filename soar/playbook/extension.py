"""Reads our step extension out of a step in YAML."""

from __future__ import annotations

from soar.phases import Phase
from soar.playbook.durations import Seconds
from soar.playbook.fields import Reader
from soar.playbook.model import Approval, Retry, Soar
from soar.playbook.outline import Item
from soar.playbook.references import is_slug, whole
from soar.playbook.vocabulary import VARIABLE_TYPES
from soar.release import Reason

ON_TIMEOUT = ("escalate", "deny", "go_on")
"""What happens when nobody answers in time."""

MOST_ATTEMPTS = 10
MOST_PERSONS = 10


def read_soar(reader: Reader, item: Item) -> Soar:
    """The extension of one step. Keys that its form does not know were noted before."""
    data, at = item.data, item.pointer
    undo = _undo(reader, item) if item.form == "undo" else ()
    for_each = _for_each(reader, item)
    return Soar(
        slug=item.slug,
        path=item.path,
        verb=reader.text(data, "do", at),
        with_=reader.take(data, "with", at, dict, {}),
        for_each=for_each,
        as_=(reader.slug(data, "as", at) or "item") if for_each else "",
        lease=reader.seconds(data, "lease", at),
        review=reader.seconds(data, "review", at),
        for_=reader.seconds_or_reference(data, "for", at),
        approval=_approval(reader, item),
        retry=_retry(reader, item),
        partial_ok=reader.word(data, "partial", at, ("ok",)) == "ok",
        together=reader.flag(data, "together", at),
        undo=undo,
        reason=reader.word(data, "reason", at, [each.value for each in Reason], "recovered") if undo else "",
        manual=reader.text(data, "manual", at),
        outputs=_outputs(reader, item),
        within=reader.seconds(data, "within", at),
        on_timeout=reader.word(data, "on_timeout", at, ON_TIMEOUT),
        continue_on_failure=reader.flag(data, "continue_on_failure", at),
        phase=reader.word(data, "phase", at, [phase.value for phase in Phase]),
        max=reader.take(data, "max", at, int, 1) if item.form == "while" and "max" in data else 0,
    )


def _undo(reader: Reader, item: Item) -> tuple[str, ...]:
    if isinstance(item.data["undo"], str):
        return (item.data["undo"],)
    steps = reader.words(item.data, "undo", item.pointer)
    if item.data["undo"] == []:
        reader.note("empty", "undo names no step", f"{item.pointer}/undo", "Name the steps to take back.")
    return steps


def _for_each(reader: Reader, item: Item) -> str:
    text = reader.text(item.data, "for_each", item.pointer)
    if text and whole(text) is None:
        mend = "Write a variable or an output that is a list, as in $hosts or $scan.files."
        reader.note("bad_reference", "for_each wants a reference", f"{item.pointer}/for_each", mend)
        return ""
    if "as" in item.data and not text:
        reader.note("missing_key", "`as` without `for_each`", f"{item.pointer}/as#key", "Add for_each, or remove as.")
    return text


def _approval(reader: Reader, item: Item) -> Approval | None:
    if "approval" not in item.data:
        return None
    at = f"{item.pointer}/approval"
    data = reader.mapping(item.data["approval"], at, "approval")
    if data is None:
        return None
    reader.known_keys(data, {"any_of", "persons", "within", "on_timeout"}, at, "an approval")
    return Approval(
        any_of=reader.words(data, "any_of", at),
        persons=reader.number(data, "persons", at, 1, 1, MOST_PERSONS),
        within=reader.seconds(data, "within", at),
        on_timeout=reader.word(data, "on_timeout", at, ON_TIMEOUT),
    )


def _retry(reader: Reader, item: Item) -> Retry | None:
    if "retry" not in item.data:
        return None
    at = f"{item.pointer}/retry"
    data = reader.mapping(item.data["retry"], at, "retry")
    if data is None:
        return None
    reader.known_keys(data, {"max", "backoff"}, at, "a retry")
    reader.take(data, "max", at, int, 0, need=True)
    backoff: Seconds = reader.seconds(data, "backoff", at)
    return Retry(max=reader.number(data, "max", at, 1, 2, MOST_ATTEMPTS), backoff=backoff)


def _outputs(reader: Reader, item: Item) -> dict[str, str]:
    """What a manual step asks for: name and type of each answer."""
    outputs = {}
    for name, kind in reader.take(item.data, "outputs", item.pointer, dict, {}).items():
        at = f"{item.pointer}/outputs/{name}"
        if not is_slug(name):
            reader.note("bad_name", f"{name!r} is no name of an output", f"{at}#key")
        outputs[name] = reader.word({name: kind}, name, f"{item.pointer}/outputs", VARIABLE_TYPES, "any")
    return outputs
