"""What the checker accepts can be run: of thousands of broken playbooks no accepted one breaks the conductor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from soar.engine.conductor import members
from soar.engine.run_state import OPEN
from soar.errors import Invalid
from soar.playbook.cacao import cacao_form
from soar.playbook.checks.codes import Severity
from soar.playbook.checks.examine import in_cacao, in_yaml
from soar.playbook.document import EXTENSION
from soar.playbook.model import ParallelStep, Playbook
from soar.playbook.yaml import yaml_form
from tests.conftest import ROOT
from tests.unit.playbook_runs import Author, Run, anything, flags

MUTANTS = 2_000
JUNK: list[Any] = [None, True, 0, -1, 2**60, 1.5, "", "x", "__x__:value = 1", "$hosts", [], {}, [1], {"a": 1}]
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def numbers() -> Any:
    yield
    print("\nmutants:", ", ".join(f"{count} {what}" for what, count in sorted(COUNTS.items())))


def inside(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member of a document: the object or list around it, and its key or index."""
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, dict | list):
            yield from inside(each)


def elsewhere(document: Any, random: Random) -> None:
    """One pointer of one step leads to another step, or to the one it came from."""
    steps = list(document["workflow"])
    step = document["workflow"][random.choice(steps)]
    keys = [key for key in ("on_success", "on_failure", "on_completion", "on_true", "on_false") if key in step]
    keys = keys or ["on_success"]
    if "next_steps" in step and random.random() < 0.5:
        step["next_steps"][random.randrange(len(step["next_steps"]))] = random.choice(steps)
    elif "cases" in step and random.random() < 0.5:
        step["cases"][random.choice(list(step["cases"]))] = random.choice(steps)
    else:
        step[random.choice(keys)] = random.choice(steps)


def more(document: Any, random: Random) -> None:
    """A pointer where there was none."""
    step = document["workflow"][random.choice(list(document["workflow"]))]
    key = random.choice(["on_success", "on_failure", "on_completion", "workflow_exception"])
    target = random.choice(list(document["workflow"]))
    if key == "workflow_exception":
        document[key] = target
    else:
        step[key] = target


def less(document: Any, random: Random) -> None:
    """A member is gone."""
    around, key = random.choice(list(inside(document)))
    del around[key]


def other(document: Any, random: Random) -> None:
    """A member is something else."""
    around, key = random.choice(list(inside(document)))
    around[key] = random.choice(JUNK)


def swapped(document: Any, random: Random) -> None:
    """A member stands where another one stood."""
    places = list(inside(document))
    (around, key), (there, name) = random.choice(places), random.choice(places)
    around[key] = json.loads(json.dumps(there[name]))


def doubled(document: Any, random: Random) -> None:
    """A step stands twice, under another id."""
    old = random.choice(list(document["workflow"]))
    new = old[:-4] + f"{random.randrange(16**4):04x}"
    document["workflow"][new] = json.loads(json.dumps(document["workflow"][old]))
    elsewhere(document, random)


def foreign(document: Any, _random: Random) -> None:
    """The playbook without our extension, as another product would have written it."""
    document.get("playbook_extensions", {}).pop(EXTENSION, None)
    document.pop("extension_definitions", None)
    for step in document["workflow"].values():
        step.pop("step_extensions", None)


def gentle(document: Any, random: Random) -> None:
    """Something that may well be right: other times, conditions, ways after a failure, fewer cases."""
    steps = list(document["workflow"].values())
    step = random.choice(steps)
    ours = step.get("step_extensions", {}).get(EXTENSION, {})
    match random.randrange(8):
        case 0:
            step[random.choice(["delay", "timeout"])] = random.choice([0, 1, 1_000, 10**9])
        case 1 if "condition" in step:
            step["condition"] = random.choice(
                ["alert:flag1 = true", "alert:flag2 != true", "Ask Bob", "__hosts__:value = 'h1'"]
            )
        case 2 if "on_failure" in step:
            del step["on_failure"]
        case 3 if len(step.get("cases", {})) > 1:
            del step["cases"][random.choice(list(step["cases"]))]
        case 4 if step["type"] != "start" and "on_success" in step and "on_failure" not in step:
            step["on_completion"] = step.pop("on_success")
        case 5 if ours:
            ours[random.choice(["retry"])] = {"max": random.randint(2, 4), "backoff": random.choice([0, 1, 900])}
        case 6 if "on_success" in step:
            later = [each for each in document["workflow"] if each.startswith(("end", "action"))]
            step["on_failure"] = random.choice(later)
        case _:
            document["workflow_exception"] = random.choice([each for each in document["workflow"] if each[:3] == "end"])


