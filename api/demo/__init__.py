"""`soar demo`: one real alert travels the whole way, narrated; each expectation is checked."""

from __future__ import annotations

import time
from pathlib import Path

WIDTH = 120
"""Columns where nobody has a terminal."""


def main(folder: Path | None, keep: bool) -> int:
    """Play the demo in a folder of its own (default `var/demo`); 0 when every expectation was met."""
    from rich.console import Console

    from api.demo.acts import Acts
    from api.demo.stage import Stage, StageError
    from api.demo.strangers import package
    from api.demo.voice import Voice

    began = time.monotonic()
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    voice = Voice(console)
    try:
        stage = Stage(folder or Path("var/demo"))
    except StageError as error:
        console.print(f"[red]{error}[/]")
        return 1
    acts = Acts(stage, voice)
    try:
        with console.status("setting the stage"):
            acts.opening()
        for act in (acts.alerts, acts.incident_opens, acts.plan, acts.contain, acts.power_cut, acts.recover):
            act()
        path = package(stage, voice, acts.carol, acts.incident)
        console.print()
        console.rule("[bold]The end", align="left")
        console.print(f"  {voice.met} expectations met, {len(voice.missed)} missed, {time.monotonic() - began:.1f} s.")
        for missed in voice.missed:
            console.print(f"  [red]missed:[/] {missed}")
        console.print(f"  Evidence package: {path}", soft_wrap=True)
        console.print("  API docs:         soar serve, then open http://127.0.0.1:8080/api/docs", soft_wrap=True)
        if keep:
            console.print(f"  The service still runs at {stage.url} (API docs: {stage.url}/api/docs); Enter ends it.")
            console.input()
    except StageError as error:
        console.print(f"[red]{error}[/]")
        return 1
    finally:
        stage.close()
    return 1 if voice.missed else 0
