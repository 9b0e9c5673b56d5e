"""What changed in one step, in words: what it does, whom it asks, how long it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from soar.playbook import durations
from soar.playbook.compare.diff_match import POINTERS, Version, with_new_names
from soar.playbook.compare.expression_order import compared
from soar.playbook.model import Approval, Retry, Soar, Step
from soar.playbook.phrases import (
    ON_SILENCE,
    approval_words,
    expression_words,
    length_words,
    reference_words,
    retry_words,
    value_words,
    verb_words,
)
from soar.playbook.plain import to_plain
from soar.playbook.yaml.words import in_words
from soar.verbs import VERBS, Risk

Group = Literal["acts", "starts", "words", "papers"]
Guard = Literal["", "loosened", "tightened"]
LONGEST = 160
RISKS = tuple(Risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `message` is for people; `before` and `after` are the values, as plain data.

    `step` is what people call the step ("" for the playbook itself). `guard` says whether something that holds
    a run back was loosened or tightened.
    """

    group: Group
    code: str
    message: str
    step: str = ""
    guard: Guard = ""
    before: Any = None
    after: Any = None


Words = Callable[[Any], str]
_PLAIN_WORDS = frozenset({"name", "description", "external_references", "owner"})
_QUIET = frozenset({"id", "soar", "commands", "agent", "targets", "out_args", "name", *POINTERS})
_OWN_QUIET = frozenset({"path", "slug", "verb", "approval", "with_", "continue_on_failure", "ends"})


def step_changes(old: Version, new: Version, before: Step, after: Step, names: Mapping[str, str]) -> Iterator[Change]:
    """Every change of a step that is in both versions, where it leads left out.

    `names` are the new names of steps, by their old ones.
    """
    name = new.name(after.id)
    content = old.content(before), new.content(after)
    derived = _derived(before) and _derived(after)
    before = with_new_names(before, names)
    one, other = before.soar or Soar(), after.soar or Soar()
    if before.type != after.type:
        said = f"{name}: was {_kind(before.type)}, is now {_kind(after.type)}"
        yield Change(group="acts", code="type", step=name, message=said, before=before.type, after=after.type)
    if one.slug != other.slug:
        said = f"{one.slug or 'a step'} is now called {other.slug or 'nothing'}"
        yield Change(group="words", code="slug", step=name, message=said, before=one.slug, after=other.slug)
    yield from _names(name, before, after)
    yield from _verb(name, one, other)
    yield from _approval(name, one.approval, other.approval)
    yield from _parameters(name, one, other)
    yield from _fields(name, before, after, _QUIET)
    yield from _fields(name, one, other, _OWN_QUIET)
    if bool(before.on_completion) != bool(after.on_completion):
        goes_on = bool(after.on_completion)
        said = f"{name}: {'now goes on after a failure too' if goes_on else 'no longer goes on after a failure'}"
        guard: Guard = "loosened" if goes_on else "tightened"
        yield Change(group="acts", code="continue_on_failure", step=name, message=said, guard=guard,
                     before=not goes_on, after=goes_on)  # fmt: skip
    yield from _carried_out(name, *content, derived=derived)


def _names(name: str, before: Step, after: Step) -> Iterator[Change]:
    if before.name != after.name and not (_default_name(before) and _default_name(after)):
        yield _told("words", name, "name", before.name, after.name)


def _default_name(step: Step) -> bool:
    """A name that follows from the step's own short name or place."""
    return step.soar is not None and step.name in (step.soar.slug, step.soar.path.rpartition("/")[2])


def _verb(name: str, one: Soar, other: Soar) -> Iterator[Change]:
    if one.verb == other.verb:
        return
    ranks = [RISKS.index(VERBS[each.verb].risk) if each.verb in VERBS else 0 for each in (one, other)]
    guard: Guard = "loosened" if ranks[1] > ranks[0] else "tightened" if ranks[1] < ranks[0] else ""
    risk = f" ({VERBS[other.verb].risk.value})" if other.verb in VERBS and ranks[1] > ranks[0] else ""
    said = [verb_words(each.verb).lower() if each.verb else "nothing by itself" for each in (one, other)]
    message = f"{name}: now does {said[1]}{risk} instead of {said[0]}"
    yield Change(group="acts", code="verb", step=name, message=message, guard=guard, before=one.verb, after=other.verb)


