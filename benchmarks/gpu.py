"""Everything that is measured on a GPU, in one script of less than 8 minutes: speed, share of the peak, scores.

    python -m benchmarks.gpu                 # writes gpu.md and gpu.json to $OUT, else to the present folder
    python -m benchmarks.gpu --dry --out DIR # all parts with tiny sizes on a CPU, in less than a minute

Needs torch, numpy, pydantic, tyro, PyYAML, joblib and tqdm, and for the simulated galaxies pyarrow, astropy, scipy,
galsim, speclite, kcorrect (its templates) and dust_extinction; neither Ray nor MLflow. Where a machine has no network,
take along as wheels what it lacks (`pip download --no-deps`): pydantic, pydantic-core, annotated-types,
typing-inspection, tyro, docstring-parser, typeguard; astropy, astropy-iers-data, pyerfa, galsim, LSSTDESC.Coord,
speclite, kcorrect, dust-extinction.

Each part has a time limit. One that fails, or takes longer, is a line of the table with its error, and the others run;
both files are written after every part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.performance import model_step
from benchmarks.performance.model_step import SPEC, noise_galaxies, operations, wait
from mmae.config import RunConfig
from mmae.inference.predict import predict_redshifts
from mmae.metrics.redshift import score_table
from mmae.model.batch import Batch
from mmae.model.masking import fixed_visible
from mmae.recipes import recipe
from mmae.training.step import TrainState, autocast, create_state, require_finite, training_step

TEST_SHARE = 0.2  # of the simulated galaxies


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    device: str
    recipe: str
    galaxies: int  # simulated
    chunk: int  # galaxies that a process simulates at a time
    processes: int
    batch: int  # of the timed steps
    warm_up: int  # steps that are not timed
    steps: int  # timed
    train_steps: int  # of `small`
    product: int  # side of the matrices whose product measures the peak
    compiler: str  # backend of torch.compile
    bootstrap: int
    precisions: tuple[str, ...] = ("float32", "bfloat16")
    contest: tuple[str, ...] = ()  # lines of the table of the contest; all if empty


GPU = Sizes("cuda", "base", 6000, 50, 16, 1024, 3, 20, 800, 8192, "inductor", 1000)
DRY = Sizes(
    "cpu", "small", 10, 10, 1, 2, 0, 1, 2, 128, "eager", 10, ("float32",), (model_step.PAPER, model_step.MASKED)
)


@dataclass
class Report:
    """Results of the parts, written after each of them.

    Attributes:
        lines: of the table: part, quantity, value.
        data: the same and more, for JSON.
    """

    folder: Path
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, quantity: str, value: str) -> None:
        self.lines.append((part, quantity, value))
        print(f"{part}: {quantity}: {value}", flush=True)

    def write(self) -> None:
        text = ["| part | quantity | value |", "|---|---|---|", *(f"| {' | '.join(line)} |" for line in self.lines)]
        (self.folder / "gpu.md").write_text("\n".join(text) + "\n")
        (self.folder / "gpu.json").write_text(json.dumps(self.data, indent=1))


class Late(TimeoutError):
    """A part took longer than its limit."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Late in the main thread after some seconds."""

    def raise_late(*_: object) -> None:
        raise Late(f"longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, raise_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_part(report: Report, name: str, limit: float, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a part, which is added to the report; empty, with a line that says why, if it fails."""
    started = time.perf_counter()
    result: dict[str, Any] = {}
    try:
        with limited(limit):
            result = part()
        report.data[name] = result
    except Exception as error:  # the other parts run
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300].replace("|", "/")
        report.add(name, "failed", message)
        report.data[name] = {"error": message, "traceback": traceback.format_exc()}
    report.add(name, "time of this part", f"{time.perf_counter() - started:.1f} s")
    report.write()
    return result


# -- simulated galaxies


def simulate_chunk(rows: tuple[int, int]) -> dict[str, np.ndarray]:
    """Arrays of the simulated galaxies of some rows, first and last + 1; NaN where there is no redshift."""
    from mmae.simulation.config import SimulationConfig
    from mmae.simulation.source import read_chunk
    from mmae.survey.schema import SurveySpec

    start, stop = rows
    galaxies = read_chunk({"start": start, "stop": stop}, SimulationConfig(galaxies=stop), SurveySpec()).galaxies
    return {
        "image": np.stack([g.image_CHW for g in galaxies]).astype(np.float32),
        "flux": np.stack([g.flux_L for g in galaxies]).astype(np.float32),
        "ivar": np.stack([g.ivar_L for g in galaxies]).astype(np.float32),
        "redshift": np.array([np.nan if g.redshift is None else g.redshift for g in galaxies], np.float32),
    }


