"""The page of checks is true: every code has an example that yields it, and one that does not."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache

import pytest

from soar.errors import Invalid
from soar.playbook.cacao import cacao_form
from soar.playbook.checks.codes import ERRORS, MEANINGS, NOTES, WARNINGS, Severity, severity_of
from soar.playbook.checks.examine import EXAMINERS
from soar.playbook.checks.remarks import Remark
from soar.playbook.yaml import yaml_form
from tests.repo import checks_page
from tests.repo.checkout import ROOT
from tests.repo.checks_examples import EXAMPLES, whole
from tests.repo.pages import page

READERS = (
    "soar/strict_text.py", "soar/strict_json.py", "soar/strict_yaml.py", "soar/expressions.py",
    "soar/expression_parser.py", "soar/verbs.py",
    *(f"soar/playbook/{name}.py" for name in (
        "cacao/cacao_form", "cacao/cacao_variables", "durations", "plain", "schedules", "values", "yaml/compile",
        "yaml/extension", "yaml/fields", "yaml/handlers", "yaml/outline", "yaml/sections", "yaml/yaml_form",
    )),
)  # fmt: skip
"""Modules that say codes while a playbook is read; the rules stand in soar/playbook/checks/check*.py."""
SAYING = {"problem", "note", "_note", "_stop", "_over", "_refuse", "_invalid", "Problem"}


@cache
def remarks(example: str | bytes) -> tuple[Remark, ...]:
    text, suffix = whole(example)
    return tuple(EXAMINERS[suffix](text, {"notify", "verify_clean"}))


def said(name: str) -> Iterator[str]:
    """The codes that a module says: the first argument of what says one, or its `code`."""
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in SAYING:
                given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "code")]
                yield from (str(each.value) for each in given if isinstance(each, ast.Constant))
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            first = node.value.elts[0]
            if len(node.value.elts) == 4 and isinstance(first, ast.Constant):
                yield str(first.value)


def test_every_code_that_is_said_has_a_meaning_and_each_meaning_is_said() -> None:
    rules = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "soar/playbook/checks").glob("check*.py"))]
    found = {code for name in (*READERS, *rules) for code in said(name) if code}
    assert found - set(MEANINGS) == set()
    named = "".join((ROOT / name).read_text(encoding="utf-8") for name in (*READERS, *rules))
    spelt = {f"unknown_{what}" for what in ("agent", "target", "authentication")}
    assert {code for code in MEANINGS if f'"{code}"' not in named} == spelt


def test_no_code_stands_twice() -> None:
    codes = [code for part in (*ERRORS.values(), WARNINGS, NOTES) for code in part]
    assert len(codes) == len(set(codes)) == len(MEANINGS)
    assert len(codes) > 130


def test_every_code_has_an_example() -> None:
    assert set(EXAMPLES) == set(MEANINGS)


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_wrong_example_yields_its_code_with_its_place(code: str) -> None:
    found = [each for each in remarks(EXAMPLES[code].wrong) if each.code == code]
    assert found, remarks(EXAMPLES[code].wrong)
    assert {each.severity for each in found} == {severity_of(code)}
    assert all(each.message and (each.pointer or each.line) for each in found)
    assert all(each.mend for each in remarks(EXAMPLES[code].wrong))


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_right_example_is_accepted_and_does_not_yield_it(code: str) -> None:
    found = remarks(EXAMPLES[code].right)
    assert code not in {each.code for each in found}
    errors = [each for each in found if each.severity is Severity.ERROR and each.code != "no_adapter"]
    assert errors == []


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_other_notation_says_the_same(code: str) -> None:
    """What could be read from YAML says its code in CACAO too."""
    text, suffix = whole(EXAMPLES[code].wrong)
    if suffix == ".json":
        return
    try:
        playbook, _, noted = yaml_form.read(text)
    except Invalid:
        return
    if noted:
        return
    document = json.dumps(cacao_form.to_document(playbook)).encode()
    assert code in {each.code for each in EXAMINERS[".json"](document, {"notify", "verify_clean"})}


def test_the_page_is_made_from_the_codes() -> None:
    assert page("docs/checks.md").text == checks_page.page(), "python -m tests.repo.checks_page > docs/checks.md"
