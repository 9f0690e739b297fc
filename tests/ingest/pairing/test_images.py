"""Kinds of images, two images of one place, and image cubes; layouts as in Legacy Surveys, NOIRLab and HSC."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from mmae.core.errors import InputError
from mmae.ingest.description import SurveyDescription
from mmae.ingest.pairing.cutouts import OpenPatch
from mmae.ingest.pairing.images import index_image, require_one_image
from mmae.ingest.pairing.names import group_by_name
from mmae.ingest.readers.hsc import hsc_source
from mmae.ingest.readers.planes import cube_bands, other_kind
from mmae.survey.schema import Rejection, SurveySpec
from tests.ingest.files import BANDS, FLUXMAG0_27, _wcs, read_all, synthetic_images, write_hsc_band

LEGACY = SurveyDescription(bands=("g", "r", "z"), pixel_scale=0.262, zero_point=22.5).spec()
KINDS = ("blobmodel", "chi2", "depth", "galdepth", "image", "invvar", "maskbits", "model", "nexp", "psfsize")


def header(ra: float = 150.0, dec: float = 2.0, size: int = 100, **values) -> fits.Header:
    found = _wcs(np.zeros((size, size)), ra, dec, 0.262)
    found.update(values)
    return found


def write_brick(folder: Path, brick: str = "1500p020", ra: float = 150.0, headers: bool = True) -> None:
    """The coadds of a brick of the Legacy Surveys: band W1 too, and kinds in IMTYPE or in the name only."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(KINDS):
        for band in ("g", "r", "z", "W1"):
            extra = {"IMTYPE": kind, "PRODTYPE": kind} if headers else {}
            hdu = fits.ImageHDU(np.full((100, 100), number, np.float32), header(ra, FILTER=band, **extra))
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / f"legacysurvey-{brick}-{kind}-{band}.fits")


def indexed(paths: list[Path], spec: SurveySpec = LEGACY) -> tuple[pa.Table, list[Rejection]]:
    left_out: list[Rejection] = []
    groups = group_by_name([str(path) for path in paths], spec.bands)
    tables = [index_image(name, files, spec, True, left_out) for name, files in groups.items()]
    return pa.concat_tables(tables), left_out


def pixels(row: dict, spec: SurveySpec = LEGACY) -> np.ndarray:
    with OpenPatch(row["planes"], row["wcs"], spec) as patch:
        return patch.cutout(None)


@pytest.mark.parametrize("headers", [True, False])
def test_only_images_of_a_brick_are_read(tmp_path, headers):
    write_brick(tmp_path, headers=headers)
    table, left_out = indexed(sorted(tmp_path.iterdir()))
    (row,) = table.to_pylist()
    assert row["name"] == "legacysurvey-1500p020-image" and (pixels(row) == KINDS.index("image")).all()
    # Everything else is recorded: eight kinds in four bands (invvar is used), and two files of a band that the survey
    # does not have.
    assert len(left_out) == 8 * 4 + 2 and {r.field for r in left_out} == {"image"}
    assert [r.object_id for r in left_out if "W1" in r.reason.upper()] == ["legacysurvey-1500p020-image-W1.fits"]
    assert all(any(kind in r.reason for kind in KINDS) for r in left_out if "-image-" not in r.object_id)


