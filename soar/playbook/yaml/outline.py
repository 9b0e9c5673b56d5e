"""The skeleton of a playbook in YAML: which steps there are, of which form, under which ids.

Ids follow from paths alone, so that a step can point at one that is read later. A step's path is its
name, or its number and what it does, behind the path of the branch that it stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from soar.playbook.model import made_id
from soar.playbook.places import nearest
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.grammar import ALL, FORMS, STEP
from soar.strict_text import escaped
from soar.verbs import VERBS

END = "end"
"""`continue: end` goes on at the end of the branch in which the failure was, as after success."""
RESERVED = frozenset({END, "handlers"})
"""Names that paths, and `continue`, use for themselves."""

_BRANCHES: Mapping[str, tuple[str, ...]] = {"if": ("then", "else"), "while": ("steps",)}
"""Forms whose branches are lists of steps under fixed keys."""


@dataclass(slots=True, eq=False)
class Sequence:
    """Steps one after the other. `goes_on` is the step where a handler continues, or END."""

    path: str
    items: list[Item] = field(default_factory=list)
    goes_on: str = ""
    goes_on_at: str = ""


@dataclass(slots=True, eq=False)
class Item:
    """One step as it stands in the text. `branches` are the sequences in it, by their names."""

    form: str
    kind: str
    slug: str
    path: str
    id: str
    pointer: str
    data: Mapping[str, Any]
    sequence: Sequence
    index: int
    branches: dict[str, Sequence] = field(default_factory=dict)


class Outline:
    """Walks the text once. `slugs` are the named steps, `items` all of them."""

    def __init__(self, reader: Reader, playbook: str) -> None:
        self.reader = reader
        self.playbook = playbook
        self.slugs: dict[str, Item] = {}
        self.items: list[Item] = []

    def sequence(self, raw: Any, path: str, pointer: str, *, handler: bool = False) -> Sequence:
        """Read a list of steps; a handler may end in `continue: <step>`."""
        sequence = Sequence(path)
        if not isinstance(raw, list):
            self.reader.note("wrong_type", "a list of steps is wanted here", pointer, "Write `- do: ...` below it.")
            return sequence
        if not raw:
            self.reader.note("empty", "there are no steps here", pointer, "Write at least one.")
        for index, each in enumerate(raw):
            at = f"{pointer}/{index}"
            data = self.reader.mapping(each, at, "a step")
            if data is None:
                continue
            if "continue" in data:
                self._continue(sequence, data, at, allowed=handler and index == len(raw) - 1)
            else:
                self._item(sequence, data, at, index)
        return sequence

    def users(self, handler: str) -> list[Item]:
        """The steps that name a handler."""
        return [item for item in self.items if item.data.get("on_failure") == handler]

    def _continue(self, sequence: Sequence, data: Mapping[str, Any], pointer: str, *, allowed: bool) -> None:
        self.reader.known_keys(data, {"continue"}, pointer, "`continue`")
        if not allowed:
            message = "`continue` may only be the last entry of a handler"
            self.reader.note("continue_not_here", message, pointer, "Steps of a branch follow one another anyway.")
            return
        sequence.goes_on = self.reader.slug(data, "continue", pointer)
        sequence.goes_on_at = f"{pointer}/continue"

    def _item(self, sequence: Sequence, data: Mapping[str, Any], pointer: str, index: int) -> None:
        form = self._form(data, pointer)
        slug = self._slug(data, pointer)
        if not form:
            return
        kind, keys = FORMS[form]
        self.reader.known_keys(data, keys, pointer, f"a step with `{form}`")
        word = data["do"] if form == "do" and data["do"] in list(VERBS) else form
        segment = slug or f"{index + 1}-{word}"
        path = f"{sequence.path}/{segment}" if sequence.path else segment
        item = Item(
            form=form, kind=kind, slug=slug, path=path, id=made_id(kind, self.playbook, path), pointer=pointer,
            data=data, sequence=sequence, index=len(sequence.items),
        )  # fmt: skip
        sequence.items.append(item)
        self.items.append(item)
        if slug:
            self.slugs[slug] = item
        self._open(item)

    def _form(self, data: Mapping[str, Any], pointer: str) -> str:
        forms = [key for key in data if key in FORMS]
        if len(forms) == 1:
            return forms[0]
        if forms:
            message = f"a step does one thing, not {' and '.join(forms)}"
            self.reader.note("two_forms", message, pointer, "Make two steps of it.")
            return ""
        strangers = [key for key in data if key not in ALL]
        mend = nearest(strangers[0] if strangers else "", FORMS)
        self.reader.note("no_form", "this step does not say what to do", pointer, mend)
        return ""

    def _slug(self, data: Mapping[str, Any], pointer: str) -> str:
        slug = self.reader.slug(data, "id", pointer)
        if slug in self.slugs:
            first = self.slugs[slug]
            message = f"two steps are called {slug}; the first is {first.pointer}"
            self.reader.note("duplicate_id", message, f"{pointer}/id", "Give one of them another name.")
            return ""
        if slug in RESERVED:
            self.reader.note("reserved_name", f"no step may be called {slug}", f"{pointer}/id", "Choose another name.")
            return ""
        return slug

    def _open(self, item: Item) -> None:
        """Read the branches of a step."""
        if item.form == "parallel":
            self._parallel(item)
        elif item.form == "switch":
            self._switch(item)
        for key in _BRANCHES.get(item.form, ()):
            if key in item.data:
                self._branch(item, key, item.data[key], f"{item.pointer}/{key}", key)
            elif STEP[key].need:
                self.reader.note("missing_key", f"{key} is missing", item.pointer, f"Add {key}: a list of steps.")

    def _branch(self, item: Item, name: str, raw: Any, pointer: str, segment: str) -> None:
        item.branches[name] = self.sequence(raw, f"{item.path}/{segment}", pointer)

    def _parallel(self, item: Item) -> None:
        pointer = f"{item.pointer}/parallel"
        branches = item.data["parallel"]
        if not isinstance(branches, list) or len(branches) < 2:
            mend = "Write a list of branches, each one a list of steps."
            self.reader.note("too_few_branches", "`parallel` wants two branches or more", pointer, mend)
            return
        for index, raw in enumerate(branches):
            self._branch(item, str(index), raw, f"{pointer}/{index}", str(index))

    def _switch(self, item: Item) -> None:
        cases = self.reader.take(item.data, "cases", item.pointer, dict, {}, need=True)
        if "cases" in item.data and cases == {} and "default" not in item.data:
            self.reader.note("empty", "there are no cases here", f"{item.pointer}/cases", "Write at least one.")
        for name, raw in cases.items():
            at = f"{item.pointer}/cases/{escaped(name)}"
            if name == "default":
                mend = "Write it as `default:` beside `cases:`."
                self.reader.note("reserved_name", "no case may be called default", f"{at}#key", mend)
            else:
                self._branch(item, name, raw, at, quote(name, safe=""))
        if "default" in item.data:
            self._branch(item, "default", item.data["default"], f"{item.pointer}/default", "default")


def handlers(outline: Outline, data: Mapping[str, Any]) -> dict[str, Sequence]:
    """The handlers of a playbook by their names."""
    found = {}
    for name, raw, pointer in outline.reader.named(data, "handlers", "", "handler"):
        found[name] = outline.sequence(raw, f"handlers/{name}", pointer, handler=True)
    return found
