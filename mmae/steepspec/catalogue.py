"""Reading of survey catalogues into standard columns, by declarative descriptions in surveys/*.yaml.

Shape suffix: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import yaml
from astropy import units as u
from astropy.table import Table
from numpy.typing import ArrayLike
from pydantic import ConfigDict, TypeAdapter, ValidationError

from mmae.astro.tables import convert, degrees, find_column, read_table, text_values
from mmae.astro.units import parse_unit
from mmae.core.errors import InputError
from mmae.steepspec.counts import Rejections, rejections

_FLUX, _PEAK, _NONE = u.mJy, u.mJy / u.beam, u.dimensionless_unscaled
# Unit of each standard column; None: text. Every table has all columns of its kind.
RADIO_COLUMNS: dict[str, u.UnitBase | None] = {
    "source_id": None,
    "ra": u.deg,
    "dec": u.deg,
    "flux_mjy": _FLUX,
    "flux_err_mjy": _FLUX,
    "peak_mjy": _PEAK,
    "peak_err_mjy": _PEAK,
    "major_arcsec": u.arcsec,
    "minor_arcsec": u.arcsec,
    "pa_deg": u.deg,
    "alpha": _NONE,
    "alpha_err": _NONE,
    "rms_mjy": _PEAK,
    "s_code": None,
    "band": None,
    "pointing": None,
    "pointing_offset_deg": u.deg,
}
OPTICAL_COLUMNS: dict[str, u.UnitBase | None] = {
    "source_id": None,
    "ra": u.deg,
    "dec": u.deg,
    "ra_err_arcsec": u.arcsec,
    "dec_err_arcsec": u.arcsec,
    **dict.fromkeys(("pmra_mas_yr", "pmra_err_mas_yr", "pmdec_mas_yr", "pmdec_err_mas_yr"), u.mas / u.yr),
    "parallax_mas": u.mas,
    "parallax_err_mas": u.mas,
    **{
        f"{band}_mag{end}": u.mag
        for band in ("gaia_g", "gaia_bp", "gaia_rp", "g", "r", "i", "z", "y", "i_kron", "w1", "w2", "w3", "w4")
        for end in ("", "_err")
    },
}


@dataclass(frozen=True)
class Filter:
    """Selection of rows by comparing `column` (its name in the file) with `value`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    column: str
    keep: Literal["==", "!=", "<", "<=", ">", ">=", "in"]
    value: float | str | list[float | str]
    reason: str


@dataclass(frozen=True)
class Window:
    """Spectral window of a survey with one catalogue row per detection in each window."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    frequency_mhz: float
    beam_arcsec: float
    limit_mjy: float


@dataclass(frozen=True)
class SurveyDescription:
    """Format of the catalogue of a survey, and properties of the survey.

    `columns`: standard name -> possible names in the file, in order of preference (VizieR and the
    survey itself); the standard name is always tried last and need not be listed. `units`: standard
    name -> unit if the file has none; without either, and for columns with the standard name, the
    standard unit. `override_units`: standard name -> the true unit, where that in the file is wrong.
    `sentinels`: numbers that mean "missing", in addition to -99, -999, ... . `flux_scale_error`: fractional;
    `limit_mjy`: nominal detection limit (peak flux). `windows`: value of `band` -> window.
    `declination`: range in degrees. `pointed`: single pointings, with sensitivity decreasing from the
    centre. `epoch`: Julian year of the positions. Optical surveys: `magnitude` is the standard column
    used in the likelihood ratio of counterparts, `limit_mag` its nominal depth.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    title: str
    citation: str
    columns: dict[str, list[str]]
    kind: Literal["radio", "optical"] = "radio"
    frequency_mhz: float | None = None
    beam_arcsec: float | None = None
    flux_scale_error: float = 0.0
    limit_mjy: float | None = None
    units: dict[str, str] = field(default_factory=dict)
    override_units: dict[str, str] = field(default_factory=dict)
    sentinels: list[float] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    declination: tuple[float, float] = (-90.0, 90.0)
    pointed: bool = False
    epoch: float | None = None
    magnitude: str | None = None
    limit_mag: float | None = None

    def covers_declination(self, dec: ArrayLike) -> np.ndarray:
        """Whether the declinations (degrees) are in the range of the survey, which may have holes."""
        return (np.asarray(dec) >= self.declination[0]) & (np.asarray(dec) <= self.declination[1])


