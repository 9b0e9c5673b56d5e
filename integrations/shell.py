"""Carries out CACAO commands of type `bash` and `powershell` on this machine (sections 5.4 and 5.10).

Off unless it is configured, and then only for the shells that are named. A command runs in a process
group of its own, with an empty environment and in a folder of its own; what outlives its time is ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from integrations.once import Once
from soar.ports import (
    Applied,
    Call,
    Capability,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Repeat,
    Sink,
)

KIND = "shell"
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "bash": ("bash", "--noprofile", "--norc", "-euo", "pipefail", "-c"),
    "powershell": ("pwsh", "-NoProfile", "-NonInteractive", "-Command"),
}


class Config(BaseModel):
    """Which shells playbooks may use here, for how long, and the folders in which programs are looked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shells: tuple[Literal["bash", "powershell"], ...] = Field(min_length=1)
    timeout: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    path: str = "/usr/bin:/bin"
    max_bytes: int = Field(default=262_144, ge=1_024, le=16 * 1024 * 1024)


def connect(name: str, config: Config) -> Shell:
    """The adapter. Nothing is started before the first call."""
    return Shell(name, config)


class Shell(Once):
    """Runs a playbook's command in a shell of this machine."""

    sent = "a command in a shell"

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        once = Capability(repeat=Repeat.UNSAFE, inspects=False, timeout=config.timeout)
        self.verbs: Mapping[str, Capability] = {f"command_{shell}": once for shell in config.shells}
        self._config = config

    def apply(self, call: Call, sink: Sink) -> Applied:  # noqa: ARG002 - what it prints is an output, not evidence
        """Run the command once. Exit code 0 is success, everything else has failed."""
        self.refuse_unknown(call)
        shell = call.verb.removeprefix("command_")
        text = str(call.params["command"].get("command", ""))
        with tempfile.TemporaryDirectory(prefix="soar-command-") as folder:
            status, printed = self._run([*_ARGUMENTS[shell], text], Path(folder))
        if status != 0:
            raise Rejected(f"{shell} ended with {status}: {printed.strip()[-500:]}")
        return Applied(outputs={"status": status, "result": printed}, summary=f"{shell} ended with 0")

    def check(self) -> Sequence[Problem]:
        """Shells that are configured and not installed."""
        return [
            Problem(code="no_shell", message=f"{_ARGUMENTS[shell][0]} is not installed", pointer="shells")
            for shell in self._config.shells
            if shutil.which(_ARGUMENTS[shell][0], path=self._config.path) is None
        ]

    def _run(self, arguments: list[str], folder: Path) -> tuple[int, str]:
        program = shutil.which(arguments[0], path=self._config.path)
        if program is None:
            raise NotSent(f"{arguments[0]} is not installed")
        environment = {"PATH": self._config.path, "HOME": str(folder), "LANG": "C.UTF-8"}
        printed = folder / "printed"
        with printed.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - to run commands is what this adapter is configured for
                [program, *arguments[1:]], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(self._config.timeout)
            except subprocess.TimeoutExpired as error:
                raise OutcomeUnknown(f"not ended after {self._config.timeout:g} s; it was ended") from error
            finally:
                _end(process)
        with printed.open("rb") as read:
            return status, read.read(self._config.max_bytes).decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it has started and left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
