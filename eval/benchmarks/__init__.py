"""Every benchmark by name. A new one is a file here and a line in `BENCHMARKS`."""

from __future__ import annotations

from eval.benchmarks import (
    autoj,
    evalbiasbench,
    followbench,
    hhh,
    judgebench,
    judgelm,
    llmbar,
    mtbench,
    pairs,
    pandalm,
    rewardbench,
    rewardbench2,
    rmbench,
)
from eval.benchmarks.base import Benchmark
from planner.errors import UserError

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        rewardbench, rewardbench2, judgebench, rmbench, followbench, pandalm, judgelm, llmbar, autoj, mtbench, evalbiasbench,
        hhh, pairs,
    )
}  # fmt: skip


def named(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        UserError: there is none.
    """
    if name not in BENCHMARKS:
        raise UserError(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
