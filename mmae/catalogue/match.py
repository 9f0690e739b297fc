"""The spectra that may belong to an image, and the images that may belong to a spectrum, with their probabilities.

Shape suffixes: C candidates, R canonical variates, Z bins of p(z), F fluxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmae.bundle.bundle import Bundle
from mmae.bundle.predictions import Flag
from mmae.catalogue.alignment import OTHER, Alignment, load_alignment
from mmae.catalogue.match_index import MatchIndex, require_fluxes
from mmae.catalogue.queries import Query
from mmae.catalogue.read import read_fluxes, read_pz
from mmae.catalogue.row_numbers import NumberedRows
from mmae.catalogue.rows import FLAGS, FLUX_COLUMNS, PZ_CDF, PZ_EDGE
from mmae.catalogue.search_config import SearchConfig
from mmae.core.errors import InputError

MODALITY_OF = {"spectra": "spectrum", "images": "image"}
SHOWN_PROBABILITY = "probability"


@dataclass(frozen=True)
class Measured:
    """What is compared: fluxes (1, F), and p(z) (1, Z) from the same measurement; None without p(z)."""

    flux_1F: np.ndarray
    pz_1Z: np.ndarray | None


def find_matches(
    catalogue: NumberedRows,
    queries: list[Query | str],
    modality: str,
    model: Path,
    bundle: Bundle,
    columns: list[str],
    config: SearchConfig,
) -> list[pa.Table]:
    """For each query the galaxies that most probably are the same, with the columns like, rank and probability.

    Args:
        modality: of the galaxies that are searched.
        model: folder of the model, with its alignment.
        columns: of the catalogue.

    Raises:
        InputError: there is no alignment, the catalogue lacks the modality, or a query lacks the other one.
    """
    alignment, alignment_hash = load_alignment(model, bundle.hash)
    measured = [_measured(query, OTHER[modality], catalogue, bundle) for query in queries]
    index = MatchIndex(catalogue.folder, modality, alignment, alignment_hash)
    found = []
    for query, one in zip(queries, measured, strict=True):
        number_C, probability_C = _candidates(one, OTHER[modality], alignment, index, catalogue, config.expected)
        best_C = np.argsort(-probability_C, kind="stable")[: config.neighbours]
        rows = catalogue.take(number_C[best_C], columns)
        name = query if isinstance(query, str) else query.name
        added = {"like": [name] * len(rows), "rank": range(len(rows)), SHOWN_PROBABILITY: probability_C[best_C]}
        for column, values in added.items():
            rows = rows.append_column(column, pa.array(values))
        found.append(rows)
    return found


def _candidates(
    query: Measured, modality: str, alignment: Alignment, index: MatchIndex, catalogue: NumberedRows, expected: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the nearest galaxies, and their probabilities (C,)."""
    variate_1R = alignment.views[modality].variates(query.flux_1F.astype(np.float64))
    number_1C, distance2_1C = index.near(alignment.query_vectors(variate_1R))
    overlap_1C = np.zeros_like(distance2_1C)
    if query.pz_1Z is not None:
        pdf = read_pz(catalogue.take(number_1C[0], [PZ_EDGE, PZ_CDF]), catalogue.row_format)
        overlap_1C = alignment.overlaps(query.pz_1Z, pdf.probability_NK[None])
    score_1C = alignment.calibration.score(distance2_1C, overlap_1C)
    return number_1C[0], alignment.probabilities(score_1C, variate_1R, len(index), expected)[0]


def _measured(query: Query | str, modality: str, catalogue: NumberedRows, bundle: Bundle) -> Measured:
    """Fluxes and p(z) of a query, which has this modality alone."""
    if isinstance(query, str):
        return _of_catalogue(query, modality, catalogue)
    if query.modality != modality:
        kind = {"image": "an image", "spectrum": "a spectrum"}[query.modality]
        find = {"image": "spectra", "spectrum": "images"}[query.modality]
        raise InputError(f"--like {query.name}: is {kind}. Use --find {find}.")
    pz = query.predict(bundle).pz
    return Measured(_known(query.name, modality, query.fluxes(bundle.spec)), pz)


def _of_catalogue(object_id: str, modality: str, catalogue: NumberedRows) -> Measured:
    """Fluxes and p(z) of a galaxy of the catalogue."""
    require_fluxes(catalogue.folder, modality)
    row_format = catalogue.row_format
    pz_columns = [] if row_format.ln_edges is None else [PZ_EDGE, PZ_CDF]
    row = catalogue.take(np.array([catalogue.number_of(object_id)]), [FLAGS, FLUX_COLUMNS[modality], *pz_columns])
    absent = {"image": Flag.NO_SPECTRUM, "spectrum": Flag.NO_IMAGE}[modality]
    if OTHER[modality] in row_format.modalities and not row[FLAGS][0].as_py() & absent:
        raise InputError(
            f"--like {object_id}: the catalogue has an image and a spectrum of this galaxy already. Give one without, "
            f"or a FITS file."
        )
    pz = read_pz(row, row_format).probability_NK if pz_columns else None
    return Measured(_known(object_id, modality, read_fluxes(row, modality)), pz)


def _known(name: str, modality: str, flux_1F: np.ndarray) -> np.ndarray:
    if not np.isfinite(flux_1F).any():
        raise InputError(f"--like {name}: its {modality} has no flux at the centre. Give another galaxy.")
    return flux_1F
