"""The benchmark's simulated survey, built and read into memory without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmae.core.tasks import in_processes
from mmae.ingest.build import build_survey
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.loader.rare import COLUMNS, REPEATS, kinds, repeats_of_rare
from mmae.model.batch import Batch
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SurveySpec
from mmae.survey.store import MANIFEST, Survey, open_survey


def simulated_survey(folder: Path, galaxies: int) -> Survey:
    """The survey in the folder, simulated on all CPUs of this machine if it does not exist."""
    if (folder / MANIFEST).exists():
        return open_survey(folder)
    return build_survey(
        [simulation_source(SimulationConfig(galaxies=galaxies), SurveySpec())], folder, run=in_processes
    )


def load(survey: Survey, split: str, repeat_rare: int = 1) -> Batch:
    """All galaxies of a split as one batch: 145 kB per galaxy on the HSC and DESI grids.

    Args:
        repeat_rare: see `StreamConfig`; sets the weights of the redshift loss.
    """
    table = pq.read_table(survey.files(split), columns=galaxy_columns(survey), partitioning=None)
    if repeat_rare > 1:
        scalars = pq.read_table(survey.files(split), columns=COLUMNS, partitioning=None)
        (repeats_N,) = repeats_of_rare([kinds(scalars)], repeat_rare)
        table = table.append_column(REPEATS, pa.array(repeats_N))
    return to_batch(table, survey.spec)


def rows(batch: Batch, which_N: np.ndarray) -> Batch:
    """Some galaxies of a batch."""
    index_N = torch.from_numpy(which_N)
    selected = batch.map(lambda tensor: tensor[index_N])
    return replace(selected, object_id=[batch.object_id[i] for i in which_N])
