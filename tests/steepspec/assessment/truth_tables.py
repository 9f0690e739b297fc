"""Small truth tables, and tables of searches that detect some of their sources, for the assessment tests."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from mmae.steepspec.schema import MEMBERS, REGIONS, SOURCES

DEFAULTS = {"float": np.nan, "int": 0, "bool": False, "text": ""}
TYPES = {"float": float, "int": int, "bool": bool, "text": "U32"}


def made(spec, n, **given):
    """A table of n rows with the columns of the schema; columns not given have default values."""
    return Table({c.name: np.asarray(given.get(c.name, np.full(n, DEFAULTS[c.kind])), TYPES[c.kind]) for c in spec})


def make_truth(n, **given):
    """True sources on a line, 36 arcsec apart."""
    default = {
        "ra": 10 + 0.01 * np.arange(n),
        "dec": np.zeros(n),
        "source_class": np.full(n, "pulsar_candidate"),
        "alpha": np.full(n, -2.0),
        "s1400_mjy": np.ones(n),
        "size_arcsec": np.zeros(n),
        "known": np.zeros(n, bool),
        "region": np.full(n, -1),
    }
    return Table({"truth_id": np.arange(n)} | default | {name: np.asarray(v) for name, v in given.items()})


def detect(truth, rows, **given):
    """Sources at the true positions of some rows, by default steep and classed as pulsars."""
    rows = np.asarray(rows, int)
    n = len(rows)
    default = {
        "source_id": [f"S{row}" for row in rows],
        "ra": np.asarray(truth["ra"])[rows],
        "dec": np.asarray(truth["dec"])[rows],
        "snr": np.full(n, 20.0),
        "steep": np.ones(n, bool),
        "source_class": np.full(n, "pulsar_candidate"),
        "alpha": np.full(n, -2.0),
        "p_steep": np.full(n, 0.9),
        "alpha_err": np.full(n, 0.1),
        "alpha_from": np.full(n, "sed"),
        "n_detections": np.full(n, 2),
        "pointing": [f"P{row % 5}" for row in rows],
    }
    return made(SOURCES, n, **(default | given))


def make_members(sources, rows, regions):
    found = sources[np.asarray(rows, int)]
    return made(MEMBERS, len(rows), **{c: found[c] for c in found.colnames}, region=regions)


def make_regions(names, size=0.1, in_footprint=None):
    n = len(names)
    return made(
        REGIONS,
        n,
        name=names,
        semi_major=np.full(n, 2.0) * size,
        semi_minor=np.full(n, 0.5) * size,
        in_footprint=np.ones(n, bool) if in_footprint is None else in_footprint,
    )


def value(score):
    return score.value, score.n


def pulled(pull, **given):
    """Sources with these pulls of alpha."""
    n = len(pull)
    rng = np.random.default_rng(1)
    truth = make_truth(n, alpha=rng.normal(-0.8, 0.3, n))
    error = rng.uniform(0.05, 0.5, n)
    given = {"alpha_err": error, "pointing": [f"P{i % 20}" for i in range(n)]} | given
    sources = detect(truth, range(n), alpha=np.asarray(truth["alpha"]) + error * pull, **given)
    return sources, truth, np.arange(n)
