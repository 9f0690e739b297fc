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

Fields that are left out are as in HSC-PDR2 and DESI-DR1. For images other than HSC's, noise and normalisation are
measured when the survey is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmae.astro.units import parse_unit
from mmae.core.errors import InputError
from mmae.core.settings import from_yaml
from mmae.survey.schema import SurveySpec

HSC_DESI = SurveySpec()
WITH_UNITS = ("ra", "dec", "pmra", "pmdec", "epoch", "redshift", "redshift_err", "magnitudes")


@dataclass(frozen=True)
class CatalogueColumns:
    """Column names in the catalogue tables. Empty: no such column.

    Case and punctuation of the names are ignored. Units given in the tables are converted. Positions may be
    sexagesimal.
    """

    object_id: str = "object_id"
    """One column, or several that are unique together, separated by commas: `BRICKID, OBJID`."""
    ra: str = "ra"
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
    """Band -> column with AB magnitudes."""
    override_units: dict[str, str] = field(default_factory=dict)
    """Field (ra, pmra, ..., magnitudes) -> its true unit, where the unit in the tables is wrong."""

    def __post_init__(self) -> None:
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
    image_size: int = HSC_DESI.image_size
    """Pixels along a side of a cutout."""
    pixel_scale: float = HSC_DESI.pixel_scale
    """Arcsec per pixel of the images."""
    zero_point: float = HSC_DESI.zero_point
    """AB magnitude of one count in the survey; images with FLUXMAG0 are scaled to it."""
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
        unknown = set(self.catalogue.magnitudes) - set(self.bands)
        if unknown:
            raise ValueError(
                f"catalogue.magnitudes names the band {', '.join(sorted(unknown))}, which is not among "
                f"the bands {', '.join(self.bands)}."
            )
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
            wavelength_start=self.wavelength_start,
            wavelength_step=self.wavelength_step,
            n_wavelengths=self.n_wavelengths,
            **numbers,
        )


def read_description(path: Path | None) -> SurveyDescription:
    """The description in a YAML file; None: HSC and DESI.

    Raises:
        InputError: the file cannot be read, or has an invalid field.
    """
    if path is None:
        return SurveyDescription()
    try:
        return from_yaml(path.expanduser(), SurveyDescription)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{path}: {error}") from error
