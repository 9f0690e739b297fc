"""One galaxy: its fields, their checks, and its row in a Parquet file.

Shape suffixes used below: C bands, H and W image pixels, L wavelength samples.

Image and spectrum tensors are stored as fixed-size binary: reading one is a memory
copy, four to ten times faster than decoding a list column. The meaning of the bytes
(band order, wavelength grid, dtype, zero point) is in the metadata of every shard.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mmae.astro.healpix import nested_cell, on_sky
from mmae.core.errors import InputError
from mmae.survey.missing import missing_by_band
from mmae.survey.tensors import encode_tensor

SPEC_KEY = b"mmae.survey_spec"
SPLITS = ("train", "val", "test")
MAGNITUDE = "_cmodel_mag"  # end of the names of columns of magnitudes, after the band
IMAGE_GRID = ("bands", "image_size", "pixel_scale", "zero_point")
WAVELENGTH_GRID = ("n_wavelengths", "wavelength_start", "wavelength_step")
GRIDS = {"image": IMAGE_GRID, "spectrum": WAVELENGTH_GRID, "magnitudes": ("bands",)}
"""Modality -> fields in which a survey and a model that reads it must agree."""
"""Fields of `SurveySpec` in which two surveys, or a survey and a model, must agree."""


@dataclass(frozen=True)
class SurveySpec:
    """Units and grids of all rows of a survey.

    Defaults are HSC-PDR2 images and DESI spectra as in GalaxiesML-Spectra
    (Zenodo 16989593); the background noise and the mean and standard deviation of
    arcsinh(pixel / noise) were measured on its 134,533 images.
    """

    bands: tuple[str, ...] = ("g", "r", "i", "z", "y")
    image_size: int = 64  # pixels; 0: the survey has no column of images
    pixel_scale: float = 0.168  # arcsec / pixel
    zero_point: float = 27.0  # AB mag of one count
    image_dtype: str = "float32"
    band_noise: tuple[float, ...] = (0.0212, 0.0352, 0.0369, 0.0688, 0.1367)  # counts / pixel
    arcsinh_mean: tuple[float, ...] = (1.6004, 1.8535, 2.0918, 1.8240, 1.5074)
    arcsinh_std: tuple[float, ...] = (1.8264, 1.8293, 1.9493, 1.8944, 1.7909)
    wavelength_start: float = 3600.0  # Angstrom, vacuum
    wavelength_step: float = 0.8  # Angstrom
    n_wavelengths: int = 7781  # 0: the survey has no columns of spectra
    extra_columns: tuple[tuple[str, int], ...] = ()
    """Further measurements of this survey, for modalities of its own: column name and number of float32 samples (1: a
    plain number)."""

    def wavelength_L(self) -> np.ndarray:
        """The wavelength of every spectrum sample, in Angstrom (float64)."""
        return self.wavelength_start + self.wavelength_step * np.arange(self.n_wavelengths)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (len(self.bands), self.image_size, self.image_size)

    def to_json(self) -> str:
        values = dataclasses.asdict(self)
        if not self.extra_columns:  # hashes of surveys without any are as they were before there were such columns
            del values["extra_columns"]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes) -> SurveySpec:
        values = json.loads(text)
        values["extra_columns"] = [(name, size) for name, size in values.get("extra_columns", [])]
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def require_equal_grid(self, other: SurveySpec, where: str) -> None:
        """Raise InputError, naming all differences, unless `other` has this band order, image and wavelength grid."""
        differ = [
            f"{name} is {getattr(other, name)}, expected {getattr(self, name)}"
            for name in (*IMAGE_GRID, *WAVELENGTH_GRID)
            if getattr(self, name) != getattr(other, name)
        ]
        if differ:
            raise InputError(
                f"{where}: {'; '.join(differ)}. A model reads one band order "
                f"and one grid only: rebuild the survey with ray_jobs/build_survey.py."
            )


@dataclass
class Galaxy:
    """One object on the sky. None: not measured."""

    object_id: str
    ra: float | None = None  # ICRS degrees
    dec: float | None = None
    targetid: int | None = None  # DESI TARGETID
    redshift: float | None = None  # spectroscopic
    redshift_err: float | None = None
    image_CHW: np.ndarray | None = None  # counts at the survey's zero point; NaN = not observed
    flux_L: np.ndarray | None = None  # 1e-17 erg/s/cm2/A
    ivar_L: np.ndarray | None = None  # 1/flux^2; 0 = bad pixel
    cmodel_mag_C: np.ndarray | None = None  # AB; NaN = not measured in that band
    morphtype: str | None = None  # PSF, REX, EXP, DEV, SER
    zwarn: int | None = None  # redrock's warning bits; 0 = trusted
    fiberstatus: int | None = None  # DESI's COADD_FIBERSTATUS bits; 0 = good
    masked_fraction: float | None = None  # fraction of image pixels without data, in the worst band
    group_id: str | None = None  # rows of one group (one parent image, one target at one place) share a split
    extra: dict[str, np.ndarray | float] = field(default_factory=dict)  # by name in SurveySpec.extra_columns


@dataclass(frozen=True)
class Rejection:
    """A row or field that was rejected while a survey was built."""

    object_id: str
    where: str  # file and row
    field: str  # "row": the whole row
    reason: str


@dataclass
class Checked:
    """The galaxy with its usable fields (None: no usable field), and what `check_galaxy` rejected."""

    galaxy: Galaxy | None
    rejections: list[Rejection] = field(default_factory=list)


def check_galaxy(galaxy: Galaxy, spec: SurveySpec, where: str) -> Checked:
    """Reject the fields of a galaxy that cannot be used, with the reasons.

    Image and spectrum are rejected independently; the row is rejected only if no measurement is left: no image, no
    spectrum, no magnitude and no extra column. An image with missing pixels (NaN) is kept, also if whole bands are
    missing. Mutates and returns `galaxy`.

    Raises:
        InputError: an image or spectrum has the wrong shape. This means a wrong grid or
            band count of the whole file, not of this row.
    """
    rejections: list[Rejection] = []

    def reject(name: str, reason: str) -> None:
        rejections.append(Rejection(galaxy.object_id, where, name, reason))

    if galaxy.image_CHW is not None:
        if galaxy.image_CHW.shape != spec.image_shape:
            raise InputError(
                f"{where}: image has shape {galaxy.image_CHW.shape}, expected {spec.image_shape} "
                f"(bands {','.join(spec.bands)} x {spec.image_size} x {spec.image_size} pixels)."
            )
        reason = _image_fault(galaxy.image_CHW, spec.image_dtype)
        if reason:
            reject("image", reason)
            galaxy.image_CHW = None
        elif galaxy.masked_fraction is None and np.isnan(galaxy.image_CHW.min()):
            galaxy.masked_fraction = float(missing_by_band(galaxy.image_CHW).max())
    if galaxy.flux_L is not None or galaxy.ivar_L is not None:
        for name in ("flux_L", "ivar_L"):
            value = getattr(galaxy, name)
            if value is None or value.shape != (spec.n_wavelengths,):
                raise InputError(
                    f"{where}: {name[:-2]} has {None if value is None else value.shape} samples, "
                    f"expected {spec.n_wavelengths} on the grid {spec.wavelength_start} A + "
                    f"{spec.wavelength_step} A x i; resample it to that grid."
                )
        reason = _spectrum_fault(galaxy)
        if reason:
            reject("spectrum", reason)
            galaxy.flux_L = galaxy.ivar_L = None
    if galaxy.redshift is not None and not (np.isfinite(galaxy.redshift) and galaxy.redshift >= 0):
        reject("redshift", f"redshift is {galaxy.redshift:.5g}; the row is kept without a label")
        galaxy.redshift = galaxy.redshift_err = None
    _check_extra(galaxy, spec, where, reject)
    has_magnitude = galaxy.cmodel_mag_C is not None and np.isfinite(galaxy.cmodel_mag_C).any()
    if galaxy.image_CHW is None and galaxy.flux_L is None and not has_magnitude and not galaxy.extra:
        reject("row", "no image, spectrum, magnitude or extra column is left")
        return Checked(None, rejections)
    return Checked(galaxy, rejections)


def _check_extra(galaxy: Galaxy, spec: SurveySpec, where: str, reject: Callable[[str, str], None]) -> None:
    sizes = dict(spec.extra_columns)
    for name, value in list(galaxy.extra.items()):
        shape = np.shape(value)
        if name not in sizes or shape != (() if sizes[name] == 1 else (sizes[name],)):
            raise InputError(
                f"{where}: {name} has shape {shape}; the survey's extra_columns are {spec.extra_columns}. Declare the "
                f"column with its number of samples."
            )
        if not np.isfinite(value).all():
            reject(name, "it has NaN or infinite samples")
            del galaxy.extra[name]


def _healpix(galaxies: list[Galaxy]) -> pa.Array:
    """HEALPix pixels of order 29, NESTED: the column by which HATS sorts and joins catalogues."""
    ra_N, dec_N = (np.array([getattr(g, name) for g in galaxies], np.float64) for name in ("ra", "dec"))
    placed_N = on_sky(ra_N, dec_N)
    cell_N = nested_cell(np.where(placed_N, ra_N, 0), np.where(placed_N, dec_N, 0))
    return pa.array(cell_N, pa.int64(), mask=~placed_N)


def _image_fault(image_CHW: np.ndarray, dtype: str) -> str | None:
    lowest, highest = (float(of_observed.reduce(image_CHW, axis=None)) for of_observed in (np.fmin, np.fmax))
    if np.isinf(lowest) or np.isinf(highest):
        return f"{int(np.isinf(image_CHW).sum())} pixels are infinite"
    if np.isnan(lowest):
        return "no pixel was observed: all are NaN"
    if lowest == highest == 0:
        return "every pixel is zero"
    peak, limit = max(-lowest, highest), float(np.finfo(dtype).max)
    if peak > limit:
        return f"pixel value {peak:.3g} does not fit into {dtype}"
    return None


def _spectrum_fault(galaxy: Galaxy) -> str | None:
    flux_L, ivar_L = galaxy.flux_L, galaxy.ivar_L
    least_weight, most_weight = float(ivar_L.min()), float(ivar_L.max())  # NaN if a sample is
    if not (0 <= least_weight <= most_weight < np.inf):
        return "ivar has NaN, infinite or negative samples"
    if most_weight == 0:
        return "ivar is zero everywhere: no good pixel"
    # A bad pixel (ivar 0) may have any value; zero avoids 0 x NaN in sums.
    flux_L = np.where(ivar_L > 0, flux_L, 0.0)
    lowest, highest = float(flux_L.min()), float(flux_L.max())
    if not (-np.inf < lowest <= highest < np.inf):
        return "flux is NaN or infinite where ivar is positive"
    peak = max(-lowest, highest, most_weight)
    if peak > float(np.finfo(np.float32).max):
        return f"flux or ivar {peak:.3g} does not fit into float32"
    galaxy.flux_L = flux_L
    return None


def arrow_schema(spec: SurveySpec) -> pa.Schema:
    """The Parquet schema of a survey, with the spec in its metadata."""
    image_bytes = int(np.prod(spec.image_shape)) * np.dtype(spec.image_dtype).itemsize
    spectrum_bytes = spec.n_wavelengths * np.dtype(np.float32).itemsize
    tensors = {"image": image_bytes, "flux": spectrum_bytes, "ivar": spectrum_bytes}
    fields = [
        pa.field("object_id", pa.string(), nullable=False),
        pa.field("targetid", pa.int64()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("redshift", pa.float32()),
        pa.field("redshift_err", pa.float32()),
        *[pa.field(name, pa.binary(size)) for name, size in tensors.items() if size],
        *[pa.field(f"{band}{MAGNITUDE}", pa.float32()) for band in spec.bands],
        *[
            pa.field(name, pa.float32() if size == 1 else pa.binary(size * np.dtype(np.float32).itemsize))
            for name, size in spec.extra_columns
        ],
        pa.field("morphtype", pa.string()),
        pa.field("zwarn", pa.int64()),
        pa.field("fiberstatus", pa.int64()),
        pa.field("masked_fraction", pa.float32()),
        pa.field("_healpix_29", pa.int64()),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
    return pa.schema(fields, metadata={SPEC_KEY: spec.to_json().encode()})


def to_table(galaxies: list[Galaxy], splits: list[str], spec: SurveySpec) -> pa.Table:
    """Checked galaxies and their splits as an Arrow table with the schema of a shard."""

    def magnitude(band: int) -> list[float | None]:
        values = [None if g.cmodel_mag_C is None else float(g.cmodel_mag_C[band]) for g in galaxies]
        return [v if v is not None and np.isfinite(v) else None for v in values]

    def extra(name: str, size: int) -> list[bytes | float | None]:
        values = [g.extra.get(name) for g in galaxies]
        return [None if v is None else float(v) if size == 1 else np.asarray(v, "float32").tobytes() for v in values]

    schema = arrow_schema(spec)
    tensors = {"image": ("image_CHW", spec.image_dtype), "flux": ("flux_L", "float32"), "ivar": ("ivar_L", "float32")}
    columns = {
        **{
            column: encode_tensor([getattr(g, name) for g in galaxies], np.dtype(dtype), schema.field(column).type)
            for column, (name, dtype) in tensors.items()
            if column in schema.names
        },
        "group_id": [g.group_id or g.object_id for g in galaxies],
        "split": splits,
        "_healpix_29": _healpix(galaxies),
        **{f"{band}{MAGNITUDE}": magnitude(i) for i, band in enumerate(spec.bands)},
        **{name: extra(name, size) for name, size in spec.extra_columns},
    }
    for name in schema.names:
        if name not in columns:
            columns[name] = [getattr(g, name) for g in galaxies]
    arrays = [c if isinstance(c := columns[f.name], pa.Array) else pa.array(c, f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def recorded_spec(schema: pa.Schema, where: str, advice: str) -> SurveySpec | None:
    """The specification in the metadata of a file or table of a survey; None: there is none.

    Raises:
        InputError: it is damaged.
    """
    text = (schema.metadata or {}).get(SPEC_KEY)
    if text is None:
        return None
    try:
        return SurveySpec.from_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: damaged survey metadata in the Parquet footer ({error}). {advice}") from error
