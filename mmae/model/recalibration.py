"""p(z) changed so that the truth lies in each part of it as often as that part says.

A network that learns p(z) by its log-likelihood puts it in the right place; how often the truth lies in its central 68%,
or where p(z) says never, is another matter (docs/ablations.md). Galaxies that it was not trained on tell, in two steps:

1. A share of p(z) is spread evenly over ln(1+z): as much as makes their redshifts most probable. Nothing is impossible.
2. With u = F(z_true), the CDF G of their u is the straight line if p(z) is right, and G(F(z)) is a CDF that is. One G for
   narrow and one for broad p(z), and in between what lies between them. Bordoloi et al. (2010, MNRAS 406, 881) do so with
   photometric redshifts; Kuleshov et al. (2018, ICML) with any regression.

Legend of suffixes: batch.py; K redshift bins, Z fine bins, R ends of the parts of p(z), W narrow and broad, S sets of
modalities of which something is visible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmae.model.masking import Visible, shown_set, visible_share

PARTS = 20  # in which equally many truths lie; between their ends G is linear
PRIOR = 50  # galaxies that lie as p(z) says, counted with those that are there: few galaxies change little
LEAST = 1e-30  # probability of a bin: its logarithm is finite
HALVINGS = 40  # of the interval that the share lies in


class Recalibration(nn.Module):
    """The identity until it is told of galaxies. Each set of visible modalities has its own; where part of them is hidden,
    that part of the bending is left out, for it was measured with nothing hidden."""

    def __init__(self, n_modalities: int, bins: int):
        super().__init__()
        self.bins = bins
        self.register_buffer("spread_S", torch.empty(2**n_modalities))  # evenly over ln(1+z)
        self.register_buffer("entropy_SW", torch.empty(2**n_modalities, 2))  # in the middle of each half
        # The u below which 0, 1/R, ... 1 of the truths lie: the inverse of G at equal steps.
        self.register_buffer("knot_SWR", torch.empty(2**n_modalities, 2, PARTS + 1))
        self.forget()

    def forget(self) -> None:
        """Be the identity again."""
        self.spread_S.zero_()
        self.entropy_SW.zero_()
        self.knot_SWR.copy_(torch.linspace(0, 1, PARTS + 1))

    @torch.no_grad()
    def learn(self, set_B: Tensor, probability_BK: Tensor, bin_B: Tensor, place_B: Tensor) -> None:
        """Take both steps from galaxies.

        Args:
            set_B: which modalities are visible, as `shown_set` numbers them.
            probability_BK: p(z) without recalibration, in the bins.
            bin_B: that the true redshift lies in.
            place_B: where in it, from 0 to 1: drawn evenly for a randomised PIT.
        """
        for which in set_B.unique():
            chosen_B = set_B == which
            if chosen_B.sum() < 2:  # one for the narrow, one for the broad
                continue
            p_NK, bin_N1 = probability_BK[chosen_B].double(), bin_B[chosen_B, None]
            spread = best_spread(p_NK.gather(1, bin_N1), 1 / p_NK.shape[1])
            p_NK = spread_evenly(p_NK, spread)
            upper_N, mass_N = (x_NK.gather(1, bin_N1)[:, 0] for x_NK in (p_NK.cumsum(-1), p_NK))
            pit_N = (upper_N - (1 - place_B[chosen_B]) * mass_N).clamp(0, 1)
            entropy_N = entropy(p_NK)
            for half, these in enumerate(entropy_N.argsort(stable=True).tensor_split(2)):
                self.entropy_SW[which, half] = entropy_N[these].median()
                self.knot_SWR[which, half] = quantiles(pit_N[these])
            self.spread_S[which] = spread

    def forward(self, logits_BZ: Tensor, visible: Visible) -> Tensor:
        """Logits of the fine bins to logits of the fine bins."""
        which_B, seen_BM = shown_set(visible), visible_share(visible)
        seen_B = seen_BM.sum(-1) / (seen_BM > 0).sum(-1).clamp(min=1)
        # In double precision: a fine bin far from the peak holds less than a rounding error of the CDF.
        p_BZ = spread_evenly(logits_BZ.double().softmax(-1), self.spread_S[which_B, None])
        entropy_B = entropy(p_BZ.unflatten(-1, (self.bins, -1)).sum(-1))
        bent_BZ = bent(p_BZ.cumsum(-1), self._knots(which_B, entropy_B, seen_B))
        return torch.cat([bent_BZ[:, :1], bent_BZ.diff(dim=-1)], -1).clamp(min=LEAST).log().float()

    def _knots(self, which_B: Tensor, entropy_B: Tensor, seen_B: Tensor) -> Tensor:
        """The inverse of G of each galaxy at equal steps, (B, R)."""
        narrow_B, broad_B = self.entropy_SW[which_B].double().unbind(-1)
        broadness_B = ((entropy_B - narrow_B) / (broad_B - narrow_B).clamp(min=LEAST)).clamp(0, 1)
        of_narrow_BR, of_broad_BR = self.knot_SWR[which_B].double().unbind(1)
        knot_BR = torch.lerp(of_narrow_BR, of_broad_BR, broadness_B[:, None])
        straight_R = torch.linspace(0, 1, PARTS + 1, device=knot_BR.device, dtype=torch.double)
        return torch.lerp(straight_R, knot_BR, seen_B[:, None].double())


def spread_evenly(p_BZ: Tensor, share: Tensor | float) -> Tensor:
    """Of equal bins, a share of p(z) evenly over all."""
    return (1 - share) * p_BZ + share / p_BZ.shape[-1]


def entropy(p_BK: Tensor) -> Tensor:
    """In nats: (B,)."""
    return -(p_BK * p_BK.clamp(min=LEAST).log()).sum(-1)


def best_spread(p_N: Tensor, even: float) -> float:
    """The share s that makes the truths most probable, (1 - s) p + s even, with PRIOR truths that need none.

    The logarithm of that probability is concave: its slope is zero once, at most.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        slope = float(((even - p_N) / (p_N + share * (even - p_N))).sum()) - PRIOR / (1 - share)
        low, high = (share, high) if slope > 0 else (low, share)
    return low


def quantiles(pit_N: Tensor) -> Tensor:
    """The PIT at equal steps of the part of galaxies below it, from 0 to 1: (R,)."""
    straight_R = torch.linspace(0, 1, PARTS + 1, dtype=torch.double, device=pit_N.device)
    knot_R = pit_N.quantile(straight_R)
    knot_R[0], knot_R[-1] = 0, 1
    return torch.lerp(straight_R, knot_R, len(pit_N) / (len(pit_N) + PRIOR))


def bent(cdf_BZ: Tensor, knot_BR: Tensor) -> Tensor:
    """G(F): linear between the knots, at which it takes equal steps."""
    part_BZ = (torch.searchsorted(knot_BR, cdf_BZ, right=True) - 1).clamp(0, PARTS - 1)
    low_BZ, high_BZ = knot_BR.gather(1, part_BZ), knot_BR.gather(1, part_BZ + 1)
    return (part_BZ + (cdf_BZ - low_BZ) / (high_BZ - low_BZ)) / PARTS
