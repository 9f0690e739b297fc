"""DESI's spectra-*.fits: several exposures of a target, which are added here; one row per target.

https://desidatamodel.readthedocs.io, spectra-SURVEY-PROGRAM-PIXNUM.fits. Exposures are added with inverse-variance
weights; a sample that MASK flags has no weight, nor has an exposure whose fibre was bad. Coadds are read as well.

Shape suffixes: E exposures, T targets, A samples of one arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.io import fits

from mmae.ingest.files import FITS_ENDINGS, open_fits, require_whole
from mmae.ingest.layouts.layout import Piece, native, pieces_of
from mmae.ingest.readers.coadd import fibermap, present_arms

ENDINGS = FITS_ENDINGS
ARMS = ("B", "R", "Z")
_RESTRICTED = 1 << 3  # the fibre was not where it should have been able to go, but on its target
_PARTS = ("wavelength", "flux", "ivar")


def columns(path: str) -> dict[str, str]:
    with open_fits(path) as file:
        require_whole(file, path)
        table = fibermap(file)
        found = {name: table.columns[name].format for name in table.columns.names}
        for arm in present_arms(file, ARMS):
            found |= {f"{part}_{arm.lower()}": f"float {file[f'{arm}_{part.upper()}'].shape}" for part in _PARTS}
    return found


def count(path: str) -> int:
    with open_fits(path) as file:
        return len(_targets(file)[0])


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    with open_fits(path) as file:
        first_T, exposures_T = _targets(file)
        table = fibermap(file).data
        for piece in pieces_of(rows):
            values: dict[str, Any] = {
                name: native(np.asarray(table[name])[first_T[piece]]) for name in names if name in table.names
            }
            wanted = {name.rpartition("_")[2].upper() for name in names if name.partition("_")[0] in _PARTS}
            for arm in present_arms(file, ARMS):
                if arm in wanted:
                    values |= _added(file, arm, [exposures_T[target] for target in piece], _good(table))
            yield Piece(piece, values)


def _targets(file: fits.HDUList) -> tuple[np.ndarray, list[np.ndarray]]:
    """The first exposure of each target (T,), in the order of the file, and all of its exposures."""
    targetid_E = np.asarray(fibermap(file).data["TARGETID"], np.int64)
    _, first_T, target_E = np.unique(targetid_E, return_index=True, return_inverse=True)
    order_T = np.argsort(first_T)
    by_target = np.split(np.argsort(target_E, kind="stable"), np.cumsum(np.bincount(target_E))[:-1])
    return first_T[order_T], [by_target[target] for target in order_T]


def _good(table: fits.FITS_rec) -> np.ndarray:
    """Mask (E,) of the exposures that are added."""
    name = next((name for name in ("FIBERSTATUS", "COADD_FIBERSTATUS") if name in table.names), None)
    if name is None:
        return np.ones(len(table), bool)
    return np.asarray(table[name], np.int64) & ~_RESTRICTED == 0


def _added(file: fits.HDUList, arm: str, exposures: list[np.ndarray], good_E: np.ndarray) -> dict[str, np.ndarray]:
    """Wavelengths, flux and ivar (targets, A) of one arm."""
    wavelength_A = np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64)
    flux_TA, ivar_TA = (np.zeros((len(exposures), len(wavelength_A))) for _ in range(2))
    for t, members in enumerate(exposures):
        for exposure in members[good_E[members]]:
            flux_A, ivar_A = (np.asarray(file[f"{arm}_{part}"].section[int(exposure)]) for part in ("FLUX", "IVAR"))
            weight_A = np.asarray(ivar_A, np.float64)
            if f"{arm}_MASK" in file:
                weight_A = np.where(file[f"{arm}_MASK"].section[int(exposure)] != 0, 0.0, weight_A)
            flux_TA[t] += np.where(weight_A > 0, weight_A * flux_A, 0.0)
            ivar_TA[t] += weight_A
    flux_TA = np.divide(flux_TA, ivar_TA, out=np.zeros(flux_TA.shape), where=ivar_TA > 0)
    waves_TA = np.broadcast_to(wavelength_A, flux_TA.shape)
    return {f"{part}_{arm.lower()}": v for part, v in zip(_PARTS, (waves_TA, flux_TA, ivar_TA), strict=True)}
