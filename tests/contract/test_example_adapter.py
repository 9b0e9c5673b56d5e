"""The adapter that people copy keeps every rule that it teaches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integrations import example
from soar.errors import Invalid
from soar.ports import Call, NotSent, Rejected
from soar.registry import Registry
from tests.contract import adapter_rules
from tests.contract.adapter_rules import MemorySink, call

ADDRESS = "203.0.113.9"


@pytest.fixture
def adapter(tmp_path: Path) -> example.ExampleAdapter:
    return example.connect("gateway", example.Config(path=tmp_path / "blocked.json"))


def _do(key: str = "k1", ip: str = ADDRESS) -> Call:
    return call("block_ip", f"observable:{ip}", key, ip=ip)


def _undo(key: str = "u1", ip: str = ADDRESS) -> Call:
    return call("unblock_ip", f"observable:{ip}", key, ip=ip)


def test_it_keeps_the_rules_of_every_adapter(adapter: example.ExampleAdapter) -> None:
    adapter_rules.declares_only_known_verbs(adapter)
    adapter_rules.refuses_what_it_does_not_declare(adapter, _do())
    adapter_rules.is_done_seen_undone_and_never_takes_what_is_not_ours(adapter, _do(), _undo())


def test_the_file_holds_what_was_blocked(adapter: example.ExampleAdapter, tmp_path: Path) -> None:
    adapter.apply(_do(), MemorySink())
    assert json.loads((tmp_path / "blocked.json").read_text()) == {ADDRESS: "k1"}
    adapter.apply(_undo(), MemorySink())
    assert json.loads((tmp_path / "blocked.json").read_text()) == {}


@pytest.mark.parametrize("bad", ["", "example.org", "203.0.113.0/24", "999.1.1.1"])
def test_what_is_no_address_is_refused_before_anything_is_written(
    adapter: example.ExampleAdapter, tmp_path: Path, bad: str
) -> None:
    with pytest.raises(Rejected):
        adapter.apply(_do(ip=bad), MemorySink())
    assert not (tmp_path / "blocked.json").exists()


@pytest.mark.parametrize("broken", [b"{", b"[]", b"\xff"])
def test_a_broken_list_is_reported_and_left_alone(
    adapter: example.ExampleAdapter, tmp_path: Path, broken: bytes
) -> None:
    (tmp_path / "blocked.json").write_bytes(broken)
    with pytest.raises(NotSent):
        adapter.apply(_do(), MemorySink())
    assert (tmp_path / "blocked.json").read_bytes() == broken
    assert [problem.code for problem in adapter.check()] == ["unreadable"]


def test_check_names_the_setting_that_is_wrong(tmp_path: Path) -> None:
    lost = example.connect("gateway", example.Config(path=tmp_path / "missing" / "blocked.json"))
    assert [(problem.code, problem.pointer) for problem in lost.check()] == [("not_writable", "path")]


def test_check_has_nothing_to_say_when_all_is_well(adapter: example.ExampleAdapter) -> None:
    assert adapter.check() == []


def test_the_registry_finds_it_and_refuses_unknown_settings(tmp_path: Path) -> None:
    import integrations

    registry = Registry()
    registry.scan(integrations)
    assert registry.connect("gateway", "example", {"path": str(tmp_path / "b.json")}).name == "gateway"
    with pytest.raises(Invalid):
        registry.connect("gateway", "example", {"path": "x", "colour": "blue"})
