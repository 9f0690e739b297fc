"""Merging of detections in several windows and pointings into sources."""

import numpy as np
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.catalogue import RADIO_COLUMNS, survey_description
from mmae.steepspec.spectral_windows import drop_overlaps, merge_windows

MALS = survey_description("mals_dr1")


def detections(rows: list[dict]) -> Table:
    table = Table()
    for name, unit in RADIO_COLUMNS.items():
        missing = "" if unit is None else np.nan
        table[name] = [row.get(name, missing) for row in rows]
        table[name].unit = unit
    return table


def detection(ra, dec, band, flux, pointing="J1", **more) -> dict:
    return {
        "source_id": f"{band}@{ra}",
        "ra": ra,
        "dec": dec,
        "band": band,
        "flux_mjy": flux,
        "flux_err_mjy": flux / 10,
        "pointing": pointing,
        "major_arcsec": 12.0 if band == "LSPW_2" else 8.0,
        **more,
    }


def test_windows_of_a_source_become_one_row():
    table = detections(
        [
            detection(10.0, 0.0, "LSPW_2", 2.0, alpha=-1.5, alpha_err=0.2),
            detection(10.0003, 0.0, "LSPW_9", 1.0),  # 1.1 arcsec away: the same source
            detection(20.0, 0.0, "LSPW_2", 3.0),  # not detected at 1381
            detection(30.0, 0.0, "LSPW_9", 4.0, rms_mjy=0.02),  # not detected at 1006
            detection(10.002, 0.0, "LSPW_9", 5.0),  # 7 arcsec away: another source
            detection(40.0, 0.0, "LSPW_5", 6.0),
        ]
    )
    sources, rejected = merge_windows(table, MALS)
    sources.sort("ra")
    assert [entry.count for entry in rejected] == [1, 1]  # the row of LSPW_5, and the merged detection
    assert "LSPW_2, LSPW_9" in rejected[0].reason
    np.testing.assert_allclose(sources["flux_1006_mjy"], [2.0, np.nan, 3.0, np.nan])
    np.testing.assert_allclose(sources["flux_1381_mjy"], [1.0, 5.0, np.nan, 4.0])
    np.testing.assert_allclose(sources["ra"], [10.0003, 10.002, 20.0, 30.0])  # from the window with the smaller beam
    assert (sources["major_1006_arcsec"][0], sources["major_1381_arcsec"][0]) == (12.0, 8.0)
    assert list(sources["band"]) == ["LSPW_9+LSPW_2", "LSPW_9", "LSPW_2", "LSPW_9"]
    assert sources["alpha"][0] == -1.5 and sources["rms_1381_mjy"][3] == 0.02
    assert sources["flux_1006_mjy"].unit == sources["flux_1381_mjy"].unit == RADIO_COLUMNS["flux_mjy"]
    assert len(table) == 6 and "flux_mjy" in table.colnames  # the input is not changed


def test_windows_of_different_pointings_are_not_merged():
    sources, _ = merge_windows(
        detections([detection(10.0, 0.0, "LSPW_2", 2.0, "J1"), detection(10.0, 0.0, "LSPW_9", 1.0, "J2")]), MALS
    )
    assert len(sources) == 2 and np.isnan(sources["flux_1006_mjy"]).sum() == 1


def test_the_nearer_of_two_matches_is_merged():
    sources, _ = merge_windows(
        detections(
            [
                detection(10.0, 0.0, "LSPW_2", 2.0),
                detection(10.0005, 0.0, "LSPW_9", 1.0),
                detection(10.0002, 0.0, "LSPW_9", 7.0),
            ]
        ),
        MALS,
    )
    assert len(sources) == 2
    assert sources["flux_1006_mjy"][sources["flux_1381_mjy"] == 7.0][0] == 2.0
    assert np.isnan(sources["flux_1006_mjy"][sources["flux_1381_mjy"] == 1.0][0])


def test_detections_in_one_window_have_the_columns_of_both():
    sources, _ = merge_windows(detections([detection(10.0, 0.0, "LSPW_2", 2.0)]), MALS)
    assert sources["flux_1006_mjy"][0] == 2.0 and np.isnan(sources["flux_1381_mjy"][0])


def test_merging_needs_windows():
    with pytest.raises(InputError, match="tgss has 0 windows"):
        merge_windows(detections([detection(1.0, 0.0, "", 1.0)]), survey_description("tgss"))
    with pytest.raises(InputError, match="LSPW_2 or LSPW_9.*X, Y"):
        merge_windows(detections([detection(1.0, 0.0, "X", 1.0), detection(1.0, 0.0, "Y", 1.0)]), MALS)


def test_overlaps_keep_the_row_nearest_its_pointing_centre():
    table = detections(
        [
            detection(10.0, 0.0, "LSPW_2", 1.0, "J1", pointing_offset_deg=0.9, rms_mjy=0.01),
            detection(10.0001, 0.0, "LSPW_2", 2.0, "J2", pointing_offset_deg=0.3, rms_mjy=0.05),
            detection(10.0002, 0.0, "LSPW_2", 3.0, "J3", pointing_offset_deg=0.5, rms_mjy=0.02),
            detection(10.0001, 0.0, "LSPW_9", 4.0, "J3", pointing_offset_deg=0.5),  # another window: no duplicate
            detection(10.0002, 0.0, "LSPW_2", 5.0, "J2", pointing_offset_deg=0.3),  # same pointing: another source
            detection(50.0, 0.0, "LSPW_2", 6.0, "J4"),
        ]
    )
    kept, rejected = drop_overlaps(table, 5.0)
    assert sorted(kept["flux_mjy"]) == [2.0, 4.0, 5.0, 6.0] and rejected[0].count == 2


def test_overlaps_without_offsets_keep_the_lower_noise():
    table = detections(
        [
            detection(359.9999, 0.0, "LSPW_2", 1.0, "J1", rms_mjy=0.05),
            detection(0.0001, 0.0, "LSPW_2", 2.0, "J2", rms_mjy=0.02),
        ]
    )
    kept, rejected = drop_overlaps(table, 5.0)
    assert list(kept["flux_mjy"]) == [2.0] and rejected[0].count == 1
    sources, _ = merge_windows(table, MALS)
    assert list(drop_overlaps(sources, 5.0)[0]["flux_1006_mjy"]) == [2.0]


def test_both_ends_of_a_chain_of_overlaps_are_kept():
    # B is within 5 arcsec of A and C, but A and C are 8 arcsec apart: only B is dropped.
    table = detections(
        [
            detection(10.0, 0.0, "LSPW_2", 1.0, "J1", rms_mjy=0.01),
            detection(10.0 + 4 / 3600, 0.0, "LSPW_2", 2.0, "J2", rms_mjy=0.02),
            detection(10.0 + 8 / 3600, 0.0, "LSPW_2", 3.0, "J3", rms_mjy=0.03),
        ]
    )
    assert list(drop_overlaps(table, 5.0)[0]["flux_mjy"]) == [1.0, 3.0]


def test_overlaps_need_pointings():
    with pytest.raises(InputError, match="pointing"):
        drop_overlaps(detections([detection(1.0, 0.0, "LSPW_2", 1.0, "")]), 5.0)
