"""Merging of spectral windows, and removal of duplicates in overlapping pointings.

MALS lists a source once per window and pointing in which it is detected (Deka et al. 2024,
ApJS 270, 33), so that a source may have four rows.

Shape suffixes: N rows, P pairs.
"""

from __future__ import annotations

import numpy as np
from astropy.table import Table, vstack

from mmae.astro.crossmatch import match, one_to_one_of
from mmae.core.errors import InputError
from mmae.steepspec.catalogue import SurveyDescription
from mmae.steepspec.counts import Rejections, rejections

# Columns kept per window; the other columns of a source are those of the window with the smallest beam.
_PER_WINDOW = (
    "flux_mjy",
    "flux_err_mjy",
    "peak_mjy",
    "peak_err_mjy",
    "rms_mjy",
    "major_arcsec",
    "minor_arcsec",
    "pa_deg",
)


def merge_windows(
    table: Table, survey: SurveyDescription, radius_arcsec: float | None = None
) -> tuple[Table, list[Rejections]]:
    """One row per source and pointing, from one row per detection in a window.

    Detections of one pointing in two windows are one source if they match one to one within the
    radius. Position, name, s_code and the other common columns are those of the window with the
    smallest beam in which the source is detected; alpha and alpha_err are the first known values.

    Args:
        table: table of `read_catalogue`, with the window in `band`.
        survey: description with two or more windows.
        radius_arcsec: None = half the largest beam of the windows.

    Returns:
        The sources: for each window of F MHz columns flux_F_mjy, flux_err_F_mjy, peak_F_mjy,
        peak_err_F_mjy, rms_F_mjy, major_F_arcsec, minor_F_arcsec, pa_F_deg (NaN: not detected), in
        place of those without F; `band` lists the windows, joined by "+". And the rejections.

    Raises:
        InputError: the survey has fewer than two windows, or no row belongs to any of them.
    """
    if len(survey.windows) < 2:
        raise InputError(f"{survey.name} has {len(survey.windows)} windows in its description: merging needs two.")
    bands = np.asarray(table["band"], str)
    known = np.isin(bands, list(survey.windows))
    if not known.any():
        present = ", ".join(np.unique(bands)[:5]) or "none"
        raise InputError(
            f"{survey.name}: no row of the windows {' or '.join(survey.windows)}; the column band has "
            f"{present}. Correct `windows` or the column of `band` in the description."
        )
    radius = max(w.beam_arcsec for w in survey.windows.values()) / 2 if radius_arcsec is None else radius_arcsec
    ordered = sorted(survey.windows.items(), key=lambda item: item[1].beam_arcsec)
    sources, merged = None, 0
    for label, window in ordered:
        rows = _window_rows(table[bands == label], round(window.frequency_mhz))
        if sources is None:
            sources = rows
            continue
        pairs = match(sources["ra"], sources["dec"], rows["ra"], rows["dec"], radius)
        same = np.asarray(sources["pointing"])[pairs.index1] == np.asarray(rows["pointing"])[pairs.index2]
        pairs = one_to_one_of(pairs.select(same))
        sources = _joined(sources, rows, pairs.index1, pairs.index2, round(window.frequency_mhz))
        merged += len(pairs)
    for _, window in ordered:  # columns also for windows without rows
        _fill_window(sources, table, round(window.frequency_mhz))
    return sources, rejections(
        "merge windows",
        [
            (f"window is not one of {', '.join(survey.windows)}", int((~known).sum())),
            ("detection in a second window, merged into its source", merged),
        ],
    )


