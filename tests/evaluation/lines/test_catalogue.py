"""Line catalogue: doublet ratios, resolution element, fit windows."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.lines import catalogue as cat


def test_doublets_have_their_flux_ratios():
    # Flux, not amplitude: at equal width in km/s, the width in Angstrom is proportional to wavelength.
    for tested, ratio in ((cat.OIII, 2.98), (cat.NII, 3.05), (cat.OII, 1.35)):
        blend = cat.blend_of(tested)
        row = blend.amplitude_GJ[blend.lines.index(tested)]
        flux = row * blend.wavelength_J
        main, partner = np.sort(flux[flux > 0])[::-1]
        assert main / partner == pytest.approx(ratio)


def test_resolution_element_is_that_of_desi():
    # R = lambda / FWHM: requirements of the arms are 2000 to 3200, 3200 to 4100, 4100 to 5000; DESI is slightly better.
    for wavelength, low, high in ((3700, 2000, 3200), (5500, 2000, 3700), (6500, 3200, 4500), (9500, 4100, 5600)):
        assert low < wavelength / cat.resolution_element(wavelength) < high
    assert cat.resolution_element(np.array([3700.0, 9500.0])).shape == (2,)
    assert cat.resolution_element(12000.0) == cat.resolution_element(9824.0)


def test_windows_contain_their_lines_and_no_strong_neighbour():
    centres = {one.key: np.array([w for w, _ in one.members]) for one in cat.LINES}
    for blend in cat.BLENDS:
        low, high = blend.window
        own = [one.key for one in blend.lines]
        assert all(low < w < high for key in own for w in centres[key])
        assert not any(low < w < high for key in centres if key not in own for w in centres[key])
