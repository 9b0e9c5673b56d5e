"""The pages lead somewhere: every command, option, target, file and link on them exists."""

from __future__ import annotations

import re
import tomllib
import typing
from functools import cache
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import click
import pytest
import typer.main

from soar import config
from tests.repo.checkout import ROOT, tracked
from tests.repo.pages import Page, page, pages, plain, rows


@cache
def command() -> click.Command:
    """The root of the command line."""
    from api.cli import app

    return typing.cast("click.Command", typer.main.get_command(app))


def commands_in(each: Page) -> list[list[str]]:
    """Every call of `soar` on a page, as words."""
    lines = [line.strip() for block in each.blocks("sh") for line in block.splitlines()]
    return [line.split() for line in (*lines, *each.code) if line.startswith("soar ")]


def unknown_command(words: list[str]) -> str:
    """The first word that is no command; "" where all are."""
    here: Any = command()
    for word in words[1:]:
        if not hasattr(here, "commands"):
            return ""
        if word.startswith(("-", "#")):
            return "" if here is command() or here.invoke_without_command else word
        if word not in here.commands:
            return word
        here = here.commands[word]
    return ""


@pytest.mark.parametrize("each", [each for each in pages() if commands_in(each)], ids=lambda each: each.name)
def test_every_command_on_a_page_exists(each: Page) -> None:
    assert {" ".join(words): bad for words in commands_in(each) if (bad := unknown_command(words))} == {}


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    assert unknown_command(["soar", "fly"]) == "fly"
    assert unknown_command(["soar", "evidence", "burn"]) == "burn"
    assert unknown_command(["soar", "evidence", "verify", "FILE"]) == ""


def test_every_option_on_a_page_exists() -> None:
    wrong = []
    for each in pages():
        for words in commands_in(each):
            here: Any = command()
            for word in words[1:]:
                here = getattr(here, "commands", {}).get(word, here)
            known = {name for param in here.params for name in param.opts} | {"--help"}
            wrong += [f"{each.name}: {' '.join(words)}" for word in words if word[0] == "-" and word not in known]
    assert wrong == []


def test_every_target_of_make_on_a_page_exists_and_all_are_told() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for each in pages():
        lines = [*each.code, *(line for block in each.blocks("sh") for line in block.splitlines())]
        assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets, each.name
    told = {plain(cells[0]).split()[1] for cells in rows(page("CONTRIBUTING.md").section("Set-up"))}
    assert told == targets


def test_every_file_that_a_page_names_is_there() -> None:
    """Words between backquotes that look like a path in this repository; capitals stand for a name to choose."""
    tops = ("soar", "integrations", "evidence", "playbooks", "api", "tests", "docs")
    path = re.compile(rf"(?:{'|'.join(tops)})/[\w./-]*")
    wrong = [
        f"{each.name}: {word}"
        for each in pages()
        for word in each.code
        if path.fullmatch(word) and not re.search(r"[A-Z]{4}|yours", word) and not (ROOT / word).exists()
    ]
    assert wrong == []


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for each in pages():
        for link in each.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            name = ((ROOT / each.name).parent / path).resolve().relative_to(ROOT).as_posix() if path else each.name
            if name not in tracked() or (anchor and anchor not in page(name).anchors):
                wrong.append(f"{each.name}: {link}")
    assert wrong == []


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, todo = {"README.md"}, ["README.md"]
    while todo:
        name = todo.pop()
        for link in page(name).links:
            path = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            target = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            if target.endswith(".md") and target in tracked() and target not in reached:
                reached.add(target)
                todo.append(target)
    assert {each.name for each in pages()} == reached


def test_what_the_command_line_reads_from_the_environment_does_not_stop_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SOAR_KEY", "SOAR_URL", "SOAR_SAMPLES", "SOAR_REQUIRE_REAL"):
        assert any(name in each.text for each in pages()), f"{name} stands on no page"
        monkeypatch.setenv(name, "x")
    assert config.load()


LARGEST_PICTURES = {"docs/playbook-picture.svg": 16_000}
"""In characters: a whole playbook is drawn there, step by step."""


@pytest.mark.parametrize("name", [name for name in tracked() if name.startswith("docs/") and name.endswith(".svg")])
def test_every_picture_speaks_and_can_be_read_in_the_dark(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    tags = {each.tag.rpartition("}")[2]: each.text for each in ET.fromstring(text)}
    assert tags["title"]
    assert tags["desc"]
    assert "prefers-color-scheme: dark" in text
    assert len(text) < LARGEST_PICTURES.get(name, 8_000)


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {"## [Unreleased]", f"## [{version}]"} <= set(page("CHANGELOG.md").text.splitlines())
