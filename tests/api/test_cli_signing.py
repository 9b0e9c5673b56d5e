"""`soar playbook sign` and `verify`, and the settings of trust, as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import evidence
import integrations
from api.engine import connect
from api.keyring import read_keyring
from playbooks import LIBRARY
from soar import config
from soar.errors import Invalid
from soar.playbook.trust.markings import Tlp
from soar.registry import Registry
from tests.api.cli_desk import soar
from tests.unit.signed_playbooks import pem, private

BOOK = LIBRARY / "compromised-host.yaml"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A playbook in YAML, ana's private key, and a folder with her public one."""
    (tmp_path / "book.yaml").write_bytes(BOOK.read_bytes())
    key = tmp_path / "key.pem"
    key.write_bytes(private("ed25519").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ana.pem").write_text(f"Name: ana\n{pem(private('ed25519'))}", encoding="utf-8")
    return tmp_path


def sign(desk: Path, file: str = "book.yaml", *more: str) -> int:
    return soar("playbook", "sign", str(desk / file), "--key", str(desk / "key.pem"), "--by", "ana", *more)


def verify(desk: Path, file: str = "book.json") -> int:
    return soar("playbook", "verify", str(desk / file), "--keys", str(desk / "trusted"), "-o", "json")


def test_a_yaml_playbook_is_signed_beside_itself_and_verifies(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(desk) == 0
    assert verify(desk) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["signers"], [each["trusted"] for each in told["signatures"]]) == (["ana"], [True])
    assert soar("playbook", "check", str(desk / "book.json")) == 0


def test_one_changed_word_is_found(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign(desk)
    text = (desk / "book.json").read_text(encoding="utf-8")
    (desk / "book.json").write_text(text.replace('"isolate_host"', '"wipe_device"', 1), encoding="utf-8")
    assert verify(desk) == 7
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["signatures"][0]["problems"]] == [
        "signature_wrong"
    ]


def test_an_unsigned_playbook_and_a_stranger_are_not_verified(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(desk, "book.yaml") == 7
    assert "not signed" in capsys.readouterr().err
    sign(desk)
    (desk / "trusted/ana.pem").unlink()
    assert verify(desk) == 7
    assert "key that is not trusted" in capsys.readouterr().out


def test_a_second_person_countersigns(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign(desk)
    document = json.loads((desk / "book.json").read_text(encoding="utf-8"))
    assert sign(desk, "book.json", "--confirm", document["signatures"][0]["id"]) == 0
    assert verify(desk) == 0
    (own,) = json.loads((desk / "book.json").read_text(encoding="utf-8"))["signatures"]
    assert own["signature"]["signee"] == "ana"
    assert soar("playbook", "sign", str(desk / "book.json"), "--key", str(desk / "key.pem"), "--by", "a",
                "--confirm", "jss--0") == 6  # fmt: skip
    assert "Traceback" not in capsys.readouterr().err


def test_nothing_is_written_where_something_is_wrong(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(desk, "book.yaml", "--algorithm", "Ed448") == 6
    assert sign(desk, "book.yaml", "--until", "soon") == 6
    (desk / "key.pem").chmod(0o644)
    assert sign(desk) == 6
    assert "chmod 600" in capsys.readouterr().err
    (desk / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", encoding="ascii")
    (desk / "key.pem").chmod(0o600)
    assert sign(desk) == 6
    assert sign(desk, "none.yaml") == 3
    assert sorted(each.name for each in desk.iterdir()) == ["book.yaml", "key.pem", "trusted"]
    (desk / "book.json").write_text("{}", encoding="ascii")
    (desk / "key.pem").write_bytes(private("ed25519").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert sign(desk) == 5
    assert (desk / "book.json").read_text(encoding="ascii") == "{}"


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1, "a": 2}', "3"])
def test_hostile_files_are_refused_in_words(desk: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "book.json").write_text(text, encoding="utf-8")
    assert verify(desk) in (6, 7)
    assert sign(desk, "book.json") == 6
    assert "an error in soar itself" not in capsys.readouterr().err


def test_the_ring_names_what_is_wrong_with_its_folder(desk: Path) -> None:
    assert read_keyring(None).keys == ()
    assert [entry.names for entry in read_keyring(desk / "trusted").keys] == [{"ana"}]
    (desk / "trusted/bad.pem").write_bytes(b"\xff")
    (desk / "trusted/dir.pem").mkdir()
    with pytest.raises(Invalid) as caught:
        read_keyring(desk / "trusted")
    assert [problem.code for problem in caught.value.problems] == ["unreadable", "unreadable"]
    with pytest.raises(Invalid, match="no folder"):
        read_keyring(desk / "nowhere")


def refused(text: str, tmp_path: Path) -> str:
    file = tmp_path / "soar.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as caught:
        config.load(file)
    return str(caught.value.problems[0])


def test_the_settings_of_trust_and_sharing_are_checked(tmp_path: Path) -> None:
    assert "folder of trusted keys" in refused("[trust]\nsigned_only = true\n", tmp_path)
    assert "highest" in refused("[sharing]\nhighest = 'TLP:PINK'\n", tmp_path)
    assert "misp.highest_tlp" in refused("[adapters.misp]\nhighest_tlp = 'pink'\n", tmp_path)


def test_an_adapters_ceiling_is_ours_and_not_its_own_setting() -> None:
    given: dict[str, Any] = {"kind": "example", "path": "x.json", "highest_tlp": "green"}
    assert config.Settings(adapters={"out": given}).adapter_ceilings == {"out": Tlp.GREEN}
    registry = Registry()
    for package in (integrations, evidence):
        registry.scan(package)
    assert set(connect(registry, {"out": given})) == {"out", "yara"}
