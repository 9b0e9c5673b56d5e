"""An evidence package: foreign tools check it, ours names every tampering, hostile ones are refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bagit
import pytest

from evidence import layout
from evidence.bag import BagWriter
from evidence.custody import CustodyEntry
from evidence.merkle import Levels, leaf_hash
from evidence.note import Checkpoint, sign
from evidence.package import Body, PackageContents, PackedItem, build
from evidence.signer import Ed25519Signer
from evidence.vault import FolderVault
from evidence.verify import Verification, verify
from soar.errors import Conflict, Invalid, NotFound
from soar.events import GENESIS, Kind, seal
from soar.model import Item, StoredItem

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = "incident:0198a"
HOSTILE_NAMES = [
    "../../etc/passwd", "/etc/shadow", "C:\\Windows\\x.exe", "a\0b", "x" * 300, "CON", "\u202egnp.exe", "dot.",
    "\\\\srv\\a", "f:stream", "😀", "\x1b[2J\x1b]0;owned\x07", "line\r\nbreak", "<script>alert(1)</script>",
    "$(reboot)", "\ud800", "", "-rf",
]  # fmt: skip


def stored_item(vault: FolderVault, number: int, content: bytes, name: str = "log.txt") -> PackedItem:
    sha256, sha512, size = vault.put(io.BytesIO(content))
    item = Item(name=name, evidence_class="files", source="ws-7", path=f"/tmp/{name}", acquired_at=START)
    ident = f"0198b-{number:04}"
    chain = [
        CustodyEntry(
            item_id=ident, seq=0, act="acquired", actor="engine:soar", at=START, to="vault", hash_after=sha256
        ),
        CustodyEntry(
            item_id=ident, seq=1, act="exported", actor="person:ada", at=START + timedelta(hours=1), from_="vault",
            to="court", purpose="trial", hash_before=sha256, hash_after=sha256,
        ),
    ]  # fmt: skip
    return PackedItem(stored=StoredItem(id=ident, item=item, sha256=sha256, sha512=sha512, size=size), custody=chain)


def stream_of(name: str, count: int) -> list[tuple[str, Body]]:
    rows: list[tuple[str, Body]] = []
    prev = GENESIS
    for seq in range(count):
        at = START + timedelta(minutes=seq)
        event = seal(
            event_id=f"{name}-event-{seq}", stream=name, seq=seq, prev=prev, kind=Kind.INCIDENT_NOTED, at=at,
            recorded_at=at, actor="person:ada", data={"n": seq}, values={"text": f"note {seq}", "hidden": "x"},
        )  # fmt: skip
        prev = event.hash
        rows.append((event.id, (event.body, {"text": event.values["text"]})))
    return rows


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Ed25519Signer:
    return Ed25519Signer.generate(tmp_path_factory.mktemp("key") / "log.pem", "soar.example/log")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> FolderVault:
    return FolderVault(tmp_path_factory.mktemp("vault"))


@pytest.fixture(scope="module")
def contents(signer: Ed25519Signer, vault: FolderVault) -> PackageContents:
    rows = {STREAM: stream_of(STREAM, 9), "system": stream_of("system", 4)}
    foreign = [b"event of another incident %d" % n for n in range(3)]
    ids = [ident for stream in rows.values() for ident, _ in stream]
    leaves = foreign + [body for stream in rows.values() for _, (body, _) in stream]
    levels = Levels(map(leaf_hash, leaves))
    proofs = {
        ident: (place, [part.hex() for part in levels.inclusion_proof(place)]) for place, ident in enumerate(ids, 3)
    }
    playbook = b'{"type":"playbook"}'
    return PackageContents(
        export={
            "id": "0198c-export", "recipient": "court", "purpose": "trial", "requested_by": "person:ada",
            "at": "2026-03-02T09:30:00Z",
        },
        incident={"id": "0198a", "title": "Ransom note <b>\u202e"},
        timeline={"lanes": []},
        actions=[{"verb": "isolate_host"}],
        runs=[{"playbook": "ransomware"}],
        approvals=[{"by": "person:grace"}],
        playbooks={hashlib.sha256(playbook).hexdigest(): playbook},
        items=[
            *(stored_item(vault, n, b"evidence %d" % n, name) for n, name in enumerate(HOSTILE_NAMES)),
            stored_item(vault, 100, b""),
            stored_item(vault, 101, b"evidence 1"),
            stored_item(vault, 102, random.Random(1).randbytes(300_000)),
        ],
        streams={name: [row for _, row in stream] for name, stream in rows.items()},
        proofs=proofs,
        checkpoint=sign(Checkpoint("soar.example/log", len(leaves), levels.root()), signer),
        key_name=signer.key_name,
        public_key=signer.public_key,
        notes=("made for a test",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return build(contents, vault, tmp_path_factory.mktemp("out") / "package.zip", signer)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """The package unpacked, ready to be tampered with."""
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked" / "evidence-0198c-export"


@pytest.fixture(autouse=True)
def quiet_bagit() -> Iterator[None]:
    logger = logging.getLogger("bagit")
    before = logger.disabled
    logger.disabled = True
    yield
    logger.disabled = before


def foreign_verdict(folder: Path) -> str:
    """What the library of the Library of Congress says: empty when all is well."""
    try:
        bagit.Bag(str(folder)).validate()
    except bagit.BagError as error:
        return str(error)
    return ""


def pointers(found: Verification) -> set[tuple[str, str]]:
    return {(each.code, each.pointer) for each in found.problems}


# --- a whole package


def test_a_whole_package_verifies_as_zip_and_as_folder(whole: Path, folder: Path, signer: Ed25519Signer) -> None:
    for path in (whole, folder):
        found = verify(path, signer.public_key)
        assert found.problems == ()
        assert found.ok
        assert {name: number for name, number in found.checked.items() if name not in ("files", "octets")} == {
            "items": 21, "events": 13, "proofs": 13, "playbooks": 1, "custody_entries": 42, "signatures": 1,
        }  # fmt: skip
        assert found.notes == ("unwitnessed: no second party vouches for the checkpoint",)


def test_without_a_key_from_outside_this_is_said(whole: Path) -> None:
    found = verify(whole)
    assert found.ok
    assert "key not confirmed from outside" in found.notes


def test_foreign_tools_find_the_bag_whole(folder: Path) -> None:
    assert foreign_verdict(folder) == ""
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        done = subprocess.run(["sha256sum", "-c", "--strict", manifest], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_same_record_gives_the_same_bytes(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, whole: Path, tmp_path: Path
) -> None:
    again = build(replace(contents, items=contents.items[::-1]), vault, tmp_path / "other name.zip", signer)
    assert again.read_bytes() == whole.read_bytes()


def test_a_destination_without_zip_is_a_folder_and_nothing_else_is_left(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path: Path
) -> None:
    out = build(contents, vault, tmp_path / "package", signer)
    assert verify(out, signer.public_key).ok
    assert [path.name for path in tmp_path.iterdir()] == ["package"]
    with pytest.raises(Conflict):
        build(contents, vault, out, signer)


def test_evidence_is_inert_and_hostile_names_are_data_alone(whole: Path, contents: PackageContents) -> None:
    with zipfile.ZipFile(whole) as archive:
        assert all(entry.external_attr >> 16 == 0o100444 for entry in archive.infolist())
        names = [name.partition("/")[2] for name in archive.namelist()]
        raw = archive.read("evidence-0198c-export/data/evidence/index.json")
    assert names == sorted(names)
    assert all(name.isascii() and ".." not in name for name in names)
    assert {name.rpartition(".")[2] for name in names} == {"txt", "json", "jsonl", "bin"}
    assert raw.isascii()
    assert b"\x1b" not in raw
    assert [each["name"] for each in json.loads(raw)][: len(HOSTILE_NAMES)] == HOSTILE_NAMES


def test_progress_is_told_in_octets(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    build(contents, vault, tmp_path / "p.zip", signer, lambda what, done, total: told.append((what, done, total)))
    for what in ("copy", "pack"):
        steps = [(done, total) for word, done, total in told if word == what]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


# --- what cannot be built


def test_a_damaged_or_missing_blob_stops_the_package_and_leaves_nothing(
    contents: PackageContents, signer: Ed25519Signer, tmp_path: Path
) -> None:
    vault = FolderVault(tmp_path / "vault")
    good, bad, gone = (stored_item(vault, n, b"item %d" % n) for n in range(3))
    blobs = tmp_path / "vault" / "sha256"
    blob = blobs / bad.stored.sha256[:2] / bad.stored.sha256[2:]
    blob.chmod(0o600)
    blob.write_bytes(b"item X")
    (blobs / gone.stored.sha256[:2] / gone.stored.sha256[2:]).unlink()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Invalid) as error:
        build(replace(contents, items=[good, bad, gone]), vault, out / "p.zip", signer)
    assert {(each.code, each.pointer) for each in error.value.problems} == {
        ("evidence_damaged", "data/evidence/0198b-0001.bin"),
        ("evidence_missing", "data/evidence/0198b-0002.bin"),
    }
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("export", {"id": "x"}),
        ("export", {"id": "../x", "recipient": "r", "purpose": "p", "requested_by": "q", "at": "2026-03-02T09:30:00Z"}),
        ("export", {"id": "x", "recipient": "r", "purpose": "p", "requested_by": "q", "at": "1970-01-01T00:00:00Z"}),
        ("playbooks", {"a" * 64: b"{}"}),
        ("playbooks", {"../x": b"{}"}),
        ("streams", {"incident:../x": []}),
        ("checkpoint", "no note"),
        ("public_key", bytes(32)),
        ("incident", {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
        ("incident", {"n": float("nan")}),
    ],
)
def test_contents_that_make_no_sound_package_are_refused(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path: Path, field: str, value: Any
) -> None:
    with pytest.raises(Invalid):
        build(replace(contents, **{field: value}), vault, tmp_path / "p.zip", signer)
    assert list(tmp_path.iterdir()) == []


def test_two_items_with_one_id_or_an_id_that_climbs_are_refused(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path: Path
) -> None:
    one = contents.items[0]
    climbing = replace(one, stored=replace(one.stored, id="../up"))
    for items in ([one, one], [climbing]):
        with pytest.raises(Invalid):
            build(replace(contents, items=items), vault, tmp_path / "p.zip", signer)


# --- tampering by somebody who does not know how a bag works


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flip(path: Path, at: int) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    path.write_bytes(content)


def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(folder: Path, signer: Ed25519Signer) -> None:
    for position, name in enumerate(files_of(folder)):
        path = folder / name
        before = path.read_bytes()
        if not before:
            continue
        flip(path, position * 7919)
        found = verify(folder, signer.public_key)
        assert name in {each.pointer for each in found.problems} or "tagmanifest" in name, name
        assert not found.ok, name
        if name.startswith("data/evidence/0198b-000"):
            assert name in foreign_verdict(folder)
        path.write_bytes(before)
    assert verify(folder, signer.public_key).ok


def test_every_missing_and_extra_file_is_named(folder: Path, signer: Ed25519Signer) -> None:
    gone = ["data/evidence/0198b-0003.bin", "data/custody/0198b-0004.json", "data/actions.json"]
    for name in gone:
        (folder / name).unlink()
    added = ["data/evidence/new.bin", "data/run-me.exe", "notes.txt", "fetch.txt"]
    for name in added:
        (folder / name).write_bytes(b"x")
    found = pointers(verify(folder, signer.public_key))
    assert {("bag_missing", name) for name in gone} | {("bag_extra", name) for name in added} <= found


# --- tampering by somebody who rebuilds the bag, but has not the key


def rebuild(folder: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Change the files and write all manifests anew, keeping the old signature."""
    files = {name: (folder / name).read_bytes() for name in files_of(folder)}
    change(files)
    target = folder.parent / "rebuilt"
    target.mkdir()
    bag = BagWriter(target)
    for name, content in files.items():
        if name.startswith("data/"):
            bag.add(name, [content])
    lines = (line.split(": ", 1) for line in files["bag-info.txt"].decode().splitlines())
    bag.finish({label: value for label, value in lines if label != "Payload-Oxum"})
    bag.add("signature.txt", [files["signature.txt"]])
    return target


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], object]:
    def apply(files: dict[str, bytes]) -> None:
        value = json.loads(files[name])
        files[name] = json.dumps(changed if (changed := change(value)) is not None else value).encode()

    return apply


