"""Warnings of a bundle are those of an evaluation of the same galaxies, and change nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mmae
from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CONFIG
from mmae.bundle.predictions import MEANING, WARNINGS, Flag
from mmae.bundle.warning_flags import warning_flags
from mmae.bundle.write import bundle_of_checkpoint
from mmae.core.errors import InputError
from mmae.inference import flags
from mmae.inference.checkpoint import load_model
from mmae.inference.fit_flags import fit_flags
from mmae.inference.flags import FILE, flag
from mmae.inference.readings import Readings, read_modes
from tests.bundle.bundles import BANDED, GRID, WAVELENGTH_L, arrays, strict_limits, tiny_bundle, write_checkpoint
from tests.model.galaxies import random_batch, without

CPU = torch.device("cpu")
NUMBERS = {
    flags.LITTLE_EVIDENCE: 64,
    flags.SECOND_PEAK: 128,
    flags.UNLIKE_TRAINING: 256,
    flags.OUTSIDE_TRAINING_RANGE: 512,
}
BATCH = without(random_batch(90, BANDED, seed=3), image=range(30), spectrum=range(29, 60))
MODES = {"spectrum": range(29), "image": range(30, 60), "both": range(60, 90)}  # galaxy 29 has nothing


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A bundle with limits fitted to other galaxies, in such a way that many are beyond them."""
    folder = tmp_path_factory.mktemp("fitted")
    model = write_checkpoint(folder / "other")
    readings = {seed: read_modes(model, [random_batch(60, BANDED, seed=seed)], CPU, WAVELENGTH_L)[0] for seed in (1, 2)}
    redshift_N = readings[1]["both"].redshift_N
    limits = fit_flags(readings[1], readings[2], redshift_N)
    assert limits is not None and limits.modes.keys() == MODES.keys()
    modes = {mode: replace(of_mode, distance=of_mode.distance / 2) for mode, of_mode in limits.modes.items()}
    low, high = np.quantile(redshift_N, (0.2, 0.8))
    return tiny_bundle(folder, replace(limits, low=float(low), high=float(high), modes=modes))


def predicted(bundle: Bundle, **changes):
    return bundle.predict(**arrays(BATCH) | {"wavelength": WAVELENGTH_L} | GRID | changes)


def test_bits_are_those_of_an_evaluation_in_the_mode_of_each_galaxy(fitted, monkeypatch):
    """From the written files of both. The model is not trained: two rules have limits that some galaxies pass."""
    model, _ = load_model(fitted.parent / "best")
    limits = flags.load_flags(fitted.parent / "best")
    readings, _ = read_modes(model, [BATCH], CPU, WAVELENGTH_L)
    both = readings["both"].chosen(readings["both"].usable_N)
    information_N = flags.information(both.probability_NK, limits.prior_K)
    monkeypatch.setattr(flags, "LEAST_INFORMATION", np.median(information_N))
    outside_N = flags.outside_peak(both.probability_NK, both.edges_K1, both.redshift_N)
    monkeypatch.setattr(flags, "SECOND", np.median(outside_N))
    found = predicted(mmae.load(fitted))
    for mode, rows in MODES.items():
        expected_N = flag(limits, mode, readings[mode])[list(rows)]
        for bit, number in NUMBERS.items():
            assert ((found.flags[list(rows)] & number > 0) == (expected_N & bit > 0)).all(), (mode, number)
    for number in NUMBERS.values():
        assert 0 < (found.flags & number > 0).sum() < len(BATCH)


def test_a_galaxy_with_only_nan_has_no_warning(fitted):
    nothing = Flag.NO_IMAGE | Flag.NO_SPECTRUM | Flag.NO_INPUT
    found = predicted(mmae.load(fitted))
    assert found.flags[29] == nothing and np.isnan(found.z_median[29])
    image_1CHW = np.full((1, 2, 16, 16), np.nan)
    assert mmae.load(fitted).predict(image_1CHW, **GRID).flags.tolist() == [nothing]


