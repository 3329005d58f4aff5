"""What the server does with more than it can take, with nonsense, and at its end.

`make bench NAME=serve_overload`, about forty minutes. MiniLM is asked half an hour at one and a half times what it can
answer, by callers who do not wait for each other, while malformed requests come in between. At the same time others are
ended under load two hundred times: by SIGTERM alone, and by the preStop hook and SIGTERM. Every request that reached
them must be answered. `--quick` takes a fake model and a minute, and writes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

from bench.load import Address, Load, closed_loop, json_request, once, open_loop  # noqa: E402  # the path above
from bench.malformed_requests import PATH, malformed  # noqa: E402
from bench.peers.model import mixed_texts, served_model  # noqa: E402
from bench.report import Row, write  # noqa: E402
from support.server_process import ServerProcess, running  # noqa: E402

OVERLOAD = 1.5
MAX_GROWTH_MIB_A_MINUTE = 1.0
SETTLED_SECONDS = 300
"""What the first minutes need is no growth: connections, batches of every size."""
CALLERS = 16
_DRAIN_SECONDS = 1.0
_START_SECONDS = 180
_HOOK_SECONDS = 0.2
_MALFORMED_PAUSE = 0.05


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    seconds: float
    rounds: int
    """Of each of the two ways to end it."""
    fake: bool


@dataclass
class Nonsense:
    """Malformed requests that were tried, and what they were answered."""

    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def unanswered(self) -> int:
        """Neither refused nor, by chance, right."""
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 500)


@dataclass
class Overload:
    """What the half hour brought."""

    capacity: float
    load: Load
    nonsense: Nonsense
    growth_mib: float
    """Of the resident memory, once it had settled."""
    growth_minutes: float
    """What it took for that."""


@dataclass
class Ends:
    """What the rounds brought."""

    rounds: int = 0
    requests: int = 0
    lost: int = 0
    server_errors: int = 0
    wrong_exits: list[int] = field(default_factory=list)


@contextlib.contextmanager
def server(fake: bool) -> Iterator[ServerProcess]:
    """A ready server of ours."""
    model = "/fake/model" if fake else str(served_model())
    python = ("-m", "support.fake_server") if fake else ("-m", "classifier_server")
    with running(["--model", model, "--drain-seconds", str(_DRAIN_SECONDS)], python=python) as started:
        started.wait_until_ready(_START_SECONDS)
        yield started


def overload(plan: Plan, requests: Sequence[bytes], measured: threading.Event) -> Overload:
    """Asks for `plan.seconds` at one and a half times the capacity; `measured` is set when that is known."""
    with server(plan.fake) as started:
        address = ("127.0.0.1", started.port)
        capacity = closed_loop(address, requests, clients=32, seconds=min(20, plan.seconds / 4), warm_up=2).per_second
        measured.set()
        nonsense, over = Nonsense(), threading.Event()
        stream = threading.Thread(target=_talk_nonsense, args=(address, nonsense, over))
        memory: list[float] = []
        settling = min(SETTLED_SECONDS, plan.seconds / 3)
        settled = threading.Timer(settling, lambda: memory.append(_resident_mib(started)))
        stream.start()
        settled.start()
        turns = itertools.cycle(requests)
        load = open_loop(address, lambda: next(turns), rate=OVERLOAD * capacity, seconds=plan.seconds)
        growth = _resident_mib(started) - memory[0]
        over.set()
        stream.join()
        if once(address, requests[0]).status != 200:
            raise SystemExit("the server does not answer after the overload")
    return Overload(capacity, load, nonsense, growth, (plan.seconds - settling) / 60)


def _talk_nonsense(address: Address, nonsense: Nonsense, over: threading.Event) -> None:
    for request in malformed():
        if over.wait(_MALFORMED_PAUSE):
            return
        nonsense.statuses[once(address, request).status] += 1


def _resident_mib(started: ServerProcess) -> float:
    for line in Path(f"/proc/{started.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the server is gone")


def end_under_load(plan: Plan, requests: Sequence[bytes], hook: bool, ends: Ends) -> None:
    """One round: callers who come until the port refuses them, half of them with a new connection each time."""
    with server(plan.fake) as started:
        address = ("127.0.0.1", started.port)
        anew = [request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) for request in requests]
        loads: list[Load] = []

        def call(those: Sequence[bytes]) -> None:
            loads.append(closed_loop(address, those, clients=CALLERS // 2, seconds=60))

        threads = [threading.Thread(target=call, args=(those,)) for those in (requests, anew)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        if hook:
            urllib.request.urlopen(f"{started.internal}/drain", timeout=10).close()  # noqa: S310  # our own address
            time.sleep(_HOOK_SECONDS)
        started.terminate()
        code = started.wait(60)
        for thread in threads:
            thread.join()
    ends.rounds += 1
    ends.requests += sum(load.sent for load in loads)
    ends.lost += sum(load.lost for load in loads)
    ends.server_errors += sum(load.server_errors for load in loads)
    if code:
        ends.wrong_exits.append(code)


def end_many(plan: Plan, requests: Sequence[bytes], begin: threading.Event, ends: Ends) -> None:
    """All rounds, once `begin` is set."""
    begin.wait()
    for number in range(plan.rounds):
        for hook in (False, True):
            end_under_load(plan, requests, hook, ends)
        print(f"round {number + 1}: {ends.requests} requests, {ends.lost} lost", file=sys.stderr, flush=True)


def figures(found: Overload, ends: Ends, plan: Plan) -> list[Row]:
    """What must hold: nothing is lost, nothing fails, memory stays."""
    load = found.load
    # Under overload a connection that is refused is an answer that is missing; at its end a server refuses them.
    lost = load.lost + load.refused + found.nonsense.unanswered + ends.lost
    errors = load.server_errors + ends.server_errors
    growth, most = round(found.growth_mib, 1), round(MAX_GROWTH_MIB_A_MINUTE * found.growth_minutes, 1)
    others = load.sent - load.statuses[200] - load.statuses[429]
    requests = load.sent + found.nonsense.statuses.total() + ends.requests
    done = ends.rounds == 2 * plan.rounds and not ends.wrong_exits
    return [
        Row("requests", "requests in all", requests),
        Row("lost", "without a whole answer", lost, "", "0", lost == 0),
        Row("http_5xx", "answered 500 or more", errors, "", "0", errors == 0),
        Row("overload_other_answers", "under overload, neither 200 nor 429", others, "", "0", others == 0),
        Row("rss_growth_mib", f"growth of the resident memory in the last {found.growth_minutes:.0f} minutes", growth,
            "MiB", f"< {most:g}", growth < most),
        Row("sigterm_rounds", "ends under load, with exit code 0", ends.rounds - len(ends.wrong_exits), "",
            str(2 * plan.rounds), done),
        Row("malformed_tried", "malformed requests in between", found.nonsense.statuses.total()),
        Row("capacity_per_s", "what 32 clients are answered", round(found.capacity, 1), "requests/s"),
        Row("overload_answered_per_s", "answered under overload", round(load.per_second, 1), "requests/s"),
        Row("overload_429_share", "told to come again", round(load.statuses[429] / max(load.sent, 1), 3)),
        Row("overload_p95_s", "95th percentile of answers, since they were due", round(load.quantile(0.95), 2), "s"),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fake model and a minute; writes nothing")
    parser.add_argument("--minutes", type=float, default=30.0, help="of overload (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=100, help="of each way to end it (default: %(default)s)")
    options = parser.parse_args(arguments)
    plan = Plan(10.0, 2, True) if options.quick else Plan(60 * options.minutes, options.rounds, False)
    texts = ["oil prices fell"] * 20 if plan.fake else mixed_texts(500, seed=2)
    requests = [json_request(PATH, {"input": text}) for text in texts]
    measured, ends = threading.Event(), Ends()
    rounds = threading.Thread(target=end_many, args=(plan, requests, measured, ends))
    rounds.start()
    try:
        found = overload(plan, requests, measured)
    finally:
        measured.set()
    rounds.join()
    rows = figures(found, ends, plan)
    if options.quick:
        print(json.dumps({row.key: row.value for row in rows}))
        return 0  # what it needs at first is more than a few seconds allow it to grow
    notes = [
        f"Open loop, Poisson arrivals, {options.minutes:g} minutes; answers: {dict(found.load.statuses)}.",
        f"Malformed requests were answered: {dict(sorted(found.nonsense.statuses.items()))}.",
        f"The load generator used {found.load.own_cpu_share:.2f} CPUs.",
    ]
    write(
        "serve_overload",
        title="Overload, nonsense and ends",
        command="make bench NAME=serve_overload",
        rows=rows,
        notes=notes,
    )
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