def drop_overlaps(table: Table, radius_arcsec: float) -> tuple[Table, list[Rejections]]:
    """Remove duplicate rows of sources in overlapping pointings.

    Rows of different pointings (and of the same `band` if windows are not merged) within the radius
    are one source. The row nearest to the centre of its pointing (pointing_offset_deg) is kept if all
    duplicates have an offset, else the row with the lowest noise (rms), else the first row.

    Raises:
        InputError: no row has a pointing.
    """
    pointing = np.asarray(table["pointing"], str)
    if not (pointing != "").any():
        raise InputError(
            "the column pointing is empty, so that duplicates cannot be distinguished from neighbours. Map the "
            "column `pointing` in the survey description."
        )
    pairs = match(table["ra"], table["dec"], table["ra"], table["dec"], radius_arcsec)
    a, b = pairs.index1, pairs.index2
    # After merging, a source detected in one window in one pointing and in both in another is one source.
    shared = np.array(
        [
            bool(set(x.split("+")) & set(y.split("+")))
            for x, y in zip(np.asarray(table["band"], str)[a], np.asarray(table["band"], str)[b], strict=True)
        ],
        bool,
    )
    merged = any(name.startswith("flux_") and name.endswith("_mjy") and name[5:-4].isdigit() for name in table.colnames)
    repeat = (pointing[a] != pointing[b]) & (pointing[a] != "") & (pointing[b] != "") & (shared | merged)
    neighbours: dict[int, list[int]] = {}
    for i, j in zip(a[repeat].tolist(), b[repeat].tolist(), strict=True):
        neighbours.setdefault(i, []).append(j)
    offset, noise = np.asarray(table["pointing_offset_deg"], float), _noise(table)
    # Rank by offset only if all duplicates have one: offset and noise cannot be compared.
    involved = np.array(sorted(neighbours), int)
    use_offset = bool(np.isfinite(offset[involved]).all())
    rank = np.where(np.isfinite(noise), noise, np.inf)
    rank = offset if use_offset else rank
    dropped = np.zeros(len(table), bool)
    for row in involved[np.argsort(rank[involved], kind="stable")]:
        if not dropped[row]:
            dropped[neighbours[int(row)]] = True
    why = "farther from the pointing centre" if use_offset else "higher noise"
    return table[~dropped], rejections(
        "drop overlaps", [(f"also detected in an overlapping pointing, {why}", int(dropped.sum()))]
    )


def _window_rows(rows: Table, frequency: int) -> Table:
    rows = rows.copy()
    rows["band"] = np.asarray(rows["band"], "U64")  # room for the joined labels
    for name in _PER_WINDOW:
        rows.rename_column(name, _at(name, frequency))
    return rows


def _at(name: str, frequency: int) -> str:
    """flux_err_mjy, 1006 -> flux_err_1006_mjy."""
    stem, unit = name.rsplit("_", 1)
    return f"{stem}_{frequency}_{unit}"


def _joined(sources: Table, rows: Table, index1: np.ndarray, index2: np.ndarray, frequency: int) -> Table:
    """Sources with the matched rows of another window as columns and its unmatched rows appended."""
    _fill_window(sources, rows, frequency)
    for name in _PER_WINDOW:
        sources[_at(name, frequency)][index1] = rows[_at(name, frequency)][index2]
    unknown = np.isnan(sources["alpha"][index1])
    for name in ("alpha", "alpha_err"):
        sources[name][index1[unknown]] = rows[name][index2[unknown]]
    sources["band"][index1] = [
        f"{one}+{two}" for one, two in zip(sources["band"][index1], rows["band"][index2], strict=True)
    ]
    unmatched = np.ones(len(rows), bool)
    unmatched[index2] = False
    added = rows[unmatched]
    for name in sources.colnames:
        if name not in added.colnames:
            added[name] = np.full(len(added), np.nan)
            added[name].unit = sources[name].unit
    return vstack([sources, added[sources.colnames]], metadata_conflicts="silent")


def _fill_window(sources: Table, like: Table, frequency: int) -> None:
    for name in _PER_WINDOW:
        column = _at(name, frequency)
        if column not in sources.colnames:
            sources[column] = np.full(len(sources), np.nan)
            sources[column].unit = (like[column] if column in like.colnames else like[name]).unit


def _noise(table: Table) -> np.ndarray:
    """(N,) rms of the window with the lowest noise, NaN if unknown."""
    columns = [
        np.asarray(table[name], float)
        for name in table.colnames
        if name == "rms_mjy" or (name.startswith("rms_") and name.endswith("_mjy"))
    ]
    return np.fmin.reduce(columns) if columns else np.full(len(table), np.nan)
