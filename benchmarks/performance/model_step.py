"""Training speed of `base` relative to the published model, at equal width, depth, tokens and masked fraction.

    python -m benchmarks.performance.model_step
    python -m benchmarks.performance.model_step --device cuda --batch 1024 --precision bfloat16

All models train on the same galaxies in one process. A round is two steps of each of them, the second one timed. A
ratio is the median over the rounds of the time of the published model's step divided by that of the other, so that
other work on the machine, which slows both, cancels; ratios of CPU time depend on it even less. Galaxies are noise: the
time of a step does not depend on the values of pixels.

Contests, all at width 256, 8 heads, depth 4, 64 image tokens and the spectrum at full sampling in 33 tokens of 240
samples, the 8 x 30 that a token of the published model averages:

- `base, masked view`: the task of the published model. 75% of the tokens of all galaxies are masked and reconstructed,
  half of the spectra are hidden as a whole, the redshift is learned from what is visible, and AdamW trains the weights.
- `base, whole step`: what a user of the recipe runs: both views, augmentation, Muon, the average of the weights.

Every other row changes one ingredient of a contest back. Sizes that are relative to the width (feed-forward layers,
decoder) are those of `base`. The stem is that of `small`, sized for a CPU, except in its row.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.performance.line import ratio
from mmae.config import RunConfig
from mmae.model.batch import Batch, InputSpec
from mmae.model.config import ModalitiesConfig
from mmae.model.modalities import MODALITIES
from mmae.recipes import recipe
from mmae.training.step import create_state, training_step

WARM_UP = 1  # rounds that are not timed
PAPER, MASKED, WHOLE = "paper", "base, masked view", "base, whole step"
# GalaxiesML-Spectra: 64 pixels in grizy, and DESI's wavelengths; noise and stretch of mmae/survey/schema.py.
SPEC = InputSpec(
    image_size=64,
    n_wavelengths=7781,
    band_noise=(0.0212, 0.0352, 0.0369, 0.0688, 0.1367),
    arcsinh_mean=(1.6004, 1.8535, 2.0918, 1.8240, 1.5074),
    arcsinh_std=(1.8264, 1.8293, 1.9493, 1.8944, 1.7909),
    wavelength_start=3600.0,
    wavelength_step=0.8,
    bands=("g", "r", "i", "z", "y"),
    pixel_scale=0.168,
    zero_point=27.0,
)


@dataclass(frozen=True)
class Contestant:
    """A configuration, and what it changes in the contest of which it is a line."""

    name: str
    config: RunConfig


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        of_paper: speed relative to the published model in the same precision.
        of_paper_float32: speed relative to the published model in float32; None if it was not run.
        of_paper_cpu: as `of_paper`, from the CPU time of the process; None on a GPU.
        gflop: floating-point operations of a step per galaxy, in 1e9; without those of the optimiser.
        memory: peak of a step in bytes, in addition to model, optimiser and data.
    """

    name: str
    precision: str
    galaxies_per_s: float
    of_paper: float
    of_paper_float32: float | None
    of_paper_cpu: float | None
    gflop: float
    memory: int


@dataclass(frozen=True)
class Times:
    """Seconds of the steps of a model."""

    wall: list[float]
    cpu: list[float]


