"""The verdict on the calibration of p(z)."""

from __future__ import annotations

from mmae.metrics.pz_calibration import LEAST_GALAXIES, Calibration, fault_text
from mmae.report.contents import Verdict


def judge_calibration(found: Calibration) -> Verdict:
    """Calibrated or not, with the largest error of the coverage."""
    if found.n < LEAST_GALAXIES:
        return Verdict(f"not judged: {found.n} galaxies, {LEAST_GALAXIES} are needed")
    size = f"coverage is off by {100 * found.largest_miss:+.1f} percentage points at {found.worst_level:.0%}"
    size = size.replace("-", "\N{MINUS SIGN}")
    if not found.faults:
        return Verdict(f"calibrated; {size}, not significant", True)
    return Verdict(f"{fault_text(found)}; {size}{'; significant, but small' if found.is_small else ''}", False)
