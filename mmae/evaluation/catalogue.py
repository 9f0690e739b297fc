"""Catalogue columns of a survey, without images and spectra.

Shape suffixes: N galaxies, M all galaxies of a survey, C bands, E lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.astro.lines import LINE_NAMES
from mmae.survey.store import Survey
from mmae.survey.truth import read_truth

COLUMNS = ("object_id", "targetid", "ra", "dec", "redshift", "morphtype", "group_id")


@dataclass(frozen=True)
class Catalogue:
    """N galaxies of one split, in the order of its files.

    Attributes:
        object_id_N: ids of the survey, str.
        targetid_N: DESI TARGETID, int64; -1 if none.
        ra_N, dec_N: ICRS degrees; NaN where unknown.
        redshift_N: spectroscopic; NaN where unknown.
        mag_NC: cmodel magnitudes, AB; NaN where not measured.
        bands: names of the C bands.
        morphtype_N: PSF, REX, EXP, DEV, SER, or "" if unknown.
        group_id_N: rows of one group (same target or same parent image) are in the same split.
        kind_N: target class of a simulated galaxy (BGS, LRG, ELG, QSO); "" in a real survey.
    """

    object_id_N: np.ndarray
    targetid_N: np.ndarray
    ra_N: np.ndarray
    dec_N: np.ndarray
    redshift_N: np.ndarray
    mag_NC: np.ndarray
    bands: tuple[str, ...]
    morphtype_N: np.ndarray
    group_id_N: np.ndarray
    kind_N: np.ndarray

    def __len__(self) -> int:
        return len(self.object_id_N)

    def chosen(self, which_N: np.ndarray) -> Catalogue:
        """The galaxies selected by a mask or by indices."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Catalogue(**{k: v if k == "bands" else v[which_N] for k, v in values.items()})

    def in_order(self, object_id_N: Sequence[str]) -> Catalogue:
        """The galaxies with these ids, in this order."""
        row_of = {name: row for row, name in enumerate(self.object_id_N)}
        return self.chosen(np.array([row_of[name] for name in object_id_N], int))

    def magnitude(self, band: str) -> np.ndarray:
        """Magnitudes of one band (N,); all NaN if the survey does not have the band."""
        if band not in self.bands:
            return np.full(len(self), np.nan)
        return self.mag_NC[:, self.bands.index(band)]


def read_catalogue(survey: Survey, split: str) -> Catalogue:
    """The catalogue of a split; no image or spectrum is read.

    Raises:
        InputError: the split has no rows.
    """
    magnitudes = [f"{band}_cmodel_mag" for band in survey.spec.bands]
    table = pq.read_table(survey.files(split), columns=[*COLUMNS, *magnitudes], partitioning=None)
    object_id_N = _texts(table["object_id"])
    return Catalogue(
        object_id_N,
        table["targetid"].fill_null(-1).to_numpy(),
        _floats(table["ra"]),
        _floats(table["dec"]),
        _floats(table["redshift"]),
        np.stack([_floats(table[name]) for name in magnitudes], 1),
        survey.spec.bands,
        _texts(table["morphtype"]),
        _texts(table["group_id"]),
        _kinds(survey, object_id_N),
    )


def true_widths(survey: Survey, object_id_N: np.ndarray) -> np.ndarray:
    """Rest-frame equivalent widths (N, E) of the lines LINE_NAMES, Angstrom; all NaN if the survey has no truth."""
    if not survey.truth_shards:
        return np.full((len(object_id_N), len(LINE_NAMES)), np.nan)
    names = [f"{name}_ew" for name in LINE_NAMES]
    truth = read_truth(survey, ["object_id", *names])
    row_of = {name: row for row, name in enumerate(truth["object_id"].to_pylist())}
    width_ME = np.stack([_floats(truth[name]) for name in names], 1)
    return width_ME[[row_of[name] for name in object_id_N]]


def _kinds(survey: Survey, object_id_N: np.ndarray) -> np.ndarray:
    if not survey.truth_shards:
        return np.full(len(object_id_N), "", object)
    truth = read_truth(survey, ["object_id", "target_class"]).to_pydict()
    kind_of = dict(zip(truth["object_id"], truth["target_class"], strict=True))
    return np.array([kind_of.get(name) or "" for name in object_id_N], object)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null("").to_numpy().astype(object)


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Values as float64; nulls become NaN."""
    return column.to_numpy().astype(np.float64)
