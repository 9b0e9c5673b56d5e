"""The only file that knows Celery: carries `{v: 1, hint: work_id}` over Redis, and runs nodes of hands.

A message is a doorbell and nothing else. It is looked at before Celery does anything with it (`hint_of`):
what is not exactly what we send is dropped and counted. The rows say what is to be done (api/hand.py).
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from billiard.process import current_process  # type: ignore[import-untyped]
from celery import Celery, signals
from celery.apps.worker import Worker
from celery.concurrency.prefork import TaskPool
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.worker import state as celery_state
from celery.worker.consumer import Consumer
from kombu.exceptions import KombuError
from kombu.messaging import Producer
from kombu.transport import redis as over_redis
from redis.exceptions import RedisError

from api.engine import Engine
from api.hand import Board, Hand
from soar import strict_json
from soar.config import Settings
from soar.errors import Invalid, Unavailable

log = structlog.get_logger("soar.worker")
TASK = "soar.work"
QUEUE = "soar.work"
VERSION = 1
LARGEST = 2_000
"""Bytes of a message's body; ours have about 150."""
ENOUGH = 1_000
"""With so many messages in the queue nobody needs another one."""
GRACE_SECONDS = 28.0
"""How long a node waits for its steps when it is told to stop; then it ends, and their rows say where they were."""
CARRY: Mapping[str, Any] = {"socket_timeout": 0.4, "socket_connect_timeout": 0.4, "max_retries": 0}
LISTEN: Mapping[str, Any] = {
    "socket_timeout": 5.0, "socket_connect_timeout": 1.0, "socket_keepalive": True, "health_check_interval": 10,
    "visibility_timeout": 60,
}  # fmt: skip
COMPLAIN_TRIES = 10
"""A broker that is away is logged once in so many tries."""
_NOTHING = {"callbacks", "errbacks", "chain", "chord"}
_UNWANTED = ("eta", "expires", "group", "chord", "stamped_headers", "compression")
_AWAY = (RedisError, KombuError, OSError)


class Courier:
    """Carries rings to the queue (api.bells.Courier). For one thread; connects when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._where = settings.broker_address
        self._app = application(settings, CARRY)
        self._producer: Producer | None = None

    def send(self, hint: str) -> None:
        """One message, unless the queue is full of them. Raises Unavailable."""
        try:
            producer = self._open()
            if producer.channel.client.llen(QUEUE) < ENOUGH:
                said = {"v": VERSION, "hint": hint}
                self._app.send_task(TASK, kwargs=said, producer=producer, queue=QUEUE, retry=False, ignore_result=True)
        except _AWAY as error:
            raise self._trouble(error) from error

    def ask(self) -> None:
        """Is the broker there? Raises Unavailable."""
        try:
            self._open().channel.client.ping()
        except _AWAY as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        """Let go of the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.connection.release()
            except _AWAY as error:
                log.debug("broker_left", reason=str(error))

    def _open(self) -> Producer:
        if self._producer is None:
            connection: Any = self._app.connection_for_write()
            self._producer = Producer(connection.channel())  # type: ignore[no-untyped-call]
        return self._producer

    def _trouble(self, error: Exception) -> Unavailable:
        self.close()
        why = (str(error).splitlines() or [type(error).__name__])[0]
        return Unavailable(
            f"the broker at {self._where} cannot be used: {why}. Start it, or mend broker_url (SOAR_BROKER_URL)"
        )


def application(settings: Settings, options: Mapping[str, Any]) -> Celery:
    """Celery as we use it: JSON, one task, early acknowledgement, nothing kept, nothing timed, no chatter."""
    app = Celery("soar", set_as_current=False)
    app.conf.update(
        broker_url=settings.broker_url, broker_transport_options=dict(options), broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True, broker_connection_timeout=1.0, broker_pool_limit=None,
        task_serializer="json", accept_content=["json"], result_accept_content=["json"], result_backend=None,
        task_ignore_result=True, task_store_errors_even_if_ignored=False, task_acks_late=False, task_protocol=2,
        task_default_queue=QUEUE, task_create_missing_queues=False, worker_prefetch_multiplier=1,
        worker_enable_remote_control=False, worker_send_task_events=False, task_send_sent_event=False,
        worker_hijack_root_logger=False, worker_redirect_stdouts=False, worker_proc_alive_timeout=30.0,
        worker_cancel_long_running_tasks_on_connection_loss=False, worker_consumer=f"{__name__}:Ears",
        enable_utc=True, imports=(), include=(),
    )  # fmt: skip
    return app


