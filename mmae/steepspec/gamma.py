"""Ranking of Fermi sources by their similarity to pulsars: curved spectra, steady fluxes, exponential cut-offs.

Gamma-ray pulsars have steady fluxes and spectral cut-offs at a few GeV, blazars are variable and
have power-law spectra (Ackermann+2012, ApJ 753, 83; Saz Parkinson+2016, ApJ 820, 8). The score is a
logistic regression on three quantities of the 4FGL catalogue that do not depend on brightness, e.g. the
curvature instead of its significance, which increases with the flux. Unassociated sources are fainter
than the associated ones used for the fit, so that a score from significances does not generalise
(AUC 0.68-0.69 instead of 0.80 on the sources of `tests/steepspec/test_gamma.py`).

Suffixes: N sources, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy.optimize import minimize
from scipy.stats import rankdata

from mmae.astro.crossmatch import separation
from mmae.core.errors import InputError
from mmae.steepspec.arrays import columns, require

FEATURES = ("lp_beta", "ln_variability", "cutoff_preference")
PULSAR_CLASSES = ("psr", "msp")  # 4FGL CLASS1 in lower case; capitals in the catalogue: pulsations detected
# CLASS1 of active and normal galaxies (Ballet+2023, arXiv:2307.12546, table 5), in lower case.
EXTRAGALACTIC_CLASSES = ("bcu", "bll", "fsrq", "rdg", "agn", "ssrq", "css", "nlsy1", "sey", "sbg", "gal")
# Clipping ranges against outliers; the LP_beta of the catalogue ends at 1.
BETA_RANGE = (-0.2, 1.0)
LN_VARIABILITY_RANGE = (-0.7, 2.0)
CUTOFF_RANGE = (-2.0, 2.0)
RIDGE = 1e-3  # keeps the coefficients finite if the classes are separable


@dataclass(frozen=True)
class GammaScore:
    """Log odds = bias + sum of weight_F x feature_F, for equal prior probabilities of pulsars and others."""

    bias: float
    weight_F: tuple[float, float, float]


# Fitted by `fit_score` to the sources of 4FGL (gll_psc_v20) that are associated in v20 and in v35, with the
# measurements of v35; disjoint from the test sources. The test repeats the fit.
FERMI_SCORE = GammaScore(bias=-2.376, weight_F=(9.010, -0.648, 0.993))


def pulsar_features(
    lp_beta: np.ndarray,
    variability_index: np.ndarray,
    lp_sigcurv: np.ndarray,
    plec_sigcurv: np.ndarray,
    *,
    intervals: int,
) -> np.ndarray:
    """(N,F) features of `FEATURES`, NaN where the catalogue has no measurement.

    Args:
        lp_beta: (N) LP_beta, curvature of the log-parabola.
        variability_index: (N) Variability_Index, chi-square like with intervals - 1 degrees of
            freedom for a steady source (Abdollahi+2020, ApJS 247, 33, section 3.6).
        lp_sigcurv, plec_sigcurv: (N) significance, in sigma, of the log-parabola and of the
            power law with exponential cut-off over a power law. Their difference is the
            preference for a cut-off.
        intervals: yearly bins of the light curves of the release: 8 in v20, 14 in v35.

    Raises:
        InputError: columns of different length, or fewer than 2 intervals.
    """
    if intervals < 2:
        raise InputError(
            f"variability needs at least 2 light-curve intervals, not {intervals}; "
            "give the length of Flux_History (8 in gll_psc_v20, 14 in gll_psc_v35)"
        )
    c = columns(
        "gamma-ray sources",
        LP_beta=lp_beta,
        Variability_Index=variability_index,
        LP_SigCurv=lp_sigcurv,
        PLEC_SigCurv=plec_sigcurv,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_variability = np.log(c["Variability_Index"] / (intervals - 1))
    return np.stack(
        [
            np.clip(c["LP_beta"], *BETA_RANGE),
            np.clip(ln_variability, *LN_VARIABILITY_RANGE),
            np.clip(c["PLEC_SigCurv"] - c["LP_SigCurv"], *CUTOFF_RANGE),
        ],
        axis=1,
    )


def region_scores(regions: Table, years: int) -> np.ndarray:
    """(N) log odds of the rows of `regions.read_4fgl`; `years` is used if the file has no light curves."""
    return pulsar_score(
        pulsar_features(
            regions["lp_beta"],
            regions["variability_index"],
            regions["lp_sigcurv"],
            regions["plec_sigcurv"],
            intervals=regions.meta.get("intervals") or years,
        )
    )


def pulsar_score(features_NF: np.ndarray, model: GammaScore = FERMI_SCORE) -> np.ndarray:
    """(N) log odds of being a pulsar; NaN where a feature is missing."""
    return model.bias + np.asarray(features_NF, dtype=np.float64) @ np.array(model.weight_F)


def rank_pulsars(score_N: np.ndarray) -> np.ndarray:
    """(N) rank, 1: most pulsar-like; sources without a score are last."""
    return rankdata(-np.nan_to_num(score_N, nan=-np.inf), method="min").astype(int)


def is_class(class1: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(N) bool: 4FGL CLASS1, blanks stripped and case ignored, is one of `names`."""
    return np.isin(np.char.lower(columns("4FGL", CLASS1=class1)["CLASS1"]), names)


