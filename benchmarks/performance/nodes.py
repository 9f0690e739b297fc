"""A training on 1, 2 and 4 logical nodes of this machine, each with one CPU and one worker, and the bytes between them.

    python -m benchmarks.performance.nodes --survey SURVEY

The nodes share the cores of the machine: with more nodes than cores the rate cannot grow, and what it loses is the cost
of the workers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

from benchmarks.performance.epoch import WARM_UP, pretrain, speed_curve
from benchmarks.performance.line import HEADER, Line, ratio, spread
from benchmarks.performance.scale_counts import counted_communication
from mmae.recipes import recipe

PART = "logical nodes"
NODES = (1, 2, 4)
STORE = 600_000_000  # bytes of the object store of a node


def rate(survey: Path, nodes: int, steps: int, home: Path, name: str) -> float:
    """Galaxies/s of `ray_jobs/pretrain.py` with one worker per node, after the first WARM_UP steps."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        options: dict[str, object] = {
            "--survey": survey,
            "--name": name,
            "--optim.steps": WARM_UP + steps,
            "--validation.every": WARM_UP + steps,
            "--stream.lanes": max(NODES),
            "--compute.workers": nodes,
            "--compute.threads": 1,
        }
        pretrain(options, home, cluster.address)
    finally:
        cluster.shutdown()
    return statistics.harmonic_mean([p.value for step, p in speed_curve(home, name).items() if step > WARM_UP])


def lines(survey: Path, steps: int, repeats: int, counts: tuple[int, ...] = NODES) -> list[Line]:
    """The lines of the table."""
    rates: dict[int, list[float]] = {nodes: [] for nodes in counts}
    with tempfile.TemporaryDirectory() as home:
        for repeat in range(repeats):
            for nodes in counts:
                rates[nodes].append(rate(survey, nodes, steps, Path(home), f"nodes-{nodes}-{repeat}"))
    run, first = recipe("small"), counts[0]
    bytes_, sums = counted_communication(run, run.stream.batch_size)
    return [
        Line(PART, f"{first} node [galaxies/s]", spread(rates[first])),
        *(Line(PART, f"{n} nodes, of one", f"{ratio(rates[n], rates[first]):.2f}") for n in counts[1:]),
        Line(
            PART,
            f"bytes summed over workers in a step of {run.stream.batch_size} galaxies",
            f"{bytes_:,} in {sums} sums",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40, help="of each training")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    arguments = parser.parse_args()
    print(HEADER)
    for line in lines(arguments.survey.resolve(), arguments.steps, arguments.repeats, tuple(arguments.nodes)):
        print(line.markdown(), flush=True)


if __name__ == "__main__":
    main()