GRAPH: list[Callable[[Any, Random], None]] = [
    *[gentle] * 8,
    elsewhere,
    elsewhere,
    more,
    less,
    other,
    swapped,
    doubled,
    foreign,
]


def runs(playbook: Playbook, random: Random) -> None:
    """Drive a run to its end, with ends of all kinds."""
    assert playbook.digest
    run = Run(playbook, random, anything(random), flags(random), fickle=True).begin()
    run.to_the_end()
    assert [visit for visit in run.state.steps.values() if visit.status in OPEN] == []
    for name, visit in run.state.steps.items():
        if isinstance(playbook.workflow[visit.step_id], ParallelStep):
            members(playbook, run.state, name)
    COUNTS[f"runs {run.state.status}"] += 1


def small(random: Random) -> Any:
    """A random playbook of some twenty steps: what is wrong shows in small ones, and sooner."""
    while True:
        book = Author(random).playbook()
        if len(json.dumps(book)) < 3_000:
            return book


@pytest.fixture(scope="module")
def originals(samples: Path) -> list[Any]:
    """Foreign playbooks that are accepted as they are, those that come with the product, and random ones."""
    found = [json.loads(path.read_text()) for path in sorted((samples / "cacao").glob("playbooks-*/*.json"))]
    good = [each for each in found if not errors(in_cacao(json.dumps(each).encode()))]
    shipped = [yaml_form.load(path.read_bytes()) for path in sorted((ROOT / "playbooks/library").glob("*.yaml"))]
    assert len(good) > 5
    written = [yaml_form.load(json.dumps(small(Random(seed)))) for seed in range(40)]
    return [*good, *good, *map(cacao_form.to_document, [*shipped, *shipped, *written])]


def errors(remarks: Any) -> list[Any]:
    return [each for each in remarks if each.severity is Severity.ERROR]


def judged(document: Any, random: Random) -> None:
    text = json.dumps(document).encode()
    found = in_cacao(text)
    assert all(each.mend for each in found)
    if errors(found):
        COUNTS["refused"] += 1
        if COUNTS["refused"] % 10 == 0:
            with pytest.raises(Invalid):
                cacao_form.load(text)
        return
    COUNTS["accepted"] += 1
    runs(cacao_form.load(text), random)


@pytest.mark.parametrize("part", range(4))
def test_no_mutant_that_is_accepted_breaks_its_run(part: int, originals: list[Any]) -> None:
    for seed in range(part, MUTANTS, 4):
        random = Random(seed)
        document = json.loads(json.dumps(random.choice(originals)))
        if random.random() < 0.3:
            foreign(document, random)
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            if document.get("workflow") and isinstance(document["workflow"], dict):
                with suppress(AttributeError, TypeError, IndexError, KeyError):  # nothing was left to change
                    random.choice(GRAPH)(document, random)
        try:
            judged(document, random)
        except Exception as error:
            raise AssertionError(
                f"seed {seed}: {type(error).__name__}: {error}\n{json.dumps(document)[:3000]}"
            ) from error


def test_no_mutant_in_yaml_breaks_the_checker_or_its_run() -> None:
    for seed in range(300):
        random = Random(seed)
        document = json.loads(json.dumps(small(random)))
        for _ in range(random.choice([1, 1, 2, 3])):
            random.choice([less, other, swapped])(document, random)
        text = json.dumps(document).encode()
        found = in_yaml(text)
        if errors(found):
            COUNTS["refused in YAML"] += 1
            with pytest.raises(Invalid):
                yaml_form.load(text)
        else:
            COUNTS["accepted in YAML"] += 1
            runs(yaml_form.load(text), random)
