"""The configuration: YAML round trip, and refused values."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.config import ComputeConfig, OptimConfig, RunConfig, ScoreConfig, ValidationConfig
from mmae.core.errors import InputError
from mmae.core.folders import home
from mmae.core.settings import flat, from_dict, from_yaml, to_dict, to_yaml
from mmae.loader.config import StreamConfig
from mmae.model.config import MaskConfig, MMAEConfig, PaperConfig
from mmae.recipes import RECIPES, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_yaml(name, tmp_path):
    config = recipe(name)
    assert config.recipe == name
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(config))
    back = from_yaml(path, RunConfig)
    assert back == config and type(back.model) is type(config.model)
    assert hash(back.masks) == hash(config.masks)  # tuples, not lists


fractions = st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(lambda t: tuple(sorted(t)))


@settings(deadline=None, max_examples=30)
@given(
    fractions,
    st.floats(1e-9, 10),
    st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), max_size=12),
    st.sampled_from([MMAEConfig(depth=7), PaperConfig(dropout=0.0)]),
    st.integers(0, 2**40),
)
def test_values_survive_yaml_and_dict(ratio, rate, name, model, seed):
    config = RunConfig(
        name=name if name not in (".", "..") else "",
        seed=seed,
        model=model,
        masks=MaskConfig(image_ratio=ratio),
        optim=OptimConfig(learning_rate=rate),
        compute=ComputeConfig(device="cpu"),
    )
    assert from_dict(yaml.safe_load(to_yaml(config)), RunConfig) == config
    assert from_dict(to_dict(config), RunConfig) == config


def test_missing_fields_have_their_defaults():
    config = from_dict({"optim": {"steps": 7}, "model": {"kind": "paper"}}, RunConfig)
    assert config == RunConfig(optim=OptimConfig(steps=7), model=PaperConfig())


def test_numbers_in_exponent_notation_are_read():
    # In YAML 1.1, 1e-3 (without a dot) is text.
    assert from_dict(yaml.safe_load("optim: {learning_rate: 1e-3}"), RunConfig).optim.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"optim": {"lerning_rate": 1e-3}}, r"optim\.lerning_rate"),
        ({"modle": {"width": 3}}, "modle"),
        ({"bogus": 1}, "bogus"),
        ({"bogus": {}}, "bogus"),
        ({"model": {"kind": "mmae", "widht": 64}}, r"model\.widht"),
        ({"model": {"kind": "mmae", "redshift": {"bin": 5}}}, r"model\.redshift\.bin"),
        ({"model": {"kind": "paper", "decoder_width": 64}}, r"model\.decoder_width"),
        ({"optim": {"steps": "many"}}, r"optim\.steps"),
        ({"optim": {"steps": 1.5}}, r"optim\.steps"),
        ({"optim": None}, "optim"),
        ({"optim": [1]}, "optim"),
        ({"seed": "x"}, "seed"),
        ({"masks": {"image_ratio": 0.5}}, r"masks\.image_ratio"),
        ({"masks": {"drop_unit": "galaxy"}}, r"masks\.drop_unit"),
        ({"compute": {"device": "tpu"}}, r"compute\.device"),
        ({"model": {"kind": "clip"}}, "model"),
        ({"model": {"kind": "mmae", "width": "wide"}}, r"model\.width"),
    ],
)
def test_unknown_fields_and_wrong_types_are_refused_by_name(values, named):
    with pytest.raises(InputError, match=f"^here: .*{named}"):
        from_dict(values, RunConfig, "here")


def test_all_invalid_fields_are_listed():
    with pytest.raises(InputError) as caught:
        from_dict({"seed": "x", "optim": {"steps": "y", "clip": "z"}}, RunConfig)
    assert all(name in str(caught.value) for name in ("seed", "optim.steps", "optim.clip"))
    with pytest.raises(InputError) as caught:
        from_dict({"first": 1, "optim": {"second": 2}}, RunConfig)
    assert "first" in str(caught.value) and "optim.second" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"masks": {"image_ratio": [0.5, 1.0]}}, r"masks.*image_ratio.*\(0\.5, 1\.0\)"),
        ({"masks": {"spectrum_ratio": [-0.5, 0.5]}}, r"masks.*spectrum_ratio"),
        ({"model": {"kind": "mmae", "modalities": {"image": {"patch": 0}}}}, r"image.patch.* 0"),
        ({"model": {"kind": "mmae", "width": 100}}, "width.* 100"),
        ({"model": {"kind": "mmae", "redshift": {"bins": 1}}}, "bins.* 2"),
        ({"stream": {"batch_size": 0}}, r"stream\.batch_size.* 0"),
        ({"stream": {"batch_size": 10}, "compute": {"workers": 3}}, r"batch_size.* 10.*compute\.workers.* 3"),
        ({"name": "a/b"}, "name.*'a/b'"),
    ],
)
def test_invalid_values_are_refused_with_field_and_value(values, named):
    with pytest.raises(InputError, match=named):
        from_dict(values, RunConfig)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: OptimConfig(steps=0), "steps.* 0"),
        (lambda: OptimConfig(warmup_steps=-1), "warmup_steps.* -1"),
        (lambda: OptimConfig(learning_rate=0.0), "learning_rate"),
        (lambda: OptimConfig(clip=0.0), "clip"),
        (lambda: OptimConfig(learning_rate=float("nan")), "learning_rate"),
        (lambda: OptimConfig(ema_decay=1.0), "ema_decay.* 1.0"),
        (lambda: StreamConfig(shuffle_rows=0), "shuffle_rows"),
        (lambda: ValidationConfig(every=0), "validation.every"),
        (lambda: ValidationConfig(galaxies=0), "galaxies"),
        (lambda: ScoreConfig(mask_ratio=1.0), "mask_ratio.* 1.0"),
        (lambda: ComputeConfig(workers=0), "workers"),
        (lambda: ComputeConfig(max_failures=-1), "max_failures"),
        (lambda: RunConfig(name=".."), r"name.*'\.\.'"),
    ],
)
def test_invalid_values_are_refused_by_the_dataclasses(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"- 1\n- 2\n", "mapping"),
        (b"", "mapping"),
        (b"optim: {steps: 3", "YAML"),
        (b"seed: two\n", "seed"),
        pytest.param(b"\xff\xfe\x00garbage", "YAML", id="binary"),
    ],
)
def test_invalid_files_are_refused_by_name(tmp_path, content, named):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named) as caught:
        from_yaml(path, RunConfig)
    assert str(path) in str(caught.value)


def test_missing_files_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.yaml.*No such file"):
        from_yaml(tmp_path / "nothing.yaml", RunConfig)


def test_flat_has_dotted_names_of_all_fields():
    names = flat(RunConfig(optim=OptimConfig(learning_rate=0.25), model=MMAEConfig(depth=7)))
    assert names["optim.learning_rate"] == 0.25 and names["model.depth"] == 7
    assert names["model.redshift.bins"] == MMAEConfig().redshift.bins
    assert names["model.kind"] == "mmae" and not any(isinstance(v, dict) for v in names.values())


def test_configurations_of_earlier_models_are_refused():
    with pytest.raises(InputError, match=r"whole_image is of mmae 0\.2.*another --name"):
        from_dict({"masks": {"image_ratio": [0.0, 0.75], "whole_image": 0.85}}, RunConfig)
    with pytest.raises(InputError, match=r"model\.reconstructed is of mmae 0\.3.*another --name"):
        from_dict({"model": {"kind": "mmae", "reconstructed": 1.0}}, RunConfig)


def test_paper_and_small_recipe_have_their_documented_values():
    paper = recipe("paper")
    assert isinstance(paper.model, PaperConfig) and paper.stream.batch_size == 256
    assert (paper.optim.learning_rate, paper.optim.weight_decay, paper.optim.clip) == (1e-4, 0.01, 1.0)
    assert paper.masks == MaskConfig(
        image_ratio=(0.75, 0.75), spectrum_ratio=(0.75, 0.75), drop_image=0.0, drop_spectrum=0.5, drop_unit="batch"
    )
    assert not paper.optim.augment and paper.optim.ema_decay == 0
    small = recipe("small")
    assert isinstance(small.model, MMAEConfig)
    assert small.redshift_masks.image_ratio == (0.0, 0.0)  # whole images, as in inference


def test_unknown_recipes_are_refused_with_a_list_of_recipes():
    with pytest.raises(InputError, match=r"huge.*small, base, paper"):
        recipe("huge")


def test_home_is_mmae_home_or_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MMAE_HOME", str(tmp_path / "there"))
    assert home() == RunConfig().home_path == tmp_path / "there"
    assert RunConfig(home=str(tmp_path / "x")).home_path == tmp_path / "x"
    monkeypatch.delenv("MMAE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / "mmae"
    # A relative home is made absolute, because workers have another working directory.
    assert dataclasses.replace(RunConfig(), home="rel").home_path == Path.cwd() / "rel"
