"""Noise, neighbours and central objects of images, compared with real HSC-COSMOS cutouts.

Shape suffixes: S stamps, C bands, H and W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.realism import published
from mmae.realism.columns import KS_DISTANCE, PERCENTILE_COLUMNS, PERCENTS, PUBLISHED, RATIO, REAL, SIMULATED, VERDICT
from mmae.realism.figures_images import central_figure, noise_figure
from mmae.realism.reference import load, read_hsc
from mmae.realism.rows import Track, no_tracking
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
from mmae.report.contents import (
    NOT_JUDGED,
    Cell,
    Column,
    Drawing,
    Measured,
    Section,
    Table,
    judge_difference,
    judge_factor,
    judge_ratio,
)
from mmae.survey.schema import SurveySpec

NOISE_TOLERANCE = 0.15
CORRELATION_TOLERANCE = 0.03
DENSITY_FACTOR = 2.0  # the real sample: 11 fields with a few objects each


def image_section(
    image_SCHW: np.ndarray, spec: SurveySpec, reference: Path | None, seed: int, track: Track = no_tracking
) -> Section:
    """Section with the same measurements on simulated stamps and on real cutouts.

    Args:
        image_SCHW: sample of simulated stamps, counts.
    """
    title = "Image noise, neighbours and central objects"
    if not len(image_SCHW):
        return Section("images", title, "", left_out="Left out: the survey has no images.")
    simulated = measure_stamps(image_SCHW, spec, track=track, what="simulated stamps")
    loaded = load(read_hsc, reference)
    real = real_noise_SC = None
    if loaded.value is not None and loaded.value.image_NCHW.shape[1] == len(spec.bands):
        cut = loaded.value
        # Objects detected outside the footprint of the parent are field objects.
        outside_NHW = (cut.weight_NCHW <= 0).all(axis=1)
        real = measure_stamps(cut.image_NCHW, spec, cut.parent_N, outside_NHW)
        real_noise_SC = weight_noise(cut)
    text = (
        f"{len(image_SCHW):,} simulated stamps"
        + (
            f" and {len(real.group_S)} real cutouts of HSC-COSMOS from {np.unique(real.group_S).size} parent images; "
            "cutouts of a parent overlap and count as one"
            if real
            else ""
        )
        + ". Both are measured by the same code. Sky: pixels outside all objects detected in the smoothed sum of "
        "the bands. COSMOS is also part of the HSC ultra-deep layer, where lower noise than in the wide layer is "
        "expected; the measured noise of these cutouts is close to that of the wide layer and differs between "
        "parents. Pixels outside the footprint of the parent (weight 0) are observed sky with the noise given by "
        "the weights inside, and are used as sky; inside the footprints there is hardly any sky. Correlated "
        "adjacent pixels increase the noise of sums of pixels."
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
            "Left: sky noise. Middle: correlation of adjacent sky pixels. Right: number of detected non-central "
            "objects. Real values: parent images.",
            noise_figure(simulated, real, spec),
        ),
        Drawing(
            "central",
            f"Central objects of {CENTRAL_RANGE[0]:g} < i < {CENTRAL_RANGE[1]:g} (1.5 arcsec radius): colours, radial "
            "profile in i with 16-84%, concentration.",
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
                Measured(float(noise_C[c]), float(error_C[c])),
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
        (Column("band"), SIMULATED, PUBLISHED, RATIO, VERDICT, REAL, Column("real_weights", "real, weights")),
        tuple(rows),
        note=f"{n:,} simulated stamps and {n_real} real parents have enough sky. Published: background noise of "
        f"{published.GALAXIESML}, tolerance {NOISE_TOLERANCE:.0%}. Last column: from the weights of the cutouts.",
    )


def _correlation_table(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Table:
    value_C, error_C = median_and_error(simulated.correlation_SC, simulated.group_S)
    real_C = error_real_C = np.full(len(spec.bands), np.nan)
    if real is not None:
        real_C, error_real_C = median_and_error(real.correlation_SC, real.group_S)
    rows = tuple(
        (
            band,
            Measured(float(value_C[c]), float(error_C[c])),
            Measured(float(real_C[c]), float(error_real_C[c])),
            judge_difference(value_C[c], real_C[c], CORRELATION_TOLERANCE),
        )
        for c, band in enumerate(spec.bands)
    )
    return Table(
        "correlation",
        "Correlation of adjacent sky pixels",
        (Column("band"), SIMULATED, REAL, VERDICT),
        rows,
        note="Resampling correlates the pixels of real coadds. White noise: 0.",
    )


def _neighbour_table(simulated: StampSet, real: StampSet | None, seed: int) -> Table:
    density = Measured(*field_density(simulated, seed))
    real_density = Measured(np.nan, np.nan) if real is None else Measured(*field_density(real, seed))
    n_others_error = float(simulated.n_others_S.std() / np.sqrt(simulated.n_others_S.size))
    rows: list[tuple[Cell, ...]] = [
        (
            "non-central objects per stamp",
            Measured(float(simulated.n_others_S.mean()), n_others_error),
            None if real is None else float(real.n_others_S.mean()),
            NOT_JUDGED,
        ),
        (
            "stamps without non-central objects [%]",
            100 * float((simulated.n_others_S == 0).mean()),
            None if real is None else 100 * float((real.n_others_S == 0).mean()),
            NOT_JUDGED,
        ),
        (
            "field objects per square arcmin",
            density,
            real_density,
            judge_factor(density.value, real_density.value, DENSITY_FACTOR),
        ),
    ]
    return Table(
        "neighbours",
        "Objects detected above 5 sigma in i",
        (Column("statistic"), SIMULATED, REAL, VERDICT),
        tuple(rows),
        note="The real cutouts are centred on blends and have more neighbours than a stamp of a random target. The "
        "last row is not affected: it counts real objects outside the footprint of the parent per area there.",
    )


def _central_table(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in central_statistics(spec):
        a, b = (np.array([]) if s is None else central_values(s, name, spec) for s in (simulated, real))
        cells = [np.percentile(v, PERCENTS).tolist() if v.size else [None] * 3 for v in (a, b)]
        rows.append((name, *cells[0], *cells[1], ks_distance(a, b), NOT_JUDGED))
    n_real = 0 if real is None else len(real.central)
    return Table(
        "central",
        f"Central objects, {len(simulated.central):,} simulated and {n_real} real: 16, 50, 84%",
        (Column("statistic"), *PERCENTILE_COLUMNS, KS_DISTANCE, VERDICT),
        tuple(rows),
        note=f"{CENTRAL_RANGE[0]:g} < i < {CENTRAL_RANGE[1]:g} in 1.5 arcsec radius. Not judged: the real sample is "
        "small, some objects share a parent, some are stars, none is a DESI target.",
    )
