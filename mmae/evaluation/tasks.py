"""Ray tasks that apply a model to a survey: readings, surface, reconstructions, hidden parts.

They run concurrently and return small arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.data import Dataset

from mmae.core.ray_setup import set_data_context
from mmae.core.worker_progress import WorkerBar
from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.hidden.parts import HiddenParts, measure_hidden_parts, read_training
from mmae.evaluation.reconstructions import ReconstructionMeasures, measure_reconstructions
from mmae.inference.checkpoint import load_model
from mmae.inference.readings import Readings, Spectroscopy, read_modes, read_surface
from mmae.loader.stream import batches
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import INPUT_MODES
from mmae.survey.schema import SurveySpec


@dataclass(frozen=True)
class SplitInput:
    """A checkpoint and the galaxies of one split, with the settings to read them.

    Attributes:
        object_id_N: ids in the order of `data`. Ray does not read shards in the order of the file names.
    """

    checkpoint: Path
    data: Dataset
    object_id_N: np.ndarray
    spec: SurveySpec
    batch_size: int
    threads: int

    def load_model(self) -> tuple[Model, torch.device]:
        """The model on this task's GPU, or on the CPU with `threads` threads."""
        set_data_context()
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(self.threads)
        return load_model(self.checkpoint, device)[0], device

    def first(self, galaxies: int) -> SplitInput:
        """The first galaxies of this input."""
        return replace(self, data=self.data.limit(galaxies), object_id_N=self.object_id_N[:galaxies])

    def shown(self, task: str) -> Iterator[Batch]:
        """The batches in order, with a progress bar of this name."""
        bar = WorkerBar(total=len(self.object_id_N), desc=task, unit="galaxy")
        yield from bar.counted(self.batches())
        bar.close()

    def batches(self) -> Iterator[Batch]:
        """The batches in order.

        Raises:
            RuntimeError: the order of the galaxies differs from `object_id_N`.
        """
        start = 0
        for batch in batches(self.data, self.spec, self.batch_size):
            expected = self.object_id_N[start : start + len(batch)].tolist()
            if batch.object_id != expected:  # otherwise predictions and catalogue rows would be of different galaxies
                raise RuntimeError(f"row {start}: the dataset has {batch.object_id[:5]}, not {expected[:5]}.")
            start += len(batch)
            yield batch


def readings_task(splits: Sequence[SplitInput]) -> list[tuple[dict[str, Readings], Spectroscopy]]:
    """Redshift, p(z) and embedding by mode, nothing masked, for each split."""
    model, device = splits[0].load_model()
    return [read_modes(model, split.shown("readings"), device, split.spec.wavelength_L()) for split in splits]


def surface_task(split: SplitInput, config: EvaluateConfig) -> np.ndarray | None:
    """Redshifts (I,S,N) for every pair of masked fractions; None for a model that does not read both modalities."""
    model, device = split.load_model()
    if not set(INPUT_MODES["both"]) <= model.n_tokens.keys():
        return None
    ratios = config.surface_ratios
    return read_surface(model, split.shown("surface"), device, ratios, ratios, seed=config.seed)


def reconstructions_task(
    split: SplitInput, config: EvaluateConfig, catalogue: Catalogue, true_ew_NE: np.ndarray
) -> ReconstructionMeasures:
    """Measurements of lines, continua and images in the reconstructions."""
    model, device = split.load_model()
    return measure_reconstructions(
        model,
        split.shown("reconstructions"),
        device,
        split.spec,
        catalogue,
        true_ew_NE,
        mask_ratio=config.mask_ratio,
        line_galaxies=config.line_galaxies or len(catalogue),
        seed=config.seed,
    )


def hidden_task(
    split: SplitInput,
    training: SplitInput | None,
    paper: Path | None,
    config: EvaluateConfig,
    catalogue: Catalogue,
    provenance: Mapping[str, Any],
) -> HiddenParts | None:
    """Measures of hidden parts of images and spectra; None for a model that reconstructs neither.

    Args:
        training: training galaxies for the baselines.
        paper: checkpoint of the model that is a baseline.
        provenance: of the survey.
    """
    model, device = split.load_model()
    return measure_hidden_parts(
        model,
        split.shown("hidden parts"),
        device,
        split.spec,
        catalogue,
        training=None if training is None else read_training(training.batches(), split.spec),
        provenance=provenance,
        paper=None if paper is None else load_model(paper, device)[0],
        seed=config.seed,
    )
