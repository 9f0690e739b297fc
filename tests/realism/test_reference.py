"""Readers of real data: selection, and missing or damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.realism.reference import (
    COADD_FILES,
    HSC_FILE,
    LINES_FILE,
    ZCOSMOS_FILE,
    load,
    read_coadds,
    read_hsc,
    read_lines,
    read_zcosmos,
    secure_galaxy,
)
from tests.ingest.files import SHARED_GALAXIES, needs_shared

READERS = {HSC_FILE: read_hsc, ZCOSMOS_FILE: read_zcosmos, LINES_FILE: read_lines, next(iter(COADD_FILES)): read_coadds}


@pytest.mark.parametrize("name", READERS)
def test_missing_file_raises(name, tmp_path):
    with pytest.raises(InputError, match=f"{name}.*--reference"):
        READERS[name](tmp_path)


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_damaged_file_raises(name, damage, reference, tmp_path):
    folder = Path(shutil.copytree(reference, tmp_path / "broken"))
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(b"\x00nonsense\xff\n" * 50 if damage == "garbage" else content[: len(content) // 3])
    if name == ZCOSMOS_FILE and damage == "truncated":
        return  # a truncated CSV file is a valid table
    with pytest.raises(InputError, match=name):
        READERS[name](folder)


def test_load_gives_a_reason(tmp_path):
    assert "--reference" in load(read_hsc, None).reason
    missing = load(read_hsc, tmp_path)
    assert missing.value is None and HSC_FILE in missing.reason


def test_missing_column_raises(tmp_path):
    (tmp_path / ZCOSMOS_FILE).write_text("zpec,cc\n0.1,4.5\n")
    with pytest.raises(InputError, match="mag_sel"):
        read_zcosmos(tmp_path)
    pq.write_table(pa.table({"z": [0.1]}), tmp_path / LINES_FILE)
    with pytest.raises(InputError, match=LINES_FILE):
        read_lines(tmp_path)


def test_secure_galaxies_are_classes_3_and_4_without_stars():
    confidence = np.array([1.5, 2.4, 2.5, 3.1, 3.4, 3.5, 4.1, 4.5, 4.4, 9.3, 9.5, 13.5, 18.5, 4.5, 4.5])
    redshift = np.full(15, 0.5)
    redshift[-2:] = 0.0, 0.005
    kept = confidence[secure_galaxy(confidence, redshift)]
    assert kept.tolist() == [3.1, 3.4, 3.5, 4.1, 4.5, 4.4]


def test_missing_magnitudes_of_zcosmos_are_nan(reference):
    real = read_zcosmos(reference)
    assert np.isnan(real.mag_NC[:, 0]).sum() == 40 and np.isfinite(real.mag_NC[:, 1:]).all()
    assert len(real.redshift_N) == 1110  # without 60 insecure redshifts and 30 stars


def test_rows_with_non_positive_widths_are_excluded(tmp_path, reference):
    table = pq.read_table(reference / LINES_FILE)
    width = table["ew_hbeta"].to_numpy().copy()
    width[:7] = -1.0
    index = table.column_names.index("ew_hbeta")
    pq.write_table(table.set_column(index, "ew_hbeta", pa.array(width)), tmp_path / LINES_FILE)
    assert len(read_lines(tmp_path).width_NJ) == table.num_rows - 7


def test_coadds_of_both_files_are_read(reference):
    real = read_coadds(reference)
    assert real.kind_N == ("quasar",) * 3 + ("galaxy",) * 2
    assert real.flux_NL.shape == (5, 7781) and (real.redshift_N == 0.4).all()
    assert real.line_spread == ()  # the synthetic coadds have no RESOLUTION


@needs_shared
def test_shared_zcosmos_table():
    real = read_zcosmos(SHARED_GALAXIES)
    assert len(real.redshift_N) == 11_363
    # i is CFHT i*: Suprime-Cam i+ is saturated in bright galaxies (see SUBARU_BANDS).
    bright = (real.selection_mag_N > 17) & (real.selection_mag_N < 19)
    assert np.isfinite(real.mag_NC[bright, 2]).mean() > 0.97
    assert np.nanmedian((real.mag_NC[:, 2] - real.mag_NC[:, 3])[bright]) == pytest.approx(0.32, abs=0.03)
