"""The figure of several galaxies has the panels of what was observed and reconstructed."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.inference.predict import Reconstructions
from mmae.inference.reconstruction_figure import reconstructions_figure
from tests.plots.inspect_figures import SPEC, WAVELENGTH, make_images, texts


def galaxies(n: int, *, images: bool = True, spectra: bool = True) -> Reconstructions:
    rng = np.random.default_rng(0)
    image = make_images(rng, n) if images else np.full((n, *SPEC.image_shape), np.nan)
    flux = rng.uniform(1, 2, (n, len(WAVELENGTH))) if spectra else np.full((n, len(WAVELENGTH)), np.nan)
    visible_NHW = np.zeros((n, *SPEC.image_shape[1:]), bool)
    visible_NHW[:, :8] = True
    return Reconstructions(
        [f"g{i}" for i in range(n)],
        np.linspace(0.1, 0.5, n),
        image,
        image + 0.1,
        visible_NHW,
        flux,
        np.ones_like(flux),
        np.ones_like(flux),
        np.arange(flux.shape[1]) % 2 * np.ones((n, 1)) > 0,
    )


@pytest.mark.parametrize(("images", "spectra", "panels"), [(True, True, 4), (True, False, 1), (False, True, 3)])
def test_panels_follow_the_modalities(images, spectra, panels):
    """All images are one panel, every spectrum has its own."""
    figure = reconstructions_figure(galaxies(3, images=images, spectra=spectra), SPEC, "step 7")
    assert len(figure.axes) == panels
    assert "step 7" in texts(figure) and {"g0\nz = 0.100", "g1\nz = 0.300", "g2\nz = 0.500"} <= set(texts(figure))


def test_a_galaxy_without_a_spectrum_is_marked():
    some = galaxies(2)
    some.flux_NL[1] = np.nan
    assert "no spectrum" in texts(reconstructions_figure(some, SPEC, ""))


def test_visible_pixels_of_the_reconstruction_are_those_observed():
    (ax,) = reconstructions_figure(galaxies(1, spectra=False), SPEC, "").axes
    mosaic = np.asarray(ax.get_images()[0].get_array())[::-1]  # rows of the survey's images start at the bottom
    observed, visible, filled = (mosaic[:, start : start + 16] for start in (0, 17, 34))
    np.testing.assert_array_equal(observed[:8], filled[:8])
    np.testing.assert_array_equal(visible[:8], observed[:8])
    assert not np.allclose(observed[8:], filled[8:]) and (visible[8:] == visible[8, 0]).all()
