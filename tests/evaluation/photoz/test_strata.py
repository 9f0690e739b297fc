"""Strata: completeness, edges, classes, and families without columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.evaluation.photoz.strata import EXTENDED, MAGNITUDE_EDGES, REDSHIFT_EDGES, SNR_EDGES, binned, families
from tests.evaluation.photoz.catalogues import make_catalogue


def members(family) -> dict[str, list[int]]:
    return {s.label: np.flatnonzero(s.member_N).tolist() for s in family.strata}


@pytest.fixture
def sky():
    rng = np.random.default_rng(4)
    n = 600
    redshift_N = rng.uniform(0, 4, n)
    redshift_N[rng.random(n) < 0.1] = np.nan
    mag_NC = rng.uniform(15, 25, (n, 3))
    mag_NC[rng.random((n, 3)) < 0.1] = np.nan
    snr_N = np.exp(rng.normal(0, 2, n))
    snr_N[rng.random(n) < 0.3] = np.nan
    morph_N = rng.choice(["PSF", "REX", "SER", ""], n).astype(object)
    kind_N = rng.choice(["BGS", "QSO"], n).astype(object)
    return make_catalogue(redshift_N, mag_NC=mag_NC, morphtype_N=morph_N, kind_N=kind_N), snr_N


def test_every_family_contains_every_galaxy_with_a_redshift_once(sky):
    catalogue, snr_N = sky
    found = families(catalogue, snr_N)
    assert [f.name for f in found] == ["redshift", "magnitude", "kind", "morphology", "snr"]
    for family in found:
        times_N = sum(s.member_N.astype(int) for s in family.strata if s.label != EXTENDED)
        np.testing.assert_array_equal(times_N, np.isfinite(catalogue.redshift_N))
        assert all(s.member_N.any() for s in family.strata)


def test_strata_contain_the_galaxies_of_their_labels(sky):
    catalogue, snr_N = sky
    by_name = {f.name: f for f in families(catalogue, snr_N)}
    known_N = np.isfinite(catalogue.redshift_N)
    for name, value_N, edges, absent in (
        ("redshift", catalogue.redshift_N, REDSHIFT_EDGES, None),
        ("magnitude", catalogue.mag_NC[:, 2], MAGNITUDE_EDGES, "not measured"),
        ("snr", snr_N, SNR_EDGES, "no spectrum"),
    ):
        strata = list(by_name[name].strata)
        if absent:
            last = strata.pop()
            assert last.label == absent and math.isnan(last.centre)
            np.testing.assert_array_equal(last.member_N, known_N & np.isnan(value_N))
        assert len(strata) == len(edges) - 1
        for stratum, low, high in zip(strata, edges[:-1], edges[1:], strict=True):
            np.testing.assert_array_equal(stratum.member_N, known_N & (low <= value_N) & (value_N < high))
            assert stratum.centre == np.median(value_N[stratum.member_N])
            assert all(f"{edge:g}" in stratum.label for edge in (low, high) if math.isfinite(edge))
    assert by_name["magnitude"].title == "i [mag]"


def test_strata_by_kind_and_morphology(sky):
    catalogue, snr_N = sky
    by_name = {f.name: f for f in families(catalogue, snr_N)}
    assert list(members(by_name["kind"])) == ["BGS", "QSO"]
    morphology = {s.label: s.member_N for s in by_name["morphology"].strata}
    assert list(morphology) == ["PSF", "REX", "SER", "unknown", EXTENDED]
    known_N = np.isfinite(catalogue.redshift_N)
    np.testing.assert_array_equal(morphology["PSF"], known_N & (catalogue.morphtype_N == "PSF"))
    np.testing.assert_array_equal(morphology[EXTENDED], known_N & (catalogue.morphtype_N != "PSF"))


def test_low_edges_are_inclusive():
    (family,) = families(make_catalogue([0.0, 0.1, np.nextafter(0.4, 0), 0.4, 5.0]), None)
    assert members(family) == {
        "below 0.1": [0],
        "0.1 to 0.2": [1],
        "0.2 to 0.4": [2],
        "0.4 to 0.6": [3],
        "2.1 and above": [4],
    }


def test_magnitude_strata_use_r_without_i_and_are_absent_without_both():
    mag_NC = np.array([[20.0, 18.5], [20.0, 22.0]])
    found = families(make_catalogue([0.1, 0.2], bands=("g", "r"), mag_NC=mag_NC), np.full(2, np.nan))
    assert [f.title for f in found] == ["spectroscopic redshift", "r [mag]"]
    assert members(found[1]) == {"18 to 19": [0], "22 to 23": [1]}
    empty_i = families(make_catalogue([0.1], mag_NC=np.array([[20.0, 18.5, np.nan]])), None)
    assert [f.title for f in empty_i] == ["spectroscopic redshift", "r [mag]"]
    assert [f.name for f in families(make_catalogue([0.1, 0.2], bands=("u",)), None)] == ["redshift"]
    assert families(make_catalogue([np.nan]), None)[0].strata == ()


@given(arrays(float, st.integers(0, 30), elements=st.floats(allow_nan=True)), st.randoms())
@settings(max_examples=40)
def test_bins_partition_any_values(value_N, random):
    known_N = np.array([random.random() < 0.8 for _ in value_N], bool)
    strata = binned("x", "x", value_N, known_N, (-math.inf, 0.0, 1.0, math.inf), "none").strata
    np.testing.assert_array_equal(sum((s.member_N.astype(int) for s in strata), np.zeros(value_N.size, int)), known_N)
