"""Hidden pixels of real HSC cutouts, filled in by a model trained on simulated galaxies, beside simulated ones.

    python -m benchmarks.models.real_cutouts ~/mmae/runs/NAME/best ~/mmae/surveys/simulated-v3-6000 --out real

Without Ray, a minute: 75% of the image is hidden, eight masks of each of the 44 HSC-COSMOS cutouts of --data, and one
of each galaxy of the split. Prints a Markdown table and writes a figure. The cutouts are windows of 11 parent images
and overlap: errors are from a bootstrap over parents. They are centred on blends and brighter than the targets of the
survey; the simulated galaxies of similar brightness are those with the nearest i-band flux within 3 arcsec. Their noise
floor is that of HSC's own variances, where they are given, and of the background outside (docs/realism.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure

from benchmarks.models.score import batches
from benchmarks.models.survey import load, rows
from mmae.evaluation.catalogue import read_catalogue
from mmae.evaluation.hidden import noise_floor
from mmae.evaluation.hidden.baselines import INTERPOLATED, MEAN, NEAREST, SYMMETRIC, Baselines
from mmae.evaluation.hidden.image_measures import FilledMeasures, Masked, band_of, join_measures
from mmae.evaluation.hidden.image_scores import HiddenSample, join_samples, sample_of, score_hidden
from mmae.evaluation.hidden.parts import (
    JUDGED,
    TRAINING_GALAXIES,
    fill_with_baselines,
    fill_with_model,
    observed_images,
    patch_side,
    read_training,
)
from mmae.evaluation.images.photometry import OUTER, aperture_weights
from mmae.evaluation.photoz.strata import POINT_SOURCE
from mmae.inference.checkpoint import load_model
from mmae.loader.collate import to_batch
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.plots.image import draw_rgb, white_level
from mmae.realism.reference import RealImages, read_hsc
from mmae.realism.stamp_sets import weight_noise
from mmae.report.contents import Measured, cell_text
from mmae.report.style import style
from mmae.survey.schema import SurveySpec
from mmae.survey.store import open_survey

CPU = torch.device("cpu")
DATA = Path(__file__).parents[3] / "shared/data/galaxies"
MODEL, VISIBLE_MEAN = "model", "mean of the visible pixels"
METHODS = (MODEL, VISIBLE_MEAN, INTERPOLATED, SYMMETRIC, MEAN, NEAREST)
MASKS = 8  # of each real cutout
SIMILAR = 5  # simulated galaxies of similar brightness for each real cutout
RESAMPLES = 200
SHOWN = 6  # galaxies in the figure
LIMIT = 1.5  # largest ratio to simulated galaxies that meets the target
SCORES = {
    "mse": "MSE of hidden pixels",
    "excess": "excess over the noise floor",
    "seam": "seam ratio",
    "flux": "hidden flux ratio, median",
    "flux_error": "hidden flux, median abs(ratio - 1)",
    "colour": "hidden g-i [mag], median",
    "colour_error": "hidden g-i [mag], median abs",
    "radius": "half-light radius ratio, median",
    "angle": "position angle [deg], median abs",
}
JUDGED_RATIOS = ("mse", "excess", "seam", "flux_error", "colour_error", "angle")  # errors: the smaller the better

T = TypeVar("T", FilledMeasures, HiddenSample)


@dataclass(frozen=True)
class Images:
    """N masked images, the measures of each method, and the independent objects of the bootstrap."""

    sample: HiddenSample
    filled: Mapping[str, FilledMeasures]
    group_N: np.ndarray
    observed_NCHW: np.ndarray
    visible_NHW: np.ndarray
    model_NCHW: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder of the model")
    parser.add_argument("survey", type=Path, help="folder of the simulated survey")
    parser.add_argument("--split", default="val", help="split of the survey")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real cutouts")
    parser.add_argument("--out", type=Path, default=Path("real_cutouts"), help="folder of the figure")
    parser.add_argument("--seed", type=int, default=0, help="of masks and bootstrap")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, _ = load_model(arguments.checkpoint)
    survey = open_survey(arguments.survey)
    spec, seed = survey.spec, arguments.seed
    galaxies, hsc = load(survey, arguments.split), read_hsc(arguments.data)
    train = load(survey, "train")
    training = read_training(batches(rows(train, np.arange(min(TRAINING_GALAXIES, len(train)))), CPU), spec)
    first_mask = fill_with_model(model, real_batch(hsc.image_NCHW, spec), CPU, JUDGED, seed).visible_BHW.numpy()
    baselines = Baselines.fitted(training.image_MCHW, first_mask)
    point_N = read_catalogue(survey, arguments.split).in_order(galaxies.object_id).morphtype_N == POINT_SOURCE

    simulated = filled(model, galaxies, point_N, np.arange(len(galaxies)), baselines, spec, seed)
    real = joined(
        [
            filled(
                model,
                real_batch(hsc.image_NCHW, spec),
                np.zeros(len(hsc.image_NCHW), bool),
                hsc.parent_N,
                baselines,
                spec,
                seed + mask,
                variance(hsc),
            )
            for mask in range(MASKS)
        ]
    )
    similar = chosen(simulated, similar_brightness(real, simulated, spec))
    print(table(real, similar, simulated, spec, seed))
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "real_cutouts.png"
    figure(real, simulated, spec).savefig(file, dpi=110)
    print(f"\n{file}")


def real_batch(image_NCHW: np.ndarray, spec: SurveySpec) -> Batch:
    """Real images as a batch without spectra and redshifts. All pixels are observed."""
    n, width = len(image_NCHW), image_NCHW[0].nbytes
    return to_batch(
        pa.table(
            {
                "object_id": [f"real-{row}" for row in range(n)],
                "redshift": pa.nulls(n, pa.float32()),
                "image": pa.array([image_CHW.tobytes() for image_CHW in image_NCHW], pa.binary(width)),
            }
        ),
        spec,
    )


def variance(hsc: RealImages) -> np.ndarray:
    """Noise variance of each pixel, counts squared: 1 / weight, and that of the sky of the cutout outside."""
    sky_NC11 = np.square(weight_noise(hsc))[:, :, None, None]
    known_NCHW = hsc.weight_NCHW > 0
    return np.where(known_NCHW, 1 / np.where(known_NCHW, hsc.weight_NCHW, 1), sky_NC11)


@torch.no_grad()
def filled(
    model: Model,
    galaxies: Batch,
    point_N: np.ndarray,
    group_N: np.ndarray,
    baselines: Baselines,
    spec: SurveySpec,
    seed: int,
    variance_NCHW: np.ndarray | None = None,
) -> Images:
    """One mask of each galaxy, filled in by all methods."""
    parts, start = [], 0
    for number, batch in enumerate(batches(galaxies, CPU)):
        here = slice(start, start + len(batch))
        start = here.stop
        estimate = fill_with_model(model, batch, CPU, JUDGED, seed + number)
        observed, image_NCHW = observed_images(batch), estimate.image_BCHW.numpy()
        masked = Masked(observed, estimate.visible_BHW.numpy(), patch_side(model, spec), spec)
        floor = noise_floor.published(observed, spec, None if variance_NCHW is None else variance_NCHW[here])
        sample = sample_of(masked, None, floor, point_N[here])
        made = {MODEL: image_NCHW, VISIBLE_MEAN: visible_mean(masked), **fill_with_baselines(masked, baselines)}
        measures = {name: masked.measure(image, sample.elongated_N()) for name, image in made.items()}
        parts.append(Images(sample, measures, group_N[here], observed, masked.visible_NHW, image_NCHW))
    return joined(parts)


def visible_mean(masked: Masked) -> np.ndarray:
    """The mean of the visible pixels of each band, everywhere."""
    mean_NC11 = masked.observed_NCHW.mean((2, 3), keepdims=True, where=masked.shown_NCHW)
    return np.broadcast_to(mean_NC11, masked.observed_NCHW.shape)


def joined(parts: list[Images]) -> Images:
    return Images(
        join_samples([part.sample for part in parts]),
        {name: join_measures([part.filled[name] for part in parts]) for name in parts[0].filled},
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Images)[2:]),
    )


def chosen(images: Images, which_N: np.ndarray) -> Images:
    """The images selected by indices."""
    return Images(
        taken(images.sample, which_N),
        {name: taken(measures, which_N) for name, measures in images.filled.items()},
        *(getattr(images, f.name)[which_N] for f in fields(Images)[2:]),
    )


def taken(values: T, which_N: np.ndarray) -> T:
    """Measures or samples of some galaxies."""

    def one(value):
        return value[which_N] if isinstance(value, np.ndarray) else taken(value, which_N)

    return type(values)(**{f.name: one(getattr(values, f.name)) for f in fields(values)})


def brightness(image_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Log of the flux (N,) within 3 arcsec in the shape band; faint galaxies are as bright as the noise."""
    weight_HW = aperture_weights(OUTER, spec.image_size, spec.pixel_scale)
    flux_N = np.einsum("nhw,hw->n", image_NCHW[:, band_of(spec)], weight_HW)
    return np.log(np.maximum(flux_N, spec.band_noise[band_of(spec)]))


