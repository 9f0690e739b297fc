"""Several workers: sharded and copied models, and the same training on any number of workers."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray.train
import ray.train.torch
import torch
from ray.train import RunConfig as TrainRunConfig
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from mmae.config import OptimConfig, RunConfig
from mmae.core.ray_setup import WORKER_ENV, set_data_context
from mmae.core.settings import from_dict, to_dict
from mmae.inference.checkpoint import STATE, WEIGHTS, load_model
from mmae.loader.collate import input_spec
from mmae.loader.config import StreamConfig
from mmae.loader.sampler import Portion
from mmae.loader.stream import training_batches
from mmae.survey.store import Survey, open_survey
from mmae.training.checkpoint import restore_state, save_checkpoint
from mmae.training.run import pretrain
from mmae.training.step import TrainState, create_state, training_step
from mmae.training.worker import resumed_state
from tests.model.galaxies import random_batch, random_masks

CPU = torch.device("cpu")
STEPS, FIRST = 6, 3  # steps of a run, and steps before its checkpoint


def train_both_ways(job: dict) -> None:
    """One of two workers: trains a copied model without a break, then a sharded one with a checkpoint in the middle."""
    set_data_context()
    torch.set_num_threads(1)
    config, survey, folder = from_dict(job["config"], RunConfig), job["survey"], Path(job["folder"])
    portion = Portion(ray.train.get_context().get_world_rank(), 2)

    copied = create_state(config, input_spec(survey.spec), CPU)
    copied.trained = ray.train.torch.prepare_model(copied.model)
    train(copied, config, survey, portion, STEPS)
    save(folder / "copied", copied, config, portion)

    sharded = create_state(config, input_spec(survey.spec), CPU, sharded_over=2)
    train(sharded, config, survey, portion, FIRST)
    save(folder / "halfway", sharded, config, portion)
    torch.distributed.barrier()
    again = create_state(replace(config, seed=9), input_spec(survey.spec), CPU, sharded_over=2)
    restore_state(folder / "halfway", again)
    train(again, config, survey, portion, STEPS)
    save(folder / "sharded", again, config, portion)


def train(state: TrainState, config: RunConfig, survey: Survey, portion: Portion, last: int) -> None:
    for batch in training_batches(
        survey, config.stream, seed=config.seed, steps=config.optim.steps, step=state.step, portion=portion
    ):
        training_step(state, batch, config, portion)
        if state.step == last:
            return


def save(folder: Path, state: TrainState, config: RunConfig, portion: Portion) -> None:
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder if portion.rank == 0 else None, state, state.whole_weights(config), config, {})


@pytest.mark.slow
def test_a_sharded_model_trains_like_a_copied_one(quick_run, small_survey, ray_cluster, tmp_path):
    config = replace(
        quick_run,
        optim=OptimConfig(steps=STEPS, warmup_steps=2, ema_decay=0.5),
        compute=replace(quick_run.compute, workers=2),
    )
    TorchTrainer(
        train_both_ways,
        train_loop_config={"config": to_dict(config), "survey": open_survey(small_survey), "folder": str(tmp_path)},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=TrainRunConfig(
            name="both", storage_path=str(tmp_path / "train"), worker_runtime_env={"env_vars": WORKER_ENV}
        ),
    ).fit()
    copied, sharded, halfway = (loss_of(tmp_path / name) for name in ("copied", "sharded", "halfway"))
    # Gradients are equal: both strategies halve and add those of two workers, which is exact. What differs is the
    # order of the sum over all weights in the gradient norm, and the vectorisation of AdamW at the ends of shards.
    # Roundings of a float32 sum of n terms are a random walk of length sqrt(n) eps (Higham 2002, section 2.8), and
    # those of the steps add up.
    # Losses and not weights are compared: the gradient of key biases is rounding noise only, which AdamW turns
    # into full steps; they do not change the loss.
    model, _ = load_model(tmp_path / "copied")
    n_weights = sum(p.numel() for p in model.parameters())
    tolerance = STEPS * math.sqrt(n_weights) * torch.finfo(torch.float32).eps
    assert sharded == pytest.approx(copied, rel=tolerance)
    assert halfway != pytest.approx(copied, rel=tolerance)  # three more steps change the loss by more


def loss_of(checkpoint: Path) -> float:
    model, _ = load_model(checkpoint)
    batch = random_batch(8, spec=model.spec)
    with torch.no_grad():
        return model(batch, random_masks(8, model.n_tokens)).total.item()


@pytest.mark.parametrize("damaged", [(), (WEIGHTS,), (STATE,)], ids=["whole", "weights cut", "state cut"])
def test_a_damaged_checkpoint_is_skipped(quick_run, small_survey, ray_cluster, tmp_path, monkeypatch, capsys, damaged):
    survey = open_survey(small_survey)
    folders = [tmp_path / f"checkpoint_2026-11-24_0{hour}" for hour in (1, 2)]
    for step, folder in enumerate(folders, 4):
        state = create_state(quick_run, input_spec(survey.spec), CPU)
        state.step = step
        save(folder, state, quick_run, Portion())
    for file in damaged:
        (folders[1] / file).write_bytes((folders[1] / file).read_bytes()[:-20])
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_size=lambda: 1))
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: ray.train.Checkpoint.from_directory(folders[1]))
    assert resumed_state(quick_run, survey, CPU).step == (4 if damaged else 5)
    assert (str(folders[1]) in capsys.readouterr().out) == bool(damaged)


@pytest.mark.slow
def test_one_two_and_four_workers_train_alike(quick_run, small_survey, ray_cluster, tmp_path):
    """The batches are equal on any number of workers, and so are the losses."""
    survey = open_survey(small_survey)
    batch = 16
    epochs = survey.rows_per_split()["train"] // batch * 2
    config = replace(
        quick_run,
        home=str(tmp_path),
        survey=str(small_survey),
        optim=OptimConfig(steps=epochs, warmup_steps=2),
        stream=StreamConfig(batch_size=batch, shuffle_rows=64, lanes=4),
    )
    losses, batches = {}, {}
    for workers in (1, 2, 4):
        run = replace(config, name=f"on-{workers}", compute=replace(config.compute, workers=workers))
        losses[workers] = pretrain(run).tracker.history("val/loss")[1]
        shares = [
            [
                b.object_id
                for b in training_batches(
                    survey, run.stream, seed=run.seed, steps=run.optim.steps, portion=Portion(rank, workers)
                )
            ][:epochs]
            for rank in range(workers)
        ]
        batches[workers] = [sum(parts, []) for parts in zip(*shares, strict=True)]
        print(workers, losses[workers])
    assert batches[1] == batches[2] == batches[4]
    first = sum(batches[1][: epochs // 2], [])
    assert set(Counter(first).values()) <= {1, 2} and len(set(first)) >= 0.7 * len(first)
    for workers in (2, 4):
        # Rounding errors; test_parallel.py has the bounds.
        assert losses[workers] == pytest.approx(losses[1], rel=1e-3)
