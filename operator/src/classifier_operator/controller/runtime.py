"""Everything that runs beside Kopf: leadership, lists and watches, workers, polls. Built here, started here."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Self

from prometheus_client import start_http_server

from classifier_operator.api import names
from classifier_operator.controller.apply_deployment import DeploymentApplier
from classifier_operator.controller.apply_training import TrainingApplier
from classifier_operator.controller.budget import ProgressBudget
from classifier_operator.controller.clock import Clock, SystemClock
from classifier_operator.controller.inputs import Inputs
from classifier_operator.controller.keys import Key
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.reconcile import Reconciler
from classifier_operator.controller.state import State
from classifier_operator.controller.workers import WorkerPool
from classifier_operator.kube.client import Json, KubeClient, wait_for_kinds
from classifier_operator.kube.leader import Leader, exit_at_once, own_identity
from classifier_operator.kube.resources import CHILDREN, DEPLOYMENTS, OWN_KINDS, TRAINING_JOBS
from classifier_operator.kube.watch import Reflector, Relister
from classifier_operator.kube.write import Writer
from classifier_operator.pods.http import PodHttp
from classifier_operator.pods.progress import ProgressPoller
from classifier_operator.pods.service import ServiceProbe
from classifier_operator.settings import Settings

logger = logging.getLogger(__name__)

_KINDS_SECONDS = 60.0
_RESOURCES = {names.TRAINING_JOB_PLURAL: TRAINING_JOBS, names.DEPLOYMENT_PLURAL: DEPLOYMENTS}


class Runtime:
    """The operator without Kopf. Kopf's handlers call `event`."""

    def __init__(
        self,
        client: KubeClient,
        settings: Settings,
        *,
        clock: Clock | None = None,
        on_lost: Callable[[str], NoReturn] = exit_at_once,
    ) -> None:
        self._client = client
        self._settings = settings
        self._on_lost = on_lost
        self._clock = clock or SystemClock()
        self.queue: KeyQueue[Key] = KeyQueue(monotonic=self._clock.monotonic)
        self.state = State(self.queue.add)
        self.leader = Leader(
            client,
            namespace=settings.namespace,
            name=settings.lease_name,
            lease_seconds=settings.lease_seconds,
            identity=own_identity(),
            on_lost=on_lost,
        )
        self._http = PodHttp()
        self._poller: ProgressPoller[Key] = ProgressPoller(
            self._http, seconds=settings.poll_seconds, on_change=self.queue.add
        )
        self._budget: ProgressBudget[Key] = ProgressBudget(
            writes_per_second=settings.progress_writes, on_grant=self.queue.add
        )
        writer = Writer(client, self.leader, self.state.find)
        inputs = Inputs(client, monotonic=self._clock.monotonic)
        probe = ServiceProbe(self._http, template=settings.service_probe_url)
        reconciler = Reconciler(
            client=client,
            state=self.state,
            queue=self.queue,
            writer=writer,
            training=TrainingApplier(client, writer, self.state, inputs, image=settings.trainer_image),
            deployments=DeploymentApplier(client, writer, self.state, probe, image=settings.server_image),
            poller=self._poller,
            budget=self._budget,
            clock=self._clock,
            progress_seconds=settings.progress_seconds,
        )
        self._pool = WorkerPool(self.queue, reconciler, count=settings.workers)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def connect(cls, settings: Settings) -> Self:
        """Connects to the API server and waits until it serves the two kinds."""
        client = await KubeClient.connect(connections=settings.connections)
        path = f"/apis/{names.API_VERSION}"
        await wait_for_kinds(client, path, frozenset(_RESOURCES), seconds=_KINDS_SECONDS)
        return cls(client, settings)

    def start(self) -> None:
        """Starts all tasks; whichever ends by itself ends the process."""
        if self._settings.metrics_port:
            start_http_server(self._settings.metrics_port)
        # The handler runs before anything else that a stopped process does when it is continued.
        signal.signal(signal.SIGCONT, lambda *_: self.leader.check_after_wake())
        for resource in OWN_KINDS:
            store, seconds = self.state[resource], self._settings.relist_seconds
            relister = Relister(self._client, store, seconds=seconds, on_listed=self._look_again)
            self._spawn(relister.run(), f"list of {resource.plural}")
        for child in CHILDREN:
            reflector = Reflector(self._client, self.state[child], selector=names.MANAGED_BY_SELECTOR)
            self._spawn(reflector.run(), f"watch of {child.plural}")
        self._spawn(self._budget.run(), "budget of progress")
        self._spawn(self._lead(), "leader")

    def _look_again(self) -> None:
        """Looks at every object again with each list: a net under everything that should have told of a change."""
        for key in self.state.all_keys():
            self.queue.add(key)

    def event(self, plural: str, kind: str | None, value: Json) -> None:
        """One event of one of the two kinds: into the cache, which puts the key on the queue."""
        store = self.state[_RESOURCES[plural]]
        if kind == "DELETED":
            store.remove(value)
        else:
            store.put(value)

    async def stop(self) -> None:
        """Ends all tasks, then gives the Lease back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._poller.close()
        await self._http.close()
        await self.leader.release()
        await self._client.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        logger.error("The task %r ended: %s", task.get_name(), error, exc_info=error)
        with contextlib.suppress(SystemExit):
            self._on_lost(f"the task {task.get_name()!r} ended")

    async def _lead(self) -> None:
        await self.leader.acquire()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.leader.hold(), name="renewal of the Lease")
            group.create_task(self._work(), name="workers")

    async def _work(self) -> None:
        """Decides nothing before every list is complete: what is not listed yet would look as if it were not there."""
        await self.state.wait_until_complete()
        logger.info("Every list is complete: %d objects", len(self.state.all_keys()))
        await self._pool.run()
