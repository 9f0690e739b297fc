"""Measurements of many stamps, and what is made of them.

Shape suffixes: S stamps, C bands, H and W pixels, G groups of stamps (one parent image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmae.realism.reference import RealImages
from mmae.realism.rows import Watch, no_watch
from mmae.realism.stamps import CentralObject, StampMeasures, measure_stamp
from mmae.survey.schema import SurveySpec

# i, in 1.5 arcsec radius: real stars saturate below, and fainter centres are not targets.
CENTRAL_RANGE = (18.0, 22.5)
RADIUS = "half-light radius [arcsec]"
CONCENTRATION = "concentration"


@dataclass(frozen=True)
class StampSet:
    """Measurements of many stamps of one survey.

    Attributes:
        group_S: stamps of one group overlap and count as one in means and errors.
        central: the central objects in CENTRAL_RANGE.
        n_others_S: detected objects that are not in the middle.
        free_others_S, free_area_S: those of them in the part of a stamp where chance alone put
            objects, and its area in square arcmin.
    """

    group_S: np.ndarray
    noise_SC: np.ndarray
    correlation_SC: np.ndarray
    central: tuple[CentralObject, ...]
    n_others_S: np.ndarray
    free_others_S: np.ndarray
    free_area_S: np.ndarray


def measure_stamps(
    image_SCHW: np.ndarray,
    spec: SurveySpec,
    group_S: np.ndarray | None = None,
    free_SHW: np.ndarray | None = None,
    watch: Watch = no_watch,
    what: str = "stamps",
) -> StampSet:
    """Measure every stamp; stamps without a group are a group of their own.

    Args:
        free_SHW: True where an object is there by chance; everywhere but at the central object
            by default.
    """
    found: list[StampMeasures] = [measure_stamp(image_CHW, spec) for image_CHW in watch(image_SCHW, what)]
    n = len(found)
    free_SHW = np.ones((n, *image_SCHW.shape[2:]), bool) if free_SHW is None else free_SHW
    i = spec.bands.index("i")
    pixel_area = (spec.pixel_scale / 60) ** 2
    free_others = [
        sum(bool(free_HW[int(y), int(x)]) for y, x in m.others_yx) for m, free_HW in zip(found, free_SHW, strict=True)
    ]
    free_area = [
        float((m.searched_HW & free_HW).sum() * pixel_area) for m, free_HW in zip(found, free_SHW, strict=True)
    ]
    low, high = CENTRAL_RANGE
    return StampSet(
        group_S=np.arange(n) if group_S is None else np.asarray(group_S),
        noise_SC=_stack([m.noise_C for m in found], len(spec.bands)),
        correlation_SC=_stack([m.correlation_C for m in found], len(spec.bands)),
        central=tuple(m.central for m in found if m.central is not None and low <= m.central.aperture_mag_C[i] <= high),
        n_others_S=np.array([len(m.others_yx) for m in found], dtype=np.int64),
        free_others_S=np.array(free_others, dtype=np.float64),
        free_area_S=np.array(free_area),
    )


def group_medians(value_SC: np.ndarray, group_S: np.ndarray) -> np.ndarray:
    """The median (G, C) of the stamps of each group; groups without any finite value are left out."""
    rows = []
    for group in np.unique(group_S):
        member_SC = value_SC[group_S == group]
        member_SC = member_SC[np.isfinite(member_SC).all(axis=1)]
        if len(member_SC):
            rows.append(np.median(member_SC, axis=0))
    return _stack(rows, value_SC.shape[1])


def weight_noise(real: RealImages) -> np.ndarray:
    """Noise (S, C) that the weights of each cutout state, away from bright pixels: the weight is
    lowered there by the objects' own photon noise, so take the upper half of the weights."""
    noise_SC = np.full(real.weight_NCHW.shape[:2], np.nan)
    for s, weight_CHW in enumerate(real.weight_NCHW):
        for c, weight_HW in enumerate(weight_CHW):
            inside = weight_HW[weight_HW > 0]
            if inside.size:
                noise_SC[s, c] = np.median(inside[inside >= np.median(inside)]) ** -0.5
    return noise_SC


def central_statistics(spec: SurveySpec) -> tuple[str, ...]:
    """Names of what is measured of a central object."""
    colours = tuple(f"{a}-{b} [mag]" for a, b in zip(spec.bands[:-1], spec.bands[1:], strict=True))
    return (*colours, RADIUS, CONCENTRATION)


def central_values(stamps: StampSet, name: str, spec: SurveySpec) -> np.ndarray:
    """One statistic of all central objects; those without it are left out."""
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
    """Median over groups (C,) and its error, 1.25 sd / sqrt(groups) as for a Gaussian."""
    group_GC = group_medians(value_SC, group_S)
    if not len(group_GC):
        return np.full(value_SC.shape[1], np.nan), np.full(value_SC.shape[1], np.nan)
    return np.median(group_GC, axis=0), 1.25 * group_GC.std(axis=0) / np.sqrt(len(group_GC))


def field_density(stamps: StampSet, seed: int, resamples: int = 200) -> tuple[float, float]:
    """Field objects per square arcmin and its error over resamples of the groups."""
    groups = np.unique(stamps.group_S, return_inverse=True)[1]
    objects_G = np.bincount(groups, stamps.free_others_S)
    area_G = np.bincount(groups, stamps.free_area_S)
    if area_G.sum() == 0:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, objects_G.size, (resamples, objects_G.size))
    with np.errstate(invalid="ignore", divide="ignore"):
        again = objects_G[drawn].sum(axis=1) / area_G[drawn].sum(axis=1)
    return float(objects_G.sum() / area_G.sum()), float(np.nanstd(again))


def _stack(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, width)
