"""Noise, neighbours and central objects of the images, beside real HSC-COSMOS cutouts.

Shape suffixes: S stamps, C bands, H and W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.realism import published
from mmae.realism.figures_images import central_figure, noise_figure
from mmae.realism.reference import load, read_hsc
from mmae.realism.rows import Watch, no_watch
from mmae.realism.stamp_sets import (
    CENTRAL_RANGE,
    StampSet,
    central_statistics,
    central_values,
    field_density,
    group_medians,
    measure_stamps,
    median_and_error,
    weight_noise,
)
from mmae.realism.statistics import ks_distance
from mmae.report.contents import NOT_JUDGED, Cell, Drawing, Section, Table, judge_difference, judge_factor, judge_ratio
from mmae.survey.schema import SurveySpec

NOISE_TOLERANCE = 0.15
CORRELATION_TOLERANCE = 0.03
DENSITY_FACTOR = 2.0  # 11 fields, of a few objects each


def image_section(
    image_SCHW: np.ndarray, spec: SurveySpec, reference: Path | None, seed: int, watch: Watch = no_watch
) -> Section:
    """The same measurements on a sample of simulated stamps and on real cutouts.

    Args:
        image_SCHW: the sample, counts.
    """
    title = "Image noise, neighbours and central objects"
    if not len(image_SCHW):
        return Section("images", title, "", left_out="Left out: the survey has no images.")
    simulated = measure_stamps(image_SCHW, spec, watch=watch, what="simulated stamps")
    loaded = load(read_hsc, reference)
    real = real_noise_SC = None
    if loaded.value is not None and loaded.value.image_NCHW.shape[1] == len(spec.bands):
        cut = loaded.value
        # Outside its parent's footprint, what is detected belongs to the field.
        outside_NHW = (cut.weight_NCHW <= 0).all(axis=1)
        real = measure_stamps(cut.image_NCHW, spec, cut.parent_N, outside_NHW)
        real_noise_SC = weight_noise(cut)
    text = (
        f"{len(image_SCHW):,} simulated stamps"
        + (
            f" and {len(real.group_S)} real cutouts of HSC-COSMOS, which come from "
            f"{np.unique(real.group_S).size} parent images; cutouts of one parent overlap and count as one"
            if real
            else ""
        )
        + ". Both are measured by the same code. Sky: pixels off every object of the smoothed sum of all "
        "bands. COSMOS also lies in HSC's ultra-deep layer, where less noise than in the wide layer is "
        "expected; what these cutouts have is in the table, and it is near the wide layer's and differs "
        "from parent to parent. Their pixels outside the parent's footprint (weight 0) are observed sky "
        "with the noise that the weights inside state, and are used as sky; inside the footprints there is "
        "hardly any. A correlation of neighbours makes the noise of any sum of pixels larger than the pixel "
        "noise says."
    )
    tables = [
        _noise_table(simulated, real, real_noise_SC, spec),
        _correlation_table(simulated, real, spec),
        _neighbour_table(simulated, real, seed),
        _central_table(simulated, real, spec),
    ]
    drawings = (
        Drawing(
            "noise",
            "Left: sky noise. Middle: correlation of adjacent sky pixels. Right: detected "
            "objects "
            "that are not in the middle of the stamp. Real values are of parent images.",
            noise_figure(simulated, real, spec),
        ),
        Drawing(
            "central",
            f"Central objects of {CENTRAL_RANGE[0]:g} < i < {CENTRAL_RANGE[1]:g} (in 1.5 "
            "arcsec "
            "radius): colours, radial profile in i with its 16-84%, concentration.",
            central_figure(simulated, real, spec),
        ),
    )
    return Section("images", title, text, tuple(tables), drawings, left_out=loaded.reason)


def _noise_table(
    simulated: StampSet, real: StampSet | None, real_noise_SC: np.ndarray | None, spec: SurveySpec
) -> Table:
    noise_C, error_C = median_and_error(simulated.noise_SC, simulated.group_S)
    rows: list[tuple[Cell, ...]] = []
    for c, band in enumerate(spec.bands):
        target = published.BAND_NOISE.get(band, np.nan)
        cells: tuple[Cell, ...] = (None, None)
        if real is not None:
            cells = (
                float(median_and_error(real.noise_SC, real.group_S)[0][c]),
                float(median_and_error(real_noise_SC, real.group_S)[0][c]),
            )
        rows.append(
            (
                band,
                float(noise_C[c]),
                float(error_C[c]),
                target,
                float(noise_C[c] / target),
                judge_ratio(noise_C[c], target, NOISE_TOLERANCE),
                *cells,
            )
        )
    n = int(np.isfinite(simulated.noise_SC).all(axis=1).sum())
    n_real = 0 if real is None else len(group_medians(real.noise_SC, real.group_S))
    return Table(
        "noise",
        "Sky noise, robust sigma of a pixel in counts (zero point 27)",
        ("band", "simulated", "error", "published", "ratio", "verdict", "real", "real, weights"),
        tuple(rows),
        note=f"{n:,} simulated stamps and {n_real} real parents have enough sky. Published: "
        f"background noise of {published.GALAXIESML}, judged to {NOISE_TOLERANCE:.0%}. The "
        "last column is what the cutouts' own weights say, whatever part of them is sky.",
    )


def _correlation_table(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Table:
    value_C, error_C = median_and_error(simulated.correlation_SC, simulated.group_S)
    real_C = error_real_C = np.full(len(spec.bands), np.nan)
    if real is not None:
        real_C, error_real_C = median_and_error(real.correlation_SC, real.group_S)
    rows = tuple(
        (
            band,
            float(value_C[c]),
            float(error_C[c]),
            float(real_C[c]),
            float(error_real_C[c]),
            judge_difference(value_C[c], real_C[c], CORRELATION_TOLERANCE),
        )
        for c, band in enumerate(spec.bands)
    )
    return Table(
        "correlation",
        "Correlation of adjacent sky pixels",
        ("band", "simulated", "error", "real", "real error", "verdict"),
        rows,
        note="Real coadds are resampled, which correlates their pixels. White noise has 0.",
    )


def _neighbour_table(simulated: StampSet, real: StampSet | None, seed: int) -> Table:
    counts = {"simulated": simulated, "real": real}
    density = {name: field_density(s, seed) for name, s in counts.items() if s is not None}
    value, error = density["simulated"]
    real_value, real_error = density.get("real", (np.nan, np.nan))
    rows: list[tuple[Cell, ...]] = [
        (
            "objects a stamp beside the central one",
            float(simulated.n_others_S.mean()),
            float(simulated.n_others_S.std() / np.sqrt(simulated.n_others_S.size)),
            None if real is None else float(real.n_others_S.mean()),
            None,
            NOT_JUDGED,
        ),
        (
            "stamps without any other object [%]",
            100 * float((simulated.n_others_S == 0).mean()),
            None,
            None if real is None else 100 * float((real.n_others_S == 0).mean()),
            None,
            NOT_JUDGED,
        ),
        (
            "field objects per square arcmin",
            value,
            error,
            real_value,
            real_error,
            judge_factor(value, real_value, DENSITY_FACTOR),
        ),
    ]
    return Table(
        "neighbours",
        "Objects detected above 5 sigma in i",
        ("statistic", "simulated", "error", "real", "real error", "verdict"),
        tuple(rows),
        note="The real cutouts were made around blends and have more neighbours than a stamp "
        "around a random target. The last line is free of that: real objects "
        "outside their parent's footprint over the area there.",
    )


def _central_table(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in central_statistics(spec):
        a, b = (np.array([]) if s is None else central_values(s, name, spec) for s in (simulated, real))
        cells = [np.percentile(v, [16, 50, 84]).tolist() if v.size else [None] * 3 for v in (a, b)]
        rows.append((name, *cells[0], *cells[1], ks_distance(a, b), NOT_JUDGED))
    n_real = 0 if real is None else len(real.central)
    return Table(
        "central",
        f"Central objects, {len(simulated.central):,} simulated and {n_real} real: 16, 50, 84%",
        ("statistic", "sim 16%", "sim 50%", "sim 84%", "real 16%", "real 50%", "real 84%", "KS D", "verdict"),
        tuple(rows),
        note=f"{CENTRAL_RANGE[0]:g} < i < {CENTRAL_RANGE[1]:g} in 1.5 arcsec radius. Not judged: "
        "the real ones are few, some share a parent, some are stars, and none was a DESI "
        "target.",
    )
