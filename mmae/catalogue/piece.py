"""One piece of the input: read, predict, write. Runs in an actor of Ray that keeps one model, or in this process.

Shape suffixes: B galaxies of a batch, N of a piece.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mmae.astro.healpix import nested_cell
from mmae.bundle.bundle import Bundle
from mmae.bundle.predictions import Predictions
from mmae.catalogue.bad_rows import ROW, check_measurements, check_positions
from mmae.catalogue.fluxes import batch_fluxes
from mmae.catalogue.model import load_any
from mmae.catalogue.read_ahead import read_ahead
from mmae.catalogue.rows import SPATIAL, RowFormat, to_rows
from mmae.catalogue.source import Input, Piece, read_piece
from mmae.catalogue.state import save_piece
from mmae.catalogue.summary import Summary, summarise
from mmae.catalogue.training_rows import read_training_rows
from mmae.loader.collate import to_batch
from mmae.loader.row_groups import WAITS_S
from mmae.model.batch import Batch
from mmae.survey.schema import Rejection, SurveySpec

NUMBER = "number"  # key of a job: which piece


@dataclass(frozen=True)
class PieceTask:
    """What all pieces of a job share.

    Attributes:
        model: folder of a bundle or checkpoint.
        given: the input.
        folder: of the catalogue in progress.
        device: of torch.
        threads: torch threads; 0: as torch chooses.
    """

    model: Path
    given: Input
    folder: Path
    batch_size: int
    anomaly: bool
    device: str = "cpu"
    threads: int = 0


class PieceWorker:
    """Predicts pieces with one model. Called with a job {"number": n}, returns the summary as JSON."""

    def __init__(self, task: PieceTask):
        if task.threads:
            torch.set_num_threads(task.threads)
        self.task, self.bundle = task, load_any(task.model, task.device)
        self.trained = read_training_rows(task.model)
        self.spec = _batch_spec(self.bundle, task.given.spec)
        width = self.bundle.predict_batch(_nobody(self.spec), anomaly=False).embedding.shape[1]
        self.row_format = RowFormat.of(self.bundle, task.given.modalities, task.given.id_type, width)

    def __call__(self, job: dict) -> dict:
        number = job[NUMBER]
        for wait in (*WAITS_S, None):
            try:
                summary = self.predict(self.task.given.pieces[number], number)
                return {NUMBER: number, "summary": summary.to_json()}
            except OSError as error:  # outages of shared file systems often last only seconds
                if wait is None or error.errno is None:
                    raise
                time.sleep(wait)
        raise AssertionError

    def predict(self, piece: Piece, number: int) -> Summary:
        """Predict one piece and write its files."""
        parts, rows_in_file, rejections = [], [], []
        for part in read_ahead(self._batches(piece)):
            rejections += part.rejections
            if part.batch is not None:
                rows, kept_B = self._predict_batch(part, rejections)
                parts.append(rows)
                rows_in_file.append(part.row_B[kept_B])
        rows = pa.concat_tables(parts or [self.row_format.schema().empty_table()])
        row_N = np.concatenate([*rows_in_file, np.zeros(0, int)])
        order_N = np.argsort(rows[SPATIAL].to_numpy(), kind="stable")
        rows, row_N = rows.take(order_N), row_N[order_N]
        summary = summarise(piece, rows, row_N, rejections)
        save_piece(self.task.folder, number, rows, rejections, summary)
        return summary

    def _batches(self, piece: Piece) -> Iterator[_Part]:
        """The galaxies of a piece with a position and usable measurements, batch by batch."""
        row = piece.first_row
        for table in read_piece(piece, self.task.given.columns, self.task.batch_size):
            row_B = np.arange(row, row + len(table))
            row += len(table)
            yield _checked(table, row_B, piece, self.spec, self.task.given.modalities)

    def _predict_batch(self, part: _Part, rejections: list[Rejection]) -> tuple[pa.Table, np.ndarray]:
        """Rows of the catalogue, and a mask of the galaxies with a finite prediction; the others are rejected."""
        assert part.batch is not None
        found = self.bundle.predict_batch(part.batch, anomaly=self.task.anomaly)
        kept_B = np.isfinite(found.z_median) & np.isfinite(found.embedding).all(1)
        for i in np.flatnonzero(~kept_B).tolist():
            reason = "the prediction is not finite"
            rejections.append(Rejection(str(part.batch.object_id[i]), part.where(i), ROW, reason))
        table = part.table.filter(pa.array(kept_B))
        ra_B, dec_B = (table[name].to_numpy() for name in ("ra", "dec"))
        in_training_B = None if self.trained is None else self.trained.contain(ra_B, dec_B)
        measured = batch_fluxes(part.batch, self.row_format.n_fluxes, self.spec.pixel_scale)
        flux_BF = {name: f_BF[kept_B] for name, f_BF in measured.items()}
        cell_B = nested_cell(ra_B, dec_B)
        rows = to_rows(table, cell_B, _chosen(found, kept_B), flux_BF, in_training_B, self.row_format)
        return rows, kept_B


@dataclass(frozen=True)
class _Part:
    """A batch of usable galaxies; None if there are none.

    Attributes:
        table: object_id, ra and dec of the galaxies of the batch.
        row_B: their rows in the file.
    """

    path: str
    table: pa.Table
    row_B: np.ndarray
    batch: Batch | None
    rejections: list[Rejection]

    def where(self, i: int) -> str:
        return _where(self.path, self.row_B[i])


def _checked(table: pa.Table, row_B: np.ndarray, piece: Piece, spec: SurveySpec, modalities: tuple[str, ...]) -> _Part:
    placed = check_positions(table, [_where(piece.path, row) for row in row_B])
    if not placed.usable_B.all():
        table, row_B = table.filter(pa.array(placed.usable_B)), row_B[placed.usable_B]
    if not len(table):
        return _Part(piece.path, table, row_B, None, placed.rejections)
    batch = to_batch(table.append_column("redshift", pa.nulls(len(table), pa.float32())), spec)
    measured = check_measurements(batch, modalities, [_where(piece.path, row) for row in row_B])
    rejections = placed.rejections + measured.rejections
    sky = table.select(["object_id", "ra", "dec"])
    if not measured.usable_B.all():
        sky, row_B = sky.filter(pa.array(measured.usable_B)), row_B[measured.usable_B]
        batch = _rows_of(batch, measured.usable_B)
    return _Part(piece.path, sky, row_B, batch if len(sky) else None, rejections)


def _rows_of(batch: Batch, which_B: np.ndarray) -> Batch:
    mask_B = torch.from_numpy(which_B)
    kept = batch.map(lambda tensor: tensor[mask_B])
    return replace(kept, object_id=[name for name, keep in zip(batch.object_id, which_B, strict=True) if keep])


def _chosen(found: Predictions, which_B: np.ndarray) -> Predictions:
    if which_B.all():
        return found
    changes: dict[str, Any] = {
        name: None if value is None else value[which_B] for name, value in vars(found).items() if name != "pz_edges"
    }
    return replace(found, **changes)


def _batch_spec(bundle: Bundle, spec: SurveySpec) -> SurveySpec:
    """The spec of the survey, with the sizes that the model needs for modalities that the survey does not have."""
    return replace(spec, image_size=bundle.spec.image_size, n_wavelengths=bundle.spec.n_wavelengths)


def _nobody(spec: SurveySpec) -> Batch:
    """A batch of one galaxy without measurements."""
    return to_batch(pa.table({"object_id": ["none"], "redshift": pa.nulls(1, pa.float32())}), spec)


def _where(path: str, row: int) -> str:
    return f"{path}, row {row}"
