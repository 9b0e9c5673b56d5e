"""Rehearsals as JUnit XML, which continuous integration reads: a suite for each file, a test for each case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from api.cli import clean

if TYPE_CHECKING:
    from api.cli.rehearse import Tried, Walked

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) cannot hold."""


def document(tried: Sequence[Tried], poor: Sequence[Walked], wanted: float) -> str:
    """The whole report. A file that is not right is an error, a playbook of which too little was walked a failure."""
    root = Element("testsuites", name="soar playbook rehearse")
    for one in tried:
        _suite(root, one)
    for book in poor:
        suite = SubElement(root, "testsuite", name="coverage", tests="1", failures="1", errors="0")
        found = book.coverage()
        said = f"{found.per_cent:g} % walked, {wanted:g} % wanted"
        test = SubElement(suite, "testcase", name="coverage", classname=_text(book.rehearsal.playbook.name))
        SubElement(test, "failure", message=said).text = _text("\n".join(f"never: {edge}" for edge in found.missed))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name) or 0) for suite in root)))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, one: Tried) -> None:
    from api.cli.rehearse import name_of, problem_of, told

    bad = sum(not each.as_expected for each in one.shown)
    suite = SubElement(
        root, "testsuite", name=_text(str(one.file)), tests=str(len(one.shown) or 1), failures=str(bad),
        errors="1" if one.problems else "0", time=f"{one.seconds:.3f}",
    )  # fmt: skip
    if one.problems:
        test = SubElement(suite, "testcase", name="read", classname=_text(one.file.stem))
        error = SubElement(test, "error", message=_text(one.problems[0].message))
        error.text = _text("\n".join(problem_of(one.file, each) for each in one.problems))
    for each in one.shown:
        book = name_of(one.rehearsal.playbook) if one.rehearsal else ""
        test = SubElement(
            suite, "testcase", name=_text(each.case.name), classname=_text(book), file=_text(str(one.file)),
            line=str(each.case.line), time=f"{one.seconds / len(one.shown):.3f}",
        )  # fmt: skip
        if each.differences:
            said = f"{len(each.differences)} difference(s): {', '.join(one.what for one in each.differences)}"
            failure = SubElement(test, "failure", message=_text(said))
            failure.text = _text("\n".join(told(difference) for difference in each.differences))


def _text(said: str) -> str:
    return _NOT_XML.sub("", clean.text(said))
