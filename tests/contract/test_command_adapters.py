"""Commands of playbooks, carried out: by a real HTTP server and a real shell."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from integrations import http_commands, shell
from soar.ports import Applied, AppliedStatus, Call, NotSent, OutcomeUnknown, Rejected
from tests.contract import adapter_rules
from tests.contract.adapter_rules import MemorySink, call


@dataclass
class Heard:
    """A server that answers what the path says, and remembers what it heard."""

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            heard.requests.append(
                {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
            )
            if self.path == "/cut":
                self.connection.close()
                return
            time.sleep(1.0 if self.path == "/slow" else 0)
            status = int(self.path[1:]) if self.path[1:].isdigit() else 200
            said = json.dumps({"path": self.path}).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/200")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that the library asks for

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.port = served.server_address[1]
    thread = threading.Thread(target=served.serve_forever, args=(0.01,))
    thread.start()
    yield heard
    served.shutdown()
    served.server_close()
    thread.join()


def _adapter(server: Heard, **more: Any) -> http_commands.HttpCommands:
    settings = {"hosts": [f"127.0.0.1:{server.port}"], "plain_http": True, "timeout": 0.5, **more}
    return http_commands.connect("web", http_commands.Config.model_validate(settings))


def _http(server: Heard, line: str, verb: str = "command_http_api", login: Any = None, **more: Any) -> Call:
    endpoint: dict[str, Any] = {"name": "api", "address": {"ipv4": ["127.0.0.1"]}, "port": str(server.port)}
    if login:
        endpoint["authentication"] = login
    command = {"type": "http-api", "command": line, **more}
    return call(verb, "service:api", "k1", target="api", command=command, endpoint=endpoint)


def test_a_request_is_sent_as_the_command_says_and_its_json_comes_back(server: Heard) -> None:
    done = _adapter(server).apply(
        _http(server, "POST /hosts/7 HTTP/1.1", headers={"X-A": ["1", "2"]}, content='{"a": 1}'), MemorySink()
    )
    assert done.outputs == {"status": 200, "result": {"path": "/hosts/7"}}
    heard = server.requests[0]
    assert (heard["method"], heard["path"], heard["body"]) == ("POST", "/hosts/7", '{"a": 1}')
    assert heard["headers"]["X-A"] in ("1", "2")


def test_openc2_carries_its_content_type_and_our_key_as_request_id(server: Heard) -> None:
    _adapter(server).apply(
        _http(server, "POST /.well-known/openc2 HTTP/1.1", "command_openc2_http", content="{}"), MemorySink()
    )
    assert server.requests[0]["headers"]["X-Request-ID"] == "k1"
    assert server.requests[0]["headers"]["Content-Type"] == "application/openc2+json;version=1.0"


def test_a_secret_comes_from_the_configuration_by_its_name(server: Heard) -> None:
    adapter = _adapter(server, secrets={"edr": "s3cret"})
    adapter.apply(
        _http(server, "GET / HTTP/1.1", login={"type": "http-basic", "user_id": "soar", "secret": "edr"}), MemorySink()
    )
    basic = base64.b64encode(b"soar:s3cret").decode()
    assert server.requests[0]["headers"]["Authorization"] == f"Basic {basic}"
    with pytest.raises(Rejected, match="'other', which is not configured"):
        adapter.apply(_http(server, "GET / HTTP/1.1", login={"type": "oauth2", "secret": "other"}), MemorySink())
    assert "s3cret" not in repr(adapter._config)


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/404", Rejected), ("/302", Rejected), ("/500", OutcomeUnknown), ("/cut", OutcomeUnknown),
        ("/slow", OutcomeUnknown),
    ],
)  # fmt: skip
def test_what_an_answer_means_is_said_as_it_is(server: Heard, path: str, outcome: type[Exception]) -> None:
    with pytest.raises(outcome):
        _adapter(server).apply(_http(server, f"POST {path} HTTP/1.1"), MemorySink())
    assert len(server.requests) == 1


def test_taken_for_later_is_not_done(server: Heard) -> None:
    done = _adapter(server).apply(_http(server, "POST /202 HTTP/1.1"), MemorySink())
    assert done.status is AppliedStatus.ACCEPTED


def test_nobody_there_means_nothing_was_sent(server: Heard) -> None:
    nobody = Heard(port=1)
    with pytest.raises(NotSent):
        _adapter(nobody).apply(_http(nobody, "GET / HTTP/1.1"), MemorySink())
    assert not server.requests


@pytest.mark.parametrize(
    "line",
    ["GET http://127.0.0.1:1/ HTTP/1.1", "GET http://10.0.0.1/ HTTP/1.1", "GET http://u:p@127.0.0.1/ HTTP/1.1",
     "GET file:///etc/passwd HTTP/1.1", "TRACE / HTTP/1.1", "nonsense", "", "GET http://[::1 HTTP/1.1"],
)  # fmt: skip
def test_no_other_host_and_no_other_scheme_is_called(server: Heard, line: str) -> None:
    with pytest.raises(Rejected):
        _adapter(server).apply(_http(server, line), MemorySink())
    assert not server.requests


@pytest.mark.parametrize("header", ["Host", "authorization", "Content-Length", "Cookie"])
def test_a_playbook_sets_no_header_that_leads_elsewhere_or_holds_a_secret(server: Heard, header: str) -> None:
    with pytest.raises(Rejected, match="may not set the header"):
        _adapter(server).apply(_http(server, "GET / HTTP/1.1", headers={header: ["x"]}), MemorySink())
    assert not server.requests


# --- a shell ---------------------------------------------------------------------------------


def _bash(text: str, **more: Any) -> Applied:
    adapter = shell.connect("here", shell.Config.model_validate({"shells": ["bash"], "timeout": 0.5, **more}))
    command = {"type": "bash", "command": text}
    return adapter.apply(call("command_bash", "service:here", "k1", target="here", command=command), MemorySink())


def test_what_a_command_prints_is_its_result() -> None:
    assert _bash("echo one; echo two >&2").outputs == {"status": 0, "result": "one\ntwo\n"}


def test_a_command_that_fails_has_failed_with_its_last_words() -> None:
    with pytest.raises(Rejected, match="ended with 3: no such host"):
        _bash("echo no such host; exit 3")
    with pytest.raises(Rejected, match="ended with"):
        _bash("false | true; echo unreached")


def test_what_outlives_its_time_is_ended_with_all_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "late"
    with pytest.raises(OutcomeUnknown, match=r"not ended after 0\.5 s"):
        _bash(f"(sleep 1; touch {mark}) & sleep 5")
    time.sleep(1.0)
    assert not mark.exists()


def test_a_command_sees_nothing_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAR_TEST_SECRET", "s3cret")
    printed = _bash("env; pwd; ls").outputs["result"]
    assert "s3cret" not in printed
    assert "soar-command-" in printed


def test_only_the_first_part_of_what_it_prints_is_kept() -> None:
    assert len(_bash("head -c 100000 /dev/zero | tr '\\0' x", max_bytes=1024).outputs["result"]) == 1024


def test_both_keep_the_rules_of_every_adapter(server: Heard) -> None:
    here = shell.connect("here", shell.Config(shells=("bash",)))
    for adapter, verb in ((_adapter(server), "command_http_api"), (here, "command_bash")):
        adapter_rules.declares_only_known_verbs(adapter)
        adapter_rules.refuses_what_it_does_not_declare(adapter, call(verb, "service:x", "k1", target="x", command={}))
        assert adapter.check() == []
