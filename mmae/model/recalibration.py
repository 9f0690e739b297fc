"""Recalibration of p(z), so that each part of it contains the true redshift as often as its probability states.

A network trained by log-likelihood may give p(z) that are too broad, too narrow, or 0 at the true redshift
(docs/ablations.md). Two corrections are fitted to galaxies that were not used in training:

1. A fraction of p(z) is distributed uniformly over ln(1+z), by maximum likelihood: no redshift has probability 0.
2. With the PIT u = F(z_true) and G the CDF of u, G(F(z)) is a calibrated CDF; for a calibrated p(z), G is the identity.
   G is fitted to narrow and to broad p(z), divided at the median entropy, and interpolated in entropy. Bordoloi et al.
   (2010, MNRAS 406, 881) apply G to photometric redshifts; Kuleshov et al. (2018, ICML) to regression in general.

Legend of suffixes: batch.py; K redshift bins, Z fine bins, R + 1 knots of G, W narrow and broad, S sets of modalities
with visible tokens, M modalities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmae.model.masking import shown_set, visible_fraction
from mmae.model.view import Visible

PARTS = 20  # intervals with equally many true redshifts; G is linear within each
PRIOR = 50  # perfectly calibrated galaxies that are added to the sample: a small sample changes little
LEAST = 1e-30  # lower limit of a bin's probability, for a finite logarithm
HALVINGS = 40  # bisection steps for the uniform fraction


class Recalibration(nn.Module):
    """Recalibrates p(z), separately for each set of visible modalities; the identity before `learn`.

    `learn` uses complete galaxies, with nothing masked. Where tokens are masked, G is mixed with the identity, by the
    visible fraction.
    """

    spread_S: Tensor
    entropy_SW: Tensor
    knot_SWR: Tensor

    def __init__(self, n_modalities: int, bins: int):
        super().__init__()
        self.bins = bins
        self.register_buffer("spread_S", torch.empty(2**n_modalities))  # uniform fraction
        self.register_buffer(
            "entropy_SW", torch.empty(2**n_modalities, 2)
        )  # median of the narrow and of the broad half
        # Quantiles of u at levels 0, 1/R, ... 1: the inverse of G at equal steps.
        self.register_buffer("knot_SWR", torch.empty(2**n_modalities, 2, PARTS + 1))
        self.forget()

    def forget(self) -> None:
        """Reset to the identity."""
        self.spread_S.zero_()
        self.entropy_SW.zero_()
        self.knot_SWR.copy_(torch.linspace(0, 1, PARTS + 1))

    @torch.no_grad()
    def learn(self, set_B: Tensor, probability_BK: Tensor, bin_B: Tensor, position_B: Tensor) -> None:
        """Fit both corrections.

        Args:
            set_B: set of visible modalities, numbered as by `shown_set`.
            probability_BK: p(z) without recalibration, in the redshift bins.
            bin_B: bin of the true redshift.
            position_B: fraction of the probability of that bin that lies below the true redshift.
        """
        for which in set_B.unique():
            in_set_B = set_B == which
            if in_set_B.sum() < 2:  # at least one narrow and one broad
                continue
            p_NK, bin_N1 = probability_BK[in_set_B].double(), bin_B[in_set_B, None]
            fraction = fit_uniform_fraction(p_NK.gather(1, bin_N1), 1 / p_NK.shape[1])
            p_NK = mix_with_uniform(p_NK, fraction)
            upper_N, mass_N = (x_NK.gather(1, bin_N1)[:, 0] for x_NK in (p_NK.cumsum(-1), p_NK))
            pit_N = (upper_N - (1 - position_B[in_set_B]) * mass_N).clamp(0, 1)
            entropy_N = entropy(p_NK)
            for half, row_M in enumerate(entropy_N.argsort(stable=True).tensor_split(2)):
                self.entropy_SW[which, half] = entropy_N[row_M].median()
                self.knot_SWR[which, half] = pit_quantiles(pit_N[row_M])
            self.spread_S[which] = fraction

    def forward(self, logits_BZ: Tensor, visible: Visible) -> Tensor:
        """Logits of the fine bins to recalibrated logits of the fine bins."""
        which_B, fraction_BM = shown_set(visible), visible_fraction(visible)
        visible_B = fraction_BM.sum(-1) / (fraction_BM > 0).sum(-1).clamp(min=1)
        # In double precision: the probability of a fine bin far from the peak is below the rounding error of the CDF.
        p_BZ = mix_with_uniform(logits_BZ.double().softmax(-1), self.spread_S[which_B, None])
        entropy_B = entropy(p_BZ.unflatten(-1, (self.bins, -1)).sum(-1))
        cdf_BZ = apply_knots(p_BZ.cumsum(-1), self._knots(which_B, entropy_B, visible_B))
        return torch.cat([cdf_BZ[:, :1], cdf_BZ.diff(dim=-1)], -1).clamp(min=LEAST).log().float()

    def _knots(self, which_B: Tensor, entropy_B: Tensor, visible_B: Tensor) -> Tensor:
        """The inverse of G of each galaxy at equal steps, (B, R + 1).

        Args:
            visible_B: visible fraction of the modalities with visible tokens.
        """
        narrow_B, broad_B = self.entropy_SW[which_B].double().unbind(-1)
        broadness_B = ((entropy_B - narrow_B) / (broad_B - narrow_B).clamp(min=LEAST)).clamp(0, 1)
        narrow_knot_BR, broad_knot_BR = self.knot_SWR[which_B].double().unbind(1)
        knot_BR = torch.lerp(narrow_knot_BR, broad_knot_BR, broadness_B[:, None])
        identity_R = torch.linspace(0, 1, PARTS + 1, device=knot_BR.device, dtype=torch.double)
        return torch.lerp(identity_R, knot_BR, visible_B[:, None].double())


def mix_with_uniform(p_BZ: Tensor, fraction: Tensor | float) -> Tensor:
    """Distribute a fraction of p(z) uniformly over equal bins."""
    return (1 - fraction) * p_BZ + fraction / p_BZ.shape[-1]


def entropy(p_BK: Tensor) -> Tensor:
    """Entropy in nats: (B,)."""
    return -(p_BK * p_BK.clamp(min=LEAST).log()).sum(-1)


def fit_uniform_fraction(p_N: Tensor, uniform: float) -> float:
    """The fraction s that maximises the likelihood of the true redshifts under (1 - s) p + s uniform.

    PRIOR galaxies with a likelihood proportional to 1 - s, which need no uniform part, are added.
    The log-likelihood is concave in s, so that bisection of its slope finds the maximum.

    Args:
        p_N: probability of the bin of each true redshift.
        uniform: probability of a bin in the uniform distribution.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        fraction = (low + high) / 2
        slope = float(((uniform - p_N) / (p_N + fraction * (uniform - p_N))).sum()) - PRIOR / (1 - fraction)
        low, high = (fraction, high) if slope > 0 else (low, fraction)
    return low


def pit_quantiles(pit_N: Tensor) -> Tensor:
    """Quantiles of the PIT at equal steps from 0 to 1, mixed with those of PRIOR calibrated galaxies: (R + 1,)."""
    identity_R = torch.linspace(0, 1, PARTS + 1, dtype=torch.double, device=pit_N.device)
    knot_R = pit_N.quantile(identity_R)
    knot_R[0], knot_R[-1] = 0, 1
    return torch.lerp(identity_R, knot_R, len(pit_N) / (len(pit_N) + PRIOR))


def apply_knots(cdf_BZ: Tensor, knot_BR: Tensor) -> Tensor:
    """G(F): linear between the knots, at which it takes the values 0, 1/R, ... 1."""
    part_BZ = (torch.searchsorted(knot_BR, cdf_BZ, right=True) - 1).clamp(0, PARTS - 1)
    low_BZ, high_BZ = knot_BR.gather(1, part_BZ), knot_BR.gather(1, part_BZ + 1)
    return (part_BZ + (cdf_BZ - low_BZ) / (high_BZ - low_BZ)) / PARTS