def edit_lines(change: Callable[[list[bytes]], None]) -> Callable[[dict[str, bytes]], object]:
    def apply(files: dict[str, bytes]) -> None:
        lines = files[EVENTS].splitlines()
        change(lines)
        files[EVENTS] = b"".join(line + b"\n" for line in lines)

    return apply


def edit_event(position: int, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], object]:
    def apply(lines: list[bytes]) -> None:
        row = json.loads(lines[position])
        change(row)
        lines[position] = json.dumps(row).encode()

    return edit_lines(apply)


def rewrite_body(row: dict[str, Any]) -> None:
    body = base64.b64decode(row["body"]).replace(b"person:ada", b"person:eve")
    row["body"] = base64.b64encode(body).decode()


def swap_bins(files: dict[str, bytes]) -> None:
    one, two = layout.item_file("0198b-0000"), layout.item_file("0198b-0002")
    files[one], files[two] = files[two], files[one]


def replace_item(files: dict[str, bytes]) -> None:
    """The bytes, the index and the custody record all changed to agree."""
    new, name = b"planted", layout.item_file("0198b-0000")
    old = hashlib.sha256(files[name]).hexdigest().encode()
    files[name] = new
    index = json.loads(files[layout.INDEX])
    index[0] |= {
        "sha256": hashlib.sha256(new).hexdigest(), "sha512": hashlib.sha512(new).hexdigest(), "size": len(new),
    }  # fmt: skip
    files[layout.INDEX] = json.dumps(index).encode()
    chain = layout.custody_file("0198b-0000")
    files[chain] = files[chain].replace(old, hashlib.sha256(new).hexdigest().encode())


