"""Contact sheets: selected images and spectra, absent modalities."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmae.astro.lines import HALPHA_WAVE
from mmae.core.errors import InputError
from mmae.plots import image as fi
from mmae.plots import spectrum as fs
from mmae.plots.contact_sheet import contact_sheet
from tests.plots.inspect_figures import SPEC, WAVELENGTH, make_images, texts


def panels(figure: Figure) -> tuple[list, list]:
    upper, lower = figure.subfigs
    return [a for a in upper.axes if a.axison], [a for a in lower.axes if a.axison]


def test_sheet_has_the_first_images_and_the_first_available_spectra(rng):
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
    assert pytest.approx(1.1 * HALPHA_WAVE) in [a.xy[0] for a in lower[0].texts]


def test_surveys_with_one_modality(rng):
    titles = ["a", "b"]
    no_spectra = contact_sheet(make_images(rng, 2), None, titles, SPEC)
    assert texts(no_spectra).count("no spectrum") == 1
    no_images = contact_sheet(None, (WAVELENGTH, np.ones((2, 800)), np.ones((2, 800))), titles, SPEC)
    assert texts(no_images).count("no image") == 2
    assert len(panels(no_images)[1]) == 2
    nothing = contact_sheet(None, ([], np.empty((0, 0)), np.empty((0, 0))), [], SPEC)
    assert texts(nothing).count("no spectrum") == 1


def test_arrays_of_wrong_shape_are_refused(rng):
    with pytest.raises(InputError, match="images"):
        contact_sheet(make_images(rng, 3), None, ["a"], SPEC)
    with pytest.raises(InputError, match=r"flux .*\(2, 9\)"):
        contact_sheet(None, (WAVELENGTH, np.ones((2, 9)), np.ones((2, 9))), ["a", "b"], SPEC)
