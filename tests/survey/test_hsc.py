"""The HSC cutout reader: .npz archives and FITS, footprint, bands, zero point, position."""

import re

import numpy as np
import pytest

from mmae.errors import InputError
from mmae.survey.hsc import crop_centre, hsc_source, mask_outside
from mmae.survey.schema import check_galaxy
from tests.survey.files import (
    BANDS,
    FLUXMAG0_27,
    SHARED_GALAXIES,
    needs_shared,
    read_all,
    synthetic_images,
    write_hsc_band,
    write_hsc_object,
)

REAL = SHARED_GALAXIES / "hsc_cosmos_grizy_64_shared.npz"


def write_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


# --- .npz archives ---------------------------------------------------------------------------


@needs_shared
def test_real_cosmos_cutouts():
    source = hsc_source([REAL])
    galaxies, _, rejections = read_all(source)
    with np.load(REAL) as archive:
        image, weight, parent = (archive[key] for key in ("image", "weight", "parent"))
    kept = [i for i in range(len(image))
            if all((weight[i, c] == 0).mean() <= 0.5 for c in range(5))]
    assert len(kept) == 39 and len(rejections) == 5
    assert [g.object_id for g in galaxies] == [f"{REAL.stem}-{i}" for i in kept]
    assert [g.group_id for g in galaxies] == [str(parent[i]) for i in kept]
    for i, galaxy in zip(kept, galaxies, strict=True):
        inside = weight[i] > 0
        np.testing.assert_array_equal(galaxy.image_CHW[inside], image[i][inside])
        assert not galaxy.image_CHW[~inside].any()
        assert image[i][~inside].any()  # they were not zero before
        assert not check_galaxy(galaxy, source.spec, "").rejections
    assert all(r.field == "row" and "outside the footprint" in r.reason for r in rejections)


@needs_shared
@pytest.mark.parametrize(("max_outside", "kept"), [(0.0, 0), (1.0, 44)])
def test_real_cutouts_at_the_ends_of_max_outside(max_outside, kept):
    galaxies, _, rejections = read_all(hsc_source([REAL], max_outside=max_outside))
    assert (len(galaxies), len(rejections)) == (kept, 44 - kept)


def test_outside_is_judged_by_the_worst_band():
    weight = np.ones((5, 4, 4))
    weight[3, :3] = 0
    masked, outside = mask_outside(np.full((5, 4, 4), 7.0), weight)
    assert outside == 0.75
    assert masked[3].sum() == 7 * 4 and masked[:3].sum() == 7 * 3 * 16


def test_nan_outside_is_sky_and_nan_inside_is_set_aside(tmp_path):
    image, weight = synthetic_images(2, 64), np.ones((2, 5, 64, 64), np.float16)
    image[0, 0, 0, 0], weight[0, 0, 0, 0] = np.nan, 0
    image[1, 0, 0, 0] = np.nan
    source = hsc_source([write_npz(tmp_path / "a.npz", image=image, weight=weight)])
    galaxies, _, _ = read_all(source)
    checked = [check_galaxy(g, source.spec, "") for g in galaxies]
    assert checked[0].galaxy is not None and not checked[0].rejections
    assert checked[1].galaxy is None
    assert [r.field for r in checked[1].rejections] == ["image", "row"]


def test_rows_of_several_chunks_and_optional_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("mmae.survey.hsc.NPZ_CHUNK_ROWS", 3)
    image = synthetic_images(7, 66)
    path = write_npz(tmp_path / "a.npz", image=image, bands=np.array(["HSC-G", "R", "i", "z", "y"]),
                     object_id=np.arange(70, 77), ra=np.linspace(1, 2, 7), dec=np.full(7, np.nan))
    source = hsc_source([path])
    galaxies, _, rejections = read_all(source)
    assert len(source.chunks) == 3 and not rejections
    for i, galaxy in enumerate(galaxies):
        np.testing.assert_array_equal(galaxy.image_CHW, image[i, :, 1:65, 1:65])
        assert (galaxy.object_id, galaxy.dec, galaxy.group_id) == (str(70 + i), None, None)
        assert galaxy.ra == pytest.approx(1 + i / 6)