def similar_brightness(real: Images, simulated: Images, spec: SurveySpec) -> np.ndarray:
    """Row numbers of the simulated galaxies of similar brightness, each once; point sources are left out."""
    simulated_N = np.where(simulated.sample.point_N, np.inf, brightness(simulated.observed_NCHW, spec))
    distance_RN = np.abs(brightness(real.observed_NCHW, spec)[:, None] - simulated_N)
    return np.unique(np.argsort(distance_RN, axis=1)[:, :SIMILAR])


def scores(images: Images, method: str, spec: SurveySpec, seed: int) -> dict[str, Measured]:
    """Scores of a method, with errors from a bootstrap over groups."""

    def values(which_N: np.ndarray) -> list[float]:
        measures, sample = taken(images.filled[method], which_N), taken(images.sample, which_N)
        found = score_hidden(measures, sample, spec=spec, seed=seed, resamples=1)  # the value is used alone
        return [getattr(found, name).value for name in SCORES]

    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(images.group_N == group) for group in np.unique(images.group_N)]
    drawn = [
        values(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(drawn, [16, 84], axis=0)
    middle = values(np.arange(len(images.group_N)))
    return {name: Measured(*pair) for name, *pair in zip(SCORES, middle, 0.5 * (high - low), strict=True)}


def table(real: Images, similar: Images, simulated: Images, spec: SurveySpec, seed: int) -> str:
    """The scores of the model on real and simulated images, and the errors of all methods."""
    found = [scores(images, MODEL, spec, seed) for images in (real, similar, simulated)]
    lines = [
        f"real: {len(real.group_N)} masked images of {np.unique(real.group_N).size} parents; simulated: "
        f"{len(similar.group_N)} galaxies of similar brightness, {len(simulated.group_N)} in all",
        "",
        "| 75% hidden, image only | real | simulated, similar brightness | real / simulated | simulated, all |",
        "|---|---|---|---|---|",
    ]
    for name, title in SCORES.items():
        cells = [cell_text(one[name]) for one in found]
        ratio = found[0][name].value / found[1][name].value
        verdict = ""
        if name in JUDGED_RATIOS:
            verdict = f"{ratio:.2f}, {'met' if ratio <= LIMIT else 'missed'}" if np.isfinite(ratio) else "no galaxy"
        lines.append(f"| {title} | {cells[0]} | {cells[1]} | {verdict} | {cells[2]} |")
    lines += [
        "",
        "| MSE of hidden pixels | real | simulated, similar brightness | simulated, all |",
        "|---|---|---|---|",
    ]
    for method in METHODS:
        if method in real.filled:
            cells = [cell_text(scores(images, method, spec, seed)["mse"]) for images in (real, similar, simulated)]
            lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


@style()
def figure(real: Images, simulated: Images, spec: SurveySpec) -> Figure:
    """Real cutouts of different parents, and the simulated galaxies of most similar brightness beside them."""
    first_of_parent = np.unique(real.group_N, return_index=True)[1]
    bright = first_of_parent[np.argsort(-brightness(real.observed_NCHW[first_of_parent], spec))]
    result = Figure(figsize=(11, 1.9 * SHOWN + 0.6), layout="constrained")
    axes = result.subplots(SHOWN, 6, squeeze=False)
    for column, title in enumerate(2 * ("observed", "model input", "filled in")):
        axes[0, column].set_title(f"{'real' if column < 3 else 'simulated'}: {title}")
    used: list[int] = []
    for row, at in enumerate(bright[np.linspace(0, len(bright) - 1, SHOWN).astype(int)]):
        other = similar_brightness(chosen(real, np.array([at])), simulated, spec)
        beside = next(int(n) for n in other if n not in used)
        used.append(beside)
        for images, n, first in ((real, at, 0), (simulated, beside, 3)):
            observed_CHW, visible_HW = images.observed_NCHW[n], images.visible_NHW[n]
            white = white_level(observed_CHW, spec)
            hidden_CHW = np.where(visible_HW, observed_CHW, np.nan)
            pasted_CHW = np.where(visible_HW, observed_CHW, images.model_NCHW[n])
            for column, image_CHW in enumerate((observed_CHW, hidden_CHW, pasted_CHW)):
                draw_rgb(axes[row, first + column], image_CHW, spec, white, absent=False)
        axes[row, 0].set_ylabel(f"parent\n{real.group_N[at]}", fontsize=7)
        axes[row, 3].set_ylabel("similar\nbrightness", fontsize=7)
    return result


if __name__ == "__main__":
    main()
