"""Carries out CACAO commands of type `ssh` at hosts that are named here (CACAO 2.0, section 5), with asyncssh.

A host is known by its key in a file of known hosts, under the name that the playbook gives, or nothing
is sent: there is no trust on first use. Keys and passwords come from the configuration by the name that
the playbook gives. What a command did nobody can look at: one whose end was not heard is in doubt.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from integrations.once import Once
from soar.ports import (
    Applied,
    Call,
    Capability,
    Invalid,
    JsonObject,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Repeat,
    Sink,
)

if TYPE_CHECKING:
    import asyncssh

KIND = "ssh"
_MOST_TEXT = 65_536
"""Longest command, in octets: it travels in one packet."""
_LAST_WORDS = 500
_CLOSING = 1.0
"""Seconds that the other side has for its goodbye, once everything is known."""


class Config(BaseModel):
    """Which hosts may be reached (`name` or `name:port`), how they are known, and who logs in.

    `keys` are files of private keys, `secrets` passwords; under the name of a key, its passphrase.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = Field(min_length=1)
    known_hosts: Path
    keys: dict[str, Path] = Field(default_factory=dict)
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    user: str = ""
    timeout: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    max_bytes: int = Field(default=262_144, ge=1_024, le=16 * 1024 * 1024)


def connect(name: str, config: Config) -> Ssh:
    """The adapter. Nothing is reached before the first call. Raises Invalid where asyncssh is not installed."""
    if importlib.util.find_spec("asyncssh") is None:
        message = f"adapter {name!r} needs asyncssh, which is not installed"
        problem = Problem(
            code="missing_package", message=message, pointer=f"adapters.{name}", mend="Install soar-ir with [ssh]."
        )
        raise Invalid(problems=[problem])
    return Ssh(name, config)


@dataclass(frozen=True, slots=True)
class _Login:
    """Where a command goes, as whom, and the options of asyncssh that prove it."""

    host: str
    port: int
    user: str
    proof: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(slots=True)
class _Told:
    """What was heard of a command. It may have run from the moment that `sent` is set."""

    sent: bool = False
    status: int | None = None
    signal: str = ""
    kept: bytes = b""
    last: bytes = b""

    @property
    def ended(self) -> bool:
        return self.status is not None or bool(self.signal)

    def hear(self, part: bytes, most: int) -> None:
        """Keep the first `most` octets, and the last few beside them."""
        self.kept += part[: max(0, most - len(self.kept))]
        self.last = (self.last + part)[-_LAST_WORDS:]


