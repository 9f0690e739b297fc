"""Transformer blocks. Legend of suffixes: batch.py; Q queries, V keys and values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model.precision import at_least_float32

DECODER_MLP = 2.0  # hidden width of the decoder's feed-forward layers, in units of its width


class Attention(nn.Module):
    """Multi-head attention; keys with valid_BV False are masked out (None: all are valid)."""

    def __init__(self, width: int, heads: int, key_width: int | None = None):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(key_width or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BQD: Tensor, keys_BVD: Tensor, valid_BV: Tensor | None) -> Tensor:
        """Queries of shape (1, Q, D) are shared by all galaxies and projected once."""
        B, H = len(keys_BVD), self.heads
        q_BHQD = self.query(x_BQD).unflatten(-1, (H, -1)).transpose(1, 2).expand(B, -1, -1, -1)
        k_BHVD, v_BHVD = self.key_value(keys_BVD).unflatten(-1, (2, H, -1)).permute(2, 0, 3, 1, 4)
        mask_B11V = None if valid_BV is None else valid_BV[:, None, None, :]
        y_BHQD = _attend(q_BHQD, k_BHVD, v_BHVD, mask_B11V)
        return self.out(y_BHQD.transpose(1, 2).flatten(2))


def _attend(q_BHQD: Tensor, k_BHVD: Tensor, v_BHVD: Tensor, mask_B11V: Tensor | None) -> Tensor:
    """Scaled dot-product attention (H heads). In float32 on a CPU: the bfloat16 gradient takes six times as long."""
    if q_BHQD.device.type != "cpu":
        return F.scaled_dot_product_attention(q_BHQD, k_BHVD, v_BHVD, attn_mask=mask_B11V)
    q, k, v = (at_least_float32(x) for x in (q_BHQD, k_BHVD, v_BHVD))
    with torch.autocast("cpu", enabled=False):
        y_BHQD = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B11V)
    return y_BHQD.to(q_BHQD.dtype)


def mlp(width: int, ratio: float) -> nn.Sequential:
    """Two linear layers with a hidden width of `ratio` times `width`."""
    hidden = int(width * ratio)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = mlp(width, mlp_ratio)

    def forward(self, x_BTD: Tensor, valid_BT: Tensor | None) -> Tensor:
        y_BTD = self.norm1(x_BTD)
        x_BTD = x_BTD + self.attention(y_BTD, y_BTD, valid_BT)
        return x_BTD + self.mlp(self.norm2(x_BTD))


class CrossBlock(nn.Module):
    """Pre-norm cross-attention and MLP: queries attend to encoded tokens, not to each other.

    The cost is proportional to queries x visible tokens. For queries shared by all galaxies see `Attention`.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, key_width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, key_width)
        self.mlp = mlp(width, mlp_ratio)

    def forward(self, x_BQD: Tensor, keys_BVD: Tensor, valid_BV: Tensor | None) -> Tensor:
        x_BQD = x_BQD + self.attention(self.norm1(x_BQD), keys_BVD, valid_BV)
        return x_BQD + self.mlp(self.norm2(x_BQD))


def sincos_positions(n_positions: int, width: int, longest: float = 10_000.0) -> Tensor:
    """Sine-cosine position embeddings (Vaswani et al. 2017, section 3.5): (n, width)."""
    frequency_F = longest ** (-torch.arange(0, width, 2) / width)
    angle_NF = torch.arange(n_positions)[:, None] * frequency_F
    return torch.cat([angle_NF.sin(), angle_NF.cos()], -1)[:, :width]


def sincos_positions_2d(side: int, width: int) -> Tensor:
    """Two-dimensional position embeddings, half of the width for the row, half for the column: (side * side, width)."""
    axis = sincos_positions(side, width // 2)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], -1).reshape(side * side, -1)
