"""`soar run record`: a run that has ended becomes a rehearsal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import clean, output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import Exit, say


def record(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    file: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write. [default: standard output]")
    ] = None,
    key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Turn a run that has ended into a rehearsal that passes, and that fails once the playbook goes another way.

    It holds what the run was given and what came back: names of hosts and accounts, answers, outputs. Read it
    before you share it. Ends with 9 where the rehearsal does not pass as it is.
    """
    from soar.playbook.cacao import cacao_form
    from soar.rehearsal import reading, recording, rehearsing

    server = Server(key_file)
    found = _told(server, run)
    document = server.get(path("playbooks", found.run["digest"]))["document"]
    playbook = cacao_form.from_document(document)
    text = _yaml(recording.record(playbook, found))
    rehearsal = reading.load(text, lambda _name: playbook)
    if file is None:
        output.write(text)
    else:
        file.write_text(text, encoding="utf-8")
        say(f"written to {file}")
    shown = rehearsing.rehearse(rehearsal)
    wrong = [difference for each in shown for difference in each.differences]
    for each in wrong:
        say(clean.line(f"not as it was: {each.what}: it was {each.expected}; rehearsed {each.got}"))
    if wrong:
        raise typer.Exit(Exit.PARTLY)


def _told(server: Server, run_id: str) -> Any:
    """Everything that the server tells of a run."""
    from soar.rehearsal.told import Told

    run = server.get(path("runs", run_id))
    incident = run["incident_id"]
    listed = server.items("/actions", incident=incident, limit=500)
    actions = [server.get(path("actions", each["id"])) for each in listed if each["run_id"] == run_id]
    return Told(
        run=run,
        incident=server.get(path("incidents", incident)),
        events=server.items(path("incidents", incident, "events"), limit=500),
        actions=actions[::-1],
        approvals=_of(run_id, server.items("/approvals", incident=incident, limit=500)),
        tasks=_of(run_id, server.items("/tasks", incident=incident, limit=500)),
    )


def _of(run_id: str, newest_first: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in newest_first[::-1] if each["run_id"] == run_id]


def _yaml(value: Any) -> str:
    """As people write it: no anchors, in the order given."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    return yaml.dump(clean.plain(value), Dumper=Plain, allow_unicode=True, sort_keys=False, width=110)
