"""Where and how precisely the model is computed."""

from __future__ import annotations

import math
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-not-found, import-untyped, unused-ignore]

from classifier_trainer import distributed

_ONE_THREAD_WIDTH = 1024
_MAX_WORKERS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Compute:
    """The device and the number format of the backbone; what is trained is always in fp32."""

    device: torch.device
    dtype: torch.dtype
    workers: int = 1
    """Batches that are computed side by side on a CPU, each on its share of the threads."""

    def autocast(self) -> AbstractContextManager[object]:
        """Computes in `dtype` where that is not fp32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    @property
    def token_budget(self) -> int:
        """Padded tokens of a micro-batch."""
        return 16384 if self.device.type == "cuda" else 1024

    @property
    def packs(self) -> bool:
        """Whether rows may stand one behind the other, without padding: on a CPU there is no kernel for that, and the
        mask of all pairs of tokens costs more than the padding."""
        return self.device.type == "cuda"

    @property
    def memory_is_tight(self) -> bool:
        """Whether a batch can be too large for the device, so that its memory is tried out first."""
        return self.device.type == "cuda"

    def memory(self) -> int:
        """Bytes of the device; on a CPU those of the machine, or of the cgroup's limit."""
        if self.device.type == "cuda":
            return int(torch.cuda.get_device_properties(self.device).total_memory)
        return _cpu_memory()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """`function` of each item, in their order; on a CPU several at a time, in threads.

        torch releases the interpreter while it computes, and threads that never wait for each other lose nothing to
        whoever else is on the machine: 16 rows of 48 tokens took 1.75 s so, and 2.4 s with both CPUs on one batch.
        What torch keeps a thread (autocast, inference mode) must be entered in `function`. No more results wait to be
        taken than there are workers, so that large ones do not pile up.
        """
        if self.workers == 1 or len(items) < 2:
            yield from map(function, items)
            return
        threads = max(1, cpu_count() // self.workers)
        before = torch.get_num_threads()
        pool = ThreadPoolExecutor(self.workers, "compute", initializer=torch.set_num_threads, initargs=(threads,))
        ready: deque[Future[Result]] = deque()
        try:
            for item in items:
                if len(ready) == 2 * self.workers:
                    yield ready.popleft().result()
                ready.append(pool.submit(function, item))
            while ready:
                yield ready.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def find_compute(precision: Literal["Auto", "BFloat16", "Float32"]) -> Compute:
    """This process's GPU if there is one; Auto is bf16 where the hardware multiplies it faster than fp32."""
    torch.set_num_threads(cpu_count())
    device = torch.device("cuda", distributed.local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    workers = min(_MAX_WORKERS, cpu_count()) if device.type == "cpu" else 1
    if precision == "Auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        return Compute(device, torch.bfloat16 if native else torch.float32, workers)
    return Compute(device, torch.bfloat16 if precision == "BFloat16" else torch.float32, workers)


def linear_algebra(width: int) -> AbstractContextManager[object]:
    """As many threads for numpy and scipy as matrices of this width are worth.

    On small ones the threads of OpenBLAS mostly spin: fitting a head 576 wide took 72 CPU seconds with two, 5 with one.
    """
    limits: AbstractContextManager[object] = threadpool_limits(
        1 if width <= _ONE_THREAD_WIDTH else cpu_count(), user_api="blas"
    )
    return limits


def cpu_count() -> int:
    """Whole CPUs this process may use: affinity, the limit of its cgroup, its neighbours, and OMP_NUM_THREADS."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2: the affinity decides
    count = max(1, count // distributed.local_world_size())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, int(asked)) if asked.isdigit() and int(asked) > 0 else count


def _cpu_memory() -> int:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole  # no cgroup v2
    return min(whole, int(limit)) if limit.isdigit() else whole


def _cpu_has_bf16() -> bool:
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    # Without one of these a bf16 product is emulated and slower than fp32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
