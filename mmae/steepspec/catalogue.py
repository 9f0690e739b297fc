"""Survey catalogues brought to one form, each by a declarative description in surveys/*.yaml.

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

from mmae.astro.tables import convert, find_column, read_table, sexagesimal, text_values
from mmae.core.errors import InputError
from mmae.steepspec.counts import Rejections, rejections

_FLUX, _PEAK, _NONE = u.mJy, u.mJy / u.beam, u.dimensionless_unscaled
# Unit of each standard column; None = text. Every table has all columns of its kind.
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
    """Rows to keep: those whose `column` (its name in the file) compares so with `value`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    column: str
    keep: Literal["==", "!=", "<", "<=", ">", ">=", "in"]
    value: float | str | list[float | str]
    reason: str


@dataclass(frozen=True)
class Window:
    """One frequency of a survey whose catalogue has a row for each detection at each frequency."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    frequency_mhz: float
    beam_arcsec: float
    limit_mjy: float


@dataclass(frozen=True)
class SurveyDescription:
    """How to read one survey's catalogue, and what the survey can see.

    `columns`: standard name -> the names it may have in the file, in order of preference (VizieR's
    and the survey's own); the standard name itself comes last and need not be listed. `units`:
    standard name -> its unit where the file states none; where neither does, the standard one, as
    for columns under the standard name. `sentinels`: numbers that mean "missing". `flux_scale_error`
    is a fraction; `limit_mjy` the usual detection limit (peak flux). `windows`: value of `band` ->
    its window. `declination`: from, to, degrees. `pointed`: single pointings, each less deep away
    from its centre. `epoch`: Julian year of the positions. Optical surveys: `magnitude` is the
    standard column by which counterparts are told from unrelated objects, `limit_mag` its usual depth.
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
    sentinels: list[float] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    declination: tuple[float, float] = (-90.0, 90.0)
    pointed: bool = False
    epoch: float | None = None
    magnitude: str | None = None
    limit_mag: float | None = None

    def reaches(self, dec: ArrayLike) -> np.ndarray:
        """Whether the survey covers these declinations, degrees; it may still have holes there."""
        return (np.asarray(dec) >= self.declination[0]) & (np.asarray(dec) <= self.declination[1])


def survey_names() -> list[str]:
    """The surveys described in the package."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in resources.files("mmae.steepspec").joinpath("surveys").iterdir()
        if path.name.endswith(".yaml")
    )


def survey_description(name_or_path: str | Path) -> SurveyDescription:
    """The description of a survey by its name in the package, or from a YAML file of the same form.

    Raises:
        InputError: unknown name; the YAML is broken, has an unknown key, an unknown standard
            column or a unit that does not exist; an optical survey has no magnitude or limit_mag.
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
            f"unknown survey {name_or_path!r}: name one of {', '.join(survey_names())}, or a YAML "
            f"file of the same form."
        )
    try:
        survey = TypeAdapter(SurveyDescription).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{name_or_path}: not valid YAML: {error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(
            f"{name_or_path}: {'.'.join(map(str, wrong['loc'])) or 'the file'}: {wrong['msg']}. See "
            f"mmae/steepspec/surveys/ for the form."
        ) from error
    standard = standard_columns(survey)
    for name in (*survey.columns, *survey.units):
        if name not in standard:
            raise InputError(
                f"{name_or_path}: {name} is no standard column. The {survey.kind} ones are {', '.join(standard)}."
            )
    if survey.magnitude is not None and standard.get(survey.magnitude) != u.mag:
        raise InputError(
            f"{name_or_path}: magnitude is {survey.magnitude}, which is no standard column in "
            f"mag: {', '.join(name for name, unit in standard.items() if unit == u.mag)}."
        )
    if survey.kind == "optical" and (survey.magnitude is None or survey.limit_mag is None):
        raise InputError(
            f"{name_or_path}: an optical survey needs magnitude, the standard column that the "
            f"counterpart search uses, and limit_mag, its depth. Add both."
        )
    for name, unit in survey.units.items():
        try:
            u.Unit(unit)
        except ValueError as error:
            raise InputError(f"{name_or_path}: unit of {name}: {error}") from error
    return survey


def standard_columns(survey: SurveyDescription) -> dict[str, u.UnitBase | None]:
    """Names and units of the columns that `read_catalogue` gives for this survey."""
    return RADIO_COLUMNS if survey.kind == "radio" else OPTICAL_COLUMNS


def read_catalogue(path: Path, survey: SurveyDescription) -> tuple[Table, list[Rejections]]:
    """A survey's catalogue in standard columns and units, and what was set aside.

    A column is looked for under the names that the survey describes, then under its standard name.

    Columns: those of `standard_columns`, (N,) float64 with units, NaN = missing, or str, "" =
    missing; RA 0 to 360. `source_id` is made of survey and row where the file has none. meta:
    survey, path, filters_skipped (filters on columns that the file does not have).

    Rows set aside: filtered ones; without or with impossible coordinates; radio rows whose flux
    is missing or not positive (the peak stands in for a flux that the survey does not give).
    Errors that are not positive become NaN, and are counted.

    Raises:
        InputError: as `read_table`; coordinates or (radio) all fluxes have no column; a unit is
            of the wrong kind; text stands where a number should; no row is left.
    """
    raw = read_table(path)
    step = f"read {survey.name}"
    standard = standard_columns(survey)
    names = {ours: find_column(raw, tuple(theirs)) for ours, theirs in survey.columns.items()}
    own = {ours: name for ours in standard if not names.get(ours) and (name := find_column(raw, (ours,)))}
    names |= own
    needed = [("ra", "dec")[i] for i in range(2) if not names.get(("ra", "dec")[i])]
    if survey.kind == "radio" and not (names.get("flux_mjy") or names.get("peak_mjy")):
        needed.append("flux_mjy")
    if needed:
        wanted = "; ".join(f"{ours} ({' or '.join(survey.columns.get(ours, [ours]))})" for ours in needed)
        raise InputError(
            f"{path}: no column for {wanted}. The file has {', '.join(raw.colnames[:40])}. Is it "
            f"{survey.title}? Else choose another survey, or correct the column names."
        )
    table = Table(meta={"survey": survey.name, "path": str(path)})
    for ours, unit in standard.items():
        # The described unit is that of the survey's own column, not of one in our form.
        stated = str(unit) if ours in own else survey.units.get(ours, str(unit))
        table[ours] = _standard(raw, names.get(ours), ours, unit, stated, survey.sentinels, path)
        table[ours].unit = unit
    table["ra"][table["ra"] < 0] += 360
    if not names.get("source_id"):
        table["source_id"] = [f"{survey.name}:{row}" for row in range(len(table))]
    counts: list[tuple[str, int]] = []
    keep = _filtered(raw, survey, table.meta, counts)
    keep = _sound_rows(table, survey, keep, counts)
    for name in ("flux_err_mjy", "peak_err_mjy", "alpha_err"):
        if name in table.colnames:
            bad = keep & (np.asarray(table[name]) <= 0)
            table[name][bad] = np.nan
            counts.append((f"{name} not positive (error dropped, row kept)", int(bad.sum())))
    if not keep.any():
        reasons = ", ".join(f"{reason}: {count}" for reason, count in counts if count)
        raise InputError(
            f"{path}: none of its {len(table)} rows can be used ({reasons}). Check the columns and "
            f"units of {survey.title}."
        )
    return table[keep], rejections(step, counts)


def _standard(
    raw: Table, name: str | None, ours: str, unit: u.UnitBase | None, stated: str, sentinels: list[float], path: Path
) -> np.ndarray:
    """One standard column (N,); `stated` is its unit if the file has none."""
    if name is None:
        return np.full(len(raw), np.nan) if unit is not None else np.full(len(raw), "", "U1")
    where, column = f"{path}: column {name}", raw[name]
    if column.ndim != 1:
        raise InputError(f"{where} has {column.shape[1:]} values a row: a catalogue has one.")
    if unit is None:
        return text_values(column)
    if ours in ("ra", "dec") and column.dtype.kind in "USO":
        values = sexagesimal(column, ours == "ra", where)
    else:
        values = convert(column, stated, unit, where)
        # A sentinel is a number in the file's unit, before any conversion.
        raw_values = np.ma.filled(np.ma.asarray(column.data), 0) if column.dtype.kind in "fiu" else values
        values = np.where(np.isin(raw_values, sentinels), np.nan, values)
    return np.where(np.isfinite(values), values, np.nan)


def _filtered(raw: Table, survey: SurveyDescription, meta: dict[str, Any], counts: list[tuple[str, int]]) -> np.ndarray:
    """Rows (N,) bool that pass all filters."""
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
            data, wanted_data = (convert(values, str(values.unit or ""), values.unit or _NONE, name), np.array(wanted))
        good = {
            "==": lambda a, b: np.isin(a, b),
            "in": lambda a, b: np.isin(a, b),
            "!=": lambda a, b: ~np.isin(a, b),
            "<": lambda a, b: a < b[0],
            "<=": lambda a, b: a <= b[0],
            ">": lambda a, b: a > b[0],
            ">=": lambda a, b: a >= b[0],
        }[rule.keep](data, wanted_data)
        counts.append((rule.reason, int((keep & ~good).sum())))
        keep &= good
    meta["filters_skipped"] = skipped
    return keep


def _sound_rows(table: Table, survey: SurveyDescription, keep: np.ndarray, counts: list[tuple[str, int]]) -> np.ndarray:
    """`keep` less the rows without a place or a flux; each row is counted for its first fault."""
    ra, dec = np.asarray(table["ra"]), np.asarray(table["dec"])
    faults = [
        ("no coordinates", np.isnan(ra) | np.isnan(dec)),
        ("impossible coordinates", ~((ra >= 0) & (ra <= 360) & (abs(dec) <= 90))),
    ]
    if survey.kind == "radio":
        flux = np.asarray(table["flux_mjy"])
        flux = np.asarray(table["peak_mjy"]) if np.isnan(flux).all() else flux
        faults += [("no flux density", np.isnan(flux)), ("flux density not positive", flux <= 0)]
    for reason, bad in faults:
        counts.append((reason, int((keep & bad).sum())))
        keep = keep & ~bad
    return keep
