"""Hundreds of deployments with a common schedule, which all switch at the same minute.

Run by hand: `make bench NAME=sleepers`, on a cluster with the operator (`make install`). 300 pods do not fit on such a
machine: they run on a node without a machine (support.hollow_node), at the address of one real server with a made-up
model, which answers for all of them. Everything else is real: control plane, operator, gateway, Services.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "operator" / "src")]

from bench.report import Row, write  # noqa: E402  # the paths above make the script run by itself
from bench.schedule_cost import cpu_seconds_per_day  # noqa: E402
from bench.sleep_scene import Scene, scene  # noqa: E402
from bench.sleepers_group import FAR, IDLE_SECONDS, LATER, SAMPLE, Sleepers  # noqa: E402
from bench.sleepers_watch import Meters  # noqa: E402
from classifier_operator.kube.client import Json  # noqa: E402
from classifier_operator.kube.resources import PODS, SERVICES  # noqa: E402
from support import fast_server  # noqa: E402
from support.control_plane import eventually  # noqa: E402
from support.faults import Faults, is_ready  # noqa: E402
from support.hollow_node import HollowNode, placement  # noqa: E402
from support.stages import StageWatch  # noqa: E402
from support.traffic import Tally  # noqa: E402

COUNT = 300
MOST_MIB = 200

Figures = dict[str, float]


async def stand_in(at: Scene, image: str) -> str:
    """A real server with a made-up model; its IP."""
    config = {"version": "v1alpha1", "name": "stand-in", "model": {"uri": fast_server.MODEL}}
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "server",
        "image": image,
        "env": [{"name": "CLASSIFIER_SERVE_CONFIG", "value": json.dumps(config)}],
        "securityContext": security,
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 9090}, "periodSeconds": 1},
    }
    spec = {"automountServiceAccountToken": False, "securityContext": user, "containers": [container]}
    await at.cluster.create(PODS, {"metadata": {"name": "stand-in"}, "spec": spec})

    async def ready() -> str | None:
        pod = await at.cluster.get(PODS, "stand-in")
        return str(pod["status"]["podIP"]) if is_ready(pod) else None

    address: str = await eventually("the pod that stands in is ready", ready, seconds=120, pause=0.5)
    return address


def manifest(name: str, image: str, node: str) -> Json:
    """A deployment that is off until the year 2999."""
    made = fast_server.deployment(name, image, schedule={"timeZone": "UTC", "windows": [FAR]}, startupTimeout="5m")
    made["spec"]["podTemplate"]["spec"] = placement(node)
    return made


async def measure(count: int) -> tuple[Figures, Tally]:
    """Everything that needs the cluster."""
    async with scene("bench-sleepers", connections=200) as at, Meters(at) as meters:
        faults, node = Faults(at.client), at.cluster.namespace
        address = await stand_in(at, image := await asyncio.to_thread(fast_server.ensure_image))
        async with HollowNode(at.cluster, node, address) as hollow:
            wanted = [f"sleeper-{number}" for number in range(count)]
            begun = time.monotonic()
            await at.apply([manifest(name, image, node) for name in wanted])
            await at.until_phase(wanted, ["Sleeping"], seconds=300)
            settled = round(time.monotonic() - begun, 1)
            ports = {each["metadata"]["name"]: each["spec"] for each in await at.cluster.list(SERVICES)}
            urls = {name: f"http://{ports[name]['clusterIP']}:80" for name in wanted}
            async with StageWatch(at.cluster) as watch:
                sleepers = Sleepers(at, watch, wanted, urls)
                sleepers.figures["settle_s"] = settled
                await sleepers.asleep()
                await sleepers.ask(wanted, LATER)
                _say("all sleep: the gateway is rolled")
                sleepers.figures["gateway_roll_s"] = await sleepers.roll(faults)
                _say("outside: Sleep")
                await sleepers.switch("Sleep", "sleep")
                _say(f"outside: WakeOnRequest; {SAMPLE} are woken while the gateway is rolled")
                idle = {"inactivityTimeout": f"{IDLE_SECONDS}s"}
                await sleepers.patch({"timeZone": "UTC", "windows": [FAR], "outside": "WakeOnRequest"}, **idle)
                await sleepers.roll(faults, woken=random.Random(1).sample(wanted, SAMPLE))
                await sleepers.asleep()
                await sleepers.switch("WakeOnRequest", "wake_on_request")
                hollow.check()
            figures = sleepers.figures | await meters.figures()
            return figures, sleepers.tally


_SECONDS = {
    "settle_s": "from the first POST until all sleep",
    "sleep_on_s": "outside: Sleep; the last one wants pods after the minute",
    "sleep_ready_s": "the same; the last Service leads to its pod alone",
    "sleep_off_s": "the same; the last pods go after the minute",
    "wake_on_request_on_s": "outside: WakeOnRequest; the last one wants pods after the minute",
    "wake_on_request_ready_s": "the same; the last Service leads to its pod alone",
    "wake_on_request_off_s": "the same; the last pods go after the time for it",
}


def report(figures: Figures, tally: Tally, count: int, *, looks: int, changes: int) -> bool:
    """Writes the table; whether all of it is as it shall be."""
    rss, refused = figures["operator_rss_mib"], figures["refused"]
    cpu = figures["schedule_cpu_s_per_day"]
    roll = figures["gateway_roll_s"]
    rows = [
        Row("deployments", "deployments with a common schedule, all right at each switch", count),
        Row("operator_rss_mib", "largest memory of the operator", rss, "MiB", f"< {MOST_MIB}", rss < MOST_MIB),
        Row("gateway_roll_s", "a roll of the gateway, until all Services lead to the new pods", roll, "s"),
        Row("schedule_cpu_s_per_day", "CPU of 1000 schedules a day, over a year", round(cpu, 3), "s", "< 1", cpu < 1),
        *(Row(key, what, figures[key], "s") for key, what in _SECONDS.items()),
        Row("refused", "requests that the API server refused for their number", refused, "", "0", refused == 0),
        Row("requests", "requests meanwhile", tally.requests),
        Row("lost", "of them lost", tally.lost, "", "0", tally.lost == 0),
    ]
    notes = [
        f"The {count} pods run on a node without a machine, at the address of one real server with a made-up model "
        "that answers for all; control plane, operator, gateway and Services are real, on the same cores.",
        f"With outside: WakeOnRequest they have an inactivityTimeout of {IDLE_SECONDS} s and are asked until the end "
        "of the window, so that their sleep is counted from that time after the last request.",
        "A request is lost unless it ends with its right answer or, while a schedule is off with outside: Sleep, with "
        "503 and Retry-After. The gateway was rolled twice: while all were off and asked again and again, and while "
        f"{SAMPLE} were woken one after the other.",
        f"Schedules: {looks} looks, at each of {changes} changes and otherwise every ten minutes, in one thread.",
        *(f"Lost: {words}" for words in tally.losses),
    ]
    write("sleepers", title="Many deployments asleep", command="make bench NAME=sleepers", rows=rows, notes=notes)
    return all(row.kept for row in rows)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="deployments (default: %(default)s)")
    options = parser.parse_args()
    figures, tally = asyncio.run(measure(options.count))
    _say("a year of schedules")
    cpu, looks, changes = cpu_seconds_per_day()
    if not report({**figures, "schedule_cpu_s_per_day": cpu}, tally, options.count, looks=looks, changes=changes):
        sys.exit(1)


if __name__ == "__main__":
    main()