def test_a_corrupt_place_of_an_archive_loses_no_row_silently(tmp_path):
    # Compressed noise: a byte in the middle breaks the stream there, the rows before it are whole.
    path = write_npz(tmp_path / "a.npz", image=synthetic_images(6, 64))
    source = hsc_source([path])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    galaxies, _, rejections = read_all(source)
    assert len(galaxies) >= 1 and len(rejections) >= 1
    assert len(galaxies) + len(rejections) == 6
    assert rejections[-1].where == f"{path}, row 5" and rejections[-1].field == "row"


@pytest.mark.parametrize(("arrays", "says"), [
    ({"image": np.ones((2, 5, 64, 64)), "bands": np.array(list("yzirg"))},
     "bands is y,z,i,r,g, expected the bands g,r,i,z,y, in this order.*Reorder"),
    ({"image": np.ones((2, 5, 64, 64)), "bands": np.array(list("griz"))}, "bands is g,r,i,z, exp"),
    ({"image": np.ones((0, 5, 64, 64))}, "with N > 0"),
    ({"image": np.ones((2, 4, 64, 64))}, r"image has shape \(2, 4, 64, 64\)"),
    ({"image": np.ones((2, 5, 48, 64))}, "48 x 64 pixels, at least 64 x 64"),
    ({"pictures": np.ones(3)}, "key image is missing, found pictures"),
    ({"image": np.ones((2, 5, 64, 64)), "weight": np.ones((2, 64, 64))}, "weight has shape"),
    ({"image": np.ones((2, 5, 64, 64)), "parent": np.ones(3)}, "parent has shape"),
])
def test_faults_of_a_whole_archive(tmp_path, arrays, says):
    path = write_npz(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=says) as caught:
        hsc_source([path])
    assert str(path) in str(caught.value)


