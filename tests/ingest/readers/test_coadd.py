"""Coadds without an arm, with other names of the fibre table, with joined arms, and files that are no coadds; in both
readers of DESI files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mmae.core.errors import InputError
from mmae.ingest.pairing.spectra import index_coadd, read_spectra
from mmae.ingest.readers.desi import desi_source
from mmae.ingest.readers.redshifts import index_redshifts
from mmae.survey.schema import SurveySpec
from tests.ingest.files import ARM_WAVES, SHARED_GALAXIES, needs_shared, read_all, write_coadd, write_redrock

GRID = SurveySpec().wavelength_L()
ARMS = ("B", "R", "Z")
IDS = np.arange(1, 4)

pytestmark = pytest.mark.filterwarnings("ignore:File may have been truncated")


def without(path: Path, *arms: str) -> Path:
    with fits.open(path) as file:
        fits.HDUList([hdu for hdu in file if hdu.name[:1] not in arms or hdu.name == "FIBERMAP"]).writeto(
            path, overwrite=True
        )
    return path


def both(path: Path) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Flux, ivar (N, L) and the fields of the rejections, from each of the two readers."""
    galaxies, _, rejections = read_all(desi_source([path], []))
    table, rejected = index_coadd(str(path), GRID, ARMS)
    flux, ivar = read_spectra(str(path), table["row"].to_numpy(), GRID, ARMS)
    return [
        (np.stack([g.flux_L for g in galaxies]), np.stack([g.ivar_L for g in galaxies]), [r.field for r in rejections]),
        (flux, ivar, [r.field for r in rejected]),
    ]


@pytest.mark.parametrize(
    ("absent", "good"),
    [("Z", GRID < 7620.1), ("B", GRID > 5759.9), ("R", (GRID < 5800.1) | (GRID > 7519.9)), ("BZ", None)],
)
def test_an_absent_arm_has_ivar_0(tmp_path, absent, good):
    whole = both(write_coadd(tmp_path / "whole.fits", IDS))
    path = without(write_coadd(tmp_path / "coadd.fits", IDS), *absent)
    if good is None:
        good = (GRID > 5759.9) & (GRID < 7620.1)
    for (flux, ivar, fields), (whole_flux, _, none) in zip(both(path), whole, strict=True):
        np.testing.assert_array_equal(ivar > 0, np.tile(good, (3, 1)))
        np.testing.assert_array_equal(flux[:, good], whole_flux[:, good])
        assert (flux[:, ~good] == 0).all() and fields == ["arm"] and none == []


def test_a_truncated_file_is_not_one_without_an_arm(tmp_path):
    content = write_coadd(tmp_path / "c.fits", IDS).read_bytes()
    starts = [hdu.fileinfo()["hdrLoc"] for hdu in fits.open(tmp_path / "c.fits")]
    cut = tmp_path / "cut.fits"
    cut.write_bytes(content[: starts[-4] + 1000])  # in the header of the Z arm's first extension
    zipped = tmp_path / "cut.fits.gz"
    packed = gzip.compress(content)
    zipped.write_bytes(packed[: int(len(packed) * 0.7)])
    for path in (cut, zipped):
        with pytest.raises((OSError, EOFError, LookupError)):
            index_coadd(str(path), GRID, ARMS)
        with pytest.raises(InputError, match=path.name):
            desi_source([path], [])


@pytest.mark.parametrize("exposures", [False, True])
def test_coadd_fibermap(tmp_path, exposures):
    """With a second table that has a row per exposure, the one with a row per spectrum is read."""
    path = write_coadd(tmp_path / "c.fits", IDS)
    with fits.open(path) as file:
        file["FIBERMAP"].name = "COADD_FIBERMAP"
        if exposures:
            many = fits.BinTableHDU(np.repeat(file["COADD_FIBERMAP"].data, 3), name="FIBERMAP")
            file.insert(1, many)
        file.writeto(path, overwrite=True)
    for flux, ivar, fields in both(path):
        assert flux.shape == (3, 7781) and (ivar > 0).all() and fields == []
    galaxies, _, _ = read_all(desi_source([path], []))
    assert [g.targetid for g in galaxies] == [1, 2, 3]


