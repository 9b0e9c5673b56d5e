"""The habits of the house, measured: layers, sizes, names, errors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.repo.checkout import PACKAGES, ROOT, modules, tracked

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
BROAD = {
    "soar/registry.py": "whatever a foreign module raises must not stop the others",
    "soar/store/session.py": "handed to the thread that asked, whatever it is",
    "soar/engine/contact.py": "around the adapter call: an adapter may break in any way",
    "soar/engine/due.py": "the poller's last handler: one timer that breaks must not stop the others",
    "soar/engine/runner.py": "the worker's last handler: a step that breaks must not take the worker along",
    "api/edge.py": "the last handler of the HTTP door",
}
"""The only places where everything is caught, and why."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_each_package_imports_only_what_lies_below_it() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = [Path(name) for name in tracked() if name.endswith(".py")]
    assert [str(name) for name in names if {*name.with_suffix("").parts} & VAGUE] == []


def test_no_file_is_longer_than_a_sitting() -> None:
    lengths = {name: len(text.splitlines()) for name, text in modules()}
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def functions(name: str, text: str) -> Iterator[tuple[str, int]]:
    """Each function of a module and its length in lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield f"{name}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_function_fits_a_screen() -> None:
    found = [
        f"{what}: {length}" for each in modules() for what, length in functions(*each) if length > LONGEST_FUNCTION
    ]
    assert found == []


def catches_all(text: str) -> bool:
    """Whether a module has an `except` for everything. One that ends in a bare `raise` keeps nothing, and is none."""
    for node in ast.walk(ast.parse(text)):
        passes = isinstance(node, ast.ExceptHandler) and ast.dump(node.body[-1]) == ast.dump(ast.Raise())
        if isinstance(node, ast.ExceptHandler) and not passes:
            caught = {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)} if node.type else {"*"}
            if caught & {"*", "Exception", "BaseException"}:
                return True
    return False


def test_everything_is_caught_only_in_the_places_that_say_why() -> None:
    assert {name for name, text in modules() if catches_all(text)} == set(BROAD)


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [f"{name}:{at}" for name, text in modules(tests=True) for at, line in enumerate(text.splitlines(), 1)
             if later.search(line)]  # fmt: skip
    assert found == []


def passed_on(text: str) -> set[str]:
    """Names of ours that a module imports at its top and does not use itself."""
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] in PACKAGES):
            imported |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            imported.add("__all__")
    return imported - used | ({"__all__"} & imported)


def test_no_package_passes_on_names_of_its_modules() -> None:
    found = {name: passed_on(text) for name, text in modules() if name.endswith("/__init__.py")}
    assert len(found) > 5
    assert {name: names for name, names in found.items() if names} == {}


def test_what_these_tests_look_for_would_be_seen() -> None:
    assert passed_on("from soar.model import Alert\n") == {"Alert"}
    assert passed_on("from soar.model import Alert\n__all__ = ['Alert']\n") == {"Alert", "__all__"}
    assert passed_on("from soar.model import Alert\n\ndef f() -> Alert: ...\n") == set()
    assert catches_all("try:\n    f()\nexcept (ValueError, Exception):\n    pass\n")
    assert catches_all("try:\n    f()\nexcept:\n    raise ValueError\n")
    assert not catches_all("try:\n    f()\nexcept ValueError:\n    pass\n")
    assert not catches_all("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")
