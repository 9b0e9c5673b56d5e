"""What changed of a playbook beside its steps: when it starts and on what, its names, its papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from soar.playbook.compare.diff_steps import Change, Group, Guard, told
from soar.playbook.compare.expression_order import compared
from soar.playbook.model import Playbook, Trigger, Variable
from soar.playbook.phrases import expression_words, trigger_words, value_words
from soar.playbook.plain import to_plain

_APART = frozenset({
    "workflow", "workflow_start", "workflow_exception", "triggers", "variables", "agent_definitions",
    "target_definitions", "playbook_activities", "playbook_processing_summary", "extension_definitions",
})  # fmt: skip
"""Properties that are compared elsewhere, or that follow from the steps."""
_STARTS = frozenset({"urgency", "revoked", "valid_from", "valid_until", "authentication_info_definitions"})
_WORDS = frozenset({"name", "description", "labels", "playbook_types", "industry_sectors", "external_references"})


def head_changes(old: Playbook, new: Playbook) -> Iterator[Change]:
    """Every change of triggers, variables and the playbook's own properties."""
    yield from _triggers(old, new)
    yield from _variables(old, new)
    for field in fields(Playbook):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name in _APART or to_plain(was) == to_plain(now):
            continue
        group: Group = "starts" if field.name in _STARTS else "words" if field.name in _WORDS else "papers"
        yield told(group, field.name.replace("_", " "), was, now, code=field.name, guard=_guard(field.name, was, now))


def definitions(old: Playbook, new: Playbook) -> Iterator[Change]:
    """Changes of definitions that no step tells of, because none uses them or they follow from the steps."""
    for key in ("agent_definitions", "target_definitions", "extension_definitions", "playbook_activities",
                "playbook_processing_summary"):  # fmt: skip
        was, now = _without_ids(getattr(old, key)), _without_ids(getattr(new, key))
        if was != now:
            yield told("papers", key.replace("_", " "), was, now, code=key)


def _without_ids(value: Any) -> Any:
    """Definitions by what they are; their ids mean nothing by themselves."""
    plain = to_plain(value)
    if isinstance(plain, Mapping) and all("--" in str(key) for key in plain):
        return sorted(plain.values(), key=value_words)
    return plain


def _guard(name: str, was: Any, now: Any) -> Guard:
    if name == "revoked":
        return "tightened" if now else "loosened"
    if name == "urgency":
        # Contained before its evidence is collected: the evidence guard waits.
        return "loosened" if now == "immediate" else "tightened" if was == "immediate" else ""
    return ""


def _triggers(old: Playbook, new: Playbook) -> Iterator[Change]:
    """Triggers that are in both are those with the same condition; the rest are paired in their order."""
    before = [each for each in old.triggers if each not in new.triggers]
    after = [each for each in new.triggers if each not in old.triggers]
    pairs: list[tuple[Trigger | None, Trigger | None]] = []
    for each in list(before):
        same = next((other for other in after if other.when == each.when), None)
        if same is not None:
            pairs.append((each, same))
            before.remove(each)
            after.remove(same)
    pairs += zip(before, after, strict=False)
    pairs += [(each, None) for each in before[len(after) :]] + [(None, each) for each in after[len(before) :]]
    for one, other in pairs:
        yield from _trigger(one, other)
    if not pairs and old.triggers != new.triggers:
        yield told("papers", "the order of the triggers", [each.when for each in old.triggers],
                   [each.when for each in new.triggers], code="triggers")  # fmt: skip


def _trigger(one: Trigger | None, other: Trigger | None) -> Iterator[Change]:
    plain = {"before": to_plain(one), "after": to_plain(other)}
    if one is None or other is None:
        added = other is not None
        said = f"{'new trigger: ' if added else 'trigger removed: '}{trigger_words(other or one or Trigger(when=''))}"
        yield Change(group="starts", code="trigger", message=said, guard="loosened" if added else "tightened", **plain)
        return
    if one.when != other.when:
        reach = compared(one.when, other.when)
        how = f"trigger is {reach}" if reach else "trigger changed"
        guard: Guard = {"wider": "loosened", "narrower": "tightened"}.get(reach, "")  # type: ignore[assignment]
        said = f"{how}: {expression_words(one.when)} -> {expression_words(other.when)}"
        yield Change(group="starts", code="trigger", message=said, guard=guard, **plain)
    if one.start != other.start:
        by_itself = other.start == "automatic"
        said = "starts by itself, before it was proposed" if by_itself else "is proposed, before it started by itself"
        yield Change(group="starts", code="trigger_start", message=said, guard="loosened" if by_itself else "tightened",
                     before=one.start, after=other.start)  # fmt: skip
    if one.rerun != other.rerun:
        again = other.rerun == "on_new_entity"
        said = f"{'runs again' if again else 'no longer runs again'} for each new entity"
        yield Change(group="starts", code="trigger_rerun", message=said, guard="loosened" if again else "tightened",
                     before=one.rerun, after=other.rerun)  # fmt: skip


def _variables(old: Playbook, new: Playbook) -> Iterator[Change]:
    for name in dict.fromkeys((*old.variables, *new.variables)):
        one, other = old.variables.get(name), new.variables.get(name)
        if one is None or other is None:
            what = "new variable" if one is None else "variable removed:"
            kind = (one or other or Variable(type="any")).type
            yield Change(group="starts", code="variable", message=f"{what} {name} ({kind})", before=to_plain(one),
                         after=to_plain(other))  # fmt: skip
            continue
        for field in fields(Variable):
            was, now = getattr(one, field.name), getattr(other, field.name)
            if type(was) is type(now) and to_plain(was) == to_plain(now):
                continue
            if field.name == "required":
                said = f"variable {name} is {'now' if now else 'no longer'} required"
                guard: Guard = "tightened" if now else "loosened"
                yield Change(group="starts", code="variable_required", message=said, guard=guard, before=was, after=now)
            else:
                group: Group = "words" if field.name == "description" else "starts"
                label = f"variable {name}: {'taken from' if field.name == 'from_' else field.name}"
                yield told(group, label, was, now, code=f"variable_{field.name.strip('_')}")