def _approval(name: str, one: Approval | None, other: Approval | None) -> Iterator[Change]:
    """Who must agree: one change for each part of it, since each loosens or tightens by itself."""
    if one == other:
        return
    plain = {"before": to_plain(one), "after": to_plain(other)}
    if one is None or other is None:
        if other is None and one is not None:
            said, guard = f"no longer asks for approval (it asked {approval_words(one)})", "loosened"
        else:
            said, guard = f"now asks {approval_words(other or Approval())}", "tightened"
        yield Change(group="acts", code="approval", step=name, message=f"{name}: {said}",
                     guard="loosened" if guard == "loosened" else "tightened", **plain)  # fmt: skip
        return
    if one.persons != other.persons:
        fewer = other.persons < one.persons
        yield Change(group="acts", code="approval_persons", step=name, before=one.persons, after=other.persons,
                     message=f"{name}: asks {other.persons} instead of {one.persons} persons",
                     guard="loosened" if fewer else "tightened")  # fmt: skip
    if one.any_of != other.any_of:
        was, now = set(one.any_of), set(other.any_of)
        role: Guard = "loosened" if was < now else "tightened" if now < was else ""
        said = f"{name}: {' or '.join(other.any_of) or 'anybody'} may approve, before it was {' or '.join(one.any_of)}"
        yield Change(group="acts", code="approval_roles", step=name, message=said, guard=role,
                     before=list(one.any_of), after=list(other.any_of))  # fmt: skip
    if one.within != other.within:
        yield _told("acts", name, "time to approve", one.within, other.within, words=_span, code="approval_within")
    if one.on_timeout != other.on_timeout:
        yield _told("acts", name, "an approval that nobody answers", one.on_timeout, other.on_timeout, words=_silence,
                    guard=_silent(one.on_timeout, other.on_timeout), code="approval_on_timeout")  # fmt: skip


def _parameters(name: str, one: Soar, other: Soar) -> Iterator[Change]:
    for key in dict.fromkeys((*one.with_, *other.with_)):
        was, now = one.with_.get(key), other.with_.get(key)
        if (key in one.with_) != (key in other.with_) or to_plain(was) != to_plain(now):
            yield _told("acts", name, key, was, now, code="parameter")


def _fields(name: str, one: Any, other: Any, quiet: frozenset[str]) -> Iterator[Change]:
    """Each remaining property that either of them has, known here or not."""
    keys = dict.fromkeys((*type(one).__dataclass_fields__, *type(other).__dataclass_fields__))
    for key in keys:
        was, now = getattr(one, key, None), getattr(other, key, None)
        if key in quiet or to_plain(was) == to_plain(now):
            continue
        words, guard = _KNOWN.get(key, (value_words, _no_guard))
        group: Group = "words" if key in _PLAIN_WORDS else "acts"
        label = _LABELS.get(key, key.strip("_").replace("_", " "))
        change = _told(group, name, label, was, now, words=words, guard=guard(was, now), code=key.strip("_"))
        often = _OFTEN.get(compared(str(was), str(now)), "") if key == "condition" else ""
        yield replace(change, message=change.message + often)


def _carried_out(name: str, was: Mapping[str, Any], now: Mapping[str, Any], *, derived: bool) -> Iterator[Change]:
    """Commands, agent and targets, unless they only say in CACAO's words what our extension says (`derived`)."""
    for key in ("commands", "agent", "targets", "out_args"):
        if was.get(key) != now.get(key) and not (derived and key != "targets"):
            yield _told("acts", name, key.replace("_", " "), was.get(key), now.get(key), words=_named, code=key)


def _derived(step: Step) -> bool:
    """The step's CACAO form is what our extension compiles to."""
    commands = getattr(step, "commands", ())
    said = [each.get("command") for each in commands]
    return step.soar is not None and (not said or said == [in_words(step.soar)])


