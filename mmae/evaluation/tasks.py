"""Three looks of a model at a survey, each a Ray task: readings, the surface, reconstructions.

They run side by side; what comes back is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ray
import torch
from ray.data import Dataset

from mmae.core.ray_setup import set_data_context
from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.reconstructions import Measured, measure_reconstructions
from mmae.inference.checkpoint import load_model
from mmae.inference.readings import Readings, Spectroscopy, gather_readings, gather_surface
from mmae.loader.stream import batches
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.survey.schema import SurveySpec


@dataclass(frozen=True)
class Look:
    """What a pass needs: a model, galaxies, and how to read them.

    Attributes:
        object_id_N: the galaxies in the order of `data`. Ray reads shards in an order of its own.
    """

    checkpoint: Path
    data: Dataset
    object_id_N: np.ndarray
    spec: SurveySpec
    batch_size: int
    threads: int

    def ready(self) -> tuple[Model, torch.device]:
        """The model on this task's GPU, or on the CPU with the task's share of threads."""
        set_data_context()
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(self.threads)
        return load_model(self.checkpoint, device)[0], device

    def first(self, galaxies: int) -> Look:
        """The same look at fewer galaxies."""
        return replace(self, data=self.data.limit(galaxies), object_id_N=self.object_id_N[:galaxies])

    def batches(self) -> Iterator[Batch]:
        start = 0
        for batch in batches(self.data, self.spec, self.batch_size):
            expected = self.object_id_N[start : start + len(batch)].tolist()
            if batch.object_id != expected:  # else every score would compare one galaxy with another
                raise RuntimeError(f"row {start}: the dataset gives {batch.object_id[:5]}, not {expected[:5]}.")
            start += len(batch)
            yield batch


def readings_pass(looks: Sequence[Look]) -> list[tuple[dict[str, Readings], Spectroscopy]]:
    """Redshift, p(z) and embedding by mode, nothing masked; of one split after the other."""
    model, device = looks[0].ready()
    return [gather_readings(model, look.batches(), device, look.spec.wavelength_L()) for look in looks]


def surface_pass(look: Look, config: EvaluateConfig) -> np.ndarray:
    """Redshifts for every pair of masked fractions."""
    model, device = look.ready()
    ratios = config.surface_ratios
    return gather_surface(model, look.batches(), device, ratios, ratios, seed=config.seed)


def reconstructions_pass(look: Look, config: EvaluateConfig, catalogue: Catalogue, true_ew_NE: np.ndarray) -> Measured:
    """Lines, continua and images of what the model filled in."""
    model, device = look.ready()
    return measure_reconstructions(
        model,
        look.batches(),
        device,
        look.spec,
        catalogue,
        true_ew_NE,
        mask_ratio=config.mask_ratio,
        line_galaxies=config.line_galaxies or len(catalogue),
        seed=config.seed,
    )