class Ssh(Once):
    """Runs a playbook's command at the host that it names."""

    sent = "a command over SSH"

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        once = Capability(repeat=Repeat.UNSAFE, inspects=False, timeout=config.timeout)
        self.verbs: Mapping[str, Capability] = {"command_ssh": once}
        self._config = config

    def apply(self, call: Call, sink: Sink) -> Applied:  # noqa: ARG002 - what it prints is an output, not evidence
        """Run the command once. Exit status 0 is success, every other end has failed."""
        self.refuse_unknown(call)
        text = str(call.params["command"].get("command", ""))
        if not text.strip() or "\0" in text or len(text.encode()) > _MOST_TEXT:
            raise Rejected(f"a command is text of 1 to {_MOST_TEXT} octets")
        login = self._login(call)
        told = asyncio.run(self._talk(login, text))
        if told.signal or told.status != 0:
            end = f"signal {told.signal}" if told.signal else f"status {told.status}"
            raise Rejected(f"{login} ended with {end}: {told.last.decode(errors='replace').strip()}")
        printed = told.kept.decode(errors="replace")
        return Applied(outputs={"status": 0, "result": printed}, summary=f"{login} ended with status 0")

    def check(self) -> Sequence[Problem]:
        """Hosts without a known key, keys that cannot be read, secrets that are empty. No host is asked."""
        import asyncssh

        found = [
            Problem(code="empty_secret", message=f"the secret {name} is empty", pointer=f"secrets.{name}")
            for name, value in self._config.secrets.items()
            if not value.get_secret_value()
        ]
        for name in self._config.keys:
            try:
                self._key(name)
            except Rejected as error:
                found.append(Problem(code="bad_key", message=error.message, pointer=f"keys.{name}"))
        try:
            known = asyncssh.read_known_hosts(str(self._config.known_hosts))
        except (OSError, ValueError) as error:
            message = f"the file of known hosts cannot be read: {error}"
            return [*found, Problem(code="bad_known_hosts", message=message, pointer="known_hosts")]
        for index, host in enumerate(self._config.hosts):
            name, port = _name_and_port(host)
            if not any(_match(known, name, port)[:2]):
                message = f"no key of {host} is known"
                found.append(Problem(code="unknown_host", message=message, pointer=f"hosts[{index}]"))
        return found

    def _login(self, call: Call) -> _Login:
        """The host is the one that the guards have judged: the target of the action."""
        endpoint = call.params.get("endpoint") or {}
        host, port = call.target.id, _port(endpoint)
        allowed = {each.lower() for each in self._config.hosts}
        if not {host.lower(), f"{host}:{port}".lower(), f"[{host}]:{port}".lower()} & allowed:
            raise Rejected(f"{host} is not one of the hosts that may be reached")
        said = endpoint.get("authentication") or {}
        user = str(said.get("username") or said.get("user_id") or self._config.user)
        if not user:
            raise Rejected("neither the playbook nor the configuration says as whom to log in")
        return _Login(host, port, user, self._proof(str(said.get("secret", ""))))

    def _proof(self, name: str) -> Mapping[str, Any]:
        """A key or a password by its name, and no other way to log in."""
        if name in self._config.keys:
            return {"client_keys": [self._key(name)], "preferred_auth": ["publickey"]}
        if name in self._config.secrets:
            password = self._config.secrets[name].get_secret_value()
            ways = ["password", "keyboard-interactive"]
            return {"client_keys": None, "password": password, "preferred_auth": ways}
        raise Rejected(f"the playbook names the secret {name!r}, which is not configured here")

    def _key(self, name: str) -> asyncssh.SSHKey:
        import asyncssh

        secret = self._config.secrets.get(name)
        try:
            return asyncssh.read_private_key(
                str(self._config.keys[name]), passphrase=secret.get_secret_value() if secret else None
            )
        except (OSError, ValueError) as error:
            raise Rejected(f"the key {name} cannot be read: {error}") from error

    async def _talk(self, login: _Login, text: str) -> _Told:
        """One connection, one command. Raises NotSent, Rejected, OutcomeUnknown."""
        import asyncssh

        told = _Told()
        try:
            async with asyncio.timeout(self._config.timeout):
                connection = await self._reach(login)
                try:
                    await self._run(connection, login, text, told)
                finally:
                    await _hang_up(connection)
        except (OSError, ValueError, asyncssh.Error) as error:
            if not told.ended:
                late = f"not ended after {self._config.timeout:g} s"
                raise _unheard(told, login, late if isinstance(error, TimeoutError) else str(error)) from error
        if not told.ended:
            raise OutcomeUnknown(f"{login} was lost before the command's end was heard")
        return told

    async def _reach(self, login: _Login) -> asyncssh.SSHClientConnection:
        """Log in at a host whose key is known under its name; nothing of this machine's own settings is used."""
        import asyncssh

        known = asyncssh.read_known_hosts(str(self._config.known_hosts))
        return await asyncssh.connect(
            login.host, login.port, username=login.user, config=None, agent_path=None, x509_trusted_certs=None,
            # By name alone: the key of another known host is no proof, whatever address a name leads to.
            known_hosts=lambda host, _address, port: _match(known, host, port), **login.proof,
        )  # fmt: skip

    async def _run(self, connection: asyncssh.SSHClientConnection, login: _Login, text: str, told: _Told) -> None:
        import asyncssh

        told.sent = True
        try:
            process = await connection.create_process(
                text, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, encoding=None, send_env=None
            )
        except asyncssh.ChannelOpenError as error:
            told.sent = error.code == asyncssh.OPEN_REQUEST_SESSION_FAILED  # before that no session was there
            if told.sent and not connection.is_closed():
                raise Rejected(f"{login} runs no commands: {error.reason}") from error
            raise
        try:
            while part := await process.stdout.read(65_536):
                told.hear(part, self._config.max_bytes)
            await process.wait_closed()
        finally:
            told.status = process.exit_status
            told.signal = process.exit_signal[0] if process.exit_signal else ""


def _unheard(told: _Told, login: _Login, why: str) -> NotSent | OutcomeUnknown:
    """No end of the command was heard: harmless only before it was sent."""
    return OutcomeUnknown(f"{login}: {why}") if told.sent else NotSent(f"{login} was not reached: {why}")


async def _hang_up(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        await asyncio.wait_for(connection.wait_closed(), _CLOSING)
    except TimeoutError:
        connection.abort()


def _match(known: asyncssh.SSHKnownHosts, host: str, port: int | None) -> Any:
    return known.match(host, "", None if port == 22 else port)


def _name_and_port(host: str) -> tuple[str, int]:
    """`name`, `name:port`, `address` or `[address]:port`."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.startswith("[")):
        return name.strip("[]"), int(port)
    return host, 22


def _port(endpoint: JsonObject) -> int:
    """The port of a target: its own, else that of its url."""
    address = endpoint.get("address") or {}
    urls = address.get("url") if isinstance(address, Mapping) else None
    url = str((urls[0] if isinstance(urls, list) and urls else urls) or "")
    try:
        port = int(endpoint.get("port") or urlsplit(url).port or 22)
    except ValueError as error:
        raise Rejected("the port of the target is none") from error
    if not 0 < port < 65_536:
        raise Rejected("the port of the target is none")
    return port