@pytest.mark.parametrize(
    ("values", "primary", "stem", "kind"),
    [
        ({"IMTYPE": "image", "PRODTYPE": "image"}, {}, "x-model-g", None),
        ({"IMTYPE": "invvar", "PRODTYPE": "wtmap"}, {}, "x-image-g", "invvar"),
        ({"PRODTYPE": "dqmask"}, {}, "c4d_g", "dqmask"),
        ({"EXTTYPE": "VARIANCE"}, {}, "calexp-HSC-G-1", "variance"),
        ({"EXTTYPE": "IMAGE", "EXTNAME": "MASK"}, {}, "x", None),
        ({"EXTNAME": "MASK_G"}, {}, "x", "mask_g"),
        ({"EXTNAME": "G"}, {}, "x", None),
        ({"EXTNAME": "COMPRESSED_IMAGE"}, {}, "legacysurvey-1500p020-model-g", "model"),
        ({"EXTNAME": "SCI"}, {"IMTYPE": "model"}, "x", None),
        ({}, {"IMTYPE": "chi2"}, "x-image-g", "chi2"),
        ({}, {}, "KiDS_DR4.0_g_wei", "wei"),
        ({}, {}, "1-psf-calexp-pdr2_wide-HSC-I-8279-1,4", "psf"),
        ({}, {}, "rings.v3.skycell.1234.056.stk.r.unconv.wt", "wt"),
        ({}, {}, "legacysurvey-1500p020-image-g", None),
        ({}, {}, "modelled-weights-of-g", None),
    ],
)
def test_kind_of_a_plane(values, primary, stem, kind):
    assert other_kind(fits.Header(values), fits.Header(primary), stem) == kind


def test_compressed_coadds(tmp_path):
    for kind, value in (("model", 1.0), ("image", 2.0)):
        for band in "grz":
            noise = np.random.default_rng(0).normal(0, 1e-3, (100, 100))
            hdu = fits.CompImageHDU((value + noise).astype("f4"), header(FILTER=band, IMTYPE=kind))
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / f"b-{kind}-{band}.fits.fz")
    table, left_out = indexed(sorted(tmp_path.iterdir()))
    (row,) = table.to_pylist()
    assert abs(pixels(row).mean() - 2) < 0.01 and len(left_out) == 3


def test_two_images_of_one_place_are_an_error_that_names_both(tmp_path):
    for release in ("dr9", "dr10"):
        write_brick(tmp_path / release)
    write_brick(tmp_path / "dr9", "1501p020", ra=150.004)  # a neighbour that overlaps half of it
    table, _ = indexed(sorted(tmp_path.rglob("*-image-*")))
    assert set(table["name"].to_pylist()) == {f"dr{n}/legacysurvey-1500p020-image" for n in (9, 10)} | {
        "dr9/legacysurvey-1501p020-image"
    }
    for what in ("patches", "stamps"):
        with pytest.raises(InputError, match="dr(9|10)/.*1500p020-image-g.fits and .*dr(9|10)/.*1500p020-image-g"):
            require_one_image(table, what, LEGACY)
    require_one_image(table.slice(1), "patches", LEGACY)
    near, _ = indexed([*write_stamps(tmp_path / "s", 150.0), *write_stamps(tmp_path / "t", 150.0 + 1.5 / 3600)])
    require_one_image(near, "stamps", LEGACY)  # two galaxies of 1.5 arcsec
    with pytest.raises(InputError, match="1 such pairs of patches"):
        require_one_image(near, "patches", LEGACY)


def write_stamps(folder: Path, ra: float) -> list[Path]:
    folder.mkdir()
    for band in "grz":
        fits.PrimaryHDU(np.ones((70, 70), "f4"), header(ra, size=70, FILTER=band)).writeto(folder / f"1-{band}.fits")
    return sorted(folder.iterdir())


def test_cutouts_with_equal_names_in_two_folders(tmp_path):
    table, _ = indexed([*write_stamps(tmp_path / "a", 150.0), *write_stamps(tmp_path / "b", 160.0)])
    assert table["name"].to_pylist() == ["a/1", "b/1"]


CUBE = np.random.default_rng(1).normal(0, 1, (4, 96, 96)).astype("f4")