def joined(path: Path) -> Path:
    return write_coadd(path, IDS, waves={"BRZ": GRID})


def frame(path: Path) -> Path:
    wave = ARM_WAVES["B"]
    hdus = [
        fits.PrimaryHDU(),
        *(fits.ImageHDU(np.ones((3, len(wave)), np.float32), name=n) for n in ("FLUX", "IVAR", "MASK")),
    ]
    hdus += [fits.ImageHDU(wave, name="WAVELENGTH")]
    hdus[1].header["CAMERA"] = "B0      "
    hdus.append(
        fits.BinTableHDU.from_columns(
            [fits.Column("TARGETID", "K", array=IDS), fits.Column("TARGET_RA", "D", array=IDS * 1.0)], name="FIBERMAP"
        )
    )
    fits.HDUList(hdus).writeto(path)
    return path


def sdss(path: Path) -> Path:
    names = ("flux", "loglam", "ivar")
    table = fits.BinTableHDU.from_columns([fits.Column(n, "E", array=np.ones(9)) for n in names], name="COADD")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def plate(path: Path) -> Path:
    hdu = fits.PrimaryHDU(np.ones((3, 50), np.float32))
    hdu.header["COEFF0"], hdu.header["COEFF1"] = 3.55, 1e-4
    hdu.writeto(path)
    return path


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (joined, "`arms: [BRZ]`"),
        (frame, "b0"),
        (sdss, "SDSS"),
        (plate, "SDSS"),
        (lambda path: write_redrock(path, IDS, IDS * 0.1), "redshifts"),
        (lambda path: fits.PrimaryHDU(np.ones((4, 4))).writeto(path) or path, "FIBERMAP"),
    ],
)
def test_another_file_is_called_by_what_it_is(tmp_path, write, named):
    path = write(tmp_path / "x.fits")
    with pytest.raises(ValueError, match="(?s).*") as caught:
        index_coadd(str(path), GRID, ARMS)
    assert named in str(caught.value)
    with pytest.raises(InputError, match="x.fits") as caught:
        desi_source([path], [])
    assert named in str(caught.value)


def test_joined_arms_are_read_with_their_name(tmp_path):
    path = str(joined(tmp_path / "x.fits"))
    table, rejections = index_coadd(path, GRID, ("BRZ",))
    flux, ivar = read_spectra(path, np.arange(3), GRID, ("BRZ",))
    assert len(table) == 3 and rejections == [] and (flux == 1).all() and (ivar == 4).all()
    with pytest.raises(ValueError, match=r"`arms: \[B, R, Z\]`"):
        index_coadd(str(write_coadd(tmp_path / "y.fits", IDS)), GRID, ("BRZ",))


@needs_shared
def test_a_real_boss_spectrum_is_called_by_what_it_is():
    path = next((SHARED_GALAXIES / "boss").glob("spec-*.fits"))
    with pytest.raises(ValueError, match="BOSS"):
        index_coadd(str(path), GRID, ARMS)


def test_a_coadd_given_as_redshifts(tmp_path):
    with pytest.raises(ValueError, match="TARGETID and Z, .*spectra"):
        index_redshifts(str(write_coadd(tmp_path / "c.fits", IDS)))


def test_object_ids_of_targets_in_several_files_and_rows(tmp_path):
    """Coadds of two tiles with one name in two folders, and a file with one row per exposure."""
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
    files = [
        write_coadd(tmp_path / "1" / "coadd.fits", np.array([5, 6])),
        write_coadd(tmp_path / "2" / "coadd.fits", np.array([6, 7, 7])),
    ]
    galaxies, _, _ = read_all(desi_source(files, [], chunk_rows=2))
    assert [g.object_id for g in galaxies] == ["5", "1/coadd/6", "2/coadd/6", "2/coadd/row-1/7", "2/coadd/row-2/7"]
    assert [g.group_id for g in galaxies] == ["5", "6", "6", "7", "7"]
