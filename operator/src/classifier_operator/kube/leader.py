"""Leadership: one Lease decides which process works. Whoever is not sure to hold it writes nothing."""

import asyncio
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

from classifier_operator.errors import KubeError, LeaseLostError
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import LEASES
from classifier_operator.metrics import IS_LEADER

logger = logging.getLogger(__name__)

LOST_EXIT_CODE: Final = 1


def exit_at_once(reason: str) -> NoReturn:
    """Ends the process without any clean-up: what is still under way must not be written."""
    os.write(2, f"classifier-operator: {reason}; exiting at once\n".encode())
    os._exit(LOST_EXIT_CODE)


def own_identity() -> str:
    """A name for this process that no other process ever has."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Leader:
    """Takes the Lease, renews it, and answers before every write whether it is surely still held.

    Another process takes over after `lease_seconds` without a renewal, by its own clock. This one stops at two thirds
    of that, counted from before the renewal was sent, by the monotonic clock *and* the time of day: the first stands
    still while a machine sleeps, the second may be set back.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        lease_seconds: float,
        identity: str,
        on_lost: Callable[[str], NoReturn] = exit_at_once,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._path = LEASES.path(namespace, name)
        self._create_path = LEASES.path(namespace)
        self._name = name
        self._lease_seconds = lease_seconds
        self._deadline_seconds = lease_seconds * 2 / 3
        self._renew_seconds = lease_seconds / 6
        self._identity = identity
        self._on_lost = on_lost
        self._monotonic = monotonic
        self._wall = wall
        self._held = False
        self._renewed = (0.0, 0.0)
        self._lease: Json = {}

    @property
    def held(self) -> bool:
        return self._held

    def remaining(self) -> float:
        """Seconds for which writing is surely allowed. Ends the process if the Lease was held and has run out.

        Raises:
            LeaseLostError: the Lease has never been held.
        """
        if not self._held:
            raise LeaseLostError("the Lease is not held: nothing may be written")
        monotonic, wall = self._renewed
        gone = max(self._monotonic() - monotonic, self._wall() - wall)
        if gone >= self._deadline_seconds:
            self._on_lost(f"the Lease was not renewed for {gone:.1f} s")
        return self._deadline_seconds - gone

    def check_after_wake(self) -> None:
        """For the handler of SIGCONT: ends the process if the Lease ran out while it was stopped."""
        if self._held:
            self.remaining()

    async def acquire(self) -> None:
        """Returns when the Lease is held."""
        seen: str | None = None
        seen_at = 0.0
        while True:
            try:
                lease = await self._read()
                if lease is None:
                    if await self._write(None):
                        return
                    continue
                version = lease["metadata"]["resourceVersion"]
                if version != seen:
                    seen, seen_at = version, self._monotonic()
                spec = lease.get("spec") or {}
                # The time in the Lease is by another machine's clock; only how long it stands still counts.
                stood_still = self._monotonic() - seen_at >= max(
                    self._lease_seconds, float(spec.get("leaseDurationSeconds") or 0)
                )
                if (not spec.get("holderIdentity") or stood_still) and await self._write(lease):
                    return
            except KubeError as error:
                logger.warning("The Lease cannot be taken: %s", error)
            await asyncio.sleep(self._renew_seconds * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret

    async def hold(self) -> NoReturn:
        """Renews the Lease for ever; ends the process when it is lost."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            left = self.remaining()
            try:
                if await self._write(self._lease, seconds=left):
                    continue
                current = await self._read(seconds=left)
            except KubeError as error:
                logger.warning("The Lease cannot be renewed: %s", error)
                continue
            holder = ((current or {}).get("spec") or {}).get("holderIdentity")
            if current is None or holder != self._identity:
                self._on_lost(f"the Lease is held by {holder or 'nobody'}")
            self._lease = current  # a renewal whose answer was lost

    async def release(self) -> None:
        """Gives the Lease back, so that the next operator need not wait. Nothing may be written after it."""
        if not self._held:
            return
        self._held = False
        IS_LEADER.set(0)
        body = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": ""}}
        try:
            await self._client.request("PUT", self._path, body=body, seconds=2.0)
        except KubeError as error:
            logger.info("The Lease could not be given back: %s", error)

    async def _read(self, *, seconds: float = 5.0) -> Json | None:
        try:
            return await self._client.request("GET", self._path, seconds=seconds)
        except KubeError as error:
            if error.not_found:
                return None
            raise

    async def _write(self, previous: Json | None, *, seconds: float = 5.0) -> bool:
        """Writes ourselves as the holder over `previous`; False if someone else was faster."""
        before = (self._monotonic(), self._wall())
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((previous or {}).get("spec") or {})
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (previous is not None)
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._lease_seconds)),
            "renewTime": now,
        }
        body: Json = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "spec": spec}
        seconds = min(seconds, self._renew_seconds * 2)
        try:
            if previous is None:
                body["metadata"] = {"name": self._name}
                lease = await self._client.request("POST", self._create_path, body=body, seconds=seconds)
            else:
                body["metadata"] = previous["metadata"]  # its resourceVersion: only over what we have seen
                lease = await self._client.request("PUT", self._path, body=body, seconds=seconds)
        except KubeError as error:
            if error.status == 409:
                return False
            raise
        self._lease = lease
        self._renewed = before
        if not self._held:
            self._held = True
            IS_LEADER.set(1)
            logger.info("Holding the Lease as %s", self._identity)
        return True
