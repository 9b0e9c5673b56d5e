"""Reads our step extension out of a step in YAML."""

from __future__ import annotations

from soar.playbook.model import Approval, Retry, Soar
from soar.playbook.references import is_slug, whole
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.grammar import APPROVAL, RETRY, STEP
from soar.playbook.yaml.outline import Item
from soar.release import Reason


def read_soar(reader: Reader, item: Item) -> Soar:
    """The extension of one step. Keys that its form does not know were noted before."""
    data, at = item.data, item.pointer
    undo = _undo(reader, item) if item.form == "undo" else ()
    for_each = _for_each(reader, item)
    return Soar(
        slug=item.slug,
        path=item.path,
        verb=reader.text(data, "do", at),
        with_=reader.part(STEP, data, "with", at),
        for_each=for_each,
        as_=(reader.part(STEP, data, "as", at) or "item") if for_each else "",
        lease=reader.part(STEP, data, "lease", at),
        review=reader.part(STEP, data, "review", at),
        for_=reader.part(STEP, data, "for", at),
        approval=_approval(reader, item),
        retry=_retry(reader, item),
        partial_ok=reader.part(STEP, data, "partial", at) == "ok",
        together=reader.part(STEP, data, "together", at),
        undo=undo,
        reason=reader.part(STEP, data, "reason", at, Reason.RECOVERED.value) if undo else "",
        manual=reader.text(data, "manual", at),
        outputs=_outputs(reader, item),
        within=reader.part(STEP, data, "within", at),
        on_timeout=reader.part(STEP, data, "on_timeout", at),
        continue_on_failure=reader.part(STEP, data, "continue_on_failure", at),
        phase=reader.part(STEP, data, "phase", at),
        # How large it may be is a rule of the checker, for it holds in both notations.
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
    reader.known_keys(data, APPROVAL, at, "an approval")
    return Approval(
        any_of=reader.part(APPROVAL, data, "any_of", at),
        persons=reader.part(APPROVAL, data, "persons", at),
        within=reader.part(APPROVAL, data, "within", at),
        on_timeout=reader.part(APPROVAL, data, "on_timeout", at),
    )


def _retry(reader: Reader, item: Item) -> Retry | None:
    if "retry" not in item.data:
        return None
    at = f"{item.pointer}/retry"
    data = reader.mapping(item.data["retry"], at, "retry")
    if data is None:
        return None
    reader.known_keys(data, RETRY, at, "a retry")
    return Retry(max=reader.part(RETRY, data, "max", at), backoff=reader.part(RETRY, data, "backoff", at))


def _outputs(reader: Reader, item: Item) -> dict[str, str]:
    """What a manual step asks for: name and type of each answer."""
    outputs = {}
    for name, kind in reader.take(item.data, "outputs", item.pointer, dict, {}).items():
        at = f"{item.pointer}/outputs/{name}"
        if not is_slug(name):
            reader.note("bad_name", f"{name!r} is no name of an output", f"{at}#key")
        outputs[name] = reader.word({name: kind}, name, f"{item.pointer}/outputs", STEP["outputs"].words, "any")
    return outputs
