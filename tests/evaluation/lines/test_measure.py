"""Line measures of a batch: selection of lines, and the samples used for the comparison."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.batch import join_spectra_measures, measure_spectra
from mmae.evaluation.lines.measure import Reconstruction, measure_lines
from mmae.evaluation.lines.measures import FIT, choose_galaxies, join_line_measures
from tests.evaluation.lines.conftest import GALAXIES, QUASARS
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, continuum, line, smooth_galaxy

HIDDEN = np.zeros(WAVELENGTH.size, bool)
HALPHA = cat.KEYS.index("halpha")


def measure_one(flux, redshift=0.2, ivar=IVAR * 100, made=None, visible=HIDDEN, **more):
    """One spectrum in one situation, "it"."""
    reconstruction = Reconstruction((flux if made is None else made)[None], visible[None])
    return measure_lines(WAVELENGTH, flux[None], ivar[None], np.array([redshift]), {"it": reconstruction}, **more)


def entry(measures, key):
    (found,) = np.flatnonzero(measures.line_M == cat.KEYS.index(key))
    return found


def plain(values):
    """As floats: in structured arrays, assert_array_equal does not treat NaN as equal."""
    return values.view(float) if values.dtype == FIT else values


def test_every_line_in_range_is_an_entry(measured, sample):
    lines = measured.lines
    assert (lines.line_M == HALPHA).sum() == GALAXIES  # z < 0.45 for all of them
    assert (lines.line_M == cat.KEYS.index("lya")).sum() == QUASARS  # 2.1 < z
    galaxy = lines.galaxy_M[lines.line_M == HALPHA]
    np.testing.assert_array_equal(lines.redshift_M[lines.line_M == HALPHA], sample.redshift[galaxy])
    assert lines.observed_M.dtype == FIT and lines.offered == lines.fitted == GALAXIES + QUASARS
    assert np.isfinite(lines.observed_M["centre"]).all()


def test_reconstruction_equal_to_the_observation_has_the_same_fits(sample):
    visible = np.zeros(WAVELENGTH.size, bool)
    visible[::300] = True
    found = measure_one(sample.flux[0], sample.redshift[0], sample.ivar[0], visible=visible)
    for name in ("centre", "sigma", "amplitude", "flux", "ew"):
        target, made = found.target["it"][name], found.reconstructed["it"][name]
        np.testing.assert_array_equal(target, made)
        assert np.isfinite(made[entry(found, "halpha")])


def test_visible_samples_are_excluded_from_both_fits():
    flux = smooth_galaxy(0.2, 60.0)
    visible = (WAVELENGTH > 7700) & (WAVELENGTH < 7800)  # next to H-alpha at 7878 A
    clean = measure_one(flux, visible=visible)
    changed = measure_one(flux, made=np.where(visible, -1e7, flux), visible=visible)
    np.testing.assert_array_equal(plain(clean.reconstructed["it"]), plain(changed.reconstructed["it"]))
    at = entry(clean, "halpha")
    assert clean.target["it"]["dof"][at] < clean.observed_M["dof"][at] - 80


@pytest.mark.parametrize(("visible_fraction", "counts"), [(0.0, True), (0.4, True), (0.6, False), (1.0, False)])
def test_line_is_compared_if_half_of_its_core_was_hidden(visible_fraction, counts):
    z, speed = 0.2, 130.0
    centre, sigma = 6564.61 * (1 + z), 6564.61 * (1 + z) * speed / 299792.458
    flux = smooth_galaxy(z, 60.0, speed=speed)
    visible = (WAVELENGTH > centre - 2 * sigma) & (WAVELENGTH < centre + (4 * visible_fraction - 2) * sigma)
    found = measure_one(flux, visible=visible)
    at = entry(found, "halpha")
    assert found.hidden["it"][at] == counts
    assert np.isfinite(found.reconstructed["it"]["centre"][at]) == counts
    # [N II] is always hidden.
    assert found.hidden["it"][entry(found, "nii")]


def test_hidden_fraction_of_a_doublet_includes_both_members():
    flux = smooth_galaxy(0.2, 60.0)
    visible = np.abs(WAVELENGTH - 4960.30 * 1.2) < 30
    one = measure_one(flux, visible=visible)
    both = measure_one(flux, visible=visible | (np.abs(WAVELENGTH - 5008.24 * 1.2) < 2.0))
    assert one.hidden["it"][entry(one, "oiii")]
    assert not both.hidden["it"][entry(both, "oiii")]


def test_line_with_a_visible_window_is_not_compared():
    flux = smooth_galaxy(0.2, 60.0)
    low, high = np.multiply(cat.blend_of(cat.HALPHA).window, 1.2)
    visible = (WAVELENGTH < low + 0.65 * (high - low)) & (np.abs(WAVELENGTH - 6564.61 * 1.2) > 15)
    found = measure_one(flux, visible=visible)
    assert not found.hidden["it"][entry(found, "halpha")]


def test_faint_lines_are_not_fitted_in_the_reconstruction():
    flux = smooth_galaxy(0.2, 0.05)
    found = measure_one(flux, ivar=IVAR)
    at = entry(found, "halpha")
    assert found.observed_M["flux"][at] / found.observed_M["flux_error"][at] < 3
    assert np.isnan(found.reconstructed["it"]["centre"][at]) and found.hidden["it"][at]


def test_failed_fit_of_a_reconstruction_is_nan_and_counted():
    flux = smooth_galaxy(0.2, 60.0)
    found = measure_one(flux, made=np.full(WAVELENGTH.size, np.nan))
    at = entry(found, "halpha")
    assert found.hidden["it"][at] and np.isnan(found.reconstructed["it"]["flux"][at])
    assert np.isfinite(found.target["it"]["flux"][at])


def test_numbers_of_offered_and_fitted_galaxies(sample):
    redshift = sample.redshift.copy()
    redshift[0] = np.nan
    ivar = sample.ivar.copy()
    ivar[1] = 0.0
    chosen = np.zeros(redshift.size, bool)
    chosen[:4] = True
    made = {"it": Reconstruction(sample.clean, np.zeros(sample.clean.shape, bool))}
    found = measure_lines(WAVELENGTH, sample.flux, ivar, redshift, made, fit_B=chosen)
    assert found.offered == redshift.size - 2 and found.fitted == 2
    assert set(found.redshift_M) == set(redshift[2:4])


def test_true_widths_are_assigned_to_their_lines():
    ew = np.arange(1.0, 7.0)[None]  # oii, hbeta, oiii, halpha, nii, sii
    found = measure_one(smooth_galaxy(0.2, 60.0), true_ew_BE=ew)
    wanted = {"oii": 1.0, "hbeta": 2.0, "oiii": 3.0, "halpha": 4.0, "nii": 5.0, "sii": 6.0}
    for key, value in wanted.items():
        assert found.true_ew_M[entry(found, key)] == value
    assert np.isnan(found.true_ew_M[entry(found, "sii_second")])


def test_joined_batches_equal_a_single_batch(sample):
    some = [0, 1, 12, GALAXIES, GALAXIES + 1]

    def measure(rows):
        made = {
            name: Reconstruction(r.flux_BL[rows], r.visible_BL[rows]) for name, r in sample.reconstructions().items()
        }
        return measure_spectra(
            WAVELENGTH,
            sample.flux[rows],
            sample.ivar[rows],
            sample.redshift[rows],
            made,
            names_B=[f"g{i}" for i in rows],
        )

    together = measure(some)
    apart = join_spectra_measures([measure(some[:2]), measure([]), measure(some[2:])])
    for whole, part in ((together.lines, apart.lines), (together.continuum, apart.continuum)):
        for field in dataclasses.fields(whole):
            one, other = getattr(whole, field.name), getattr(part, field.name)
            if field.name == "examples":
                assert [(e.name, e.line) for e in one] == [(e.name, e.line) for e in other]
            elif isinstance(one, dict):
                assert list(one) == list(other)
                for name in one:
                    np.testing.assert_array_equal(plain(one[name]), plain(other[name]))
            else:
                np.testing.assert_array_equal(plain(np.array(one)), plain(np.array(other)))
    assert {e.name for e in apart.lines.examples} <= {f"g{i}" for i in some}


def test_examples_are_the_first_hidden_in_all_situations(measured):
    lines = measured.lines
    assert [e.line for e in lines.examples] == ["halpha"] * 3 + ["civ"] * 3
    every = np.all(list(lines.hidden.values()), axis=0)
    expected = lines.redshift_M[every & (lines.line_M == HALPHA)][:3]
    assert [e.redshift for e in lines.examples[:3]] == list(expected)
    example = lines.examples[0]
    clean = smooth_galaxy(example.redshift, 60.0, nii=0.3)
    inside = (WAVELENGTH >= example.wavelength_W[0]) & (WAVELENGTH <= example.wavelength_W[-1])
    assert np.abs(example.fitted_W - clean[inside]).max() < 0.15 * clean[inside].max()
    made, fitted = example.reconstructed["75% masked"]
    assert np.nanmax(made) < 1e3  # visible samples are not shown
    np.testing.assert_allclose(fitted[np.isfinite(made)], made[np.isfinite(made)], rtol=0.02)


def test_random_selection_is_reproducible_and_has_the_requested_size():
    chosen = choose_galaxies(1000, seed=3, most=100)
    assert chosen.sum() == 100 and choose_galaxies(50, seed=3, most=100).all()
    np.testing.assert_array_equal(chosen, choose_galaxies(1000, seed=3, most=100))
    assert (chosen != choose_galaxies(1000, seed=4, most=100)).any()
    assert 20 < chosen[:500].sum() < 80  # not the first ones


def test_wrong_shapes_and_mixed_situations_are_refused(sample, measured):
    with pytest.raises(InputError, match=r"it, visible.*\(1, 2\)"):
        measure_lines(
            WAVELENGTH,
            sample.flux,
            sample.ivar,
            sample.redshift,
            {"it": Reconstruction(sample.clean, np.zeros((1, 2), bool))},
        )
    with pytest.raises(InputError):
        join_line_measures([])
    other = measure_one(continuum() + line(6564.61, 0.2, 130.0, 20.0))
    with pytest.raises(InputError, match="75% masked, blurred, bare"):
        join_line_measures([measured.lines, other])
