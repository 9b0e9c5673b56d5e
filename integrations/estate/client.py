"""Speaks HTTP to the estate, and says of each failure what the caller may believe.

A line that was never opened: NotSent. An answer 4xx: Rejected. Anything that went wrong once the
request may have left (no answer in time, a cut line, 5xx, an answer that cannot be read):
OutcomeUnknown, unless the request only reads: then nothing can have happened, and it is NotSent.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast
from urllib.parse import quote

from soar.errors import AdapterError, NotSent, OutcomeUnknown, Rejected
from soar.model import JsonObject

if TYPE_CHECKING:
    import httpx2

MOST = 4 * 1024 * 1024
"""Largest JSON answer that is read, in bytes."""
_CHUNK = 64 * 1024


class LabClient:
    """One estate. Opens a connection for each request and never sends one twice.

    Certificates are loaded (30 ms) and checked where the address is https.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opened: httpx2.Client | None = None

    def close(self) -> None:
        """Let go of the connections; the next request opens new ones."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def ask(
        self, method: str, path: str, body: JsonObject | None = None, *, key: str = "", caller: str = "",
        timeout: float | None = None, reads: bool = False,
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        """Send one request; returns the status (200 or 202) and the JSON object of the answer."""
        with self._sent(method, path, body, key, caller, timeout, reads=reads) as (response, chunks):
            raw = b"".join(_capped(chunks, reads=reads))
            status = response.status_code
        if 400 <= status < 500:
            raise Rejected(f"the lab refused it ({status}): {_reason(raw)}")
        if status not in (200, 201, 202):
            _lost(f"the lab answered {status}", reads=reads)
        return status, _object(raw, reads=reads)

    @contextmanager
    def stream(
        self, path: str, body: JsonObject, *, key: str, caller: str, timeout: float
    ) -> Iterator[tuple[BinaryIO, str]]:
        """Read an answer's bytes as they come; yields the stream and the SHA-256 that the lab states."""
        with self._sent("POST", path, body, key, caller, timeout, reads=True) as (response, chunks):
            if response.status_code != 200:
                reason = _reason(b"".join(_capped(chunks, reads=True)))
                said = f"the lab answered {response.status_code}: {reason}"
                raise Rejected(said) if 400 <= response.status_code < 500 else NotSent(said)
            with io.BufferedReader(_Stream(chunks), _CHUNK) as content:
                yield cast("BinaryIO", content), str(response.headers.get("X-Soar-Sha256", ""))

    @contextmanager
    def _sent(
        self, method: str, path: str, body: JsonObject | None, key: str, caller: str, timeout: float | None, *,
        reads: bool,
    ) -> Iterator[tuple[httpx2.Response, Iterator[bytes]]]:  # fmt: skip
        import httpx2

        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        deadline = time.monotonic() + (seconds if timeout is None else timeout)
        try:
            headers = {"X-Soar-Key": quote(key), "X-Soar-Caller": quote(caller, safe=":@ ")}
            request = self._client().build_request(
                method, self._url + path, json=None if body is None else dict(body), headers=headers, timeout=seconds
            )
        except (ValueError, TypeError, httpx2.InvalidURL) as error:
            raise Rejected(f"the call cannot be written as HTTP and JSON: {error}") from error
        try:
            response = self._client().send(request, stream=True)
        except httpx2.HTTPError as error:
            unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
            _lost(_words(error), reads=reads or isinstance(error, unsent), error=error)
        try:
            yield response, _chunks(response, deadline, reads=reads)
        finally:
            response.close()

    def _client(self) -> httpx2.Client:
        import httpx2

        with self._lock:
            if self._opened is None:
                self._opened = httpx2.Client(
                    trust_env=False,
                    verify=self._url.startswith("https:"),
                    follow_redirects=False,
                    limits=httpx2.Limits(max_keepalive_connections=0),
                    headers={"Accept-Encoding": "identity", "User-Agent": "soar-lab"},
                )
            return self._opened


class _Stream(io.RawIOBase):
    """An answer's chunks as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _chunks(response: httpx2.Response, deadline: float, *, reads: bool) -> Iterator[bytes]:
    """The answer's bytes as they came over the line, as long as there is time."""
    import httpx2

    try:
        for chunk in response.iter_raw(_CHUNK):
            if time.monotonic() > deadline:
                _lost("the answer took too long", reads=reads)
            yield chunk
    except httpx2.HTTPError as error:
        _lost(_words(error), reads=reads, error=error)


def _capped(chunks: Iterator[bytes], *, reads: bool) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST:
            _lost(f"the answer is larger than {MOST} bytes", reads=reads)
        yield chunk


def _object(raw: bytes, *, reads: bool) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        _lost("the answer is no JSON", reads=reads, error=error)
    if not isinstance(answer, dict):
        _lost("the answer is no JSON object", reads=reads)
    return cast("dict[str, Any]", answer)


def _reason(raw: bytes) -> str:
    """What a refusal says, as far as it can be read."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    return str(answer.get("error", ""))[:500] if isinstance(answer, dict) else "it did not say why"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _lost(message: str, *, reads: bool, error: Exception | None = None) -> NoReturn:
    kind: Callable[[str], AdapterError] = NotSent if reads else OutcomeUnknown
    raise kind(f"the lab: {message}") from error