def hint_of(headers: Any, content_type: Any, body: Any) -> str:
    """The id that a message of ours carries; raises Invalid for everything that is not exactly what we send."""
    if not isinstance(headers, Mapping) or headers.get("task") != TASK:
        raise Invalid("the message names no task of ours")
    if content_type != "application/json" or any(headers.get(name) for name in _UNWANTED):
        raise Invalid("the message is of another kind than ours")
    if not isinstance(body, str | bytes) or len(body) > LARGEST:
        raise Invalid("the message is larger than ours are")
    match strict_json.parse(body):
        case [[], {"v": version, "hint": str(hint), **rest}, {**extra}] if not rest and not any(extra.values()):
            if version is not True and version == VERSION and set(extra) <= _NOTHING and 0 < len(hint) <= 64:
                return hint
    raise Invalid("the message does not say what ours say")


class Channel(over_redis.Channel):
    """A channel to Redis that lives on when what comes out of it is no message at all."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            _drop(f"no message at all: {type(error).__name__}")
            return None


class Transport(over_redis.Transport):
    """Redis, read through our channel."""

    Channel = Channel


class Ears(Consumer):  # type: ignore[misc]
    """Looks at each message before Celery does."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """What is called with each message."""
        handle = super().create_task_handler(*args, **kwargs)

        def heard(message: Any) -> Any:
            try:
                hint_of(message.headers, message.content_type, None if message.errors else message.body)
            except Invalid as error:
                _drop(error.message)
                message.reject_log_error(log, self.connection_errors)
                return None
            return handle(message)

        return heard

    def ensure_connected(self, conn: Any) -> Any:
        """Wait for the broker, asking every second; the hands look for work by themselves meanwhile.

        One that ends meanwhile is replaced here, since Celery does that in a loop that runs only while it is connected.
        """

        def meanwhile() -> None:
            celery_state.maybe_shutdown()
            self.pool.maintain_pool()

        def away(error: Exception, _interval: float) -> None:
            self._tries += 1
            if self._tries % COMPLAIN_TRIES == 1:
                log.warning("broker_unreachable", reason=(str(error).splitlines() or ["no reason given"])[0])

        self._tries = 0
        every = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        conn.ensure_connection(away, None, callback=meanwhile, **every)
        return conn


class Hands(TaskPool):  # type: ignore[misc]
    """The hands of a node. One that ends is replaced, however early: Celery would give up the node."""

    def did_start_ok(self) -> bool:
        """Asked once the broker is reached; a hand may long have worked and ended by then."""
        return True


class Node(Worker):  # type: ignore[misc]
    """A Celery worker that minds our signals instead of its own."""

    def install_platform_tweaks(self, worker: Any) -> None:  # noqa: ARG002
        """Told to stop: no more work is taken, steps that run may end."""

        def stop(*_: object) -> None:
            if _board is not None and not _board.stopping:
                _board.stop()
                last = threading.Timer(GRACE_SECONDS, os._exit, (1,))
                last.daemon = True
                last.start()
            celery_state.should_stop = os.EX_OK

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def set_process_status(self, info: str) -> None:
        """The process keeps its name."""


_board: Board | None = None
_hand: Hand | None = None


def _drop(why: str) -> None:
    """A message that is not ours: counted, and said without any of what it held."""
    if _board is not None:
        _board.drop()
    log.warning("message_dropped", reason=why)


def run_node(
    settings: Settings, concurrency: int, move_in: Callable[[bool], Engine], announce: Callable[[], None]
) -> int:
    """Run a node of so many hands until it is told to stop; returns the exit code. Must run in the main thread.

    `move_in(leads)` builds the engine of a hand, after the fork. `announce` is called (by a child) once all work.
    """
    global _board  # noqa: PLW0603 - Celery hands us nothing to keep it in, and children find it after the fork
    _board = Board(concurrency)
    app = application(settings, LISTEN)
    app.conf.broker_transport = f"{__name__}:Transport"
    app.task(name=TASK, typing=False)(_work)
    app.finalize()
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_process_init.connect(partial(_born, _board, move_in, announce), weak=False)
    signals.worker_process_shutdown.connect(_leaving, weak=False)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # about pickle, which nobody here reads
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # about late acknowledgement
    node = Node(
        app=app, concurrency=concurrency, pool=Hands, optimization="fair", quiet=True, without_gossip=True,
        without_mingle=True, without_heartbeat=True, hostname=f"soar-{os.getpid()}", task_events=False,
    )  # fmt: skip
    node.start()
    return int(node.exitcode or 0)


def _work(**said: Any) -> None:
    """The task: `hint_of` has passed the message, so `hint` is there."""
    if _hand is not None:
        _hand.answer(said["hint"])


def _born(board: Board, move_in: Callable[[bool], Engine], announce: Callable[[], None], **_: Any) -> None:
    """In a new child: the hand, which builds everything that it uses for itself."""
    global _hand  # noqa: PLW0603 - Celery's task has no other way to it
    number = int(current_process().index)
    _hand = hand = Hand(number, board, partial(move_in, number == 0), announce)
    signal.signal(signal.SIGTERM, lambda *_: hand.ask_to_stop())
    hand.start()


def _leaving(**_: Any) -> None:
    if _hand is not None:
        _hand.leave()


def _keep_logging(**_: Any) -> None:
    """Logging is set up already: Celery is to leave it alone."""
