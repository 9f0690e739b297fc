"""p(z) bent so that the truth lies in each part of it as often as that part says.

A network that learns p(z) by its log-likelihood puts it in the right place; how often the truth lies in its central 68%
is another matter (docs/ablations.md). Galaxies that it was not trained on tell: with u = F(z_true), the CDF G of their u
is the straight line if p(z) is right, and G(F(z)) is a CDF that is. Bordoloi et al. (2010, MNRAS 406, 881) do so with
photometric redshifts; Kuleshov et al. (2018, ICML) with any regression.
Legend of suffixes: batch.py; Z fine bins, R ends of the parts of p(z), S sets of modalities of which something is visible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmae.model.masking import Visible, shown_set, visible_share

PARTS = 20  # in which equally many truths lie; between their ends G is linear
PRIOR = 50  # galaxies that lie as p(z) says, counted with those that are there: few galaxies change little
LEAST = 1e-30  # probability of a fine bin: its logarithm is finite


class Recalibration(nn.Module):
    """The identity until it is told of galaxies. One G for each set of visible modalities; where part of them is hidden,
    that part of the correction is left out, for it was measured with nothing hidden."""

    def __init__(self, n_modalities: int):
        super().__init__()
        # The u below which 0, 1/R, ... 1 of the truths lie: the inverse of G at equal steps.
        self.register_buffer("knot_SR", torch.empty(2**n_modalities, PARTS + 1))
        self.forget()

    def forget(self) -> None:
        """Be the identity again."""
        self.knot_SR.copy_(torch.linspace(0, 1, PARTS + 1))

    @torch.no_grad()
    def learn(self, set_B: Tensor, pit_B: Tensor) -> None:
        """Take G from galaxies.

        Args:
            set_B: which modalities are visible, as `shown_set` numbers them.
            pit_B: F(z_true), from 0 to 1, of p(z) without recalibration.
        """
        straight_R = torch.linspace(0, 1, PARTS + 1, dtype=torch.double)
        for which in set_B.unique():
            pit_N = pit_B[set_B == which].double().cpu()
            knot_R = pit_N.quantile(straight_R)
            knot_R[0], knot_R[-1] = 0, 1
            weight = len(pit_N) / (len(pit_N) + PRIOR)
            self.knot_SR[which] = torch.lerp(straight_R, knot_R, weight).to(self.knot_SR)

    def forward(self, logits_BZ: Tensor, visible: Visible) -> Tensor:
        """Logits of the fine bins to logits of the fine bins."""
        seen_BM = visible_share(visible)
        seen_B1 = seen_BM.sum(-1, keepdim=True) / (seen_BM > 0).sum(-1, keepdim=True).clamp(min=1)
        straight_R = torch.linspace(0, 1, PARTS + 1, device=seen_B1.device)
        knot_BR = torch.lerp(straight_R, self.knot_SR[shown_set(visible)], seen_B1).double()
        # In double precision: a fine bin far from the peak holds less than a rounding error of the CDF.
        cdf_BZ = logits_BZ.double().softmax(-1).cumsum(-1)
        part_BZ = (torch.searchsorted(knot_BR, cdf_BZ, right=True) - 1).clamp(0, PARTS - 1)
        low_BZ, high_BZ = knot_BR.gather(1, part_BZ), knot_BR.gather(1, part_BZ + 1)
        bent_BZ = (part_BZ + (cdf_BZ - low_BZ) / (high_BZ - low_BZ)) / PARTS
        return torch.cat([bent_BZ[:, :1], bent_BZ.diff(dim=-1)], -1).clamp(min=LEAST).log().float()
