"""What rank 0 does at the validations of a run: metrics, levels of baselines, pictures, checkpoints. Without Ray."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from mlflow import MlflowClient

import mmae.training.loop
from mmae.config import OptimConfig, RunConfig, ValidationConfig
from mmae.tracking.runs import Tracker, open_named_run
from mmae.training import worker
from mmae.training.baselines import FILLED_LOSS, MEDIAN_SCATTER
from mmae.training.loop import Loop
from mmae.training.step import create_state
from tests.model.galaxies import SPEC, TINY, random_batch
from tests.training.test_pictures import SURVEY

CPU = torch.device("cpu")
CONFIG = RunConfig(
    model=TINY, optim=OptimConfig(steps=4, warmup_steps=1), validation=ValidationConfig(every=2, galaxies=24)
)


class Bar:
    """A progress bar that is not shown: Ray's own is printed by its driver."""

    def __init__(self, **options):
        self.lines: list[str] = []

    def update(self, steps: int) -> None:
        pass

    def refresh(self) -> None:
        pass

    def write(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


@pytest.fixture
def tracker(tmp_path) -> Tracker:
    return open_named_run(f"sqlite:///{tmp_path}/mlflow.db", "runs", "run", tmp_path, {})[0]


def test_every_validation_has_metrics_levels_pictures_and_a_checkpoint(tracker, tmp_path, monkeypatch):
    reported = []
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(worker.ray.train, "get_context", lambda: context)
    monkeypatch.setattr(worker.ray.train, "report", lambda metrics, checkpoint: reported.append(metrics["step"]))
    monkeypatch.setattr(worker, "WorkerBar", Bar)
    monkeypatch.setattr(mmae.training.loop, "median_scatter", lambda *_: 0.2)
    monkeypatch.setattr(mmae.training.loop, "batches", lambda *_: [random_batch(12, seed=n) for n in (1, 2)])
    monkeypatch.setattr(
        mmae.training.loop, "training_batches", lambda *_, **__: (random_batch(6, seed=n) for n in range(4))
    )
    job = {
        "tracker": dataclasses.asdict(tracker),
        "folder": str(tmp_path),
        "val": None,
        "survey": SimpleNamespace(spec=SURVEY),
    }
    state = create_state(CONFIG, SPEC, CPU)
    host = worker.WorkerHost(replace(CONFIG, name="run"), job, state, CPU)
    Loop(CONFIG, job["survey"], state, host).run()
    host.close()

    assert reported == [2, 4] and len(host.bar.lines) == 2
    assert tracker.history("val/loss")[0] == [2, 4]
    assert tracker.history(MEDIAN_SCATTER) == ([2, 4], [0.2, 0.2])
    filled = tracker.history(FILLED_LOSS)[1]
    assert len(filled) == 2 and filled[0] == filled[1] > 0  # the same galaxies and masks
    names = [i.path for i in MlflowClient(tracker.uri).list_artifacts(tracker.run_id, "images")]
    assert {int(re.search(r"step\D(\d+)", name)[1]) for name in names} == {2, 4}
    assert tracker.history("system/system_memory_usage_percentage")[0] == [4]