def rename_playbook(files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.startswith("data/playbooks/"))
    files["data/playbooks/" + "a" * 64 + ".json"] = files.pop(name)


def another_key(files: dict[str, bytes]) -> None:
    files[layout.PUBLIC_KEY] = b"soar.example/log+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n"


def drop_item(files: dict[str, bytes]) -> None:
    del files[layout.item_file("0198b-0000")], files[layout.custody_file("0198b-0000")]


EVENTS = layout.events_file(STREAM)
CUSTODY = layout.custody_file("0198b-0001")
BIN = layout.item_file("0198b-0001")
FIRST = f"{STREAM}-event-0"
Tamper = tuple[Callable[[dict[str, bytes]], object], str, str]
TAMPERINGS: dict[str, Tamper] = {
    "an event's body changed": (edit_event(4, rewrite_body), "event_not_included", f"{EVENTS}#4"),
    "an event removed": (edit_lines(lambda lines: lines.__delitem__(3)), "event_link_broken", f"{EVENTS}#3"),
    "an event doubled": (edit_lines(lambda lines: lines.insert(3, lines[3])), "event_out_of_place", f"{EVENTS}#4"),
    "two events swapped": (edit_lines(lambda ls: ls.insert(2, ls.pop(3))), "event_out_of_place", f"{EVENTS}#2"),
    "the last events cut off": (edit_lines(lambda ls: ls.__delitem__(slice(6, None))), "proof_foreign", layout.PROOFS),
    "a shown value changed": (
        edit_event(2, lambda row: row["values"]["text"].__setitem__(1, "other")), "event_value_changed", f"{EVENTS}#2",
    ),
    "a salt changed": (
        edit_event(2, lambda row: row["values"]["text"].__setitem__(0, "zz")), "event_value_malformed", f"{EVENTS}#2",
    ),
    "a value made up": (
        edit_event(2, lambda row: row["values"].update(more=["00", 1])), "event_value_changed", f"{EVENTS}#2",
    ),
    "a line that is no event": (edit_lines(lambda ls: ls.append(b"\xff{")), "event_unreadable", f"{EVENTS}#9"),
    "a bottomless event": (
        edit_event(8, lambda row: row.update(body=base64.b64encode(b"[" * 200_000).decode())), "event_unreadable",
        f"{EVENTS}#8",
    ),
    "a proof bent": (edit(layout.PROOFS, lambda p: p[FIRST]["path"].reverse()), "event_not_included", f"{EVENTS}#0"),
    "a proof removed": (edit(layout.PROOFS, lambda p: p.pop(FIRST) and None), "event_unproven", f"{EVENTS}#0"),
    "a proof's place changed": (
        edit(layout.PROOFS, lambda p: p[FIRST].update(leaf_index=0)), "event_not_included", f"{EVENTS}#0",
    ),
    "a checkpoint made up": (
        lambda files: files.update({layout.CHECKPOINT: b"soar.example/log\n5\nAAAA\n"}),
        "note_malformed", layout.CHECKPOINT,
    ),
    "the checkpoint's size changed": (
        lambda files: files.update({layout.CHECKPOINT: files[layout.CHECKPOINT].replace(b"\n16\n", b"\n17\n")}),
        "note_signature_wrong", layout.CHECKPOINT,
    ),
    "another key put in": (another_key, "key_foreign", layout.PUBLIC_KEY),
    "two items' bytes swapped": (swap_bins, "evidence_altered", layout.item_file("0198b-0000")),
    "an item replaced everywhere": (replace_item, "package_signature", "signature.txt"),
    "an item removed": (drop_item, "evidence_missing", layout.item_file("0198b-0000")),
    "an item slipped in": (
        lambda files: files.update({"data/evidence/eve.bin": b"x"}), "index_missing", "data/evidence/eve.bin",
    ),
    "an index entry removed": (edit(layout.INDEX, lambda index: index.pop(1) and None), "index_missing", BIN),
    "an index that climbs": (
        edit(layout.INDEX, lambda index: index[1].update(id="../../x")), "index_entry", f"{layout.INDEX}#1",
    ),
    "a custody entry removed": (edit(CUSTODY, lambda c: c.pop(0) and None), "custody_no_acquisition", f"{CUSTODY}#0"),
    "a custody holder changed": (
        edit(CUSTODY, lambda c: c[1].update({"from": "eve"})), "custody_holder", f"{CUSTODY}#1",
    ),
    "a custody hash changed": (
        edit(CUSTODY, lambda c: c[1].update(hash_before="00" * 32)), "custody_hash_broken", f"{CUSTODY}#1",
    ),
    "a custody time turned back": (
        edit(CUSTODY, lambda c: c[1].update(at="2020-01-01T00:00:00Z")), "custody_time_backwards", f"{CUSTODY}#1",
    ),
    "a custody field made up": (
        edit(CUSTODY, lambda c: c[1].update(extra=1)), "custody_malformed", f"{CUSTODY}#1",
    ),
    "a playbook renamed": (rename_playbook, "playbook_digest", "data/playbooks/" + "a" * 64 + ".json"),
    "the record of actions changed": (
        edit("data/actions.json", lambda _: [{"verb": "release_host"}]), "package_signature", "signature.txt",
    ),
    "the timeline removed": (
        lambda files: files.pop("data/timeline.json"), "package_missing", "data/timeline.json",
    ),
    "the incident made a list": (edit("data/incident.json", lambda _: []), "package_json", "data/incident.json"),
    "the recipient removed": (edit(layout.EXPORT, lambda r: r.update(recipient="")), "export_record", layout.EXPORT),
    "the export's id changed": (edit(layout.EXPORT, lambda r: r.update(id="other")), "export_record", "bag-info.txt"),
    "a program added": (lambda files: files.update({"data/setup.exe": b"MZ"}), "package_unexpected", "data/setup.exe"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_a_rebuilt_package_satisfies_foreign_tools_and_not_us(folder: Path, signer: Ed25519Signer, kind: str) -> None:
    change, code, pointer = TAMPERINGS[kind]
    rebuilt = rebuild(folder, change)
    found = pointers(verify(rebuilt, signer.public_key))
    assert (code, pointer) in found
    assert ("package_signature", "signature.txt") in found or "key" in kind
    assert foreign_verdict(rebuilt) == ""


def test_a_whole_forgery_with_the_forger_s_key_is_found_by_the_key_you_trust(
    contents: PackageContents, vault: FolderVault, signer: Ed25519Signer, tmp_path: Path
) -> None:
    forger = Ed25519Signer.generate(tmp_path / "forger.pem", signer.key_name)
    note = sign(Checkpoint("soar.example/log", 16, bytes(32)), forger)
    forged = replace(contents, streams={}, proofs={}, checkpoint=note, public_key=forger.public_key)
    path = build(forged, vault, tmp_path / "forged.zip", forger)
    assert verify(path).ok, "nothing inside can show it"
    assert {("key_foreign", layout.PUBLIC_KEY), ("note_unsigned", "signature.txt")} <= pointers(
        verify(path, signer.public_key)
    )


def test_a_manifest_with_lies_or_nonsense_is_named(folder: Path) -> None:
    manifest = folder / "manifest-sha512.txt"
    manifest.chmod(0o600)
    manifest.write_bytes(manifest.read_bytes() + b"00  ../../etc/passwd\nnonsense\n")
    info = folder / "bag-info.txt"
    info.chmod(0o600)
    info.write_bytes(info.read_bytes().replace(b"Payload-Oxum: ", b"Payload-Oxum: 9"))
    found = pointers(verify(folder))
    assert ("bag_manifest", "manifest-sha512.txt") in found
    assert ("bag_oxum", "bag-info.txt") in found


def test_nothing_a_package_says_reaches_a_terminal_raw(folder: Path) -> None:
    rebuilt = rebuild(folder, edit(layout.PROOFS, lambda proofs: proofs.update({"\x1b[2J\u202e": {}})))
    assert all(str(each).isprintable() for each in verify(rebuilt).problems)
    assert any("\\x1b" in each.message for each in verify(rebuilt).problems)


# --- packages that are weapons


def zip_of(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def special(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    "name",
    [
        "../up.txt", "/abs.txt", "a/../../b", "a//b", "./a", "C:/x", "a\\..\\b", "con.txt", "a/NUL", "dot.", "sp ace",
        "a:stream", "\u202eexe", "e\u0301", "x" * 300, "-rf", "\x1b[2J", "a/\r\n", "~root",
    ],
)  # fmt: skip
def test_a_zip_with_a_name_that_could_harm_is_refused(tmp_path: Path, name: str) -> None:
    found = verify(zip_of(tmp_path / "p.zip", ("bagit.txt", b""), (name, b"x")))
    assert [each.code for each in found.problems] == ["package_name"]
    assert found.checked == {}


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140666])
def test_a_zip_with_a_link_or_device_is_refused(tmp_path: Path, mode: int) -> None:
    found = verify(zip_of(tmp_path / "p.zip", (special("data/x", mode), b"/etc/passwd")))
    assert [each.code for each in found.problems] == ["package_entry_kind"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_whose_names_clash_is_refused(tmp_path: Path) -> None:
    for number, names in enumerate([("a", "a"), ("data/A", "data/a")]):
        path = zip_of(tmp_path / f"{number}.zip", *((name, b"x") for name in names))
        assert [each.code for each in verify(path).problems] == ["package_name_clash"]


def test_200_mb_of_zeros_in_a_small_zip_are_never_unpacked(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", ("data/zeros", bytes(200_000_000)), how=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 300_000
    assert [each.code for each in verify(path).problems] == ["package_bomb"]


def test_a_zip_that_declares_less_than_it_holds_is_unreadable(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", ("bagit.txt", b""), ("data/x", bytes(5_000_000)), how=zipfile.ZIP_DEFLATED)
    content = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (50_000).to_bytes(4, "little"))
    path.write_bytes(content)
    assert ("package_unreadable", "data/x") in pointers(verify(path))


def test_an_archive_of_a_million_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    record = b"PK\x01\x02" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"a"
    directory = record * 1_000_000
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + len(directory).to_bytes(4, "little") + bytes(6)
    path.write_bytes(directory + end)
    before = time.monotonic()
    assert [each.code for each in verify(path).problems] == ["package_too_large"]
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("place", ["before", "behind", "comment"])
def test_a_zip_that_is_also_something_else_is_refused(whole: Path, tmp_path: Path, place: str) -> None:
    content = whole.read_bytes()
    path = tmp_path / "p.zip"
    if place == "comment":
        path.write_bytes(content[:-2] + b"\x04\x00evil")
    else:
        path.write_bytes(b"#!/bin/sh\n" + content if place == "before" else content + b"evil")
    assert [each.code for each in verify(path).problems] == ["package_unreadable"]


def test_entries_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", ("data/a", b"x" * 1000), ("data/b", b"y" * 1000))
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)
    path.write_bytes(content)
    assert "package_bomb" in {each.code for each in verify(path).problems}


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", ("data/a", b"x"))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert [each.code for each in verify(path).problems] == ["package_entry_kind"]


def test_noise_and_cut_zips_give_problems_and_no_traceback(whole: Path, tmp_path: Path) -> None:
    dice, content = random.Random(3), whole.read_bytes()
    path = tmp_path / "p.zip"
    for _ in range(150):
        broken = bytearray(content[: dice.randrange(len(content))] if dice.random() < 0.3 else content)
        for _ in range(dice.randrange(1, 20)):
            start = dice.choice([0, max(0, len(broken) - 6000)])
            if len(broken) > start:
                broken[dice.randrange(start, len(broken))] = dice.randrange(256)
        path.write_bytes(broken)
        verify(path)
    path.write_bytes(b"")
    assert not verify(path).ok


def test_a_folder_with_a_link_is_refused_and_nothing_behind_it_is_read(folder: Path) -> None:
    (folder / "data" / "link").symlink_to("/etc/passwd")
    assert [(each.code, each.pointer) for each in verify(folder).problems] == [("package_entry_kind", "data/link")]


def test_an_empty_folder_and_no_folder(tmp_path: Path) -> None:
    assert ("package_missing", layout.EXPORT) in pointers(verify(tmp_path))
    with pytest.raises(NotFound):
        verify(tmp_path / "none")
    with pytest.raises(Invalid):
        verify(tmp_path, b"short")


MEASURE = """
import resource, sys
from pathlib import Path
from evidence.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = verify(Path(sys.argv[1]))
print(len(found.problems), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_stays_flat_on_a_large_package(contents: PackageContents, signer: Ed25519Signer, tmp_path: Path) -> None:
    vault = FolderVault(tmp_path / "vault")
    item = stored_item(vault, 1, bytes(64 * 1024 * 1024))
    path = build(replace(contents, items=[item]), vault, tmp_path / "large.zip", signer)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    problems, grown = map(int, done.stdout.split())
    assert problems == 0
    assert grown < 25
    shutil.rmtree(tmp_path / "vault")
    path.unlink()
