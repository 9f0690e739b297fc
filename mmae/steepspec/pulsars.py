"""Known pulsars from psrcat, and the fraction of them that a radio survey would detect.

psrcat: Manchester et al. 2005, AJ 129, 1993. Text format, as in psrcat.db 1.67: lines `NAME VALUE
[ERROR] [REFERENCE]`, the error in units of the last digit of the value; `#` starts a comment; a line
that starts with `@` ends a record. Flux densities `S<frequency in MHz>` are in mJy.
Version 2 is a SQLite database (`psrcat_sqlite`).

Shape suffixes: N pulsars, B resamplings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.typing import ArrayLike
from scipy.stats import beta

from mmae.core.errors import InputError
from mmae.steepspec.counts import Rejections, rejections
from mmae.steepspec.psrcat_sqlite import is_sqlite, sqlite_records

# Spectral indices of 276 pulsars that follow a power law: Jankowski et al. 2018, MNRAS 473, 4436.
MEAN_INDEX, SD_INDEX = -1.60, 0.62
_FLUX = re.compile(r"S(\d+)(G?)")
_NUMBER = re.compile(r"[<>]?([+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?)")
_ANGLE = re.compile(r"([+-]?)(\d{1,3})(?::(\d{1,2}(?:\.\d*)?))?(?::(\d{1,2}(?:\.\d*)?))?")


@dataclass(frozen=True)
class Detectability:
    """Number and fraction of the `pulsars` with a known flux that are above the survey limit.

    `low` and `high` are the 68% binomial (Clopper-Pearson) interval of `fraction`; `scatter` is the
    standard deviation of the fraction if the spectral indices are drawn within their errors.
    """

    pulsars: int
    detectable: int
    fraction: float
    low: float
    high: float
    scatter: float


def read_psrcat(path: Path) -> tuple[Table, list[Rejections]]:
    """All pulsars of a psrcat.db (text) or psrcat2.db (SQLite), and the rejections.

    Columns: name; ra, dec (deg, ICRS; from ecliptic coordinates if only these are given);
    position (`equatorial` or `ecliptic`: the coordinates in the file); period (s); dm (pc/cm3);
    flux_NNNN and flux_err_NNNN (mJy, NNNN the frequency in MHz, NaN: unknown); spindx,
    spindx_err (spectral index of psrcat); type, assoc. Records without a name or a readable position
    are rejected and counted; an unreadable flux is dropped and counted.

    Raises:
        InputError: the file cannot be read, or has no record in the format of psrcat.
    """
    path = Path(path)
    try:
        records, ended = (sqlite_records(path), True) if is_sqlite(path) else _text_records(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}). Name a psrcat.db, from "
            f"https://www.atnf.csiro.au/research/pulsar/psrcat/download.html."
        ) from error
    rows, reasons = (
        [],
        {
            "no PSRJ or PSRB name": 0,
            "no position": 0,
            "position cannot be read": 0,
            "flux value cannot be read (flux dropped, pulsar kept)": 0,
            "record without an end line, at the end of the file": 0,
        },
    )
    for record in records:
        _add(record, rows, reasons)
    if not ended and rows:
        reasons["record without an end line, at the end of the file"] += 1  # the file may be truncated
    if not rows:
        raise InputError(
            f"{path}: no pulsar in a format of psrcat (lines `PSRJ name`, records ended by @---; or SQLite). "
            f"Name a psrcat.db, from https://www.atnf.csiro.au/research/pulsar/psrcat/."
        )
    return _table(rows), rejections("read psrcat", reasons.items())


def _text_records(path: Path) -> tuple[list[dict[str, list[str]]], bool]:
    """The records that have an end line, and whether the last one has."""
    records: list[dict[str, list[str]]] = []
    record: dict[str, list[str]] = {}
    for line in path.read_text("latin-1").splitlines():
        if line.startswith("@"):
            if record:
                records.append(record)
            record = {}
        elif line.strip() and not line.startswith("#"):
            words = line.split()
            record.setdefault(words[0], words[1:])  # the first of repeated entries (23 in psrcat 1.67)
    return records, not record


def number_with_error(words: list[str]) -> tuple[float, float]:
    """Value and 1-sigma error of a psrcat entry: ["0.134", "11", "ref"] is 0.134 +- 0.011.

    The error is NaN if none is given; both are NaN if the value is not a number or is a limit.
    """
    match = _NUMBER.fullmatch(words[0]) if words else None
    if not match:
        return np.nan, np.nan
    text = match.group(1).upper().replace("D", "E")
    if words[0][0] in "<>":  # a limit, not a measurement
        return np.nan, np.nan
    # A reference may start with a digit but is not a plain number.
    if len(words) < 2 or not re.fullmatch(r"\d+(?:\.\d+)?", words[1]):
        return float(text), np.nan
    if "." in words[1]:  # an error with a decimal point is in the unit of the value
        return float(text), float(words[1])
    mantissa, _, power = text.partition("E")
    digits = len(mantissa.partition(".")[2])
    return float(text), int(words[1]) * 10.0 ** (int(power or 0) - digits)


def known_or_mean_index(pulsars: Table) -> tuple[np.ndarray, np.ndarray]:
    """Spectral index of psrcat if known, else the mean of Jankowski et al. (2018).

    Returns:
        alpha, error: (N,); the error is that of psrcat, or the standard deviation of the population
        (0.62) if the index or its error is unknown.
    """
    alpha, error = np.asarray(pulsars["spindx"]), np.asarray(pulsars["spindx_err"])
    known = np.isfinite(alpha)
    return np.where(known, alpha, MEAN_INDEX), np.where(known & (error > 0), error, SD_INDEX)


def flux_at(
    pulsars: Table, frequency_mhz: float, index: ArrayLike | None = None, reference_mhz: tuple[int, ...] = (1400,)
) -> np.ndarray:
    """Flux in mJy (N,) at a frequency, scaled from the first known reference flux.

    Args:
        index: () or (N,) spectral index; None = `known_or_mean_index`.
        reference_mhz: psrcat frequencies in order of preference; (1400, 400) includes the pulsars for
            which only S400 is known.

    Raises:
        InputError: the table has none of these fluxes; the frequency is not positive.
    """
    if not frequency_mhz > 0:
        raise InputError(f"frequency {frequency_mhz} MHz: give a positive value.")
    available = [reference for reference in reference_mhz if f"flux_{reference}" in pulsars.colnames]
    if not available:
        raise InputError(f"the pulsar table has no flux at {', '.join(map(str, reference_mhz))} MHz.")
    index = known_or_mean_index(pulsars)[0] if index is None else index
    flux = np.full(len(pulsars), np.nan)
    for reference in available:
        scaled = np.asarray(pulsars[f"flux_{reference}"]) * (frequency_mhz / reference) ** np.asarray(index)
        flux = np.where(np.isnan(flux), scaled, flux)
    return flux


def detectability(
    pulsars: Table,
    frequency_mhz: float,
    limit_mjy: float,
    *,
    index: ArrayLike | None = None,
    index_error: ArrayLike | None = None,
    reference_mhz: tuple[int, ...] = (1400,),
    unknown_undetected: bool = False,
    resamplings: int = 200,
) -> Detectability:
    """Fraction of the known pulsars with a flux at or above the limit of a survey.

    Args:
        index, reference_mhz: as in `flux_at`.
        index_error: () or (N,) error of the indices, for `scatter`; None = that of
            `known_or_mean_index`.
        unknown_undetected: count pulsars without a flux as undetected; by default they are excluded.
        resamplings: B, number of draws of the indices; fixed seed.

    Raises:
        InputError: as `flux_at`, or if the limit is not positive or no pulsar has a flux.
    """
    if not limit_mjy > 0:
        raise InputError(f"detection limit {limit_mjy} mJy: give a positive value.")
    default, default_error = known_or_mean_index(pulsars)
    index = default if index is None else index
    index_error = default_error if index_error is None else index_error
    flux = flux_at(pulsars, frequency_mhz, index, reference_mhz)
    counted = np.ones(len(flux), bool) if unknown_undetected else np.isfinite(flux)
    n, k = int(counted.sum()), int((flux >= limit_mjy).sum())
    if not n:
        raise InputError(f"none of the {len(flux)} pulsars has a flux at {reference_mhz} MHz: nothing to scale.")
    draws = np.random.default_rng(0).normal(0, 1, (resamplings, len(flux))) * index_error
    drawn_B = [(flux_at(pulsars, frequency_mhz, index + draw, reference_mhz) >= limit_mjy).sum() / n for draw in draws]
    low = beta.ppf(0.16, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.84, k + 1, n - k) if k < n else 1.0
    return Detectability(n, k, k / n, float(low), float(high), float(np.std(drawn_B)) if resamplings else 0.0)


def detectability_by_band(
    pulsars: Table, values: ArrayLike, edges: ArrayLike, frequency_mhz: float, limit_mjy: float, **options
) -> Table:
    """`detectability` in bins of a quantity (N,): declination, Galactic latitude, period.

    Returns:
        One row per bin low_edge <= value < high_edge with at least one pulsar with a known flux;
        columns low_edge, high_edge and those of `Detectability`.
    """
    values, edges = np.asarray(values), np.asarray(edges)
    rows = []
    for low_edge, high_edge in pairwise(edges):
        band = pulsars[(values >= low_edge) & (values < high_edge)]
        if (
            len(band)
            and np.isfinite(flux_at(band, frequency_mhz, reference_mhz=options.get("reference_mhz", (1400,)))).any()
        ):
            result = detectability(band, frequency_mhz, limit_mjy, **options)
            rows.append({"low_edge": float(low_edge), "high_edge": float(high_edge), **vars(result)})
    return Table(rows) if rows else Table(names=["low_edge", "high_edge", *Detectability.__dataclass_fields__])


def _add(record: dict[str, list[str]], rows: list[dict], reasons: dict[str, int]) -> None:
    name = (record.get("PSRJ") or record.get("PSRB") or [""])[0]
    if not name:
        reasons["no PSRJ or PSRB name"] += 1
        return
    position = _position(record)
    if position is None:
        wrong = {"RAJ", "DECJ"} <= set(record) or {"ELONG", "ELAT"} <= set(record)
        reasons["position cannot be read" if wrong else "no position"] += 1
        return
    period, f0 = number_with_error(record.get("P0", []))[0], number_with_error(record.get("F0", []))[0]
    row = {
        "name": name,
        "position": position[0],
        "lon": position[1],
        "lat": position[2],
        "period": 1 / f0 if np.isnan(period) and f0 > 0 else period,
        "dm": number_with_error(record.get("DM", []))[0],
        "fluxes": {},
        "type": (record.get("TYPE") or [""])[0],
        "assoc": (record.get("ASSOC") or [""])[0],
    }
    row["spindx"], row["spindx_err"] = number_with_error(record.get("SPINDX", []))
    for key, words in record.items():
        if match := _FLUX.fullmatch(key):
            value, error = number_with_error(words)
            if np.isfinite(value) and value >= 0:
                row["fluxes"][int(match.group(1)) * (1000 if match.group(2) else 1)] = (value, error)
            elif not (words and words[0].startswith("<")):
                reasons["flux value cannot be read (flux dropped, pulsar kept)"] += 1
    rows.append(row)


def _position(record: dict[str, list[str]]) -> tuple[str, float, float] | None:
    if "RAJ" in record and "DECJ" in record:
        kind, lon, lat = "equatorial", _angle(record["RAJ"]) * 15, _angle(record["DECJ"])
    else:
        kind = "ecliptic"
        lon, lat = (number_with_error(record.get(key, []))[0] for key in ("ELONG", "ELAT"))
    return (kind, lon, lat) if 0 <= lon < 360 and abs(lat) <= 90 else None


def _angle(words: list[str]) -> float:
    """Hours or degrees from "12:34:56.7", "-01:30" or "12"; NaN for any other format."""
    match = _ANGLE.fullmatch(words[0]) if words else None
    if not match:
        return np.nan
    sign, whole, minutes, seconds = match.groups()
    size = int(whole) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
    return -size if sign == "-" else size


def _table(rows: list[dict]) -> Table:
    lon, lat = (np.array([row[key] for row in rows]) for key in ("lon", "lat"))
    ecliptic = np.array([row["position"] == "ecliptic" for row in rows])
    ra, dec = lon.copy(), lat.copy()
    if ecliptic.any():
        sky = SkyCoord(lon[ecliptic] * u.deg, lat[ecliptic] * u.deg, frame="barycentrictrueecliptic").icrs
        ra[ecliptic], dec[ecliptic] = sky.ra.deg, sky.dec.deg
    table = Table({"name": [row["name"] for row in rows], "ra": ra * u.deg, "dec": dec * u.deg})
    for key, unit in (
        ("position", None),
        ("period", u.s),
        ("dm", u.pc / u.cm**3),
        ("spindx", None),
        ("spindx_err", None),
        ("type", None),
        ("assoc", None),
    ):
        table[key] = [row[key] for row in rows]
        table[key].unit = unit
    for frequency in sorted({f for row in rows for f in row["fluxes"]}):
        pair = np.array([row["fluxes"].get(frequency, (np.nan, np.nan)) for row in rows])
        table[f"flux_{frequency}"], table[f"flux_err_{frequency}"] = pair.T
        table[f"flux_{frequency}"].unit = table[f"flux_err_{frequency}"].unit = u.mJy
    return table
