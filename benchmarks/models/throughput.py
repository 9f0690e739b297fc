"""Training speed of `base` against the published model, at its width, depth, tokens and mask ratio, in one process.

    python -m benchmarks.models.throughput --survey ~/mmae/surveys/models
    python -m benchmarks.models.throughput --survey ~/mmae/surveys/models --device cuda --galaxies 4096

Steps of both are taken in turn, on the same galaxies; printed are medians, their ratio, floating-point operations of a
training step, and the most memory that a step needs beyond model and data. On a GPU also the share of the bfloat16
operations per second that a large matrix product reaches there.
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
PRODUCT = 8192  # side of the matrices whose product stands for the peak of a GPU


def contestants() -> dict[str, RunConfig]:
    """The published model, and ours with its sizes: width 256, 8 heads, depth 4, 64 image tokens, 33 spectrum tokens, 75%
    of both masked, the spectrum hidden from half of the galaxies.

    Ours reads the spectrum at full sampling: 240 samples a token, which are the 8 x 30 that one of theirs is the mean of.
    What is not among these (convolutions, feed-forward layers, decoder, share of the batch that is reconstructed) is that of
    `base`, or of `small` where that says more of a CPU. With feed-forward layers of four times the width, as in the paper's
    encoder, ours is there as well.
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
        "base, all reconstructed": replace(ours, model=replace(joint, reconstructed=1.0)),
    }
    in_half = {
        f"{name}, bfloat16": replace(run, compute=replace(run.compute, precision="bfloat16"))
        for name, run in runs.items()
    }
    return runs | in_half


def seconds_of_steps(
    runs: dict[str, RunConfig], galaxies: Batch, spec: InputSpec, device: torch.device, steps: int
) -> dict[str, list[float]]:
    """Wall time of each step, the contestants in turn."""
    states = {name: create_state(run, spec, device) for name, run in runs.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(WARM_UP + steps):
        for name, run in runs.items():
            _wait(device)
            started = time.perf_counter()
            training_step(states[name], galaxies, run)
            _wait(device)
            if step >= WARM_UP:
                taken[name].append(time.perf_counter() - started)
        print(f"step {step + 1} of {WARM_UP + steps}", flush=True)
    return taken


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
    """Bytes that a step needs beyond model, optimiser and data."""
    state = create_state(run, spec, device)
    training_step(state, rows(galaxies, np.arange(2)), run)  # libraries and moments
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        training_step(state, galaxies, run)
        return torch.cuda.max_memory_allocated(device) - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed goes back, and shows when it is taken again
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the highest mark so far
    training_step(state, galaxies, run)
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    """Bytes of memory that this process has (VmRSS) or had at most (VmHWM)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return 1024 * int(line.split()[1])


def product_rate(device: torch.device) -> float:
    """Operations per second of a large bfloat16 matrix product."""
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
    parser.add_argument("--survey", type=Path, required=True, help="folder of the survey; simulated if it is empty")
    parser.add_argument("--galaxies", type=int, default=2000, help="to simulate")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    survey = simulated_survey(arguments.survey.expanduser(), arguments.galaxies)
    spec, train = input_spec(survey.spec), load(survey, "train")
    whole_N = np.flatnonzero(train.present["image"].numpy() & train.present["spectrum"].numpy())
    galaxies = rows(train, whole_N[: arguments.batch]).to(device)
    runs = contestants()
    taken = seconds_of_steps(runs, galaxies, spec, device, arguments.steps)
    slowest = statistics.median(taken["paper"])
    rate = product_rate(device) if device.type == "cuda" else None
    print(f"{'':32} galaxies/s  of paper  GFLOP/galaxy  peak MB" + ("  of bfloat16 peak" if rate else ""))
    for name, run in runs.items():
        seconds = statistics.median(taken[name])
        flops = operations(run, galaxies, spec, device)
        memory = peak_memory(run, galaxies, spec, device)
        share = f"  {flops * len(galaxies) / seconds / rate:17.1%}" if rate else ""
        print(
            f"{name:32} {len(galaxies) / seconds:10.1f} {slowest / seconds:8.2f}x {flops / 1e9:13.2f} {memory / 1e6:8.0f}{share}"
        )


if __name__ == "__main__":
    main()