def simulated(sizes: Sizes, seconds: float) -> Batch:
    """As many galaxies as are simulated in some seconds, at most `sizes.galaxies`."""
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes
    parts, started = [], time.perf_counter()
    chunks = [(start, start + sizes.chunk) for start in range(0, sizes.galaxies, sizes.chunk)]
    with get_context("spawn").Pool(sizes.processes) as pool:  # a forked process could not use CUDA
        for part in pool.imap_unordered(simulate_chunk, chunks):
            parts.append(part)
            if time.perf_counter() - started > seconds:
                break
        pool.terminate()
    torch.set_num_threads(sizes.processes)
    arrays = {name: torch.from_numpy(np.concatenate([p[name] for p in parts])) for name in parts[0]}
    n = len(arrays["redshift"])
    batch, known_B = noise_galaxies(n), arrays["redshift"].isfinite()
    values = batch.values | {name: arrays[name] for name in ("image", "flux", "ivar")}
    redshift_B = arrays["redshift"].nan_to_num(0.0)
    return replace(batch, values=values, redshift_B=redshift_B, redshift_known_B=known_B)


def some(batch: Batch, which_N: np.ndarray) -> Batch:
    """Some galaxies of a batch."""
    return replace(batch.take(torch.from_numpy(which_N)), object_id=[batch.object_id[i] for i in which_N])


# -- parts


def part_simulation(report: Report, sizes: Sizes, seconds: float, kept: dict[str, Batch]) -> dict[str, Any]:
    """Simulate galaxies and keep them as "all"."""
    started = time.perf_counter()
    kept["all"] = simulated(sizes, seconds)
    n = len(kept["all"])
    rate = n / (time.perf_counter() - started)
    report.add("simulation", f"galaxies on {sizes.processes} cores", f"{n}, {rate:.0f} per second")
    return {"galaxies": n, "galaxies_per_s": rate}


def part_peak(report: Report, sizes: Sizes) -> dict[str, Any]:
    """The rate of a large bfloat16 matrix product of random numbers."""
    device, n = torch.device(sizes.device), sizes.product
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = statistics.median(_timed(lambda: a @ b, device) for _ in range(sizes.warm_up + sizes.steps))
    rate = 2 * n**3 / seconds
    report.add("peak", f"bfloat16 product of {n} x {n} matrices", f"{rate / 1e12:.1f} TFLOP/s")
    return {"flop_per_s": rate}


def part_steps(report: Report, sizes: Sizes, peak: float) -> dict[str, Any]:
    """Training steps of the recipes as they are, on galaxies that are on the GPU."""
    result = {}
    for name in (sizes.recipe, "paper"):
        for precision in sizes.precisions:
            run = _run(name, precision, sizes)
            result[f"{name} {precision}"] = _measure(report, sizes, run, f"{name}, {precision}", peak, sizes.device)
    run = _run(sizes.recipe, "bfloat16", sizes)
    name = f"{sizes.recipe}, bfloat16, galaxies copied from the CPU"
    result[f"{sizes.recipe} copied"] = _measure(report, sizes, run, name, peak, "cpu")
    return result


def _measure(report: Report, sizes: Sizes, run: RunConfig, name: str, peak: float, at: str) -> dict[str, Any]:
    device = torch.device(sizes.device)
    galaxies, state = noise_galaxies(sizes.batch).to(at), create_state(run, SPEC, device)
    seconds = _step_seconds(state, galaxies, run, sizes)
    flop = operations(run, galaxies, device) * sizes.batch
    share = flop / seconds / peak if peak else float("nan")
    text = f"{sizes.batch / seconds:.0f} galaxies/s, {1e3 * seconds:.1f} ms per step, {share:.1%} of the bfloat16 peak"
    report.add("step", name, text)
    return {"seconds": seconds, "galaxies_per_s": sizes.batch / seconds, "flop": flop, "share_of_peak": share}


