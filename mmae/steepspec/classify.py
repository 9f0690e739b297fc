"""Rule-based classification of radio sources.

Each rule that applies adds points (natural logarithms of odds, rounded; set by hand from the
cited properties, not fitted) to classes and records a reason. The score is the share of the
best class, exp(points) / sum exp(points): for ranking, not a calibrated probability. Below a
minimum score the source is ambiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from mmae.core.errors import InputError

SourceClass = Literal["pulsar_candidate", "radio_galaxy", "agn", "star", "ambiguous"]
CLASSES: tuple[SourceClass, ...] = ("pulsar_candidate", "radio_galaxy", "agn", "star", "ambiguous")
Size = Literal["compact", "extended", "unknown"]
NAN = float("nan")


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the rules."""

    steep_likely: float = 0.8
    """P(alpha < -1.4) above which the rules treat a source as steep."""
    steep_possible: float = 0.5
    """P(alpha < -1.4) above which a source is possibly steep."""
    steep_unlikely: float = 0.1
    """P(alpha < -1.4) below which a source is not steep."""
    flat_alpha: float = -0.5
    """Flat spectrum if alpha exceeds this by one error: self-absorbed cores (Condon 1984, ApJ 287, 461)."""
    curvature_sigma: float = 3.0
    """Minimum significance of the curvature of a peaked spectrum, in its errors."""
    peaked_curvature: float = -0.2
    """q below this: peaked spectrum (Callingham+2017, ApJ 836, 174)."""
    reliable: float = 0.8
    """Minimum reliability (Sutherland & Saunders 1992) of the best counterpart candidate."""
    no_counterpart: float = 0.8
    """Minimum P(no counterpart) of an empty field."""
    deep_limit_mag: float = 21.0
    """Depth (AB, r or i) from which an empty field is evidence: most radio galaxies closer than
    z = 0.5 are brighter (Sadler+2007, MNRAS 381, 211)."""
    wise_agn_colour: float = 0.8
    """W1 - W2 (Vega), Stern+2012, ApJ 753, 30."""
    wise_agn_w2: float = 15.05
    """W2 (Vega mag) of the faintest counterpart to which that colour is applied."""
    gaia_sigma: float = 5.0
    """Parallax or proper motion over its error."""
    min_score: float = 0.6
    """Sources with a lower score of their best class are ambiguous."""


@dataclass(frozen=True)
class Evidence:
    """Measurements of one source; NaN, None or "" where there is none."""

    size: Size = "unknown"
    alpha: float = NAN
    alpha_err: float = NAN
    p_steep: float = NAN
    curvature: float = 0.0
    curvature_err: float = NAN
    reliability: float = NAN
    """Of the best optical/IR candidate; 0 when the search found none."""
    p_no_counterpart: float = NAN
    counterpart_is_galaxy: bool | None = None
    """Resolved in the optical image; None: unknown."""
    w1_mag: float = NAN
    w2_mag: float = NAN
    parallax_over_error: float = NAN
    pm_over_error: float = NAN
    optical_limit_mag: float = NAN
    """Depth of the optical survey at the source."""
    known_class: Literal["", "pulsar", "radio_galaxy", "agn", "star"] = ""
    """From the known-source veto."""
    known_name: str = ""


@dataclass(frozen=True)
class Rule:
    """Points added to classes if the condition holds; `reason` is a format string of the evidence `e`."""

    reason: str
    points: Mapping[SourceClass, float]
    applies: Callable[[Evidence, Thresholds], bool]


@dataclass(frozen=True)
class Verdict:
    """Class of one source."""

    source_class: SourceClass
    score: float
    """Share of the best class, 0.25 to 1."""
    reasons: tuple[str, ...]
    vetoed: bool
    """A known source: counted, but not a new candidate."""


def _has_counterpart(e: Evidence, t: Thresholds) -> bool:
    return e.reliability >= t.reliable


def _empty_field(e: Evidence, t: Thresholds) -> bool:
    return e.p_no_counterpart >= t.no_counterpart


def _moves(e: Evidence, t: Thresholds) -> bool:
    # Not a veto: companions of pulsars also have proper motions (Antoniadis 2021, MNRAS 501, 1116).
    return _has_counterpart(e, t) and (abs(e.parallax_over_error) >= t.gaia_sigma or e.pm_over_error >= t.gaia_sigma)


def _wise_agn(e: Evidence, t: Thresholds) -> bool:
    return _has_counterpart(e, t) and e.w1_mag - e.w2_mag >= t.wise_agn_colour and e.w2_mag < t.wise_agn_w2


