"""A training step on paper: time, cost and limits of `base` on many GPUs, from counted quantities.

    python -m benchmarks.performance.scale
    python -m benchmarks.performance.scale --batch 1024 --epochs 50 --price 4.0

Nothing is run on a GPU. A step of one GPU takes the longest of the times of its resources, as if all others were
hidden behind it:

- arithmetic: matrix products, convolutions and attention at 40% of the peak, an assumption, followed by all other
  operations at the bandwidth of the memory, as kernels run one after another;
- launches: the number of operations times 10 us, an assumption: a CPU thread starts the kernels of a GPU;
- network: the gradient in a ring over all GPUs, and the latency of every sum over the workers;
- reading: the rows as stored, from an object store, shared by the GPUs of a node;
- decoding: rows to tensors on the cores of a node.

benchmarks/performance/scale_check.py compares this with what runs on this machine.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks.performance.scale_check import check
from benchmarks.performance.scale_counts import Counts, count
from mmae.recipes import recipe

GALAXIES = (10**6, 10**8, 10**9)
GPUS = (8, 64, 512)


@dataclass(frozen=True)
class Cluster:
    """Rates of the hardware, in SI units."""

    # NVIDIA H200 data sheet (2024): 1,979 TFLOP/s in bfloat16 with sparsity, half of it dense; 4.8 TB/s; 900 GB/s of
    # NVLink, the sum of both directions.
    peak: float = 989e12
    memory_bandwidth: float = 4.8e12
    memory: float = 141e9
    nvlink: float = 450e9
    # NVIDIA ConnectX-7 data sheet (2023): NDR InfiniBand, 400 Gb/s; one adapter per GPU in a DGX H100/H200.
    network: float = 50e9
    # Amazon S3 user guide, "Performance guidelines": up to 100 Gb/s between S3 and one instance.
    storage: float = 12.5e9
    gpus_per_node: int = 8
    # AWS EC2 p5en.48xlarge: 8 H200, 192 virtual cores.
    cores_per_node: int = 192
    # Galaxies per second and core from Parquet to tensors: Ray Data gave 5,900 per second on 2 cores of this machine.
    decoding: float = 2950.0
    # Assumptions, not data sheets:
    efficiency: float = 0.4  # of the peak, in matrix products
    launch: float = 10e-6  # seconds of a CPU thread for each operation
    latency: float = 30e-6  # seconds of a sum over the workers


@dataclass(frozen=True)
class Step:
    """Seconds that each resource needs for one step of all GPUs."""

    galaxies: int  # of all GPUs
    seconds: dict[str, float]
    memory: float  # bytes on each GPU

    @property
    def limit(self) -> str:
        """The resource that saturates first."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def time(self) -> float:
        return self.seconds[self.limit]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    galaxies: int
    gpus: int
    galaxies_per_s: float
    hours: float
    cost: float
    limit: str
    use: dict[str, float]  # of each resource, relative to the one that limits
    terabytes: float  # of the survey


def step_on(counts: Counts, cluster: Cluster, gpus: int, batch: int) -> Step:
    """A step with `batch` galaxies on each of `gpus` GPUs, in bfloat16 (half of the traffic that was counted)."""
    on_node = min(gpus, cluster.gpus_per_node)
    flop, traffic = counts.flop.of(batch), counts.traffic.of(batch) / 2
    link = cluster.nvlink if gpus <= cluster.gpus_per_node else cluster.network
    ring = 2 * (gpus - 1) / gpus
    seconds = {
        "arithmetic": flop / (cluster.efficiency * cluster.peak) + traffic / cluster.memory_bandwidth,
        "launches": counts.operations * cluster.launch,
        "network": ring * (counts.gradient + counts.synchronised.of(gpus * batch)) / link
        + (counts.sums * cluster.latency if gpus > 1 else 0.0),
        "reading": on_node * batch * counts.read / cluster.storage,
        "decoding": on_node * batch / (cluster.cores_per_node * cluster.decoding),
    }
    return Step(gpus * batch, seconds, counts.state + counts.activations.of(batch) / 2)


def table(counts: Counts, cluster: Cluster, batch: int, epochs: int, price: float) -> list[Row]:
    """Time and cost of training.

    Args:
        batch: galaxies of a step on each GPU.
        price: of a GPU for an hour, in USD.
    """
    result = []
    for galaxies in GALAXIES:
        for gpus in GPUS:
            step = step_on(counts, cluster, gpus, batch)
            rate = step.galaxies / step.time
            hours = galaxies * epochs / rate / 3600
            use = {name: seconds / step.time for name, seconds in step.seconds.items()}
            result.append(
                Row(galaxies, gpus, rate, hours, hours * gpus * price, step.limit, use, galaxies * counts.read / 1e12)
            )
    return result


def markdown(rows: list[Row]) -> str:
    """The table of a page."""
    names = list(rows[0].use)
    lines = [
        "| galaxies | GPUs | galaxies/s | time | cost | limit | " + " | ".join(names) + " |",
        "|---" * (6 + len(names)) + "|",
    ]
    for row in rows:
        time_text = f"{row.hours * 60:.1f} min" if row.hours < 2 else f"{row.hours:,.1f} h"
        use = " | ".join(f"{row.use[name]:.0%}" for name in names)
        lines.append(
            f"| {row.galaxies:.0e} | {row.gpus} | {row.galaxies_per_s:,.0f} | {time_text} | ${row.cost:,.0f} "
            f"| {row.limit} | {use} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="base", choices=["base", "small"])
    parser.add_argument("--batch", type=int, default=1024, help="galaxies of a step on each GPU")
    parser.add_argument("--epochs", type=int, default=50, help="times that every galaxy is shown")
    parser.add_argument("--price", type=float, default=4.0, help="USD for a GPU for an hour, an assumption")
    parser.add_argument("--sizes", type=int, nargs=2, default=[8, 24], help="numbers of galaxies that are counted")
    parser.add_argument("--check-batch", type=int, default=64, help="galaxies of the step on this machine; 0: no check")
    given = parser.parse_args(argv)
    counts, cluster = count(recipe(given.recipe), tuple(given.sizes)), Cluster()
    print(
        f"{given.recipe}: {counts.flop.galaxy / 1e9:.2f} GFLOP and {counts.traffic.galaxy / 1e6:.0f} MB of traffic per "
        f"galaxy, {counts.flop.fixed / 1e9:.0f} GFLOP and {counts.traffic.fixed / 1e9:.1f} GB per step, "
        f"{counts.operations:.0f} operations; {counts.activations.galaxy / 1e6:.1f} MB of activations and "
        f"{counts.read / 1e3:.0f} kB read per galaxy; gradient {counts.gradient / 1e6:.1f} MB, {counts.sums} sums over "
        f"the workers (float32)."
    )
    step = step_on(counts, cluster, 8, given.batch)
    times = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in step.seconds.items())
    print(f"{given.batch} galaxies on each of 8 GPUs: {times}; {step.memory / 1e9:.0f} GB on each.\n")
    print(markdown(table(counts, cluster, given.batch, given.epochs, given.price)))
    if given.check_batch:
        print(f"\n{check(given.check_batch)}")


if __name__ == "__main__":
    main()
