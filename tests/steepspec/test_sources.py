"""Sources from detections: windows, noise, sizes and the in-band index."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from mmae.steepspec.catalogue import RADIO_COLUMNS, survey_description
from mmae.steepspec.config import SourceSettings
from mmae.steepspec.sources import bands_of, measure_sources, merge_detections

MALS = survey_description("mals_dr1")


def catalogue(rows: list[dict]) -> Table:
    """Rows of `read_catalogue`; columns not given are missing."""
    table = Table()
    for name, unit in RADIO_COLUMNS.items():
        missing = "" if unit is None else np.nan
        table[name] = [row.get(name, missing) for row in rows]
        table[name].unit = unit
    return table


def detection(ra, band, peak, flux=None, rms=0.02, pointing="A", **more):
    flux = peak if flux is None else flux
    return {
        "source_id": f"{ra}",
        "ra": ra,
        "dec": -30.0,
        "flux_mjy": flux,
        "flux_err_mjy": rms,
        "peak_mjy": peak,
        "peak_err_mjy": rms,
        "rms_mjy": rms,
        "band": band,
        "pointing": pointing,
        **more,
    }


def measured(rows, survey=MALS, settings=SourceSettings()):
    table, _ = merge_detections(catalogue(rows), survey)
    columns, keep, counts = measure_sources(table, bands_of(table, survey, 5.0), settings)
    order = np.argsort(columns["ra"])
    return {name: values[order] for name, values in columns.items()}, keep[order], counts


def test_two_windows_make_one_source_with_an_index():
    columns, keep, _ = measured(
        [detection(10.0, "LSPW_2", 2.0), detection(10.0, "LSPW_9", 1.0), detection(11.0, "LSPW_2", 0.5)]
    )
    assert len(keep) == 2 and keep.all()
    ln_ratio = np.log(1381 / 1006)
    assert columns["alpha_band"][0] == pytest.approx(np.log(0.5) / ln_ratio)
    # noise of both fluxes and both flux-scale errors, in quadrature
    assert columns["alpha_band_err"][0] == pytest.approx(np.sqrt(0.01**2 + 0.02**2 + 2 * 0.06**2) / ln_ratio)
    assert np.isnan(columns["alpha_band"][1])
    assert columns["snr"].tolist() == pytest.approx([100.0, 25.0])


def test_faint_sources_are_rejected_and_those_of_unknown_noise_kept():
    rows = [
        detection(10.0, "LSPW_2", 0.09),
        detection(11.0, "LSPW_2", 0.2),
        detection(12.0, "LSPW_2", 0.09, rms=np.nan),
    ]
    _, keep, counts = measured(rows)
    assert keep.tolist() == [False, True, True]
    assert [entry.count for entry in counts] == [1]


def test_position_error_is_that_of_the_window_with_the_smaller_beam():
    columns, _, _ = measured(
        [detection(10.0, "LSPW_2", 0.2), detection(10.0, "LSPW_9", 0.2)], settings=SourceSettings(astrometry_arcsec=0.3)
    )
    assert columns["pos_err_arcsec"][0] == pytest.approx(np.hypot(8 / 2.3548 / 10, 0.3), rel=1e-4)


@pytest.mark.parametrize(
    ("flux", "major", "size"), [(10.0, 8.05, "compact"), (16.0, 12.0, "extended"), (10.0, np.nan, "compact")]
)
def test_sizes(flux, major, size):
    columns, _, _ = measured([detection(10.0, "LSPW_9", 10.0, flux=flux, major_arcsec=major)])
    assert columns["size"].tolist() == [size]


def test_a_source_extended_in_one_window_is_extended():
    columns, _, _ = measured(
        [
            detection(10.0, "LSPW_9", 10.0, flux=10.0, major_arcsec=8.0),
            detection(10.0, "LSPW_2", 10.0, flux=16.0, major_arcsec=18.0),
        ]
    )
    assert columns["size"].tolist() == ["extended"]


def test_duplicates_of_two_pointings_are_dropped():
    twice = [detection(10.0, "LSPW_2", 2.0, pointing="A"), detection(10.0, "LSPW_2", 2.0, pointing="B", rms=0.05)]
    table, counts = merge_detections(catalogue(twice), MALS)
    assert table["pointing"].tolist() == ["A"] and counts[-1].count == 1
    table, counts = merge_detections(catalogue([detection(10.0, "LSPW_2", 2.0, pointing="")]), MALS)
    assert len(table) == 1 and not counts


def test_a_survey_of_one_frequency_without_errors():
    gleam = survey_description("gleam_kgs")
    columns, keep, _ = measured([{"source_id": "a", "ra": 1.0, "dec": -3.0, "flux_mjy": 300.0, "alpha": -0.9}], gleam)
    assert keep.all() and np.isnan(columns["snr"][0]) and columns["alpha_catalogue"][0] == -0.9
    (band,) = bands_of(merge_detections(catalogue([{"ra": 1.0, "dec": -3.0, "flux_mjy": 300.0}]), gleam)[0], gleam, 5.0)
    assert band.error_N.tolist() == [gleam.limit_mjy / 5]
