"""BagIt 1.0 (RFC 8493): a bag written file by file, and a bag checked in both directions.

Written without changing the working directory, so it is safe in a threaded server. Every payload
file stands in a SHA-256 and a SHA-512 manifest; tag manifests cover the other files, but for
themselves and the signature over them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evidence.reading import Package
from soar.errors import Invalid, Problem

ALGORITHMS = ("sha256", "sha512")
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
INFO = "bag-info.txt"
SIGNATURE = "signature.txt"
SEALED = "tagmanifest-sha256.txt"
"""The file whose digest stands for the whole bag."""
_LINE = re.compile(r"([0-9a-fA-F]+) [ *]?(\S.*)")
_UNLISTED = {SIGNATURE, *(f"tagmanifest-{each}.txt" for each in ALGORITHMS)}


@dataclass(frozen=True, slots=True)
class Fixity:
    """What a file's bytes are: both digests in hex, and how many."""

    sha256: str
    sha512: str
    size: int


class BagWriter:
    """Writes one bag into a new folder; files get mode 0400, folders 0700."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[str, Fixity] = {}

    def add(self, name: str, content: Iterable[bytes]) -> Fixity:
        """Write one file, `name` being its path below the bag; each name once."""
        path = self.folder / name
        for parent in reversed(path.relative_to(self.folder).parents[:-1]):
            (self.folder / parent).mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(handle, "wb") as file:
            self.written[name] = fixity = hashed(_through(content, file.write))
        return fixity

    def finish(self, info: Mapping[str, str]) -> str:
        """Write declaration, bag-info and manifests; returns the SHA-256 of what stands for the whole."""
        payload = [each for name, each in self.written.items() if name.startswith("data/")]
        oxum = {"Payload-Oxum": f"{sum(each.size for each in payload)}.{len(payload)}"}
        self.add("bagit.txt", [DECLARATION])
        self.add(INFO, [f"{label}: {value}\n".encode() for label, value in sorted({**info, **oxum}.items())])
        for prefix, of_payload in (("manifest", True), ("tagmanifest", False)):
            listed = {name: each for name, each in self.written.items() if name.startswith("data/") is of_payload}
            for algorithm in ALGORITHMS:
                lines = (f"{getattr(listed[name], algorithm)}  {name}\n".encode() for name in sorted(listed))
                self.add(f"{prefix}-{algorithm}.txt", lines)
        return self.written[SEALED].sha256


def hashed(chunks: Iterable[bytes]) -> Fixity:
    """Both digests and the size of a stream."""
    short, long, size = hashlib.sha256(), hashlib.sha512(), 0
    for chunk in chunks:
        short.update(chunk)
        long.update(chunk)
        size += len(chunk)
    return Fixity(short.hexdigest(), long.hexdigest(), size)


def check(package: Package) -> tuple[dict[str, Fixity], list[Problem]]:
    """Hash every file once and compare with the manifests; returns what was found, and every problem."""
    found: dict[str, Fixity] = {}
    problems: list[Problem] = []
    for name in sorted(package.sizes):
        try:
            found[name] = hashed(package.chunks(name))
        except Invalid as error:
            problems += error.problems
    for prefix in ("manifest", "tagmanifest"):
        problems += _compare(package, found, prefix)
    problems += _declared(package, found)
    if "bagit.txt" not in found or package.document("bagit.txt", 1024) != DECLARATION:
        problems.append(Problem(code="bag_declaration", message="is no BagIt 1.0 declaration", pointer="bagit.txt"))
    return found, problems


def info(package: Package) -> dict[str, str]:
    """The labels of bag-info.txt; raises Invalid where it cannot be read."""
    try:
        lines = package.document(INFO, 64 * 1024).decode().splitlines()
    except UnicodeDecodeError as error:
        raise Invalid(problems=[Problem(code="bag_info", message="cannot be read", pointer=INFO)]) from error
    pairs = (line.partition(": ") for line in lines)
    return {label: value for label, _, value in pairs}


def _through(content: Iterable[bytes], write: Callable[[bytes], object]) -> Iterator[bytes]:
    for chunk in content:
        write(chunk)
        yield chunk


def _compare(package: Package, found: Mapping[str, Fixity], prefix: str) -> list[Problem]:
    """Missing, extra and altered files of payload or tags, each named once."""
    mine = {n for n in package.sizes if n.startswith("data/") is (prefix == "manifest")} - _UNLISTED
    faults: dict[tuple[str, str], str] = {}
    problems: list[Problem] = []
    for algorithm in ALGORITHMS:
        manifest = f"{prefix}-{algorithm}.txt"
        if manifest not in found:
            problems.append(Problem(code="bag_missing", message="is missing or unreadable", pointer=manifest))
            continue
        listed, unreadable = _listed(package, manifest)
        problems += unreadable
        for name in listed.keys() - package.sizes.keys():
            faults.setdefault(("bag_missing", name), f"stands in {manifest} and is not there")
        for name in mine - listed.keys():
            faults.setdefault(("bag_extra", name), f"does not stand in {manifest}")
        for name in listed.keys() & found.keys():
            if getattr(found[name], algorithm) != listed[name]:
                faults.setdefault(("bag_altered", name), f"is not what {manifest} says")
    ordered = sorted(faults.items(), key=lambda fault: fault[0][::-1])
    return problems + [Problem(code=code, message=why, pointer=name) for (code, name), why in ordered]


def _listed(package: Package, manifest: str) -> tuple[dict[str, str], list[Problem]]:
    digests: dict[str, str] = {}
    problems: list[Problem] = []
    payload = manifest.startswith("manifest")
    for number, line in enumerate(package.lines(manifest), 1):
        match = _LINE.fullmatch(line.decode("utf-8", "replace"))
        name = match[2] if match else ""
        if not match or name in digests or name.startswith("data/") is not payload:
            problem = Problem(code="bag_manifest", message="this line is refused", pointer=manifest, line=number)
            problems.append(problem)
        else:
            digests[name] = match[1].lower()
    return digests, problems


def _declared(package: Package, found: Mapping[str, Fixity]) -> list[Problem]:
    if INFO not in found:
        return [Problem(code="bag_missing", message="is missing or unreadable", pointer=INFO)]
    payload = [each for name, each in found.items() if name.startswith("data/")]
    oxum = f"{sum(each.size for each in payload)}.{len(payload)}"
    try:
        said = info(package).get("Payload-Oxum", "nothing")
    except Invalid as error:
        return list(error.problems)
    if said == oxum:
        return []
    message = f"says Payload-Oxum {said}, and the payload is {oxum}"
    return [Problem(code="bag_oxum", message=message, pointer=INFO)]
