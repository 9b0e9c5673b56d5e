"""YARA scans evidence apart from us; what it could not scan is never called clean."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import ValidationError

from evidence.yara_scan import KIND, Config, YaraAdapter, connect
from soar.errors import NotFound, Rejected
from soar.model import Call, EntityKind, Item, Repeat, StoredItem, Target
from soar.ports import Adapter
from soar.verbs import VERBS

MARKER = b"SOAR-LAB-" + b"MALWARE-7f3a91"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass
class Evidence:
    """A sink that holds items in memory."""

    items: dict[str, tuple[Item, bytes]] = field(default_factory=dict)

    def add(self, ident: str, content: bytes, path: str = "C:\\x.exe", evidence_class: str = "files") -> str:
        self.items[ident] = Item(name="x.exe", evidence_class=evidence_class, source="ws-7", path=path), content
        return ident

    def put(self, item: Item, content: BinaryIO) -> StoredItem:
        raise AssertionError("a scan stores nothing")

    def open(self, item_id: str) -> BinaryIO:
        return io.BytesIO(self.items[item_id][1])

    def describe(self, item_id: str) -> StoredItem:
        if item_id not in self.items:
            raise NotFound(f"no item {item_id}")
        item, content = self.items[item_id]
        return StoredItem(id=item_id, item=item, sha256="", sha512="", size=len(content))


@pytest.fixture
def sink() -> Evidence:
    return Evidence()


def scan(**params: Any) -> Call:
    target = Target(kind=EntityKind.INCIDENT, id="inc-1")
    return Call(key="k", verb="scan", target=target, params={"incident": "inc-1"} | params)


@pytest.fixture
def adapter() -> YaraAdapter:
    return connect("yara", Config())


def with_rules(folder: Path, **rules: str) -> YaraAdapter:
    for name, text in rules.items():
        (folder / f"{name}.yar").write_text(text)
    return connect("yara", Config(rules_folder=folder, timeout=1))


def test_it_is_an_adapter_that_reads(adapter: YaraAdapter) -> None:
    port: Adapter = adapter
    assert isinstance(port, Adapter)
    assert KIND == "yara"
    assert list(port.verbs) == ["scan", "command_yara"]
    assert all(each.repeat is Repeat.READ and not each.inspects for each in port.verbs.values())
    assert adapter.inspect(scan()).present is None
    with pytest.raises(Rejected):
        adapter.revert(scan(), {}, {})


def test_a_hit_in_a_file_and_in_the_memory_of_a_process(adapter: YaraAdapter, sink: Evidence) -> None:
    ids = [
        sink.add("file-1", b"MZ..." + MARKER),
        sink.add("mem-1", b"\0" * 5000 + MARKER + b"\0" * 5000, "pid:4120", "memory"),
        sink.add("mem-2", MARKER, "whole.raw", "memory"),
        sink.add("clean", b"nothing to see", "/tmp/a"),
        sink.add("empty", b"", "/tmp/b"),
    ]
    done = adapter.apply(scan(evidence=ids, rules="default"), sink)
    rule = "soar_lab_marker"
    assert done.outputs == {
        "malware_found": True,
        "files": [
            {"host": "ws-7", "path": "C:\\x.exe", "rule": rule, "item": "file-1"},
            {"host": "ws-7", "path": "whole.raw", "rule": rule, "item": "mem-2"},
        ],
        "processes": [{"host": "ws-7", "pid": 4120, "rule": rule, "item": "mem-1"}],
    }
    assert set(done.outputs) == set(VERBS["scan"].outputs)


def test_clean_items_are_clean(adapter: YaraAdapter, sink: Evidence) -> None:
    done = adapter.apply(scan(evidence=[sink.add("a", b"hello" * 1000)]), sink)
    assert done.outputs == {"malware_found": False, "files": [], "processes": []}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (EICAR, "eicar_test_file"),
        (b"PowerShell.exe -NoP -w hidden  -enc " + b"QUJD" * 20, "powershell_hidden_encoded_command"),
        (("powershell -w hidden -enc " + "QUJD" * 20).encode("utf-16le"), "powershell_hidden_encoded_command"),
        (b"<?php @eval(base64_decode($_POST['x'])); ?>", "php_shell_over_request"),
    ],
)  # fmt: skip
def test_the_shipped_rules_find_what_they_say(adapter: YaraAdapter, sink: Evidence, content: bytes, rule: str) -> None:
    done = adapter.apply(scan(evidence=[sink.add("a", content)]), sink)
    assert [each["rule"] for each in done.outputs["files"]] == [rule]


def test_the_shipped_rules_do_not_flag_themselves(adapter: YaraAdapter, sink: Evidence) -> None:
    import evidence

    rules = Path(next(iter(evidence.__path__))) / "rules" / "default.yar"
    sink.add("rules", rules.read_bytes().replace(MARKER, b""))
    assert not adapter.apply(scan(evidence=["rules"]), sink).outputs["malware_found"]
    assert EICAR[:20] not in rules.read_bytes()


def test_all_shipped_rules_compile(adapter: YaraAdapter) -> None:
    assert adapter.check() == []


def test_a_rule_that_does_not_compile_is_rejected_with_its_line(tmp_path: Path, sink: Evidence) -> None:
    bad = with_rules(
        tmp_path, bad="rule a {\n condition:\n  foo\n}\n", worse="rule b {", fine="rule c { condition: true }"
    )
    sink.add("a", b"x")
    with pytest.raises(Rejected, match=r"3:.*yara_rule: undefined identifier"):
        bad.apply(scan(evidence=["a"], rules="bad"), sink)
    assert bad.apply(scan(evidence=["a"], rules="fine"), sink).outputs["malware_found"]
    assert [(each.pointer, each.line) for each in bad.check()] == [("bad.yar", 3), ("worse.yar", 1)]


def test_a_rule_cannot_read_files_of_this_machine(tmp_path: Path, sink: Evidence) -> None:
    sneaky = with_rules(tmp_path, sneaky='include "/etc/passwd"\nrule a { condition: true }')
    with pytest.raises(Rejected, match="includes are disabled"):
        sneaky.apply(scan(evidence=[sink.add("a", b"x")], rules="sneaky"), sink)


def test_a_rule_without_end_is_stopped_and_the_item_not_called_clean(tmp_path: Path, sink: Evidence) -> None:
    slow = with_rules(tmp_path, slow="rule a { condition: for all i in (1..100000000000) : (i > 0) }")
    before = time.monotonic()
    with pytest.raises(Rejected, match="did not end within"):
        slow.apply(scan(evidence=[sink.add("a", b"x")], rules="slow"), sink)
    assert time.monotonic() - before < 4


def test_an_item_over_the_cap_is_not_called_clean(sink: Evidence) -> None:
    small = connect("yara", Config(max_bytes=1000))
    with pytest.raises(
        Rejected, match=r"1 of 2 items were not scanned: a \(it is larger than 1000 octets\); hits .* 1$"
    ):
        small.apply(scan(evidence=[sink.add("a", bytes(1001)), sink.add("b", MARKER)]), sink)


@pytest.mark.parametrize("evidence", [None, [], "a", [1], ["unknown"], ["a"] * 1001])
def test_evidence_that_cannot_be_scanned_is_rejected(adapter: YaraAdapter, sink: Evidence, evidence: Any) -> None:
    sink.add("a", b"x")
    with pytest.raises(Rejected):
        adapter.apply(scan(evidence=evidence), sink)


# --- the rules of a CACAO command -----------------------------------------------------------------


def command(text: Any, *ids: str) -> Call:
    target = Target(kind=EntityKind.SERVICE, id="here")
    params = {"target": "here", "command": {"type": "yara", "command": text}, "evidence": list(ids)}
    return Call(key="k", verb="command_yara", target=target, params=params)


HELLO = 'rule hello { strings: $a = "hello" condition: $a } rule long { condition: filesize > 8 }'


def test_the_rules_of_a_command_are_run_over_the_evidence(adapter: YaraAdapter, sink: Evidence) -> None:
    sink.add("a", b"hello", "/tmp/a")
    sink.add("b", b"oh, hello", "pid:7", "memory")
    sink.add("c", b"", "/tmp/c")
    done = adapter.apply(command(HELLO, "a", "b", "c"), sink)
    assert done.outputs == {
        "status": 3,
        "result": [
            {"host": "ws-7", "path": "/tmp/a", "rule": "hello", "item": "a"},
            {"host": "ws-7", "pid": 7, "rule": "hello", "item": "b"},
            {"host": "ws-7", "pid": 7, "rule": "long", "item": "b"},
        ],
    }
    assert set(done.outputs) == set(VERBS["command_yara"].outputs)
    assert adapter.apply(command(HELLO, "c"), sink).outputs == {"status": 0, "result": []}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no rule"), (None, "no rule"), ("rule a {\n condition:\n  foo\n}", "3: yara_rule: undefined"),
        ('include "/etc/passwd" rule a { condition: true }', "includes are disabled"),
        ("rule a { condition: external_one }", "undefined identifier"), ("x" * 262_145, "longer than 262144 octets"),
        ("rule a { strings: $a = { 00 } condition: $a ", "cannot be used"), ("rule a\0", "no rule"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_used_are_refused_with_the_reason(
    adapter: YaraAdapter, sink: Evidence, text: Any, why: str
) -> None:
    with pytest.raises(Rejected, match=why):
        adapter.apply(command(text, sink.add("a", b"x")), sink)


def test_without_evidence_nothing_is_clean(adapter: YaraAdapter, sink: Evidence) -> None:
    with pytest.raises(Rejected, match="no evidence to scan"):
        adapter.apply(command(HELLO), sink)


def test_every_item_that_was_not_scanned_is_named(sink: Evidence, tmp_path: Path) -> None:
    slow = connect("yara", Config(timeout=0.5, max_bytes=1000))
    sink.add("big", bytes(1001))
    text = "rule a { condition: filesize == 1 and for all i in (1..100000000000) : (i > 0) }"
    ids = ["big", "gone", sink.add("slow", b"x"), sink.add("fine", b"xx")]
    with pytest.raises(Rejected, match=r"3 of 4 .*big \(.*larger.*gone \(no item gone\).*slow \(.*did not end.*: 0$"):
        slow.apply(command(text, *ids), sink)


def test_a_rule_cannot_write_the_answer_itself(adapter: YaraAdapter, sink: Evidence) -> None:
    forged = 'import "console" rule a { condition: console.log("{\\"rules\\": []}") and false }'
    assert adapter.apply(command(forged, sink.add("a", b"x")), sink).outputs == {"status": 0, "result": []}


@pytest.mark.parametrize("rules", ["../default", "/etc/passwd", "none", "Default", "a\0b", 7, ["default"]])
def test_rules_from_outside_are_a_name_and_never_a_path(adapter: YaraAdapter, sink: Evidence, rules: Any) -> None:
    with pytest.raises(Rejected):
        adapter.apply(scan(evidence=[sink.add("a", b"x")], rules=rules), sink)


def test_a_missing_rules_folder_is_a_problem_and_unknown_settings_are_refused(tmp_path: Path) -> None:
    assert [each.code for each in connect("y", Config(rules_folder=tmp_path / "no")).check()] == ["yara_rules_folder"]
    with pytest.raises(ValidationError):
        Config.model_validate({"includes": True})
