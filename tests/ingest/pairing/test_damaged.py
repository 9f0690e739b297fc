"""Ten kinds of damaged input at once: each is set aside and listed, and everything else is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from mmae.ingest.job import DAMAGED_STATUS, BuildConfig, damaged_files
from mmae.realism.job import build_command
from mmae.survey.store import open_survey
from tests.ingest.pairing.raw import GALAXIES, raw_config, write_raw

FIELDS = 13


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, change: Callable[[fits.HDUList], None]) -> None:
    with fits.open(path) as file:
        copies = fits.HDUList([hdu.copy() for hdu in file])
    change(copies)
    copies.writeto(path, overwrite=True)


def without(*names: str) -> Callable[[fits.HDUList], None]:
    def change(file: fits.HDUList) -> None:
        for name in names:
            del file[name]

    return change


def shifted_wavelengths(file: fits.HDUList) -> None:
    file["B_WAVELENGTH"].data = file["B_WAVELENGTH"].data + 0.3


def bad_values(file: fits.HDUList) -> None:
    file["R_IVAR"].data[0] = -1
    file["R_FLUX"].data[1, 5] = np.nan
    for arm in "BRZ":
        file[f"{arm}_IVAR"].data[2] = 0


def blank_corner(file: fits.HDUList) -> None:
    file["IMAGE"].data[:72, :72] = np.nan  # the first galaxy


def no_zero_point(file: fits.HDUList) -> None:
    del file[0].header["FLUXMAG0"]


def no_wcs(file: fits.HDUList) -> None:
    for key in ("CTYPE1", "CTYPE2"):
        del file["IMAGE"].header[key]


def other_pixels(file: fits.HDUList) -> None:
    file["IMAGE"].header["CRPIX1"] += 3


# What is done to the files of one field each -> the file that is set aside, and words of the reason.
FILES = {
    0: ("spectra/coadd-0000.fits", cut_in_half, "truncated"),
    1: ("spectra/coadd-0001.fits", lambda path: path.write_bytes(b""), "mpty"),
    2: ("spectra/coadd-0002.fits", lambda path: edit(path, without("FIBERMAP")), "FIBERMAP"),
    3: ("spectra/coadd-0003.fits", lambda path: edit(path, shifted_wavelengths), "beside the grid's samples"),
    4: ("spectra/redrock-0004.fits", cut_in_half, "no table with the columns TARGETID and Z"),
    5: ("patches/patch-0005-HSC-I.fits", lambda path: path.unlink(), "band i is missing"),
    6: ("patches/patch-0006-HSC-R.fits", cut_in_half, "truncated"),
    7: ("patches/patch-0007-HSC-G.fits", lambda path: edit(path, no_wcs), "no WCS"),
    8: ("patches/patch-0008-HSC-Z.fits", lambda path: edit(path, no_zero_point), "no zero point"),
    9: ("patches/patch-0009-HSC-Y.fits", lambda path: edit(path, other_pixels), "3.00 pixels beside"),
    10: ("catalogue/catalogue-0010.parquet", cut_in_half, "not a readable parquet table"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory, ray_cluster):
    folder = tmp_path_factory.mktemp("damaged")
    galaxies = write_raw(folder, FIELDS)
    for name, harm, _ in FILES.values():
        harm(folder / name)
    edit(folder / "spectra" / "coadd-0011.fits", bad_values)
    edit(folder / "patches" / "patch-0011-HSC-G.fits", blank_corner)
    table = pq.read_table(folder / "catalogue" / "catalogue-0012.parquet").to_pandas()
    table.loc[0, "ra"], table.loc[1, "dec"] = np.nan, 99.0
    table.to_csv(folder / "catalogue" / "catalogue-0012.csv", index=False)
    (folder / "catalogue" / "catalogue-0012.parquet").unlink()
    config = BuildConfig(out=folder / "s", source=("paired",), pair=raw_config(folder))
    with pytest.raises(SystemExit) as end:
        build_command(config)
    rows = {
        row["object_id"]: row
        for s in open_survey(folder / "s").shards
        for row in pq.ParquetFile(folder / "s" / s.path).read().to_pylist()
    }
    return galaxies, rows, open_survey(folder / "s"), end.value.code


def test_the_exit_status_says_so(built):
    assert built[3] == DAMAGED_STATUS


def test_every_damaged_file_is_listed_with_its_reason(built):
    listed = {(r["where"].rpartition("/")[2], r["reason"]) for r in damaged_files(built[2])}
    assert len(listed) == len(FILES)
    for name, _, words in FILES.values():
        # Of a patch without a band, the files of the other bands are named.
        field = name.rpartition("-HSC")[0].rpartition("/")[2] if "HSC" in name else name.rpartition("/")[2]
        assert any(field in where and words in reason for where, reason in listed), (name, words, listed)


def test_everything_else_is_built(built):
    galaxies, rows, _, _ = built
    of_field = [galaxies[GALAXIES * f : GALAXIES * (f + 1)] for f in range(FIELDS)]
    for field in (0, 1, 2, 3):  # no spectra, but images
        assert all(rows[g.object_id]["image"] and rows[g.object_id]["flux"] is None for g in of_field[field])
    for g in of_field[4]:  # no redshifts, but all else
        row = rows[g.object_id]
        assert row["image"] and row["flux"] and row["redshift"] is None
    for field in (5, 6, 7, 8, 9):  # no images, but spectra
        assert all(rows[g.object_id]["flux"] and rows[g.object_id]["image"] is None for g in of_field[field])
    for g in of_field[10]:  # no catalogue: known by their targetid, and cut where the spectrum is
        row = rows[str(g.targetid)]
        assert row["image"] and row["flux"] and row["r_cmodel_mag"] is None
    # The two that the catalogue places nowhere have a place by their spectrum. One is lost: see below.
    assert {str(g.targetid) for g in of_field[12][:2]} < rows.keys()
    assert len(rows) == FIELDS * GALAXIES - 1


def test_bad_values_cost_only_themselves(built):
    galaxies, rows, survey, _ = built
    first, second, third, fourth = galaxies[GALAXIES * 11 : GALAXIES * 11 + 4]
    reasons = {
        (r["object_id"], r["field"]): r["reason"] for r in pq.read_table(survey.path / "rejected.parquet").to_pylist()
    }
    # The first has neither a good spectrum nor pixels in one band.
    assert first.object_id not in rows
    assert "ivar has NaN, infinite or negative" in reasons[first.object_id, "spectrum"]
    assert "100% of a band has no data" in reasons[first.object_id, "image"]
    assert "neither an image nor a spectrum" in reasons[first.object_id, "row"]
    assert "flux is NaN" in reasons[second.object_id, "spectrum"]
    assert "no good pixel" in reasons[third.object_id, "spectrum"]
    assert [rows[g.object_id]["flux"] is None for g in (second, third, fourth)] == [True, True, False]
    assert all(rows[g.object_id]["image"] for g in (second, third, fourth))
    unplaced = [reasons[g.object_id, "row"] for g in galaxies[GALAXIES * 12 : GALAXIES * 12 + 2]]
    assert all("not on the sky" in reason for reason in unplaced)
