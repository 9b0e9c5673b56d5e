"""The documentation is true: what it names exists, what exists is named, and its samples work."""

from __future__ import annotations

import base64
import inspect
import os
import re
import shutil
import subprocess
import tomllib
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import evidence
import integrations
import integrations.sources
from api.errors import STATUS
from evidence import layout
from playbooks import shipped
from soar import access, config, strict_json, webhooks
from soar.errors import SoarError
from soar.guards.judge import GUARDS
from soar.model import Severity
from soar.playbook.commands import COMMAND_VERBS
from soar.playbook.yaml import yaml_form
from soar.ports import Adapter
from soar.registry import Registry
from soar.store.tables import metadata
from soar.verbs import VERBS
from tests.conftest import ROOT, missing_real_part
from tests.repo import verbs_page
from tests.repo.pages import Page, page, pages, plain, rows

# --- settings ---------------------------------------------------------------------------------

NAMED = {"sources": "NAME", "adapters": "NAME", "guards.caps": "VERB"}
"""What stands for the key of each mapping."""


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and default of each setting of a model, as the pages write them."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from settings_of(inner, f"{path}.{NAMED[path]}." if path in NAMED else f"{path}.")
        elif path in NAMED:
            yield f"{path}.{NAMED[path]}", "{}"
        else:
            yield path, _written(field.get_default(call_default_factory=True))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The group of settings in an annotation: itself, optional, or as elements."""
    if inspect.isclass(annotation) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = [_model_in(each) for each in typing.get_args(annotation) if each is not type(None)]
    return next((each for each in found if each is not None), None)


def _written(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if value == "":
        return '""'
    return "[]" if value == () else str(value)


def documented(text: str) -> dict[str, str]:
    """Name and default of each setting in the tables of a text."""
    return {plain(cells[0]): plain(cells[1]) for cells in rows(text) if len(cells) == 3}


def test_every_setting_is_documented_with_its_default() -> None:
    assert documented(page("docs/settings.md").section("Every setting")) == dict(settings_of(config.Settings))


def test_every_setting_says_what_it_means() -> None:
    assert all(len(cells) == 3 and all(cells) for cells in rows(page("docs/settings.md").section("Every setting")))


@pytest.mark.parametrize("each", [each for each in pages() if each.blocks("toml")], ids=lambda each: each.name)
def test_the_samples_of_settings_load(each: Page, tmp_path: Path) -> None:
    for number, block in enumerate(each.blocks("toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        config.load(file)


def test_the_whole_sample_of_settings_builds_a_policy_and_its_adapters(tmp_path: Path) -> None:
    from api.policy import policy_of

    file = tmp_path / "soar.toml"
    (block,) = page("docs/settings.md").blocks("toml")
    file.write_text(block, encoding="utf-8")
    settings = config.load(file)
    assert policy_of(settings.guards).configured
    assert set(settings.guards.caps) - {"*"} <= set(VERBS)
    for name, given in settings.adapters.items():
        rest = {key: value for key, value in given.items() if key != "kind"}
        assert found().connect(name, given["kind"], rest).name == name
    assert {each.kind for each in settings.sources.values()} <= set(found().sources)


# --- adapters, sources, verbs -------------------------------------------------------------------


@cache
def found() -> Registry:
    """What a scan of the packages finds."""
    registry = Registry()
    for package in (integrations, integrations.sources, evidence):
        registry.scan(package)
    return registry


KINDS = sorted(found().adapters)


@cache
def sample(kind: str) -> Adapter:
    """The adapter that the sample of settings on a kind's page configures."""
    (block,) = page(f"docs/adapters/{kind}.md").blocks("toml")
    ((name, given),) = tomllib.loads(block)["adapters"].items()
    return found().connect(name, given.pop("kind"), given)


def test_no_module_is_broken() -> None:
    assert found().failures == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_adapter_has_a_page_with_its_settings(kind: str) -> None:
    assert documented(page(f"docs/adapters/{kind}.md").prose) == dict(settings_of(found().adapters[kind].Config))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_an_adapter_lists_its_verbs(kind: str) -> None:
    (listed,) = re.findall(
        r"^Verbs: (.*?)(?:\n\n|\Z)", page(f"docs/adapters/{kind}.md").prose, re.MULTILINE | re.DOTALL
    )
    assert sorted(plain(word) for word in listed.split()) == sorted(sample(kind).verbs)


def test_every_page_of_an_adapter_is_linked() -> None:
    linked = {each for each in page("docs/adapters.md").links if each.startswith("adapters/")}
    assert linked == {f"adapters/{kind}.md" for kind in KINDS}
    assert {each.stem for each in (ROOT / "docs" / "adapters").glob("*.md")} == set(KINDS)


def test_the_table_of_commands_says_who_carries_out_each_type() -> None:
    said = rows(page("docs/adapters.md").section("Commands of playbooks"))
    table = {word: cells[1] for cells in said for word in re.findall("`([^`]+)`", cells[0])}
    verbs = {kind: sample(kind).verbs for kind in KINDS}
    assert set(table) == set(COMMAND_VERBS)
    for command, who in table.items():
        doing = [kind for kind, known in verbs.items() if COMMAND_VERBS[command] in known]
        assert doing == ([] if who.startswith("none") else [who])


