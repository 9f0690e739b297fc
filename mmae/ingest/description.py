"""Description of a survey in a YAML file: bands, pixels, wavelengths and column names.

    name: legacy-desi
    bands: [g, r, z]
    image_size: 64
    pixel_scale: 0.262
    zero_point: 22.5
    catalogue:
      object_id: OBJID
      ra: RA
      dec: DEC
      magnitudes: {g: MAG_G, r: MAG_R, z: MAG_Z}
      magnitude_errors: {g: MAGERR_G, r: MAGERR_R, z: MAGERR_Z}

Fields that are left out are as in HSC-PDR2 and DESI-DR1. For images other than HSC's, noise and normalisation are
measured when the survey is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mmae.astro.units import parse_unit
from mmae.core.errors import InputError
from mmae.core.settings import from_yaml
from mmae.survey.schema import SurveySpec

HSC_DESI = SurveySpec()
WITH_UNITS = ("ra", "dec", "pmra", "pmdec", "epoch", "redshift", "redshift_err", "magnitudes", "magnitude_errors")


@dataclass(frozen=True)
class CatalogueColumns:
    """Column names in the catalogue tables. Empty: no such column.

    Case and punctuation of the names are ignored. Units given in the tables are converted. Positions may be
    sexagesimal.
    """

    object_id: str = "object_id"
    """One column, or several that are unique together, separated by commas: `BRICKID, OBJID`."""
    ra: str = "ra"
    """ra and dec may be empty in a survey of catalogues alone: its rows are then divided into splits by object_id."""
    dec: str = "dec"
    pmra: str = ""
    """Proper motion in mas/yr, with the factor cos(dec), as in Gaia."""
    pmdec: str = ""
    epoch: str = ""
    """Julian year of the positions; a column, or a number such as 2016.0 for all rows."""
    redshift: str = ""
    redshift_err: str = ""
    morphtype: str = ""
    magnitudes: dict[str, str] = field(default_factory=dict)
    """Band -> column with AB magnitudes. In a survey without images the bands may be any, in this order."""
    magnitude_errors: dict[str, str] = field(default_factory=dict)
    """Band -> column with their errors, of some or all bands."""
    missing: tuple[float, ...] = ()
    """Numbers that mean "missing" in the columns of redshifts and magnitudes, besides -99 and the like: [0.0]."""
    override_units: dict[str, str] = field(default_factory=dict)
    """Field (ra, pmra, ..., magnitudes) -> its true unit, where the unit in the tables is wrong."""

    def __post_init__(self) -> None:
        if bool(self.ra) != bool(self.dec):
            raise ValueError("catalogue.ra and catalogue.dec: name both columns, or leave both empty.")
        without = set(self.magnitude_errors) - set(self.magnitudes)
        if without:
            raise ValueError(
                f"catalogue.magnitude_errors names the band {', '.join(sorted(without))}, which catalogue.magnitudes "
                f"does not have."
            )
        for name, unit in self.override_units.items():
            if name not in WITH_UNITS:
                raise ValueError(f"catalogue.override_units names {name}; choose from {', '.join(WITH_UNITS)}.")
            try:
                parse_unit(unit)
            except ValueError:
                raise ValueError(f"catalogue.override_units: {name} has the unit {unit}, which is unknown.") from None


@dataclass(frozen=True)
class SurveyDescription:
    """Properties of a survey that `SurveySpec` and the readers need."""

    name: str = "hsc-desi"
    bands: tuple[str, ...] = HSC_DESI.bands
    """Of images and magnitudes, in order of wavelength."""
    image_size: int = HSC_DESI.image_size
    """Pixels along a side of a cutout."""
    pixel_scale: float = HSC_DESI.pixel_scale
    """Arcsec per pixel of the images."""
    zero_point: float = HSC_DESI.zero_point
    """AB magnitude of one count in the survey; images with FLUXMAG0 are scaled to it."""
    image_dtype: Literal["float32", "float16"] = "float32"
    """Of stored pixels. float16 takes half of the space, has three digits, and values up to 65,504."""
    images_have_zero_point: bool = False
    """Images without FLUXMAG0 have this zero point."""
    wavelength_start: float = HSC_DESI.wavelength_start
    """Angstrom, vacuum."""
    wavelength_step: float = HSC_DESI.wavelength_step
    n_wavelengths: int = HSC_DESI.n_wavelengths
    arms: tuple[str, ...] = ("B", "R", "Z")
    """Spectrograph arms of the coadds: <arm>_WAVELENGTH, <arm>_FLUX, <arm>_IVAR, <arm>_MASK."""
    band_noise: tuple[float, ...] | None = None
    """Background sigma per band, counts per pixel; None: measured."""
    arcsinh_mean: tuple[float, ...] | None = None
    arcsinh_std: tuple[float, ...] | None = None
    catalogue: CatalogueColumns = field(default_factory=CatalogueColumns)

    def __post_init__(self) -> None:
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.bands):
                raise ValueError(f"{name} has {len(values)} values for {len(self.bands)} bands; give one per band.")
        for name in ("image_size", "pixel_scale", "wavelength_step", "n_wavelengths"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a positive number.")
        if len(set(self.bands)) != len(self.bands) or not self.bands:
            raise ValueError(f"bands are {', '.join(self.bands) or 'none'}; name each band once.")

    @property
    def images_are_hsc(self) -> bool:
        """Whether the normalisation measured on HSC cutouts applies."""
        return all(
            getattr(self, name) == getattr(HSC_DESI, name)
            for name in ("bands", "image_size", "pixel_scale", "zero_point")
        )

    def spec(self) -> SurveySpec:
        """The spec; noise and normalisation are NaN unless they are given or the images are HSC's."""
        known = HSC_DESI if self.images_are_hsc else None
        numbers = {}
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            given = getattr(self, name) or (getattr(known, name) if known else None)
            numbers[name] = tuple(given) if given else (float("nan"),) * len(self.bands)
        return SurveySpec(
            bands=tuple(self.bands),
            image_size=self.image_size,
            pixel_scale=self.pixel_scale,
            zero_point=self.zero_point,
            image_dtype=self.image_dtype,
            wavelength_start=self.wavelength_start,
            wavelength_step=self.wavelength_step,
            n_wavelengths=self.n_wavelengths,
            extra_columns=tuple((error_column(band), 1) for band in self.bands if self.catalogue.magnitude_errors),
            **numbers,
        )

    def spec_of_tables(self) -> SurveySpec:
        """The spec of a survey of catalogues alone: without columns of images and spectra."""
        constants = {"band_noise": 1.0, "arcsinh_mean": 0.0, "arcsinh_std": 1.0}
        numbers = {name: (value,) * len(self.bands) for name, value in constants.items()}
        return replace(self.spec(), image_size=0, n_wavelengths=0, **numbers)


def error_column(band: str) -> str:
    """The survey's column with the errors of the magnitudes of a band."""
    return f"{band}_mag_err"


def read_description(path: Path | None, images: bool = True) -> SurveyDescription:
    """The description in a YAML file; None: HSC and DESI.

    Args:
        images: the survey has images, so that the magnitudes are in bands of the images. If not, and there are
            magnitudes in other bands, the bands are those of the magnitudes.

    Raises:
        InputError: the file cannot be read, or has an invalid field.
    """
    if path is None:
        return SurveyDescription()
    try:
        description = from_yaml(path.expanduser(), SurveyDescription)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{path}: {error}") from error
    magnitudes = description.catalogue.magnitudes
    unknown = sorted(set(magnitudes) - set(description.bands))
    if unknown and images:
        raise InputError(
            f"{path}: catalogue.magnitudes names the band {', '.join(unknown)}, which is not among "
            f"the bands {', '.join(description.bands)}."
        )
    if unknown:
        return replace(description, bands=tuple(magnitudes), band_noise=None, arcsinh_mean=None, arcsinh_std=None)
    return description