def _told(
    group: Group, step: str, label: str, was: Any, now: Any, *, words: Words = value_words, guard: Guard = "",
    code: str = "",
) -> Change:  # fmt: skip
    """`step: label before -> after`."""
    said = f"{label} {_short(was, words)} -> {_short(now, words)}"
    message = f"{step}: {said}" if step else said
    plain = {"before": to_plain(was), "after": to_plain(now)}
    return Change(group=group, code=code or label, step=step, message=message, guard=guard, **plain)


def told(group: Group, label: str, was: Any, now: Any, *, code: str = "", guard: Guard = "") -> Change:
    """A change of the playbook itself."""
    return _told(group, "", label, was, now, code=code, guard=guard)


def _short(value: Any, words: Words) -> str:
    if value in (None, "", 0, (), [], {}, False):
        return "no" if value is False else "none"
    said = "yes" if value is True else words(value)
    return said if len(said) <= LONGEST else said[:LONGEST] + "…"


def _named(value: Any) -> str:
    """An agent or target by its name, a command by its type and text."""
    if isinstance(value, list | tuple):
        return "; ".join(map(_named, value))
    if isinstance(value, Mapping):
        text = value.get("command") or value.get("command_b64")
        if isinstance(value.get("type"), str) and text:
            return f"{value['type']}: {text}"
        return str(value.get("name") or value_words(value))
    return str(value)


def _kind(of: str) -> str:
    return f"{'an' if of[0] in 'aeiou' else 'a'} {of.replace('-', ' ')} step"


def _span(value: Any) -> str:
    return length_words(value) if isinstance(value, int | float | str) else value_words(value)


def _milliseconds(value: Any) -> str:
    return durations.written(durations.in_seconds(value))


def _silence(value: Any) -> str:
    return ON_SILENCE.get(value, str(value))


def _retried(value: Any) -> str:
    return retry_words(value) if isinstance(value, Retry) else value_words(value)


def _no_guard(*_: Any) -> Guard:
    return ""


def _longer(was: Any, now: Any) -> Guard:
    """A limit in time or number: without one, or with a larger one, less holds the step back."""
    if isinstance(was, str) or isinstance(now, str):
        return ""
    return "loosened" if (now or float("inf")) > (was or float("inf")) else "tightened"


def _loosens(_: Any, now: Any) -> Guard:
    return "loosened" if now else "tightened"


def _tightens(_: Any, now: Any) -> Guard:
    return "tightened" if now else "loosened"


def _silent(was: Any, now: Any) -> Guard:
    return "loosened" if now == "go_on" else "tightened" if was == "go_on" else ""


def _reason(was: Any, now: Any) -> Guard:
    """A mistaken isolation is released without proof that the host is clean."""
    return "loosened" if now == "mistaken" else "tightened" if was == "mistaken" else ""


_OFTEN = {"wider": " (holds more often)", "narrower": " (holds less often)"}
_KNOWN: Mapping[str, tuple[Words, Callable[[Any, Any], Guard]]] = {
    "delay": (_milliseconds, _no_guard),
    "timeout": (_milliseconds, _longer),
    "condition": (expression_words, _no_guard),
    "switch": (reference_words, _no_guard),
    "lease": (_span, _longer),
    "review": (_span, _longer),
    "for_": (_span, _no_guard),
    "within": (_span, _no_guard),
    "on_timeout": (_silence, _silent),
    "retry": (_retried, _no_guard),
    "partial_ok": (value_words, _loosens),
    "together": (value_words, _tightens),
    "reason": (value_words, _reason),
    "max": (value_words, _longer),
}
_LABELS: Mapping[str, str] = {
    "as_": "name of the element", "partial_ok": "goes on when some targets fail", "together": "all of them or none",
    "undo": "takes back", "manual": "asks", "within": "time to answer", "on_timeout": "on silence",
    "max": "turns at most", "outputs": "answers", "for_": "goes on for", "switch": "decides by",
}  # fmt: skip
