"""Build a survey with light curves, train on it, and print results as JSON for test_own_modality.py.

Run with MMAE_MODALITIES set to light_curve.py.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from mmae.config import OptimConfig
from mmae.core.settings import from_yaml, to_yaml
from mmae.ingest.build import build_survey
from mmae.loader.collate import galaxy_columns, input_spec, to_batch
from mmae.model.config import MMAEConfig, ModalitiesConfig
from mmae.model.masking import modes_of
from mmae.model.part_configs import ImageConfig, SpectrumConfig
from mmae.recipes import recipe
from mmae.survey.schema import Galaxy, SurveySpec
from mmae.survey.source import ChunkRead, Source
from mmae.survey.store import open_survey
from mmae.training.step import create_state, training_step
from tests.ingest.small import in_turn

SPEC = SurveySpec(
    image_size=16, n_wavelengths=64, extra_columns=(("light_curve", 32),), wavelength_start=4000.0, wavelength_step=60.0
)
ROWS, STEPS = 48, 200
torch.set_num_threads(1)  # a second thread is slower for a model this small, and waits on a busy machine


def light_curve(row: int) -> np.ndarray:
    return np.sin(np.arange(32) * (0.2 + row % 4 / 10)).astype(np.float32)


def read(chunk: dict) -> ChunkRead:
    """Rows 0, 3, 6, ... have an image only, rows 1, 4, 7, ... a light curve only, the others both."""
    found = ChunkRead()
    for row in range(chunk["start"], chunk["stop"]):
        rng = np.random.default_rng(row)
        image = None if row % 3 == 1 else rng.normal(size=SPEC.image_shape).astype(np.float32)
        extra = {} if row % 3 == 0 else {"light_curve": light_curve(row)}
        found.galaxies.append(Galaxy(f"g{row:03d}", redshift=0.1 + row % 4 / 10, image_CHW=image, extra=extra))
        found.where.append(f"row {row}")
    return found


def main(folder: Path) -> None:
    source = Source("light curves", SPEC, {}, [{"start": s, "stop": s + 24} for s in range(0, ROWS, 24)], read)
    build_survey([source], folder / "survey", run=in_turn)
    survey = open_survey(folder / "survey")
    rows = pq.read_table(survey.files("train"), columns=galaxy_columns(survey), partitioning=None)
    batch = to_batch(rows, survey.spec)
    small = recipe("small")
    run = replace(
        small,
        model=MMAEConfig(
            modalities=ModalitiesConfig(image=ImageConfig(patch=8), spectrum=SpectrumConfig(use=False)),
            width=32,
            depth=1,
            heads=2,
            decoder_width=16,
        ),
        optim=OptimConfig(steps=STEPS, warmup_steps=5, ema_decay=0.0),
    )
    (folder / "run.yaml").write_text(to_yaml(run))
    state = create_state(run, input_spec(survey.spec), torch.device("cpu"))
    losses = [training_step(state, batch, run)[0].parts["light_curve"].item() for _ in range(STEPS)]
    read_correctly = {
        name: bool(np.array_equal(values, light_curve(int(name[1:]))))
        for name, values, present in zip(
            batch.object_id, batch.values["light_curve"].numpy(), batch.present["light_curve"].tolist(), strict=True
        )
        if present
    }
    print(
        json.dumps(
            {
                "masks": [*run.masks.light_curve_ratio, run.masks.drop_light_curve],
                "modes": list(modes_of(state.model.n_tokens)),
                "tokens": state.model.n_tokens,
                "read_correctly": read_correctly,
                "first": float(np.mean(losses[:5])),
                "last": float(np.mean(losses[-5:])),
                "config": from_yaml(folder / "run.yaml", type(run)) == run,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
