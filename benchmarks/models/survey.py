"""A survey in memory, simulated and read without Ray: what the models of the benchmark are trained and tested on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from mmae.core.tasks import in_processes
from mmae.ingest.build import build_survey
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.model.batch import Batch
from mmae.simulation.source import SimulationConfig, simulation_source
from mmae.survey.schema import SurveySpec
from mmae.survey.store import MANIFEST, Survey, open_survey


def simulated_survey(folder: Path, galaxies: int) -> Survey:
    """The survey in the folder, simulated on all CPUs of this machine if it is not there yet."""
    if (folder / MANIFEST).exists():
        return open_survey(folder)
    return build_survey(
        [simulation_source(SimulationConfig(galaxies=galaxies), SurveySpec())], folder, run=in_processes
    )


def load(survey: Survey, split: str) -> Batch:
    """All galaxies of a split as one batch: 145 kB each on HSC's and DESI's grids."""
    table = pq.read_table(survey.files(split), columns=galaxy_columns(survey), partitioning=None)
    return to_batch(table, survey.spec)


def rows(batch: Batch, which_N: np.ndarray) -> Batch:
    """Some galaxies of a batch."""
    index_N = torch.from_numpy(which_N)
    chosen = batch.map(lambda tensor: tensor[index_N])
    return replace(chosen, object_id=[batch.object_id[i] for i in which_N])
