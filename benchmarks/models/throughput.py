"""Training speed of `base` and the published model, at equal width, depth, tokens and mask ratio, in one process.

    python -m benchmarks.models.throughput --survey ~/mmae/surveys/models
    python -m benchmarks.models.throughput --survey ~/mmae/surveys/models --device cuda --galaxies 4096

Steps of the models alternate, on the same galaxies. Prints median speeds, their ratio, floating-point operations of a
training step, and the peak memory of a step in addition to model and data; on a GPU also the operation rate relative to
that of a large bfloat16 matrix product.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models.survey import load, rows, simulated_survey
from mmae.config import RunConfig
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch, InputSpec
from mmae.model.modalities import ModalitiesConfig
from mmae.recipes import recipe
from mmae.training.step import create_state, training_step

WARM_UP = 2
PRODUCT = 8192  # side of the matrices whose product measures the peak rate of a GPU


def contestants() -> dict[str, RunConfig]:
    """The published model, and `base` with its sizes.

    These are: width 256, 8 heads, depth 4, 64 image tokens, 33 spectrum tokens, 75% of both masked, the spectrum hidden
    from half of the galaxies. `base` reads the spectrum at full sampling: 240 samples per token, the 8 x 30 samples
    averaged in a token of the published model. Everything else (feed-forward layers, decoder, fraction of the batch
    that is reconstructed) is that of `base`, except the convolutional stem, which is that of `small`, sized for a CPU.
    One variant has feed-forward layers of four times the width, as in the paper's encoder.
    """
    paper, base, small = recipe("paper"), recipe("base"), recipe("small")
    sizes = paper.model
    images = replace(small.model.modalities.image, patch=sizes.image_patch)
    spectra = replace(base.model.modalities.spectrum, patch=sizes.spectrum_pool * sizes.spectrum_patch)
    joint = replace(
        base.model,
        modalities=ModalitiesConfig(image=images, spectrum=spectra),
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        decoder_width=base.model.decoder_width,
    )
    ours = replace(paper, model=joint, masks=replace(paper.masks, drop_unit="sample"))
    runs = {
        "paper": paper,
        "base": ours,
        "base, feed-forward x4": replace(ours, model=replace(joint, mlp_ratio=float(sizes.mlp_ratio))),
    }
    bfloat16 = {
        f"{name}, bfloat16": replace(run, compute=replace(run.compute, precision="bfloat16"))
        for name, run in runs.items()
    }
    return runs | bfloat16


def seconds_of_steps(
    runs: dict[str, RunConfig], galaxies: Batch, spec: InputSpec, device: torch.device, steps: int
) -> dict[str, list[float]]:
    """Wall time of each step; steps of the models alternate."""
    states = {name: create_state(run, spec, device) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(WARM_UP + steps):
        for name, run in runs.items():
            _wait(device)
            started = time.perf_counter()
            training_step(states[name], galaxies, run)
            _wait(device)
            if step >= WARM_UP:
                times[name].append(time.perf_counter() - started)
        print(f"step {step + 1} of {WARM_UP + steps}", flush=True)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations(run: RunConfig, galaxies: Batch, spec: InputSpec, device: torch.device) -> float:
    """Floating-point operations of a training step per galaxy: matrix products, convolutions, attention."""
    state = create_state(run, spec, device)
    with FlopCounterMode(display=False) as counter:
        training_step(state, galaxies, run)
    return counter.get_total_flops() / len(galaxies)


def peak_memory(run: RunConfig, galaxies: Batch, spec: InputSpec, device: torch.device) -> int:
    """Peak memory of a step in bytes, in addition to model, optimiser and data."""
    state = create_state(run, spec, device)
    training_step(state, rows(galaxies, np.arange(2)), run)  # allocates libraries and optimiser moments
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        training_step(state, galaxies, run)
        return torch.cuda.max_memory_allocated(device) - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # return freed memory to the system, so that its reuse is counted
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak resident size (VmHWM)
    training_step(state, galaxies, run)
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    """Resident memory of this process in bytes: current (VmRSS) or peak (VmHWM)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return 1024 * int(line.split()[1])


def product_rate(device: torch.device) -> float:
    """Floating-point operations per second of a large bfloat16 matrix product."""
    a, b = (torch.randn(PRODUCT, PRODUCT, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        a @ b
        _wait(device)
        times.append(time.perf_counter() - started)
    return 2 * PRODUCT**3 / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True, help="folder of the survey; simulated if empty")
    parser.add_argument("--galaxies", type=int, default=2000, help="number of galaxies to simulate")
    parser.add_argument("--batch", type=int, default=256, help="galaxies per step")
    parser.add_argument("--steps", type=int, default=7, help="timed steps per model")
    parser.add_argument("--device", default="cpu", help="torch device")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    survey = simulated_survey(arguments.survey.expanduser(), arguments.galaxies)
    spec, train = input_spec(survey.spec), load(survey, "train")
    complete_N = np.flatnonzero(train.present["image"].numpy() & train.present["spectrum"].numpy())
    galaxies = rows(train, complete_N[: arguments.batch]).to(device)
    runs = contestants()
    times = seconds_of_steps(runs, galaxies, spec, device, arguments.steps)
    paper_seconds = statistics.median(times["paper"])
    rate = product_rate(device) if device.type == "cuda" else None
    print(f"{'':32} galaxies/s  of paper  GFLOP/galaxy  peak MB" + ("  of bfloat16 peak" if rate else ""))
    for name, run in runs.items():
        seconds = statistics.median(times[name])
        flops = operations(run, galaxies, spec, device)
        memory = peak_memory(run, galaxies, spec, device)
        share = f"  {flops * len(galaxies) / seconds / rate:17.1%}" if rate else ""
        speed = f"{len(galaxies) / seconds:10.1f} {paper_seconds / seconds:8.2f}x"
        print(f"{name:32} {speed} {flops / 1e9:13.2f} {memory / 1e6:8.0f}{share}")


if __name__ == "__main__":
    main()
