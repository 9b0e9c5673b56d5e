"""What changed between two versions of a playbook, as a reviewer wants to read it.

Steps are compared by what they are and where they stand, never by ids or by the order of keys. Two playbooks
without a change have the same digest, and the other way round.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from rfc8785 import CanonicalizationError

from soar.errors import Invalid, Problem
from soar.playbook.compare.diff_head import definitions, head_changes
from soar.playbook.compare.diff_match import Place, Version, match
from soar.playbook.compare.diff_steps import Change, Group, Guard, step_changes
from soar.playbook.model import EndStep, Playbook, Step, SwitchStep
from soar.playbook.phrases import heading
from soar.playbook.structure import branch_heads, next_of, parts_of
from soar.verbs import VERBS, Risk

GROUPS: Mapping[Group, str] = {
    "acts": "What it does",
    "starts": "When and on what it starts",
    "words": "Names and descriptions",
    "papers": "Papers",
}
"""The groups of changes, what acts on the estate first."""
_CHECKS = frozenset({"verify_clean", "collect_evidence", "snapshot_host"})
"""Verbs that others wait for: release gate and evidence."""
_ORDER: Mapping[Guard, int] = {"loosened": 0, "tightened": 1, "": 2}


def changes(old: Playbook, new: Playbook) -> list[Change]:
    """Every difference, the most important first; empty exactly where the digests are equal.

    The pointers of both must lead to steps that are there. Raises Invalid where a number in one is too large to be
    hashed (RFC 8785).
    """
    if _digest(old) == _digest(new):
        return []
    found = list(_Diff(Version(old), Version(new)).changes())
    found += head_changes(old, new)
    if not (old.slug and new.slug and found):
        # Of a playbook of ours these follow from its steps.
        found += definitions(old, new)
    if not found:
        said = "it does the same: only ids, the order of branches side by side, or the way it is written differ"
        found.append(Change(group="papers", code="form", message=said, before=old.digest, after=new.digest))
    groups = list(GROUPS)
    return sorted(found, key=lambda each: (groups.index(each.group), _ORDER[each.guard]))


def _digest(playbook: Playbook) -> str:
    try:
        return playbook.digest
    except CanonicalizationError as error:
        problem = Problem(code="number_too_large", message=f"{playbook.name}: {error}", mend="Write it as text.")
        raise Invalid(problems=[problem]) from error


class _Diff:
    def __init__(self, old: Version, new: Version) -> None:
        self.old, self.new = old, new
        self.pairs = match(old, new)
        self.back = {after: before for before, after in self.pairs.items()}
        self.names = self._new_names()
        self.places = self._same_places()
        self.kept = set(self.places.values())

    def changes(self) -> Iterator[Change]:
        yield from self._gone()
        yield from self._come()
        for before, after in self.pairs.items():
            yield from step_changes(self.old, self.new, self.old.steps[before], self.new.steps[after], self.names)
            yield from self._failure(self.old.steps[before], self.new.steps[after])
            yield from self._cases(self.old.steps[before], self.new.steps[after])
        if self.old.shape and self.new.shape:
            yield from self._moved()
            yield from self._handlers()
        else:
            yield from self._pointers()
        yield from self._exception()

    def _new_names(self) -> dict[str, str]:
        """Short names of steps that have another one now."""
        both = [(self.old.steps[before].soar, self.new.steps[after].soar) for before, after in self.pairs.items()]
        return {one.slug: other.slug for one, other in both if one and other and one.slug and other.slug
                and one.slug != other.slug}  # fmt: skip

    # --- places ----------------------------------------------------------------------------------

    def _same_places(self) -> dict[Place, Place]:
        """For each sequence of the old version the one that it is in the new one, if it is there."""
        found: dict[Place, Place] = {}
        for place in self.old.chains:
            opener, name = place
            here = (self.pairs.get(opener, ""), name) if opener else place
            parallel = opener and self.old.playbook.workflow[opener].type == "parallel"
            if here in self.new.chains and name != "failure" and not parallel and not name.startswith("lost"):
                found[place] = here
        taken = set(found.values())
        for place, chain in self.old.chains.items():
            if place in found:
                continue
            votes: dict[Place, int] = {}
            for part in chain.parts:
                spot = self.new.spots.get(self.pairs.get(part.step.id, ""))
                if spot and spot.place not in taken and self._alike(place, spot.place):
                    votes[spot.place] = votes.get(spot.place, 0) + 1
            if votes:
                found[place] = max(votes, key=lambda each: votes[each])
                taken.add(found[place])
        return found

    def _alike(self, old: Place, new: Place) -> bool:
        """Both are failure paths, or branches of the same step."""
        if "failure" in (old[1], new[1]) or not old[0]:
            return old[1].partition(":")[0] == new[1].partition(":")[0]
        return self.pairs.get(old[0]) == new[0]

    def _moved(self) -> Iterator[Change]:
        """Steps that stand in another sequence, or elsewhere in the same one."""
        for place, chain in self.new.chains.items():
            stayed = [
                (self.old.spots[self.back[part.step.id]].index, part.step.id)
                for part in chain.parts
                if part.step.id in self.back and self.places.get(self.old.spots[self.back[part.step.id]].place) == place
            ]
            keep = _increasing([index for index, _ in stayed])
            for number, (_, step_id) in enumerate(stayed):
                if number not in keep:
                    yield self._move(step_id, f"moved {self._beside(step_id)}")
        for before, after in self.pairs.items():
            was, now = self.old.spots[before].place, self.new.spots[after].place
            if self.places.get(was) != now:
                source = self.old.where(was) or "in the main sequence"
                target = self.new.where(now) or "in the main sequence"
                yield self._move(after, f"moved from {_short(source)} to {_short(target)}, {self._beside(after)}")

    def _move(self, step_id: str, said: str) -> Change:
        name = self.new.name(step_id)
        return Change(group="acts", code="moved", step=name, message=f"step {name!r} {said}")

    def _beside(self, step_id: str) -> str:
        """Where a step stands now, by the step behind it that was there before; else by the one before it."""
        spot = self.new.spots.get(step_id)
        if spot is None:
            return ""
        parts = self.new.chains[spot.place].parts
        behind = next((part for part in parts[spot.index + 1 :] if part.step.id in self.back), None)
        if behind:
            return f"before {self.new.name(behind.step.id)!r}"
        return f"behind {self.new.name(parts[spot.index - 1].step.id)!r}" if spot.index else "as the only step"

    # --- steps that came and went -------------------------------------------------------------------

    def _gone(self) -> Iterator[Change]:
        told: set[str] = set()
        for place, chain in self.old.chains.items():
            inside = [part.step.id for part in parts_of(chain)]
            if place[1] == "failure" and inside and not any(each in self.pairs for each in inside):
                told.update(inside)
                steps = "; ".join(heading(self.old.steps[each]) for each in inside)
                name = self.old.handler(place)
                yield Change(group="acts", code="handler_removed", step=name, guard="loosened",
                             message=f"handler {name} removed ({steps})", before=inside)  # fmt: skip
        for step_id, step in self.old.steps.items():
            if step_id not in self.pairs and step_id not in told:
                name, where = self.old.name(step_id), self._where(self.old, step_id)
                verb = step.soar.verb if step.soar else ""
                said = f"step {name!r} removed ({_does(step)}){where}"
                guard: Guard = "loosened" if verb in _CHECKS else ""
                yield Change(group="acts", code="step_removed", step=name, message=said, guard=guard, before=step_id)

    def _come(self) -> Iterator[Change]:
        for step_id, step in self.new.steps.items():
            if step_id in self.back:
                continue
            name = self.new.name(step_id)
            soar = step.soar
            risk = VERBS[soar.verb].risk if soar and soar.verb in VERBS else Risk.READ
            bold = risk in (Risk.HIGH, Risk.DESTRUCTIVE) and not (soar and soar.approval)
            checks = soar is not None and soar.verb in _CHECKS
            said = f"new step {name!r} ({_does(step)}){self._after(step_id)}{self._where(self.new, step_id)}"
            guard: Guard = "loosened" if bold else "tightened" if checks else ""
            yield Change(group="acts", code="step_added", step=name, message=said, guard=guard, after=step_id)

    def _after(self, step_id: str) -> str:
        spot = self.new.spots.get(step_id)
        if spot is None:
            return ""
        if spot.index:
            return f" after {self.new.name(self.new.chains[spot.place].parts[spot.index - 1].step.id)!r}"
        return " as the first one"

    def _where(self, version: Version, step_id: str) -> str:
        spot = version.spots.get(step_id)
        said = version.where(spot.place) if spot else ""
        return f", {said}" if said else ""

    # --- ways ------------------------------------------------------------------------------------------

    def _failure(self, before: Step, after: Step) -> Iterator[Change]:
        """What happens when a step fails."""
        was, now = self._aim(self.old, before.on_failure), self._aim(self.new, after.on_failure)
        if was == now:
            return
        name = self.new.name(after.id)
        told = [self._failing(self.old, before.on_failure), self._failing(self.new, after.on_failure)]
        lost = bool(before.on_failure) and not after.on_failure
        message = f"on failure of {name} {told[1]} (before: {told[0]})"
        yield Change(group="acts", code="on_failure", step=name, message=message, guard="loosened" if lost else "",
                     before=told[0], after=told[1])  # fmt: skip

    def _failing(self, version: Version, head: str) -> str:
        if not head:
            return "nothing is done, what it stands in fails"
        if isinstance(version.playbook.workflow[head], EndStep):
            return "the playbook now ends" if version is self.new else "the playbook ended"
        if head == version.playbook.workflow_exception:
            return "goes to the last resort"
        if (head, "failure") in version.chains:
            return f"goes to the handler {version.handler((head, 'failure'))}"
        return f"goes on at {version.name(head)!r}"

    def _aim(self, version: Version, head: str) -> str:
        """A step that is pointed at, alike in both versions: an end, a failure path, or the first step that stayed."""
        seen: set[str] = set()
        known = self.pairs if version is self.old else self.back
        place = (head, "failure")
        if place in version.chains:
            side = self.places.get(place) if version is self.old else place if place in self.kept else None
            return f"handler {side[0] if side else head}"
        while head and head not in seen:
            seen.add(head)
            step = version.playbook.workflow[head]
            if isinstance(step, EndStep):
                return f"end {step.soar.ends if step.soar else ''}"
            if head in known:
                return known[head] if version is self.old else head
            head = next_of(step)
        return ""

    def _handlers(self) -> Iterator[Change]:
        """How failure paths end, and what they are called."""
        for was, now in self.places.items():
            if was[1] != "failure":
                continue
            name, before = self.new.handler(now), self.old.handler(was)
            if name != before:
                yield Change(group="words", code="handler_name", step=name, before=before, after=name,
                             message=f"handler {before} is now called {name}")  # fmt: skip
            ends = [self._outcome(self.old, was), self._outcome(self.new, now)]
            if ends[0] != ends[1]:
                told = [self._ending(self.old, was), self._ending(self.new, now)]
                yield Change(group="acts", code="handler_end", step=name, before=told[0], after=told[1],
                             message=f"handler {name} now {told[1]} (before: {told[0]})")  # fmt: skip

    def _outcome(self, version: Version, place: Place) -> str:
        chain = version.chains[place]
        return self._aim(version, chain.goes_on or chain.end)

    def _ending(self, version: Version, place: Place) -> str:
        chain = version.chains[place]
        if chain.goes_on:
            return f"goes on at {version.name(chain.goes_on)!r}"
        end = version.playbook.workflow.get(chain.end)
        return "ends as failed" if end and end.soar and end.soar.ends == "failed" else "ends its branch"

    def _exception(self) -> Iterator[Change]:
        was, now = self.old.playbook.workflow_exception, self.new.playbook.workflow_exception
        if self._aim(self.old, was) == self._aim(self.new, now) and bool(was) == bool(now):
            return
        told = [f"the last resort is {version.name(head)!r}" if head else "there is no last resort"
                for version, head in ((self.old, was), (self.new, now))]  # fmt: skip
        yield Change(group="acts", code="workflow_exception", guard="" if now else "loosened", before=was, after=now,
                     message=f"when anything else fails: {told[1]} (before: {told[0]})")  # fmt: skip

    def _cases(self, before: Step, after: Step) -> Iterator[Change]:
        """Cases of a switch that came, went, or have another value."""
        if not (isinstance(before, SwitchStep) and isinstance(after, SwitchStep)):
            return
        name = self.new.name(after.id)
        gone = [each for each in before.cases if each not in after.cases]
        come = [each for each in after.cases if each not in before.cases]
        for case in list(gone):
            now = self.places.get((before.id, case))
            if now and now[0] == after.id and now[1] in come:
                gone.remove(case)
                come.remove(now[1])
                yield self._case(name, f"case {case!r} is now {now[1]!r}", case, now[1])
        for case in gone:
            yield self._case(name, f"case {case!r} removed", case, None)
        for case in come:
            yield self._case(name, f"new case {case!r}", None, case)

    @staticmethod
    def _case(name: str, said: str, was: str | None, now: str | None) -> Change:
        return Change(group="acts", code="case", step=name, message=f"{name}: {said}", before=was, after=now)

    def _pointers(self) -> Iterator[Change]:
        """Where steps lead, for playbooks whose pointers make no structure."""
        starts = [(version, version.playbook.workflow_start) for version in (self.old, self.new)]
        if self._aim_next(*starts[0]) != self._aim_next(*starts[1]):
            yield Change(group="acts", code="start", message="it begins with another step")
        for before, after in self.pairs.items():
            one, other = self.old.steps[before], self.new.steps[after]
            ways = [{"afterwards": next_of(step), **dict(branch_heads(step))} for step in (one, other)]
            for way in dict.fromkeys((*ways[0], *ways[1])):
                heads = ways[0].get(way, ""), ways[1].get(way, "")
                if self._aim(self.old, heads[0]) != self._aim(self.new, heads[1]):
                    name = self.new.name(after)
                    aims = [version.name(head) if head else "nothing" for version, head in
                            zip((self.old, self.new), heads, strict=True)]  # fmt: skip
                    yield Change(group="acts", code="way", step=name, before=aims[0], after=aims[1],
                                 message=f"{name}: {way} leads to {aims[1]!r}, before to {aims[0]!r}")  # fmt: skip

    def _aim_next(self, version: Version, step_id: str) -> str:
        return self._aim(version, next_of(version.playbook.workflow[step_id]))


def _does(step: Step) -> str:
    """What a step does, with its risk where that is high."""
    verb = VERBS.get(step.soar.verb) if step.soar else None
    said = heading(step)
    said = said[:1].lower() + said[1:]
    return f"{said}, {verb.risk.value}" if verb and verb.risk in (Risk.HIGH, Risk.DESTRUCTIVE) else said


def _short(where: str) -> str:
    return where.removeprefix("in ")


def _increasing(numbers: Sequence[int]) -> set[int]:
    """Places of a longest increasing part of the numbers: what stayed in order, so that as few as can be have moved."""
    ends: list[int] = []  # the place of the least number that ends an increasing part of each length
    before: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(ends, number, key=numbers.__getitem__)
        before.append(ends[length - 1] if length else -1)
        ends[length : length + 1] = [place]
    kept: set[int] = set()
    place = ends[-1] if ends else -1
    while place >= 0:
        kept.add(place)
        place = before[place]
    return kept