def survey_names() -> list[str]:
    """Names of the surveys described in the package."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in resources.files("mmae.steepspec").joinpath("surveys").iterdir()
        if path.name.endswith(".yaml")
    )


def survey_description(name_or_path: str | Path) -> SurveyDescription:
    """The description of a survey by its name in the package, or from a YAML file of the same format.

    Raises:
        InputError: the name is unknown; the YAML is invalid, or has an unknown key, standard column or
            unit; an optical survey has no magnitude or limit_mag.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InputError(f"{path}: no such survey description. Check the path.")
        text = path.read_text()
    elif str(name_or_path) in survey_names():
        text = resources.files("mmae.steepspec").joinpath("surveys", f"{name_or_path}.yaml").read_text()
    else:
        raise InputError(
            f"unknown survey {name_or_path!r}: choose from {', '.join(survey_names())}, or give a YAML "
            f"file of the same format."
        )
    try:
        survey = TypeAdapter(SurveyDescription).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{name_or_path}: not valid YAML: {error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(
            f"{name_or_path}: {'.'.join(map(str, wrong['loc'])) or 'the file'}: {wrong['msg']}. See "
            f"mmae/steepspec/surveys/ for the format."
        ) from error
    standard = standard_columns(survey)
    for name in (*survey.columns, *survey.units, *survey.override_units):
        if name not in standard:
            raise InputError(
                f"{name_or_path}: {name} is not a standard column. Those of {survey.kind} surveys: "
                f"{', '.join(standard)}."
            )
    if survey.magnitude is not None and standard.get(survey.magnitude) != u.mag:
        raise InputError(
            f"{name_or_path}: magnitude is {survey.magnitude}, which is not a standard column in mag: "
            f"choose from {', '.join(name for name, unit in standard.items() if unit == u.mag)}."
        )
    if survey.kind == "optical" and (survey.magnitude is None or survey.limit_mag is None):
        raise InputError(
            f"{name_or_path}: an optical survey needs magnitude, the standard column for the "
            f"counterpart search, and limit_mag, its depth. Add both."
        )
    for name, unit in (*survey.units.items(), *survey.override_units.items()):
        try:
            parse_unit(unit)
        except ValueError as error:
            raise InputError(f"{name_or_path}: unit of {name}: {error}") from error
    return survey


def standard_columns(survey: SurveyDescription) -> dict[str, u.UnitBase | None]:
    """Names and units of the columns of `read_catalogue` for this survey."""
    return RADIO_COLUMNS if survey.kind == "radio" else OPTICAL_COLUMNS


def read_catalogue(path: Path, survey: SurveyDescription) -> tuple[Table, list[Rejections]]:
    """The catalogue of a survey in standard columns and units, and the rejections.

    A column is identified by the names in the survey description, then by its standard name.

    Columns: those of `standard_columns`, (N,) float64 with units, NaN = missing, or str, "" =
    missing; RA 0 to 360. `source_id` is survey and row number if the file has none. meta:
    survey, path, filters_skipped (filters on columns that the file does not have).

    Rejected rows: those that fail a filter; with missing or invalid coordinates; radio rows with
    missing or non-positive flux (the peak is used if the survey has no flux). Errors that are not
    positive become NaN and are counted.

    Raises:
        InputError: as `read_table`; a column of the coordinates, or of both fluxes of a radio survey, is
            missing; a unit has the wrong dimension; a number column has text; no row is left.
    """
    raw = read_table(path)
    step = f"read {survey.name}"
    standard = standard_columns(survey)
    names = {column: find_column(raw, tuple(options)) for column, options in survey.columns.items()}
    by_standard_name = {
        column: name for column in standard if not names.get(column) and (name := find_column(raw, (column,)))
    }
    names |= by_standard_name
    missing = [column for column in ("ra", "dec") if not names.get(column)]
    if survey.kind == "radio" and not (names.get("flux_mjy") or names.get("peak_mjy")):
        missing.append("flux_mjy")
    if missing:
        wanted = "; ".join(f"{column} ({' or '.join(survey.columns.get(column, [column]))})" for column in missing)
        raise InputError(
            f"{path}: no column for {wanted}. The file has {', '.join(raw.colnames[:40])}. If it is not "
            f"{survey.title}, choose another survey; else correct the column names."
        )
    table = Table(meta={"survey": survey.name, "path": str(path)})
    for column, unit in standard.items():
        # The unit in the description applies to the columns of the survey, not to those with standard names.
        default_unit = str(unit) if column in by_standard_name else survey.units.get(column, str(unit))
        table[column] = _standard(raw, names.get(column), column, default_unit, survey, path)
        table[column].unit = unit
    table["ra"][table["ra"] < 0] += 360
    if not names.get("source_id"):
        table["source_id"] = [f"{survey.name}:{row}" for row in range(len(table))]
    counts: list[tuple[str, int]] = []
    keep = _filtered(raw, survey, table.meta, counts)
    keep = _valid_rows(table, survey, keep, counts)
    for name in ("flux_err_mjy", "peak_err_mjy", "alpha_err"):
        if name in table.colnames:
            bad = keep & (np.asarray(table[name]) <= 0)
            table[name][bad] = np.nan
            counts.append((f"{name} not positive (error dropped, row kept)", int(bad.sum())))
    if not keep.any():
        reasons = ", ".join(f"{reason}: {count}" for reason, count in counts if count)
        raise InputError(
            f"{path}: none of the {len(table)} rows can be used ({reasons}). Check the columns and "
            f"units of {survey.title}."
        )
    return table[keep], rejections(step, counts)


def _standard(
    raw: Table, name: str | None, target: str, default_unit: str, survey: SurveyDescription, path: Path
) -> np.ndarray:
    """The standard column `target` (N,) from the column `name`; `default_unit`: if the file has no unit."""
    unit = standard_columns(survey)[target]
    if name is None:
        return np.full(len(raw), np.nan) if unit is not None else np.full(len(raw), "", "U1")
    where, column = f"{path}: column {name}", raw[name]
    if column.ndim != 1:
        raise InputError(f"{where} has {column.shape[1:]} values per row; it must have one.")
    if unit is None:
        return text_values(column)
    override = survey.override_units.get(target)
    if target in ("ra", "dec"):
        values = degrees(column, target == "ra", where, default_unit, override)
    else:
        values = convert(column, default_unit, unit, where, override)
        # Sentinels are in the unit of the file, before conversion.
        raw_values = np.ma.filled(np.ma.asarray(column.data), 0) if column.dtype.kind in "fiu" else values
        values = np.where(np.isin(raw_values, survey.sentinels), np.nan, values)
    return np.where(np.isfinite(values), values, np.nan)


def _filtered(raw: Table, survey: SurveyDescription, meta: dict[str, Any], counts: list[tuple[str, int]]) -> np.ndarray:
    """(N,) bool: rows that pass all filters."""
    keep, skipped = np.ones(len(raw), bool), []
    for rule in survey.filters:
        name = find_column(raw, (rule.column,))
        if name is None:
            skipped.append(rule.column)
            continue
        values = raw[name]
        wanted = rule.value if isinstance(rule.value, list) else [rule.value]
        if isinstance(wanted[0], str):
            data, wanted_data = text_values(values), np.array(wanted, str)
        else:
            data, wanted_data = (convert(values, "", _NONE, f"{meta['path']}: column {name}", "1"), np.array(wanted))
        passed = {
            "==": lambda a, b: np.isin(a, b),
            "in": lambda a, b: np.isin(a, b),
            "!=": lambda a, b: ~np.isin(a, b),
            "<": lambda a, b: a < b[0],
            "<=": lambda a, b: a <= b[0],
            ">": lambda a, b: a > b[0],
            ">=": lambda a, b: a >= b[0],
        }[rule.keep](data, wanted_data)
        counts.append((rule.reason, int((keep & ~passed).sum())))
        keep &= passed
    meta["filters_skipped"] = skipped
    return keep


def _valid_rows(table: Table, survey: SurveyDescription, keep: np.ndarray, counts: list[tuple[str, int]]) -> np.ndarray:
    """`keep` without the rows that lack valid coordinates or a flux; each is counted once."""
    ra, dec = np.asarray(table["ra"]), np.asarray(table["dec"])
    faults = [
        ("no coordinates", np.isnan(ra) | np.isnan(dec)),
        ("coordinates out of range", ~((ra >= 0) & (ra <= 360) & (abs(dec) <= 90))),
    ]
    if survey.kind == "radio":
        flux = np.asarray(table["flux_mjy"])
        flux = np.asarray(table["peak_mjy"]) if np.isnan(flux).all() else flux
        faults += [("no flux density", np.isnan(flux)), ("flux density not positive", flux <= 0)]
    for reason, bad in faults:
        counts.append((reason, int((keep & bad).sum())))
        keep = keep & ~bad
    return keep
