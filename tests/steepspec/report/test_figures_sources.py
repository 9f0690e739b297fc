"""Contents of finder charts and spectra, compared with the tables: positions, numbers, limits."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from matplotlib.text import Text

from mmae.core.errors import InputError
from mmae.steepspec.regions import inside_ellipse
from mmae.steepspec.report import figures_sources as fs
from mmae.steepspec.report.spectrum_panel import LIMIT_ARROW
from mmae.steepspec.schema import MEMBERS, POINTS, REGIONS, SOURCES
from mmae.steepspec.spectra.sed import SEDFit, sed_model
from tests.steepspec.report.figure_tables import by_gid, drawn, table, text_of

REFERENCE = 1200.0
POSITIONS = [(150.0, -30.0), (0.02, 12.0), (359.99, -45.0), (40.0, 89.0), (40.0, 89.95), (10.0, -90.0)]


def region(ra=150.0, dec=-30.0, major=0.2, minor=0.1, pa=30.0):
    return table(
        REGIONS, name=["4FGL J1000.0-3000"], ra=[ra], dec=[dec], semi_major=[major], semi_minor=[minor], pa=[pa]
    )[0]


def around(row, east_arcmin, north_arcmin):
    """Positions in degrees at these offsets from the centre of a region, along great circles."""
    east, north = np.asarray(east_arcmin, float), np.asarray(north_arcmin, float)
    sky = SkyCoord(row["ra"], row["dec"], unit="deg").directional_offset_by(
        np.arctan2(east, north) * u.rad, np.hypot(east, north) * u.arcmin
    )
    return sky.ra.deg, sky.dec.deg


# --- finder chart


@pytest.mark.parametrize("ra, dec", POSITIONS)
def test_outline_satisfies_the_ellipse(ra, dec):
    row = region(ra, dec, pa=70.0)
    edge = SkyCoord(*fs.ellipse_outline(row), unit="deg")
    centre = SkyCoord(ra, dec, unit="deg")
    distance, angle = centre.separation(edge).deg, centre.position_angle(edge).rad - np.radians(70.0)
    left = (distance * np.cos(angle) / 0.2) ** 2 + (distance * np.sin(angle) / 0.1) ** 2
    np.testing.assert_allclose(left, 1, rtol=1e-8)
    assert distance.max() == pytest.approx(0.2) and distance.min() == pytest.approx(0.1, rel=1e-3)
    # The edge is that of `inside_ellipse`.
    for factor, inside in ((0.999, True), (1.001, False)):
        at = centre.directional_offset_by(centre.position_angle(edge), distance * factor * u.deg)
        assert (inside_ellipse(row, at.ra.deg, at.dec.deg) == inside).all()


@pytest.mark.parametrize("ra, dec", POSITIONS)
def test_east_is_left_and_north_is_up(ra, dec):
    row = region(ra, dec)
    east, north = np.array([5.0, 0.0, -3.0]), np.array([0.0, 6.0, -4.0])
    source_ra, source_dec = around(row, east, north)
    sources = table(SOURCES, source_id=list("abc"), ra=source_ra, dec=source_dec, alpha=[-0.8, -1.6, -1.0])
    chart = fs.finder_chart(row, sources, table(MEMBERS)).axes[0]
    (dots,) = by_gid(chart, "alpha")
    np.testing.assert_allclose(dots.get_offsets(), np.stack([east, north], 1), atol=1e-4)
    pixel = chart.transData.transform(dots.get_offsets())
    assert pixel[0, 0] < pixel[1, 0] < pixel[2, 0]  # the eastern one is left
    assert pixel[1, 1] > pixel[0, 1] > pixel[2, 1]
    (outline,) = by_gid(chart, "ellipse")
    assert np.hypot(*outline.get_data()).max() == pytest.approx(12, rel=1e-4)


def test_position_angle_of_the_outline_is_east_of_north():
    chart = fs.finder_chart(region(pa=30.0), table(SOURCES), table(MEMBERS)).axes[0]
    (outline,) = by_gid(chart, "ellipse")
    x, y = outline.get_data()
    tip = np.argmax(np.hypot(x, y) * (y > 0))
    assert np.degrees(np.arctan2(x[tip], y[tip])) == pytest.approx(30, abs=1)
    np.testing.assert_allclose(np.stack([x, y]), fs.tangent_plane(region(), *fs.ellipse_outline(region())))


def test_projection_is_gnomonic_and_nan_beyond_90_degrees():
    row = region(0.0, 0.0)
    east, north = fs.tangent_plane(row, [45.0, 0.0, 45.0, 90.0, 180.0], [0.0, 45.0, 45.0, 0.0, 0.0])
    np.testing.assert_allclose(east[:3], np.degrees([1, 0, 1]) * 60, atol=1e-9)
    np.testing.assert_allclose(north[:3], np.degrees([0, 1, np.sqrt(2)]) * 60, atol=1e-9)
    assert np.isnan(east[3:]).all() and np.isnan(north[3:]).all()


@pytest.fixture
def chart_tables():
    """One region, 40 sources on a line across the field and beyond; three candidates, one known steep source."""
    row, n = region(359.98, 0.0, major=0.3, minor=0.2, pa=-20.0), 40
    ra, dec = around(row, np.linspace(-40, 40, n), np.linspace(-28, 28, n))
    steep = np.isin(np.arange(n), (18, 19, 20, 22))
    sources = table(
        SOURCES,
        source_id=[f"S{i}" for i in range(n)],
        ra=ra,
        dec=dec,
        snr=np.full(n, 10.0),
        alpha=np.where(np.arange(n) % 2, -0.8, np.nan),
        alpha_err=np.full(n, np.nan),
        steep=steep,
    )
    sources["alpha"][steep], sources["source_class"][steep] = -2.0, "pulsar_candidate"
    sources["alpha"][30], sources["alpha_from"][30] = 1.5, "limits"
    found = {name: sources[name][steep] for name in sources.colnames}
    members = table(MEMBERS, rank=[117, 3, 0, 45], **found)
    return row, sources, members


def test_candidates_are_numbered_and_steep_sources_have_rings(chart_tables):
    row, sources, members = chart_tables
    chart = (figure := fs.finder_chart(row, sources, members, beam_arcsec=12.0)).axes[0]
    ranks = by_gid(chart, "rank")
    assert [text.get_text() for text in ranks] == ["3", "45", "117"]
    east, north = fs.tangent_plane(row, members["ra"][[1, 3, 0]], members["dec"][[1, 3, 0]])
    np.testing.assert_allclose([text.xy for text in ranks], np.stack([east, north], 1))
    assert len(by_gid(chart, "steep")[0].get_offsets()) == 4
    words = drawn(figure)
    assert words.index("3  S19") < words.index("45  S22") < words.index("117  S18")
    assert "S20" not in words  # rank 0: known source
    assert "4FGL J1000.0-3000" in words and "pulsar candidate" in words and "12\N{DOUBLE PRIME}" in words
    assert by_gid(chart, "beam")[0].get_radius() == pytest.approx(0.1)  # arcmin


def test_every_source_of_the_field_is_drawn_once(chart_tables):
    row, sources, members = chart_tables
    chart = fs.finder_chart(row, sources, members).axes[0]
    half = chart.get_ylim()[1]
    assert half >= 1.3 * 18 and chart.get_xlim() == (half, -half)
    east, north = fs.tangent_plane(row, sources["ra"], sources["dec"])
    inside = (abs(east) <= half) & (abs(north) <= half)
    measured = inside & np.isfinite(sources["alpha"]) & (sources["alpha_from"] != "limits")
    assert 0 < measured.sum() < inside.sum() < len(sources)
    (dots,), (grey,) = by_gid(chart, "alpha"), by_gid(chart, "no alpha")
    np.testing.assert_allclose(dots.get_offsets(), np.stack([east, north], 1)[measured])
    np.testing.assert_allclose(grey.get_offsets(), np.stack([east, north], 1)[inside & ~measured])
    np.testing.assert_array_equal(dots.get_array(), sources["alpha"][measured])
    assert dots.norm(-1.4) == pytest.approx(0.5)  # white, the centre of the diverging colour map
    figure = fs.finder_chart(row, sources, members, steep_limit=-1.2)
    assert by_gid(figure.axes[0], "alpha")[0].norm(-1.2) == pytest.approx(0.5)
    assert "\N{MINUS SIGN}1.2" in text_of(figure)


def test_rank_labels_do_not_overlap():
    row = region()
    ra, dec = around(row, np.linspace(-0.3, 0.3, 6), np.linspace(0.2, -0.2, 6))
    crowd = {"source_id": list("abcdef"), "ra": ra, "dec": dec, "alpha": [-2.0] * 6}
    figure = fs.finder_chart(row, table(SOURCES, **crowd), table(MEMBERS, rank=range(1, 7), **crowd))
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in by_gid(figure.axes[0], "rank")]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_circle_size_increases_with_flux_or_else_with_snr():
    row = region()
    ra, dec = around(row, [0, 1, 2], [0, 0, 0])
    sources = table(SOURCES, ra=ra, dec=dec, alpha=[-1.0] * 3, snr=[100, 10, 5], sed_flux_mjy=[1, 10, 100])
    (dots,) = by_gid(fs.finder_chart(row, sources, table(MEMBERS)).axes[0], "alpha")
    assert (np.diff(dots.get_sizes()) > 0).all()
    sources["sed_flux_mjy"][:2] = np.nan
    figure = fs.finder_chart(row, sources, table(MEMBERS))
    (dots,) = by_gid(figure.axes[0], "alpha")
    assert (np.diff(dots.get_sizes()) < 0).all() and "S/N" in text_of(figure)


def test_chart_without_sources_and_error_without_an_ellipse():
    figure = fs.finder_chart(region(), table(SOURCES), table(MEMBERS))
    drawn(figure)
    assert not by_gid(figure.axes[0], "rank") and not len(by_gid(figure.axes[0], "alpha")[0].get_offsets())
    with pytest.raises(InputError, match="4FGL J1000.0-3000"):
        fs.finder_chart(region(minor=np.nan), table(SOURCES), table(MEMBERS))


def test_key_is_limited_and_all_candidates_are_numbered():
    row, n = region(), fs.KEY_ROWS + 5
    ra, dec = around(row, np.linspace(-4, 4, n), np.zeros(n))
    many = {"source_id": [f"source-{i}" for i in range(n)], "ra": ra, "dec": dec}
    figure = fs.finder_chart(row, table(SOURCES, **many), table(MEMBERS, rank=range(1, n + 1), **many))
    words = drawn(figure)
    assert "5 more" in words and f"source-{fs.KEY_ROWS}" not in words
    assert len(by_gid(figure.axes[0], "rank")) == n


# --- spectra


@pytest.fixture
def spectrum():
    points = table(
        POINTS,
        source=[0] * 5,
        survey=["TGSS", "RACS", "MALS", "MALS", "NVSS"],
        frequency_mhz=[150, 887.5, 1006, 1381, 1400.0],
        flux_mjy=[90, 4.0, 3.1, 1.8, 2.5],
        error_mjy=[9, 0.3, 0.1, 0.2, 0.5],
        scale_error=[0.1, 0.07, 0.06, 0.06, 0.03],
        is_limit=[False, True, False, False, True],
    )
    source = table(
        SOURCES,
        source_id=["J0001"],
        alpha=[-1.75],
        alpha_err=[0.08],
        alpha_from=["sed"],
        p_steep=[0.93],
        sed_flux_mjy=[2.3],
        sed_flux_err_mjy=[0.1],
        curvature=[-0.1],
        curvature_err=[0.03],
        sed_flags=["few_points,extrapolated"],
    )
    return points, source


def test_detections_are_points_and_limits_arrows(spectrum):
    points, source = spectrum
    ax = (figure := fs.sed_figure(points, source[0], REFERENCE)).axes[0]
    limits = by_gid(ax, "limit")
    assert all(line.get_marker() is LIMIT_ARROW for line in limits)
    assert sorted(tuple(line.get_xydata()[0]) for line in limits) == [(887.5, 4.0), (1400.0, 2.5)]
    shown = {}
    for bars in ax.containers:
        data, _, (segments,) = bars.lines
        for (x, y), ends in zip(data.get_xydata(), segments.get_segments(), strict=True):
            shown[x] = y, *ends[:, 1]
    assert set(shown) == {150.0, 1006.0, 1381.0}
    flux, low, high = shown[150.0]
    assert flux == 90 and (high - flux, flux - low) == pytest.approx((np.hypot(9, 9),) * 2)
    assert (
        min(LIMIT_ARROW.vertices[:, 1]) < 0 == max(LIMIT_ARROW.vertices[:, 1])
    )  # the arrow points down from the limit
    words = drawn(figure)
    for part in (
        "TGSS",
        "RACS, limit",
        "MALS",
        "NVSS, limit",
        "few points",
        "extrapolated",
        "0.93",
        "(MHz)",
        "(mJy)",
        "\N{MINUS SIGN}1.75 \N{PLUS-MINUS SIGN} 0.08",
    ):
        assert part in words


def test_fit_line_band_and_comparison(spectrum):
    points, source = spectrum
    ax = fs.sed_figure(points, source[0], REFERENCE, steep_limit=-1.2).axes[0]
    (fit,), (steep,) = by_gid(ax, "fit"), by_gid(ax, "steep limit")
    x, y = fit.get_data()
    expected = SEDFit(-1.75, 0.08, 2.3, 0.1, -0.1, 0.03, 0.9, 0, 1, 3, 2, REFERENCE, 0)
    np.testing.assert_allclose(y, sed_model(expected, x))
    np.testing.assert_allclose(steep.get_ydata(), 2.3 * (x / REFERENCE) ** -1.2)
    (band,) = [c for c in ax.collections if "1" in str(c.get_label())]
    edge = band.get_paths()[0].vertices
    at = edge[np.isclose(edge[:, 0], x[0])][:, 1]
    ln_x = np.log(x[0] / REFERENCE)
    spread = np.sqrt((0.1 / 2.3) ** 2 + (0.08 * ln_x) ** 2 + (0.03 * ln_x**2) ** 2)
    assert (at.max(), at.min()) == pytest.approx((y[0] * np.exp(spread), y[0] * np.exp(-spread)))


@pytest.mark.parametrize(
    "unknown, fit, band",
    [
        ({"alpha": np.nan}, 0, 0),
        ({"sed_flux_mjy": np.nan}, 0, 0),
        ({"alpha_err": np.nan}, 1, 0),
        ({"curvature": 0.0, "curvature_err": np.nan}, 1, 1),
        ({"p_steep": np.nan}, 1, 1),
    ],
)
def test_unknown_quantities_are_not_drawn(spectrum, unknown, fit, band):
    points, source = spectrum
    for name, value in unknown.items():
        source[name] = value
    ax = (figure := fs.sed_figure(points, source[0], REFERENCE)).axes[0]
    words = drawn(figure)
    assert len(by_gid(ax, "fit")) == fit and len(by_gid(ax, "band")) == band
    assert len(by_gid(ax, "limit")) == 2 and len(ax.containers) == 2
    assert ("P(" in words) == ("p_steep" not in unknown)


def test_masked_cells_and_invalid_points(spectrum):
    points, source = spectrum
    source["sed_flags"] = MaskedColumn([""], mask=[True])
    source["curvature_err"] = MaskedColumn([0.0], mask=[True])
    points["flux_mjy"][:2], points["flux_mjy"][2] = np.nan, -1.0
    ax = (figure := fs.sed_figure(points, source[0], REFERENCE)).axes[0]
    assert "--" not in drawn(figure)  # the text of a masked cell
    assert len(by_gid(ax, "limit")) == 1 and len(ax.containers) == 1
    points["flux_mjy"] = np.nan
    empty = fs.sed_figure(points, source[0], REFERENCE)
    drawn(empty)
    assert not empty.axes[0].lines and not empty.axes[0].containers


def test_results_cover_no_measurement(spectrum):
    points, source = spectrum
    fluxes = ([90, 4, 3, 2, 1], [1, 2, 3, 4, 90], [90, 1, 90, 1, 90], [5, 90, 5, 0.1, 5], [90, 1, 9, 90, 1])
    for second, flux in zip((887, 887, 887, 887, 160), fluxes, strict=True):  # the last: points in all four corners
        points["flux_mjy"], points["frequency_mhz"][1] = np.array(flux, float), second
        figure = fs.sed_figure(points, source[0], REFERENCE)
        figure.draw_without_rendering()
        ax = figure.axes[0]
        box = by_gid(ax, "results")[0].get_window_extent()
        pixels = ax.transData.transform(np.stack([points["frequency_mhz"], points["flux_mjy"]], 1))
        assert not any(box.contains(*pixel) for pixel in pixels)
        assert all(ax.bbox.contains(*pixel) for pixel in pixels)


def test_gallery_panels_have_the_points_of_their_source(spectrum):
    points, source = spectrum
    fitted = ("alpha", "alpha_err", "sed_flux_mjy", "sed_flux_err_mjy")
    sources = table(SOURCES, source_id=list("abcd"), **{name: np.repeat(source[name], 4) for name in fitted})
    others = points[:3].copy()
    others["source"], others["flux_mjy"] = 2, others["flux_mjy"] * 7
    both = Table(np.concatenate([points.as_array(), others.as_array()]))
    figure = fs.sed_gallery(both, sources, [2, 0, 3], REFERENCE, title="Best")
    words = drawn(figure)
    panels = figure.axes[:3]
    assert [ax.get_title() for ax in panels] == ["c", "a", "d"]
    assert "Best" in words and not panels[2].lines
    assert [len(by_gid(ax, "limit")) for ax in panels] == [1, 2, 0]
    assert by_gid(panels[0], "limit")[0].get_ydata()[0] == 28
    # Surveys have the same style in all panels.
    colours = [{bars.get_label(): bars.lines[0].get_color() for bars in ax.containers} for ax in panels[:2]]
    assert colours[0]["MALS"] == colours[1]["MALS"] != colours[0]["TGSS"]
    assert words.count("TGSS") == 1


def test_gallery_of_no_and_of_too_many_sources(spectrum):
    points, source = spectrum
    empty = fs.sed_gallery(points, source, [], REFERENCE)
    drawn(empty)
    assert not any(ax.lines for ax in empty.axes)
    assert len(fs.sed_gallery(points, source, [0] * 12, REFERENCE).axes) == 12
    with pytest.raises(InputError, match="13"):
        fs.sed_gallery(points, source, [0] * 13, REFERENCE)
