"""Image figures: panels, colours, masks and absent images."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.visualization import make_lupton_rgb
from matplotlib.figure import Figure

from mmae.core.errors import InputError
from mmae.plots import image as fi
from mmae.survey.schema import SurveySpec
from tests.plots.inspect_figures import SPEC, make_images, texts


def test_panels_are_truth_input_reconstruction_pasted_and_residual(rng):
    truth = make_images(rng, 2)
    reconstruction = truth + 2.0 * np.asarray(SPEC.band_noise)[:, None, None]
    visible = np.zeros((2, 16, 16), bool)
    visible[:, :8] = True
    figure = fi.image_reconstruction_figure(truth, visible, reconstruction, SPEC, ["a", "b"])
    panels = np.array(figure.axes[:10]).reshape(2, 5)
    for i, row in enumerate(panels):
        shown = [ax.images[0].get_array() for ax in row]
        white = fi.white_level(truth[i], SPEC)
        np.testing.assert_array_equal(shown[0], fi.lupton_rgb(truth[i], SPEC, white))
        np.testing.assert_array_equal(shown[1][:8], shown[0][:8])
        assert (shown[1][8:] == fi.MASKED_RGB).all()
        np.testing.assert_array_equal(shown[2], fi.lupton_rgb(reconstruction[i], SPEC, white))
        np.testing.assert_array_equal(shown[3][:8], shown[0][:8])
        np.testing.assert_array_equal(shown[3][8:], shown[2][8:])
        np.testing.assert_allclose(shown[4], -2.0)  # truth - reconstruction, in noise
        low, high = row[4].images[0].get_clim()
        assert low == -high
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["a", "b"]
    assert [ax.get_title() for ax in panels[0, :4]] == list(fi.COLUMNS)
    assert any("reconstruction) / $\\sigma_{i}$" in t for t in texts(figure))


def test_residual_is_of_the_requested_band(rng):
    truth = make_images(rng, 1)
    reconstruction = truth.copy()
    reconstruction[:, SPEC.bands.index("y")] -= 3.0 * SPEC.band_noise[-1]
    visible = np.ones((1, 16, 16), bool)
    for band, expected in (("y", 3.0), ("g", 0.0)):
        figure = fi.image_reconstruction_figure(truth, visible, reconstruction, SPEC, ["a"], residual_band=band)
        np.testing.assert_allclose(figure.axes[4].images[0].get_array(), expected)
    with pytest.raises(InputError, match="residual_band.*'u'"):
        fi.image_reconstruction_figure(truth, visible, reconstruction, SPEC, ["a"], residual_band="u")


@pytest.mark.parametrize("nothing", [np.nan, 0.0])
def test_absent_image_shows_the_reconstruction_only(rng, nothing):
    reconstruction = make_images(rng, 1)
    truth = np.full_like(reconstruction, nothing)
    figure = fi.image_reconstruction_figure(truth, np.ones((1, 16, 16), bool), reconstruction, SPEC, ["a"])
    assert texts(figure).count("no image") == 3 and "no residual" in texts(figure)
    assert [len(ax.images) for ax in figure.axes[:5]] == [0, 0, 1, 0, 0]


def test_completely_masked_image_is_grey_and_not_absent(rng):
    truth = make_images(rng, 1)
    figure = fi.image_reconstruction_figure(truth, np.zeros((1, 16, 16), bool), truth, SPEC, ["a"])
    assert (figure.axes[1].images[0].get_array() == fi.MASKED_RGB).all()
    assert "no image" not in texts(figure)


def test_missing_pixels_are_grey_and_filled_by_the_reconstruction(rng):
    truth = make_images(rng, 1)
    reconstruction = truth + 0.1
    truth[0, SPEC.bands.index("r"), 3, 4] = np.nan
    figure = fi.image_reconstruction_figure(truth, np.ones((1, 16, 16), bool), reconstruction, SPEC, ["a"])
    white = fi.white_level(truth[0], SPEC)
    shown, _, model, pasted, residual = (ax.images[0].get_array() for ax in figure.axes[:5])
    assert (shown[3, 4] == fi.MASKED_RGB).all() and not (shown[3, 5] == fi.MASKED_RGB).all()
    filled = np.where(np.isfinite(truth[0]), truth[0], reconstruction[0])
    np.testing.assert_array_equal(pasted, fi.lupton_rgb(filled, SPEC, white))
    assert np.isfinite(np.ma.filled(residual, np.nan)).all()  # of i, which is complete
    assert figure.axes[4].get_facecolor()[:3] == fi.MASKED_RGB


def test_a_missing_band_is_named_and_the_others_are_shown(rng):
    truth = make_images(rng, 1)[0]
    truth[SPEC.bands.index("g")] = np.nan
    ax = Figure().subplots()
    white = fi.white_level(truth, SPEC)
    fi.draw_rgb(ax, truth, SPEC, white, absent=False)
    assert [text.get_text() for text in ax.texts] == ["no g"]
    shown = ax.images[0].get_array()
    # Blue is the mean of red and green, in units of the noise.
    noise = np.asarray(SPEC.band_noise)[:, None, None]
    completed = np.nan_to_num(truth)
    i, r, g = (SPEC.bands.index(band) for band in "irg")
    completed[g] = (truth[i] / noise[i] + truth[r] / noise[r]) / 2 * noise[g]
    np.testing.assert_allclose(shown, fi.lupton_rgb(completed, SPEC, white), atol=1e-12)


def test_empty_input_and_wrong_shapes():
    empty = np.empty((0, *SPEC.image_shape))
    figure = fi.image_reconstruction_figure(empty, np.empty((0, 16, 16)), empty, SPEC, [])
    assert texts(figure) == ["no image"]
    with pytest.raises(InputError, match=r"visible .*\(1, 4, 4\)"):
        one = np.ones((1, *SPEC.image_shape))
        fi.image_reconstruction_figure(one, np.ones((1, 4, 4)), one, SPEC, ["a"])


def test_colours_equal_make_lupton_rgb_of_astropy(rng):
    image = 30.0 * rng.uniform(1, 2, SPEC.image_shape) * np.asarray(SPEC.band_noise)[:, None, None]
    ours = fi.lupton_rgb(image, SPEC, white=200.0)
    index = [SPEC.bands.index(band) for band in ("i", "r", "g")]
    in_noise = image[index] / np.asarray(SPEC.band_noise)[index, None, None] + 1.0
    # astropy: arcsinh(Q I / stretch) times a constant.
    theirs = make_lupton_rgb(*in_noise, Q=8.0, stretch=8.0 * fi.SOFTENING, output_dtype=float)
    np.testing.assert_allclose(ours / ours.max(), theirs / theirs.max(), rtol=1e-6)


def test_colours_are_within_0_to_1_and_reach_white(rng):
    image = make_images(rng, 1)[0]
    rgb = fi.lupton_rgb(image, SPEC, fi.white_level(image, SPEC))
    assert rgb.min() >= 0.0 and rgb.max() <= 1.0
    assert rgb.max() > 0.9 and np.median(rgb) < 0.4
    bright = fi.lupton_rgb(image * 1000.0, SPEC, 30.0)
    assert bright.max() == pytest.approx(1.0)


def test_rgb_bands_of_surveys_without_i_r_g():
    spec = SurveySpec(bands=("u", "z", "K"), band_noise=(1.0, 1.0, 1.0))
    assert fi.rgb_bands(spec) == ("K", "z", "u")
    assert fi.rgb_bands(SPEC) == ("i", "r", "g")
