"""Every modality implements the interface of mmae/model/modality.py; masks and input modes of a third modality."""

from __future__ import annotations

import pickle

import pytest
import torch

from mmae.model.build import build_model
from mmae.model.config import DECLARED, MaskConfig
from mmae.model.draws import Draws
from mmae.model.masking import draw_visible, fixed_visible, modes_of
from mmae.model.modalities import MODALITIES
from mmae.model.modalities.spectrum import EMPTY, EMPTY_NOISE, replace_by_noise
from tests.model.galaxies import SPEC, TINY, copied, random_batch, random_masks, rows, tiny, without

ALL = tiny(magnitudes={"use": True})
NAMES = ("image", "magnitudes", "spectrum")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return build_model(ALL, SPEC).eval()


def alone(name: str):
    return tiny(**{other: {"use": other == name} for other in NAMES})


def test_configuration_can_be_pickled():
    assert pickle.loads(pickle.dumps(ALL)) == ALL


def test_modalities_are_the_files_of_the_folder():
    assert tuple(MODALITIES) == NAMES
    assert tuple(build_model(TINY, SPEC).n_tokens) == ("image", "spectrum")
    assert build_model(ALL, SPEC).n_tokens == {"image": 16, "magnitudes": 2, "spectrum": 7}


@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_tokens_patches_and_restored_values(model, name):
    batch, modality = random_batch(3), model.modalities[name]
    everything = torch.ones(3, modality.n_tokens, dtype=torch.bool)
    prepared = modality.prepare(batch, everything)
    order = torch.arange(modality.n_tokens).expand(3, -1)[:, :2]
    assert modality.embed(prepared, torch.arange(3), order).shape == (3, 2, TINY.width)
    patches = modality.predict(modality.query_TE.expand(3, -1, -1))
    restored = modality.restore(patches, prepared)
    value = next(iter(modality.shapes(SPEC)))
    assert restored.shape == batch.values[value].shape and restored.isfinite().all()
    assert modality.visible_samples(everything).all()
    assert modality.loss(patches, prepared, everything) > 0
    assert modality.loss(patches, prepared, ~everything) == 0


@pytest.mark.parametrize("name", NAMES)
def test_model_of_one_modality_has_finite_gradients(name):
    torch.manual_seed(0)
    model, batch = build_model(alone(name), SPEC), random_batch(6)
    assert list(model.n_tokens) == [name]
    losses = model(batch, random_masks(6, model.n_tokens))
    assert set(losses.parts) == {name, "redshift"}
    losses.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert sum(p.grad is not None for p in model.parameters()) > 20


@pytest.mark.parametrize("name", NAMES)
def test_hidden_modality_is_equivalent_to_absent_modality(model, name):
    batch = without(random_batch(4), **{name: [0, 1, 2, 3]})
    shown = [other for other in NAMES if other != name]
    point = model.redshift(batch, fixed_visible(batch, model.n_tokens, NAMES))[0]
    full = random_batch(4)
    hidden = model.redshift(full, fixed_visible(full, model.n_tokens, shown))[0]
    torch.testing.assert_close(point, hidden)
    visible = model.redshift(full, fixed_visible(full, model.n_tokens, NAMES))[0]
    assert (visible != hidden).all()


