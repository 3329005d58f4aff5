"""The Lease is renewed: at once, again while somebody waits, and no more often than that."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from classifier_operator.errors import KubeError
from classifier_operator.gateway import wake
from support.gateway_scene import GatewayScene, Site, until


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of the gateway's lasts a tenth."""
    monkeypatch.setattr(wake, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(wake, "_PAUSE_SECONDS", 0.1)


async def held(scene: GatewayScene, site: Site) -> asyncio.Task[object]:
    asking: asyncio.Task[object] = asyncio.create_task(site.post())
    await scene.held(site, 1)
    return asking


async def test_again_and_again_while_somebody_waits(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = await held(scene, site)
    await until(lambda: len(scene.renewals(site)) == 4)
    times = scene.renewals(site)
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(times))
    await site.pod()
    await asking
    count = len(scene.renewals(site))
    await asyncio.sleep(0.5)
    assert len(scene.renewals(site)) <= count + 1
    assert not scene.gateway._waker._tasks


async def test_the_next_to_come_wakes_at_once_too(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.post(headers={"Prefer": "respond-async"})
    await until(lambda: not scene.gateway._waker._tasks)
    count = len(scene.renewals(site))
    asking = await held(scene, site)
    await until(lambda: len(scene.renewals(site)) > count)
    await site.pod()
    await asking


async def test_those_who_join_do_not_renew(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = [asyncio.create_task(site.post()) for _ in range(40)]
    await scene.held(site, 40)
    assert len(scene.renewals(site)) <= 2
    await site.pod()
    await asyncio.gather(*asking)


async def test_a_renewal_that_fails_is_tried_again(scene: GatewayScene) -> None:
    site = await scene.site()
    scene.refuse_renewals = [KubeError(0, "Unreachable", "no answer"), KubeError(500, "InternalError", "no etcd")]
    asking = await held(scene, site)
    await until(lambda: len(scene.renewals(site)) == 1)
    assert not scene.refuse_renewals
    await site.pod()
    await asking


async def test_a_lease_that_nobody_waits_for_is_given_up(
    scene: GatewayScene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wake, "_FIRST_RETRY_SECONDS", 0.01)
    site = await scene.site()
    scene.refuse_renewals = [KubeError(500, "InternalError", "no etcd") for _ in range(20)]
    await site.post(headers={"Prefer": "respond-async"})
    await until(lambda: not scene.gateway._waker._tasks)
    assert len(scene.refuse_renewals) == 15
    assert "The Lease of team/news cannot be renewed: 500 InternalError: no etcd" in caplog.text


async def test_a_lease_that_is_gone_is_not_tried_again(scene: GatewayScene) -> None:
    site = await scene.site(hold_seconds=0.1)
    scene.refuse_renewals = [KubeError(404, "NotFound", "gone") for _ in range(5)]
    assert (await site.post()).status_code == 503
    await until(lambda: not scene.gateway._waker._tasks)
    assert len(scene.refuse_renewals) >= 3


async def test_a_request_that_came_on_the_way_to_sleep_stops_the_sleep(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    for _ in range(20):
        assert (await site.post()).status_code == 200
    await until(lambda: scene.renewals(site))
    assert len(scene.renewals(site)) < 10


@pytest.mark.parametrize("case", ["page", "key", "order"])
async def test_what_does_not_stop_the_sleep(scene: GatewayScene, case: str) -> None:
    site = await scene.site()
    await site.pod()
    if case == "page":
        assert (await site.ask("GET", "/health")).status_code == 200
    else:
        site.tell(**({"key_digests": ("0" * 64,)} if case == "key" else {"answer": "Refuse"}))
        assert (await site.post()).status_code == 200
    await asyncio.sleep(0.05)
    assert not scene.renewals(site)


async def test_many_deployments_are_renewed_beside_each_other(scene: GatewayScene) -> None:
    sites = [await scene.site(f"news-{number}") for number in range(20)]
    asking = [asyncio.create_task(site.post()) for site in sites]
    await until(lambda: all(scene.renewals(site) for site in sites))
    for site in sites:
        site.tell(answer="Refuse")
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {503}