def contestants() -> list[Contestant]:
    """The published model, both contests, and one line for each ingredient."""
    paper, masked, whole = recipe("paper"), masked_view(), whole_step()
    image = masked.model.modalities.image

    def model(run: RunConfig, **values) -> RunConfig:
        return replace(run, model=replace(run.model, **values))

    def of_image(run: RunConfig, **values) -> RunConfig:
        return model(run, modalities=replace(run.model.modalities, image=replace(image, **values)))

    def masks(run: RunConfig, **values) -> RunConfig:
        return replace(run, masks=replace(run.masks, **values))

    # One token of each modality stays hidden, as a modality without hidden tokens would be embedded by the stem.
    nearly_all = {"image_ratio": (1 / 64, 1 / 64), "spectrum_ratio": (1 / 33, 1 / 33), "drop_spectrum": 0.0}
    patches = replace(whole.redshift_masks, image_ratio=(1 / 64, 1 / 64))
    return [
        Contestant(PAPER, paper),
        Contestant(MASKED, masked),
        Contestant("  all tokens encoded", masks(masked, **nearly_all)),
        Contestant("  decoder as wide as the encoder", model(masked, decoder_width=paper.model.width)),
        Contestant("  feed-forward layers x4", model(masked, mlp_ratio=float(paper.model.mlp_ratio))),
        Contestant("  no attention between decoded patches", of_image(masked, mixing=0)),
        Contestant("  no spectral lines", _without_lines(masked)),
        Contestant("  Muon", replace(masked, optim=replace(whole.optim, ema_decay=0.0, augment=False))),
        Contestant(WHOLE, whole),
        Contestant("  all galaxies reconstructed", replace(whole, masked_share=1.0)),
        Contestant("  AdamW", replace(whole, optim=replace(whole.optim, muon_learning_rate=0.0))),
        Contestant("  whole images without the stem", replace(whole, redshift_masks=patches)),
        Contestant("  stem of base", of_image(whole, stem_width=recipe("base").model.modalities.image.stem_width)),
        Contestant("  no second view", replace(whole, redshift_masks=None, masked_share=1.0)),
    ]


def masked_view() -> RunConfig:
    """`base` at the sizes of the published model, with its masks, its optimiser and one view."""
    paper, base = recipe("paper"), recipe("base")
    sizes, ours = paper.model, base.model
    modalities = ModalitiesConfig(
        image=replace(recipe("small").model.modalities.image, patch=sizes.image_patch),
        spectrum=replace(ours.modalities.spectrum, patch=sizes.spectrum_pool * sizes.spectrum_patch),
    )
    joint = replace(
        ours,
        modalities=modalities,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        decoder_width=sizes.width * ours.decoder_width // ours.width,
    )
    return replace(paper, model=joint, masks=replace(paper.masks, drop_unit="sample"))


def whole_step() -> RunConfig:
    """`base` at the sizes of the published model, with its own views and optimiser."""
    return replace(recipe("base"), model=masked_view().model)


def _without_lines(run: RunConfig) -> RunConfig:
    spectrum = run.model.modalities.spectrum
    spectrum = replace(spectrum, lines=replace(spectrum.lines, use=False))
    return replace(run, model=replace(run.model, modalities=replace(run.model.modalities, spectrum=spectrum)))


def noise_galaxies(n: int, spec: InputSpec = SPEC, seed: int = 0) -> Batch:
    """Galaxies of noise with an image, a spectrum and a redshift below 2."""
    generator = torch.Generator().manual_seed(seed)
    image_BCHW = torch.randn(n, spec.n_bands, spec.image_size, spec.image_size, generator=generator)
    present_B = torch.ones(n, dtype=torch.bool)
    values = {name: torch.zeros(n, *shape) for kind in MODALITIES.values() for name, shape in kind.shapes(spec).items()}
    values["image"] = image_BCHW * torch.tensor(spec.band_noise)[:, None, None]
    values["flux"] = 1 + torch.randn(n, spec.n_wavelengths, generator=generator)
    values["ivar"] = torch.ones(n, spec.n_wavelengths)
    return Batch(
        values=values,
        present={name: present_B & (name in ("image", "spectrum")) for name in MODALITIES},
        redshift_B=2 * torch.rand(n, generator=generator),
        redshift_known_B=present_B,
        weight_B=torch.ones(n),
        object_id=[str(i) for i in range(n)],
    )


