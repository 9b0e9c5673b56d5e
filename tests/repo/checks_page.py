"""Writes `docs/checks.md` from the codes: `python -m tests.repo.checks_page > docs/checks.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from soar.playbook.checks.codes import ERRORS, MEANINGS, NOTES, WARNINGS
from tests.repo.checks_examples import BASE, EXAMPLES

HEAD = """\
# Checks

What `soar playbook check` says. It reads YAML and CACAO 2.0 (`.json`), needs no server, and tells everything at once:

```sh
soar playbook check my-playbook.yaml                 # file:line:col: severity: code: what is wrong. How to mend it.
soar playbook check -o sarif playbooks/*.yaml        # SARIF 2.1.0, for code hosts and editors
soar playbook check --fail-on warning playbooks/*    # warnings fail too; the default is error
soar playbook check --adapters my-playbook.yaml      # asks too whether the adapters of the settings can do it
```

The exit code is 0 when nothing reached `--fail-on`, 6 when something did, 3 when the files were not there.

- An **error** is a playbook that no run could carry out as it is written, that means something other than it says, or
  that would do harm which nothing catches. It is refused, here and by the server.
- A **warning** runs, but a guard will stop it, or a reviewer should know.
- A **note** is legal and worth knowing.

Rules of order hold *on every path*: one way around the evidence, through a handler or an `if` without `else`, is enough
for a warning. A circle of steps is refused, in foreign playbooks too; only `while` repeats. A `while` of a foreign
playbook has no bound in CACAO's words: it ends after 100 turns, and a warning says so.

Codes are stable. This page is made from `soar/playbook/checks/codes.py`, and each example is tried by a test. Examples
in braces are changes to this CACAO playbook, in which short words stand for ids:

"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "```json\n", json.dumps(BASE, indent=1), "\n```\n"]
    for heading, codes in ERRORS.items():
        parts += [f"\n## {heading}\n\nErrors.\n\n", *_table(codes)]
    parts += ["\n## Warnings\n\n", *_table(WARNINGS), "\n## Notes\n\n", *_table(NOTES)]
    return "".join(parts)


def _table(codes: Iterable[str]) -> Iterable[str]:
    yield "| code | meaning | example |\n|---|---|---|\n"
    for code in codes:
        yield f"| `{code}` | {MEANINGS[code]} | {_shown(code)} |\n"


def _shown(code: str) -> str:
    example = EXAMPLES[code]
    if example.said:
        return example.said
    text = example.wrong if isinstance(example.wrong, str) else example.wrong.decode("ascii", "backslashreplace")
    return "<br>".join(f"`{line}`" for line in text.replace("|", "\\|").splitlines())


if __name__ == "__main__":
    print(page(), end="")
