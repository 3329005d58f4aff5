"""Requests a second beside vLLM and Infinity on a CPU, and how soon each is ready.

`make bench NAME=serve`, about an hour on a machine that does nothing else. All serve the same MiniLM classifier with
torch 2.13. A request has one text of 8 to 512 tokens; 1, 8, 32 and 128 clients ask again as soon as they are answered.
The servers take turns, those whose turn it is not are stopped, and the median of five rounds counts. Two comparisons:
all in float32, and each with the better of its number formats. `--quick` takes seconds for each and writes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

from bench.http_overhead import overhead_ms  # noqa: E402  # the path above makes the script run by itself
from bench.load import closed_loop, once  # noqa: E402
from bench.peers import infinity, ours, vllm  # noqa: E402
from bench.peers.model import mixed_texts, served_model  # noqa: E402
from bench.peers.setting import Precision, Server, Setting, StartError  # noqa: E402
from bench.report import Row, write  # noqa: E402

CLIENTS = (1, 8, 32, 128)
FIRST_PORT = 18400
HTTP_MS = 1.5
MAX_DIFFERENCE = 1e-3
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    clients: Sequence[int]
    rounds: int
    seconds: float
    warm_up: float
    cold: bool
    """Whether the page cache is dropped to see a first start."""


@dataclass
class Found:
    """What was measured of one setting."""

    ready: dict[str, float] = field(default_factory=dict)
    """Seconds by `warm` and `cold`."""
    rates: dict[int, list[float]] = field(default_factory=dict)
    """Answers a second in each round, by clients."""
    p95: dict[int, list[float]] = field(default_factory=dict)
    own_cpu: list[float] = field(default_factory=list)
    failed: int = 0

    def rate(self, clients: int) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates[clients])


def settings(peers: Sequence[str]) -> list[Setting]:
    """Ours and the peers', each in float32 and in its own best format."""
    makers: dict[str, tuple[Callable[[Path, int, Precision], Setting], tuple[Precision, ...]]] = {
        ours.NAME: (ours.setting, ("float32", "auto")),
        vllm.NAME: (vllm.setting, ("float32", "bfloat16")),
        infinity.NAME: (infinity.setting, ("float32", "bfloat16")),
    }
    model, ports = served_model(), count(FIRST_PORT)
    return [
        make(model, next(ports), precision)
        for make, precisions in (makers[name] for name in peers)
        for precision in precisions
    ]


def measure(wanted: Sequence[Setting], plan: Plan, logs: Path) -> dict[str, Found]:
    """By the setting's name."""
    found = {setting.name: Found() for setting in wanted}
    texts = mixed_texts(2000, seed=1)
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for setting in wanted:
            server = Server(setting, logs / f"{setting.name.replace(' ', '-')}.log")
            try:
                if plan.cold and _drop_caches():
                    with server:
                        found[setting.name].ready["cold"] = server.start()
                stack.enter_context(server)
                server.start()  # reads everything into the page cache
                server.stop()
                found[setting.name].ready["warm"] = server.start()
            except StartError as error:
                print(error, file=sys.stderr)
                del found[setting.name]
                continue
            server.pause()
            servers[setting.name] = server
        _same_answers(servers, texts[:5])
        for turn in range(plan.rounds):
            for clients in plan.clients:
                for name, server in servers.items():
                    _measure_one(server, found[name], texts, clients, plan)
                    rate, took = found[name].rates[clients][-1], found[name].p95[clients][-1]
                    print(f"round {turn + 1}, {clients} clients, {name}: {rate:.1f}/s, p95 {took:.3f} s",
                          file=sys.stderr, flush=True)  # fmt: skip
    return found


def _measure_one(server: Server, found: Found, texts: Sequence[str], clients: int, plan: Plan) -> None:
    requests = [server.setting.request(text) for text in texts]
    server.resume()
    load = closed_loop(server.setting.address, requests, clients=clients, seconds=plan.seconds, warm_up=plan.warm_up)
    server.pause()
    found.rates.setdefault(clients, []).append(load.per_second)
    found.p95.setdefault(clients, []).append(load.quantile(0.95))
    found.own_cpu.append(load.own_cpu_share)
    found.failed += load.sent - load.statuses[200]


