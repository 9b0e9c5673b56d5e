"""The documentation as data: its fenced blocks, tables, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.repo.checkout import ROOT, tracked

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)!?\[[^\]\n]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is its path from the root of the repository."""

    name: str
    text: str

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of one language."""
        return [body for word, body in _FENCE.findall(self.text) if word == language]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def code(self) -> list[str]:
        """What stands between single backquotes."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        """Where links and pictures point."""
        return [one or two for one, two in _LINK.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """The fragment of each heading, as GitHub makes it."""
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in _HEADING.findall(self.prose))
        return {heading.replace(" ", "-") for heading in plain}

    def section(self, heading: str) -> str:
        """The text below a heading, down to the next one of the same or a higher rank; "" where there is none."""
        lines = iter(self.text.splitlines())
        depth = next((line.index(" ") for line in lines if line.startswith("#") and line.lstrip("# ") == heading), 0)
        found = []
        for line in lines:
            if re.match(rf"#{{1,{depth}}} ", line):
                break
            found.append(line)
        return "\n".join(found)

    def section_blocks(self, heading: str, language: str) -> list[str]:
        """The fenced blocks of one language below a heading."""
        return Page(self.name, self.section(heading)).blocks(language)


def page(name: str) -> Page:
    """One page."""
    return Page(name, (ROOT / name).read_text(encoding="utf-8"))


def pages() -> list[Page]:
    """Every Markdown page of the repository."""
    return [page(name) for name in tracked() if name.endswith(".md")]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the Markdown tables in a text, without heads and rules."""
    lines = text.splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|") and not line.startswith("|-") and above.startswith("|"):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def plain(cell: str) -> str:
    """A cell without its backquotes."""
    return cell.strip().strip("`")
