"""`python -m tests.chaos.node serve|worker ...`: the product's own processes, with the target's adapter."""

from __future__ import annotations

import sys
from pathlib import Path

import integrations


def open_adapters() -> None:
    """Let the registry find the target's adapter among the integrations."""
    folder = str(Path(__file__).parent / "adapters")
    if folder not in integrations.__path__:
        integrations.__path__.append(folder)


def main() -> int:
    """The words after the first are those of the product's own entry points."""
    open_adapters()
    word, *rest = sys.argv[1:]
    if word == "serve":
        from api.serve import main as serve

        return serve(rest)
    from api.node import main as worker

    return worker(rest)


if __name__ == "__main__":
    sys.exit(main())
