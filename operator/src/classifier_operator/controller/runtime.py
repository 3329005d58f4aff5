"""Everything that runs beside Kopf: leadership, lists and watches, workers, polls. Built here, started here."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Self

from prometheus_client import start_http_server

from classifier_operator.api import names
from classifier_operator.controller.api_keys import ApiKeys
from classifier_operator.controller.apply_deployment import DeploymentApplier
from classifier_operator.controller.apply_gateway import WakeLeases
from classifier_operator.controller.apply_training import TrainingApplier
from classifier_operator.controller.budget import ProgressBudget
from classifier_operator.controller.clock import Clock, SystemClock
from classifier_operator.controller.cycle import Cycle
from classifier_operator.controller.demand import SteadyDemand
from classifier_operator.controller.gateways import GatewayFleet, concerned
from classifier_operator.controller.inputs import Inputs
from classifier_operator.controller.janitor import LeaseJanitor
from classifier_operator.controller.keys import Key
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.reconcile import Reconciler
from classifier_operator.controller.reconcile_deployment import DeploymentReconciler, Senses
from classifier_operator.controller.reconcile_training import TrainingReconciler
from classifier_operator.controller.sleep_metrics import SleepMetrics
from classifier_operator.controller.state import State
from classifier_operator.controller.wakes import Wakes
from classifier_operator.controller.workers import WorkerPool
from classifier_operator.kube.client import Json, KubeClient, wait_for_kinds
from classifier_operator.kube.leader import Leader, exit_at_once, own_identity
from classifier_operator.kube.resources import CHILDREN, DEPLOYMENTS, LEASES, OWN_KINDS, TRAINING_JOBS
from classifier_operator.kube.watch import Reflector, Relister
from classifier_operator.kube.write import Writer
from classifier_operator.pods.http import PodHttp
from classifier_operator.pods.progress import ProgressPoller
from classifier_operator.pods.service import ServiceProbe
from classifier_operator.pods.stats import StatsPoller
from classifier_operator.settings import Settings
from classifier_operator.wire.wake import WAKE_SELECTOR

logger = logging.getLogger(__name__)

_KINDS_SECONDS = 60.0
_TICK_SECONDS = 5.0
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
        self._ports = PortAllocator()
        self.state = State(self.queue.add, self._ports)
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
        self._stats: StatsPoller[Key] = StatsPoller(
            self._http, monotonic=self._clock.monotonic, on_change=self.queue.add
        )
        self._fleet = GatewayFleet(self._http, url=settings.gateway_report_url, on_change=self._gateways_changed)
        self._metrics = SleepMetrics(self._clock.monotonic)
        writer = Writer(client, self.leader, self.state.find)
        leases = WakeLeases(writer, self.state, self._ports, namespace=settings.namespace)
        self._janitor = LeaseJanitor(
            self.state,
            leases,
            self._ports,
            rest_seconds=settings.port_rest_seconds,
            monotonic=self._clock.monotonic,
        )
        cycle = Cycle(client, self.state, self.queue, writer)
        reconciler = Reconciler(
            cycle,
            self.state,
            training=self._training(cycle, client, writer),
            deployments=self._deployments(cycle, client, writer, leases),
        )
        self._pool = WorkerPool(self.queue, reconciler, count=settings.workers)
        self._tasks: list[asyncio.Task[None]] = []

    def _training(self, cycle: Cycle, client: KubeClient, writer: Writer) -> TrainingReconciler:
        inputs = Inputs(client, monotonic=self._clock.monotonic)
        return TrainingReconciler(
            cycle,
            self.state,
            self.queue,
            applier=TrainingApplier(client, writer, self.state, inputs, image=self._settings.trainer_image),
            poller=self._poller,
            budget=self._budget,
            clock=self._clock,
            progress_seconds=self._settings.progress_seconds,
        )

    def _deployments(
        self, cycle: Cycle, client: KubeClient, writer: Writer, leases: WakeLeases
    ) -> DeploymentReconciler:
        applier = DeploymentApplier(
            client,
            writer,
            self.state,
            ServiceProbe(self._http, template=self._settings.service_probe_url),
            leases=leases,
            ports=self._ports,
            fleet=self._fleet,
            stats=self._stats,
            image=self._settings.server_image,
        )
        senses = Senses(
            fleet=self._fleet,
            ports=self._ports,
            leases=leases,
            stats=self._stats,
            keys=ApiKeys(client, monotonic=self._clock.monotonic),
            wakes=Wakes(self._clock),
            demand=SteadyDemand(monotonic=self._clock.monotonic),
            metrics=self._metrics,
        )
        return DeploymentReconciler(
            cycle,
            self.state,
            senses,
            applier=applier,
            clock=self._clock,
            stats_seconds=self._settings.stats_seconds,
        )

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
        here = self._settings.namespace
        leases = Reflector(self._client, self.state[LEASES], selector=WAKE_SELECTOR, namespace=here)
        self._spawn(leases.run(), "watch of wake Leases")
        selector = self._settings.gateway_selector
        gateways = Reflector(self._client, self._fleet.store, selector=selector, namespace=here)
        self._spawn(gateways.run(), "watch of gateway pods")
        self._spawn(self._fleet.follow(), "reports of gateway pods")
        self._spawn(self._tick(), "time of metrics")
        self._spawn(self._budget.run(), "budget of progress")
        self._spawn(self._lead(), "leader")

    def _look_again(self) -> None:
        """Looks at every object again with each list: a net under everything that should have told of a change."""
        for key in self.state.all_keys():
            self.queue.add(key)

    def _gateways_changed(self, uid_hashes: frozenset[str] | None) -> None:
        for key in concerned(self.state[DEPLOYMENTS].values(), uid_hashes):
            self.queue.add(key)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._metrics.tick()

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
        await self._stats.close()
        await self._fleet.close()
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
            group.create_task(self._work(), name="work")

    async def _work(self) -> None:
        """Decides nothing before every list is complete: what is not listed yet would look as if it were not there."""
        await self.state.wait_until_complete()
        await self._fleet.wait_until_known()
        self._ports.restore(
            (each["deployment"]["uid"], each["deployment"]["port"])
            for each in self.state[LEASES].values()
            if "deployment" in each
        )
        logger.info("Every list is complete: %d objects", len(self.state.all_keys()))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pool.run(), name="workers")
            group.create_task(self._janitor.run(), name="Leases of deployments that are gone")
