"""Parts of a playbook in the words that a reviewer reads: verbs, conditions, approvals, values, times."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from soar.playbook import durations
from soar.playbook.model import (
    Approval,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    Retry,
    Soar,
    Step,
    SwitchStep,
    Trigger,
    WhileStep,
)
from soar.verbs import VERBS

ON_SILENCE: Mapping[str, str] = {
    "escalate": "on silence asks again",
    "deny": "silence is a no",
    "go_on": "silence lets it go on",
}
_OPERATORS: Mapping[str, str] = {
    "=": "is", "==": "is", "!=": "is not", "<>": "is not", ">=": "is at least", "<=": "is at most",
    ">": "is more than", "<": "is less than", "AND": "and", "OR": "or", "NOT": "not", "IN": "is one of",
    "LIKE": "is like", "MATCHES": "matches", "ISSUBSET": "lies in", "ISSUPERSET": "holds", "EXISTS": "there is",
}  # fmt: skip
_DENIED: Mapping[str, str] = {
    "is": "is not", "is not": "is", "matches": "does not match", "lies in": "does not lie in",
    "holds": "does not hold", "there is": "there is not",
}  # fmt: skip
_TOKEN = re.compile(
    r"'(?:[^'\\]|\\.)*+'?"
    r"|__(?P<variable>\w+?)__:value"
    r"|(?P<root>[a-z][\w-]*):(?P<path>[\w.'\[\]*-]+)"
    r"|(?P<no>\bNOT\s+)?(?P<operator>[<>=!]=|<>|[<>=]|\b(?:AND|OR|NOT|IN|LIKE|MATCHES|ISSUBSET|ISSUPERSET|EXISTS)\b)"
)


def verb_words(verb: str) -> str:
    """`isolate_host` as "Isolate host"."""
    return sentence(verb.replace("_", " "))


def sentence(words: str) -> str:
    """With a capital first letter."""
    return words[:1].upper() + words[1:]


def expression_words(text: str) -> str:
    """An expression of soar.expressions in words; text that is none stays much as it is."""
    return re.sub(r"\s+", " ", _TOKEN.sub(_spoken, text)).strip()


def _spoken(token: re.Match[str]) -> str:
    if token["variable"]:
        return "$" + token["variable"].replace("__", ".")
    if token["root"]:
        path = token["path"].replace("_", " ").replace(".", " ")
        said = f"any of the {token['root']}'s {path.replace('[*]', '')}" if "[*]" in path else ""
        return said or f"the {token['root']}'s {path}"
    if token["operator"]:
        words = _OPERATORS[token["operator"]]
        return f" {_DENIED.get(words, words.replace('is ', 'is not ', 1)) if token['no'] else words} "
    return token.group()


def reference_words(text: str) -> str:
    """`__scan__verdict__:value`, the variable that a switch looks at, as `$scan.verdict`."""
    return re.sub(r"__(\w+?)__:value", lambda found: "$" + found[1].replace("__", "."), text)


def value_words(value: Any) -> str:
    """A value or template on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(value_words(each) for each in value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def parameters_words(values: Mapping[str, Any]) -> str:
    """Parameters as `name: value`, those with long values last."""
    return "; ".join(f"{name}: {value_words(value)}" for name, value in values.items())


def approval_words(approval: Approval) -> str:
    """Who must agree, how many, until when, and what silence means."""
    many = "one person" if approval.persons == 1 else f"{approval.persons} persons"
    roles = " or ".join(role.replace("_", " ") for role in approval.any_of) or "anybody"
    within = f" within {durations.written(approval.within)}" if approval.within else ""
    silence = ON_SILENCE.get(approval.on_timeout, "")
    return f"{many} ({roles}){within}" + (f"; {silence}" if silence else "")


def retry_words(retry: Retry) -> str:
    """How often a known failure is tried, and how long between."""
    pause = f", {durations.written(retry.backoff)} before the second" if retry.backoff else ""
    return f"at most {retry.max} attempts{pause}"


def trigger_words(trigger: Trigger) -> str:
    """When a playbook fits, and whether it then starts by itself."""
    how = "starts by itself" if trigger.start == "automatic" else "is proposed"
    again = ", again for each new entity" if trigger.rerun == "on_new_entity" else ""
    return f"{how} when {expression_words(trigger.when)}{again}"


def length_words(length: durations.Seconds | str) -> str:
    """A time in seconds, or a reference to one."""
    return length if isinstance(length, str) else durations.written(length)


def name_of(step: Step) -> str:
    """What people call a step: its short name, its name, its place, its id."""
    soar = step.soar or Soar()
    last = soar.path.rpartition("/")[2]
    if soar.slug:
        return soar.slug
    if step.name and step.name != last:
        return step.name
    return re.sub(r"^\d+-", "", last).replace("_", " ") or step.name or step.id


def heading(step: Step) -> str:
    """What a step does, in a few words."""
    soar = step.soar or Soar()
    if soar.verb:
        return verb_words(soar.verb)
    if soar.undo:
        return f"Take back {', '.join(soar.undo)}"
    return soar.manual or _way(step) or step.name or step.type


def _way(step: Step) -> str:
    """How a step decides where to go on; "" for one that does not."""
    match step:
        case ParallelStep():
            return "All of these, or none" if step.soar and step.soar.together else "At the same time"
        case IfStep():
            return f"If {expression_words(step.condition)}"
        case WhileStep():
            return f"While {expression_words(step.condition)}"
        case SwitchStep():
            return f"By {reference_words(step.switch)}"
        case PlaybookActionStep():
            return f"Run the playbook {step.playbook_id}"
    return ""


def destroys(step: Step) -> str:
    """What evidence a step's verb destroys, in words; "" for none."""
    verb = VERBS.get(step.soar.verb) if step.soar else None
    return ", ".join(sorted(verb.destroys)) if verb else ""


def turns_words(step: Step) -> str:
    """The bound of a loop, in words."""
    bound = step.soar.max if isinstance(step, WhileStep) and step.soar else 0
    return f"at most {bound} turns, then it has failed" if bound else ""
