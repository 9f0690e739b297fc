"""A bundle predicts as inference does, from arrays alone, and refuses what does not fit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import mmae
from mmae.bundle.anomaly import anomaly_scores
from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CONFIG, WEIGHTS, Description
from mmae.bundle.mlflow_model import copied_code
from mmae.bundle.predictions import Flag
from mmae.core.errors import InputError
from mmae.inference.checkpoint import load_model
from mmae.inference.predict import predict_redshifts
from mmae.inference.readings import read_modes
from mmae.model.build import build_model
from mmae.model.outputs import Estimate
from mmae.model.tokens import visible_pixels
from tests.bundle.bundles import BANDED, GRID, WAVELENGTH_L, arrays, strict_limits, tiny_bundle
from tests.model.galaxies import TINY, TINY_PAPER, random_batch, tiny, without
from tests.model.test_baselines import CNN, CONTRASTIVE

CPU = torch.device("cpu")
BATCH = without(random_batch(7, BANDED, seed=3), image=[1], spectrum=[2, 4])
EXACT = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def bundle(folder) -> Bundle:
    return mmae.load(folder)


def given(**changes):
    return arrays(BATCH) | {"wavelength": WAVELENGTH_L} | GRID | changes


@pytest.mark.parametrize("mode", ["image", "spectrum", "both"])
def test_predictions_are_those_of_inference(bundle, folder, mode):
    """In each input mode, for the galaxies that have its modalities."""
    model, _ = load_model(folder.parent / "best")
    readings, _ = read_modes(model, [BATCH], CPU, WAVELENGTH_L)
    redshifts = predict_redshifts(model, [BATCH], CPU)
    hidden = {"image": {"spectra": None, "ivar": None}, "spectrum": {"images": None}, "both": {}}[mode]
    found, expected = bundle.predict(**given(**hidden)), readings[mode]
    use_N = expected.usable_N
    assert 4 <= use_N.sum() <= 6
    np.testing.assert_allclose(found.z_median[use_N], expected.redshift_N[use_N], **EXACT)
    np.testing.assert_allclose(found.pz[use_N], expected.probability_NK[use_N], **EXACT)
    np.testing.assert_allclose(found.embedding[use_N], expected.embedding_ND[use_N], **EXACT)
    np.testing.assert_allclose(np.log1p(found.pz_edges), expected.edges_K1, **EXACT)
    for name, limit in (("z_low68", redshifts.low), ("z_high68", redshifts.high)):
        np.testing.assert_allclose(getattr(found, name)[use_N], limit[mode][use_N], **EXACT)


def test_estimates_are_those_of_the_distribution(bundle):
    found = bundle.predict(**given())
    np.testing.assert_allclose(found.pz.sum(1), 1, rtol=1e-5)
    limits = [found.z_low95, found.z_low68, found.z_median, found.z_high68, found.z_high95]
    assert (np.diff(limits, axis=0) >= 0).all()
    # The mean of a histogram with the centre of each bin: exact up to the width of a bin in z.
    centre_K, width_K = (found.pz_edges[1:] + found.pz_edges[:-1]) / 2, np.diff(found.pz_edges)
    assert (np.abs(found.z_mean - found.pz @ centre_K) < found.pz @ width_K).all()
    # Half of the probability is on either side of the median.
    cdf_NK1 = np.concatenate([np.zeros((len(found), 1)), found.pz.cumsum(1)], 1)
    for z, cdf_K1, mass_K in zip(found.z_median, cdf_NK1, found.pz, strict=True):
        assert np.interp(z, found.pz_edges, cdf_K1) == pytest.approx(0.5, abs=float(mass_K.max()))


def test_missing_modalities_are_flagged_and_never_zeros(bundle):
    images = given()["images"].copy()
    images[0, 1] = np.nan  # a band
    images[3, 0, :2] = np.inf  # pixels
    images[5, 0] = 0  # a band without sky noise was not observed
    ivar = given()["ivar"].copy()
    ivar[6, :40] = 0
    spectra = given()["spectra"].copy()
    spectra[6, :40] = 99.0  # of no effect where ivar is 0
    images[2] = np.nan  # without a spectrum, too
    found = bundle.predict(**given(images=images, spectra=spectra, ivar=ivar))
    band = Flag.PIXELS_MISSING | Flag.BANDS_MISSING
    nothing = Flag.NO_IMAGE | Flag.NO_SPECTRUM | Flag.NO_INPUT
    expected = [band, Flag.NO_IMAGE, nothing, Flag.PIXELS_MISSING, Flag.NO_SPECTRUM, band, Flag.SAMPLES_MISSING]
    assert found.flags.tolist() == expected
    empty_N = np.arange(7) == 2
    for name in ("z_median", "z_mean", "z_low95", "embedding", "pz", "anomaly"):
        assert (np.isnan(getattr(found, name)).reshape(7, -1).any(1) == empty_N).all()
    assert np.isnan(found.anomaly_image[[1, 2]]).all() and np.isnan(found.anomaly_spectrum[[2, 4]]).all()
    spectra[6, :40] = 0
    assert bundle.predict(**given(images=images, spectra=spectra, ivar=ivar)).z_median[6] == found.z_median[6]
    zeros = bundle.predict(**given(images=np.zeros_like(images)))
    assert (zeros.flags & Flag.NO_IMAGE).all() and np.isnan(zeros.z_median[2])


def test_batches_do_not_change_predictions(bundle):
    whole, parts = bundle.predict(**given()), bundle.predict(**given(), batch_size=2)
    for name in ("z_median", "pz", "embedding", "anomaly"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bands": ("r", "g")}, "bands are r,g, expected g,r"),
        ({"bands": None}, "bands are not given"),
        ({"pixel_scale": 0.168}, "pixel_scale is 0.168, expected 0.2"),
        ({"zero_point": None}, "zero_point is not given"),
        ({"wavelength": WAVELENGTH_L + 20}, "wavelength runs from 4020 to 6960"),
        ({"wavelength": None}, "wavelength is not given"),
        ({"ivar": None}, "ivar of the spectra is not given"),
        ({"ivar": -np.ones((7, 50))}, "ivar is negative"),
        ({"images": np.ones((7, 2, 8, 8))}, "images have shape (7, 2, 8, 8)"),
        ({"images": np.ones((3, 2, 16, 16))}, "of 3 and 7 galaxies"),
        ({"images": np.ones((0, 2, 16, 16)), "spectra": None, "ivar": None}, "no galaxies"),
        ({"images": None, "spectra": None, "ivar": None}, "nothing that the model reads is given (image, spectrum)"),
        ({"images": np.array(["x"])}, "expected numbers"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(bundle, change, named):
    with pytest.raises(InputError, match=re.escape(named)) as error:
        bundle.predict(**given(**change))
    assert "\n" not in str(error.value)


def test_all_differences_are_named_at_once(bundle):
    with pytest.raises(InputError, match="bands are .*pixel_scale is .*wavelength runs"):
        bundle.predict(**given(bands="rg", pixel_scale=1.0, wavelength=WAVELENGTH_L * 2))


@pytest.mark.parametrize("config", [TINY_PAPER, CNN, CONTRASTIVE], ids=lambda config: config.kind)
def test_every_kind_of_model(config):
    """Without p(z) there is only a point estimate; without a decoder there is no anomaly."""
    torch.manual_seed(0)
    bundle = Bundle(build_model(config, BANDED).eval(), Description("0", "0", config, BANDED, {}))
    found = bundle.predict(**given() if "spectrum" in bundle.modalities else given(spectra=None, ivar=None))
    has_image_N = BATCH.present["image"].numpy()
    assert np.isfinite(found.z_median[has_image_N]).all()
    assert (found.pz is None) == (config.kind == "paper")
    assert np.isnan(found.anomaly).all() == (config.kind != "paper")


def test_spectra_are_refused_by_a_model_that_reads_none():
    bundle = Bundle(build_model(CNN, BANDED).eval(), Description("0", "0", CNN, BANDED, {}))
    with pytest.raises(InputError, match="the model reads image only"):
        bundle.predict(**given())


def of_magnitudes() -> Bundle:
    torch.manual_seed(0)
    config = tiny(image={"use": False}, spectrum={"use": False}, magnitudes={"use": True})
    return Bundle(build_model(config, BANDED).eval(), Description("0", "0", config, BANDED, {}))


def test_magnitudes_are_read_as_in_a_survey():
    """Values as in a batch of the loader; one band of one galaxy and all of another are not measured."""
    bundle, batch = of_magnitudes(), random_batch(5, BANDED)
    magnitude_NC, error_NC = batch.values["magnitudes"].numpy().copy(), np.full((5, 2), 0.1, np.float32)
    magnitude_NC[0, 1], error_NC[0, 1] = np.nan, np.nan
    magnitude_NC[3] = np.nan
    found = bundle.predict(magnitudes=magnitude_NC, magnitude_errors=error_NC, bands=BANDED.bands)
    batch.values["magnitudes"] = torch.from_numpy(magnitude_NC).nan_to_num(0.0)
    batch.values["magnitudes"][0, 1] = torch.nan
    batch.values["magnitude_errors"] = torch.from_numpy(error_NC)
    batch.present["magnitudes"] = torch.tensor([True, True, True, False, True])
    expected = bundle.predict_batch(batch)
    np.testing.assert_allclose(found.z_median, expected.z_median, **EXACT)
    assert found.flags.tolist() == [0, 0, 0, int(Flag.NO_INPUT), 0] and np.isnan(found.z_median[3])
    without_errors = bundle.predict(magnitudes=magnitude_NC, bands=BANDED.bands)
    assert (without_errors.z_median != found.z_median)[[1, 2, 4]].all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bands": None}, "bands are not given, expected g,r"),
        ({"bands": "rg"}, "bands are r,g, expected g,r"),
        ({"magnitudes": np.ones((3, 4))}, "magnitudes have shape (3, 4), expected (galaxies, 2)"),
        ({"magnitude_errors": np.ones((4, 2))}, "magnitude_errors have shape (4, 2)"),
        ({"magnitudes": None, "magnitude_errors": np.ones((3, 2))}, "without magnitudes"),
        ({"magnitudes": None}, "nothing that the model reads is given (magnitudes)"),
        ({"images": np.ones((3, 2, 16, 16)), **GRID}, "the model reads magnitudes only, not image"),
    ],
)
def test_magnitudes_that_do_not_fit_are_refused(change, named):
    with pytest.raises(InputError, match=re.escape(named)):
        of_magnitudes().predict(**({"magnitudes": np.full((3, 2), 20.0), "bands": BANDED.bands} | change))


def test_anomalies_are_errors_in_units_of_noise():
    """A model that is wrong by 3 sigma where it was shown nothing has the score 3; where it was shown, errors are
    not counted."""
    batch = random_batch(5, BANDED)
    batch.image_BCHW[:] = 0
    batch.flux_BL[:] = 0
    hidden = {"image": 0, "spectrum": 0}

    def estimate(batch, visible):
        shown_BHW = visible_pixels(visible["image"], BANDED.image_size)
        shown_BL = visible["spectrum"].repeat_interleave(8, 1)[:, : BANDED.n_wavelengths]
        for name in hidden:
            hidden[name] = hidden[name] + (~visible[name]).int()
        noise_C11 = torch.tensor(BANDED.band_noise)[:, None, None]
        image = torch.where(shown_BHW[:, None], 1e3, 3 * noise_C11)
        flux_BL = torch.where(shown_BL, 1e3, 3 / batch.ivar_BL.sqrt())
        values, shown = {"image": image, "spectrum": flux_BL}, {"image": shown_BHW, "spectrum": shown_BL}
        return Estimate(batch.redshift_B, None, None, values, shown)

    model = SimpleNamespace(spec=BANDED, n_tokens={"image": 16, "spectrum": 7}, estimate=estimate)
    for score_B in anomaly_scores(model, batch).values():
        torch.testing.assert_close(score_B, torch.full((5,), 3.0))
    assert all((times_BT >= 1).all() for times_BT in hidden.values())  # every token was hidden at least once


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_changed_byte_of_the_weights_is_noticed(folder, tmp_path, position):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (CONFIG, WEIGHTS):
        (copy / name).write_bytes((folder / name).read_bytes())
    mmae.load(copy)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[position] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match="sha256"):
        mmae.load(copy)


def test_folders_that_are_no_bundle(folder, tmp_path):
    with pytest.raises(InputError, match="not a bundle"):
        mmae.load(tmp_path)
    (tmp_path / CONFIG).write_text((folder / CONFIG).read_text())
    with pytest.raises(InputError, match="is missing"):
        mmae.load(tmp_path)
    for wrong, message in (('"width"', "not a configuration"), ('"format"', "format mmae-bundle")):
        (tmp_path / CONFIG).write_text((folder / CONFIG).read_text().replace(wrong, '"other"', 1))
        with pytest.raises(InputError, match=message):
            mmae.load(tmp_path)


def test_the_description_is_read_as_written(folder):
    description = mmae.load(folder).description
    assert description.model == TINY and description.spec == BANDED


ISOLATED = """
import importlib.abc, sys
others = "ray mlflow pyarrow pydantic yaml scipy astropy pandas sklearn filelock rich tyro matplotlib".split()
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in others:
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
bundle, code = sys.argv[1:]
sys.path.insert(0, code)
import mmae, numpy as np
bundle = mmae.load(bundle)
images = np.random.default_rng(0).normal(size=(2, 2, 16, 16))
found = bundle.predict(images, **bundle.image_grid)
own = {name: str(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "mmae"}
assert all(path.startswith(code) for path in own.values()), own  # not those of an installed package
print(*found.z_median, *found.flags)
"""


def test_loading_needs_torch_numpy_and_safetensors_only(bundle, tmp_path):
    """From the code that a bundle in MLflow has."""
    warned = tiny_bundle(tmp_path, strict_limits(bundle.model))
    code = str(copied_code(tmp_path / "code").parent)
    done = subprocess.run([sys.executable, "-I", "-c", ISOLATED, warned, code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    images = np.random.default_rng(0).normal(size=(2, 2, 16, 16))
    expected = mmae.load(warned).predict(images, **bundle.image_grid)
    assert (expected.flags & Flag.UNLIKE_TRAINING).all()
    values = [*expected.z_median, *expected.flags]
    np.testing.assert_allclose([float(x) for x in done.stdout.split()], values, rtol=1e-5)
