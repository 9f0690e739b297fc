"""The figures hold the right data: positions, masks, panels and texts."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
from astropy.visualization import make_lupton_rgb
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mmae.core.errors import InputError
from mmae.metrics.redshift import OUTLIER_LIMIT, score_table
from mmae.plots import image as fi
from mmae.plots import spectrum as fs
from mmae.plots.contact_sheet import contact_sheet
from mmae.plots.redshift import DENSITY_FROM, redshift_figure, running_percentiles, score_text
from mmae.plots.training import loss_figure
from mmae.report.style import GREEN, VERMILLION, save_figure, style
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec(image_size=16, n_wavelengths=800, wavelength_step=7.8)
WAVELENGTH = SPEC.wavelength_L()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def line(ax, label: str):
    (found,) = [li for li in ax.get_lines() if li.get_label() == label]
    return found


def coloured(ax, colour: str) -> list:
    return [li for li in ax.get_lines() if to_rgba(li.get_color()) == to_rgba(colour)]


# --- style


def test_style_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    save_figure(loss_figure({"loss": ([0, 1], [2, 1])}), tmp_path / "made" / "loss.png")
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "made" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_no_figure_needs_pyplot():
    # In a fresh process: other tests and astropy import pyplot themselves.
    code = (
        "import sys; import mmae.plots.contact_sheet, mmae.plots.training; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_users_settings_do_not_change_a_figure():
    with matplotlib.rc_context({"font.size": 30.0, "axes.grid": True}):
        with style():
            assert matplotlib.rcParams["axes.grid"] is False
            assert matplotlib.rcParams["font.size"] == 9


def test_figures_can_be_drawn_from_several_threads(tmp_path):
    def draw(i: int) -> bytes:
        figure = loss_figure({"loss": ([0, 1], [2, 1])})
        return save_figure(figure, tmp_path / f"{i}.png").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(4)))) == 1


# --- redshift


def make_redshifts(rng, n):
    z = np.concatenate([rng.uniform(0.1, 0.39, n // 2), rng.uniform(0.41, 3.0, n - n // 2)])
    return z, z + 0.02 * (1 + z) * rng.standard_normal(n)


def test_few_galaxies_are_points_and_limits_are_where_they_belong(rng):
    z, p = make_redshifts(rng, 200)
    figure = redshift_figure(z, p, "small, image only", {})
    main_all, main_low, strip_all, strip_low = figure.axes
    assert figure.get_suptitle() == "small, image only"
    for main, strip, keep in ((main_all, strip_all, z < 9), (main_low, strip_low, z < 0.4)):
        points = main.get_lines()[0]
        np.testing.assert_array_equal(points.get_xdata(), z[keep])
        np.testing.assert_array_equal(points.get_ydata(), p[keep])
        dz = (p[keep] - z[keep]) / (1 + z[keep])
        np.testing.assert_allclose(strip.get_lines()[0].get_ydata(), dz)
        one_to_one, upper, lower = coloured(main, VERMILLION)
        x = one_to_one.get_xdata()
        np.testing.assert_array_equal(one_to_one.get_ydata(), x)
        np.testing.assert_allclose(upper.get_ydata(), x + OUTLIER_LIMIT * (1 + x))
        np.testing.assert_allclose(lower.get_ydata(), x - OUTLIER_LIMIT * (1 + x))
        assert upper.get_linestyle() == "--"
        levels = sorted(li.get_ydata()[0] for li in coloured(strip, VERMILLION))
        assert levels == [-OUTLIER_LIMIT, 0.0, OUTLIER_LIMIT]


def test_the_axis_of_all_redshifts_makes_the_outlier_limits_parallel(rng):
    main = redshift_figure(*make_redshifts(rng, 50), "", {}).axes[0]
    _, upper, lower = coloured(main, VERMILLION)
    to_page = main.transData.transform
    for limit in (upper, lower):
        page = to_page(np.column_stack([limit.get_xdata(), limit.get_ydata()])[-50:])
        slopes = np.diff(page[:, 1]) / np.diff(page[:, 0])
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)


def test_many_galaxies_are_counted_in_cells(rng):
    z, p = make_redshifts(rng, DENSITY_FROM * 2)
    main, low = redshift_figure(z, p, "", {}).axes[:2]
    for ax, keep in ((main, z < 9), (low, z < 0.4)):
        (cells,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
        (bottom, top), (left, right) = ax.get_ylim(), ax.get_xlim()
        inside = keep & (p >= bottom) & (p <= top) & (z >= left) & (z <= right)
        assert cells.get_array().sum() == inside.sum()
        assert inside.sum() > 0.97 * keep.sum()


def test_the_inset_gives_the_scores_of_its_panel(rng):
    z, p = make_redshifts(rng, 200)
    p[0], p[1] = np.nan, 5.0
    scores = score_table(z, {"image": p}, resamples=20)["image"]
    figure = redshift_figure(z, p, "", scores)
    for ax, name, beyond in ((figure.axes[0], "all z", 1), (figure.axes[1], "z<0.4", 1)):
        (inset,) = [t.get_text() for t in ax.texts]
        assert inset == score_text(scores[name], beyond)
        sigma = scores[name]["sigma_nmad"]
        assert f"{sigma.value:.4f}±{sigma.error:.4f}" in inset
        assert f"n = {scores[name]['outlier_rate'].n}" in inset
        assert "1 without a finite prediction" in inset and "1 beyond the axes" in inset


def test_no_redshifts_are_said_to_be_none():
    figure = redshift_figure([], [], "nothing", {})
    assert texts(figure).count("no redshifts") == 4
    half = redshift_figure([0.7, 0.8], [0.7, 0.8], "no low redshift", {})
    assert texts(half).count("no redshifts") == 2


def test_running_percentiles_are_those_of_bins_of_equal_count(rng):
    x, y = rng.permutation(1000.0 * np.arange(400)), rng.standard_normal(400)
    centre, low, median, high = running_percentiles(x, y, per_bin=100)
    first = y[np.argsort(x)][:100]
    assert centre.size == 4
    assert median[0] == np.median(first)
    assert (low[0], high[0]) == tuple(np.percentile(first, [16, 84]))
    assert running_percentiles(x[:20], y[:20])[0].size == 0


# --- images


def make_images(rng, n):
    noise = np.asarray(SPEC.band_noise)[:, None, None]
    y, x = np.mgrid[:16, :16] - 7.5
    galaxy = np.exp(-np.hypot(x, y) / 2.0)
    return galaxy * np.array([0.5, 1, 2, 2.5, 3])[:, None, None] + noise * rng.standard_normal((n, *SPEC.image_shape))


def test_image_columns_are_truth_input_reconstruction_pasted_and_residual(rng):
    truth = make_images(rng, 2)
    made = truth + 2.0 * np.asarray(SPEC.band_noise)[:, None, None]
    visible = np.zeros((2, 16, 16), bool)
    visible[:, :8] = True
    figure = fi.image_reconstruction_figure(truth, visible, made, SPEC, ["a", "b"])
    panels = np.array(figure.axes[:10]).reshape(2, 5)
    for i, row in enumerate(panels):
        shown = [ax.images[0].get_array() for ax in row]
        white = fi.white_level(truth[i], SPEC)
        np.testing.assert_array_equal(shown[0], fi.lupton_rgb(truth[i], SPEC, white))
        np.testing.assert_array_equal(shown[1][:8], shown[0][:8])
        assert (shown[1][8:] == fi.MASKED_RGB).all()
        np.testing.assert_array_equal(shown[2], fi.lupton_rgb(made[i], SPEC, white))
        np.testing.assert_array_equal(shown[3][:8], shown[0][:8])
        np.testing.assert_array_equal(shown[3][8:], shown[2][8:])
        np.testing.assert_allclose(shown[4], -2.0)  # truth - reconstruction, in noise
        low, high = row[4].images[0].get_clim()
        assert low == -high
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["a", "b"]
    assert [ax.get_title() for ax in panels[0, :4]] == list(fi.COLUMNS)
    assert any("reconstruction) / $\\sigma_{i}$" in t for t in texts(figure))


def test_the_residual_is_of_the_band_asked_for(rng):
    truth = make_images(rng, 1)
    made = truth.copy()
    made[:, SPEC.bands.index("y")] -= 3.0 * SPEC.band_noise[-1]
    visible = np.ones((1, 16, 16), bool)
    for band, expected in (("y", 3.0), ("g", 0.0)):
        figure = fi.image_reconstruction_figure(truth, visible, made, SPEC, ["a"], residual_band=band)
        np.testing.assert_allclose(figure.axes[4].images[0].get_array(), expected)
    with pytest.raises(InputError, match="residual_band is 'u'"):
        fi.image_reconstruction_figure(truth, visible, made, SPEC, ["a"], residual_band="u")


@pytest.mark.parametrize("nothing", [np.nan, 0.0])
def test_an_absent_image_still_shows_what_the_model_makes_of_it(rng, nothing):
    made = make_images(rng, 1)
    truth = np.full_like(made, nothing)
    figure = fi.image_reconstruction_figure(truth, np.ones((1, 16, 16), bool), made, SPEC, ["a"])
    assert texts(figure).count("no image") == 3 and "no residual" in texts(figure)
    assert [len(ax.images) for ax in figure.axes[:5]] == [0, 0, 1, 0, 0]


def test_an_image_masked_whole_is_grey_and_not_absent(rng):
    truth = make_images(rng, 1)
    figure = fi.image_reconstruction_figure(truth, np.zeros((1, 16, 16), bool), truth, SPEC, ["a"])
    assert (figure.axes[1].images[0].get_array() == fi.MASKED_RGB).all()
    assert "no image" not in texts(figure)


def test_no_galaxy_at_all_and_wrong_shapes():
    empty = np.empty((0, *SPEC.image_shape))
    figure = fi.image_reconstruction_figure(empty, np.empty((0, 16, 16)), empty, SPEC, [])
    assert texts(figure) == ["no image"]
    with pytest.raises(InputError, match="visible has shape"):
        one = np.ones((1, *SPEC.image_shape))
        fi.image_reconstruction_figure(one, np.ones((1, 4, 4)), one, SPEC, ["a"])


def test_colours_are_astropys_lupton_colours(rng):
    image = 30.0 * rng.uniform(1, 2, SPEC.image_shape) * np.asarray(SPEC.band_noise)[:, None, None]
    ours = fi.lupton_rgb(image, SPEC, white=200.0)
    index = [SPEC.bands.index(band) for band in ("i", "r", "g")]
    in_noise = image[index] / np.asarray(SPEC.band_noise)[index, None, None] + 1.0
    # astropy: arcsinh(Q I / stretch) times a constant; it is the softening that must agree.
    theirs = make_lupton_rgb(*in_noise, Q=8.0, stretch=8.0 * fi.SOFTENING, output_dtype=float)
    np.testing.assert_allclose(ours / ours.max(), theirs / theirs.max(), rtol=1e-6)


def test_colours_are_in_range_and_white_is_reached(rng):
    image = make_images(rng, 1)[0]
    rgb = fi.lupton_rgb(image, SPEC, fi.white_level(image, SPEC))
    assert rgb.min() >= 0.0 and rgb.max() <= 1.0
    assert rgb.max() > 0.9 and np.median(rgb) < 0.4
    bright = fi.lupton_rgb(image * 1000.0, SPEC, 30.0)
    assert bright.max() == pytest.approx(1.0)


def test_a_survey_with_other_bands_still_has_colours():
    spec = SurveySpec(bands=("u", "z", "K"), band_noise=(1.0, 1.0, 1.0))
    assert fi.rgb_bands(spec) == ("K", "z", "u")
    assert fi.rgb_bands(SPEC) == ("i", "r", "g")


# --- spectra


def spectra_figure(rng, redshifts, **changes):
    n = len(redshifts)
    parts = {
        "flux_NL": 3.0 + 0.1 * rng.standard_normal((n, 800)),
        "ivar_NL": np.full((n, 800), 100.0),
        "reconstruction_NL": np.full((n, 800), 3.0),
        "visible_NL": np.ones((n, 800), bool),
    } | changes
    figure = fs.spectrum_reconstruction_figure(
        WAVELENGTH, redshift_N=redshifts, titles=[f"galaxy {i}" for i in range(n)], **parts
    )
    return figure, figure.axes


def test_lines_are_marked_at_their_redshifted_wavelength(rng):
    redshifts = [0.08, 2.5, np.nan]
    _, axes = spectra_figure(rng, redshifts)
    assert len(axes) == 3
    for ax, z in zip(axes, redshifts, strict=True):
        marks = {a.get_text(): a.xy[0] for a in ax.texts}
        low, high = ax.get_xlim()
        expected = {li.name: (1 + z) * li.wavelength for li in fs.LINES if low < (1 + z) * li.wavelength < high}
        assert marks == pytest.approx(expected)
        assert sorted(li.get_xdata()[0] for li in coloured(ax, GREEN)) == pytest.approx(sorted(expected.values()))
    names = {a.get_text() for a in axes[1].texts}
    assert names == {r"Ly$\alpha$", "C IV", "C III]", "Mg II"}


def test_the_line_table_is_in_vacuum():
    # Air wavelengths (NIST) by the inverse of Morton (2000, ApJS 130, 403, eq. 8).
    for name, air in (
        (r"H$\alpha$", 6562.8),
        (r"H$\beta$", 4861.3),
        ("[O III]", 5006.8),
        ("Ca K", 3933.66),
        ("Ca H", 3968.47),
        ("Na D", 5892.94),
    ):
        (found,) = [li for li in fs.LINES if li.name == name]
        s2 = (1e4 / found.wavelength) ** 2
        index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
        assert found.wavelength / index == pytest.approx(air, abs=0.1)


def test_masked_spans_are_shaded_where_the_model_saw_nothing(rng):
    visible = np.ones((1, 800), bool)
    visible[0, :10] = visible[0, 100:200] = visible[0, 799] = False
    _, (ax,) = spectra_figure(rng, [np.nan], visible_NL=visible)
    half = 0.5 * SPEC.wavelength_step
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    expected = [(WAVELENGTH[a] - half, WAVELENGTH[b] + half) for a, b in ((0, 9), (100, 199), (799, 799))]
    np.testing.assert_allclose(spans, expected)


def test_observed_flux_is_the_weighted_mean_and_bad_pixels_are_left_out(rng):
    flux = rng.normal(3.0, 0.1, (1, 800))
    ivar = rng.uniform(50, 150, (1, 800))
    ivar[0, 300:320], flux[0, 300:320] = 0.0, 1e9
    flux[0, 50] = np.nan
    figure, (ax,) = spectra_figure(rng, [0.1], flux_NL=flux, ivar_NL=ivar)
    label = f"observed, running mean of {fs.SMOOTHING} samples, ivar-weighted"
    drawn = line(ax, label).get_ydata()
    assert np.isnan(drawn[300:320]).all() and np.isnan(drawn[50])
    window = slice(400 - 2, 400 + 3)
    assert drawn[400] == pytest.approx(np.average(flux[0, window], weights=ivar[0, window]))
    assert drawn[299] == pytest.approx(np.average(flux[0, 297:300], weights=ivar[0, 297:300]))
    assert np.nanmax(drawn) < 4 and ax.get_ylim()[1] < 5
    assert label in texts(figure)
    np.testing.assert_array_equal(line(ax, "reconstruction").get_ydata(), 3.0)


@pytest.mark.parametrize("width", [1, 4, 5, 2000])
def test_smoothing_keeps_length_and_level(width):
    smooth, error = fs.smooth_by_ivar(np.full(30, 2.0), np.full(30, 4.0), width)
    np.testing.assert_allclose(smooth, 2.0)
    assert smooth.shape == error.shape == (30,)
    assert error[15] == pytest.approx(0.5 / np.sqrt(min(width, 30)))


def test_an_emission_line_fits_and_a_noise_spike_does_not_set_the_range(rng):
    flux, ivar = 3.0 + 0.1 * rng.standard_normal((1, 800)), np.full((1, 800), 100.0)
    flux[0, 400:405] += 50.0
    flux[0, 600], ivar[0, 598:603] = 500.0, 1e-6  # bad, and its ivar says so
    _, (ax,) = spectra_figure(rng, [0.1], flux_NL=flux, ivar_NL=ivar)
    assert 53 < ax.get_ylim()[1] < 80


def test_an_absent_spectrum_is_said_and_the_reconstruction_still_drawn(rng):
    flux, ivar = np.zeros((3, 800)), np.zeros((3, 800))
    flux[0], ivar[0] = 1.0, 1.0
    made = np.full((3, 800), 2.0)
    made[2] = np.nan
    figure, axes = spectra_figure(rng, [0.1, 0.1, 0.1], flux_NL=flux, ivar_NL=ivar, reconstruction_NL=made)
    said = ["no spectrum" in [t.get_text() for t in ax.texts] for ax in axes]
    assert said == [False, True, True]
    assert line(axes[1], "reconstruction").get_ydata()[0] == 2.0
    assert not axes[2].get_lines()
    assert len(axes[2].get_xticks()) > 2  # the last panel carries the axis of the column
    figure.draw_without_rendering()


def test_zero_lengths_say_no_spectrum():
    nothing = np.empty((2, 0))
    figure = fs.spectrum_reconstruction_figure([], nothing, nothing, nothing, nothing, [0.1, 0.2], ["a", "b"])
    assert texts(figure) == ["no spectrum"]
    assert fs.masked_spans(np.empty(0), np.empty(0)) == []


def test_spectra_of_another_grid_are_refused(rng):
    with pytest.raises(InputError, match="ivar has shape"):
        spectra_figure(rng, [0.1], ivar_NL=np.ones((1, 7)))


# --- training


def test_losses_are_above_and_scatter_below(rng):
    steps = np.arange(10)
    figure = loss_figure(
        {
            "train/loss": (steps, np.linspace(5, 1, 10)),
            "train/loss_image": (steps, np.r_[np.nan, np.linspace(2, 1, 9)]),
            "val/image/all_z/sigma_nmad": ([0, 5], [0.2, 0.02]),
        },
        "small",
    )
    upper, lower = figure.axes
    assert upper.get_yscale() == "log" and lower.get_yscale() == "log"
    np.testing.assert_array_equal(line(upper, "train/loss").get_ydata(), np.linspace(5, 1, 10))
    np.testing.assert_array_equal(line(upper, "train/loss_image").get_xdata(), steps[1:])
    np.testing.assert_array_equal(line(lower, "val/image/all_z/sigma_nmad").get_ydata(), [0.2, 0.02])
    assert len(upper.get_lines()) == 2 and len(lower.get_lines()) == 1


def test_long_histories_carry_a_running_median_over_every_step(rng):
    values = np.exp(rng.standard_normal(2000))
    (ax,) = loss_figure({"loss": (np.arange(2000), values)}).axes
    raw, median = ax.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), values)
    assert median.get_label() == "loss"
    assert np.std(np.log(median.get_ydata())) < 0.5 * np.std(np.log(values))


def test_a_negative_loss_is_drawn_and_not_dropped():
    (ax,) = loss_figure({"nll": ([0, 1, 2], [3.0, 0.0, -2.0])}).axes
    assert ax.get_yscale() == "symlog"
    np.testing.assert_array_equal(line(ax, "nll").get_ydata(), [3.0, 0.0, -2.0])


def test_an_empty_history_says_so():
    assert "no losses" in texts(loss_figure({}))
    figure = loss_figure({"loss": ([0], [1.0]), "val/sigma_nmad": ([], [])})
    assert "no validation scatter" in texts(figure)


# --- contact sheet


def panels(figure: Figure) -> tuple[list, list]:
    upper, lower = figure.subfigs
    return [a for a in upper.axes if a.axison], [a for a in lower.axes if a.axison]


def test_the_sheet_shows_the_first_images_and_the_first_spectra_there_are(rng):
    n = 30
    images = make_images(rng, n)
    images[2] = np.nan
    flux, ivar = 1.0 + 0.01 * rng.standard_normal((n, 800)), np.full((n, 800), 1e4)
    ivar[:2] = 0.0
    titles = [f"galaxy {i}" for i in range(n)]
    figure = contact_sheet(images, (WAVELENGTH, flux, ivar), titles, SPEC, redshift_N=np.full(n, 0.1))
    upper, lower = panels(figure)
    assert [ax.get_title() for ax in upper] == titles[:24]
    assert [len(ax.images) for ax in upper] == [1, 1, 0] + [1] * 21
    assert [t.get_text() for t in upper[2].texts] == ["no image"]
    white = fi.white_level(images[3], SPEC)
    np.testing.assert_array_equal(upper[3].images[0].get_array(), fi.lupton_rgb(images[3], SPEC, white))
    assert [ax.get_title(loc="left") for ax in lower] == titles[2:8]
    smooth, _ = fs.smooth_by_ivar(flux[2], ivar[2], fs.SMOOTHING)
    np.testing.assert_array_equal(lower[0].get_lines()[0].get_ydata(), smooth)
    assert 1.1 * 6564.6 in [pytest.approx(a.xy[0]) for a in lower[0].texts]


def test_a_survey_of_one_modality(rng):
    titles = ["a", "b"]
    no_spectra = contact_sheet(make_images(rng, 2), None, titles, SPEC)
    assert texts(no_spectra).count("no spectrum") == 1
    no_images = contact_sheet(None, (WAVELENGTH, np.ones((2, 800)), np.ones((2, 800))), titles, SPEC)
    assert texts(no_images).count("no image") == 2
    assert len(panels(no_images)[1]) == 2
    nothing = contact_sheet(None, ([], np.empty((0, 0)), np.empty((0, 0))), [], SPEC)
    assert texts(nothing).count("no spectrum") == 1


def test_a_sheet_of_arrays_that_do_not_fit_is_refused(rng):
    with pytest.raises(InputError, match="images have shape"):
        contact_sheet(make_images(rng, 3), None, ["a"], SPEC)
    with pytest.raises(InputError, match="flux has shape"):
        contact_sheet(None, (WAVELENGTH, np.ones((2, 9)), np.ones((2, 9))), ["a", "b"], SPEC)
