"""The product's own processes, with the adapter of the measurements beside its own: `serve` and `worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figure import NotMeasured
from bench.servers import die_with_parent, end

TOKEN = "bench-token-of-this-run-only-0123456789"  # noqa: S105 - opens nothing but a server of this run on loopback
ALERTS = "/api/v1/alerts/bench"
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running server: where it answers, and the process."""

    url: str
    process: subprocess.Popen[str]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def peak_mb(self) -> float:
        """The most memory that it ever had, in MB (proc(5), VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def config(
    folder: Path, data: Path, *, url: str = "", broker: str = "", workers: int = 4, log: Path | None = None,
    playbooks: Sequence[Path] = (),
) -> Path:  # fmt: skip
    """Write a settings file for a process of the product; the token stands in a file beside it."""
    folder.mkdir(exist_ok=True)
    token, file = folder / "token", folder / "soar.toml"
    token.write_text(TOKEN, encoding="ascii")
    token.chmod(0o600)

    def said(value: object) -> str:
        return json.dumps(str(value))

    lines = [
        f"data = {said(data)}", f"workers = {workers}", f"playbooks = [{', '.join(map(said, playbooks))}]",
        *([f"database_url = {said(url)}"] if url else []), *([f"broker_url = {said(broker)}"] if broker else []),
        "[server]", "port = 0", "[sources.bench]", 'kind = "elastic"', 'auth = "bearer"',
        f"secrets = [{said(f'file:{token}')}]", "[adapters.noop]", 'kind = "noop"',
        *([f"log = {said(log)}"] if log else []), "[guards.soft]", 'ids = ["nobody"]',
    ]  # fmt: skip
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@contextmanager
def running(folder: Path, module: str, *words: object, announces: bool = True) -> Iterator[Service]:
    """A server process, until the block ends; raises NotMeasured with its last words when it does not start."""
    errors = folder / f"{module}-{time.time_ns():x}.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *map(str, words)], stdout=subprocess.PIPE, stderr=log, text=True,
            preexec_fn=die_with_parent(),
        )  # fmt: skip
    try:
        url = ""
        if announces:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("READY "):
                raise NotMeasured(f"{module} {words[0]}: {_last(errors)}")
            url = line.split()[1]
        yield Service(url, process)
        if process.poll() is not None:
            raise NotMeasured(f"{module} {words[0]} ended: {_last(errors)}")
    finally:
        end(process)


def wait_until(seen: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
    """Wait until something is seen; raises NotMeasured when it is not in time."""
    ends = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > ends:
            raise NotMeasured(f"{what} within {seconds:.0f} s")
        time.sleep(0.02)


def _last(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip(" ╯╰─│")]
    return lines[-1][:200] if lines else "it said nothing"


def main() -> int:
    """`python -m bench.served serve|worker ...`: the product's own entry points."""
    from bench.house import open_adapters

    open_adapters()
    word, *rest = sys.argv[1:]
    if word == "serve":
        from api.serve import main as serve

        return serve(rest)
    from api.cli import main as soar

    return int(soar([word, *rest]) or 0)


if __name__ == "__main__":
    sys.exit(main())
