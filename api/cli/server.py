"""`soar serve`, `soar lab`, `soar demo`, `soar db`: what runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import say
from soar.errors import Unavailable

Config = Annotated[Path | None, typer.Option(help="Settings file (TOML). [default: the variable SOAR_CONFIG]")]
db = typer.Typer(help="The database: upgrade.", no_args_is_help=True)


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one. [default: 8080]")] = None,
) -> None:
    """Start the service, until SIGTERM or Ctrl-C."""
    from api.serve import serve as run
    from soar.config import load

    server: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load(config, **({"server": server} if server else {}))
    raise typer.Exit(run(settings, ready=lambda url: say(f"soar is at {url} (API docs: {url}/api/docs)")))


def worker(
    config: Config = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many steps at a time. [default: the setting workers]")
    ] = None,
) -> None:
    """Start a node that works for a service elsewhere, until SIGTERM or Ctrl-C.

    Needs PostgreSQL (database_url) and Redis (broker_url).
    """
    from api.node import work as run
    from soar.config import load

    raise typer.Exit(run(load(config), concurrency, ready=lambda count: say(f"soar works with {count} hands")))


def lab(
    folder: Annotated[Path, typer.Option(help="Where the estate is kept.")] = Path("var/lab"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
) -> None:
    """Run a simulated estate to train on.

    Hosts, accounts, a firewall and mail, until SIGTERM or Ctrl-C.
    """
    from integrations.estate.server import serve as run

    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder / "estate.json", port, ready=lambda url: say(f"the lab estate is at {url}"))
    except OSError as error:
        raise Unavailable(f"the lab cannot listen on port {port}: {error.strerror or error}") from error


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Where it plays; emptied before. [default: var/demo]", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service running until Enter is pressed.")] = False,
) -> None:
    """One real alert travels the whole way.

    Narrated; each expectation is checked.
    """
    from api.demo import main

    raise typer.Exit(main(folder, keep))


@db.command()
def upgrade(config: Config = None) -> None:
    """Bring the database to this version's schema. The service must not be running."""
    from api.process import reaching
    from soar.config import load

    settings = load(config)
    with reaching(settings):
        _upgrade(settings)
    say("the database has this version's schema")


def _upgrade(settings: Any) -> None:
    from api.first import own
    from api.migrate import alone, migrate

    with own(settings.data, alone=True), alone(settings.url):
        migrate(settings.url)