def _same_answers(servers: Mapping[str, Server], texts: Sequence[str]) -> None:
    """That all compute the same model: in float32 their probabilities are those of ours.

    Raises:
        SystemExit: one does not.
    """
    expected: list[dict[str, float]] = []
    for name, server in sorted(servers.items(), key=lambda entry: not entry[0].startswith("ours")):
        if server.setting.precision != "float32":
            continue
        server.resume()
        got = [
            server.setting.probabilities(once(server.setting.address, server.setting.request(text)).body)
            for text in texts
        ]
        server.pause()
        expected = expected or got
        worst = max(abs(a[label] - b[label]) for a, b in zip(got, expected, strict=True) for label in b)
        if worst > MAX_DIFFERENCE:
            raise SystemExit(f"{name} answers another probability, by {worst:.4f}: what is compared is not the same")


def _drop_caches() -> bool:
    """Whether the page cache could be dropped."""
    subprocess.run(["sync"], check=True)
    try:
        _DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    time.sleep(1)
    return True


def figures(found: Mapping[str, Found], clients: Sequence[int]) -> list[Row]:
    """Ours against the best peer, in float32 and with the better format of each."""
    rows = []
    for prefix, own, mark in (("", "ours auto", ""), ("fp32_", "ours float32", " float32")):
        peers = [name for name in found if not name.startswith("ours") and (not prefix or name.endswith(mark))]
        for callers in clients:
            best = max((found[name].rate(callers) for name in peers), default=0.0)
            if own not in found or not best:
                continue
            ratio = round(found[own].rate(callers) / best, 2)
            asking = f"{callers}_client{'s' * (callers != 1)}"
            what = f"ours to the best peer, {asking.replace('_', ' ')}, {'all float32' if prefix else 'best formats'}"
            rows.append(Row(f"{prefix}ratio_{asking}", what, ratio, "", "≥ 1", ratio >= 1))
    for kind, key in (("warm", "warm_cache"), ("cold", "cold_cache")):
        times = {name: each.ready[kind] for name, each in found.items() if kind in each.ready}
        mine = times.get("ours auto")
        others = min((value for name, value in times.items() if not name.startswith("ours")), default=None)
        if mine is not None:
            kept, what = others is None or mine < others, f"ours, from start to first answer, {kind} page cache"
            rows.append(Row(f"ready_{key}_s", what, round(mine, 2), "s", "< best peer", kept))
        if others is not None:
            name = "ready_best_peer_s" if kind == "warm" else "ready_best_peer_cold_s"
            rows.append(Row(name, f"the best peer, {kind} page cache", round(others, 2), "s"))
    for name, each in found.items():
        for callers in clients:
            key = f"{name.replace(' ', '_')}_{callers}"
            rows.append(Row(f"{key}_per_s", f"{name}, {callers} clients", round(each.rate(callers), 1), "requests/s"))
            late = statistics.median(each.p95[callers])
            rows.append(Row(f"{key}_p95_ms", f"{name}, {callers} clients, 95th percentile", round(1000 * late), "ms"))
    return rows


def notes(found: Mapping[str, Found], plan: Plan) -> list[str]:
    """What a reader of the table should know."""
    shares = [share for each in found.values() for share in each.own_cpu]
    failed = {name: each.failed for name, each in found.items() if each.failed}
    return [
        "Texts of 8 to 512 tokens, spread evenly by their logarithm.",
        f"Medians of {plan.rounds} rounds of {plan.seconds:g} s.",
        f"The load generator itself used {min(shares):.2f} to {max(shares):.2f} of the CPUs that it shares with them.",
        "All with torch 2.13.0; vLLM with Intel's OpenMP and, where it is installed, tcmalloc loaded first.",
        f"Requests without an answer of 200: {json.dumps(failed) if failed else 'none'}.",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a few seconds; writes nothing")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--peers", nargs="+", default=["ours", "vllm", "infinity"])
    options = parser.parse_args(arguments)
    if options.quick:
        plan = Plan(options.clients, 1, min(options.seconds, 4.0), 1.0, cold=False)
    else:
        plan = Plan(options.clients, options.rounds, options.seconds, 3.0, cold=True)
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as logs:
        found = measure(settings(options.peers), plan, Path(logs))
    rows = figures(found, plan.clients)
    own = overhead_ms(requests=300 if options.quick else 3000)
    rows.append(Row("http_overhead_ms", "our HTTP over the engine, median of one client", round(own, 2), "ms",
                    f"≤ {HTTP_MS}", own <= HTTP_MS))  # fmt: skip
    if options.quick:
        print(json.dumps({row.key: row.value for row in rows}, indent=1))
        print("\n".join(notes(found, plan)))
        return 0
    write(
        "serve",
        title="Serving on a CPU beside vLLM and Infinity",
        command="make bench NAME=serve",
        rows=rows,
        notes=notes(found, plan),
    )
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
