"""The page of a catalogue has its numbers, and a browser sorts and filters it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from mmae.bundle.predictions import Flag
from mmae.catalogue.browse.choose import ANOMALOUS, RANDOM, UNCERTAIN, half_width
from mmae.catalogue.browse.config import BrowseConfig
from mmae.catalogue.browse.job import browse
from mmae.catalogue.browse.pictures import binned
from mmae.catalogue.read import read_catalogue, read_format, read_pz
from mmae.catalogue.search import search
from mmae.catalogue.search_config import SearchConfig
from mmae.core.errors import InputError
from tests.catalogue.small import galaxy, options, predict_here, write_small_bundle, write_survey

pytest.importorskip("usearch")
N, SHOWN, NEAR = 150, 12, 4
NUMBERS = {
    "z": "mmae_z_median",
    "low": "mmae_z_err68_low",
    "high": "mmae_z_err68_high",
    "anomaly": "mmae_anomaly",
    "flags": "mmae_flags",
    "ra": "ra",
    "dec": "dec",
}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
ARTICLE = re.compile(r'<article data-id="([^"]+)"( hidden="")?')


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A survey s and its catalogue c, in several partitions."""
    folder = tmp_path_factory.mktemp("browse")
    # A name that a page must not take for its own code.
    galaxies = [galaxy(i) for i in range(N - 1)] + [galaxy(N - 1, object_id="</script><b>&amp;")]
    survey = write_survey(folder / "s", galaxies)
    predict_here(options(write_small_bundle(folder / "b"), survey, folder / "c"))
    return folder


def page_of(folder: Path, **changes) -> Path:
    numbers = dict.fromkeys(("anomalous", "uncertain", "random"), SHOWN) | {"neighbours": NEAR}
    values = {"survey": str(folder / "s"), "out": folder / "page", **numbers} | changes
    return browse(BrowseConfig(folder / "c", **values), Console(file=io.StringIO(), width=200))


@pytest.fixture(scope="module")
def page(folder) -> Path:
    return page_of(folder)


def data_of(page: Path) -> dict:
    found = DATA.search(page.read_text())
    assert found is not None
    return json.loads(found[1])


@pytest.fixture(scope="module")
def rows(folder) -> dict[str, dict]:
    """The rows of the catalogue by object_id, with the width of p(z)."""
    table = read_catalogue(folder / "c")
    table = table.append_column("width", pa.array(half_width(table)))
    return {row["object_id"]: row for row in table.to_pylist()}


def test_numbers_are_those_of_the_catalogue(page, rows):
    galaxies = data_of(page)["galaxies"]
    assert len({one["id"] for one in galaxies}) == len(galaxies) >= SHOWN
    for one in galaxies:
        row = rows[one["id"]]
        for name, column in NUMBERS.items():
            assert one[name] == pytest.approx(row[column], rel=1e-6, abs=1e-7), name
        assert one["width"] == pytest.approx(
            (row["mmae_z_err68_high"] - row["mmae_z_err68_low"]) / 2 / (1 + row["mmae_z_median"])
        )


def test_the_extremes_and_a_sample_are_chosen(page, rows):
    galaxies = data_of(page)["galaxies"]
    for reason, column in ((ANOMALOUS, "mmae_anomaly"), (UNCERTAIN, "width")):
        first = sorted(rows, key=lambda name: -rows[name][column])[:SHOWN]
        assert {one["id"] for one in galaxies if reason in one["reasons"]} == set(first)
    assert sum(RANDOM in one["reasons"] for one in galaxies) == SHOWN
    assert all(one["reasons"] for one in galaxies)


def test_pz_is_that_of_the_catalogue(page, folder):
    table = read_catalogue(folder / "c")
    pdf = read_pz(table, read_format(folder / "c"))
    cdf = dict(zip(table["object_id"].to_pylist(), pdf.cumulative_NK1(), strict=True))
    for one in data_of(page)["galaxies"]:
        x, y = one["pz"]
        assert y[0] == 0 and y[-1] == 1 and (np.diff(x) > 0).all()
        np.testing.assert_allclose(np.interp(pdf.edges_K1, x, y), cdf[one["id"]], atol=1e-4)


def test_measurements_are_those_of_the_survey(page):
    found = data_of(page)
    for one in found["galaxies"]:
        number = N - 1 if one["id"].startswith("<") else int(one["id"][1:])
        true = galaxy(number)
        assert one["known"] == pytest.approx(true.redshift, rel=1e-6)
        assert (one["flux"] is not None) == (true.flux_L is not None)
        assert (one["id"] in found["images"]) == (true.image_CHW is not None)
        if true.flux_L is not None:
            np.testing.assert_allclose(one["flux"], true.flux_L, rtol=5e-3)  # one sample a bin, three digits
    warned = {Flag.LITTLE_EVIDENCE, Flag.SECOND_PEAK, Flag.UNLIKE_TRAINING, Flag.OUTSIDE_TRAINING_RANGE}
    assert {flag["bit"] for flag in found["flags"]} <= {Flag.NO_IMAGE, Flag.NO_SPECTRUM, *warned}
    assert {Flag.UNLIKE_TRAINING, Flag.OUTSIDE_TRAINING_RANGE} <= {flag["bit"] for flag in found["flags"]}


