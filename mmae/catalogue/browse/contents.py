"""The numbers, pictures and neighbours of the galaxies of a page, as plain values.

Shape suffixes: M galaxies of the page, Q knots of p(z), K bins, B bins of a spectrum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from mmae.bundle.predictions import MEANING
from mmae.catalogue.browse.choose import HIGH, LOW, Choice, Z, half_width
from mmae.catalogue.browse.pictures import Pictures, binned, find_pictures, thumbnail
from mmae.catalogue.index import Neighbours
from mmae.catalogue.pz_code import STEPS
from mmae.catalogue.read import read_embeddings
from mmae.catalogue.row_numbers import NumberedRows
from mmae.catalogue.rows import ANOMALY, EMBEDDING, FLAGS, IN_TRAINING, PZ_CDF, PZ_EDGE, RowFormat
from mmae.plots.spectrum import LINES

NAMED = ["object_id", Z]  # of a neighbour
SHOWN = ["object_id", "ra", "dec", Z, LOW, HIGH, ANOMALY, FLAGS, IN_TRAINING, EMBEDDING]
LETTERS = {r"$\alpha$": "α", r"$\beta$": "β"}
ROOM = 1.05  # of the axis of ln(1+z), beyond the largest redshift
Values = dict[str, Any]


def contents(rows: NumberedRows, choice: Choice, neighbours: int, survey: str) -> Values:
    """Everything that the page shows.

    Args:
        neighbours: for each galaxy.
        survey: the input of the catalogue; empty: neither images nor spectra are shown.

    Raises:
        InputError: the survey has none of these galaxies, or usearch is not installed.
    """
    with_pz = rows.row_format.ln_edges is not None
    table = rows.take(choice.number_M, SHOWN + ([PZ_EDGE, PZ_CDF] if with_pz else []))
    galaxies = _numbers(table, choice, rows.row_format)
    if neighbours:
        _add_neighbours(galaxies, table, rows, choice.number_M, neighbours)
    pictures = find_pictures(survey, _names(galaxies)) if survey else None
    images = {} if pictures is None else _add_pictures(galaxies, pictures)
    return {
        "galaxies": galaxies,
        "images": images,
        "flags": _flags(galaxies),
        "warnings": rows.row_format.warnings,
        "x_max": _x_max(galaxies, rows.row_format),
        "lines": [{"name": _plain(line.name), "wavelength": line.wavelength} for line in LINES],
        "wavelength": None if pictures is None else _wavelength(pictures),
    }


def _numbers(table: pa.Table, choice: Choice, row_format: RowFormat) -> list[Values]:
    width_M = half_width(table)
    return [
        {
            "id": str(row["object_id"]),
            "ra": round(row["ra"], 7),
            "dec": round(row["dec"], 7),
            "z": _number(row[Z]),
            "low": _number(row[LOW]),
            "high": _number(row[HIGH]),
            "width": _number(width),
            "anomaly": _number(row[ANOMALY]),
            "flags": row[FLAGS],
            "training": row[IN_TRAINING],
            "reasons": reasons,
            "pz": None if row[Z] is None else _knots(row, row_format),
            "known": None,
            "flux": None,
            "range": None,
            "near": [],
        }
        for row, width, reasons in zip(table.to_pylist(), width_M.tolist(), choice.reasons, strict=True)
    ]


def _knots(row: Mapping[str, Any], row_format: RowFormat) -> list[list[float]] | None:
    """The CDF of p(z): ln(1+z) of its knots with both ends, and its values; None: the model has no p(z)."""
    if row_format.ln_edges is None:
        return None
    edges_K1 = row_format.edges_K1()
    edge_Q, first = np.unique([0, *row[PZ_EDGE], len(edges_K1) - 1], return_index=True)
    cdf_Q = np.array([0, *row[PZ_CDF], STEPS])[first] / STEPS
    cdf_Q[-1] = 1.0
    return [np.round(edges_K1[edge_Q], 6).tolist(), np.round(cdf_Q, 6).tolist()]


def _add_neighbours(
    galaxies: list[Values], table: pa.Table, rows: NumberedRows, number_M: np.ndarray, neighbours: int
) -> None:
    found_MN, cosine_MN = Neighbours(rows.folder).near(read_embeddings(table), neighbours + 1)
    known = np.unique(found_MN)
    named = dict(zip(known.tolist(), rows.take(known, NAMED).to_pylist(), strict=True))
    for galaxy, own, found, cosines in zip(galaxies, number_M, found_MN, cosine_MN, strict=True):
        near = [(int(n), float(c)) for n, c in zip(found, cosines, strict=True) if n != own][:neighbours]
        galaxy["near"] = [
            {"id": str(named[n]["object_id"]), "z": _number(named[n][Z]), "cosine": round(cosine, 4)}
            for n, cosine in near
        ]


def _names(galaxies: list[Values]) -> set[str]:
    """The galaxies of the page and their neighbours."""
    return {galaxy["id"] for galaxy in galaxies} | {one["id"] for galaxy in galaxies for one in galaxy["near"]}


def _add_pictures(galaxies: list[Values], pictures: Pictures) -> dict[str, str]:
    """Add redshift and spectrum of the survey to the galaxies; return the images by object_id."""
    of_page = {galaxy["id"]: galaxy for galaxy in galaxies}
    images = {}
    for name in tqdm(sorted(_names(galaxies)), desc="pictures", unit=" galaxies"):
        galaxy = of_page.get(name)
        columns = ("image",) if galaxy is None else ("image", "flux", "ivar")
        measured = pictures.measured(name, columns)
        if measured is None:
            continue
        image = None if measured.image_CHW is None else thumbnail(measured.image_CHW, pictures.spec)
        if image is not None:
            images[name] = image
        if galaxy is None:
            continue
        galaxy["known"] = _number(pictures.places[name].redshift)
        if measured.flux_L is not None and measured.ivar_L is not None:
            spectrum = binned(measured.flux_L, measured.ivar_L, pictures.samples_per_bin)
            if spectrum is not None:
                galaxy["flux"] = [_number(flux, 3) for flux in spectrum[0].tolist()]
                galaxy["range"] = [_number(flux, 3) for flux in spectrum[1]]
    return images


def _flags(galaxies: list[Values]) -> list[Values]:
    """The flags that some of the galaxies have."""
    named = [
        {"bit": int(flag), "name": str(flag.name).lower().replace("_", " "), "meaning": meaning}
        for flag, meaning in MEANING.items()
    ]
    return [flag for flag in named if any(galaxy["flags"] & flag["bit"] for galaxy in galaxies)]


def _x_max(galaxies: list[Values], row_format: RowFormat) -> float:
    """End of the axis of ln(1+z) that all p(z) share."""
    largest = max((z for galaxy in galaxies for z in (galaxy["high"], galaxy["known"]) if z is not None), default=1.0)
    end = np.inf if row_format.ln_edges is None else row_format.ln_edges[1]
    return float(min(ROOM * np.log1p(largest), end))


def _wavelength(pictures: Pictures) -> Values:
    """The middle of the first bin of the spectra, and the step, in Angstrom."""
    spec, samples = pictures.spec, pictures.samples_per_bin
    start = spec.wavelength_start + 0.5 * (samples - 1) * spec.wavelength_step
    return {"start": start, "step": samples * spec.wavelength_step}


def _plain(name: str) -> str:
    for formula, letter in LETTERS.items():
        name = name.replace(formula, letter)
    return name


def _number(value: float | None, digits: int = 7) -> float | None:
    """Rounded to significant digits, 7 by default: all that a float32 has; None for NaN."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.{digits}g}")
