"""Measurements of samples of stamps, and their summary statistics.

Shape suffixes: S stamps, C bands, H and W pixels, G groups of stamps (one parent image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmae.realism.reference import RealImages
from mmae.realism.rows import Track, no_tracking
from mmae.realism.stamps import CentralObject, StampMeasures, measure_stamp
from mmae.survey.schema import SurveySpec

# i in 1.5 arcsec radius: brighter real stars are saturated, fainter central objects are not targets.
CENTRAL_RANGE = (18.0, 22.5)
RADIUS = "half-light radius [arcsec]"
CONCENTRATION = "concentration"


@dataclass(frozen=True)
class StampSet:
    """Measurements of the stamps of a survey.

    Attributes:
        group_S: stamps of a group overlap and count as one in means and errors.
        central: central objects in CENTRAL_RANGE.
        n_others_S: number of detected non-central objects.
        n_field_S, field_area_S: number of those in the field region of a stamp (objects unrelated to its selection),
            and its area in square arcmin.
    """

    group_S: np.ndarray
    noise_SC: np.ndarray
    correlation_SC: np.ndarray
    central: tuple[CentralObject, ...]
    n_others_S: np.ndarray
    n_field_S: np.ndarray
    field_area_S: np.ndarray


def measure_stamps(
    image_SCHW: np.ndarray,
    spec: SurveySpec,
    group_S: np.ndarray | None = None,
    field_SHW: np.ndarray | None = None,
    track: Track = no_tracking,
    what: str = "stamps",
) -> StampSet:
    """Measure every stamp.

    Args:
        group_S: group of each stamp; by default every stamp is a group.
        field_SHW: True in the field region, where objects are unrelated to the selection of the stamp; by default
            everywhere. The area of the central object is always excluded.
        track: progress display.
        what: description for the progress display.
    """
    found: list[StampMeasures] = [measure_stamp(image_CHW, spec) for image_CHW in track(image_SCHW, what)]
    n = len(found)
    field_SHW = np.ones((n, *image_SCHW.shape[2:]), bool) if field_SHW is None else field_SHW
    i = spec.bands.index("i")
    pixel_area = (spec.pixel_scale / 60) ** 2
    n_field = [
        sum(bool(field_HW[int(y), int(x)]) for y, x in m.others_yx)
        for m, field_HW in zip(found, field_SHW, strict=True)
    ]
    field_area = [
        float((m.searched_HW & field_HW).sum() * pixel_area) for m, field_HW in zip(found, field_SHW, strict=True)
    ]
    low, high = CENTRAL_RANGE
    return StampSet(
        group_S=np.arange(n) if group_S is None else np.asarray(group_S),
        noise_SC=_stack([m.noise_C for m in found], len(spec.bands)),
        correlation_SC=_stack([m.correlation_C for m in found], len(spec.bands)),
        central=tuple(m.central for m in found if m.central is not None and low <= m.central.aperture_mag_C[i] <= high),
        n_others_S=np.array([len(m.others_yx) for m in found], dtype=np.int64),
        n_field_S=np.array(n_field, dtype=np.float64),
        field_area_S=np.array(field_area),
    )


def group_medians(value_SC: np.ndarray, group_S: np.ndarray) -> np.ndarray:
    """Median (G, C) of the stamps of each group; groups without finite values are omitted."""
    rows = []
    for group in np.unique(group_S):
        member_SC = value_SC[group_S == group]
        member_SC = member_SC[np.isfinite(member_SC).all(axis=1)]
        if len(member_SC):
            rows.append(np.median(member_SC, axis=0))
    return _stack(rows, value_SC.shape[1])


def weight_noise(real: RealImages) -> np.ndarray:
    """Sky noise (S, C) of each cutout from its weights.

    Only the upper half of the weights is used: photon noise lowers the weight of bright pixels.
    """
    noise_SC = np.full(real.weight_NCHW.shape[:2], np.nan)
    for s, weight_CHW in enumerate(real.weight_NCHW):
        for c, weight_HW in enumerate(weight_CHW):
            inside = weight_HW[weight_HW > 0]
            if inside.size:
                noise_SC[s, c] = np.median(inside[inside >= np.median(inside)]) ** -0.5
    return noise_SC


def central_statistics(spec: SurveySpec) -> tuple[str, ...]:
    """Names of the statistics of a central object."""
    colours = tuple(f"{a}-{b} [mag]" for a, b in zip(spec.bands[:-1], spec.bands[1:], strict=True))
    return (*colours, RADIUS, CONCENTRATION)


def central_values(stamps: StampSet, name: str, spec: SurveySpec) -> np.ndarray:
    """Finite values of one statistic over all central objects."""
    if name == RADIUS:
        values = [c.half_light_radius for c in stamps.central]
    elif name == CONCENTRATION:
        values = [c.concentration for c in stamps.central]
    else:
        first, second = (spec.bands.index(b) for b in name.removesuffix(" [mag]").split("-"))
        values = [c.aperture_mag_C[first] - c.aperture_mag_C[second] for c in stamps.central]
    values = np.array(values, dtype=np.float64)
    return values[np.isfinite(values)]


def median_and_error(value_SC: np.ndarray, group_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over groups (C,) and its error, 1.25 sd / sqrt(groups) as for a Gaussian distribution."""
    group_GC = group_medians(value_SC, group_S)
    if not len(group_GC):
        return np.full(value_SC.shape[1], np.nan), np.full(value_SC.shape[1], np.nan)
    return np.median(group_GC, axis=0), 1.25 * group_GC.std(axis=0) / np.sqrt(len(group_GC))


def field_density(stamps: StampSet, seed: int, resamples: int = 200) -> tuple[float, float]:
    """Field objects per square arcmin and the bootstrap error over groups."""
    groups = np.unique(stamps.group_S, return_inverse=True)[1]
    objects_G = np.bincount(groups, stamps.n_field_S)
    area_G = np.bincount(groups, stamps.field_area_S)
    if area_G.sum() == 0:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, objects_G.size, (resamples, objects_G.size))
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = objects_G[drawn].sum(axis=1) / area_G[drawn].sum(axis=1)
    return float(objects_G.sum() / area_G.sum()), float(np.nanstd(resampled))


def _stack(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, width)
