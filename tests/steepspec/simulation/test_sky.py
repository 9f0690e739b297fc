"""The simulated sky, compared with its truth and with the cited distributions."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from mmae.core.errors import InputError
from mmae.steepspec.catalogue import survey_description
from mmae.steepspec.config import SkySettings
from mmae.steepspec.simulation.detections import COMPANIONS, MISSING, WINDOWS, optical_rows
from mmae.steepspec.simulation.sky import HOPKINS_2003, draw_fluxes, simulate_sky

SMALL = SkySettings(pointings=2, overlapping=1, regions=20, field_pulsars=300)


@pytest.fixture(scope="module")
def sky():
    return simulate_sky()


def positions(table, ra="ra", dec="dec"):
    return SkyCoord(np.asarray(table[ra]), np.asarray(table[dec]), unit="deg")


def test_size_and_columns_of_the_default_sky(sky):
    assert 15_000 < len(sky.mals) < 25_000
    for name in (
        "RAJ2000",
        "DEJ2000",
        "Majaxis",
        "Minaxis",
        "PA",
        "Flux",
        "FluxPk",
        "Spwfit",
        "e_Spwfit",
        "Scode",
        "SPW/WB",
        "Pointing",
    ):
        assert name in sky.mals.colnames
    assert set(sky.mals["SPW/WB"]) == {"LSPW_2", "LSPW_9"}
    assert set(sky.companions) == {"tgss", "racs_low", "nvss"}
    assert sky.mals["Flux"].unit == "mJy" and sky.mals["Majaxis"].unit == "arcsec"


def test_counts_are_those_of_hopkins():
    flux = draw_fluxes(np.random.default_rng(0), 200.0)
    # analytic at 1 mJy: dN/dS = 10^0.859 Jy^1.5/sr x S^-2.5
    inside = np.abs(np.log10(flux)) < 0.05
    expected = 10 ** HOPKINS_2003[0] * 0.001**-2.5 * 0.001 * np.log(10) * 0.1 * 200 / 3282.8
    assert abs(inside.sum() / expected - 1) < 0.06
    bright = (flux > 10).sum() / 200
    assert 12 < bright < 18  # NVSS: about 15 per square degree above 10 mJy (Condon+1998)


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_have_their_beams_noise_and_limit(sky, window):
    rows = sky.mals[sky.mals["SPW/WB"] == window.name]
    assert (rows["FluxPk"] >= 5 * rows["rms"]).all()
    assert rows["rms"].min() == pytest.approx(window.rms_mjy, rel=0.05)
    points = rows[(rows["Scode"] == "S") & (rows["FluxPk"] > 50 * rows["rms"])]
    assert np.median(points["Majaxis"]) == pytest.approx(window.beam_arcsec, rel=0.15)
    assert (rows["Majaxis"] >= rows["Minaxis"]).all()


def test_sentinels_where_alpha_is_not_measured(sky):
    missing = sky.mals["Spwfit"] == MISSING
    assert 0.3 < missing.mean() < 0.9
    assert (missing == (sky.mals["e_Spwfit"] == MISSING)).all()
    weak = sky.mals["FluxPk"] < 8 * sky.mals["rms"]
    assert missing[weak].all()
    assert (sky.mals["e_Majaxis"] == MISSING).any()
    real = sky.mals["Spwfit"][~missing]
    assert np.isfinite(real).all() and real.min() > -100


def test_measured_alpha_agrees_with_the_truth(sky):
    rows = sky.mals[(sky.mals["Spwfit"] != MISSING) & (sky.mals["SPW/WB"] == "LSPW_9")]
    index, distance, _ = positions(rows, "RAJ2000", "DEJ2000").match_to_catalog_sky(positions(sky.truth))
    good = distance.arcsec < 1
    true = sky.truth["alpha"][index[good]]
    # The flux-scale errors of the two windows add 6% x sqrt(2) / ln(1381/1006) to the error of alpha.
    pull = np.asarray((rows["Spwfit"][good] - true) / np.hypot(rows["e_Spwfit"][good], 0.268))
    assert good.mean() > 0.8
    # They are common to a pointing: the mean over seven pointings has an error of up to 1 / sqrt(7).
    assert abs(np.median(pull)) < 3 / np.sqrt(7) and 0.6 < np.percentile(np.abs(pull), 68) < 1.4


def test_spectral_indices_follow_the_cited_distributions():
    truth = simulate_sky(SMALL).truth
    pulsar = truth["alpha"][truth["source_class"] == "pulsar_candidate"]
    assert np.mean(pulsar) == pytest.approx(-1.60, abs=0.15)
    assert np.std(pulsar) == pytest.approx(0.62, abs=0.1)
    galaxy = truth["alpha"][truth["source_class"] == "radio_galaxy"]
    assert np.median(galaxy) == pytest.approx(-0.8, abs=0.03)
    assert 0.02 < (galaxy < -1.4).mean() < 0.06  # the steep tail, and 1% of the normal galaxies
    assert np.median(truth["alpha"][truth["source_class"] == "agn"]) == pytest.approx(-0.2, abs=0.03)


def test_95_percent_of_the_pulsars_of_regions_are_in_their_ellipses():
    inside, total = 0, 0
    for seed in range(4):
        sky = simulate_sky(
            SkySettings(
                seed=seed,
                pointings=3,
                overlapping=0,
                regions_per_pointing=20,
                unassociated_fraction=1.0,
                pulsar_regions=1.0,
                field_pulsars=1,
            )
        )
        truth = sky.truth[sky.truth["region"] >= 0]
        region = sky.regions[truth["region"]]
        centre = positions(region, "RAJ2000", "DEJ2000")
        s, angle = centre.separation(positions(truth)).deg, centre.position_angle(positions(truth)).deg
        delta = np.deg2rad(angle - np.asarray(region["Conf_95_PosAng"]))
        radius = np.hypot(
            s * np.cos(delta) / region["Conf_95_SemiMajor"], s * np.sin(delta) / region["Conf_95_SemiMinor"]
        )
        inside, total = inside + (radius <= 1).sum(), total + len(truth)
        assert (truth["source_class"] == "pulsar_candidate").all()
    assert total > 100
    assert abs(inside / total - 0.95) < 4 * np.sqrt(0.95 * 0.05 / total)


def test_sources_in_overlapping_pointings_are_detected_twice_and_true_once(sky):
    rows = sky.mals[sky.mals["SPW/WB"] == "LSPW_2"]
    index, distance, _ = positions(rows, "RAJ2000", "DEJ2000").match_to_catalog_sky(
        positions(rows, "RAJ2000", "DEJ2000"), nthneighbor=2
    )
    twice = (distance.arcsec < 3) & (rows["Pointing"] != rows["Pointing"][index])
    assert 100 < twice.sum() < 0.3 * len(rows)
    _, near, _ = positions(sky.truth).match_to_catalog_sky(positions(sky.truth), nthneighbor=2)
    assert (near.arcsec < 1).mean() < 0.01


def test_companion_detections_are_above_the_limit_with_correct_fluxes(sky):
    for companion in COMPANIONS:
        table = sky.companions[companion.name]
        assert len(table) > 300
        assert (table["peak_mjy"] >= companion.limit_sigma * companion.rms_mjy).all()
        assert table["dec"].min() >= companion.dec_min - 0.01
        index, _, _ = positions(table).match_to_catalog_sky(positions(sky.truth))
        bright = np.asarray(table["flux_mjy"] > 30 * companion.rms_mjy)
        true = sky.truth[index[bright]]
        expected = true["s1400_mjy"] * (companion.frequency_mhz / 1400) ** true["alpha"]
        ratio = table["flux_mjy"][bright] / expected
        assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


def test_density_of_optical_objects_around_detections(sky):
    optical = sky.optical
    assert 21.79 < optical["r_mag"].max() < 21.8
    mals = positions(sky.mals, "RAJ2000", "DEJ2000")
    _, distance, _ = positions(optical).match_to_catalog_sky(mals)
    distance = distance.arcsec
    rings = [(distance > low) & (distance < low + 5) for low in (5.0, 15.0)]
    sources = len(np.unique(mals.match_to_catalog_sky(positions(sky.truth))[0]))
    density = rings[0].sum() / (np.pi * (100 - 25) * sources) * 3600**2
    to_the_limit = 18_000 * 10 ** (0.35 * (21.8 - 23))  # slope of the counts of Capak+2007
    assert 0.8 < density / to_the_limit < 1.1
    truth = sky.truth[sky.truth["source_class"] == "pulsar_candidate"]
    found = positions(truth).match_to_catalog_sky(positions(optical))[1].arcsec < 0.5
    assert found.mean() < 0.05  # pulsars have no counterpart, only chance matches
    agn = (optical["w1_mag"] - optical["w2_mag"] >= 0.8) & (optical["w2_mag"] < 15.05)
    assert 100 < agn.sum() < 0.2 * len(optical)


def test_scatter_of_counterparts_equals_their_position_error(sky):
    """Counterparts of stars scatter by 0.2 arcsec in each coordinate."""
    star = sky.truth[sky.truth["source_class"] == "star"]
    bright = sky.optical[sky.optical["r_mag"] < 18]  # few unrelated objects
    _, distance, _ = positions(star).match_to_catalog_sky(positions(bright))
    near = distance.arcsec[distance.arcsec < 1]
    assert len(near) > 150 and np.sqrt((near**2).mean() / 2) == pytest.approx(0.2, rel=0.12)


def test_right_ascensions_scattered_across_0_hours_are_0_to_360():
    sky = simulate_sky(SMALL)
    truth = sky.truth.copy()
    truth["ra"] = np.where(truth["ra"] > np.median(truth["ra"]), 1e-6, 360 - 1e-6)
    ra = optical_rows(
        np.random.default_rng(0), truth, sky.mals[:10], limit_mag=23.2, density_deg2=1.0, radius_arcsec=1.0
    )["ra"]
    assert ra.min() >= 0 and ra.max() <= 360 and (ra < 1).any() and (ra > 359).any()


def test_survey_properties_are_those_of_the_descriptions():
    """The search takes frequencies, beams, limits and scale errors from the survey descriptions."""
    mals = survey_description("mals_dr1")
    for window in WINDOWS:
        described = mals.windows[window.name]
        assert (window.frequency_mhz, window.beam_arcsec) == (described.frequency_mhz, described.beam_arcsec)
        assert 5 * window.rms_mjy == pytest.approx(described.limit_mjy)
    assert SkySettings().mals_scale_error == mals.flux_scale_error
    assert SkySettings().optical_limit_mag == survey_description("panstarrs").limit_mag
    for companion, rms in zip(COMPANIONS, (3.5, 0.3, 0.5), strict=True):
        described = survey_description(companion.name)
        assert (companion.frequency_mhz, companion.beam_arcsec) == (described.frequency_mhz, described.beam_arcsec)
        assert companion.scale_error == described.flux_scale_error and companion.rms_mjy == pytest.approx(rms)
        assert companion.limit_sigma * companion.rms_mjy == pytest.approx(described.limit_mjy)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pointings": 0}, "0 pointings"),
        ({"overlapping": 2}, "2 overlapping"),
        ({"regions": 1}, "1 regions"),
        ({"known_pulsars": 2.0}, "known_pulsars is 2.0"),
    ],
)
def test_error_names_the_invalid_setting(change, named):
    with pytest.raises(InputError, match=named):
        simulate_sky(replace(SMALL, **change))


def test_source_density_is_uniform_where_pointings_overlap(sky):
    centres = positions(sky.pointings)
    truth, radius = positions(sky.truth), WINDOWS[0].radius_deg
    counts = [(truth.separation(centre).deg < radius).sum() for centre in centres]
    # the last pointing overlaps the first
    assert centres[0].separation(centres[-1]).deg == pytest.approx(1.2, abs=0.01)
    assert counts[-1] == pytest.approx(np.mean(counts[1:-1]), rel=0.05)