def rows(
    batch: int = 64,
    steps: int = 7,
    device: str = "cpu",
    precisions: tuple[str, ...] = ("float32", "bfloat16"),
    names: tuple[str, ...] = (),
) -> list[Row]:
    """The table: contestants in each precision.

    Args:
        batch: galaxies of a step.
        steps: timed rounds, after WARM_UP others.
        names: of the contestants, with the published model; all if empty.
    """
    place, galaxies = torch.device(device), noise_galaxies(batch).to(device)
    runs = {
        (c.name, precision): replace(c.config, compute=replace(c.config.compute, precision=precision))
        for precision in precisions
        for c in contestants()
        if not names or c.name in names
    }
    times = _times_of_steps(runs, galaxies, place, steps)
    table = []
    in_float32 = times.get((PAPER, "float32"))
    for (name, precision), run in runs.items():
        own, paper = times[name, precision], times[PAPER, precision]
        table.append(
            Row(
                name=name,
                precision=precision,
                galaxies_per_s=batch / statistics.median(own.wall),
                of_paper=ratio(paper.wall, own.wall),
                of_paper_float32=ratio(in_float32.wall, own.wall) if in_float32 else None,
                of_paper_cpu=ratio(paper.cpu, own.cpu) if place.type == "cpu" else None,
                gflop=operations(run, galaxies, place) / 1e9,
                memory=peak_memory(run, galaxies, place),
            )
        )
    return table


def _times_of_steps(
    runs: dict[tuple[str, str], RunConfig], galaxies: Batch, device: torch.device, steps: int
) -> dict[tuple[str, str], Times]:
    """Times of the steps; those of the models alternate."""
    states = {key: create_state(run, SPEC, device) for key, run in runs.items()}
    times = {key: Times([], []) for key in runs}
    for step in range(WARM_UP + steps):
        for key, run in runs.items():
            training_step(states[key], galaxies, run)  # not timed: the first step after another model's is slower
            wait(device)
            started, cpu = time.perf_counter(), time.process_time()
            training_step(states[key], galaxies, run)
            wait(device)
            if step >= WARM_UP:
                times[key].wall.append(time.perf_counter() - started)
                times[key].cpu.append(time.process_time() - cpu)
        print(f"round {step + 1} of {WARM_UP + steps}", flush=True)
    return times


def wait(device: torch.device) -> None:
    """Until a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations(run: RunConfig, galaxies: Batch, device: torch.device, spec: InputSpec = SPEC) -> float:
    """Floating-point operations of the losses of a step and their gradient per galaxy: matrix products, convolutions,
    attention.

    The optimiser, whose work does not depend on the number of galaxies, is not counted.
    """
    optim = replace(run.optim, muon_learning_rate=0.0)
    state = create_state(replace(run, optim=optim), spec, device)
    with FlopCounterMode(display=False) as counter:
        training_step(state, galaxies, run)
    return counter.get_total_flops() / len(galaxies)


def peak_memory(run: RunConfig, galaxies: Batch, device: torch.device) -> int:
    """Peak memory of a step in bytes, in addition to model, optimiser and data."""
    state = create_state(run, SPEC, device)
    training_step(state, noise_galaxies(2).to(device), run)  # allocates libraries and optimiser moments
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


def markdown(table: list[Row]) -> str:
    """The table of a page."""
    lines = [
        "| | precision | galaxies/s | of paper | of paper in float32 | of paper, CPU time | GFLOP/galaxy "
        "| memory of a step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        float32, cpu = ("" if x is None else f"{x:.1f}x" for x in (row.of_paper_float32, row.of_paper_cpu))
        lines.append(
            f"| {row.name.replace('  ', '&nbsp;&nbsp;')} | {row.precision} | {row.galaxies_per_s:.1f} "
            f"| {row.of_paper:.1f}x | {float32} | {cpu} | {row.gflop:.2f} | {row.memory / 1e9:.2f} GB |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="galaxies per step")
    parser.add_argument("--steps", type=int, default=7, help="timed rounds")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    given = parser.parse_args(argv)
    print(markdown(rows(given.batch, given.steps, given.device, tuple(given.precision))))


if __name__ == "__main__":
    main()
