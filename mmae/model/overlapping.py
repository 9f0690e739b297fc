"""From decoded queries to an image without seams.

Legend of suffixes: batch.py; T patches, E decoder width, P side of a square, X its values in all bands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as Fn
from torch import Tensor, nn


class OverlappingPatches(nn.Module):
    """Each query predicts a square of twice the side of its patch; an image is the weighted mean of these squares.

    The weight falls to zero at the border of a square (Hann window), so that an image has no steps at the borders of
    patches. The layer is initialised to zero: random weights would leave a pixel pattern in all images for thousands
    of steps.

    Args:
        width: E.
        side: patches along each side of the image.
        patch: pixels along each side of a patch, even.
    """

    window_PP: Tensor
    total_HW: Tensor

    def __init__(self, width: int, n_bands: int, side: int, patch: int):
        super().__init__()
        self.side, self.patch = side, patch
        self.norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.zeros(width, n_bands, 2 * patch, 2 * patch))
        self.bias_C = nn.Parameter(torch.zeros(n_bands))
        # At the centres of pixels, where the shifted windows sum to one and none is zero.
        window_P = torch.sin(torch.pi * (torch.arange(2 * patch) + 0.5) / (2 * patch)).square()
        window_PP = window_P[:, None] * window_P
        total_HW = self._overlap(window_PP.reshape(1, -1, 1).expand(1, -1, side * side))[0, 0]
        self.register_buffer("window_PP", window_PP, persistent=False)
        self.register_buffer("total_HW", total_HW, persistent=False)

    def _overlap(self, square_BXT: Tensor) -> Tensor:
        """The sum of the squares of all patches, (B, C, H, W)."""
        size, patch = self.side * self.patch, self.patch
        return Fn.fold(square_BXT, size, kernel_size=2 * patch, padding=patch // 2, stride=patch)

    def forward(self, decoded_BTE: Tensor) -> Tensor:
        """The image, (B, C, H, W)."""
        # A matrix product and a sum of squares: on a CPU faster than the transposed convolution, which is the same.
        square_BTX = self.norm(decoded_BTE) @ (self.weight * self.window_PP).flatten(1)
        return self._overlap(square_BTX.transpose(1, 2)) / self.total_HW + self.bias_C[:, None, None]
