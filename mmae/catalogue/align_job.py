"""Fit the alignment of images and spectra for a model: the job of ray_jobs/align.py.

Shape suffixes: N galaxies, B of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from mmae.bundle.bundle import Bundle
from mmae.catalogue.align_config import AlignConfig
from mmae.catalogue.align_fit import Pairs, evidence, fit_alignment
from mmae.catalogue.alignment import OTHER, Alignment, save_alignment
from mmae.catalogue.fluxes import batch_fluxes
from mmae.catalogue.model import find_model, load_any
from mmae.catalogue.source import open_input, read_piece
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar
from mmae.core.terminal import terminal
from mmae.loader.collate import to_batch
from mmae.model.batch import Batch

BATCH = 128
LEAST_PAIRS = 100  # of each split


def align(config: AlignConfig, console: Console | None = None) -> Path:
    """Fit an alignment, print its scores, and write it into the folder of the model.

    Raises:
        InputError: the model does not read both, survey and model do not fit, or there are too few galaxies with both.
    """
    console = console or terminal()
    folder = find_model(config.model, config.home_path)
    bundle = load_any(folder)
    train = read_pairs(bundle, config.survey, "train", config.train, with_pz=False)
    validation = read_pairs(bundle, config.survey, "val", config.validation)
    alignment = fit_alignment(train, validation, bundle.hash)
    console.print(f"fitted to {len(train):,} training and {len(validation):,} validation galaxies")
    for query, gallery in OTHER.items():
        rank_N = ranks(alignment, validation, query)
        hits = " ".join(f"recall@{k} {np.mean(rank_N < k):.3f}" for k in (1, 10))
        console.print(f"{query} -> {gallery} among {len(validation):,} validation galaxies: {hits}", soft_wrap=True)
    path = save_alignment(alignment, folder)
    console.print(f"alignment  {path}", soft_wrap=True)
    return path


def ranks(alignment: Alignment, pairs: Pairs, query: str) -> np.ndarray:
    """Rank (N,) of each galaxy among all, 0 is the first, when its other modality is searched.

    Args:
        query: modality of the queries.
    """
    found = evidence(alignment, pairs, query)
    score_NN = alignment.calibration.score(found.distance2_NM, found.overlap_NM)
    return (score_NN > np.diag(score_NN)[:, None]).sum(1)


def read_pairs(bundle: Bundle, survey: Path, split: str, most: int, *, with_pz: bool = True) -> Pairs:
    """The first galaxies of a split with image and spectrum, each measured alone.

    Args:
        most: galaxies, at most.
        with_pz: predict p(z) from each, if the model has it; takes most of the time.

    Raises:
        InputError: the model does not read both, survey and model do not fit, or there are too few such galaxies.
    """
    if not set(OTHER) <= set(bundle.modalities):
        raise InputError(f"the model reads {' and '.join(bundle.modalities)}: an alignment is of image and spectrum.")
    flux: dict[str, list[np.ndarray]] = {name: [] for name in OTHER}
    pz: dict[str, list[np.ndarray]] = {name: [] for name in OTHER}
    n = 0
    with ProgressBar(total=most, desc=f"{split} split", unit=" galaxies") as bar:
        for batch in _batches(bundle, survey, split):
            batch = _first(batch, most - n)
            n += len(batch)
            bar.update(len(batch))
            for name, flux_BF in batch_fluxes(batch, OTHER, bundle.spec.pixel_scale).items():
                flux[name].append(flux_BF.astype(np.float64))
            for name in OTHER if with_pz and bundle.pz_edges is not None else ():
                predicted = bundle.predict_batch(_alone(batch, name), anomaly=False)
                assert predicted.pz is not None
                pz[name].append(predicted.pz.astype(np.float64))
            if n >= most:
                break
    if n < LEAST_PAIRS:
        raise InputError(
            f"{survey}: {n} galaxies of the {split} split have image and spectrum; an alignment needs {LEAST_PAIRS}."
        )
    joined = {name: np.concatenate(parts) for name, parts in pz.items() if parts}
    return Pairs({name: np.concatenate(parts) for name, parts in flux.items()}, joined or None)


def _batches(bundle: Bundle, survey: Path, split: str) -> Iterator[Batch]:
    """The galaxies of a split with image and spectrum."""
    given = open_input(str(survey), bundle.spec, bundle.modalities, use=tuple(OTHER), splits=(split,), piece_rows=BATCH)
    spec = replace(given.spec, image_size=bundle.spec.image_size, n_wavelengths=bundle.spec.n_wavelengths)
    for piece in given.pieces:
        for table in read_piece(piece, [*given.columns, "redshift"], BATCH):
            batch = to_batch(table, spec)
            both_B = torch.stack([batch.present[name] for name in OTHER]).all(0)
            if both_B.any():
                yield _rows(batch, both_B)


def _first(batch: Batch, n: int) -> Batch:
    return batch if len(batch) <= n else _rows(batch, torch.arange(len(batch)) < n)


def _rows(batch: Batch, which_B: torch.Tensor) -> Batch:
    kept = batch.map(lambda tensor: tensor[which_B])
    return replace(kept, object_id=[name for name, keep in zip(batch.object_id, which_B, strict=True) if keep])


def _alone(batch: Batch, modality: str) -> Batch:
    """The batch with one modality only."""
    present = {name: there_B & (name == modality) for name, there_B in batch.present.items()}
    return replace(batch, present=present)
