"""Requests a second beside vLLM and Infinity on a CPU, and how soon each is ready.

`make bench NAME=serve`, about half an hour on a machine that does nothing else. All serve the same MiniLM classifier.
A request has one text, of about 70 tokens or of 8 to 512; 1, 8, 32 and 128 clients ask again as soon as they are
answered. The servers take turns, those whose turn it is not are stopped, and the median of five rounds counts. Two
comparisons: all in float32, and each at its best setting. `--quick` takes seconds for each and writes nothing.
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
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

from bench.http_overhead import overhead_ms  # noqa: E402  # the path above makes the script run by itself
from bench.load import closed_loop, once  # noqa: E402
from bench.peers import infinity, ours, vllm  # noqa: E402
from bench.peers.model import MAX_TOKENS, mixed_texts, served_model  # noqa: E402
from bench.peers.setting import Precision, Server, Setting, StartError  # noqa: E402
from bench.report import Row, write  # noqa: E402

CLIENTS = (1, 8, 32, 128)
LENGTHS = {"": (62, 78), "mixed": (8, MAX_TOKENS)}
"""Tokens of the shortest and the longest text, by what stands before a figure's name."""
FIRST_PORT = 18400
HTTP_MS, READY_SECONDS = 1.5, 8.0
FLOAT32_RATIO, ALONE_RATIO, BEST_RATIO, LATE_RATIO = 1.1, 1.2, 1.5, 1.1
"""What is to be reached: in float32; at the best settings with one client, and with more; of the 99th percentiles."""
MAX_DIFFERENCE = 1e-3
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Case(NamedTuple):
    """What is asked at a time."""

    texts: str
    """One of LENGTHS."""
    clients: int

    @property
    def key(self) -> str:
        """In the names of figures."""
        return f"{self.texts}_{self.clients}" if self.texts else str(self.clients)

    def __str__(self) -> str:
        texts = "texts of {} to {} tokens".format(*LENGTHS[self.texts])
        return f"{self.clients} client{'s' * (self.clients != 1)}, {texts}"


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    cases: Sequence[Case]
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
    rates: dict[Case, list[float]] = field(default_factory=dict)
    """Answers a second in each round."""
    latencies: dict[Case, list[float]] = field(default_factory=dict)
    """Seconds of each answer, of all rounds."""
    own_cpu: list[float] = field(default_factory=list)
    failed: int = 0

    def rate(self, case: Case) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates[case])

    def p99(self, case: Case) -> float:
        """Seconds that 99 of 100 answers took at most."""
        return statistics.quantiles(self.latencies[case], n=100)[98]


