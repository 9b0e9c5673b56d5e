"""Finds adapters and sources by scanning a package; a broken one is a listed failure, not a dead process.

A connectable module has `KIND`, a pydantic `Config` and `connect(name, config)`. A source module
has `KIND` and `source()`. Other modules of the folder are passed over.
"""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from soar.errors import Invalid, NotFound, Problem
from soar.ports import Adapter, Source
from soar.verbs import VERBS


@dataclass(frozen=True, slots=True)
class Failure:
    """A module that could not be used, with the reason and the whole trace for its author."""

    module: str
    reason: str
    trace: str


@dataclass(slots=True)
class Registry:
    """What was found: kinds of adapters, kinds of sources, and what failed."""

    adapters: dict[str, ModuleType] = field(default_factory=dict)
    sources: dict[str, ModuleType] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def scan(self, package: ModuleType) -> None:
        """Take in each module directly below a package."""
        for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            try:
                module = importlib.import_module(found.name)
            except Exception as error:  # noqa: BLE001 - whatever a foreign module raises must not stop the others
                self.failures.append(Failure(found.name, f"{type(error).__name__}: {error}", traceback.format_exc()))
                continue
            if hasattr(module, "connect"):
                self._add(self.adapters, module, ("KIND", "Config"))
            elif hasattr(module, "source"):
                self._add(self.sources, module, ("KIND",))

    def _add(self, into: dict[str, ModuleType], module: ModuleType, needs: tuple[str, ...]) -> None:
        missing = [name for name in needs if not hasattr(module, name)]
        kind = getattr(module, "KIND", "")
        if missing:
            self.failures.append(Failure(module.__name__, f"has no {', '.join(missing)}", ""))
        elif kind in into:
            self.failures.append(Failure(module.__name__, f"kind {kind!r} is taken by {into[kind].__name__}", ""))
        else:
            into[kind] = module

    def connect(self, name: str, kind: str, settings: Mapping[str, Any]) -> Adapter:
        """Build one configured adapter; raises NotFound or Invalid with the setting named."""
        module = self.adapters.get(kind)
        if module is None:
            known = ", ".join(sorted(self.adapters))
            raise NotFound(f"no adapter of kind {kind!r} (known: {known})")
        try:
            config = module.Config.model_validate(dict(settings))
        except ValueError as error:
            problems = [
                Problem(
                    code=each["type"],
                    message=each["msg"],
                    pointer=f"adapters.{name}." + ".".join(map(str, each["loc"])),
                )
                for each in getattr(error, "errors", list)()
            ]
            raise Invalid(f"adapter {name!r} is not configured rightly", problems) from error
        connect: Callable[[str, Any], Adapter] = module.connect
        adapter = connect(name, config)
        unknown = sorted(set(adapter.verbs) - set(VERBS))
        if unknown:
            raise Invalid(f"adapter {name!r} declares verbs that do not exist: {', '.join(unknown)}")
        return adapter

    def source(self, kind: str) -> Source:
        """The parser of one kind of SIEM; raises NotFound."""
        module = self.sources.get(kind)
        if module is None:
            raise NotFound(f"no source of kind {kind!r} (known: {', '.join(sorted(self.sources))})")
        made: Source = module.source()
        return made
