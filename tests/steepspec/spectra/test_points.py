"""Flux densities and limits used in a spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from mmae.steepspec.catalogue import survey_description
from mmae.steepspec.config import PointSettings
from mmae.steepspec.sources import bands_of, merge_detections
from mmae.steepspec.spectra.points import Companion, spectral_points
from tests.steepspec.test_sources import MALS, catalogue, detection

TGSS = survey_description("tgss")


def pointing_of(n: int, radius: float, band: str, centre: float = 60.0, rms: float = 0.02) -> list[dict]:
    """Detections evenly distributed over a disc at the equator."""
    r, angle = radius * np.sqrt((np.arange(n) + 0.5) / n), np.arange(n) * 2.39996
    return [
        detection(centre + dx, band, 1.0, rms=rms) | {"dec": dy}
        for dx, dy in zip(r * np.cos(angle), r * np.sin(angle), strict=True)
    ]


def points_of(rows, companions=(), settings=PointSettings(), survey=MALS):
    table, _ = merge_detections(catalogue(rows), survey)
    bands = bands_of(table, survey, settings.detection_sigma)
    ra, dec = (np.asarray(table[name]) for name in ("ra", "dec"))
    return table, spectral_points(ra, dec, bands, companions, settings)


def of(points: Table, source: int, survey: str) -> Table:
    return points[(points["source"] == source) & np.char.startswith(np.asarray(points["survey"], str), survey)]


def test_a_non_detection_in_a_covered_window_is_a_limit_from_the_local_noise():
    low, high = pointing_of(400, 1.3, "LSPW_2"), pointing_of(300, 0.9, "LSPW_9", rms=0.03)
    high = [row for row in high if np.hypot(row["ra"] - 60, row["dec"]) > 0.05]  # nothing in the middle
    inner = detection(60.001, "LSPW_2", 0.4) | {"dec": 0.0}
    outer = detection(61.1, "LSPW_2", 0.4) | {"dec": 0.0}
    table, points = points_of([*low, *high, inner, outer])
    ra = np.asarray(table["ra"])
    limit = of(points, int(np.argmin(abs(ra - 60.001) + abs(np.asarray(table["dec"])))), "LSPW_9")
    assert len(limit) == 1 and limit["is_limit"][0]
    assert limit["flux_mjy"][0] == pytest.approx(5 * 0.03) and limit["error_mjy"][0] == pytest.approx(0.03)
    # at 1.1 degrees from the centre, outside the second window
    assert len(of(points, int(np.argmin(abs(ra - 61.1) + abs(np.asarray(table["dec"])))), "LSPW_9")) == 0


def test_every_detection_is_one_point_and_the_points_are_sorted():
    table, points = points_of([*pointing_of(50, 1.0, "LSPW_2"), *pointing_of(50, 0.9, "LSPW_9")])
    detected = points[~np.asarray(points["is_limit"])]
    for name, band in (("LSPW_2", 1006), ("LSPW_9", 1381)):
        in_band = detected[detected["frequency_mhz"] == band]
        assert sorted(in_band["source"]) == np.flatnonzero(np.isfinite(table[f"flux_{band}_mjy"])).tolist(), name
    assert (np.diff(points["source"]) >= 0).all()
    assert np.bincount(points["source"]).max() == 2  # a detection or a limit for each window, never both


def companion(rows: list[dict]) -> Companion:
    return Companion(TGSS, catalogue([{"source_id": "t", "rms_mjy": 3.5, "flux_err_mjy": 4.0, **row} for row in rows]))


def everywhere(step: float = 0.1) -> list[dict]:
    """Other sources of a companion survey, which define its coverage; none near the test position."""
    grid = np.arange(-0.9, 0.91, step) + 0.05
    return [{"ra": 60 + x, "dec": y, "flux_mjy": 90.0} for x in grid for y in grid]


def test_companion_detection_and_limit_inside_its_coverage():
    here, there = detection(60.0, "LSPW_2", 1.0) | {"dec": 0.0}, detection(61.0, "LSPW_2", 1.0) | {"dec": 60.0}
    table, points = points_of([here, there], [companion([*everywhere(), {"ra": 60.002, "dec": 0.0, "flux_mjy": 40.0}])])
    rows = {float(ra): row for row, ra in enumerate(table["ra"])}
    point = of(points, rows[60.0], "tgss")
    assert point["flux_mjy"].tolist() == [40.0] and not point["is_limit"][0]
    assert point["error_mjy"].tolist() == [4.0] and point["scale_error"].tolist() == [0.10]
    assert len(of(points, rows[61.0], "tgss")) == 0  # not in its footprint
    _, points = points_of([here], [companion(everywhere())])
    limit = of(points, 0, "tgss")
    assert limit["is_limit"][0] and limit["flux_mjy"][0] == TGSS.limit_mjy and limit["error_mjy"][0] == 3.5
    _, points = points_of([here], [companion([*everywhere(), {"ra": 60.0045, "dec": 0.0, "flux_mjy": 40.0}])])
    assert of(points, 0, "tgss")["is_limit"][0]  # 16 arcsec away: half a beam of 25 arcsec is 12.5


def test_two_sources_in_one_beam_have_limits():
    pair = [detection(60.0, "LSPW_2", 1.0) | {"dec": 0.0}, detection(60.003, "LSPW_2", 0.5) | {"dec": 0.0}]
    survey = companion([*everywhere(), {"ra": 60.001, "dec": 0.0, "flux_mjy": 40.0}])
    table, points = points_of(pair, [survey])
    for source in (0, 1):
        point = of(points, source, "tgss")
        assert point["is_limit"].tolist() == [True] and point["flux_mjy"].tolist() == [40.0]
    pair[1] = detection(60.003, "LSPW_2", 0.09, rms=0.01) | {"dec": 0.0}  # below a tenth of the first
    table, points = points_of(pair, [survey])
    bright = int(np.argmax(table["flux_1006_mjy"]))
    assert of(points, bright, "tgss")["is_limit"].tolist() == [False]
    assert of(points, 1 - bright, "tgss")["is_limit"].tolist() == [True]


def test_the_limit_of_an_extended_source_is_scaled_by_flux_over_peak():
    row = detection(60.0, "LSPW_2", 1.0, flux=3.0) | {"dec": 0.0}
    _, points = points_of([row], [companion(everywhere())])
    assert of(points, 0, "tgss")["flux_mjy"][0] == pytest.approx(3 * TGSS.limit_mjy)
