"""Contents of the figures of all sources and of known pulsars, compared with the tables."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.classify import Thresholds
from mmae.steepspec.pulsars import detectability, detectability_by_band
from mmae.steepspec.report import figures_population as fp
from mmae.steepspec.report.figures_pulsars import DECLINATION_EDGES, LATITUDE_EDGES, LIMITS_MJY, detectability_figure
from mmae.steepspec.schema import MEMBERS, REGIONS, SOURCES
from tests.steepspec.report.figure_tables import by_gid, drawn, table

# --- populations


@pytest.fixture
def population():
    """300 sources, 60 of them without an index or with one from limits; 40 in ellipses, one in two; 5 candidates."""
    rng = np.random.default_rng(3)
    n = 300
    sources = table(
        SOURCES,
        source_id=[f"S{i}" for i in range(n)],
        ra=rng.uniform(0, 360, n),
        dec=rng.uniform(-90, 90, n),
        alpha=rng.normal(-0.8, 0.5, n),
        alpha_err=np.full(n, 0.1),
        sed_flux_mjy=rng.lognormal(0, 1, n),
        snr=np.full(n, 9.0),
        alpha_from=["sed"] * n,
        source_class=rng.choice(["agn", "star", "radio_galaxy", "ambiguous"], n),
    )
    sources["alpha"][:40], sources["alpha_from"][:40] = np.nan, ""
    sources["alpha_from"][40:60] = "limits"
    sources["alpha"][100:105], sources["source_class"][100:105] = -2.0, "pulsar_candidate"
    rows = [100, *range(30, 64), 100, 101, 102, 103, 104, 299]
    members = table(MEMBERS, **{name: sources[name][rows] for name in sources.colnames})
    members["rank"][35:40] = [1, 2, 3, 4, 5]
    members["region"] = ["A"] * 35 + ["B"] * 5 + ["A"]
    return sources, members


def numbers_in(text: str) -> list[int]:
    """The numbers of a text that are not part of a name such as W1."""
    return [int(number) for number in re.findall(r"\b\d+\b", text)]


def heights(ax, gid: str) -> float:
    """Sum of a histogram over its bars, or under its outline."""
    patches = by_gid(ax, gid)
    if len(patches) > 1:
        return sum(patch.get_height() for patch in patches)
    edges, values = patches[0].get_xy().T
    width = np.diff(edges)
    return float((width * values[:-1])[width > 0].sum() / width[width > 0].min())


def test_histograms_count_each_source_once(population):
    sources, members = population
    ax = (figure := fp.alpha_figure(sources, members)).axes[0]
    assert heights(ax, "candidates") == 5
    # 40 members without the 10 without an index and the 20 from limits; one is listed twice.
    assert heights(ax, "in error ellipses") == pytest.approx(10)
    assert heights(ax, "all sources") == pytest.approx(10)
    drawn(figure)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    shown = {label.split(":")[0]: [float(x) for x in re.findall(r"\d+\.?\d*", label)] for label in labels}
    # drawn, from limits, without an index, scale
    assert shown == {"all sources": [240, 20, 40, 0.042], "in error ellipses": [10, 20, 10], "candidates": [5]}


def test_steep_limit_is_a_bin_edge_and_outermost_bins_include_extremes(population):
    sources, members = population
    sources["alpha"][200:203] = [-9.0, 9.0, 9.0]
    ax = fp.alpha_figure(sources, members, steep_limit=-1.3).axes[0]
    bars = by_gid(ax, "all sources")
    assert min(abs(bar.get_x() + 1.3) for bar in bars) < 1e-9
    share = 10 / 240
    assert bars[0].get_height() == pytest.approx(share) and bars[-1].get_height() == pytest.approx(2 * share)
    assert heights(ax, "all sources") == pytest.approx(10)


def test_alpha_is_drawn_against_flux_or_else_snr(population):
    sources, members = population
    right = fp.alpha_figure(sources, members).axes[1]
    (bars,) = [c for c in right.containers if c.get_label() == "candidates"]
    np.testing.assert_allclose(np.sort(bars.lines[0].get_xdata()), np.sort(sources["sed_flux_mjy"][100:105]))
    assert "mJy" in right.get_xlabel() and bars.has_yerr
    sources["sed_flux_mjy"] = np.nan
    assert fp.alpha_figure(sources, members).axes[1].get_xlabel() == "S/N"


def test_colours_by_class_and_the_agn_region(population):
    _, members = population
    n = len(members)
    members["w2_mag"], members["w1_mag"] = np.linspace(12, 17, n), np.linspace(13, 17.2, n)
    members["optical_mag"] = np.where(np.arange(n) < 8, 20.0, np.nan)
    members["counterpart_id"][1:26] = "x"
    members["w1_mag"][21:31] = np.nan
    thresholds = Thresholds(wise_agn_colour=0.7, wise_agn_w2=14.9)
    left, right = (figure := fp.colour_figure(members, thresholds)).axes
    drawn(figure)
    unique = fp.unique_sources(members)
    assert len(unique) == 40 and np.isfinite(unique["w1_mag"]).sum() == 30
    # with magnitudes, all, without a counterpart
    assert numbers_in(left.get_title()) == [30, 40, 15] and numbers_in(right.get_title()) == [7, 40, 15]
    points = sum(len(line.get_xdata()) for name in fp.CLASS_STYLES for line in by_gid(left, name))
    assert points == 30
    (pulsars,) = by_gid(left, "pulsar_candidate")
    assert len(pulsars.get_xdata()) == (unique["source_class"] == "pulsar_candidate").sum() == 5
    shown = sorted(x for name in fp.CLASS_STYLES for line in by_gid(right, name) for x in line.get_xdata())
    np.testing.assert_allclose(shown, np.sort(20 - members["w2_mag"][1:8]))
    corners = by_gid(left, "agn region")[0].get_paths()[0].vertices
    assert corners[:, 0].max() == 14.9 and corners[:, 1].min() == 0.7


def test_regions_in_galactic_coordinates():
    galactic = SkyCoord([0.0, 90.0, 180.5, 0.0, 270.0], [0.0, 0, 0, 80, -45], unit="deg", frame="galactic")
    regions = table(
        REGIONS,
        name=list("ABCDE"),
        ra=galactic.icrs.ra.deg,
        dec=galactic.icrs.dec.deg,
        in_footprint=[True, True, False, False, True],
    )
    members = table(
        MEMBERS,
        region=["A", "B", "B", "D", "E"],
        rank=[0, 2, 3, 4, 0],
        source_class=["pulsar_candidate", "agn", "pulsar_candidate", "agn", "pulsar_candidate"],
    )
    ax = (figure := fp.sky_figure(regions, members)).axes[0]
    words = drawn(figure)

    def at(gid):
        return np.degrees(by_gid(ax, gid)[0].get_offsets().data)

    np.testing.assert_allclose(at("pulsar candidates"), [[-90, 0]], atol=1e-6)  # l = 90 is left
    np.testing.assert_allclose(at("candidates"), [[0, 80]], atol=1e-6)
    np.testing.assert_allclose(at("outside the radio survey"), [[179.5, 0]], atol=1e-6)
    np.testing.assert_allclose(at("inside, no candidates"), [[0, 0], [90, -45]], atol=1e-6)
    assert ": 2" in words and "330" in words  # regions inside without candidates; a tick label


@pytest.mark.parametrize("counts, observed", [([3, 4, 4, 7], 4), ([5], 2), (np.arange(0, 400, 7), 900), ([0, 0, 0], 0)])
def test_chance_histogram_and_observed_count(counts, observed):
    ax = (figure := fp.chance_figure({"steep ones": (np.array(counts), observed)})).axes[0]
    bars = by_gid(ax, "moved")
    assert sum(bar.get_height() for bar in bars) == len(counts)
    widths = {round(bar.get_width(), 6) for bar in bars}
    assert len(widths) == 1 and widths.pop() % 1 == 0
    (line,) = by_gid(ax, "observed")
    assert set(line.get_xdata()) == {observed} and ax.get_xlim()[0] < observed < ax.get_xlim()[1]
    words = drawn(figure)
    assert f"{sum(c >= observed for c in counts)} of {len(counts)} sets" in words and "steep ones" in words


def test_empty_tables():
    sources, members, regions = table(SOURCES), table(MEMBERS), table(REGIONS)
    figures = (
        fp.alpha_figure(sources, members),
        fp.colour_figure(members, Thresholds()),
        fp.chance_figure({}),
        fp.chance_figure({"a": (np.zeros(0), 3)}),
    )
    for figure in figures:
        drawn(figure)
        assert not any(ax.patches or any(len(line.get_xdata()) for line in ax.lines) for ax in figure.axes)
    drawn(fp.sky_figure(regions, members))


def test_sources_without_members(population):
    ax = (figure := fp.alpha_figure(population[0], table(MEMBERS))).axes[0]
    assert heights(ax, "all sources") == 240
    drawn(figure)


# --- pulsars


@pytest.fixture
def pulsars() -> Table:
    rng = np.random.default_rng(5)
    n = 400
    flux = np.where(np.arange(n) < 300, rng.lognormal(-1, 1, n), np.nan)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    dec[200] = 90.0  # with a flux
    return Table(
        {
            "ra": rng.uniform(0, 360, n),
            "dec": dec,
            "spindx": np.full(n, np.nan),
            "spindx_err": np.full(n, np.nan),
            "flux_1400": np.roll(flux, 50),
            "flux_err_1400": np.full(n, np.nan),
        }
    )


def test_fraction_against_the_limit(pulsars):
    depth = (figure := detectability_figure(pulsars, 1381, 0.37)).axes[0]
    (line,), (limit,), (band,) = (by_gid(depth, gid) for gid in ("fraction", "limit", "band"))
    found = [detectability(pulsars, 1381, flux, resamplings=0) for flux in LIMITS_MJY]
    np.testing.assert_allclose(line.get_xydata(), np.stack([LIMITS_MJY, [d.fraction for d in found]], 1))
    edge = band.get_paths()[0].vertices
    at = edge[np.isclose(edge[:, 0], LIMITS_MJY[30])][:, 1]
    assert (at.min(), at.max()) == pytest.approx((found[30].low, found[30].high))
    assert set(limit.get_xdata()) == {0.37}
    words = drawn(figure)
    fraction = detectability(pulsars, 1381, 0.37).fraction
    assert "0.37 mJy" in words and f"{fraction:.1%}" in words
    assert "300 of 400" in words


def test_bins_contain_all_pulsars(pulsars):
    axes = detectability_figure(pulsars, 700, 0.37).axes
    sky = SkyCoord(pulsars["ra"], pulsars["dec"], unit="deg")
    for ax, values, edges in (
        (axes[1], sky.dec.deg, DECLINATION_EDGES),
        (axes[2], abs(sky.galactic.b.deg), LATITUDE_EDGES),
    ):
        bands = detectability_by_band(pulsars, values, [*edges[:-1], 91], 700, 0.37, resamplings=0)
        np.testing.assert_allclose([bar.get_height() for bar in by_gid(ax, "bands")], bands["fraction"])
        numbers = [int(text.get_text()) for text in by_gid(ax, "number")]
        assert numbers == list(bands["pulsars"]) and sum(numbers) == 300  # including the pulsar at the pole
        (bars,) = [container for container in ax.containers if hasattr(container, "has_yerr")]
        ends = np.array([s[:, 1] for s in bars.lines[2][0].get_segments()])
        np.testing.assert_allclose(ends, np.stack([bands["low"], bands["high"]], 1))


def test_pulsars_without_a_flux_and_invalid_limits(pulsars):
    for none in (pulsars[:0], pulsars[:50]):
        figure = detectability_figure(none, 1381, 0.1)
        assert drawn(figure).count("S1400") == 3  # one message per panel
    for frequency, limit in ((1381, 0.0), (1381, np.nan), (0.0, 0.1)):
        with pytest.raises(InputError):
            detectability_figure(pulsars, frequency, limit)
