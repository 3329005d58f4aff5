"""The life of the process: listen, load, answer, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import uvicorn
import uvloop
from starlette.types import ASGIApp

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch import shown
from classifier_server.app import build_app
from classifier_server.classifier import Classifier
from classifier_server.config import ServeConfig
from classifier_server.handled import log
from classifier_server.keys import Keys
from classifier_server.metrics import Metrics
from classifier_server.probes import start_probes
from classifier_server.protocol import BoundedProtocol
from classifier_server.sockets import listen, refuse_new
from classifier_server.state import ServerState
from classifier_server.tracing import Tracing
from classifier_server.tracing import wanted as tracing_wanted

logger = logging.getLogger(__name__)

EXIT_USER_ERROR = 42
_BEAT_SECONDS = 0.5
# Longer than the idle time of usual proxies and clients, so that they close first and never send into a closing one.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG_SECONDS = 0.1
_FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """How this process listens and ends; ports 0 are chosen by the kernel."""

    host: str | None = None
    port: int = 8080
    internal_port: int = 9090
    drain_seconds: float = 5.0


class Loader(Protocol):
    """loading.load_classifier, or a test's."""

    def __call__(
        self,
        config: ServeConfig,
        metrics: Metrics,
        *,
        report: Callable[[str], None],
        on_broken: Callable[[str], None],
    ) -> Classifier: ...


class ServeError(Exception):
    """The process cannot go on: one sentence and the exit code that says whether trying again may help."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def serve(config: ServeConfig, options: Options, load: Loader) -> None:
    """Serves until SIGTERM or SIGINT and everything accepted is answered. To be called from the main thread.

    Raises ServeError.
    """
    try:
        api, internal = listen(options.host, options.port), listen(options.host, options.internal_port)
    except TransientError as error:
        raise ServeError(str(error), 1) from None
    state, metrics, keys = ServerState(config), Metrics(), Keys(config.api_keys_dir)
    keys.watch()
    metrics.ready.set_function(lambda: float(state.phase == "Ready"))
    metrics.queue.set_function(lambda: float(state.stats()["queue"]))
    start_probes(internal, state, metrics, state.drain)
    tracing = Tracing(config.model_id) if tracing_wanted() else None
    recorders = [log] if tracing is None else [log, tracing.record]
    logger.info(
        "listening on port %d (API) and port %d (probes, metrics)", api.getsockname()[1], internal.getsockname()[1]
    )
    life = _Life(state, build_app(state, metrics, keys, recorders), metrics, options, load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(life.run(api))
    if tracing is not None:
        tracing.close()
    if life.failure is not None:
        raise life.failure


class _Life:
    """Loader, signals and the HTTP server of one process."""

    def __init__(self, state: ServerState, app: ASGIApp, metrics: Metrics, options: Options, load: Loader) -> None:
        self.failure: ServeError | None = None
        self._state = state
        self._metrics = metrics
        self._options = options
        self._load = load
        self._closing: asyncio.Task[None] | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )

    async def run(self, api: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate, self._options.drain_seconds)
        loop.add_signal_handler(signal.SIGINT, self._terminate, 0.0)
        beat = asyncio.create_task(self._beat())
        threading.Thread(target=self._load_model, args=(loop,), name="loader", daemon=True).start()
        await self._server.serve(sockets=[api])
        beat.cancel()
        if self._state.classifier is not None:
            self._state.classifier.engine.close()

    async def _beat(self) -> None:
        while True:
            self._state.loop_beat = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    # -- start ------------------------------------------------------------------------------------------------------

    def _load_model(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in the loader's thread."""
        begun = time.monotonic()

        def report(what: str) -> None:
            self._state.loading = what
            logger.info("%s", what)

        def fail(message: str, code: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends anyway
                loop.call_soon_threadsafe(self._fail, ServeError(message, code))

        def on_broken(message: str) -> None:
            fail(f"{message}; the process starts anew.", 1)

        try:
            classifier = self._load(self._state.config, self._metrics, report=report, on_broken=on_broken)
        except UserError as error:
            fail(str(error), EXIT_USER_ERROR)
        except TransientError as error:
            fail(str(error), 1)
        except Exception as error:  # a bug or a broken machine: whole in the log, one sentence in the status
            logger.exception("loading failed")
            fail(f"The model {shown(self._state.config.model.uri)} could not be loaded: {type(error).__name__}.", 1)
        else:
            seconds = time.monotonic() - begun
            self._metrics.load_seconds.set(seconds)
            self._state.loaded(classifier)
            logger.info("ready after %.1f s", seconds)

    def _fail(self, failure: ServeError) -> None:
        self.failure = failure
        self._server.abandon = True
        self._server.should_exit = True

    # -- end --------------------------------------------------------------------------------------------------------

    def _terminate(self, drain_seconds: float) -> None:
        """On a signal. The drain phase counts from its beginning, which a preStop hook may have made earlier."""
        if self._server.should_exit and drain_seconds == 0.0:
            self._server.force_exit = True  # Ctrl+C again, while answers are still awaited
            return
        loaded = self._state.classifier is not None
        self._state.drain()
        begun = self._state.draining_since or time.monotonic()
        pause = begun + drain_seconds - time.monotonic() if loaded else 0.0
        if self._closing is not None:
            self._closing.cancel()
        self._closing = asyncio.ensure_future(self._close_after(max(pause, 0.0)))

    async def _close_after(self, seconds: float) -> None:
        logger.info("draining: the listener closes in %.1f s", seconds)
        await asyncio.sleep(seconds)
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers (it would close the listener at once and exit 143) and with an end
    that answers whoever is connected."""

    abandon = False
    """Set to end without waiting for anyone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts what waits in the backlog, closes the listener, waits for first requests that are on their way and
        then, as uvicorn does, for all answers."""
        if self.abandon:
            for server in self.servers:
                server.close()
            return
        for listener in sockets or ():
            refuse_new(listener)
        await asyncio.sleep(_BACKLOG_SECONDS)
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first_requests(), _FRESH_SECONDS)
        await super().shutdown(sockets)

    async def _first_requests(self) -> None:
        connections = self.server_state.connections
        while any(isinstance(connection, BoundedProtocol) and connection.fresh for connection in connections):  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