def test_restored_magnitudes_equal_the_input(model):
    modality = model.modalities["magnitudes"]
    batch = random_batch(3)
    prepared = modality.prepare(batch, torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(modality.restore(prepared.value_BT1, prepared), batch.values["magnitudes"])


def test_unmeasured_band_is_no_target_and_gives_no_nan(model):
    batch = random_batch(3)
    batch.values["magnitudes"][1, 0] = torch.nan
    nothing = fixed_visible(batch, model.n_tokens, ())
    losses = model(batch, nothing)
    assert losses.total.isfinite()
    modality = model.modalities["magnitudes"]
    prepared = modality.prepare(batch, nothing["magnitudes"])
    predicted = model.estimate(batch, nothing).values["magnitudes"]
    error = ((predicted - batch.values["magnitudes"]) / ALL.modalities.magnitudes.spread).square()
    torch.testing.assert_close(losses.parts["magnitudes"], error[error.isfinite()].mean())
    assert prepared.measured_BT.tolist() == [[True, True], [False, True], [True, True]]
    shown = fixed_visible(batch, model.n_tokens, ("magnitudes",))
    fainter = copied(batch)
    fainter.values["magnitudes"][1, 0] = 30.0  # faint differs from unmeasured
    points = [model.redshift(b, shown)[0] for b in (batch, fainter)]
    assert points[0][1] != points[1][1] and torch.equal(points[0][[0, 2]], points[1][[0, 2]])


def test_masks_of_a_third_modality():
    batch = without(random_batch(400), magnitudes=list(range(100)), image=list(range(150)), spectrum=list(range(150)))
    config = MaskConfig(
        image_ratio=(0.0, 0.0),
        spectrum_ratio=(0.0, 0.0),
        drop_image=0.0,
        drop_spectrum=0.0,
        magnitudes_ratio=(0.5, 0.5),
        drop_magnitudes=0.3,
    )
    tokens = {"image": 4, "magnitudes": 4, "spectrum": 4}
    visible = draw_visible(batch, tokens, config, Draws(2, n=len(batch)))
    shown = visible["magnitudes"].sum(-1)
    assert not shown[:100].any()  # absent
    assert (shown[100:150] == 2).all()  # the only modality of these galaxies: never hidden as a whole
    assert set(shown[150:].tolist()) == {0, 2}
    dropped = (shown[150:] == 0).float().mean().item()
    assert abs(dropped - 0.3) < 5 * (0.3 * 0.7 / 250) ** 0.5
    same = draw_visible(batch, {"image": 4, "spectrum": 4}, config, Draws(2, n=len(batch)))
    assert all(torch.equal(same[name].any(-1), batch.present[name]) for name in same)


def test_only_modality_of_a_model_is_never_dropped():
    config = MaskConfig(magnitudes_ratio=(0.0, 0.0), drop_magnitudes=1.0)
    visible = draw_visible(random_batch(20), {"magnitudes": 2}, config, Draws(0, n=20))
    assert visible["magnitudes"].all() and list(visible) == ["magnitudes"]


def test_input_modes_of_modalities():
    assert list(modes_of(["image", "spectrum"])) == ["image", "spectrum", "both"]
    assert modes_of(["image"]) == {"image": ("image",)}
    assert modes_of(["magnitudes"]) == {"magnitudes": ("magnitudes",)}
    assert modes_of(NAMES)["image and magnitudes"] == ("image", "magnitudes")


@pytest.mark.parametrize(
    ("values", "match"),
    [({name: {"use": False} for name in NAMES}, "modalities"), ({"magnitudes": {"spread": 0.0}}, "spread.*0")],
)
def test_invalid_configurations_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        tiny(**values)


def test_galaxy_with_magnitudes_only(model):
    batch = rows(without(random_batch(3), image=[0], spectrum=[0]), [0])
    visible = fixed_visible(batch, model.n_tokens, NAMES)
    (group,) = model.encode(batch, visible).groups
    assert group.token_BVD.shape[1] == 1 + 2 and group.valid_BV is None
    assert group.token_BVD.isfinite().all()


def with_errors(error: float):
    batch = random_batch(3)
    batch.values["magnitude_errors"] = torch.full_like(batch.values["magnitudes"], error)
    return batch


def test_errors_of_magnitudes_enter_and_may_be_missing(model):
    shown = fixed_visible(random_batch(3), model.n_tokens, ("magnitudes",))
    precise, rough, unknown = (model.redshift(with_errors(e), shown)[0] for e in (0.01, 0.3, torch.nan))
    assert (precise != rough).all() and (rough != unknown).all() and unknown.isfinite().all()
    torch.testing.assert_close(model.redshift(with_errors(0.0), shown)[0], unknown)
    without_column = random_batch(3)
    del without_column.values["magnitude_errors"]
    torch.testing.assert_close(model.redshift(without_column, shown)[0], unknown)


def test_hidden_magnitudes_and_errors_do_not_enter(model):
    batch = with_errors(0.1)
    visible = fixed_visible(batch, model.n_tokens, ("magnitudes",))
    visible["magnitudes"][:, 1] = False
    changed = copied(batch)
    changed.values["magnitudes"][:, 1] += 1.0
    changed.values["magnitude_errors"][:, 1] = 0.5
    torch.testing.assert_close(model.redshift(batch, visible)[0], model.redshift(changed, visible)[0])


def test_colours_of_bands_that_are_not_both_measured_are_zero(model):
    batch = random_batch(3)
    batch.values["magnitudes"][0] = torch.tensor([21.0, 19.5])
    batch.values["magnitudes"][1, 0] = torch.nan
    prepared = model.modalities["magnitudes"].prepare(batch, torch.ones(3, 2, dtype=torch.bool))
    colour_BT = prepared.number_BTJ[:, :, 1]  # of the only other band
    assert colour_BT[0].tolist() == [3.0, -3.0] and colour_BT[1].tolist() == [0.0, 0.0]  # 1.5 mag / 0.5


def test_some_training_spectra_are_noise_of_their_errors():
    flux_BL, ivar_BL = torch.full((2000, 200), 50.0), torch.full((2000, 200), 0.25)
    ivar_BL[:, :20] = 0.0
    found_BL = replace_by_noise(flux_BL * (ivar_BL > 0), ivar_BL, Draws(0, n=2000))
    noise_B = (found_BL[:, 20:] != 50.0).all(1)
    assert noise_B.float().mean() == pytest.approx(EMPTY, abs=0.02)
    assert torch.equal(found_BL[~noise_B], (flux_BL * (ivar_BL > 0))[~noise_B])
    assert not found_BL[:, :20].any() and abs(found_BL[noise_B].mean()) < 0.1
    scatter_N = found_BL[noise_B, 20:].std(1) / 2.0
    low, high = EMPTY_NOISE
    assert scatter_N.min() > 0.8 * low and scatter_N.max() < 1.2 * high


def test_options_are_those_of_the_modality_files():
    assert {name: (kind.Config, kind.mask) for name, kind in MODALITIES.items()} == DECLARED
    assert list(MODALITIES) == list(DECLARED)  # masks are drawn in this order