def part_contest(report: Report, sizes: Sizes) -> dict[str, Any]:
    """The table of benchmarks/performance/model_step.py."""
    rows = model_step.rows(sizes.batch, max(1, sizes.steps // 3), sizes.device, sizes.precisions, sizes.contest)
    for row in rows:
        text = f"{row.galaxies_per_s:.0f} galaxies/s, {row.of_paper:.1f}x of paper, {row.memory / 1e9:.1f} GB"
        report.add("contest", f"{row.name.strip()}, {row.precision}", text)
    return {"rows": [asdict(row) for row in rows]}


def part_profile(report: Report, sizes: Sizes) -> dict[str, Any]:
    """The kernels of a step that take longest."""
    device, run = torch.device(sizes.device), _run(sizes.recipe, "bfloat16", sizes)
    state, galaxies = create_state(run, SPEC, device), noise_galaxies(sizes.batch).to(device)
    _step_seconds(state, galaxies, run, sizes)
    kinds = torch.profiler.ProfilerActivity
    on_gpu = device.type == "cuda"
    with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA] if on_gpu else [kinds.CPU]) as profile:
        training_step(state, galaxies, run)
        wait(device)
    times: dict[str, list[float]] = {}
    for event in profile.events():
        if event.is_user_annotation or (event.device_type == torch.autograd.DeviceType.CUDA) != on_gpu:
            continue
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        times.setdefault(event.name, []).append(own)
    total, n = sum(map(sum, times.values())), sum(map(len, times.values()))
    report.add("profile", "kernels of a step", f"{n}, together {total / 1e3:.1f} ms")
    longest = sorted(times.items(), key=lambda item: -sum(item[1]))[:10]
    for name, each in longest:
        short = name.replace("|", "/")[:90]
        report.add("profile", short, f"{sum(each) / 1e3:.2f} ms, {sum(each) / total:.1%}, {len(each)} calls")
    return {"kernels": n, "microseconds": total, "longest": {name: sum(each) for name, each in longest}}


def part_inference(report: Report, sizes: Sizes) -> dict[str, Any]:
    """Redshifts with their intervals, from whole images and with spectra."""
    device, result = torch.device(sizes.device), {}
    galaxies = noise_galaxies(sizes.batch).to(device)
    for name in dict.fromkeys((sizes.recipe, "small")):
        model = create_state(_run(name, "bfloat16", sizes), SPEC, device).model.eval()
        for shown in (("image",), ("image", "spectrum")):
            visible = fixed_visible(galaxies, model.n_tokens, shown)

            def estimate(model=model, visible=visible) -> None:
                with torch.no_grad(), autocast(device, "bfloat16"):
                    model.redshift(galaxies, visible)

            seconds = statistics.median(
                [_timed(estimate, device) for _ in range(sizes.warm_up + sizes.steps)][sizes.warm_up :]
            )
            rate = sizes.batch / seconds
            report.add("inference", f"{name}, {' and '.join(shown)}, bfloat16", f"{rate:.0f} galaxies/s")
            result[f"{name} {' '.join(shown)}"] = rate
    return result


