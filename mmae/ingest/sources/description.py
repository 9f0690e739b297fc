"""Descriptions of known sources: names of columns, units, senses of masks. One YAML file each, in this folder.

A description tells how the files of a survey are read (`layout`), which of their columns are what (`columns`,
`spectrum`, `image`), and onto which pixels and wavelengths they are brought (`survey`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mmae.core.errors import InputError
from mmae.core.settings import from_yaml
from mmae.ingest.description import SurveyDescription
from mmae.ingest.sources.grid import GridConfig

FOLDER = Path(__file__).parent
LayoutName = Literal["hdf5", "parquet", "sdss-spec", "sdss-plate", "astroclip", "desi-spectra"]
LINE_SPREAD = "line_spread_sigma"
"""The column of a survey with the Gaussian sigma of the line-spread function in Angstrom, the median of a spectrum."""


@dataclass(frozen=True)
class Columns:
    """Columns with one number or word per row. Empty: no such column."""

    object_id: str = ""
    """Several columns that are unique together are separated by commas."""
    ra: str = ""
    dec: str = ""
    targetid: str = ""
    redshift: str = ""
    redshift_err: str = ""
    zwarn: str = ""
    """Warning bits, 0 = trusted; or true and false."""
    zwarn_true_is: Literal["bad", "good"] = "bad"
    """The sense of a column with true and false."""
    morphtype: str = ""
    skip: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> its words in rows that are no targets."""
    magnitudes: dict[str, str] = field(default_factory=dict)
    """Band -> AB magnitudes."""
    nanomaggies: dict[str, str] = field(default_factory=dict)
    """Band -> fluxes at zero point 22.5."""
    labels: dict[str, str] = field(default_factory=dict)
    """Name of a column of the survey -> column with a measured property, such as a stellar mass."""


@dataclass(frozen=True)
class SpectrumColumns:
    """Columns with one array per row. `{arm}` in a name stands for each of `arms`."""

    flux: str
    ivar: str = ""
    """1/flux^2; empty: measured from the scatter of neighbouring samples."""
    wavelength: str = ""
    """Angstrom; empty: the samples are those of the survey's grid."""
    log_wavelength: bool = False
    """The wavelengths are log10 of Angstrom."""
    medium: Literal["vacuum", "air"] = "vacuum"
    mask: str = ""
    mask_true_is: Literal["bad", "good"] = "bad"
    """The sense of a mask of true and false, or of numbers other than 0."""
    line_spread: str = ""
    """Sigma of the line-spread function in samples."""
    flux_unit: float = 1.0
    """The unit of flux and ivar in 1e-17 erg/s/cm2/A."""
    arms: tuple[str, ...] = ("",)

    def of_arm(self, arm: str) -> tuple[str, ...]:
        """The columns of one arm."""
        names = (self.flux, self.ivar, self.wavelength, self.mask, self.line_spread)
        return tuple(name.format(arm=arm) for name in names if name)


@dataclass(frozen=True)
class ImageColumns:
    """Columns with one image per row."""

    array: str
    bands: dict[str, str]
    """Name of a band in the files -> band of the survey; in the order of the planes where `band` is empty."""
    pixel_scale: float
    """Arcsec per pixel in the files."""
    zero_point: float
    """AB magnitude of one count in the files."""
    band: str = ""
    """Column with the names of the planes of each row."""
    planes: Literal["first", "last"] = "first"
    """Which axis of an image has the bands."""
    mask: str = ""
    mask_true_is: Literal["bad", "good"] = "good"
    ivar: str = ""
    """1/count^2; 0 = not observed."""


@dataclass(frozen=True)
class KnownSource:
    """One known source of spectra, images or labels.

    Attributes:
        tried: whether the reader was tried on files of the archive, or on files written to the archive's description.
        traps: what to know of the files.
    """

    name: str
    title: str
    layout: LayoutName
    columns: Columns
    reference: str = ""
    spectrum: SpectrumColumns | None = None
    image: ImageColumns | None = None
    survey: SurveyDescription = field(default_factory=SurveyDescription)
    tried: Literal["real files", "written files"] = "written files"
    traps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set() if self.image is None else set(self.survey.bands) - set(self.image.bands.values())
        if unknown and self.image:
            raise ValueError(
                f"survey.bands names {', '.join(sorted(unknown))}, but image.bands has only "
                f"{', '.join(self.image.bands.values())}."
            )

    @property
    def scalar_columns(self) -> tuple[str, ...]:
        """Names of the columns with one value per row."""
        c = self.columns
        single = (c.ra, c.dec, c.targetid, c.redshift, c.redshift_err, c.zwarn, c.morphtype)
        ids = tuple(part.strip() for part in c.object_id.split(","))
        many = (*c.skip, *c.magnitudes.values(), *c.nanomaggies.values(), *c.labels.values())
        return tuple(dict.fromkeys(name for name in (*ids, *single, *many) if name))

    @property
    def spectrum_columns(self) -> tuple[str, ...]:
        s = self.spectrum
        return () if s is None else tuple(dict.fromkeys(name for arm in s.arms for name in s.of_arm(arm)))

    @property
    def image_columns(self) -> tuple[str, ...]:
        i = self.image
        return () if i is None else tuple(name for name in (i.array, i.band, i.mask, i.ivar) if name)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns without which a file is not of this source; of several arms those of the first."""
        s, i, c = self.spectrum, self.image, self.columns
        names = [c.ra, c.dec]
        if s is not None:
            names += [name.format(arm=s.arms[0]) for name in (s.flux, s.ivar, s.wavelength)]
        if i is not None:
            names += [i.array]
        if s is None and i is None:
            names += list(c.labels.values())
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def extra_columns(self) -> tuple[tuple[str, int], ...]:
        """Columns of a survey of this source beyond the common ones, as in `SurveySpec`."""
        spread = ((LINE_SPREAD, 1),) if self.spectrum is not None and self.spectrum.line_spread else ()
        return (*spread, *((name, 1) for name in self.columns.labels))


def known_names() -> list[str]:
    """The names of all known sources."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def known_source(name: str) -> KnownSource:
    """A known source by its name, or one of the user's in a YAML file of the same form.

    Raises:
        InputError: there is no such source or file, or it has an invalid field.
    """
    path = Path(name).expanduser() if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name, known_names(), 1)
        raise InputError(
            f"{name}: no such source{f'; did you mean {near[0]}?' if near else '.'} Known sources are "
            f"{', '.join(known_names())}; others can be described in a YAML file (docs/surveys.md)."
        )
    try:
        return from_yaml(path, KnownSource)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{path}: {error}") from error


def on_grid(source: KnownSource, grid: GridConfig) -> KnownSource:
    """The source with the survey's pixels and wavelengths of `grid`.

    Raises:
        InputError: a value is invalid, or a band is not one of the source.
    """
    given = {name: value for name, value in vars(grid).items() if value not in (None, ())}
    if not given:
        return source
    moved = {"band_noise": None, "arcsinh_mean": None, "arcsinh_std": None}
    try:
        survey = replace(source.survey, **given, **(moved if {"bands", "pixel_scale"} & set(given) else {}))
        return replace(source, survey=survey)
    except ValueError as error:
        raise InputError(f"--grid: {error}") from error
