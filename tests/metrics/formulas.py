"""Reference implementations of the scores in plain Python, galaxy by galaxy."""

from __future__ import annotations

import math
import statistics


def biweight_by_hand(dz: list[float]) -> tuple[float, float]:
    """Location (c = 6) and scale (c = 9) of Beers, Flynn & Gebhardt (1990), equations 5 and 9."""
    median = statistics.median(dz)
    mad = statistics.median(abs(x - median) for x in dz)
    if mad == 0:
        return median, 0.0
    above = below = 0.0
    for x in dz:
        u = (x - median) / (6 * mad)
        if abs(u) < 1:
            above += (x - median) * (1 - u * u) ** 2
            below += (1 - u * u) ** 2
    location = median + above / below
    above = below = 0.0
    for x in dz:
        u = (x - median) / (9 * mad)
        if abs(u) < 1:
            above += (x - median) ** 2 * (1 - u * u) ** 4
            below += (1 - u * u) * (1 - 5 * u * u)
    return location, math.sqrt(len(dz) * above) / abs(below)


def by_hand(z_spec, z_pred) -> dict[str, float]:
    pairs = list(zip(map(float, z_spec), map(float, z_pred), strict=True))
    dz = [(p - z) / (1 + z) for z, p in pairs]
    n, median = len(dz), statistics.median(dz)
    low, _, high = statistics.quantiles(dz, n=4, method="inclusive")
    limit = max(0.06, 3 * (high - low) / 1.349)
    location, scale = biweight_by_hand(dz)
    return {
        "sigma_nmad": 1.4826 * statistics.median(abs(x - median) for x in dz),
        "sigma_biweight": scale,
        "bias": median,
        "bias_biweight": location,
        "rms": math.sqrt(math.fsum(x * x for x in dz) / n),
        "outlier_rate": sum(abs(x) > 0.15 for x in dz) / n,
        "outlier_rate_3sigma": sum(abs(x) > limit for x in dz) / n,
        "catastrophic_rate": sum(abs(p - z) > 1 for z, p in pairs) / n,
        "hsc_loss": math.fsum(x * x / (x * x + 0.15**2) for x in dz) / n,
        "not_finite": 0.0,
    }
