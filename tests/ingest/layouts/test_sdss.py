"""SDSS and BOSS spectra, written to the data model and, where there are any, of the archive."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy.special import erf

from mmae.astro.resample import edges_of
from mmae.survey.schema import SurveySpec
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.ingest.sources.read import galaxies_of, opened, rejected, table, write_spec

LOGLAM = np.float32(3.5552 + 1e-4 * np.arange(4600))
WAVE = 10 ** np.float64(LOGLAM)
GRID = SurveySpec().wavelength_L()
BOSS = SHARED_GALAXIES / "boss"


def line(wavelength: float, area: float) -> np.ndarray:
    edge = edges_of(WAVE)
    return area * np.diff(erf((edge - wavelength) / (np.sqrt(2) * 3.0))) / 2 / np.diff(edge)


@pytest.mark.parametrize("catalogue", ["SPALL", "SPECOBJ"])
def test_values_arrive(tmp_path, catalogue):
    path = tmp_path / "spec-3655-55240-0026.fits"
    write_spec(path, LOGLAM, line(6564.6, 50), np.full(4600, 4.0), z=0.31, catalogue=catalogue, position=(187.3, -1.5))
    (galaxy,) = galaxies_of("sdss-spec", path).values()
    assert (galaxy.object_id, galaxy.ra, galaxy.dec) == ("spec-3655-55240-0026", 187.3, -1.5)
    assert galaxy.redshift == pytest.approx(0.31) and galaxy.redshift_err == pytest.approx(1e-4) and galaxy.zwarn == 0
    near = abs(GRID - 6564.6) < 20
    area = galaxy.flux_L[near].sum() * 0.8
    assert area == pytest.approx(50, rel=0.01)
    assert (galaxy.flux_L * GRID)[near].sum() * 0.8 / area == pytest.approx(6564.6, abs=0.1 * 0.8)
    assert galaxy.ivar_L[near].min() >= 4 * (1 - 1e-5) and galaxy.ivar_L[0] >= 4 * (1 - 1e-5)
    # 1.1 samples of 1e-4 in log10: of the median wavelength.
    assert galaxy.extra["line_spread_sigma"] == pytest.approx(1.1 * 1e-4 * np.log(10) * np.median(WAVE), rel=0.01)


def test_what_is_flagged_or_not_covered_has_no_weight(tmp_path):
    mask = np.zeros(4600, np.int32)
    mask[2000:2020] = 1 << 24
    short = slice(500, 4000)
    path = write_spec(tmp_path / "spec-1-2-3.fits", LOGLAM[short], np.ones(3500), np.ones(3500), and_mask=mask[short])
    (galaxy,) = galaxies_of("sdss-spec", path).values()
    assert not galaxy.ivar_L[(GRID < WAVE[500] - 1) | (GRID > WAVE[3999] + 1.5)].any()
    assert not galaxy.ivar_L[(GRID > WAVE[2000] + 1) & (GRID < WAVE[2019] - 1)].any()
    assert galaxy.ivar_L[(GRID > WAVE[520]) & (GRID < WAVE[1998])].all()


def test_wavelengths_in_air_become_vacuum(tmp_path):
    path = write_spec(tmp_path / "spec-1-2-3.fits", LOGLAM, line(5006.843, 100), np.ones(4600), vacuum=False)
    (galaxy,) = galaxies_of("sdss-spec", path).values()
    near = abs(GRID - 5008.24) < 20
    centre = (galaxy.flux_L * GRID)[near].sum() / galaxy.flux_L[near].sum()
    assert centre == pytest.approx(5008.240, abs=0.08)


def test_warned_redshift_is_no_label(tmp_path):
    path = write_spec(tmp_path / "spec-1-2-3.fits", LOGLAM, np.ones(4600), np.ones(4600), zwarning=4)
    (galaxy,) = galaxies_of("sdss-spec", path).values()
    assert galaxy.redshift is None and galaxy.zwarn == 4
    assert [r.field for r in rejected("sdss-spec", path)] == ["redshift"]


def test_plate_with_its_redshifts(tmp_path):
    n, loglam = 3, 3.58 + 1e-4 * np.arange(3000)
    primary = fits.PrimaryHDU(np.outer([1, 2, 3], np.ones(3000)).astype(">f4"))
    primary.header.update({"COEFF0": 3.58, "COEFF1": 1e-4, "PLATEID": 266, "MJD": 51602, "VACUUM": True})
    targets = table(
        [
            ("FIBERID", "J", [1, 2, 3]),
            ("RA", "D", [10.0, 20.0, 30.0]),
            ("DEC", "D", [1.0, 2.0, 3.0]),
            ("OBJTYPE", "16A", ["GALAXY", "SKY", "QSO"]),
        ]
    )
    planes = [np.full((n, 3000), v, t) for v, t in ((2, "f4"), (0, "i4"), (0, "i4"), (1, "f4"))]
    (tmp_path / "v5_7_0").mkdir()
    fits.HDUList([primary, *map(fits.ImageHDU, planes), targets]).writeto(tmp_path / "spPlate-0266-51602.fits")
    best = table(
        [
            ("FIBERID", "J", [1, 2, 3]),
            ("Z", "E", [0.1, 0.2, 2.3]),
            ("Z_ERR", "E", [1e-4] * 3),
            ("ZWARNING", "J", [0, 0, 4]),
        ]
    )
    fits.HDUList([fits.PrimaryHDU(), best]).writeto(tmp_path / "v5_7_0" / "spZbest-0266-51602.fits")
    galaxies = galaxies_of("sdss-plate", tmp_path / "spPlate-0266-51602.fits")
    assert list(galaxies) == ["spec-0266-51602-0001", "spec-0266-51602-0003"]  # not the fibre on the sky
    first, third = galaxies.values()
    assert (first.ra, third.dec, third.redshift, third.zwarn) == (10, 3, None, 4)
    assert first.redshift == pytest.approx(0.1)
    inside = (GRID > 10 ** loglam[0] + 1) & (GRID < 10 ** loglam[-1] - 2)
    np.testing.assert_allclose(third.flux_L[inside], 3, rtol=1e-6)


@needs_shared
def test_real_spectra():
    files = sorted(BOSS.glob("spec-*.fits"))
    source = opened("sdss-spec", *files)
    galaxies = galaxies_of("sdss-spec", BOSS / "spec-*.fits")
    assert len(galaxies) == len(files) == 40 and len(source.chunks) == 1
    for path in files:
        with fits.open(path) as file:
            coadd, row = file[1].data, file[2].data[0]
            wave, good = 10 ** np.float64(coadd["loglam"]), (coadd["ivar"] > 0) & (coadd["and_mask"] == 0)
            galaxy = galaxies[path.stem]
            assert galaxy.redshift == pytest.approx(float(row["Z"])) and galaxy.ra == float(row["PLUG_RA"])
            # The flux between 4000 and 9000 A of good samples, by an integral over the samples as they are.
            inside = (wave > 4000) & (wave < 9000)
            expected = np.sum((coadd["flux"] * np.gradient(wave))[inside & good])
            there = (GRID > 4000) & (GRID < 9000) & (galaxy.ivar_L > 0)
            assert np.sum(galaxy.flux_L[there]) * 0.8 == pytest.approx(expected, rel=0.01)
