"""Checks of a sample of a source's rows against confusions that single rows do not show.

Shape suffixes: C bands, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmae.core.errors import InputError
from mmae.ingest.layouts.layout import Piece
from mmae.ingest.sources.convert import numbers_of
from mmae.ingest.sources.description import KnownSource
from mmae.survey.schema import Galaxy, SurveySpec

MOST_FLAGGED = 0.9  # of the samples or pixels with positive weight; more: the sense of the mask is inverted
FEWEST_TRUSTED = 0.1  # of the redshifts; fewer: the sense of their warning is inverted
FEWEST_ROWS = 20  # for statements on fractions of rows
APERTURE = 4.0  # arcsec, radius: most of the light of a galaxy, little of its neighbours'
MOST_OFFSET = 2.0  # mag between images and catalogue; nanomaggies read as counts at 27 mag: 4.5


@dataclass
class Counts:
    """How many of the values of a sample are flagged, and of how many: of spectra, images and redshifts."""

    spectrum: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))
    image: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))
    redshift: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, piece: Piece, source: KnownSource) -> None:
        self.spectrum += _flagged_samples(piece, source)
        self.image += _flagged_pixels(piece, source)
        self.redshift += _warned(piece, source)


def check_sample(counts: Counts, galaxies: Sequence[Galaxy], source: KnownSource, spec: SurveySpec) -> None:
    """Check masks, warnings and zero points of a sample.

    Raises:
        InputError: a mask or warning is inverted, or images and magnitudes have different zero points.
    """
    if source.spectrum is not None:
        columns = source.spectrum
        what = "samples with positive ivar"
        _require_few(counts.spectrum, columns.mask, columns.mask_true_is, "spectrum", what, source)
    if source.image is not None:
        _require_few(counts.image, source.image.mask, source.image.mask_true_is, "image", "pixels", source)
    _check_warnings(counts.redshift, source)
    _check_zero_point(galaxies, source, spec)


def _flagged_samples(piece: Piece, source: KnownSource) -> tuple[int, int]:
    """Samples with positive ivar: how many are flagged as bad, and all."""
    columns = source.spectrum
    if columns is None or not columns.mask or not columns.ivar:
        return 0, 0
    flagged = weighted = 0
    for arm in columns.arms:
        masks, ivars = (piece.values.get(name.format(arm=arm), ()) for name in (columns.mask, columns.ivar))
        for mask, ivar in zip(masks, ivars, strict=False):
            if mask is not None and ivar is not None and np.shape(mask) == np.shape(ivar):
                good = np.asarray(ivar) > 0
                flagged += int((good & ((np.asarray(mask) != 0) == (columns.mask_true_is == "bad"))).sum())
                weighted += int(good.sum())
    return flagged, weighted


def _flagged_pixels(piece: Piece, source: KnownSource) -> tuple[int, int]:
    """Pixels that are flagged as bad, and all."""
    columns = source.image
    if columns is None or not columns.mask:
        return 0, 0
    masks = [np.asarray(mask) != 0 for mask in piece.values.get(columns.mask, ()) if mask is not None]
    return sum(int((mask == (columns.mask_true_is == "bad")).sum()) for mask in masks), sum(m.size for m in masks)


def _warned(piece: Piece, source: KnownSource) -> tuple[int, int]:
    """Redshifts with a warning of true or false: how many are warned of, and all."""
    c = source.columns
    if c.zwarn not in piece.values or np.asarray(piece.values[c.zwarn]).dtype != bool:
        return 0, 0
    known = np.flatnonzero(np.isfinite(numbers_of(piece.values, c.redshift, len(piece.rows))))
    return sum(bool(piece.values[c.zwarn][i]) == (c.zwarn_true_is == "bad") for i in known), len(known)


def _require_few(counted: np.ndarray, name: str, true_is: str, part: str, what: str, source: KnownSource) -> None:
    flagged, weighted = counted
    if weighted and flagged > MOST_FLAGGED * weighted:
        other = "good" if true_is == "bad" else "bad"
        raise InputError(
            f"{source.name}: {name} flags {flagged / weighted:.0%} of the {what} as bad, so its sense is probably "
            f"inverted. {_correct(f'{part}.mask_true_is to {other}')}"
        )


def _check_warnings(counted: np.ndarray, source: KnownSource) -> None:
    warned, all_of_them = counted
    if all_of_them >= FEWEST_ROWS and warned > (1 - FEWEST_TRUSTED) * all_of_them:
        c = source.columns
        other = "good" if c.zwarn_true_is == "bad" else "bad"
        raise InputError(
            f"{source.name}: {c.zwarn} marks {warned / all_of_them:.0%} of the redshifts as bad, so its sense is "
            f"probably inverted. {_correct(f'columns.zwarn_true_is to {other}')}"
        )


def _check_zero_point(galaxies: Sequence[Galaxy], source: KnownSource, spec: SurveySpec) -> None:
    """Compare magnitudes measured in the central aperture with those of the catalogue."""
    imaged = [g for g in galaxies if g.image_CHW is not None and g.cmodel_mag_C is not None]
    if not imaged or source.image is None:
        return
    y_HW, x_HW = np.mgrid[: spec.image_size, : spec.image_size] - (spec.image_size - 1) / 2
    inside_HW = np.hypot(y_HW, x_HW) * spec.pixel_scale < APERTURE
    for c, band in enumerate(spec.bands):
        flux = np.array([np.nansum(g.image_CHW[c][inside_HW]) for g in imaged if g.image_CHW is not None])
        catalogue = np.array([g.cmodel_mag_C[c] for g in imaged if g.cmodel_mag_C is not None])
        known = (flux > 0) & np.isfinite(catalogue)
        if known.sum() < FEWEST_ROWS:
            continue
        offset = float(np.median(spec.zero_point - 2.5 * np.log10(flux[known]) - catalogue[known]))
        if abs(offset) > MOST_OFFSET:
            true = source.image.zero_point - offset
            raise InputError(
                f"{source.name}: in band {band} the images are {abs(offset):.1f} mag "
                f"{'fainter' if offset > 0 else 'brighter'} than their catalogue magnitudes, so their zero point is "
                f"probably {true:.1f} and not {source.image.zero_point} (nanomaggies: 22.5). "
                f"{_correct('image.zero_point')}"
            )


def _correct(what: str) -> str:
    return f"Copy the source's YAML file, set {what}, and give it as --source FILE.yaml."
