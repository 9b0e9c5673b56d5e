"""The demo's voice: headings, sentences, tables, and expectations that are checked and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Voice:
    """Prints what happens and keeps count of what was expected."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.met = 0
        self.missed: list[str] = []

    def act(self, number: int, title: str) -> None:
        """A heading."""
        self.console.print()
        self.console.rule(f"[bold]{number}. {escape(title)}", align="left")

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(f"  {escape(text)}")

    def expect(self, what: str, holds: Any, got: Any = "") -> bool:
        """Check one expectation: said either way, and counted."""
        if holds:
            self.met += 1
            self.console.print(f"  [green]✓[/] {escape(what)}")
        else:
            self.missed.append(what)
            self.console.print(f"  [red]✗ {escape(what)}[/]  [dim]got: {escape(str(got)[:600])}[/]")
        return bool(holds)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """A small table."""
        table = Table(title=escape(title) or None, title_justify="left", title_style="dim", box=None, padding=(0, 2))
        for column in columns:
            table.add_column(column, overflow="fold", header_style="bold")
        for row in rows:
            table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
        self.console.print(table)
