"""Reads an evidence package from a stranger: a zip or a folder, with nothing unpacked and nothing followed.

A package is refused as a whole when its names or sizes could harm whoever unpacks it: paths that
climb, links, names that clash, overlapping or encrypted entries, declared bombs, too many entries.
What is left is read in chunks, so memory stays flat whatever the size.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from soar.errors import Invalid, NotFound, Problem, TooLarge

CHUNK = 1024 * 1024
MAX_ENTRIES = 100_000
MAX_DIRECTORY = 64 * 1024 * 1024
MAX_TOTAL = 16 * 1024**4
MAX_RATIO = 100
MAX_DOCUMENT = 64 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(?<!\.)")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


class Package(ABC):
    """The files of one package: `sizes` maps a path below the bag's base folder to its octets."""

    sizes: Mapping[str, int]

    @abstractmethod
    def _open(self, name: str) -> IO[bytes]: ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes, piece by piece; raises Invalid where they cannot be read."""
        try:
            with self._open(name) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except _READ_ERRORS as error:
            raise _refuse("package_unreadable", f"cannot be read: {error}", name) from error

    def document(self, name: str, limit: int = MAX_DOCUMENT) -> bytes:
        """A small file as a whole; raises Invalid where it is missing, or TooLarge over the limit."""
        if name not in self.sizes:
            raise _refuse("package_missing", "is missing", name)
        if self.sizes[name] > limit:
            raise TooLarge(problems=[_problem("package_too_large", f"is over {limit} octets", name)])
        return b"".join(self.chunks(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their newline; raises TooLarge on a line over MAX_LINE."""
        try:
            with self._open(name) as file:
                while line := file.readline(MAX_LINE + 1):
                    if len(line) > MAX_LINE:
                        raise TooLarge(problems=[_problem("package_too_large", "has an overlong line", name)])
                    yield line.removesuffix(b"\n")
        except _READ_ERRORS as error:
            raise _refuse("package_unreadable", f"cannot be read: {error}", name) from error

    def json(self, name: str) -> Any:
        """A file as JSON; raises Invalid."""
        try:
            return parse(self.document(name))
        except ValueError as error:
            raise _refuse("package_json", f"is no JSON: {error}", name) from error


def parse(text: bytes) -> Any:
    """JSON without NaN, doubled names or bottomless nesting; raises ValueError.

    Not `soar.strict_json`: names of evidence may hold NUL and half surrogate pairs, which that one
    refuses, and here they must come through as they were.
    """
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


@contextmanager
def reading(path: Path) -> Iterator[Package]:
    """The package at a path, zip or folder; raises NotFound, or Invalid with all reasons to refuse it."""
    if not path.exists():
        raise NotFound(f"there is no package at {path}")
    with ExitStack() as stack:
        try:
            package = _Folder(path) if path.is_dir() else _zip(path, stack)
        except (*_READ_ERRORS, ValueError) as error:
            raise _refuse("package_unreadable", f"is no zip that can be read: {error}") from error
        yield package


def _zip(path: Path, stack: ExitStack) -> Package:
    file = stack.enter_context(path.open("rb"))
    _check_end(file)
    return _Zip(stack.enter_context(zipfile.ZipFile(file)))


class _Folder(Package):
    def __init__(self, root: Path) -> None:
        sizes: dict[str, int] = {}
        problems: list[Problem] = []
        waiting = [root]
        while waiting and len(sizes) <= MAX_ENTRIES:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    name = Path(entry.path).relative_to(root).as_posix()
                    mode = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(mode.st_mode):
                        waiting.append(Path(entry.path))
                    elif stat.S_ISREG(mode.st_mode):
                        sizes[name] = mode.st_size
                    else:
                        problems.append(_problem("package_entry_kind", "is a link or a device", name))
        _check_names(sizes, problems)
        self._root, self._base = root, _base(sizes)
        self.sizes = {name.removeprefix(self._base): size for name, size in sizes.items()}

    def _open(self, name: str) -> IO[bytes]:
        path = self._root / (self._base + name)
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


class _Zip(Package):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        problems = [*_clashes([each.orig_filename for each in entries])]
        for each in entries:
            problems += [_problem(code, message, each.orig_filename) for code, message in _entry_faults(each)]
        problems += _overlaps(entries)
        sizes = {each.orig_filename: each.file_size for each in entries if not each.orig_filename.endswith("/")}
        _check_names(sizes, problems)
        self._archive, self._base = archive, _base(sizes)
        self.sizes = {name.removeprefix(self._base): size for name, size in sizes.items()}

    def _open(self, name: str) -> IO[bytes]:
        return self._archive.open(self._base + name)


