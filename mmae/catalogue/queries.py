"""Queries of a search that are FITS files: cutouts and spectra, brought onto the grids of a model.

Shape suffixes: C bands, H and W pixels, L wavelengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmae.bundle.bundle import Bundle
from mmae.bundle.predictions import Predictions
from mmae.catalogue.fluxes import aperture_fluxes, interval_fluxes
from mmae.core.errors import InputError
from mmae.ingest.files import FITS_ENDINGS, open_fits
from mmae.ingest.readers.coadd import fibermap
from mmae.ingest.readers.hsc_fits import group_by_object, read_objects
from mmae.ingest.readers.values import UNREADABLE
from mmae.ingest.sources.description import known_source
from mmae.ingest.sources.source import read_rows
from mmae.model.batch import InputSpec
from mmae.survey.missing import MAX_MISSING
from mmae.survey.schema import Galaxy, SurveySpec

DESI, SDSS = "desi-spectra", "sdss-spec"


@dataclass(frozen=True)
class Query:
    """A galaxy that was measured in one way.

    Attributes:
        name: as given; of files of one object in several bands their common part.
        modality: image or spectrum.
    """

    name: str
    modality: str
    galaxy: Galaxy

    @property
    def title(self) -> str:
        """The name without folders."""
        return Path(self.name).name

    def predict(self, bundle: Bundle) -> Predictions:
        """Predictions from this measurement.

        Raises:
            InputError: the model does not read it.
        """
        galaxy = self.galaxy
        if galaxy.image_CHW is not None:
            return bundle.predict(galaxy.image_CHW[None], **bundle.image_grid, anomaly=False)
        assert galaxy.flux_L is not None and galaxy.ivar_L is not None
        flux_1L, ivar_1L = galaxy.flux_L[None], galaxy.ivar_L[None]
        return bundle.predict(spectra=flux_1L, ivar=ivar_1L, wavelength=bundle.wavelength, anomaly=False)

    def fluxes(self, spec: InputSpec) -> np.ndarray:
        """Its fluxes (1, F), see mmae/catalogue/fluxes.py."""
        galaxy = self.galaxy
        if galaxy.image_CHW is not None:
            return aperture_fluxes(galaxy.image_CHW[None], spec.pixel_scale)
        assert galaxy.flux_L is not None and galaxy.ivar_L is not None
        return interval_fluxes(galaxy.flux_L[None], galaxy.ivar_L[None])


def is_file(name: str) -> bool:
    """Whether a query is a FITS file, or a spectrum of one (FILE:TARGETID), and not an object_id."""
    return _path_and_target(name)[0].lower().endswith(FITS_ENDINGS)


def read_queries(names: Sequence[str], spec: InputSpec) -> list[Query]:
    """The galaxies of FITS files. Files of one object in several bands are one cutout.

    Raises:
        InputError: a file does not exist, is neither a cutout nor a spectrum, or does not fit the model.
    """
    survey, cutouts, found = survey_spec(spec), [], []
    for name in names:
        path, target = _path_and_target(name)
        if not Path(path).is_file():
            raise InputError(f"--like {name}: no such file. Check the path.")
        kind = _kind_of(path)
        if kind is None:
            cutouts.append(Path(path))
        else:
            if not spec.n_wavelengths:
                raise InputError(f"--like {name}: a spectrum, which the model does not read.")
            found.append(_read_spectrum(name, path, target, kind, survey))
    if cutouts and not spec.image_size:
        raise InputError(f"--like {cutouts[0]}: a cutout, which the model does not read.")
    return found + [_read_cutout(item, survey) for item in group_by_object(cutouts)]


def survey_spec(spec: InputSpec) -> SurveySpec:
    """The bands and grids of a model as those of a survey."""
    return SurveySpec(**vars(spec))


def _path_and_target(name: str) -> tuple[str, str]:
    """FILE and TARGETID of FILE:TARGETID; TARGETID is empty if only a file is named."""
    path, _, target = name.rpartition(":")
    return (path, target) if path and target.lstrip("-").isdigit() else (name, "")


def _kind_of(path: str) -> str | None:
    """The known source of a file with spectra; None: another file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open_fits(path) as file:
            names = {hdu.name for hdu in file}
            columns = {
                str(hdu.header[key]).upper() for hdu in file[1:] for key in hdu.header if str(key).startswith("TTYPE")
            }
    except UNREADABLE as error:
        raise InputError(f"--like {path}: cannot be read ({error}). Give a FITS cutout or a FITS spectrum.") from error
    if names & {"FIBERMAP", "COADD_FIBERMAP"}:
        return DESI
    return SDSS if "LOGLAM" in columns else None


def _read_spectrum(name: str, path: str, target: str, kind: str, spec: SurveySpec) -> Query:
    row = 0
    try:
        if kind == DESI:
            row = _row_of(path, target)
        elif target:
            raise ValueError("the file has one spectrum, without TARGETID")
        result = read_rows(path, np.array([row]), known_source(kind), spec)
    except UNREADABLE as error:
        raise InputError(f"--like {name}: {error}.") from error
    galaxy = result.galaxies[0] if result.galaxies else None
    if galaxy is None or galaxy.flux_L is None or galaxy.ivar_L is None or not (galaxy.ivar_L > 0).any():
        reasons = "; ".join(rejection.reason for rejection in result.rejections)
        raise InputError(
            f"--like {name}: no spectrum between {spec.wavelength_start:g} and {spec.wavelength_L()[-1]:g} Angstrom, "
            f"where the model reads it ({reasons or 'no good sample'})."
        )
    return Query(name, "spectrum", galaxy)


def _row_of(path: str, target: str) -> int:
    """The row of a target in a DESI file, in which several exposures of one target are one row.

    Raises:
        ValueError: it is not there, or there are several and none is chosen.
    """
    with open_fits(path) as file:
        targetid_E = np.asarray(fibermap(file).data["TARGETID"], np.int64)
    _, first_T = np.unique(targetid_E, return_index=True)
    targetid_T = targetid_E[np.sort(first_T)]
    if not target and len(targetid_T) == 1:
        return 0
    shown = ", ".join(map(str, targetid_T[:3])) + (", ..." if len(targetid_T) > 3 else "")
    if not target:
        raise ValueError(f"the file has {len(targetid_T)} spectra; choose one: {path}:TARGETID, with TARGETID {shown}")
    found = np.flatnonzero(targetid_T == int(target))
    if not len(found):
        raise ValueError(f"no such TARGETID; the file has {shown}")
    return int(found[0])


def _read_cutout(item: dict, spec: SurveySpec) -> Query:
    where = ", ".join(item["paths"])
    read = read_objects([item], spec, MAX_MISSING)
    if not read.galaxies:
        raise InputError(f"--like {where}: the cutout does not fit the model: {read.rejections[0].reason}.")
    galaxy = read.galaxies[0]
    if galaxy.ra is None:
        raise InputError(
            f"--like {where}: the cutout has no celestial WCS, so that its pixel scale is not known; the model reads "
            f"{spec.pixel_scale:g} arcsec per pixel. Add a WCS to the header."
        )
    return Query(item["paths"][0] if len(item["paths"]) == 1 else item["object_id"], "image", galaxy)
