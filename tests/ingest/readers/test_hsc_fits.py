"""HSC cutouts in FITS files: bands, zero point, position, and unusable objects."""

import re

import numpy as np
import pytest
from astropy.io import fits

from mmae.ingest.readers.hsc import hsc_source
from mmae.survey.schema import check_galaxy
from tests.ingest.files import BANDS, FLUXMAG0_27, read_all, synthetic_images, write_hsc_band, write_hsc_object


@pytest.mark.parametrize("by_filter", [True, False])
def test_bands_of_one_file_are_sorted_by_name(tmp_path, by_filter):
    image = synthetic_images(1, 64)[0]
    order = [4, 0, 3, 1, 2]
    write_hsc_object(tmp_path / "gal7.fits", image[order], "".join(BANDS[i] for i in order), by_filter=by_filter)
    source = hsc_source([tmp_path / "gal7.fits"])
    (galaxy,), _, rejections = read_all(source)
    assert not rejections
    assert galaxy.object_id == "gal7"
    np.testing.assert_allclose(galaxy.image_CHW, image, rtol=1e-6)
    assert (galaxy.ra, galaxy.dec) == pytest.approx((150.1, 2.2), abs=1e-7)
    assert not check_galaxy(galaxy, source.spec, "").rejections


@pytest.mark.parametrize(
    ("pattern", "object_id"),
    [
        ("gal7_{b}.fits", "gal7"),
        ("2-cutout-HSC-{B}-9813-pdr2_wide.fits", "2-cutout-9813-pdr2_wide"),
        ("i-zw-18.HSC-{B}.fits.gz", "i-zw-18"),
    ],
)
def test_files_per_band_are_grouped(tmp_path, pattern, object_id):
    image = synthetic_images(1, 64)[0]
    for band, plane in zip(BANDS, image, strict=True):
        write_hsc_band(tmp_path / pattern.format(b=band, B=band.upper()), band, plane)
    (galaxy,), _, rejections = read_all(hsc_source([tmp_path]))  # a folder means its files
    assert not rejections
    assert galaxy.object_id == object_id
    np.testing.assert_allclose(galaxy.image_CHW, image, rtol=1e-6)


