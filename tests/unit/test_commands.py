"""CACAO commands with their variables: what comes from outside stays data, whatever language it stands in."""

from __future__ import annotations

import base64
import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.engine import filling
from soar.errors import Invalid


def test_each_place_is_filled_and_the_rest_stays_as_it_was() -> None:
    command = {
        "type": "http-api", "command": "POST /hosts/__host__:value/isolate HTTP/1.1",
        "headers": {"X-Why": ["incident __number__:value"]}, "content": '{"host": "__host__:value", "n": 3}',
    }  # fmt: skip
    assert filling.fill(command, {"host": "ws 1", "number": 7}) == {
        "type": "http-api", "command": "POST /hosts/ws%201/isolate HTTP/1.1",
        "headers": {"X-Why": ["incident 7"]}, "content": '{"host": "ws 1", "n": 3}',
    }  # fmt: skip


def test_base64_is_read_before_its_variables_are_filled() -> None:
    hidden = base64.b64encode(b"rule __name__:value { condition: true }").decode()
    assert filling.fill({"type": "yara", "command_b64": hidden}, {"name": "r1"}) == {
        "type": "yara", "command": "rule r1 { condition: true }",
    }  # fmt: skip


def test_the_output_of_a_step_is_named_by_both_its_words() -> None:
    found = filling.fill({"type": "ssh", "command": "id __find__user__:value"}, {"find": {"user": "j.doe"}})
    assert found["command"] == "id j.doe"


@pytest.mark.parametrize("value", ["x; rm -rf /", "$(id)", "`id`", "a b", "a'b", "a\nb", "|", "-rf", "ä", "*"])
@pytest.mark.parametrize("kind", ["bash", "ssh", "powershell", "caldera-cmd"])
def test_nothing_that_a_shell_would_read_gets_into_its_line(kind: str, value: str) -> None:
    with pytest.raises(Invalid, match="may not stand in a command line"):
        filling.fill({"type": kind, "command": "id __user__:value"}, {"user": value})


@pytest.mark.parametrize(
    "value", ['" condition: false //', "x, y", "a\n  condition: none", "it's", "a b", "[x]", "*", "#"]
)
@pytest.mark.parametrize("kind", ["yara", "sigma"])
def test_no_value_changes_what_a_rule_looks_for(kind: str, value: str) -> None:
    rule = base64.b64encode(b"find __name__:value").decode()
    with pytest.raises(Invalid, match="may not stand in a rule"):
        filling.fill({"type": kind, "command_b64": rule}, {"name": value})
    assert filling.fill({"type": kind, "command_b64": rule}, {"name": "http://a.b/c-1"})["command"].endswith("/c-1")


@given(st.text())
def test_a_value_in_json_stays_one_string(value: str) -> None:
    content = filling.fill(
        {"type": "http-api", "command": "POST / HTTP/1.1", "content": '{"a": {"b": ["__x__:value"]}, "c": 1}'},
        {"x": value},
    )["content"]
    assert json.loads(content) == {"a": {"b": [value]}, "c": 1}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_in_an_address_stays_one_part_of_it(value: str) -> None:
    line = filling.fill({"type": "http-api", "command": "GET /a/__x__:value/b HTTP/1.1"}, {"x": value})["command"]
    method, target, version = line.split(" ")
    start, part, end = target.removeprefix("/").split("/")
    assert (method, start, unquote(part), end, version) == ("GET", "a", value, "b", "HTTP/1.1")


def test_a_header_cannot_be_broken_into_two() -> None:
    with pytest.raises(Invalid, match="may not stand in a header"):
        filling.fill(
            {"type": "http-api", "command": "GET / HTTP/1.1", "headers": {"A": ["__x__:value"]}}, {"x": "a\r\nB: c"}
        )


def test_what_has_no_value_is_named_with_the_nearest_that_has_one() -> None:
    with pytest.raises(Invalid) as refused:
        filling.fill({"type": "ssh", "command": "id __uesr__:value"}, {"user": "x"})
    assert refused.value.problems[0].code == "missing_value"
    assert "user" in refused.value.problems[0].mend
