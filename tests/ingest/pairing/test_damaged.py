"""Damaged input of many kinds at once: each file is rejected and listed, and the rest is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from mmae.ingest.config import BuildConfig
from mmae.ingest.job import DAMAGED_STATUS, damaged_files
from mmae.realism.job import build_command
from mmae.survey.store import open_survey
from tests.ingest.pairing.raw import raw_config, write_raw

FIELDS, GALAXIES = 13, 4  # galaxies of a field


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


def blank(columns: slice) -> Callable[[fits.HDUList], None]:
    def change(file: fits.HDUList) -> None:
        file["IMAGE"].data[:72, columns] = np.nan  # galaxies are 72 pixels apart

    return change


def no_zero_point(file: fits.HDUList) -> None:
    del file[0].header["FLUXMAG0"]


def no_wcs(file: fits.HDUList) -> None:
    for key in ("CTYPE1", "CTYPE2"):
        del file["IMAGE"].header[key]


def other_pixels(file: fits.HDUList) -> None:
    file["IMAGE"].header["CRPIX1"] += 3


# Field -> its damaged file, the damage, and a part of the reason.
FILES = {
    0: ("spectra/coadd-0000.fits", cut_in_half, "truncated"),
    1: ("spectra/coadd-0001.fits", lambda path: path.write_bytes(b""), "mpty"),
    2: ("spectra/coadd-0002.fits", lambda path: edit(path, without("FIBERMAP")), "FIBERMAP"),
    3: ("spectra/coadd-0003.fits", lambda path: edit(path, shifted_wavelengths), "B_WAVELENGTH"),
    4: ("spectra/redrock-0004.fits", cut_in_half, "TARGETID and Z"),
    5: ("patches/patch-0005-HSC-I.fits", lambda path: path.unlink(), "band i "),
    6: ("patches/patch-0006-HSC-R.fits", cut_in_half, "truncated"),
    7: ("patches/patch-0007-HSC-G.fits", lambda path: edit(path, no_wcs), "WCS"),
    8: ("patches/patch-0008-HSC-Z.fits", lambda path: edit(path, no_zero_point), "FLUXMAG0"),
    9: ("patches/patch-0009-HSC-Y.fits", lambda path: edit(path, other_pixels), "3.00 pixels"),
    10: ("catalogue/catalogue-0010.parquet", cut_in_half, "parquet"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory, ray_cluster):
    folder = tmp_path_factory.mktemp("damaged")
    galaxies = write_raw(folder, FIELDS, GALAXIES)
    for name, damage, _ in FILES.values():
        damage(folder / name)
    edit(folder / "spectra" / "coadd-0011.fits", bad_values)
    for band in "GRIZY":
        edit(folder / "patches" / f"patch-0011-HSC-{band}.fits", blank(slice(0, 144 if band == "G" else 72)))
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


def test_exit_status_reports_damaged_files(built):
    assert built[3] == DAMAGED_STATUS


def test_every_damaged_file_is_listed_with_its_reason(built):
    listed = {(r["where"].rpartition("/")[2], r["reason"]) for r in damaged_files(built[2])}
    assert len(listed) == len(FILES)
    for name, _, part in FILES.values():
        # For a patch without a band, the files of the other bands are listed.
        field = name.rpartition("-HSC")[0].rpartition("/")[2] if "HSC" in name else name.rpartition("/")[2]
        assert any(field in where and part in reason for where, reason in listed), (name, part, listed)


def test_the_rest_is_built(built):
    galaxies, rows, _, _ = built
    of_field = [galaxies[GALAXIES * f : GALAXIES * (f + 1)] for f in range(FIELDS)]
    for field in (0, 1, 2, 3):  # no spectra, but images
        assert all(rows[g.object_id]["image"] and rows[g.object_id]["flux"] is None for g in of_field[field])
    for g in of_field[4]:  # no redshifts, but images and spectra
        row = rows[g.object_id]
        assert row["image"] and row["flux"] and row["redshift"] is None
    for field in (5, 6, 7, 8, 9):  # no images, but spectra
        assert all(rows[g.object_id]["flux"] and rows[g.object_id]["image"] is None for g in of_field[field])
    for g in of_field[10]:  # no catalogue: named by targetid, cut at the position of the spectrum
        row = rows[str(g.targetid)]
        assert row["image"] and row["flux"] and row["r_cmodel_mag"] is None
    # Two galaxies without valid catalogue position have that of their spectrum.
    assert {str(g.targetid) for g in of_field[12][:2]} < rows.keys()
    assert len(rows) == FIELDS * GALAXIES


def test_only_bad_values_are_rejected(built):
    galaxies, rows, survey, _ = built
    first, second, third, fourth = galaxies[GALAXIES * 11 : GALAXIES * 11 + 4]
    reasons = {
        (r["object_id"], r["field"]): r["reason"] for r in pq.read_table(survey.path / "rejected.parquet").to_pylist()
    }
    # The first has neither a valid spectrum nor pixels in any band, but magnitudes.
    assert rows[first.object_id]["image"] is None and rows[first.object_id]["flux"] is None
    assert rows[first.object_id]["r_cmodel_mag"] is not None
    assert "ivar" in reasons[first.object_id, "spectrum"]
    assert "no pixel" in reasons[first.object_id, "image"]
    assert (first.object_id, "row") not in reasons
    assert "flux" in reasons[second.object_id, "spectrum"]
    assert "ivar" in reasons[third.object_id, "spectrum"]
    assert [rows[g.object_id]["flux"] is None for g in (second, third, fourth)] == [True, True, False]
    assert all(rows[g.object_id]["image"] for g in (second, third, fourth))
    assert [rows[g.object_id]["masked_fraction"] for g in (second, third, fourth)] == [1, 0, 0]  # g is missing
    unplaced = [reasons[g.object_id, "row"] for g in galaxies[GALAXIES * 12 : GALAXIES * 12 + 2]]
    assert "nan" in unplaced[0] and "99" in unplaced[1]
