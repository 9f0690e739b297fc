"""The DESI coadd reader: arm joining, labels, fibres, and damaged files."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.astro.desi import join_arms
from mmae.core.errors import InputError
from mmae.ingest.readers.desi import desi_source
from mmae.survey.schema import SurveySpec, check_galaxy
from tests.ingest.files import ARM_WAVES, SHARED_GALAXIES, needs_shared, read_all, write_coadd, write_redrock

# astropy warns of the truncation that the reader reports.
pytestmark = pytest.mark.filterwarnings("ignore:File may have been truncated")

GRID_L = SurveySpec().wavelength_L()
QSO_COADD = SHARED_GALAXIES / "desi_coadd-1-80693-thru20210204.fits"
QSO_CATALOGUE = SHARED_GALAXIES / "desi_qso_cat_fuji_dark_tile.fits.gz"
GALAXY_COADD = SHARED_GALAXIES / "desi_coadd-4-80613-thru20210324.fits"
GALAXY_REDROCK = SHARED_GALAXIES / "desi_redrock-4-80613-thru20210324.fits"


# --- joining the arms ------------------------------------------------------------------------


def join(fluxes, ivars, masks=None, waves=None):
    waves = list((waves or ARM_WAVES).values())
    return join_arms(waves, fluxes, ivars, masks or [None] * len(waves), GRID_L)


def arms(value):
    return [np.full(len(wave), value, np.float32) for wave in ARM_WAVES.values()]


@settings(max_examples=30, deadline=None)
@given(
    flux=st.floats(-1e3, 1e3, width=32),
    ivars=st.tuples(*[st.floats(0.015625, 1e3, width=32)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_constant_flux_is_preserved_and_ivar_adds(flux, ivars, seed):
    rng = np.random.default_rng(seed)
    masks = [(rng.random(len(w)) < 0.2).astype(np.int32) for w in ARM_WAVES.values()]
    flux_L, ivar_L = join(
        arms(flux), [np.full(len(w), v) for w, v in zip(ARM_WAVES.values(), ivars, strict=True)], masks
    )
    expected_L = np.zeros(len(GRID_L))
    # B covers samples 0..2750, R 2700..5025, Z 4900..7780: the published DESI arms.
    for (start, stop), ivar, mask in zip([(0, 2751), (2700, 5026), (4900, 7781)], ivars, masks, strict=True):
        expected_L[start:stop] += ivar * (mask == 0)
    np.testing.assert_allclose(ivar_L, expected_L, rtol=1e-6)
    np.testing.assert_allclose(flux_L[expected_L > 0], flux, rtol=1e-6)
    assert not flux_L[expected_L == 0].any()


def test_masked_and_bad_pixels_have_no_weight_in_the_overlap():
    fluxes, ivars = arms(1.0), arms(2.0)
    masks = [np.zeros(len(wave), np.uint32) for wave in ARM_WAVES.values()]
    fluxes[0][2710], masks[0][2710] = 1e6, 4  # masked in B, good in R
    fluxes[0][2720], ivars[0][2720] = np.nan, 0  # no weight in B, good in R
    fluxes[0][2730] = 4.0  # good in both: (2*4 + 2*1) / 4
    flux_L, ivar_L = join(fluxes, ivars, masks)
    assert (flux_L[2710], ivar_L[2710]) == (1.0, 2.0)
    assert (flux_L[2720], ivar_L[2720]) == (1.0, 2.0)
    assert (flux_L[2730], ivar_L[2730]) == (2.5, 4.0)


def test_invalid_values_in_the_overlap_become_nan():
    fluxes, ivars = arms(1.0), arms(2.0)
    ivars[0][2710] = -1.0
    fluxes[0][2720] = np.nan
    flux_L, ivar_L = join(fluxes, ivars)
    assert np.isnan(ivar_L[2710]) and np.isnan(flux_L[2720])
    assert np.isnan(ivar_L).sum() == 1 and np.isnan(flux_L).sum() == 2


@pytest.mark.parametrize("shift", [0.02, 0.4, -0.8, np.nan])
def test_arms_off_the_grid_are_refused(shift):
    with pytest.raises(InputError):
        join(arms(1.0), arms(1.0), waves={a: w + shift for a, w in ARM_WAVES.items()})


def test_rounded_wavelengths_are_accepted():
    flux_L, _ = join(arms(3.0), arms(1.0), waves={a: (w + 0.004).astype(np.float32) for a, w in ARM_WAVES.items()})
    assert (flux_L == 3.0).all()


@needs_shared
@pytest.mark.parametrize("coadd", [QSO_COADD, GALAXY_COADD])
def test_real_coadds_match_an_independent_weighted_mean(coadd):
    galaxies, _, _ = read_all(desi_source([coadd], []))
    with fits.open(coadd) as file:
        for row, galaxy in enumerate(galaxies):
            for sample in [0, 2699, *range(2700, 2751), 2751, 4899, *range(4900, 5026), 5026, 7780]:
                values, weights = [], []
                for arm in "BRZ":  # find the sample by its wavelength, not by an offset
                    hit = np.abs(file[f"{arm}_WAVELENGTH"].data - GRID_L[sample]) < 0.01
                    good = file[f"{arm}_MASK"].data[row][hit] == 0
                    values += list(file[f"{arm}_FLUX"].data[row][hit][good])
                    weights += list(file[f"{arm}_IVAR"].data[row][hit][good])
                assert galaxy.ivar_L[sample] == pytest.approx(sum(weights), rel=1e-6)
                assert galaxy.flux_L[sample] == pytest.approx(np.average(values, weights=weights), rel=1e-5, abs=1e-6)
            assert (galaxy.flux_L.dtype, galaxy.ivar_L.dtype) == (np.float32, np.float32)


# --- real files ------------------------------------------------------------------------------


@needs_shared
def test_real_files_with_their_redshifts():
    source = desi_source([QSO_COADD, GALAXY_COADD], [QSO_CATALOGUE, GALAXY_REDROCK])
    galaxies, _, rejections = read_all(source)
    assert not rejections
    z = {g.targetid: g.redshift for g in galaxies}
    assert len(z) == 6
    assert z[39633345008634465] == pytest.approx(0.36874355)  # redrock
    assert z[39633559467592484] == pytest.approx(3.03564924)  # quasar catalogue, no ZWARN
    galaxy = next(g for g in galaxies if g.targetid == 39633345008634465)
    assert galaxy.morphtype == "REX"
    assert (galaxy.ra, galaxy.dec) == pytest.approx((105.48977452, 56.66930006))
    quasar = next(g for g in galaxies if g.targetid == 39633559467592484)
    assert (quasar.morphtype, quasar.redshift_err) == (None, None)
    for g in galaxies:
        checked = check_galaxy(g, source.spec, "real")
        assert checked.galaxy is not None and not checked.rejections


@needs_shared
def test_line_of_a_real_galaxy_is_at_its_redshift():
    (galaxy,), _, _ = read_all(desi_source([GALAXY_COADD], [GALAXY_REDROCK]))
    observed = 5008.24 * (1 + galaxy.redshift)  # [OIII], vacuum
    window = np.abs(GRID_L - observed) < 60
    peak = GRID_L[window][np.argmax(galaxy.flux_L[window])]
    assert abs(peak - observed) < 3


# --- labels ----------------------------------------------------------------------------------


def test_only_redshifts_without_warning_are_labels(tmp_path):
    ids = np.arange(10, 16)
    coadd = write_coadd(tmp_path / "coadd-1.fits", ids)
    redrock = write_redrock(
        tmp_path / "redrock-1.fits",
        ids[:5],
        [0.5, 0.6, np.nan, -0.001, 0.0002],
        ZERR=np.array([1e-4, 1e-4, 1e-4, 1e-4, np.nan]),
        ZWARN=np.array([0, 4, 0, 0, 0]),
        SPECTYPE=np.array([b"GALAXY", b"GALAXY", b"QSO", b"STAR", b"STAR"]),
    )
    source = desi_source([coadd], [redrock])
    galaxies, _, rejections = read_all(source)
    assert [g.redshift for g in galaxies] == [0.5, None, None, -0.001, 0.0002, None]
    assert [g.redshift_err for g in galaxies] == [1e-4, None, 1e-4, 1e-4, None, None]
    assert [(r.object_id, r.field) for r in rejections] == [("11", "redshift")]
    assert "ZWARN=4" in rejections[0].reason
    later = [r for g in galaxies for r in check_galaxy(g, source.spec, "").rejections]
    assert [(r.object_id, r.field) for r in later] == [("13", "redshift")]  # a blueshifted star


def test_the_best_redshift_of_a_target_is_used_in_any_order(tmp_path):
    coadd = write_coadd(tmp_path / "coadd.fits", np.array([7]))
    fits_of_target = [(0.1, 0, 50.0), (0.2, 0, 90.0), (0.3, 4, 999.0)]
    tables = [
        write_redrock(tmp_path / f"{z}.fits", [7], [z], ZWARN=np.array([warn]), DELTACHI2=np.array([chi2]))
        for z, warn, chi2 in fits_of_target
    ]
    for order in (tables, tables[::-1]):
        galaxies, _, rejections = read_all(desi_source([coadd], order))
        assert galaxies[0].redshift == 0.2 and not rejections


def test_labels_are_assigned_by_targetid_in_all_chunks(tmp_path):
    ids = np.random.default_rng(0).permutation(np.arange(100, 107))
    coadd = write_coadd(tmp_path / "coadd.fits", ids)
    catalogue = write_redrock(tmp_path / "cat.fits", np.arange(90, 120), np.arange(90, 120) / 100, name="QSO_CAT")
    source = desi_source([coadd], [catalogue], chunk_rows=3)
    galaxies, _, _ = read_all(source)
    assert len(source.chunks) == 3
    assert [g.targetid for g in galaxies] == list(ids)
    assert [g.redshift for g in galaxies] == list(ids / 100)


def test_one_target_on_two_tiles_is_one_group(tmp_path):
    coadds = [write_coadd(tmp_path / f"{tile}.fits", np.array([7])) for tile in "ab"]
    galaxies, _, _ = read_all(desi_source(coadds, []))
    assert len(galaxies) == 2 and {g.group_id for g in galaxies} == {"7"}


# --- fibres and values -----------------------------------------------------------------------


def test_fibres_without_a_target_are_rejected(tmp_path):
    coadd = write_coadd(
        tmp_path / "a.fits",
        np.array([1, 2, 3, -4]),
        OBJTYPE=np.array([b"TGT", b"SKY", b"BAD", b"TGT"]),
        MORPHTYPE=np.array([b"EXP ", b"", b"", b""]),
    )
    galaxies, _, rejections = read_all(desi_source([coadd], []))
    assert [(g.targetid, g.morphtype) for g in galaxies] == [(1, "EXP")]
    assert [(r.object_id, r.field) for r in rejections] == [("2", "row"), ("3", "row"), ("-4", "row")]
    assert "SKY" in rejections[0].reason


def test_all_zero_ivar_and_nan_flux_are_rejected(tmp_path):
    for name, values in (("zero", {"ivar": 0.0}), ("nan", {"flux": np.nan})):
        source = desi_source([write_coadd(tmp_path / f"{name}.fits", np.array([1]), **values)], [])
        (galaxy,), _, _ = read_all(source)
        checked = check_galaxy(galaxy, source.spec, "")
        assert checked.galaxy is None
        assert [r.field for r in checked.rejections] == ["spectrum", "row"]


def test_compressed_masks_and_absent_masks(tmp_path):
    packed = write_coadd(tmp_path / "a.fits", np.array([1, 2]), compress_masks=True)
    bare = write_coadd(tmp_path / "b.fits", np.array([3]), leave_out=("B_MASK", "R_MASK", "Z_MASK"))
    galaxies, _, rejections = read_all(desi_source([packed, bare], []))
    assert [g.targetid for g in galaxies] == [1, 2, 3] and not rejections
    assert all((g.flux_L == 1.0).all() for g in galaxies)


# --- damaged files ----------------------------------------------------------------


def gzipped(path):
    """A gzipped copy cut in the middle."""
    cut = path.with_suffix(".fits.gz")
    content = gzip.compress(path.read_bytes())
    cut.write_bytes(content[: len(content) // 2])
    return cut


def cut_at(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


@pytest.mark.parametrize("fault", ["first half", "last rows", "text", "empty", "gzip", "no arm", "table"])
def test_an_unreadable_file_is_rejected_and_the_others_are_read(tmp_path, fault):
    good = write_coadd(tmp_path / "good.fits", np.array([1]))
    bad = write_coadd(tmp_path / "bad.fits", np.arange(20, 40), leave_out=("Z_MASK",))
    if fault == "first half":
        cut_at(bad, 0.5)
    elif fault == "last rows":
        cut_at(bad, 0.97)
    elif fault == "text":
        bad.write_text("<html>not found</html>")
    elif fault == "empty":
        bad.write_bytes(b"")
    elif fault == "gzip":
        bad = gzipped(bad)
    elif fault == "no arm":
        write_coadd(bad, np.arange(20, 40), leave_out=("Z_FLUX",))
    else:
        write_redrock(bad, [1], [0.5])
    source = desi_source([bad, good], [])
    galaxies, _, rejections = read_all(source)
    assert [g.targetid for g in galaxies] == [1]
    assert [(r.object_id, r.field, r.where) for r in rejections] == [(bad.name, "row", str(bad))]
    assert source.provenance["unreadable_files"] == [bad.name]
    with pytest.raises(InputError, match=bad.name):
        desi_source([bad], [])


def test_a_file_damaged_after_the_source_was_created_is_rejected(tmp_path):
    path = write_coadd(tmp_path / "a.fits", np.arange(6))
    source = desi_source([path], [], chunk_rows=4)
    cut_at(path, 0.5)
    galaxies, _, rejections = read_all(source)
    assert not galaxies
    assert [r.where for r in rejections] == [f"{path}, rows 0 to 3", f"{path}, rows 4 to 5"]
    assert rejections[0].reason.startswith("4 ")


def test_wrong_grid_names_file_and_arm(tmp_path):
    waves = {**ARM_WAVES, "R": ARM_WAVES["R"] + 0.3}
    path = write_coadd(tmp_path / "log.fits", np.array([1]), waves=waves)
    with pytest.raises(InputError, match=r"log\.fits: R_WAVELENGTH"):
        desi_source([path], [])


def test_invalid_arguments_are_refused(tmp_path):
    coadd = write_coadd(tmp_path / "coadd.fits", np.array([1]))
    with pytest.raises(InputError, match=r"none\.fits"):
        desi_source([coadd, tmp_path / "none.fits"], [])
    with pytest.raises(InputError, match=r"none\.fits"):
        desi_source([coadd], [tmp_path / "none.fits"])
    with pytest.raises(InputError, match="desi: "):
        desi_source([], [])
    with pytest.raises(InputError, match=r"coadd\.fits: .*TARGETID and Z"):
        desi_source([coadd], [coadd])
    other = write_redrock(tmp_path / "other.fits", [5], [0.5])
    with pytest.raises(InputError, match=r" 1 targets .*other\.fits"):
        desi_source([coadd], [other])
    other.write_text("no FITS")
    with pytest.raises(InputError, match=r"other\.fits"):
        desi_source([coadd], [other])