def fit_score(features_NF: np.ndarray, is_pulsar: np.ndarray, group: np.ndarray) -> GammaScore:
    """Logistic regression with equal total weights of pulsars and of all other sources.

    Args:
        features_NF: (N,F); rows with NaN are ignored.
        is_pulsar: (N) bool.
        group: (N) label; among the others every group has the same total weight. Blazars outnumber
            other Galactic sources by 20 in the catalogue, but not among the unassociated sources.

    Raises:
        InputError: no pulsars, or only pulsars.
    """
    used = np.isfinite(features_NF).all(axis=1)
    x_NF, y, group = features_NF[used], np.asarray(is_pulsar)[used], np.asarray(group)[used]
    if not y.any() or y.all():
        raise InputError(
            "the fit of the gamma-ray score needs pulsars and other sources; "
            "check CLASS1 and that the features are not NaN"
        )
    weight = np.where(y, 0.5 / y.sum(), 0.0)
    others = np.unique(group[~y])
    for label in others:
        chosen = ~y & (group == label)
        weight[chosen] = 0.5 / len(others) / chosen.sum()
    mean_F, std_F = x_NF.mean(axis=0), x_NF.std(axis=0)
    z_NF = (x_NF - mean_F) / np.where(std_F > 0, std_F, 1.0)

    def loss(parameters: np.ndarray) -> float:
        logit = parameters[0] + z_NF @ parameters[1:]
        fit = weight @ (np.logaddexp(0, logit) - y * logit)
        return float(fit + RIDGE / 2 * (parameters[1:] ** 2).sum())

    parameters = minimize(loss, np.zeros(1 + x_NF.shape[1]), method="BFGS").x
    weight_F = parameters[1:] / np.where(std_F > 0, std_F, 1.0)
    return GammaScore(float(parameters[0] - weight_F @ mean_F), tuple(float(w) for w in weight_F))


