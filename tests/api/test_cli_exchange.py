"""`soar playbook import | export | schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.cli.exits import Exit
from soar import canonical, strict_json
from soar.playbook.cacao import cacao_form
from soar.playbook.trust.markings import COMMON_OBJECTS, Tlp
from soar.playbook.yaml import yaml_form
from soar.playbook.yaml.schema import schema
from tests.api.cli_desk import soar
from tests.conftest import ROOT

Captured = pytest.CaptureFixture[str]
LIBRARY = ROOT / "playbooks" / "library" / "compromised-host.yaml"


def test_export_writes_the_bytes_that_are_hashed_and_yaml_again(tmp_path: Path, capsys: Captured) -> None:
    assert soar("playbook", "export", str(LIBRARY)) == Exit.OK
    said = capsys.readouterr().out
    playbook = yaml_form.load(LIBRARY.read_bytes())
    assert said.encode() == canonical.dumps(cacao_form.to_document(playbook)) + b"\n"
    file = tmp_path / "host.json"
    file.write_text(said)
    assert soar("playbook", "export", str(file), "-o", "yaml") == Exit.OK
    assert yaml_form.load(capsys.readouterr().out) == playbook


def test_what_is_marked_too_strictly_does_not_leave_the_house(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = next(each for each, level in COMMON_OBJECTS.items() if level is Tlp.RED)
    file = tmp_path / "host.yaml"
    marked = f"markings: [{red}]\nmarking_definitions:\n  {red}:\n"
    marked += f"    {{type: marking-tlp, spec_version: cacao-2.0, id: {red}, "
    marked += "created_by: identity--5abe695c-7bd5-4c31-8824-2528696cdbf1, tlpv2_level: 'TLP:RED', "
    marked += "created: '2022-10-01T00:00:00.000Z', modified: '2022-10-01T00:00:00.000Z'}\n"
    file.write_text(LIBRARY.read_text().replace("\nsteps:", f"\n{marked}steps:", 1))
    for notation in ("cacao", "yaml"):
        assert soar("playbook", "export", str(file), "-o", notation) != Exit.OK
        said = capsys.readouterr()
        assert "it is marked TLP:RED; at most TLP:AMBER may go there" in said.err
        assert said.out == ""
    monkeypatch.setenv("SOAR_SHARING", '{"highest": "TLP:RED"}')
    assert soar("playbook", "export", str(file)) == Exit.OK


def test_import_says_what_each_step_does_and_writes_nothing_unless_told(
    samples: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = samples / "cacao" / "playbooks-oasis" / "spec-3.1-example.json"
    assert soar("playbook", "import", str(file)) == Exit.OK
    said = capsys.readouterr()
    assert "  asks    IP Lookup: asks a person" in said.out.splitlines()
    assert "--to FOLDER writes find-malware-fuzzypanda.yaml" in said.err
    assert list(tmp_path.iterdir()) == []


def test_import_writes_yaml_that_is_right_and_never_over_a_file(
    samples: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = samples / "cacao" / "playbooks-oasis" / "spec-3.1-example.json"
    assert soar("playbook", "import", str(file), "--to", str(tmp_path)) == Exit.OK
    written = tmp_path / "find-malware-fuzzypanda.yaml"
    assert yaml_form.load(written.read_bytes()).slug == "find-malware-fuzzypanda"
    assert soar("playbook", "import", str(file), "--to", str(tmp_path)) == Exit.CONFLICT
    assert soar("playbook", "import", str(file), "--to", str(tmp_path / "none")) == Exit.NOT_FOUND
    assert "Traceback" not in capsys.readouterr().err


def tangled(samples: Path, folder: Path) -> Path:
    """A good playbook whose one step stands in both branches: there is no YAML for it."""
    document = strict_json.parse((samples / "cacao" / "playbooks-oasis" / "spec-3.1-example.json").read_bytes())
    action = next(own for own in document["workflow"] if own.startswith("action"))
    end = next(own for own in document["workflow"] if own.startswith("end"))
    other = "if-condition--7f40f9d7-de39-4027-ab97-15035beff2ff"
    document["workflow"][document["workflow_start"]]["on_completion"] = other
    document["workflow"][other] = {
        "type": "if-condition", "condition": "alert:severity_id = 5", "on_true": action, "on_false": action,
        "on_completion": end, "x_colour": "red",
    }  # fmt: skip
    file = folder / "tangled.json"
    file.write_text(json.dumps(document, indent=2))
    return file


def test_import_keeps_the_json_where_there_is_no_yaml(samples: Path, tmp_path: Path, capsys: Captured) -> None:
    file = tangled(samples, tmp_path)
    (tmp_path / "in").mkdir()
    assert soar("playbook", "import", str(file), "--to", str(tmp_path / "in")) == Exit.OK
    said = capsys.readouterr().out
    assert "no YAML: IP Lookup is reached on several ways" in said
    assert 'custom_property: CACAO knows no property "x_colour" here' in said
    assert (tmp_path / "in" / "tangled.json").read_bytes() == file.read_bytes()


def test_import_refuses_with_every_problem_and_its_place(samples: Path, tmp_path: Path, capsys: Captured) -> None:
    file = samples / "cacao" / "playbooks-soarca-tests" / "missing_step_playbook.json"
    assert soar("playbook", "import", str(file), "--to", str(tmp_path)) == Exit.INVALID
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["dangling_step", "dangling_step", "no_start"]
    assert all(line.startswith(f"{file}:") for line in lines)
    assert list(tmp_path.iterdir()) == []
    assert soar("playbook", "import", str(tmp_path / "none.json")) == Exit.NOT_FOUND


def test_check_names_lines_in_json_too(samples: Path, capsys: Captured) -> None:
    file = samples / "cacao" / "playbooks-soarca" / "ssh-playbook.json"
    assert soar("playbook", "check", str(file)) == Exit.INVALID
    assert f"{file}:27:25: error: literal_secret: " in capsys.readouterr().out


def test_schema_writes_the_schema(capsys: Captured) -> None:
    assert soar("playbook", "schema") == Exit.OK
    assert json.loads(capsys.readouterr().out) == schema()
