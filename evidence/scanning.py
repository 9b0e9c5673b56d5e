"""What scans of evidence share: each item copied out of the vault, judged by a child process, accounted for.

A rule or an item from outside can cost the child its life, and nothing more. An item that was not scanned
is never called clean: where there is one, the whole call is Rejected and names it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from evidence.yara_child import COMPILE_SECONDS
from soar.errors import Invalid, NotFound, Problem, Unavailable
from soar.model import Call, JsonObject, StoredItem
from soar.ports import NotSent, Rejected, Sink

CHUNK = 1024 * 1024
MAX_ITEMS = 1000
AT_ONCE = max(2, min(4, os.cpu_count() or 2))
"""How many items are scanned at the same time, each in a child of its own."""
MAX_RULE = 262_144
"""Longest rule text of a command, in octets."""
_NAMED = 20
"""How many items that were not scanned a message names."""

Found = TypeVar("Found")


def items_of(call: Call) -> Sequence[str]:
    """The ids in the parameter `evidence`; raises Rejected where there are none, or too many."""
    ids = call.params.get("evidence")
    if not isinstance(ids, list | tuple) or not ids or not all(isinstance(each, str) for each in ids):
        raise Rejected("there is no evidence to scan: evidence must list the ids of one item or more")
    if len(ids) > MAX_ITEMS:
        raise Rejected(f"at most {MAX_ITEMS} items are scanned in one call")
    return ids


def rule_of(call: Call) -> str:
    """The rule text of a CACAO command; raises Rejected."""
    command = call.params.get("command")
    text = command.get("command") if isinstance(command, dict) else None
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise Rejected("the command holds no rule text")
    if len(text.encode("utf-8", "replace")) > MAX_RULE:
        raise Rejected(f"the rule is longer than {MAX_RULE} octets")
    return text


def scan_all(ids: Sequence[str], scan: Callable[[str], Found], hits: Callable[[Found], int]) -> list[Found]:
    """What each item gave, in order. Raises Rejected that names every item that was not scanned.

    `scan` raises Rejected where it cannot scan its item; `hits` counts what it found in one. A rule that cannot
    be used (Invalid) is Rejected with its problems; NotSent goes through.
    """
    done: list[Found] = []
    failed: list[str] = []

    def one(ident: str) -> Found | Rejected:
        try:
            return scan(ident)
        except Rejected as error:
            return error

    try:
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="scan") as pool:
            for ident, found in zip(ids, pool.map(one, ids), strict=True):
                if isinstance(found, Rejected):
                    failed.append(f"{ident} ({found.message})")
                else:
                    done.append(found)
    except Invalid as error:
        raise Rejected(f"the rule cannot be used: {error.message}", problems=error.problems) from error
    if failed:
        more = [f"{len(failed) - _NAMED} more"] if len(failed) > _NAMED else []
        rest = f"; hits in the others: {sum(map(hits, done))}" if done else ""
        raise Rejected(f"{len(failed)} of {len(ids)} items were not scanned: {', '.join(failed[:_NAMED] + more)}{rest}")
    return done


@contextmanager
def copy_of(sink: Sink, ident: str, max_bytes: int) -> Iterator[tuple[StoredItem, IO[bytes], int]]:
    """An item, an unnamed copy of it, and its size. Raises Rejected for one unknown or over the size, NotSent."""
    try:
        stored = sink.describe(ident)
        with tempfile.TemporaryFile() as copy:
            size = 0
            with sink.open(ident) as content:
                while chunk := content.read(CHUNK):
                    size += len(chunk)
                    if size > max_bytes:
                        raise Rejected(f"it is larger than {max_bytes} octets")
                    copy.write(chunk)
            copy.flush()
            copy.seek(0)
            yield stored, copy, size
    except NotFound as error:
        raise Rejected(error.message) from error
    except Unavailable as error:
        raise NotSent(f"item {ident} was not scanned: {error.message}") from error
    except OSError as error:
        raise NotSent(f"item {ident} was not scanned: {error.strerror}") from error


def ask(child: Path, request: JsonObject, item: IO[bytes] | None) -> JsonObject:
    """Hand one request to a child, with an open file where it has one; its answer.

    The request says `timeout` in seconds, and gets `fd`, the number of that file. Raises Rejected where the child
    died, took longer or answered nonsense, Invalid with the faults of a rule, NotSent where it cannot be started.
    """
    timeout = request["timeout"]
    fds = [] if item is None else [item.fileno()]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and our own file
            [sys.executable, "-I", str(child)],
            input=json.dumps({**request, "fd": fds[0] if fds else None}).encode(),
            capture_output=True,
            pass_fds=fds,
            timeout=timeout + COMPILE_SECONDS + 1,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Rejected(f"the scan did not end within {timeout:g} s") from error
    except OSError as error:
        raise NotSent(f"the scanner cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        raise Rejected(f"the scanner died (exit {done.returncode}): {done.stderr[-200:].decode('utf-8', 'replace')}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise Rejected("the scanner's answer cannot be understood") from error
    if "error" in answer:
        _refuse(answer["error"], timeout)
    return dict(answer)


def _refuse(error: JsonObject, timeout: float) -> None:
    if error["kind"] == "rules":
        raise Invalid(problems=[Problem(**fault) for fault in error["faults"]])
    if error["kind"] == "timeout":
        raise Rejected(f"the scan did not end within {timeout:g} s")
    raise Rejected(f"the scan failed: {error['message']}")