def ranking_auc(
    score_N: np.ndarray, is_pulsar: np.ndarray, *, bootstrap: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """AUC, the probability that a pulsar ranks above another source (ties count half), and its bootstrap error.

    Pulsars and others are resampled separately, so that each resample has both.

    Raises:
        InputError: a score is NaN, or there are no pulsars or no others.
    """
    c = columns("ranking", score=score_N, is_pulsar=np.asarray(is_pulsar, dtype=bool))
    require(np.isfinite(c["score"]), "ranking", "a score is not finite", "drop sources without a score")
    positive, negative = c["score"][c["is_pulsar"]], c["score"][~c["is_pulsar"]]
    if not len(positive) or not len(negative):
        raise InputError(
            f"an AUC needs pulsars and others: {len(positive)} pulsars, {len(negative)} others; check CLASS1"
        )
    order = positive[:, None] - negative[None, :]
    wins = (order > 0) + 0.5 * (order == 0)
    rng = np.random.default_rng(seed)
    rows, cols = wins.shape
    draws = [wins[rng.integers(rows, size=rows)][:, rng.integers(cols, size=cols)].mean() for _ in range(bootstrap)]
    return float(wins.mean()), float(np.std(draws)) if draws else float("nan")


@dataclass(frozen=True)
class LaterCheck:
    """AUC of the ranking on sources that are unassociated in one release and associated in a later one."""

    pulsars: int
    others: int
    auc_earlier: float
    """With the measurements of the earlier release, and its bootstrap error."""
    error_earlier: float
    auc_later: float
    """With the measurements of the later release, and its bootstrap error."""
    error_later: float


def check_later(earlier: Table, later: Table, years: int) -> LaterCheck:
    """AUC of the ranking on sources that are unassociated in one release and associated in a later one.

    Args:
        earlier, later: tables of `regions.read_4fgl`.
        years: as in `region_scores`.

    Raises:
        InputError: the later associations of these sources do not include both pulsars and others.
    """
    link = link_releases(
        earlier["name"],
        earlier["ra"],
        earlier["dec"],
        earlier["semi_major"],
        later["name"],
        later["earlier_name"],
        later["ra"],
        later["dec"],
    )
    class1 = np.asarray(later["class1"], str)[link]
    scores = region_scores(earlier, years), region_scores(later, years)[link]
    used = (
        (link >= 0)
        & is_class(earlier["class1"], ("",))
        & ~is_class(class1, ("",))
        & np.isfinite(scores[0])
        & np.isfinite(scores[1])
    )
    pulsar = is_class(class1, PULSAR_CLASSES)[used]
    (before, before_error), (after, after_error) = (ranking_auc(score[used], pulsar) for score in scores)
    return LaterCheck(int(pulsar.sum()), int((~pulsar).sum()), before, before_error, after, after_error)


def link_releases(
    old_name: np.ndarray,
    old_ra: np.ndarray,
    old_dec: np.ndarray,
    old_semi_major: np.ndarray,
    new_name: np.ndarray,
    new_assoc: np.ndarray,
    new_ra: np.ndarray,
    new_dec: np.ndarray,
) -> np.ndarray:
    """(N) row in the newer 4FGL release of each source of the older one, -1 where there is none.

    Sources are linked by name (ASSOC_4FGL of v35 is the name in an earlier release), else by
    position: the nearest new source, if it is within the old 95% semi-major axis and not linked yet.

    Args:
        old_name, new_name: Source_Name.
        new_assoc: ASSOC_4FGL.
        old_ra, old_dec, old_semi_major, new_ra, new_dec: degrees; a NaN semi-major axis links by name only.

    Raises:
        InputError: columns of different length.
    """
    old = columns("older release", name=old_name, ra=old_ra, dec=old_dec, radius=old_semi_major)
    new = columns("newer release", name=new_name, assoc=new_assoc, ra=new_ra, dec=new_dec)
    row = {name: index for index, name in reversed(list(enumerate(new["name"])))}
    row.update({name: index for index, name in reversed(list(enumerate(new["assoc"]))) if name})
    link = np.array([row.get(name, -1) for name in old["name"]], dtype=int)
    taken = set(link[link >= 0].tolist())
    for index in np.flatnonzero((link < 0) & np.isfinite(old["radius"])):
        distance = separation(old["ra"][index], old["dec"][index], new["ra"], new["dec"])
        nearest = int(np.argmin(distance))
        if distance[nearest] <= old["radius"][index] and nearest not in taken:
            link[index] = nearest
            taken.add(nearest)
    return link