def _check_end(file: IO[bytes]) -> None:
    """Refuse, before the directory is read into memory, an archive that is too rich or not only a zip.

    The end record must close the file and point back over the directory without a gap, so that
    every reader sees the same entries (PKWARE APPNOTE 4.3.14 to 4.3.16).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - 20 - _END64.size))
    tail = file.read()
    end = tail[-_END.size :]
    if len(end) < _END.size or end[:4] != b"PK\x05\x06" or end[-2:] != b"\0\0":
        raise _refuse("package_unreadable", "is no zip, or something stands behind it")
    entries, octets, offset = _END.unpack(end)[4:7]
    closing = _END.size
    if tail[-_END.size - 20 :][:4] == b"PK\x06\x07":
        closing += 20 + _END64.size
        wide = tail[-closing:][: _END64.size]
        if len(wide) < _END64.size or wide[:4] != b"PK\x06\x06":
            raise _refuse("package_unreadable", "its ZIP64 end record is not where it must be")
        entries, octets, offset = _END64.unpack(wide)[7:10]
    if entries > MAX_ENTRIES or octets > MAX_DIRECTORY:
        raise TooLarge(problems=[_problem("package_too_large", f"has over {MAX_ENTRIES} entries")])
    if offset + octets + closing != size:
        raise _refuse("package_unreadable", "has bytes that belong to no entry")
    file.seek(offset)
    if file.read(octets).count(b"PK\x01\x02") > MAX_ENTRIES:
        raise TooLarge(problems=[_problem("package_too_large", f"has over {MAX_ENTRIES} entries")])


def _entry_faults(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    folder = entry.orig_filename.endswith("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        yield "package_entry_kind", "is a link or a device"
    if entry.flag_bits & 0x1:
        yield "package_entry_kind", "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield "package_entry_kind", "is compressed in a way that is not read here"
    if entry.file_size > CHUNK and entry.file_size > MAX_RATIO * entry.compress_size:
        yield "package_bomb", f"grows more than {MAX_RATIO} times"
    if folder and _bad_name(entry.orig_filename.removesuffix("/")):
        yield "package_name", "this name is refused"


def _overlaps(entries: list[zipfile.ZipInfo]) -> Iterator[Problem]:
    """Entries that share bytes, as bombs of one kernel do."""
    free = 0
    for each in sorted(entries, key=lambda entry: entry.header_offset):
        if each.header_offset < free:
            yield _problem("package_bomb", "shares bytes with another entry", each.orig_filename)
        free = each.header_offset + 30 + len(each.orig_filename) + each.compress_size


def _clashes(names: list[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            yield _problem("package_name_clash", "stands there twice, or differs in case alone", name)
        seen.add(name.casefold())


def _check_names(sizes: Mapping[str, int], problems: list[Problem]) -> None:
    """Raise Invalid with the problems so far, and with those of names and sizes."""
    problems += [_problem("package_name", "this name is refused", name) for name in sizes if _bad_name(name)]
    known = {str(each.pointer) for each in problems if each.code == "package_name_clash"}
    problems += [each for each in _clashes(list(sizes)) if each.pointer not in known]
    if len(sizes) > MAX_ENTRIES or sum(sizes.values()) > MAX_TOTAL:
        problems.append(_problem("package_too_large", "has too many entries or octets"))
    if problems:
        raise Invalid("the package is refused", problems)


def _bad_name(name: str) -> bool:
    parts = name.split("/")
    return len(name) > 400 or any(not _SEGMENT.fullmatch(part) or _RESERVED.fullmatch(part) for part in parts)


def _base(sizes: Mapping[str, int]) -> str:
    """The one folder that holds everything (RFC 8493 section 4), or nothing for a bare bag."""
    tops = {name.partition("/")[0] for name in sizes}
    return f"{tops.pop()}/" if len(tops) == 1 and "bagit.txt" not in sizes else ""


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _problem(code: str, message: str, pointer: str = "") -> Problem:
    return Problem(code=code, message=message, pointer=pointer)


def _refuse(code: str, message: str, pointer: str = "") -> Invalid:
    return Invalid(problems=[_problem(code, message, pointer)])