def test_files_that_are_not_there_or_not_cutouts(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        hsc_source([tmp_path / "none.npz"])
    with pytest.raises(InputError, match="no HSC cutouts"):
        hsc_source([tmp_path])  # an empty folder
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt: no HSC cutouts"):
        hsc_source([tmp_path / "a.txt"])
    (tmp_path / "a.npz").write_text("x")
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz archive"):
        hsc_source([tmp_path / "a.npz"])
    with pytest.raises(InputError, match="no cutouts given"):
        hsc_source([])
    with pytest.raises(InputError, match="max_outside is 1.5"):
        hsc_source([tmp_path / "a.npz"], max_outside=1.5)


# --- FITS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_filter", [True, False])
def test_bands_of_one_file_are_put_in_order_by_name(tmp_path, by_filter):
    image = synthetic_images(1, 64)[0]
    order = [4, 0, 3, 1, 2]
    write_hsc_object(tmp_path / "gal7.fits", image[order], "".join(BANDS[i] for i in order),
                     by_filter=by_filter)
    source = hsc_source([tmp_path / "gal7.fits"])
    (galaxy,), _, rejections = read_all(source)
    assert not rejections
    assert galaxy.object_id == "gal7"
    np.testing.assert_allclose(galaxy.image_CHW, image, rtol=1e-6)
    assert (galaxy.ra, galaxy.dec) == pytest.approx((150.1, 2.2), abs=1e-7)
    assert not check_galaxy(galaxy, source.spec, "").rejections


@pytest.mark.parametrize(("pattern", "object_id"), [
    ("gal7_{b}.fits", "gal7"), ("2-cutout-HSC-{B}-9813-pdr2_wide.fits", "2-cutout-9813-pdr2_wide"),
    ("i-zw-18.HSC-{B}.fits.gz", "i-zw-18")])
def test_files_per_band_are_brought_together(tmp_path, pattern, object_id):
    image = synthetic_images(1, 64)[0]
    for band, plane in zip(BANDS, image, strict=True):
        write_hsc_band(tmp_path / pattern.format(b=band, B=band.upper()), band, plane)
    (galaxy,), _, rejections = read_all(hsc_source([tmp_path]))  # a folder stands for its files
    assert not rejections
    assert galaxy.object_id == object_id
    np.testing.assert_allclose(galaxy.image_CHW, image, rtol=1e-6)


def test_objects_of_one_name_in_two_folders_stay_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for band, plane in zip(BANDS, synthetic_images(1, 64)[0], strict=True):
            write_hsc_band(tmp_path / folder / f"gal_{band}.fits", band, plane)
    galaxies, _, _ = read_all(hsc_source([tmp_path / "a", tmp_path / "b"]))
    assert [g.object_id for g in galaxies] == ["a/gal", "b/gal"]


def test_flux_is_brought_to_the_zero_point_of_27(tmp_path):
    # 100 counts where FLUXMAG0 is that of 24.5 mag are 19.5 mag, so 1000 counts at 27.0.
    for band in BANDS:
        write_hsc_band(tmp_path / f"gal_{band}.fits", band, np.full((64, 64), 100.0),
                       fluxmag0=10 ** (0.4 * 24.5) if band == "i" else FLUXMAG0_27)
    (galaxy,), _, _ = read_all(hsc_source([tmp_path]))
    np.testing.assert_allclose(galaxy.image_CHW[2], 1000.0, rtol=1e-6)
    np.testing.assert_allclose(galaxy.image_CHW[[0, 1, 3, 4]], 100.0, rtol=1e-6)


def test_larger_cutouts_are_cropped_and_keep_their_sky_position(tmp_path):
    image = synthetic_images(1, 101)[0]
    write_hsc_object(tmp_path / "big.fits", image)
    (galaxy,), _, _ = read_all(hsc_source([tmp_path / "big.fits"]))
    np.testing.assert_allclose(galaxy.image_CHW, image[:, 18:82, 18:82], rtol=1e-6)
    # 64 of 101 pixels cannot be centred: half a pixel lower left, which is east and south.
    assert galaxy.dec == pytest.approx(2.2 - 0.084 / 3600, abs=1e-8)
    assert galaxy.ra == pytest.approx(150.1 + 0.084 / 3600 / np.cos(np.radians(2.2)), abs=1e-8)


def test_crop_centre_of_an_even_margin_is_symmetric():
    image = np.arange(66 * 68.0).reshape(66, 68)
    np.testing.assert_array_equal(crop_centre(image, 64), image[1:65, 2:66])


def _remove_z(folder):
    (folder / "gal_z.fits").unlink()


def _shrink(folder):
    for band in BANDS:
        write_hsc_band(folder / f"gal_{band}.fits", band, np.ones((63, 64)))


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
@pytest.mark.parametrize(("spoil", "says"), [
    (_remove_z, "band z is missing, found g,i,r,y"),
    (_shrink, r"\(63, 64\) pixels, at least 64 x 64"),
    (_differ, "the bands differ in shape"), (_no_zero_point, "band r has no zero point"),
    (_other_scale, "0.2620 arcsec per pixel, not 0.168"),
    (_elsewhere, "3.60 arcsec from each other"),
    (_twice, "band r is there twice: in gal_r.fits and in gal_z.fits"),
    (_unknown_band, "gal.fits: an image of no known band"),
    (_truncated, "gal_r.fits cannot be read"), (_text, "gal_r.fits cannot be read")])
def test_an_unusable_object_is_set_aside_with_the_reason(tmp_path, spoil, says):
    image = synthetic_images(1, 64)[0]
    for band, plane in zip(BANDS, image, strict=True):
        write_hsc_band(tmp_path / f"gal_{band}.fits", band, plane)
    write_hsc_object(tmp_path / "other.fits", image)
    spoil(tmp_path)
    galaxies, _, rejections = read_all(hsc_source([tmp_path]))
    assert [g.object_id for g in galaxies] == ["other"]
    (rejection,) = rejections
    assert (rejection.object_id, rejection.field) == ("gal", "row")
    assert re.search(says, rejection.reason), rejection.reason
    assert str(tmp_path / "gal") in rejection.where
