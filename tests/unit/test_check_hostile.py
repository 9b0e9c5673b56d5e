"""Files made to hurt: each is answered at once, in little memory, with an error that says what is wrong."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Mapping

import pytest

from soar.playbook.checks.codes import MEANINGS, Severity
from soar.playbook.checks.examine import EXAMINERS
from soar.playbook.checks.remarks import Remark, worst
from tests.repo.checks_examples import patched

MILLION = 1_000_000
FILES: Mapping[str, tuple[str, bytes, str]] = {
    "lists a hundred thousand deep": (".yaml", b"[" * 100_000, "too_deep"),
    "dashes a hundred thousand deep": (".yaml", b"- " * 100_000, "too_deep"),
    "mappings a hundred thousand deep": (".yaml", b"{a: " * 100_000, "too_deep"),
    "lists a hundred thousand deep in JSON": (".json", b"[" * 100_000, "too_deep"),
    "objects a hundred thousand deep in JSON": (".json", b'{"a":' * 100_000, "too_deep"),
    "a text of 10 MB": (".yaml", b"id: " + b"a" * 10 * MILLION, "too_large"),
    "a quoted text of 10 MB": (".yaml", b'id: "' + b"a" * 10 * MILLION + b'"', "too_large"),
    "a text of 10 MB in JSON": (".json", b'{"id":"' + b"a" * 10 * MILLION + b'"}', "too_large"),
    "a name of 1 MB": (".yaml", b"id: " + b"a" * MILLION, "bad_name"),
    "a million keys": (".yaml", b"".join(b"k%d: 1\n" % each for each in range(MILLION)), "too_large"),
    "a million keys in JSON": (
        ".json", b"{" + b",".join(b'"k%d":1' % each for each in range(MILLION)) + b"}", "too_large",
    ),
    "as many keys as fit": (".yaml", b"".join(b"k%d: 1\n" % each for each in range(90_000)), "too_many_nodes"),
    "one key again and again": (".yaml", b"a: 1\n" * 200_000, "duplicate_key"),
    "one name again and again in JSON": (".json", b"{" + b",".join([b'"k":1'] * 20_000) + b"}", "duplicate_key"),
    "aliases of aliases": (
        ".yaml", b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(2_000)), "alias",
    ),
    "a file of anchors": (".yaml", b"&a " * 300_000, "anchor"),
    "a tag that would run a command": (".yaml", b"a: !!python/object/apply:os.system [ls]\n", "tag"),
    "merge keys": (".yaml", b"a: {<<: {b: 1}}\n", "merge_key"),
    "NUL": (".yaml", b"id: a\0b", "control_character"),
    "NUL, escaped": (".yaml", b'id: "a\\0b"', "control_character"),
    "NUL in JSON": (".json", b'{"id": "a\\u0000b"}', "control_character"),
    "a lone surrogate": (".yaml", b"id: \xed\xa0\x80", "not_utf8"),
    "a lone surrogate, escaped": (".yaml", b'id: "\\ud800"', "syntax"),
    "a lone surrogate in JSON": (".json", b'{"id": "\\ud800"}', "lone_surrogate"),
    "surrogates without end in JSON": (".json", b'["' + b"\\ud800" * 170_000 + b'"]', "lone_surrogate"),
    "a number of a million digits": (".json", b"1" * MILLION, "number_too_long"),
    "a line that hides another": (".yaml", "id: a\u2028steps: []".encode(), "control_character"),
    "a mark in front": (".json", b"\xef\xbb\xbf{}", "byte_order_mark"),
    "NaN": (".json", b'{"delay": NaN}', "not_finite"),
    "half a file": (".json", b'{"type": "playbook", "workfl', "syntax"),
    "question marks": (".yaml", b"? " * 200_000, "key_not_text"),
    "two documents": (".yaml", b"id: a\n---\nid: b\n", "several_documents"),
    "a file of tabs": (".yaml", b"\t" * MILLION, "syntax"),
    "nothing": (".yaml", b"", "empty"),
    "nothing in JSON": (".json", b"", "empty"),
}  # fmt: skip
LONGEST = 0.25
MOST_MEMORY = 16 * MILLION


def examined(suffix: str, text: bytes) -> list[Remark]:
    return EXAMINERS[suffix](text, None)


@pytest.mark.alone
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_at_once_in_little_memory(name: str) -> None:
    suffix, text, code = FILES[name]
    taken = []
    for _ in range(3):
        began = time.process_time()
        found = examined(suffix, text)
        taken.append(time.process_time() - began)
    tracemalloc.start()
    examined(suffix, text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{min(taken) * 1_000:.0f} ms, {peak / MILLION:.1f} MB: {code}")
    assert code in {each.code for each in found}
    assert worst(found) is Severity.ERROR
    assert all(len(each.message) < 300 and len(each.pointer) <= 600 for each in found)
    assert all(each.line for each in found)
    assert min(taken) < LONGEST
    assert peak < MOST_MEMORY


MISTAKES: Mapping[str, tuple[str, bytes]] = {
    "steps that are words": (".yaml", b"id: a\nsteps:\n" + b"- x\n" * 9_000),
    "verbs that do not exist": (".yaml", b"id: a\nsteps:\n" + b"- {do: x}\n" * 6_000),
    "references to nothing": (".yaml", b"id: a\nsteps: [{manual: '" + b"$a " * 100_000 + b"'}]"),
    "keys that do not exist": (
        ".yaml", b"id: a\nsteps:\n- manual: x\n" + b"".join(b"  x%d: 1\n" % n for n in range(9_000)),
    ),
    "conditions without end": (
        ".yaml",
        b"id: a\nsteps:\n" + b"".join(
            b'- {if: "%s", then: [{manual: A}]}\n' % b" OR ".join(b"alert:x%dy%d = %d" % (n, i, i) for i in range(150))
            for n in range(200)
        ),
    ),
    "steps of no type": (
        ".json", b'{"type":"playbook","spec_version":"cacao-2.0","workflow":{' +
        b",".join(b'"a%d":{}' % each for each in range(20_000)) + b"}}",
    ),
    "underscores": (".json", b'{"type":"playbook","spec_version":"cacao-2.0","id":"' + b"_" * 900_000 + b'"}'),
}  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_is_all_mistakes_does_not_take_all_day(name: str) -> None:
    suffix, text = MISTAKES[name]
    began = time.process_time()
    found = examined(suffix, text)
    taken = time.process_time() - began
    print(f"{taken * 1_000:.0f} ms, {len(found)} remarks")
    assert worst(found) is Severity.ERROR
    assert {each.code for each in found} <= set(MEANINGS)
    assert taken < 3


SECRETS = ["a" * 900_000, "_" * 900_000, "password " * 100_000, "- " * 400_000, "A" * 900_000, "://a" * 200_000,
           "Authorization: " * 60_000, "-----BEGIN " * 80_000, "__a__:value" * 80_000, "'a" * 200_000]  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("text", SECRETS, ids=[each[:12] for each in SECRETS])
def test_looking_for_secrets_takes_no_longer_than_reading(text: str) -> None:
    step = {"commands": [{"type": "bash", "command": text}], "timeout": -1}
    document = json.dumps(patched({"workflow": {"ACTION": step}})).encode()
    began = time.process_time()
    found = examined(".json", document)
    taken = time.process_time() - began
    print(f"{taken * 1_000:.0f} ms")
    assert taken < 2
    assert "out_of_range" in {each.code for each in found}
