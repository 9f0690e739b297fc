"""Checkpoints: a resumed run equals an uninterrupted one; a damaged file is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmae.inference.checkpoint
import mmae.training.loop
from mmae.config import OptimConfig, RunConfig
from mmae.core.errors import InputError
from mmae.inference.checkpoint import CONFIG, STATE, TRAINING, WEIGHTS, load_model, read_state
from mmae.model.config import MaskConfig
from mmae.training.checkpoint import OPTIMISER, restore_state, save_checkpoint
from mmae.training.final_scores import RECALIBRATION, keep_recalibration
from mmae.training.loop import SECONDS, Loop
from mmae.training.step import TrainState, create_state, training_step
from tests.model.galaxies import SPEC, TINY, TINY_PAPER, all_tokens, random_batch

CPU = torch.device("cpu")
OPTIM = OptimConfig(steps=20, learning_rate=3e-3, warmup_steps=4, ema_decay=0.9)
MASKS = MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.2, drop_spectrum=0.4)
WHOLE = MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_image=0.0, drop_spectrum=0.5)
RUNS = {
    "averaged": RunConfig(model=TINY, masks=MASKS, optim=OPTIM),
    "not averaged": RunConfig(model=TINY, masks=MASKS, optim=dataclasses.replace(OPTIM, ema_decay=0.0)),
    "two views, with Muon": RunConfig(
        model=TINY, masks=MASKS, redshift_masks=WHOLE, optim=dataclasses.replace(OPTIM, muon_learning_rate=2e-3)
    ),
    "paper, with dropout": RunConfig(model=TINY_PAPER, masks=MASKS, optim=OPTIM),
}
METRICS = {"val/loss": 0.25}


def save(folder: Path, state: TrainState, config: RunConfig, metrics: dict[str, float] = METRICS) -> None:
    save_checkpoint(folder, state, state.whole_weights(config), config, metrics)


def train(state: TrainState, config: RunConfig, first: int, last: int) -> list[float]:
    return [training_step(state, random_batch(6, seed=s), config)[0].total.item() for s in range(first, last)]


def everything(state: TrainState) -> dict[str, torch.Tensor]:
    """All tensors that a step changes."""
    tensors = dict(state.model.state_dict())
    if state.averaged is not None:
        tensors |= {f"averaged.{n}": t for n, t in state.averaged.state_dict().items()}
    for number, optimiser in enumerate(state.optimisers):
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{index}.{n}": t for n, t in moments.items()}
    return tensors


@pytest.fixture(scope="module")
def trained() -> TrainState:
    config = RUNS["averaged"]
    state = create_state(config, SPEC, CPU)
    train(state, config, 0, 3)
    return state


@pytest.fixture
def folder(tmp_path, trained) -> Path:
    save(tmp_path, trained, RUNS["averaged"])
    return tmp_path


@pytest.mark.parametrize("name", RUNS)
def test_restored_run_equals_an_uninterrupted_one_bitwise(name, tmp_path):
    config = RUNS[name]
    whole = create_state(config, SPEC, CPU)
    losses = train(whole, config, 0, 6)

    first = create_state(config, SPEC, CPU)
    train(first, config, 0, 3)
    save(tmp_path, first, config)
    # Another seed, so that all initial weights differ.
    second = create_state(dataclasses.replace(config, seed=99), SPEC, CPU)
    restore_state(tmp_path, second)
    assert second.step == 3
    assert train(second, config, 3, 6) == losses[3:]

    expected, got = everything(whole), everything(second)
    assert expected.keys() == got.keys()
    assert [n for n in expected if not torch.equal(expected[n], got[n])] == []


def test_a_checkpoint_before_the_first_step_restores(tmp_path):
    config = RUNS["averaged"]
    fresh = create_state(config, SPEC, CPU)
    save(tmp_path, fresh, config, {})
    other = create_state(dataclasses.replace(config, seed=5), SPEC, CPU)
    restore_state(tmp_path, other)
    assert other.step == 0
    assert train(other, config, 0, 2) == train(create_state(config, SPEC, CPU), config, 0, 2)


def test_loaded_model_has_the_averaged_weights(folder, trained):
    model, config = load_model(folder)
    assert config == RUNS["averaged"] and model.spec == SPEC and not model.training
    loaded, averaged = model.state_dict(), trained.averaged.state_dict()
    assert all(torch.equal(loaded[n], averaged[n]) for n in averaged)
    assert any(not torch.equal(loaded[n], t) for n, t in trained.model.state_dict().items())
    batch = random_batch(3)
    visible = all_tokens(batch, model.n_tokens, True)
    assert torch.equal(model.redshift(batch, visible)[0], trained.averaged.eval().redshift(batch, visible)[0])


def test_loaded_model_has_the_raw_weights_of_a_run_without_average(tmp_path):
    config = RUNS["not averaged"]
    state = create_state(config, SPEC, CPU)
    train(state, config, 0, 2)
    save(tmp_path, state, config)
    loaded = load_model(str(tmp_path))[0].state_dict()  # a str as well as a Path
    assert all(torch.equal(loaded[n], t) for n, t in state.model.state_dict().items())


def test_state_is_plain_and_complete(folder):
    values = read_state(folder)
    assert values["step"] == 3
    assert values["metrics"] == METRICS


def test_nothing_in_a_checkpoint_is_pickled(folder):
    files = sorted(folder.iterdir())
    assert [f.name for f in files] == sorted([WEIGHTS, TRAINING, STATE, CONFIG])
    for file in files:
        head = file.read_bytes()[:9]
        if file.suffix == ".safetensors":
            length = int.from_bytes(head[:8], "little")
            json.loads(file.read_bytes()[8 : 8 + length])
        else:
            assert file.suffix in (".json", ".yaml")
            file.read_text(encoding="utf-8")
        assert not head.startswith((b"PK", b"\x80"))  # torch.save's zip, a pickle


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def remove(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00garbage")


def without_fields(path: Path) -> None:
    path.write_text("{}")


def a_list(path: Path) -> None:
    path.write_text("[1, 2]")


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (cut, WEIGHTS),
        (remove, WEIGHTS),
        (emptied, WEIGHTS),
        (binary, WEIGHTS),
        (remove, CONFIG),
        (binary, CONFIG),
        (cut, STATE),
        (remove, STATE),
        (emptied, STATE),
        (binary, STATE),
        (without_fields, STATE),
        (a_list, STATE),
    ],
)
def test_loading_a_damaged_checkpoint_names_the_file(folder, damage, file):
    damage(folder / file)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert str(folder / file) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "file"), [(cut, TRAINING), (remove, TRAINING), (cut, WEIGHTS), (remove, STATE), (without_fields, STATE)]
)
def test_restoring_a_damaged_checkpoint_names_the_file(folder, damage, file):
    damage(folder / file)
    with pytest.raises(InputError) as caught:
        restore_state(folder, create_state(RUNS["averaged"], SPEC, CPU))
    assert str(folder / file) in str(caught.value)


@pytest.mark.parametrize("other", [TINY_PAPER, dataclasses.replace(TINY, width=32), dataclasses.replace(TINY, depth=1)])
def test_weights_of_another_model_are_refused(folder, other):
    state = create_state(dataclasses.replace(RUNS["averaged"], model=other), SPEC, CPU)
    with pytest.raises(InputError, match=str(folder)):
        restore_state(folder, state)


def test_loading_weights_of_another_model_is_refused(folder, tmp_path_factory):
    config = dataclasses.replace(RUNS["averaged"], model=dataclasses.replace(TINY, width=32))
    elsewhere = tmp_path_factory.mktemp("other")
    save(elsewhere, create_state(config, SPEC, CPU), config, {})
    (folder / WEIGHTS).write_bytes((elsewhere / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match=str(folder)):
        load_model(folder)


def test_optimiser_state_is_stored_by_names_of_parameters(folder, trained):
    names = {n.removeprefix(OPTIMISER) for n in load_file(folder / TRAINING) if n.startswith(OPTIMISER)}
    assert {n.partition(".")[0] for n in names} == {"exp_avg", "exp_avg_sq", "step"}
    assert {n.partition(".")[2] for n in names} == {n for n, _ in trained.model.named_parameters()}


def test_optimiser_state_by_number_is_refused_with_the_name_of_the_file(folder):
    """As mmae 0.1 wrote it: numbers change when parameters are grouped in another way."""
    tensors, numbers = load_file(folder / TRAINING), {}
    for name in [n for n in tensors if n.startswith(OPTIMISER)]:
        moment, _, parameter = name.removeprefix(OPTIMISER).partition(".")
        number = numbers.setdefault(parameter, len(numbers))
        tensors[f"{OPTIMISER}{moment}.{number}"] = tensors.pop(name)
    save_file(tensors, folder / TRAINING)
    with pytest.raises(InputError, match=str(folder / TRAINING)):
        restore_state(folder, create_state(RUNS["averaged"], SPEC, CPU))
    load_model(folder)  # its weights can still be used


class SavingHost:
    """Saves a checkpoint at each validation; see `mmae.training.loop.Host`."""

    device, rank, world = CPU, 0, 1

    def __init__(self, folder: Path, state: TrainState, config: RunConfig):
        self.folder, self.state, self.config = folder, state, config

    def stepped(self):
        pass

    def logged(self, curves, step):
        pass

    def validated(self, metrics, predictions, model):
        save_checkpoint(self.folder, self.state, model, self.config, metrics)


def test_training_time_adds_up_over_the_starts_of_a_run(tmp_path, monkeypatch):
    """Ten seconds a step. The run is killed after step 4, resumed at step 3, and the lost step 4 is not counted."""
    clock = [0.0]

    def batches_until(last: int):
        def ten_seconds_each(survey, stream, *, seed, steps, step, portion, pinned):
            for s in range(step, last):
                clock[0] += 10
                yield random_batch(6, seed=s)

        return ten_seconds_each

    config = dataclasses.replace(
        RUNS["averaged"],
        optim=dataclasses.replace(OPTIM, steps=6),
        validation=dataclasses.replace(RUNS["averaged"].validation, every=3),
    )
    monkeypatch.setattr(mmae.training.loop, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(Loop, "validate", lambda self, model: ({}, None))

    def start(state: TrainState, last: int) -> None:
        monkeypatch.setattr(mmae.training.loop, "training_batches", batches_until(last))
        Loop(config, None, state, SavingHost(tmp_path, state, config)).run()

    start(create_state(config, SPEC, CPU), last=4)
    assert read_state(tmp_path)["step"] == 3 and read_state(tmp_path)["metrics"][SECONDS] == 30
    clock[0] += 1000  # between the two starts
    resumed = create_state(config, SPEC, CPU)
    restore_state(tmp_path, resumed)
    start(resumed, last=6)
    values = read_state(tmp_path)
    assert values["step"] == 6 and values["seconds"] == values["metrics"][SECONDS] == 60


def test_recalibration_is_written_into_the_weights_of_a_checkpoint(folder):
    before = load_file(folder / WEIGHTS)
    recalibration = {n: (t + 0.25).numpy() for n, t in before.items() if n.startswith(RECALIBRATION)}
    keep_recalibration(folder, recalibration)
    after = load_file(folder / WEIGHTS)
    assert recalibration and after.keys() == before.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, torch.from_numpy(recalibration[name]) if name in recalibration else before[name])


def test_a_failure_while_recalibration_is_written_leaves_the_weights_unchanged(folder, monkeypatch):
    before = (folder / WEIGHTS).read_bytes()

    def disk_full(tensors, path):
        Path(path).write_bytes(before[:100])
        raise OSError("no space")

    monkeypatch.setattr(mmae.inference.checkpoint, "save_file", disk_full)
    names = [n for n in load_file(folder / WEIGHTS) if n.startswith(RECALIBRATION)]
    with pytest.raises(OSError, match="no space"):
        keep_recalibration(folder, {n: load_file(folder / WEIGHTS)[n].numpy() for n in names})
    assert (folder / WEIGHTS).read_bytes() == before


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load_model(tmp_path / "nothing")
