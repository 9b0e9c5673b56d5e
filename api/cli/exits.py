"""Exit codes, and how an error is told to a person: readable text on standard error, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from types import TracebackType

from api.cli.clean import line, text
from soar.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    SoarError,
    Unauthenticated,
)


class Exit(IntEnum):
    """What the command's end means to a script; the same numbers for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    CONFLICT = 5
    INVALID = 6
    UNVERIFIED = 7
    TIMED_OUT = 8
    PARTLY = 9


MEANINGS = {
    Exit.OK: "ok",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage",
    Exit.NOT_FOUND: "not found",
    Exit.AUTH: "no valid key, or not allowed",
    Exit.CONFLICT: "conflict: not in the state that the call assumes",
    Exit.INVALID: "validation failed",
    Exit.UNVERIFIED: "verification failed",
    Exit.TIMED_OUT: "timed out waiting",
    Exit.PARTLY: "partly done",
}


class Unverified(SoarError):
    """What was checked is not what it should be."""

    code = "unverified"


class TimedOut(SoarError):
    """What was waited for did not happen in time."""

    code = "timed_out"


_EXITS: dict[type[SoarError], Exit] = {
    NotFound: Exit.NOT_FOUND,
    Unauthenticated: Exit.AUTH,
    Forbidden: Exit.AUTH,
    Conflict: Exit.CONFLICT,
    Invalid: Exit.INVALID,
    Unverified: Exit.UNVERIFIED,
    TimedOut: Exit.TIMED_OUT,
    SoarError: Exit.FAILED,
}


def exit_of(error: SoarError) -> Exit:
    """The exit code of an error; one that is not named has that of the nearest one above it in its tree."""
    return next(_EXITS[cls] for cls in type(error).__mro__ if cls in _EXITS)


def say(message: str) -> None:
    """A message to the person, on standard error."""
    sys.stderr.write(text(message) + "\n")
    sys.stderr.flush()


def tell(error: SoarError) -> Exit:
    """Say what went wrong, with every problem and its place; returns the exit code."""
    say(f"soar: {line(error.message)}")
    problems = error.problems if isinstance(error, Invalid) else ()
    for problem in problems:
        if str(problem) != error.message:
            say(f"  {line(str(problem))}")
    for name, value in error.details.items():
        if value and name != "request_id":
            said = "; ".join(_in_words(each) for each in value) if isinstance(value, list | tuple) else str(value)
            say(f"  {line(name)}: {line(said)}")
    request = error.details.get("request_id")
    if request:
        say(f"  (the server's log has it under {line(str(request))})")
    return exit_of(error)


def _in_words(detail: object) -> str:
    """One of several details; an object is told by its reason."""
    return str(detail.get("why", detail)) if isinstance(detail, dict) else str(detail)


def guarded(action: Callable[[], int]) -> int:
    """Run something; returns its exit code, or that of the error that it raised, told to the person."""
    try:
        code = action()
        sys.stdout.flush()
        return code
    except SoarError as error:
        return tell(error)
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter must not stumble over it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except OSError as error:
        say(f"soar: {line(str(error))}")
        return Exit.FAILED
    finally:
        # Only here: typer puts a hook of its own in place while it runs.
        sys.excepthook = _last_words


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that nobody foresaw: one line with the place, for a report. Python then exits with 1."""
    last = traceback.extract_tb(trace)[-1:]
    where = f" ({last[0].filename}:{last[0].lineno})" if last else ""
    say(f"soar: an error in soar itself, please report it: {kind.__name__}: {line(str(error))}{where}")
