"""Places the cards of a structured playbook: sequences downwards, branches side by side, failures beside.

Each sequence has a spine, the vertical line that its cards stand on. An opener's branches hang from a bar
below its card and meet on a bar below them; a loop's body runs back up at the left. A failure path stands
right of the first step that names it. No line that is drawn here crosses another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from soar.playbook.model import IfStep, ParallelStep, SwitchStep, WhileStep
from soar.playbook.pictures.card import WIDTH
from soar.playbook.pictures.drawing import Drawing, Frame, Point, Words
from soar.playbook.structure import Chain, Part, Structure

GAP = 30.0
"""Between cards of a sequence: room for an arrow."""
FORK = 22.0
"""From an opener's card to the bar."""
NAMED = 40.0
"""From the bar to the branches: room for the name of each."""
BESIDE = 28.0
"""Between branches."""
AWAY = 46.0
"""From a card to what happens when it fails."""
FRAME = 14.0
TITLE = 30.0
BARE = 120.0
"""The width of a branch without steps: its name must fit."""
HALF = WIDTH / 2
PORT = 22.0
"""Where the failure line leaves a card, from above."""
PILL = 26.0
UNDO_PORT, TRACK = 38.0, 14.0


def owners(structure: Structure) -> dict[str, str]:
    """Beside which step each failure path stands: of those that name it the outermost, then the first."""
    found: dict[str, str] = {}
    todo = [structure.main, *([structure.exception] if structure.exception else []), *structure.lost]
    while todo:
        naming = [(depth, part) for depth, part in _deep(todo.pop(0), 0) if part.on_failure in structure.sides]
        for _, part in sorted(naming, key=lambda each: each[0]):
            if part.on_failure not in found:
                found[part.on_failure] = part.step.id
                todo.append(structure.sides[part.on_failure])
    return found


def place(
    structure: Structure, heights: Mapping[str, float], names: Mapping[str, str], undone: Iterable[tuple[str, str]] = ()
) -> Drawing:
    """The drawing of a playbook.

    `heights` of its cards and `names` of its steps stand under their ids. `undone` are pairs of ids: a step,
    and one that it takes back.
    """
    layout = _Layout(structure, heights, names)
    drawing = layout.whole()
    _take_back(drawing, heights, undone)
    return drawing


def _deep(chain: Chain, depth: int) -> Iterable[tuple[int, Part]]:
    for part in chain.parts:
        yield depth, part
        for branch in part.branches:
            yield from _deep(branch.chain, depth + 1)