def test_neighbours_are_those_of_a_search(page, folder, tmp_path):
    galaxies = [one for one in data_of(page)["galaxies"] if one["id"].startswith("g")][:2]
    like = tuple(one["id"] for one in galaxies)
    found = search(SearchConfig(folder / "c", like, neighbours=NEAR, out=tmp_path), Console(file=io.StringIO()))
    for one in galaxies:
        of_search = [row for row in found.to_pylist() if row["like"] == one["id"] and row["object_id"] != one["id"]]
        assert [near["id"] for near in one["near"]] == [row["object_id"] for row in of_search]
        np.testing.assert_allclose(
            [near["cosine"] for near in one["near"]], [row["cosine"] for row in of_search], atol=1e-4
        )


def test_without_survey_and_neighbours_there_are_numbers(folder, tmp_path):
    found = data_of(page_of(folder, survey="", neighbours=0, anomalous=0, uncertain=0, out=tmp_path))
    assert len(found["galaxies"]) == SHOWN and not found["images"]
    assert all(one["flux"] is None and one["known"] is None and not one["near"] for one in found["galaxies"])


def test_bins_of_a_spectrum_are_weighted_means():
    rng = np.random.default_rng(0)
    flux_L, ivar_L = rng.normal(3, 1, 23), rng.uniform(0.5, 2, 23)
    ivar_L[8:12], flux_L[9], ivar_L[0] = 0, np.nan, 0
    found = binned(flux_L, ivar_L, 4)
    assert found is not None
    flux_B, (low, high) = found
    parts = [slice(start, start + 4) for start in range(0, 23, 4)]
    means = [np.average(flux_L[s], weights=ivar_L[s]) if ivar_L[s].any() else np.nan for s in parts]
    np.testing.assert_allclose(flux_B, means)
    assert np.isnan(flux_B[2]) and low < np.nanmedian(flux_B) < high
    assert binned(flux_L, 0 * ivar_L, 4) is None


def test_what_cannot_be_shown_is_refused(folder, tmp_path):
    other = write_survey(tmp_path / "other", [galaxy(i) for i in range(500, 520)])
    with pytest.raises(InputError, match="has none of these galaxies"):
        page_of(folder, survey=str(other), out=tmp_path)
    with pytest.raises(InputError, match="not a catalogue"):
        browse(BrowseConfig(tmp_path))
    for wrong in ({"random": 1000}, {"anomalous": 0, "uncertain": 0, "random": 0}, {"neighbours": -1}):
        with pytest.raises(ValueError, match="it must be"):
            BrowseConfig(tmp_path, **wrong)


# --- in a browser -------------------------------------------------------------------------------


def seen(page: Path, tmp_path: Path, address: str = "", script: str = "") -> list[str]:
    """The galaxies that a browser shows, from top to bottom.

    Args:
        address: part of the address after the name of the file.
        script: run after those of the page.
    """
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri() + address], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    shown = [name for name, hidden in ARTICLE.findall(done.stdout) if not hidden]
    return [name.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for name in shown]


@pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
def test_a_browser_sorts(page, tmp_path):
    galaxies = data_of(page)["galaxies"]
    by_anomaly = [one["id"] for one in sorted(galaxies, key=lambda one: -one["anomaly"])]
    assert seen(page, tmp_path) == by_anomaly
    choose = "controls.elements.sort.value = 'z'; controls.elements.order.value = 'up';"
    change = f"{choose} controls.elements.order.dispatchEvent(new Event('input', {{ bubbles: true }}));"
    assert seen(page, tmp_path, script=change) == [one["id"] for one in sorted(galaxies, key=lambda one: one["z"])]


@pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
def test_a_browser_filters(page, tmp_path):
    galaxies = data_of(page)["galaxies"]
    wanted = [
        one
        for one in galaxies
        if UNCERTAIN in one["reasons"] and not one["flags"] & Flag.NO_SPECTRUM and one["z"] >= 0.5
    ]
    assert 0 < len(wanted) < SHOWN
    address = f"#sort=width&reason={UNCERTAIN.replace(' ', '+')}&flag{Flag.NO_SPECTRUM.value}=hide&from=0.5"
    expected = [one["id"] for one in sorted(wanted, key=lambda one: -one["width"])]
    assert seen(page, tmp_path, address) == expected