def test_objects_of_one_name_in_two_folders_are_two_objects(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for band, plane in zip(BANDS, synthetic_images(1, 64)[0], strict=True):
            write_hsc_band(tmp_path / folder / f"gal_{band}.fits", band, plane)
    galaxies, _, _ = read_all(hsc_source([tmp_path / "a", tmp_path / "b"]))
    assert [g.object_id for g in galaxies] == ["a/gal", "b/gal"]


def test_flux_is_scaled_to_the_zero_point_of_27(tmp_path):
    # 100 counts with FLUXMAG0 of 24.5 mag are 19.5 mag, so 1000 counts at 27.0.
    for band in BANDS:
        write_hsc_band(
            tmp_path / f"gal_{band}.fits",
            band,
            np.full((64, 64), 100.0),
            fluxmag0=10 ** (0.4 * 24.5) if band == "i" else FLUXMAG0_27,
        )
    (galaxy,), _, _ = read_all(hsc_source([tmp_path]))
    np.testing.assert_allclose(galaxy.image_CHW[2], 1000.0, rtol=1e-6)
    np.testing.assert_allclose(galaxy.image_CHW[[0, 1, 3, 4]], 100.0, rtol=1e-6)


def test_larger_cutouts_are_cropped_and_keep_their_sky_position(tmp_path):
    image = synthetic_images(1, 101)[0]
    write_hsc_object(tmp_path / "big.fits", image)
    (galaxy,), _, _ = read_all(hsc_source([tmp_path / "big.fits"]))
    np.testing.assert_allclose(galaxy.image_CHW, image[:, 18:82, 18:82], rtol=1e-6)
    # The crop of 64 from 101 pixels is half a pixel to the lower left, which is east and south.
    assert galaxy.dec == pytest.approx(2.2 - 0.084 / 3600, abs=1e-8)
    assert galaxy.ra == pytest.approx(150.1 + 0.084 / 3600 / np.cos(np.radians(2.2)), abs=1e-8)


def test_a_cutout_that_ends_before_64_pixels_is_completed_by_missing_pixels(tmp_path):
    image = synthetic_images(1, 64)[0]
    write_hsc_object(tmp_path / "edge.fits", image[:, :, 10:54])
    (galaxy,), _, _ = read_all(hsc_source([tmp_path / "edge.fits"]))
    np.testing.assert_allclose(galaxy.image_CHW[:, :, 10:54], image[:, :, 10:54], rtol=1e-6)
    assert np.isnan(galaxy.image_CHW[:, :, :10]).all() and np.isnan(galaxy.image_CHW[:, :, 54:]).all()
    assert (galaxy.ra, galaxy.dec) == pytest.approx((150.1, 2.2), abs=1e-7)


def test_masks_and_inverse_variances_of_each_band(tmp_path):
    image = synthetic_images(1, 70)[0]
    ivar, mask = np.ones(image.shape, np.float32), np.zeros(image.shape, np.int32)
    for c, band in enumerate(BANDS):
        ivar[c, 20 + c, 30] = 0
        mask[c, 40, 10 + c] = 256 + 2
        mask[c, 41] = 2  # another bit
        write_hsc_band(tmp_path / f"gal_{band}.fits", band, image[c])
        with fits.open(tmp_path / f"gal_{band}.fits", mode="update") as file:
            file["MASK"].data, file["MASK"].header["HIERARCH MP_NO_DATA"] = mask[c], 8
            file.append(fits.ImageHDU(ivar[c], name="IVAR"))
    (galaxy,), _, _ = read_all(hsc_source([tmp_path]))
    expected = np.where((ivar > 0) & (mask < 256), image, np.nan)[:, 3:67, 3:67]
    np.testing.assert_allclose(galaxy.image_CHW, expected, rtol=1e-6)
    with fits.open(tmp_path / "gal_r.fits", mode="update") as file:
        file["IVAR"].data = np.ones((60, 70))
    _, _, (rejection,) = read_all(hsc_source([tmp_path]))
    assert "ivar" in rejection.reason and "(60, 70)" in rejection.reason


def _remove_z(folder):
    (folder / "gal_z.fits").unlink()


def _shrink(folder):
    for band in BANDS:
        write_hsc_band(folder / f"gal_{band}.fits", band, np.ones((31, 64)))


def _differ(folder):
    write_hsc_band(folder / "gal_r.fits", "r", np.ones((70, 70)))


def _no_zero_point(folder):
    write_hsc_band(folder / "gal_r.fits", "r", np.ones((64, 64)), fluxmag0=None)


def _other_scale(folder):
    write_hsc_band(folder / "gal_r.fits", "r", np.ones((64, 64)), scale=0.262)


def _elsewhere(folder):
    write_hsc_band(folder / "gal_r.fits", "r", np.ones((64, 64)), ra=150.101)


def _twice(folder):
    write_hsc_band(folder / "gal_z.fits", "r", np.ones((64, 64)))


def _unknown_band(folder):
    (folder / "gal_z.fits").unlink()
    write_hsc_object(folder / "gal_z.fits", np.ones((1, 64, 64)), "u")
    (folder / "gal_z.fits").rename(folder / "gal.fits")


def _truncated(folder):
    content = (folder / "gal_r.fits").read_bytes()
    (folder / "gal_r.fits").write_bytes(content[:9000])


def _text(folder):
    (folder / "gal_r.fits").write_text("<html>")


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_remove_z, "z .*g,i,r,y"),
        (_shrink, "52% .*50%"),
        (_differ, r"\(70, 70\)"),
        (_no_zero_point, "band r .*FLUXMAG0"),
        (_other_scale, "0.2620 .*0.168"),
        (_elsewhere, "3.60 arcsec"),
        (_twice, "band r.* gal_r.fits .*gal_z.fits"),
        (_unknown_band, "gal.fits: .*FILTER"),
        (_truncated, "gal_r.fits "),
        (_text, "gal_r.fits "),
    ],
)
def test_an_unusable_object_is_rejected_with_the_reason(tmp_path, damage, named):
    image = synthetic_images(1, 64)[0]
    for band, plane in zip(BANDS, image, strict=True):
        write_hsc_band(tmp_path / f"gal_{band}.fits", band, plane)
    write_hsc_object(tmp_path / "other.fits", image)
    damage(tmp_path)
    galaxies, _, rejections = read_all(hsc_source([tmp_path]))
    assert [g.object_id for g in galaxies] == ["other"]
    (rejection,) = rejections
    assert (rejection.object_id, rejection.field) == ("gal", "row")
    assert re.search(named, rejection.reason), rejection.reason
    assert str(tmp_path / "gal") in rejection.where