class _Layout:
    def __init__(self, structure: Structure, heights: Mapping[str, float], names: Mapping[str, str]) -> None:
        self.structure = structure
        self.heights = heights
        self.names = names
        self.owners = owners(structure)
        self.users: dict[str, list[str]] = {}
        chains = [structure.main, *structure.sides.values(), *structure.lost]
        for chain in [*chains, *([structure.exception] if structure.exception else [])]:
            for _, part in _deep(chain, 0):
                self.users.setdefault(part.on_failure, []).append(part.step.id)

    def whole(self) -> Drawing:
        drawing = Drawing()
        drawing.words.append(Words(0, PILL / 2, "Start", "pill"))
        drawing.line("then", (0, PILL), (0, PILL + GAP))
        drawing.take(self.chain(self.structure.main), 0, PILL + GAP)
        bottom = drawing.height
        drawing.line("then", (0, bottom), (0, bottom + GAP))
        drawing.words.append(Words(0, bottom + GAP + PILL / 2, "End", "pill"))
        drawing.reach(-HALF, HALF, bottom + GAP + PILL)
        framed = [(self.structure.exception, "When anything else fails")] if self.structure.exception else []
        framed += [(chain, "Nothing leads here") for chain in self.structure.lost]
        x, y = drawing.right + AWAY, 0.0
        for chain, title in framed:
            side = self.side(chain, title)
            drawing.take(side, x - side.left, y)
            y += side.height + GAP
        return drawing

    def chain(self, chain: Chain) -> Drawing:
        """A sequence, its spine at x = 0; the way on leaves it at the bottom of the spine."""
        drawing = Drawing()
        y = 0.0
        for index, part in enumerate(chain.parts):
            last = index + 1 == len(chain.parts)
            block, back = self.part(part, "" if last else chain.parts[index + 1].step.id)
            drawing.take(block, 0, y)
            if back is not None:
                merge = y + block.height + GAP / 2
                drawing.line("failure", (back[0], y + back[1]), (back[0], merge), (0, merge))
            y += block.height
            if not last:
                step = GAP * (1.5 if back else 1)
                drawing.line("then", (0, y), (0, y + step))
                y += step
        return drawing

    def part(self, part: Part, after: str) -> tuple[Drawing, Point | None]:
        """A card with its branches and its failure path; and whence that path comes back to the next step."""
        drawing, height = self._card(part), self.heights[part.step.id]
        bottom = height
        if part.branches:
            opened = self._loop(part) if isinstance(part.step, WhileStep) else self._branches(part)
            opened.cards = [replace(each, inside=part.step.id) for each in opened.cards]
            drawing.take(opened, 0, height)
            bottom = drawing.height
        back = self._failure(drawing, part, after)
        if drawing.height > bottom:
            drawing.line("then", (0, bottom), (0, drawing.height), arrow=False)
        return drawing, back

    def side(self, chain: Chain, title: str, *, after: str = "") -> Drawing:
        """A framed sequence beside the others, its spine at x = 0, with what comes then unless a line says so."""
        inner, drawing = self.chain(chain), Drawing()
        inner.cards = [replace(each, outer=False, inside="") for each in inner.cards]
        drawing.take(inner, 0, TITLE)
        bottom = drawing.height + FRAME
        if not (after and chain.goes_on == after):
            drawing.line("failure", (0, drawing.height), (0, bottom + 6), arrow=False)
            on = self.names.get(chain.goes_on)
            said = f"then goes on at {on}" if on else "then it has failed"
            drawing.words.append(Words(0, bottom + 16, said, "outcome"))
            bottom += 16 + PILL
        left, right = min(drawing.left, -HALF) - FRAME, max(drawing.right, HALF) + FRAME
        drawing.words.append(Words(left + 12, TITLE / 2 + 1, title, "frame", right - left - 24))
        drawing.frames.append(Frame(left, 0, right - left, bottom, "side"))
        drawing.reach(left, right, bottom)
        return drawing

    def _card(self, part: Part) -> Drawing:
        drawing = Drawing()
        drawing.put(part.step.id, -HALF, 0)
        drawing.reach(-HALF, HALF, self.heights[part.step.id])
        return drawing

    def _failure(self, drawing: Drawing, part: Part, after: str) -> Point | None:
        """Put the failure path of a step beside it, if it is drawn there."""
        if self.owners.get(part.on_failure) != part.step.id:
            return None
        chain = self.structure.sides[part.on_failure]
        users = [self.names[each] for each in self.users[part.on_failure]]
        side = self.side(chain, f"When {_either(users)} fails", after=after)
        x = drawing.right + AWAY
        drawing.line("failure", (HALF, PORT), (x, PORT))
        drawing.take(side, x - side.left, 0)
        return (x - side.left, side.height) if after and chain.goes_on == after else None

    def _branches(self, part: Part) -> Drawing:
        """The branches below a card, from its lower edge to where they have met."""
        named = [(_branch_name(part, branch.name), self.chain(branch.chain)) for branch in part.branches]
        if isinstance(part.step, IfStep) and len(named) == 1:
            named.append(("otherwise", Drawing()))
        if isinstance(part.step, SwitchStep) and "default" not in part.step.cases:
            named.append(("any other", Drawing()))
        spines, x = [], 0.0
        for _, branch in named:
            spines.append(x - min(branch.left, -BARE / 2))
            x = spines[-1] + max(branch.right, BARE / 2) + BESIDE
        middle = (spines[0] + spines[-1]) / 2
        spines = [spine - middle for spine in spines]
        drawing = Drawing()
        heavy = isinstance(part.step, ParallelStep)
        top = FORK + NAMED
        bottom = top + max(branch.height for _, branch in named) + GAP * 0.8
        for number, (spine, (name, branch)) in enumerate(zip(spines, named, strict=True)):
            drawing.line("then", (spine, FORK), (spine, top), arrow=bool(branch.cards))
            if number:
                branch.cards = [replace(each, outer=False) for each in branch.cards]
            drawing.take(branch, spine, top)
            drawing.reach(spine - BARE / 2, spine + BARE / 2, bottom)
            drawing.line("then", (spine, top + branch.height), (spine, bottom), arrow=False)
            drawing.words.append(Words(spine, FORK + NAMED * 0.42, name, "branch", _room(branch)))
        self._bars(drawing, (spines[0], spines[-1]), bottom, heavy=heavy)
        self._frame(drawing, part, bottom)
        return drawing

    def _loop(self, part: Part) -> Drawing:
        """The body of a loop, which leads back to the card, and the way past it."""
        body, drawing = self.chain(part.branches[0].chain), Drawing()
        body.cards = [replace(each, outer=False) for each in body.cards]
        top = FORK + NAMED
        drawing.take(body, 0, top)
        turn = top + body.height + GAP * 0.6
        back = min(body.left, -HALF) - BESIDE
        way_out = max(body.right, BARE / 2) + BESIDE + BARE / 2
        bottom = turn + GAP * 0.8
        height = self.heights[part.step.id]
        drawing.line("then", (0, FORK), (0, top), arrow=bool(body.cards))
        drawing.line(
            "back", (0, top + body.height), (0, turn), (back, turn), (back, PORT - height), (-HALF, PORT - height)
        )
        drawing.line("then", (0, 0), (0, FORK), arrow=False)
        drawing.line("then", (0, FORK), (way_out, FORK), (way_out, bottom), (0, bottom), arrow=False)
        drawing.words.append(Words(0, FORK + NAMED * 0.42, "as long as it holds", "branch", _room(body)))
        drawing.words.append(Words(way_out, FORK + NAMED * 0.42, "no longer", "branch", BARE))
        drawing.reach(back, way_out + BARE / 2, bottom)
        self._frame(drawing, part, bottom)
        return drawing

    def _bars(self, drawing: Drawing, ends: tuple[float, float], bottom: float, *, heavy: bool) -> None:
        """Where branches part and where they meet."""
        first, last = ends
        drawing.line("then", (0, 0), (0, FORK), arrow=False)
        for y in (FORK, bottom):
            drawing.line("then", (first, y), (last, y), arrow=False, heavy=heavy)

    def _frame(self, drawing: Drawing, part: Part, bottom: float) -> None:
        left, right = drawing.left - FRAME, drawing.right + FRAME
        drawing.frames.append(Frame(left, FORK / 2, right - left, bottom, "branches", part.step.id))
        bottom += FRAME
        drawing.reach(left, right, bottom)
        drawing.line("then", (0, bottom - FRAME), (0, bottom), arrow=False)


