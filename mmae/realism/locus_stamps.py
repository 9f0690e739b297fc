"""Whether real cutouts are inside the simulated range: sky noise, pixel correlation, size of central objects.

Shape suffixes: S stamps, C bands, H and W pixels.
"""

from __future__ import annotations

import numpy as np

from mmae.realism.reference import RealImages
from mmae.realism.stamp_sets import RADIUS, StampSet, central_values, group_medians, measure_stamps
from mmae.report.contents import Cell, Column, Table
from mmae.survey.schema import SurveySpec

RANGE = (0.5, 99.5)  # per cent of the simulated stamps


def features(stamps: StampSet, spec: SurveySpec) -> dict[str, np.ndarray]:
    """Values of the stamps (median of each parent image) by name."""
    noise_SC, correlation_SC = (
        group_medians(value_SC, stamps.group_S) for value_SC in (stamps.noise_SC, stamps.correlation_SC)
    )
    found = {f"noise {band}": noise_SC[:, c] / spec.band_noise[c] for c, band in enumerate(spec.bands)}
    found |= {f"correlation {band}": correlation_SC[:, c] for c, band in enumerate(spec.bands)}
    return found | {RADIUS: central_values(stamps, RADIUS, spec)}


def stamp_table(real: RealImages, without_SCHW: np.ndarray, varied_SCHW: np.ndarray, spec: SurveySpec) -> Table:
    """Fraction of the real parents outside the range of the simulated stamps, by feature.

    Args:
        without_SCHW, varied_SCHW: simulated stamps without and with variety, counts.
    """
    outside_NHW = (real.weight_NCHW <= 0).all(axis=1)
    real_values = features(measure_stamps(real.image_NCHW, spec, real.parent_N, outside_NHW), spec)
    simulated = [features(measure_stamps(image_SCHW, spec), spec) for image_SCHW in (without_SCHW, varied_SCHW)]
    rows: list[tuple[Cell, ...]] = []
    for name, values in real_values.items():
        cells: list[Cell] = [name, len(values)]
        cells += [float(v) for v in np.percentile(values, [0, 100])] if len(values) else [None, None]
        for found in simulated:
            low, high = np.percentile(found[name], RANGE) if len(found[name]) else (np.nan, np.nan)
            outside = float(100 * ((values < low) | (values > high)).mean()) if len(values) else None
            cells += [float(low), float(high), outside]
        rows.append(tuple(cells))
    columns = (
        Column("feature"),
        Column("n_real"),
        Column("real_low", "real, lowest"),
        Column("real_high", "real, highest"),
        Column("without_low", "without variety, 0.5%"),
        Column("without_high", "99.5%"),
        Column("without", "outside [%]"),
        Column("with_low", "with variety, 0.5%"),
        Column("with_high", "99.5%"),
        Column("with", "outside [%]"),
    )
    return Table(
        "cutouts",
        "HSC-COSMOS cutouts against the range of simulated stamps",
        columns,
        tuple(rows),
        note="Noise: relative to the noise of the spec. One value per parent image; cutouts of a parent overlap.",
    )
