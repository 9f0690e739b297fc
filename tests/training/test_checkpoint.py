"""Checkpoints: going on is the same as never having stopped; damage is told by file name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from mmae.config import OptimConfig, RunConfig
from mmae.core.errors import InputError
from mmae.inference.checkpoint import CONFIG, STATE, TRAINING, WEIGHTS, load_model, read_state
from mmae.model.masking import MaskConfig
from mmae.training.checkpoint import restore_state, save_checkpoint
from mmae.training.step import TrainState, create_state, training_step
from tests.model.galaxies import SPEC, TINY, TINY_PAPER, all_tokens, random_batch

CPU = torch.device("cpu")
OPTIM = OptimConfig(steps=20, learning_rate=3e-3, warmup_steps=4, ema_decay=0.9)
MASKS = MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.2, drop_spectrum=0.4)
RUNS = {
    "averaged": RunConfig(model=TINY, masks=MASKS, optim=OPTIM),
    "not averaged": RunConfig(model=TINY, masks=MASKS, optim=dataclasses.replace(OPTIM, ema_decay=0.0)),
    "paper, with dropout": RunConfig(model=TINY_PAPER, masks=MASKS, optim=OPTIM),
}
METRICS = {"val/loss": 0.25}


def save(folder: Path, state: TrainState, config: RunConfig, metrics: dict[str, float] = METRICS) -> None:
    save_checkpoint(folder, state, state.whole_weights(config), config, metrics)


def train(state: TrainState, config: RunConfig, first: int, last: int) -> list[float]:
    return [training_step(state, random_batch(6, seed=s), config)[0].total.item() for s in range(first, last)]


def everything(state: TrainState) -> dict[str, torch.Tensor]:
    """All that a step changes."""
    tensors = dict(state.model.state_dict())
    if state.averaged is not None:
        tensors |= {f"averaged.{n}": t for n, t in state.averaged.state_dict().items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{n}": t for n, t in moments.items()}
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
    # Another seed: nothing of the fresh weights may survive.
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
    loaded, averaged = model.state_dict(), trained.averaged.module.state_dict()
    assert all(torch.equal(loaded[n], averaged[n]) for n in averaged)
    assert any(not torch.equal(loaded[n], t) for n, t in trained.model.state_dict().items())
    batch = random_batch(3)
    visible = all_tokens(batch, model.n_tokens, True)
    assert torch.equal(model.redshift(batch, visible)[0], trained.averaged.module.eval().redshift(batch, visible)[0])


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
    assert values["metrics"] == METRICS and values["averages"] == 3


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
    with pytest.raises(InputError, match=f"{folder.name}.*weights do not fit"):
        restore_state(folder, state)


def test_loading_weights_of_another_model_is_refused(folder, tmp_path_factory):
    config = dataclasses.replace(RUNS["averaged"], model=dataclasses.replace(TINY, width=32))
    elsewhere = tmp_path_factory.mktemp("other")
    save(elsewhere, create_state(config, SPEC, CPU), config, {})
    (folder / WEIGHTS).write_bytes((elsewhere / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match=f"{folder.name}.*weights do not fit"):
        load_model(folder)


def test_no_checkpoint_at_all_is_told(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load_model(tmp_path / "nothing")