def test_all_other_predictions_are_the_same_without_limits(fitted):
    bundle = mmae.load(fitted)
    with_limits, plain = predicted(bundle), predicted(Bundle(bundle.model, bundle.description))
    for name, array in vars(plain).items():
        if name != "flags":
            np.testing.assert_array_equal(getattr(with_limits, name), array, err_msg=name)
    assert not (plain.flags & WARNINGS).any()
    assert (with_limits.flags & ~int(WARNINGS) == plain.flags).all()


def test_checkpoint_and_bundle_have_the_same_limits(fitted):
    of_run, bundle = bundle_of_checkpoint(fitted.parent / "best"), mmae.load(fitted)
    assert of_run.description.flags_sha256 == bundle.description.flags_sha256
    assert (predicted(of_run).flags == predicted(bundle).flags).all()
    assert bundle.to("cpu").limits is bundle.limits


def test_a_mode_without_limits_has_only_the_warnings_of_p_of_z(fitted):
    bundle = mmae.load(fitted)
    whole = predicted(bundle).flags
    image_alone = replace(bundle.limits, modes={"image": bundle.limits.modes["image"]})
    found = predicted(Bundle(bundle.model, bundle.description, image_alone)).flags
    has_limits_N = np.isin(np.arange(len(BATCH)), MODES["image"])
    assert (found == np.where(has_limits_N, whole, whole & ~int(Flag.UNLIKE_TRAINING))).all()
    assert (whole[~has_limits_N] & Flag.UNLIKE_TRAINING).any()


def test_a_combination_that_is_not_evaluated_has_no_limits_of_the_embedding(tmp_path):
    """Image, spectrum and magnitudes together are no input mode; image and magnitudes are one."""
    limits = strict_limits(write_checkpoint(tmp_path / "best"))
    limits = replace(limits, modes={"image and magnitudes": limits.modes["image"]})
    present = {
        "image": np.array([True, True, True]),
        "spectrum": np.array([True, False, False]),
        "magnitudes": np.array([True, True, False]),
    }
    n_bins, width = len(limits.prior_K), len(limits.modes["image and magnitudes"].mean_D)
    p_NK = np.tile(limits.prior_K, (3, 1))
    edges_K1 = np.linspace(0, 1, n_bins + 1)
    readings = Readings(np.ones(3, bool), np.full(3, 0.5), p_NK, edges_K1, np.ones((3, width)))
    found = warning_flags(limits, present, readings)
    assert (found & Flag.UNLIKE_TRAINING > 0).tolist() == [False, True, False]
    assert (found & Flag.LITTLE_EVIDENCE > 0).all() and (found & Flag.OUTSIDE_TRAINING_RANGE > 0).all()


def test_without_limits_there_are_no_warnings_and_the_card_says_so(tmp_path, fitted):
    bundle = mmae.load(tiny_bundle(tmp_path))
    assert bundle.limits is None and not (predicted(bundle).flags & WARNINGS).any()
    for folder, warned in ((tmp_path / "bundle", False), (fitted, True)):
        card = (folder / "README.md").read_text()
        assert [flag.name in card for flag in MEANING] == [warned or not flag & WARNINGS for flag in MEANING]


def test_a_bundle_of_an_earlier_version_has_no_limits(fitted, tmp_path):
    older = shutil.copytree(fitted, tmp_path / "older")
    values = json.loads((older / CONFIG).read_text())
    del values["flags_sha256"]
    (older / CONFIG).write_text(json.dumps(values))
    (older / FILE).unlink()
    assert mmae.load(older).limits is None


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_changed_byte_of_the_limits_is_noticed(fitted, tmp_path, position):
    copy = shutil.copytree(fitted, tmp_path / "copy")
    content = bytearray((fitted / FILE).read_bytes())
    content[position] ^= 1
    (copy / FILE).write_bytes(content)
    with pytest.raises(InputError, match=f"{FILE}: .*sha256"):
        mmae.load(copy)
    (copy / FILE).unlink()
    with pytest.raises(InputError, match=f"{FILE}: is missing"):
        mmae.load(copy)


def test_every_flag_has_another_bit_and_a_meaning():
    assert [int(flag) for flag in Flag] == [2**n for n in range(len(Flag))]
    assert list(MEANING) == list(Flag)