def part_scores(report: Report, sizes: Sizes, kept: dict[str, Batch], seconds: float) -> dict[str, Any]:
    """Train `small` on simulated galaxies, without repeats of rare kinds, and score the average of its weights."""
    if "all" not in kept:
        raise RuntimeError("there are no simulated galaxies")
    galaxies = kept["all"]
    device, run = torch.device(sizes.device), _run("small", "auto", sizes)
    run = replace(run, optim=replace(run.optim, steps=sizes.train_steps))
    test = np.arange(len(galaxies)) >= (1 - TEST_SHARE) * len(galaxies)
    train_N, test_N = np.flatnonzero(~test), np.flatnonzero(test)
    state, rng, started = create_state(run, SPEC, device), np.random.default_rng(run.seed), time.perf_counter()
    order_N = np.empty(0, int)
    norm = torch.zeros(())
    while state.step < run.optim.steps and time.perf_counter() - started < seconds:
        while len(order_N) < run.stream.batch_size:
            order_N = np.concatenate([order_N, rng.permutation(train_N)])
        _, norm = training_step(state, some(galaxies, order_N[: run.stream.batch_size]), run)
        order_N = order_N[run.stream.batch_size :]
    require_finite(float(norm), state.step)
    spent = time.perf_counter() - started
    report.add("small", f"{state.step} of {run.optim.steps} steps", f"{spent:.1f} s")
    batches = (some(galaxies, part_N) for part_N in np.array_split(test_N, max(1, len(test_N) // 256)))
    predictions = predict_redshifts(state.best_weights, batches, device)
    result: dict[str, Any] = {"steps": state.step, "seconds": spent, "train": len(train_N), "test": len(test_N)}
    for mode, z_N in predictions.predicted.items():
        usable_N = predictions.usable[mode].astype(bool)
        rows = score_table(
            predictions.redshift_N[usable_N], {mode: z_N[usable_N]}, seed=run.seed, resamples=sizes.bootstrap
        )
        for selection, scores in rows[mode].items():
            text = ", ".join(f"{name} {s.value:.4f} ({s.low:.4f} to {s.high:.4f})" for name, s in scores.items())
            report.add("small", f"{mode}, {selection}", text)
            result[f"{mode}, {selection}"] = {name: [s.value, s.low, s.high] for name, s in scores.items()}
    return result


def part_compile(report: Report, sizes: Sizes) -> dict[str, Any]:
    """Steps with and without torch.compile."""
    device, run = torch.device(sizes.device), _run(sizes.recipe, "bfloat16", sizes)
    galaxies, result = noise_galaxies(sizes.batch).to(device), {}
    for name in ("off", "on"):
        state = create_state(run, SPEC, device)
        if name == "on":
            state.trained = torch.compile(state.model, backend=sizes.compiler)
        started = time.perf_counter()
        training_step(state, galaxies, run)
        wait(device)
        first = time.perf_counter() - started
        seconds = _step_seconds(state, galaxies, run, sizes)
        text = f"{sizes.batch / seconds:.0f} galaxies/s, first step {first:.1f} s"
        report.add("torch.compile", f"{sizes.recipe}, bfloat16, {name}", text)
        result[name] = {"seconds": seconds, "first": first}
    return result


def _run(name: str, precision: str, sizes: Sizes) -> RunConfig:
    """A recipe; on a CPU one block and module of each kind of ours, to be quick."""
    run = recipe(name)
    if sizes.device == "cpu" and name != "paper":
        modalities = run.model.modalities
        image = replace(modalities.image, mixing=1, stem_depth=1)
        run = replace(run, model=replace(run.model, depth=1, modalities=replace(modalities, image=image)))
    return replace(run, compute=replace(run.compute, precision=precision))


def _timed(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def _step_seconds(state: TrainState, galaxies: Batch, run: RunConfig, sizes: Sizes) -> float:
    """Median wall time of a step; each draws its own masks."""
    device = torch.device(sizes.device)
    work: Callable[[], object] = lambda: training_step(state, galaxies, run)  # noqa: E731
    return statistics.median([_timed(work, device) for _ in range(sizes.warm_up + sizes.steps)][sizes.warm_up :])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")), help="folder of the results")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on a CPU")
    given = parser.parse_args(argv)
    sizes, kept = DRY if given.dry else GPU, {}
    given.out.mkdir(parents=True, exist_ok=True)
    report = Report(given.out)
    on_gpu = sizes.device == "cuda"
    report.add("machine", "device, torch", f"{torch.cuda.get_device_name() if on_gpu else 'CPU'}, {torch.__version__}")
    # Limits in seconds; together below 8 minutes.
    run_part(report, "simulation", 110, lambda: part_simulation(report, sizes, 90.0, kept))
    peak = run_part(report, "peak", 10, lambda: part_peak(report, sizes)).get("flop_per_s", 0.0)
    run_part(report, "step", 70, lambda: part_steps(report, sizes, peak))
    run_part(report, "profile", 25, lambda: part_profile(report, sizes))
    run_part(report, "inference", 20, lambda: part_inference(report, sizes))
    run_part(report, "small", 110, lambda: part_scores(report, sizes, kept, 90.0))
    run_part(report, "contest", 60, lambda: part_contest(report, sizes))
    run_part(report, "torch.compile", 70, lambda: part_compile(report, sizes))


if __name__ == "__main__":
    main()
