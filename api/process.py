"""What every process of ours begins with: its log, its tie to the starter, plain words for what it cannot reach."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog

from soar.config import Settings
from soar.errors import Unavailable

_PR_SET_PDEATHSIG = 1


def log_to_stderr() -> None:
    """Our log as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Lines(logging.Formatter):
    """What libraries log, in the shape of our own lines."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "event": record.getMessage(), "logger": record.name, "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }  # fmt: skip
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


def libraries_log_to_stderr() -> None:
    """Warnings of libraries that use the standard log, as JSON lines too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def die_with_parent() -> None:
    """Ask Linux for a signal when the starter ends; elsewhere do nothing.

    It is sent when the *thread* that started us ends (prctl(2), PR_SET_PDEATHSIG), so the handler
    looks whether the process itself is gone.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, look)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    look()


def announce(line: str) -> None:
    """One line on standard output, for the program that started us."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """What the system or the database refuses is one clear sentence: which, where, and how to mend it."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except OSError as error:
        raise Unavailable(f"{error.filename or settings.data}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        why = (str(getattr(error, "orig", None) or error).splitlines() or ["no reason given"])[0]
        if not settings.database_url:
            raise Unavailable(f"the database cannot be used: {why}") from error
        where = settings.database_address
        raise Unavailable(
            f"the database at {where} cannot be used: {why}. Start it, or mend database_url (SOAR_DATABASE_URL)"
        ) from error
