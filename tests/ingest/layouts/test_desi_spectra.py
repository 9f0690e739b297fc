"""DESI's spectra-*.fits with several exposures, redrock and zbest files, and the coadds of all releases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mmae.astro.desi import join_arms
from mmae.ingest.readers.desi import desi_source
from mmae.survey.schema import SurveySpec
from tests.ingest.files import ARM_WAVES, SHARED_GALAXIES, needs_shared, read_all, write_coadd, write_redrock
from tests.ingest.sources.read import galaxies_of, opened, rejected, table

GRID = SurveySpec().wavelength_L()


def write_exposures(path: Path, targetid: list[int], seed: int = 0, arms: str = "BRZ", **columns) -> dict:
    """Exposures of targets; the flux, ivar and mask of each arm."""
    rng, n = np.random.default_rng(seed), len(targetid)
    extra = [(name, "J" if np.asarray(v).dtype.kind == "i" else "3A", v) for name, v in columns.items()]
    positions = [("TARGET_RA", "D", np.array(targetid) * 1.0), ("TARGET_DEC", "D", np.full(n, -1.0))]
    fibermap = table([("TARGETID", "K", targetid), *positions, *extra], "FIBERMAP")
    hdus, content = [fits.PrimaryHDU(), fibermap], {}
    for arm in arms:
        wave = ARM_WAVES[arm]
        flux = rng.normal(5, 1, (n, len(wave))).astype("f4")
        ivar = rng.uniform(0.5, 2, (n, len(wave))).astype("f4")
        mask = (rng.uniform(size=flux.shape) < 0.02).astype("i4")
        flux[mask > 0] = np.nan
        content[arm] = flux, ivar, mask
        for part, values in (("WAVELENGTH", wave), ("FLUX", flux), ("IVAR", ivar), ("MASK", mask)):
            hdus.append(fits.ImageHDU(values, name=f"{arm}_{part}"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return content


def weighted(content: dict, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """All exposures and arms at once: the inverse-variance mean of all samples at one wavelength."""
    arms = [arm for arm in content for _ in rows]
    parts = [tuple(v[row] for v in content[arm]) for arm in content for row in rows]
    flux, ivar, mask = zip(*parts, strict=True)
    return join_arms([ARM_WAVES[arm] for arm in arms], flux, ivar, mask, GRID)


def test_exposures_of_a_target_are_added(tmp_path):
    path = tmp_path / "spectra-sv3-dark-10016.fits"
    content = write_exposures(
        path, [7, 9, 7, 7, 11], FIBERSTATUS=np.array([0, 0, 8, 512, 512]), OBJTYPE=["TGT"] * 4 + ["SKY"]
    )
    galaxies = galaxies_of("desi-spectra", path)
    assert list(galaxies) == ["7", "9"]  # not the sky
    for name, rows in (("7", [0, 2]), ("9", [1])):  # exposure 3 has a bad fibre, 2 a restricted one
        flux, ivar = weighted(content, rows)
        np.testing.assert_allclose(galaxies[name].ivar_L, ivar, rtol=1e-5)
        np.testing.assert_allclose(galaxies[name].flux_L, flux, rtol=1e-4, atol=1e-5)
    assert galaxies["7"].targetid == 7 and galaxies["7"].ra == 7.0
    assert [r.reason for r in rejected("desi-spectra", path)] == ["OBJTYPE is SKY: not a target"]


def test_an_arm_may_be_absent(tmp_path):
    content = write_exposures(tmp_path / "spectra-1.fits", [3, 3], arms="RZ")
    (galaxy,) = galaxies_of("desi-spectra", tmp_path / "spectra-1.fits").values()
    flux, ivar = weighted(content, [0, 1])
    np.testing.assert_allclose(galaxy.ivar_L, ivar, rtol=1e-5)
    assert not galaxy.ivar_L[GRID < 5759].any()


@pytest.mark.parametrize("extension", ["REDSHIFTS", "ZBEST"])
def test_redshifts_of_redrock_and_zbest(tmp_path, extension):
    write_exposures(tmp_path / "spectra-1.fits", [3, 4, 4, 5])
    redshifts = write_redrock(
        tmp_path / "z.fits",
        np.array([3, 4]),
        np.array([0.5, 0.6]),
        extension,
        ZERR=np.full(2, 1e-4),
        ZWARN=np.array([0, 4]),
    )
    source = opened("desi-spectra", tmp_path / "spectra-1.fits", redshifts=[redshifts])
    galaxies, _, rejections = read_all(source)
    assert [(g.redshift, g.zwarn) for g in galaxies] == [(0.5, 0), (None, 4), (None, None)]
    assert [r.field for r in rejections] == ["redshift"]
    write_coadd(tmp_path / "coadd-1.fits", np.array([3, 4]))
    assert [g.redshift for g in read_all(desi_source([tmp_path / "coadd-1.fits"], [redshifts]))[0]] == [0.5, None]


@needs_shared
def test_a_real_coadd_is_read_as_by_the_reader_of_coadds():
    path = SHARED_GALAXIES / "desi_coadd-4-80613-thru20210324.fits"
    redrock = SHARED_GALAXIES / "desi_redrock-4-80613-thru20210324.fits"
    (expected,), _, _ = read_all(desi_source([path], [redrock]))
    (galaxy,), _, _ = read_all(opened("desi-spectra", path, redshifts=[redrock]))
    assert (galaxy.object_id, galaxy.redshift, galaxy.ra) == (expected.object_id, expected.redshift, expected.ra)
    np.testing.assert_allclose(galaxy.ivar_L, expected.ivar_L, rtol=1e-5)
    np.testing.assert_allclose(galaxy.flux_L, expected.flux_L, rtol=1e-4, atol=1e-4)
