"""Places the steps of a playbook that has no structure, in layers: after Sugiyama, Tagawa and Toda (1981).

Circles are opened, each step is put one layer below the lowest step that leads to it, long lines get a bend
in every layer, each layer is ordered so that few lines cross, and the layers are centred over one another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from soar.errors import Invalid, Problem
from soar.playbook.model import EndStep, Playbook, StartStep, Step
from soar.playbook.pictures.card import WIDTH
from soar.playbook.pictures.drawing import Drawing, Point, Way, Words
from soar.playbook.structure import branch_heads

MOST_BENDS = 20_000
SWEEPS = 6
BESIDE, BELOW, BEND, PILL = 40.0, 64.0, 26.0, 26.0
NAMED = 0.4
"""How far down the first piece of a line its name stands."""
PORT_SPREAD = 0.5
"""The part of a card's width over which its lines are spread."""

Edge = tuple[str, str, Way, str]
Node = str | tuple[int, int]
"""A step, or the bend of the edge with this number in this layer."""


def place_layers(playbook: Playbook, heights: Mapping[str, float]) -> Drawing:
    """The drawing of any playbook whose pointers lead to steps that are there.

    Raises Invalid for one whose lines would be too many to draw.
    """
    edges = list(dict.fromkeys(edge for step in playbook.workflow.values() for edge in _edges(step)))
    back = _closing(playbook, edges)
    layer = _layers(playbook, edges, back)
    if sum(abs(layer[head] - layer[tail]) for tail, head, _, _ in edges) > MOST_BENDS:
        message = "this playbook has too many lines to be drawn"
        raise Invalid(problems=[Problem(code="too_large", message=message, mend="Split it into several playbooks.")])
    rows, paths = _rows(playbook, edges, layer)
    _order(rows, paths)
    return _drawn(playbook, edges, back, rows, paths, heights)


def _edges(step: Step) -> Iterator[Edge]:
    names = {"then": "yes", "else": "no", "steps": "as long as it holds", "default": "any other"}
    labelled = step.type in ("if-condition", "while-condition", "switch-condition")
    for name, head in branch_heads(step):
        yield step.id, head, "then", names.get(name, name) if labelled else ""
    for head in (step.on_completion, step.on_success):
        if head:
            yield step.id, head, "then", "afterwards" if step.heads else ""
    if step.on_failure:
        yield step.id, step.on_failure, "failure", ""


def _closing(playbook: Playbook, edges: list[Edge]) -> set[int]:
    """The edges that close a circle, seen from the start."""
    leaving: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, (tail, head, _, _) in enumerate(edges):
        leaving[tail].append((number, head))
    closing: set[int] = set()
    done: set[str] = set()
    for root in (playbook.workflow_start, *playbook.workflow):
        if root in done:
            continue
        open_, path = {root}, [(root, iter(leaving[root]))]
        while path:
            here, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                open_.discard(here)
                done.add(here)
            elif following[1] in open_:
                closing.add(following[0])
            elif following[1] not in done:
                open_.add(following[1])
                path.append((following[1], iter(leaving[following[1]])))
    return closing


def _layers(playbook: Playbook, edges: list[Edge], back: set[int]) -> dict[str, int]:
    """For each step the length of the longest way to it."""
    waiting = dict.fromkeys(playbook.workflow, 0)
    leaving: dict[str, list[str]] = defaultdict(list)
    for number, (tail, head, _, _) in enumerate(edges):
        if number not in back:
            waiting[head] += 1
            leaving[tail].append(head)
    layer = dict.fromkeys(playbook.workflow, 0)
    ready = [step_id for step_id, count in waiting.items() if not count]
    while ready:
        tail = ready.pop()
        for head in leaving[tail]:
            layer[head] = max(layer[head], layer[tail] + 1)
            waiting[head] -= 1
            if not waiting[head]:
                ready.append(head)
    return layer


def _rows(playbook: Playbook, edges: list[Edge], layer: Mapping[str, int]) -> tuple[list[list[Node]], list[list[Node]]]:
    """The nodes of each layer, and of each edge the nodes from above to below that it passes."""
    rows: list[list[Node]] = [[] for _ in range(max(layer.values()) + 1)]
    for step_id in playbook.workflow:
        rows[layer[step_id]].append(step_id)
    paths = []
    for number, (tail, head, _, _) in enumerate(edges):
        first, last = sorted((tail, head), key=lambda each: layer[each])
        bends: list[Node] = [(number, at) for at in range(layer[first] + 1, layer[last])]
        for bend, at in zip(bends, range(layer[first] + 1, layer[last]), strict=True):
            rows[at].append(bend)
        paths.append([first, *bends, last])
    return rows, paths


def _order(rows: list[list[Node]], paths: list[list[Node]]) -> None:
    """Move each node to the middle of its neighbours, downwards and upwards in turn."""
    above: dict[Node, list[Node]] = defaultdict(list)
    below: dict[Node, list[Node]] = defaultdict(list)
    for path in paths:
        for upper, lower in pairwise(path):
            below[upper].append(lower)
            above[lower].append(upper)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for at in order:
            beside = {node: place for place, node in enumerate(rows[at - 1 if down else at + 1])}
            near = above if down else below
            own = {node: place for place, node in enumerate(rows[at])}

            def middle(node: Node) -> float:
                found = [beside[each] for each in near[node] if each in beside]  # noqa: B023 - called at once
                return sum(found) / len(found) if found else own[node]  # noqa: B023

            rows[at].sort(key=middle)