@pytest.mark.parametrize("kind", sorted(found().sources))
def test_every_source_has_a_section_with_a_call_to_try(kind: str) -> None:
    section = page("docs/sources.md").section(kind)
    assert f"/api/v1/alerts/{kind}" in section
    assert section.count("| ") > 10


def test_the_sample_alert_of_elastic_is_read() -> None:
    (block,) = page("docs/sources.md").section_blocks("elastic", "sh")
    (body,) = re.findall(r"-d '(.*)'", block, re.DOTALL)
    (alert,) = found().source("elastic").parse(strict_json.parse(body))
    assert (alert.title, alert.severity) == ("Files are being encrypted on ws-0147", Severity.CRITICAL)


def test_the_sample_of_signing_gives_a_signature_that_fits(tmp_path: Path) -> None:
    if not all(shutil.which(tool) for tool in ("bash", "openssl", "base64", "od")):
        missing_real_part("openssl and a shell")
    (block,) = page("docs/sources.md").section_blocks("suricata", "sh")
    lines, _, _ = block.partition("curl ")
    (tmp_path / "alert.json").write_text('{"event_type": "alert"}', encoding="utf-8")
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    done = subprocess.run(
        ["bash", "-ec", lines + 'printf "%s\\n%s\\n%s" "$id" "$at" "v1,$sig"'],
        cwd=tmp_path, env={**os.environ, "SURICATA_SECRET": secret}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = dict(zip(names, done.stdout.split("\n"), strict=True))
    body = (tmp_path / "alert.json").read_bytes()
    assert webhooks.verify_signature([webhooks.secret_bytes(secret)], headers, body, datetime.now(UTC)) == "msg_0001"


def test_the_page_of_verbs_is_what_the_vocabulary_says() -> None:
    assert page("docs/verbs.md").text == verbs_page.page(), "run: python -m tests.repo.verbs_page > docs/verbs.md"


def test_every_verb_is_on_the_page_of_verbs() -> None:
    assert {plain(cells[0]) for cells in rows(page("docs/verbs.md").text)} == set(VERBS)


# --- playbooks ------------------------------------------------------------------------------------

HEAD = """\
id: sample
variables:
  hosts: {type: list, from: scope.hosts.affected}
  accounts: {type: list, from: scope.accounts.affected}
steps:
"""
YAML = page("docs/playbooks.md").blocks("yaml")


@pytest.mark.parametrize("block", YAML, ids=[block.splitlines()[0][:40] for block in YAML])
def test_the_samples_of_playbooks_are_right(block: str) -> None:
    text = block if block.startswith("id:") else HEAD + block
    assert yaml_form.load(text).workflow


def test_the_samples_show_every_form_of_a_step() -> None:
    text = "".join(YAML)
    for form in ("do", "manual", "undo", "if", "switch", "while", "parallel", "command"):
        assert re.search(rf"[-{{ ]\s*{form}:", text), form


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_playbook_of_the_library_is_right(path: Path) -> None:
    assert yaml_form.load(path.read_bytes()).slug == path.stem


# --- safety, architecture, evidence -----------------------------------------------------------------


def test_every_guard_is_on_the_page_of_safety() -> None:
    assert len(list(rows(page("docs/safety.md").section("Guards")))) == len(GUARDS)


def test_every_table_is_on_the_page_of_architecture() -> None:
    cells = (cells[0] for cells in rows(page("docs/architecture.md").section("Data")))
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(metadata.tables)


def test_every_file_of_a_package_is_on_the_page_of_evidence() -> None:
    named = {name for cells in rows(page("docs/evidence.md").section("The package")) for name in cells[0].split("`")}
    assert set(layout.REQUIRED) <= named


# --- the HTTP API -----------------------------------------------------------------------------------


def test_the_table_of_roles_is_what_access_says() -> None:
    told: dict[str, frozenset[str]] = {}
    for role, what in rows(page("docs/api.md").section("Roles")):
        base = re.match(r"as (\w+)", what)
        told[plain(role)] = frozenset(re.findall(r"`([\w.]+)`", what)) | (told[base[1]] if base else frozenset())
    assert told == access.ROLES


def test_the_table_of_errors_is_what_the_door_answers() -> None:
    told = {(int(status), plain(code)) for status, code, _ in rows(page("docs/api.md").section("Errors"))}
    real = {(status, error.code) for error, status in STATUS.items() if error is not SoarError}
    # What was not sent is told as its kind of error; 405 and 500 have no error of ours behind them.
    assert told - {(405, "method_not_allowed"), (500, "internal")} == real - {(503, "not_sent")}


def test_the_table_of_exit_codes_is_what_the_command_line_says() -> None:
    from api.cli.exits import MEANINGS

    told = {int(code): meaning for code, meaning in rows(page("docs/api.md").section("Command line"))}
    assert told == {int(code): meaning for code, meaning in MEANINGS.items()}
