"""The process that compiles rules and scans bytes, apart from everything else and with hard limits.

Started by `evidence.yara_scan` as a file of its own. Reads one request as JSON from standard input:
`rules` (paths) or `text` (one rule text), `fd` (an open file to scan, or null to compile only), `timeout`
(seconds), `memory` (octets); writes one answer to standard output: `{"rules": [...]}` or `{"error": {...}}`.
Hostile rules and hostile bytes can cost it its life, and nothing more.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
from pathlib import Path
from typing import Any

COMPILE_SECONDS = 10
_PLACE = re.compile(r"\((\d+)\)|^line (\d+)")


def limit(timeout: float, memory: int) -> None:
    """Bound processor time and memory; no file is written, no core dumped."""
    seconds = math.ceil(timeout) + COMPILE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Compile, and scan where asked to. Every rule file that does not compile is named."""
    import yara

    faults, sets = [], []
    sources = [{"source": request["text"]}] if "text" in request else [{"filepath": path} for path in request["rules"]]
    for source in sources:
        try:
            sets.append(yara.compile(**source, includes=False))
        except yara.SyntaxError as error:
            path = source.get("filepath", "")
            place = _PLACE.search(str(error).removeprefix(path))
            line = max(1, int(place[1] or place[2])) if place else None
            message = str(error).removeprefix(path).partition(": ")[2] or str(error)
            faults.append({"code": "yara_rule", "message": message, "pointer": Path(path).name, "line": line})
    if faults:
        return {"error": {"kind": "rules", "faults": faults}}
    if request["fd"] is None:
        return {"rules": []}
    hits: set[str] = set()
    try:
        for rules in sets:
            found = rules.match(
                filepath=f"/dev/fd/{request['fd']}",
                timeout=max(1, math.ceil(request["timeout"])),
                console_callback=_unheard,
            )
            hits |= {match.rule for match in found}
    except yara.TimeoutError:
        return {"error": {"kind": "timeout"}}
    except yara.Error as error:
        return {"error": {"kind": "scan", "message": str(error)}}
    return {"rules": sorted(hits)}


def _unheard(_message: str) -> None:
    """A rule may not write on standard output: the answer stands there."""


def main() -> None:
    """One request, one answer."""
    request = json.load(sys.stdin)
    limit(request["timeout"], request["memory"])
    json.dump(answer(request), sys.stdout)


if __name__ == "__main__":
    main()