def _take_back(drawing: Drawing, heights: Mapping[str, float], undone: Iterable[tuple[str, str]]) -> None:
    """Thin lines at the left, from steps to what they take back: to its card, or to the frame that it stands in.

    One line to a frame is enough; the cards in it say by whom they are taken back.
    """
    cards = {each.step_id: each for each in drawing.cards}
    frames = {each.opener: each for each in drawing.frames}
    track = drawing.left
    known: dict[str, float] = {}
    reached: set[tuple[str, str]] = set()
    for undoing, target in sorted(undone, key=lambda pair: not cards[pair[1]].outer):
        source, aim = cards[undoing], cards[target]
        end = aim.x if aim.outer else frames[aim.inside].x if aim.inside else None
        if not source.outer or end is None or (undoing, aim.inside or target) in reached:
            continue
        reached.add((undoing, aim.inside or target))
        if undoing not in known:
            track -= TRACK
            known[undoing] = track
        start, stop = source.y + heights[undoing] - PORT / 2, aim.y + UNDO_PORT
        drawing.line("undo", (source.x, start), (known[undoing], start), (known[undoing], stop), (end, stop))
    drawing.reach(track, drawing.right, drawing.height)


def _room(branch: Drawing) -> float:
    return max(branch.right - branch.left, BARE)


def _branch_name(part: Part, name: str) -> str:
    match part.step:
        case IfStep():
            return {"then": "yes", "else": "no"}[name]
        case ParallelStep():
            return ""
        case SwitchStep():
            return "any other" if name == "default" else name
    return name


def _either(names: list[str]) -> str:
    kept = list(dict.fromkeys(names))
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} or {kept[-1]}"