def settings(peers: Sequence[str]) -> list[Setting]:
    """Ours and the peers', each in float32 and in what else may be its best setting."""
    makers: dict[str, tuple[Callable[[Path, int, Precision], Setting], tuple[Precision, ...]]] = {
        ours.NAME: (ours.setting, ("float32", "auto")),
        # Its `auto` is float16, which this kind of CPU computes six times slower than bfloat16.
        vllm.NAME: (vllm.setting, ("float32", "bfloat16")),
        infinity.NAME: (infinity.setting, ("float32",)),
        infinity.OPTIMUM: (infinity.optimum_setting, ("float32",)),
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
    texts = {name: mixed_texts(1000, 1, shortest=low, longest=high) for name, (low, high) in LENGTHS.items()}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for setting in wanted:
            server = Server(setting, logs / f"{setting.name.replace(' ', '-')}.log")
            try:
                if plan.cold and _drop_caches():
                    with server:
                        found[setting.name].ready["cold"] = server.start()
                stack.enter_context(server)
                if "cold" not in found[setting.name].ready:
                    server.start()  # reads everything into the page cache
                    server.stop()
                found[setting.name].ready["warm"] = server.start()
            except StartError as error:
                print(error, file=sys.stderr)
                del found[setting.name]
                continue
            server.pause()
            servers[setting.name] = server
        _same_answers(servers, texts["mixed"][:5])
        for turn in range(plan.rounds):
            for case in plan.cases:
                for name, server in servers.items():
                    _measure_one(server, found[name], texts[case.texts], case, plan)
                    rate, late = found[name].rates[case][-1], found[name].p99(case)
                    print(f"round {turn + 1}, {case}, {name}: {rate:.1f}/s, p99 {late:.3f} s",
                          file=sys.stderr, flush=True)  # fmt: skip
    return found


def _measure_one(server: Server, found: Found, texts: Sequence[str], case: Case, plan: Plan) -> None:
    requests = [server.setting.request(text) for text in texts]
    server.resume()
    load = closed_loop(
        server.setting.address, requests, clients=case.clients, seconds=plan.seconds, warm_up=plan.warm_up
    )
    # Some compute what was asked though the clients have left; that is not to fall into the next measurement.
    once(server.setting.address, requests[0])
    server.pause()
    found.rates.setdefault(case, []).append(load.per_second)
    found.latencies.setdefault(case, []).extend(load.latencies)
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


def figures(found: Mapping[str, Found], cases: Sequence[Case]) -> list[Row]:
    """Ours against the best peer, in float32 and at the best setting of each."""
    rows = []
    for best in (True, False):
        own = "ours auto" if best else "ours float32"
        peers = [
            each for name, each in found.items() if not name.startswith("ours") and (best or name.endswith(" float32"))
        ]
        if own not in found or not peers:
            continue
        for case in cases:
            fastest = max(each.rate(case) for each in peers)
            soonest = min(each.p99(case) for each in peers)
            name = "_".join(part for part in (case.texts, "" if best else "fp32") if part)
            name, asking = f"{name}_" if name else "", f"{case.clients}_client{'s' * (case.clients != 1)}"
            what = f"{case}, {'best settings' if best else 'all float32'}"
            least = FLOAT32_RATIO if not best else ALONE_RATIO if case.clients == 1 else BEST_RATIO
            ratio, late = round(found[own].rate(case) / fastest, 2), round(found[own].p99(case) / soonest, 2)
            rows += [
                Row(f"{name}ratio_{asking}", f"answers/s, ours to the best peer, {what}", ratio, "", f"≥ {least}",
                    ratio >= least),
                Row(f"{name}p99_ratio_{asking}", f"99th percentile, {what}", late, "", f"≤ {LATE_RATIO}",
                    late <= LATE_RATIO),
            ]  # fmt: skip
    rows += _ready(found)
    for name, each in found.items():
        for case in cases:
            key = f"{name.replace(' ', '_')}_{case.key}"
            rows.append(Row(f"{key}_per_s", f"{name}, {case}", round(each.rate(case), 1), "requests/s"))
            rows.append(Row(f"{key}_p99_ms", f"{name}, {case}, 99th percentile", round(1000 * each.p99(case)), "ms"))
    return rows


def _ready(found: Mapping[str, Found]) -> list[Row]:
    rows = []
    for kind, key, bound in (("warm", "warm_cache", READY_SECONDS), ("cold", "cold_cache", None)):
        times = {name: each.ready[kind] for name, each in found.items() if kind in each.ready}
        mine = times.get("ours auto")
        others = min((value for name, value in times.items() if not name.startswith("ours")), default=None)
        if mine is not None:
            bounds = [limit for limit in (bound, others) if limit is not None]
            said = " and ".join(["< best peer"] * (others is not None) + [f"< {bound}"] * (bound is not None))
            what = f"ours, from start to first answer, {kind} page cache"
            kept = all(mine < limit for limit in bounds)
            rows.append(Row(f"ready_{key}_s", what, round(mine, 2), "s", said, kept))
        if others is not None:
            name = "ready_best_peer_s" if kind == "warm" else "ready_best_peer_cold_s"
            rows.append(Row(name, f"the best peer, {kind} page cache", round(others, 2), "s"))
    return rows


def notes(found: Mapping[str, Found], plan: Plan) -> list[str]:
    """What a reader of the table should know."""
    shares = [share for each in found.values() for share in each.own_cpu]
    failed = {name: each.failed for name, each in found.items() if each.failed}
    return [
        "The lengths of texts are spread evenly by their logarithm.",
        f"Medians of {plan.rounds} rounds of {plan.seconds:g} s; percentiles of all answers of all rounds.",
        "At each number of clients the best peer is the fastest there, and for the percentile the soonest.",
        f"The load generator itself used {min(shares):.2f} to {max(shares):.2f} of the CPUs that it shares with them.",
        "All with torch 2.13.0; vLLM with Intel's OpenMP and, where it is installed, tcmalloc loaded first.",
        f"Requests without an answer of 200: {json.dumps(failed) if failed else 'none'}.",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a few seconds; writes nothing")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--texts", nargs="+", default=list(LENGTHS))
    parser.add_argument("--peers", nargs="+", default=[ours.NAME, vllm.NAME, infinity.NAME, infinity.OPTIMUM])
    options = parser.parse_args(arguments)
    cases = [Case(texts, clients) for texts in options.texts for clients in options.clients]
    rounds = 1 if options.quick else options.rounds
    plan = Plan(cases, rounds, options.seconds, warm_up=1.0, cold=not options.quick)
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as logs:
        found = measure(settings(options.peers), plan, Path(logs))
    rows = figures(found, plan.cases)
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