def _drawn(
    playbook: Playbook, edges: list[Edge], back: set[int], rows: list[list[Node]], paths: list[list[Node]],
    heights: Mapping[str, float],
) -> Drawing:  # fmt: skip
    """Each layer is as high as its highest card."""
    drawing = Drawing()
    middles: dict[Node, Point] = {}
    tall: dict[Node, float] = {}
    y = 0.0
    columns = _columns(playbook, rows, paths)
    for row in rows:
        height = max(_height(playbook, node, heights) for node in row)
        for node in row:
            tall[node] = _height(playbook, node, heights) if isinstance(node, str) else height
            middles[node] = (columns[node], y)
            _put(drawing, playbook, node, middles[node])
            half = _width(playbook, node) / 2
            drawing.reach(columns[node] - half, columns[node] + half, y + height)
        y += height + BELOW
    _lines(drawing, edges, back, paths, middles, tall)
    return drawing


def _columns(playbook: Playbook, rows: list[list[Node]], paths: list[list[Node]]) -> dict[Node, float]:
    """The middle of each node: under and over its neighbours, as far as those beside it leave room."""
    near: dict[Node, list[Node]] = defaultdict(list)
    for path in paths:
        for upper, lower in pairwise(path):
            near[upper].append(lower)
            near[lower].append(upper)
    found: dict[Node, float] = {}
    half = {node: _width(playbook, node) / 2 for row in rows for node in row}
    for row in rows:
        x = 0.0
        for node in row:
            found[node] = x = x + half[node]
            x += half[node] + BESIDE
        middle = (x - BESIDE) / 2
        found.update({node: found[node] - middle for node in row})
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [sum(map(found.__getitem__, near[node])) / len(near[node]) if near[node] else found[node]
                      for node in row]  # fmt: skip
            apart = [half[left] + half[right] + BESIDE for left, right in pairwise(row)]
            found.update(zip(row, _apart(wanted, apart), strict=True))
    return found


def _apart(wanted: list[float], apart: list[float]) -> list[float]:
    """Places near the wanted ones, in their order and far enough apart: the mean of both ways to push."""
    right, left = wanted[:], wanted[:]
    for index, distance in enumerate(apart):
        right[index + 1] = max(right[index + 1], right[index] + distance)
    for index in range(len(apart) - 1, -1, -1):
        left[index] = min(left[index], left[index + 1] - apart[index])
    return [(one + other) / 2 for one, other in zip(right, left, strict=True)]


def _lines(
    drawing: Drawing, edges: list[Edge], back: set[int], paths: list[list[Node]], middles: Mapping[Node, Point],
    tall: Mapping[Node, float],
) -> None:  # fmt: skip
    """The lines through their bends, with the names of the branches that they are."""
    starts = _ports([(path[0], path[1]) for path in paths], middles)
    stops = _ports([(path[-1], path[-2]) for path in paths], middles)
    for number, path in enumerate(paths):
        tail, head, way, name = edges[number]
        points = [(starts[number], middles[path[0]][1] + tall[path[0]])]
        for bend in path[1:-1]:
            x, y = middles[bend]
            points += [(x, y), (x, y + tall[bend])]
        points.append((stops[number], middles[path[-1]][1]))
        upwards = path[0] != tail or tail == head
        points = points[::-1] if upwards else points
        drawing.line("back" if number in back and way == "then" else way, *points)
        if name:
            (x, y), (to_x, to_y) = points[:2]
            drawing.words.append(Words(x + (to_x - x) * NAMED, y + (to_y - y) * NAMED, name, "branch", 130))


def _ports(ends: list[tuple[Node, Node]], middles: Mapping[Node, Point]) -> list[float]:
    """Where each line meets its node, given (node, next node): side by side, in the order of where they lead."""
    lines: dict[Node, list[int]] = defaultdict(list)
    for number, (node, _) in enumerate(ends):
        lines[node].append(number)
    found = [0.0] * len(ends)
    for node, numbers in lines.items():
        numbers.sort(key=lambda each: middles[ends[each][1]][0])
        for place, number in enumerate(numbers):
            share = place / (len(numbers) - 1) - 0.5 if len(numbers) > 1 else 0.0
            found[number] = middles[node][0] + share * WIDTH * PORT_SPREAD
    return found


def _width(playbook: Playbook, node: Node) -> float:
    if isinstance(node, tuple):
        return BEND
    return WIDTH / 2 if isinstance(playbook.workflow[node], StartStep | EndStep) else WIDTH


def _height(playbook: Playbook, node: Node, heights: Mapping[str, float]) -> float:
    if isinstance(node, tuple):
        return 0.0
    return PILL if isinstance(playbook.workflow[node], StartStep | EndStep) else heights[node]


def _put(drawing: Drawing, playbook: Playbook, node: Node, middle: Point) -> None:
    if isinstance(node, tuple):
        return
    step = playbook.workflow[node]
    if isinstance(step, StartStep | EndStep):
        said = "Start" if isinstance(step, StartStep) else "End"
        drawing.words.append(Words(middle[0], middle[1] + PILL / 2, said, "pill"))
    else:
        drawing.put(node, middle[0] - WIDTH / 2, middle[1])