# Comparisons with NaN are false: a rule on an unknown quantity never applies.
RULES: tuple[Rule, ...] = (
    Rule(
        "steep: P(alpha < -1.4) = {e.p_steep:.2f}",
        {"pulsar_candidate": 2.0, "radio_galaxy": 1.0},
        lambda e, t: e.p_steep >= t.steep_likely,
    ),
    Rule(
        "possibly steep: P(alpha < -1.4) = {e.p_steep:.2f}",
        {"pulsar_candidate": 1.0, "radio_galaxy": 0.5},
        lambda e, t: t.steep_possible <= e.p_steep < t.steep_likely,
    ),
    Rule(
        "probably not steep: P(alpha < -1.4) = {e.p_steep:.2f}",
        {"pulsar_candidate": -2.0},
        lambda e, t: t.steep_unlikely <= e.p_steep < t.steep_possible,
    ),
    Rule(
        "not steep: P(alpha < -1.4) = {e.p_steep:.2f}",
        {"pulsar_candidate": -4.0},
        lambda e, t: e.p_steep < t.steep_unlikely,
    ),
    Rule(
        "flat spectrum: alpha = {e.alpha:.2f} +- {e.alpha_err:.2f}",
        {"agn": 2.0},
        lambda e, t: e.alpha - e.alpha_err > t.flat_alpha,
    ),
    Rule(
        "optically thin synchrotron spectrum: alpha = {e.alpha:.2f}",
        {"radio_galaxy": 1.5},
        lambda e, t: e.alpha <= t.flat_alpha and e.p_steep < t.steep_possible,
    ),
    Rule(
        "peaked spectrum: q = {e.curvature:.2f}",
        {"agn": 1.0},
        lambda e, t: e.curvature < t.peaked_curvature and e.curvature < -t.curvature_sigma * e.curvature_err,
    ),
    Rule("compact", {"pulsar_candidate": 0.5, "agn": 0.5, "star": 0.5}, lambda e, t: e.size == "compact"),
    Rule(
        "extended",
        {"pulsar_candidate": -4.0, "star": -4.0, "agn": -1.0, "radio_galaxy": 2.0},
        lambda e, t: e.size == "extended",
    ),
    Rule(
        "no counterpart to magnitude {e.optical_limit_mag:.1f}",
        {"pulsar_candidate": 2.0, "star": -1.0},
        lambda e, t: _empty_field(e, t) and e.optical_limit_mag >= t.deep_limit_mag,
    ),
    Rule(
        "no counterpart, but the optical survey is shallow ({e.optical_limit_mag:.1f})",
        {},
        lambda e, t: _empty_field(e, t) and not e.optical_limit_mag >= t.deep_limit_mag,
    ),
    Rule("counterpart with reliability {e.reliability:.2f}", {"pulsar_candidate": -2.5}, _has_counterpart),
    Rule(
        "counterpart is a galaxy",
        {"radio_galaxy": 2.5},
        lambda e, t: _has_counterpart(e, t) and e.counterpart_is_galaxy is True,
    ),
    Rule(
        "counterpart is a point source without significant motion",
        {"agn": 1.5},
        lambda e, t: _has_counterpart(e, t) and e.counterpart_is_galaxy is False and not _moves(e, t),
    ),
    Rule("WISE colours of an AGN", {"agn": 3.0}, _wise_agn),
    Rule("counterpart has a parallax or proper motion (Gaia)", {"star": 6.0}, _moves),
)

KNOWN: Mapping[str, SourceClass] = {
    "pulsar": "pulsar_candidate",
    "radio_galaxy": "radio_galaxy",
    "agn": "agn",
    "star": "star",
}


def classify(evidence: Evidence, thresholds: Thresholds = Thresholds(), rules: Sequence[Rule] = RULES) -> Verdict:
    """Class, score and reasons of one source.

    A known source is given its known class and score 1, and is marked as vetoed.

    Raises:
        InputError: a probability is outside [0, 1], or the size or known class is not a valid one.
    """
    _check(evidence)
    if evidence.known_class:
        reason = f"known {evidence.known_class.replace('_', ' ')} {evidence.known_name}".strip()
        return Verdict(KNOWN[evidence.known_class], 1.0, (reason,), vetoed=True)
    points = dict.fromkeys(CLASSES[:-1], 0.0)
    points["star"] = -2.0  # radio stars are rare (Driessen+2024, PASA 41, e084)
    reasons = []
    for rule in rules:
        if rule.applies(evidence, thresholds):
            reasons.append(rule.reason.format(e=evidence))
            for name, value in rule.points.items():
                points[name] += value
    best = max(points, key=lambda name: points[name])
    score = 1.0 / sum(float(np.exp(value - points[best])) for value in points.values())
    if score >= thresholds.min_score:
        return Verdict(best, score, tuple(reasons), vetoed=False)
    lead = f"undecided: {best.replace('_', ' ')} leads with {score:.2f}"
    return Verdict("ambiguous", score, (*reasons, lead), vetoed=False)


def confusion_matrix(true: Sequence[str], found: Sequence[str], classes: Sequence[str] = CLASSES) -> np.ndarray:
    """(T,F) counts of true class by found class, both in the order of `classes`.

    Raises:
        InputError: lengths differ, or a label is not one of `classes`.
    """
    true, found = [str(name) for name in true], [str(name) for name in found]
    if len(true) != len(found):
        raise InputError(
            f"confusion matrix: {len(true)} true and {len(found)} found classes; give one of each per source"
        )
    unknown = sorted((set(true) | set(found)) - set(classes))
    if unknown:
        raise InputError(f"confusion matrix: unknown class {unknown[0]!r}; choose from {', '.join(classes)}")
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    index = {name: row for row, name in enumerate(classes)}
    for t, f in zip(true, found, strict=True):
        matrix[index[t], index[f]] += 1
    return matrix


def _check(e: Evidence) -> None:
    for name in ("p_steep", "reliability", "p_no_counterpart"):
        value = getattr(e, name)
        if isfinite(value) and not 0 <= value <= 1:
            raise InputError(f"evidence: {name} = {value:g} is not a probability; give 0 to 1, or NaN if unknown")
    if e.size not in ("compact", "extended", "unknown"):
        raise InputError(f"evidence: size {e.size!r}; choose compact, extended or unknown")
    if e.known_class and e.known_class not in KNOWN:
        raise InputError(f"evidence: known class {e.known_class!r}; choose from {', '.join(KNOWN)}, or leave it empty")
