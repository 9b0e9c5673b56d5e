"""Commands over SSH, told to a real SSH server in this process: whom it trusts, and what each end means."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from integrations import ssh
from soar.ports import Applied, Call, Invalid, NotSent, OutcomeUnknown, Rejected
from tests.contract import adapter_rules
from tests.contract.adapter_rules import MemorySink, call

LOGIN = {"type": "user-auth", "username": "responder", "secret": "robot"}


@dataclass
class Host:
    """A host that says and does what a command asks for, and remembers what it was told."""

    folder: Path
    port: int = 0
    commands: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    refuses: str = ""
    server: asyncssh.SSHAcceptor | None = None

    async def serve(self) -> None:
        host = self

        class Door(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                host.logins.append(username)
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("responder", "s3cret")

            def session_requested(self) -> Any:
                if host.refuses == "session":
                    return False
                if host.refuses == "exec":
                    return asyncssh.SSHServerSession()
                return asyncssh.SSHServerProcess(host.act, None, 3, False)

        self.server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Door, server_host_keys=[str(self.folder / "host")],
            authorized_client_keys=str(self.folder / "authorized"),
        )  # fmt: skip
        self.port = self.server.get_port()

    async def act(self, process: asyncssh.SSHServerProcess[str]) -> None:
        command = process.command or ""
        self.commands.append(command)
        self.environments.append(dict(process.env))
        word, _, rest = command.partition(" ")
        connection = process.get_extra_info("connection")
        match word:
            case "echo":
                process.stdout.write(rest + "\n")
                process.exit(0)
            case "fail":
                process.stdout.write("trying\n")
                process.stderr.write(f"{rest}\n")
                process.exit(3)
            case "flood":
                process.stdout.write("x" * 300_000 + "the end")
                process.exit(int(rest))
            case "kill":
                process.exit_with_signal("KILL")
            case "cut":
                process.stdout.write("half")
                connection.abort()
            case "leave":
                process.channel.close()
            case "linger":
                process.stdout.write("done, and something holds on")
                process.channel.write_eof()
                process.channel._send_request(b"exit-status", (0).to_bytes(4, "big"))
                await asyncio.sleep(3)
            case _:
                await asyncio.sleep(3)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "other", "robot", "stranger"):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(folder / name))
    asyncssh.read_private_key(str(folder / "robot")).write_private_key(
        str(folder / "locked"), "pkcs8-pem", passphrase="open sesame"
    )
    (folder / "authorized").write_bytes(asyncssh.read_private_key(str(folder / "robot")).export_public_key())
    return folder


@pytest.fixture
def host(keys: Path) -> Iterator[Host]:
    made, loop = Host(keys), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.serve(), loop).result(5)
    yield made

    async def close() -> None:
        assert made.server
        made.server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    asyncio.run_coroutine_threadsafe(close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def known(host: Host, tmp_path: Path, key: str = "host", name: str = "127.0.0.1") -> str:
    """A file that knows this key under this name."""
    file = tmp_path / "known_hosts"
    public = asyncssh.read_private_key(str(host.folder / key)).export_public_key().decode()
    file.write_text(f"[{name}]:{host.port} {public}")
    return str(file)


@pytest.fixture
def settings(host: Host, tmp_path: Path) -> dict[str, Any]:
    return {
        "hosts": [f"127.0.0.1:{host.port}"], "known_hosts": known(host, tmp_path), "timeout": 1,
        "keys": {"robot": str(host.folder / "robot")}, "secrets": {"door": "s3cret"},
    }  # fmt: skip


def adapter(settings: dict[str, Any], **more: Any) -> ssh.Ssh:
    return ssh.connect("fleet", ssh.Config.model_validate(settings | more))


def command(host: Host, text: str, login: dict[str, str] | None = None, at: str = "127.0.0.1", **more: Any) -> Call:
    endpoint = {"name": "ws-7", "address": {"ipv4": [at]}, "port": str(host.port), **more}
    endpoint |= {} if login == {} else {"authentication": login or LOGIN}
    return call("command_ssh", f"service:{at}", "k1", target=at, command={"type": "ssh", "command": text},
                endpoint=endpoint)  # fmt: skip


def run(host: Host, settings: dict[str, Any], text: str, login: dict[str, str] | None = None, **more: Any) -> Applied:
    done = adapter(settings, **more).apply(command(host, text, login), MemorySink())
    gc.collect()  # a connection that was left open says so here
    return done


def test_what_a_command_prints_is_its_result(host: Host, settings: dict[str, Any]) -> None:
    assert run(host, settings, "echo ünï").outputs == {"status": 0, "result": "ünï\n"}
    assert (host.commands, host.logins) == (["echo ünï"], ["responder"])


def test_a_key_with_a_passphrase_and_a_password_are_named_and_never_told(
    host: Host, settings: dict[str, Any], keys: Path
) -> None:
    locked = {"keys": {"locked": str(keys / "locked")}, "secrets": {"locked": "open sesame", "door": "s3cret"}}
    for secret in ("locked", "door"):
        assert run(host, settings | locked, "echo 1", LOGIN | {"secret": secret}).outputs["status"] == 0
    assert "s3cret" not in repr(adapter(settings | locked)._config)
    assert run(host, settings, "echo 1", {"type": "user-auth", "secret": "robot"}, user="responder").outputs


def test_a_command_that_fails_has_failed_with_its_last_words(host: Host, settings: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=r"responder@127\.0\.0\.1:\d+ ended with status 3: trying\nno such host$"):
        run(host, settings, "fail no such host")
    with pytest.raises(Rejected, match="ended with signal KILL"):
        run(host, settings, "kill")


def test_of_much_text_the_first_part_is_kept_and_the_last_is_said(host: Host, settings: dict[str, Any]) -> None:
    assert run(host, settings, "flood 0", max_bytes=1024).outputs["result"] == "x" * 1024
    with pytest.raises(Rejected, match=r"x{400}the end$"):
        run(host, settings, "flood 1", max_bytes=1024)


@pytest.mark.parametrize("text", ["cut", "leave", "sleep"])
def test_an_end_that_was_not_heard_is_in_doubt(host: Host, settings: dict[str, Any], text: str) -> None:
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        run(host, settings, text, timeout=0.5)
    assert host.commands == [text]
    assert time.monotonic() - began < 2.5
    gc.collect()


def test_an_end_that_was_heard_counts_even_if_something_holds_the_line(host: Host, settings: dict[str, Any]) -> None:
    assert run(host, settings, "linger", timeout=0.5).outputs["result"] == "done, and something holds on"


def test_a_host_with_another_key_is_told_nothing(host: Host, settings: dict[str, Any], tmp_path: Path) -> None:
    for file in (known(host, tmp_path, "other"), known(host, tmp_path, name="10.0.0.7"), "/nowhere/known_hosts"):
        with pytest.raises(NotSent, match="was not reached"):
            run(host, settings, "echo 1", known_hosts=file)
    (tmp_path / "empty").write_text("")
    with pytest.raises(NotSent, match="not trusted"):
        run(host, settings, "echo 1", known_hosts=str(tmp_path / "empty"))
    assert (host.commands, host.logins) == ([], [])


def test_the_key_of_an_address_is_no_proof_of_a_name_that_leads_there(
    host: Host, settings: dict[str, Any], tmp_path: Path
) -> None:
    named = adapter(settings, hosts=["localhost"])
    with pytest.raises(NotSent, match="not trusted"):
        named.apply(command(host, "echo 1", at="localhost"), MemorySink())
    known(host, tmp_path, name="localhost")
    assert named.apply(command(host, "echo 1", at="localhost"), MemorySink()).outputs["status"] == 0


def test_who_may_not_log_in_has_sent_nothing(host: Host, settings: dict[str, Any], keys: Path) -> None:
    for wrong in ({"keys": {"robot": str(keys / "stranger")}}, {"keys": {}, "secrets": {"robot": "guess"}}):
        with pytest.raises(NotSent, match="Permission denied"):
            run(host, settings, "echo 1", **wrong)
    assert not host.commands


def test_nobody_there_or_nobody_who_speaks_means_nothing_was_sent(host: Host, settings: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host.port = mute.getsockname()[1]
        with pytest.raises(NotSent, match=r"not ended after 0\.3 s"):
            run(host, settings, "echo 1", timeout=0.3, hosts=["127.0.0.1"])
    with pytest.raises(NotSent, match="was not reached"):
        run(host, settings, "echo 1", hosts=["127.0.0.1"])


def test_a_host_that_opens_no_session_ran_nothing(host: Host, settings: dict[str, Any]) -> None:
    host.refuses = "session"
    with pytest.raises(NotSent):
        run(host, settings, "echo 1")
    host.refuses = "exec"
    with pytest.raises(Rejected, match="runs no commands"):
        run(host, settings, "echo 1")


@pytest.mark.parametrize(
    ("text", "login", "reason"),
    [
        ("", None, "1 to 65536 octets"), (" \n", None, "octets"), ("echo \0", None, "octets"),
        ("x" * 65_537, None, "octets"), ("echo 1", LOGIN | {"secret": "other"}, "'other', which is not configured"),
        ("echo 1", {}, "as whom to log in"), ("echo 1", {"type": "user-auth", "username": "x"}, "not configured"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anybody_is_reached(
    host: Host, settings: dict[str, Any], text: str, login: dict[str, str] | None, reason: str
) -> None:
    with pytest.raises(Rejected, match=reason):
        run(host, settings, text, login)
    assert not host.logins


def test_only_hosts_that_are_named_are_reached(host: Host, settings: dict[str, Any]) -> None:
    fleet = adapter(settings)
    for at, port in (("10.0.0.1", host.port), ("127.0.0.1", 22), ("127.0.0.1", "x"), ("127.0.0.1", 70_000)):
        with pytest.raises(Rejected, match=r"not one of the hosts|port of the target"):
            fleet.apply(command(host, "echo 1", at=at, port=port), MemorySink())
    by_url = command(host, "echo 1", port="", address={"url": [f"ssh://127.0.0.1:{host.port}"]})
    assert fleet.apply(by_url, MemorySink()).outputs["status"] == 0
    assert len(host.commands) == 1


def test_nothing_of_this_machine_goes_along(
    host: Host, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  User root\n  SendEnv SOAR_*\n")
    for name, value in {"HOME": str(tmp_path), "SOAR_X": "s3cret", "SSH_AUTH_SOCK": str(tmp_path / "none")}.items():
        monkeypatch.setenv(name, value)
    run(host, settings, "echo 1")
    assert (host.logins, host.environments) == (["responder"], [{}])


def test_check_names_what_is_missing_without_asking_any_host(
    host: Host, settings: dict[str, Any], keys: Path, tmp_path: Path
) -> None:
    assert adapter(settings).check() == []
    wrong = {"hosts": ["127.0.0.1", "db-1:2222", "[::1]:22"], "secrets": {"none": ""},
             "keys": {"gone": str(tmp_path / "gone"), "shut": str(keys / "locked")}}  # fmt: skip
    found = [(each.code, each.pointer) for each in adapter(settings, **wrong).check()]
    assert found == [
        ("empty_secret", "secrets.none"), ("bad_key", "keys.gone"), ("bad_key", "keys.shut"),
        ("unknown_host", "hosts[0]"), ("unknown_host", "hosts[1]"), ("unknown_host", "hosts[2]"),
    ]  # fmt: skip
    assert [each.code for each in adapter(settings, known_hosts="/nowhere").check()] == ["bad_known_hosts"]
    assert not host.logins


def test_there_is_no_way_to_trust_on_first_use(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="known_hosts"):
        ssh.Config.model_validate({"hosts": ["a"]})
    with pytest.raises(ValidationError, match="known_hosts"):
        ssh.Config.model_validate(settings | {"known_hosts": None})


def test_without_its_package_the_adapter_says_what_to_install(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(Invalid, match=r"needs asyncssh.*soar-ir with \[ssh\]"):
        adapter(settings)


def test_it_keeps_the_rules_of_every_adapter(host: Host, settings: dict[str, Any]) -> None:
    adapter_rules.declares_only_known_verbs(adapter(settings))
    adapter_rules.refuses_what_it_does_not_declare(adapter(settings), command(host, "echo 1"))
    with pytest.raises(Rejected, match="cannot be taken back"):
        adapter(settings).revert(command(host, "echo 1"), {}, {})