@pytest.mark.parametrize(
    "values",
    [{"BANDS": "griz"}, {"BANDS": "g,r,i,z"}, {"FILTER": "g r i z"}, {f"BAND{i}": b for i, b in enumerate("griz")}],
)
@pytest.mark.parametrize("packed", ["", ".gz", "compressed", "scaled"])
def test_cubes_of_bands(tmp_path, values, packed):
    """As from the cutout service of the Legacy Surveys; band i is not in the description."""
    head, path = header(size=96, **values), tmp_path / "cutout_150.0000_2.0000.fits"
    if packed == "compressed":
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(CUBE, head, quantize_level=0, compression_type="GZIP_1")]
    elif packed == "scaled":
        hdus = [fits.PrimaryHDU(np.rint(CUBE * 1000).astype("i2"), head)]
        hdus[0].header["BSCALE"] = 0.001
    else:
        hdus = [fits.PrimaryHDU(CUBE, head)]
    hdus.append(fits.ImageHDU(np.ones_like(CUBE), head, name="INVVAR"))
    fits.HDUList(hdus).writeto(path)
    if packed == ".gz":
        (tmp_path / "c.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "c.fits.gz"
    table, left_out = indexed([path])
    (row,) = table.to_pylist()
    np.testing.assert_allclose(pixels(row), CUBE[[0, 1, 3], 16:80, 16:80], atol=6e-4 if packed == "scaled" else 0)
    assert [r.reason.split()[1] for r in left_out] == ["i"]
    with OpenPatch(row["planes"], row["wcs"], LEGACY) as patch:
        (place,) = patch.positions(np.array([150.0]), np.array([2.0 + 10 * 0.262 / 3600]))
        moved = patch.cutout(tuple(place))
    np.testing.assert_allclose(moved, CUBE[[0, 1, 3], 26:90, 16:80], atol=6e-4 if packed == "scaled" else 0)


def test_a_cube_without_bands_is_an_error(tmp_path):
    fits.PrimaryHDU(CUBE, header(size=96)).writeto(tmp_path / "c.fits")
    with pytest.raises(ValueError, match=r"c\.fits: a cube of 4 .*BANDS"):
        index_image("c", [str(tmp_path / "c.fits")], LEGACY, True)
    fits.PrimaryHDU(CUBE, header(size=96, BANDS="grr")).writeto(tmp_path / "d.fits")
    with pytest.raises(ValueError, match="BANDS"):
        index_image("d", [str(tmp_path / "d.fits")], LEGACY, True)
    assert cube_bands(fits.Header({"FILTER": "HSC-G"}), fits.Header(), 1) == ["HSC-G"]


def test_a_cube_of_one_band_per_file(tmp_path):
    """A third axis of length 1."""
    for band, image in zip("grz", CUBE, strict=False):
        fits.PrimaryHDU(image[None], header(size=96, FILTER=band)).writeto(tmp_path / f"c-{band}.fits")
    table, _ = indexed(sorted(tmp_path.iterdir()))
    (row,) = table.to_pylist()
    np.testing.assert_array_equal(pixels(row), CUBE[:3, 16:80, 16:80])


def test_cubes_and_other_kinds_in_the_reader_of_hsc_cutouts(tmp_path):
    image = synthetic_images(1, 70)[0]
    head = _wcs(image[0], 150.0, 2.0, 0.168)
    head["BANDS"], head["FLUXMAG0"] = "yzirg", FLUXMAG0_27
    fits.PrimaryHDU(image[::-1], head).writeto(tmp_path / "a.fits")
    for band, plane in zip(BANDS, image, strict=True):
        write_hsc_band(tmp_path / f"b-model-HSC-{band.upper()}.fits", band, plane)
        with fits.open(tmp_path / f"b-model-HSC-{band.upper()}.fits", mode="update") as file:
            file["IMAGE"].name = ""
    del head["BANDS"]
    fits.PrimaryHDU(image, head).writeto(tmp_path / "c.fits")
    (galaxy,), _, rejections = read_all(hsc_source([tmp_path, tmp_path / "a.fits"]))
    np.testing.assert_allclose(galaxy.image_CHW, image[:, 3:67, 3:67], rtol=1e-6)
    reasons = {r.object_id: r.reason for r in rejections}
    assert reasons.keys() == {"b-model", "c"} and "model" in reasons["b-model"] and "BANDS" in reasons["c"]
