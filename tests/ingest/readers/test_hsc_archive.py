"""HSC cutouts in .npz archives: footprint, bands, optional keys, and archives that are damaged."""

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.ingest.readers.hsc import hsc_source
from mmae.survey.schema import check_galaxy
from tests.ingest.files import SHARED_GALAXIES, needs_shared, read_all, synthetic_images

REAL = SHARED_GALAXIES / "hsc_cosmos_grizy_64_shared.npz"


def write_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


@needs_shared
def test_real_cosmos_cutouts():
    source = hsc_source([REAL])
    galaxies, _, rejections = read_all(source)
    with np.load(REAL) as archive:
        image, weight, parent = (archive[key] for key in ("image", "weight", "parent"))
    kept = []
    for i in range(len(image)):
        outside = [(band == 0).mean() for band in weight[i] if band.any()]
        kept += [i] if np.mean(outside) <= 0.5 else []
    assert len(kept) == 39 and len(rejections) == 5
    assert [g.object_id for g in galaxies] == [f"{REAL.stem}-{i}" for i in kept]
    assert [g.group_id for g in galaxies] == [str(parent[i]) for i in kept]
    for i, galaxy in zip(kept, galaxies, strict=True):
        inside = weight[i] > 0
        np.testing.assert_array_equal(galaxy.image_CHW[inside], image[i][inside])
        assert np.isnan(galaxy.image_CHW[~inside]).all()
        assert np.isfinite(image[i][~inside]).all()  # not missing in the file
        assert not check_galaxy(galaxy, source.spec, "").rejections
    assert all(r.field == "row" and "%" in r.reason for r in rejections)


@needs_shared
@pytest.mark.parametrize(("max_outside", "kept"), [(0.0, 0), (1.0, 44)])
def test_real_cutouts_with_max_outside_0_and_1(max_outside, kept):
    galaxies, _, rejections = read_all(hsc_source([REAL], max_outside=max_outside))
    assert (len(galaxies), len(rejections)) == (kept, 44 - kept)


def test_pixels_of_weight_zero_and_nan_pixels_are_missing(tmp_path):
    image, weight = synthetic_images(3, 66), np.ones((3, 5, 66, 66), np.float16)
    image[0, 0, 1, 1] = np.nan
    weight[0, 1, 1, 2] = 0
    weight[1, 3] = 0  # a band that was not observed
    image[1, 2, 5, 5] = np.nan
    weight[2, :, :40] = 0
    source = hsc_source([write_npz(tmp_path / "a.npz", image=image, weight=weight)])
    galaxies, _, rejections = read_all(source)
    assert [r.object_id for r in rejections] == ["a-2"] and "61%" in rejections[0].reason  # 39 of 64 rows
    expected = np.where((weight > 0) & np.isfinite(image), image, np.nan)[..., 1:65, 1:65]
    for i, fraction in ((0, 1 / 4096), (1, 1.0)):
        checked = check_galaxy(galaxies[i], source.spec, "")
        assert not checked.rejections
        np.testing.assert_array_equal(checked.galaxy.image_CHW, expected[i])
        assert checked.galaxy.masked_fraction == pytest.approx(fraction)


def test_rows_of_several_chunks_and_optional_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("mmae.ingest.readers.hsc.NPZ_CHUNK_ROWS", 3)
    image = synthetic_images(7, 66)
    path = write_npz(
        tmp_path / "a.npz",
        image=image,
        bands=np.array(["HSC-G", "R", "i", "z", "y"]),
        object_id=np.arange(70, 77),
        ra=np.linspace(1, 2, 7),
        dec=np.full(7, np.nan),
    )
    source = hsc_source([path])
    galaxies, _, rejections = read_all(source)
    assert len(source.chunks) == 3 and not rejections
    for i, galaxy in enumerate(galaxies):
        np.testing.assert_array_equal(galaxy.image_CHW, image[i, :, 1:65, 1:65])
        assert (galaxy.object_id, galaxy.dec, galaxy.group_id) == (str(70 + i), None, None)
        assert galaxy.ra == pytest.approx(1 + i / 6)


def test_rows_of_a_corrupt_part_of_an_archive_are_rejected(tmp_path):
    # Compressed noise: wrong bytes in the middle make the stream unreadable from there; earlier rows are valid.
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


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"image": np.ones((2, 5, 64, 64)), "bands": np.array(list("yzirg"))}, "bands is y,z,i,r,g, .*g,r,i,z,y"),
        ({"image": np.ones((2, 5, 64, 64)), "bands": np.array(list("griz"))}, "bands is g,r,i,z, "),
        ({"image": np.ones((0, 5, 64, 64))}, r"\(0, 5, 64, 64\)"),
        ({"image": np.ones((2, 4, 64, 64))}, r"image .*\(2, 4, 64, 64\)"),
        ({"image": np.ones((2, 5, 48, 64))}, "48 x 64 .*64 x 64"),
        ({"pictures": np.ones(3)}, "image .*pictures"),
        ({"image": np.ones((2, 5, 64, 64)), "weight": np.ones((2, 64, 64))}, r"weight .*\(2, 64, 64\)"),
        ({"image": np.ones((2, 5, 64, 64)), "parent": np.ones(3)}, r"parent .*\(3,\)"),
    ],
)
def test_an_archive_with_a_wrong_layout_is_refused(tmp_path, arrays, named):
    path = write_npz(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=named) as caught:
        hsc_source([path])
    assert str(path) in str(caught.value)


def test_ids_and_parents_of_several_archives(tmp_path):
    """Each archive numbers its cutouts and parent images from 0."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    image, parent = synthetic_images(3, 64), np.array([0, 0, 1])
    files = [
        write_npz(tmp_path / "a" / "c.npz", image=image, parent=parent, object_id=np.array([0, 1, 2])),
        write_npz(tmp_path / "b" / "c.npz", image=image, parent=parent, object_id=np.array([2, 3, 3])),
        write_npz(tmp_path / "d.npz", image=image, parent=np.array(["x", "x", "y"])),
    ]
    galaxies, _, _ = read_all(hsc_source(files))
    assert [g.object_id for g in galaxies] == [
        *("0", "1", "a/c/2"),
        *("b/c/2", "b/c/row-1/3", "b/c/row-2/3"),
        *("d-0", "d-1", "d-2"),
    ]
    groups = [g.group_id for g in galaxies]
    assert groups[0] == groups[1] != groups[2] and len(set(groups)) == 6
    alone, _, _ = read_all(hsc_source(files[:1]))
    assert [(g.object_id, g.group_id) for g in alone] == [("0", "0"), ("1", "0"), ("2", "1")]


def test_archives_without_ids_and_with_equal_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_npz(tmp_path / folder / "c.npz", image=synthetic_images(2, 64))
    galaxies, _, _ = read_all(hsc_source([tmp_path / "a", tmp_path / "b", tmp_path / "b" / "c.npz"]))
    assert [g.object_id for g in galaxies] == ["a/c/c-0", "a/c/c-1", "b/c/c-0", "b/c/c-1"]
