"""Redshift as a shift: features of known rest wavelength vote for ln(1+z), and are drawn where the votes say.

On a grid of ln(wavelength) a redshift moves all features of a spectrum by the same number of samples (Tonry & Davis
1979, AJ 84, 1511). A feature of rest wavelength w that is seen at x speaks for ln(1+z) = x - ln w, whatever token it
lies in; and at a given redshift every feature has its place. So a line keeps its width and its wavelength where it was
hidden, and a spectrum gives its redshift to a fraction of a sample. What speaks for what is learned.

Legend of suffixes: batch.py; X samples of ln(wavelength), Z bins of ln(1+z), F features, R responses, S scales,
G profiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as Fn
from torch import Tensor, nn

from mmae.model.batch import InputSpec
from mmae.model.log_wavelength import LogWavelength
from mmae.model.redshift import RedshiftConfig

# Vacuum wavelengths at rest in Angstrom, emission: Vanden Berk et al. 2001 (AJ 122, 549), table 2, and for narrow
# lines the list of SDSS (Stoughton et al. 2002, AJ 123, 485).
EMISSION = (
    1033.82, 1215.67, 1240.81, 1305.53, 1335.31, 1397.61, 1549.06, 1640.40, 1665.85, 1857.40, 1908.73, 2326.00, 2439.50,
    2798.75, 3346.79, 3426.85, 3727.09, 3729.88, 3869.86, 3889.75, 3968.59, 4072.30, 4102.89, 4341.68, 4364.44, 4687.02,
    4862.68, 4960.30, 5008.24, 5877.25, 6302.05, 6549.86, 6564.61, 6585.27, 6718.29, 6732.67, 7137.76, 7321.50, 9071.10,
    9533.20,
)
# Fe II, Mg II and Mg I of gas; Ca H and K, G band, Mg b, Fe, Na D and the Ca triplet of stars; Balmer lines of both.
ABSORPTION = (
    2344.21, 2382.76, 2586.65, 2600.17, 2796.35, 2803.53, 2852.96, 3798.98, 3836.47, 3934.78, 3969.59, 4305.61, 5176.70,
    5271.00, 5895.60, 8500.36, 8544.44, 8664.52,
)
BREAKS = (3646.0, 4000.0)  # Balmer limit; Bruzual 1983
FEATURES = EMISSION + ABSORPTION + BREAKS

SCALES = (1, 3, 9, 27)
"""Half widths of what is compared with its surroundings, in samples: from a narrow line to a break."""
SURROUNDINGS = 6  # their half width, in that of what they surround
PROFILES = (0.65, 1.3, 3.0, 16.0)
"""Standard deviations of what is drawn, in samples: from a line as narrow as the spectrograph allows to a quasar's."""
HIDDEN = 16, 128  # of the two small networks


@dataclass(frozen=True)
class LinesConfig:
    """Features of known wavelength."""

    use: bool = True
    responses: int = 8
    """Numbers that a place in the spectrum is described by."""


@dataclass
class Seen:
    """What the visible part of some spectra looks like.

    Attributes:
        response_RBX: how each place looks, 0 where nothing is visible.
        visible_BX: 1 where something is.
    """

    response_RBX: Tensor
    visible_BX: Tensor


class Lines(nn.Module):
    """Votes of a spectrum's features for its redshift, and the features drawn at a redshift.

    Args:
        width: of the summary of a galaxy that `draw` is told.
        redshift: its fine bins of ln(1+z) are as wide as a sample of ln(wavelength).
    """

    def __init__(self, config: LinesConfig, spec: InputSpec, width: int, redshift: RedshiftConfig):
        super().__init__()
        self.config, self.n_bins = config, redshift.fine_bins
        self.grid = LogWavelength(spec, redshift.fine_width)
        self.offset_F = [self.grid.offset(wavelength) for wavelength in FEATURES]
        R, F, G = config.responses, len(FEATURES), len(PROFILES)
        self.respond = nn.Sequential(nn.Linear(2 * len(SCALES) + 1, HIDDEN[0]), nn.GELU(), nn.Linear(HIDDEN[0], R))
        self.vote_FR = nn.Parameter(torch.randn(F, R) * 0.02)
        self.amplitudes = nn.Sequential(
            nn.Linear(F * (R + 1) + width, HIDDEN[1]), nn.GELU(), nn.Linear(HIDDEN[1], F * G)
        )
        nn.init.zeros_(self.amplitudes[-1].weight)  # no line is drawn before it is learned
        nn.init.zeros_(self.amplitudes[-1].bias)
        # Gaussians of height 1, as their Fourier transform.
        self.fft_samples = 512 * math.ceil((self.grid.n_samples + 3 * max(PROFILES)) / 512)
        frequency = 2 * math.pi * torch.fft.rfftfreq(self.fft_samples, dtype=torch.float64)
        transform = [s * math.sqrt(2 * math.pi) * torch.exp(-0.5 * (s * frequency) ** 2) for s in PROFILES]
        self.register_buffer("profile_GX", torch.stack(transform).float(), persistent=False)

    def look(self, flux_BL: Tensor, weight_BL: Tensor) -> Seen:
        """Describe every place of the visible part.

        Args:
            flux_BL: normalised.
            weight_BL: its inverse variance; 0 where bad or hidden.
        """
        contrast_CBX, visible_BX = self._contrast(flux_BL, weight_BL)
        first, activation, second = self.respond
        # As matrices times (channels, galaxies and samples): the many samples are what a row holds.
        x = first.weight @ contrast_CBX.flatten(1) + first.bias[:, None]
        x = second.weight @ activation(x) + second.bias[:, None]
        return Seen(x.unflatten(1, visible_BX.shape) * visible_BX, visible_BX)

    @torch.no_grad()
    def _contrast(self, flux_BL: Tensor, weight_BL: Tensor) -> tuple[Tensor, Tensor]:
        """How much each place differs from its surroundings, at all scales: (2 S + 1, B, X); and where it is visible.

        In units of the noise and of the flux, both compressed: signal to noise spans decades.
        """
        weight_BX = self.grid.sums(weight_BL)
        # Running sums in double precision: weights differ by decades from one end to the other.
        weight_B1X, flux_B1X = (
            Fn.pad(x.double().cumsum(-1), (1, 0)) for x in (weight_BX, self.grid.sums(weight_BL * flux_BL))
        )
        channels = []
        for half in SCALES:
            inner, outer = self._within(weight_B1X, half), self._within(weight_B1X, SURROUNDINGS * half)
            inner_flux, outer_flux = self._within(flux_B1X, half), self._within(flux_B1X, SURROUNDINGS * half)
            outer, outer_flux = outer - inner, outer_flux - inner_flux
            there = (inner > 0) & (outer > 0)
            inner, outer = inner.where(there, 1.0), outer.where(there, 1.0)
            difference = (inner_flux / inner - outer_flux / outer).where(there, 0.0)
            channels += [difference * (inner * outer / (inner + outer)).sqrt(), difference]
        contrast_CBX = torch.stack(channels).float()
        contrast_CBX = contrast_CBX.sign() * contrast_CBX.abs().log1p()
        visible_BX = (weight_BX > 0).to(contrast_CBX.dtype)
        return torch.cat([contrast_CBX, visible_BX[None]]), visible_BX

    def _within(self, running_B1X: Tensor, half: int) -> Tensor:
        """The sum over the samples that are at most `half` away."""
        last = self.grid.n_samples
        here_X = torch.arange(last, device=running_B1X.device)
        return running_B1X[:, (here_X + half + 1).clamp(max=last)] - running_B1X[:, (here_X - half).clamp(min=0)]

    def votes(self, seen: Seen) -> Tensor:
        """What all features together say of ln(1+z), as log odds: (B, Z)."""
        spoken_FBX = (self.vote_FR @ seen.response_RBX.flatten(1)).unflatten(1, seen.visible_BX.shape)
        return _Aligned.apply(spoken_FBX, self.offset_F, self.n_bins)

    def draw(self, seen: Seen, bin_B: Tensor, certainty_B: Tensor, summary_BD: Tensor) -> Tensor:
        """The features at one redshift, as normalised flux (B, L).

        How strong a feature is follows from how the others look at that redshift and from the summary.

        Args:
            bin_B: the redshift, as a fine bin.
            certainty_B: of it, from 0 to 1; features are drawn so much weaker.
        """
        (R, B, X), F = seen.response_RBX.shape, len(FEATURES)
        place_BF = bin_B[:, None] + torch.tensor(self.offset_F, device=bin_B.device)
        inside_BF = (place_BF >= 0) & (place_BF < X)
        place_BF = torch.where(inside_BF, place_BF, 0)

        told_RBX = torch.cat([seen.response_RBX, seen.visible_BX[None]])
        told_RBF = told_RBX.gather(2, place_BF.expand(R + 1, -1, -1)) * inside_BF
        told_BN = torch.cat([told_RBF.permute(1, 2, 0).flatten(1), summary_BD], -1)
        amplitude_BFG = self.amplitudes(told_BN).unflatten(1, (F, -1))
        amplitude_BFG = amplitude_BFG * (1 + amplitude_BFG.abs())  # strengths span decades

        something_B = certainty_B * seen.visible_BX.any(-1)
        peak_BGF = (amplitude_BFG * (something_B[:, None] * inside_BF)[..., None]).transpose(1, 2)
        G = peak_BGF.shape[1]
        peaks_BGX = peak_BGF.new_zeros(B, G, X).scatter_add(2, place_BF[:, None].expand(-1, G, -1), peak_BGF)
        spread_BX = (torch.fft.rfft(peaks_BGX, n=self.fft_samples) * self.profile_GX).sum(1)
        return self.grid.back(torch.fft.irfft(spread_BX, n=self.fft_samples)[:, :X])


class _Aligned(torch.autograd.Function):
    """Sum of (F, B, X) over the features, each moved by its offset, so that they meet at their redshift: (B, Z).

    As plain slices in autograd, the gradient of each of some sixty would be a copy of the whole.
    """

    @staticmethod
    def forward(ctx, value_FBX: Tensor, offset_F: list[int], n_bins: int) -> Tensor:
        ctx.offset_F, ctx.shape = offset_F, value_FBX.shape
        total_BZ = value_FBX.new_zeros(value_FBX.shape[1], n_bins)
        for value_BX, (bins, samples) in zip(value_FBX, _overlaps(offset_F, n_bins, value_FBX.shape[-1]), strict=True):
            total_BZ[:, bins] += value_BX[:, samples]
        return total_BZ

    @staticmethod
    def backward(ctx, gradient_BZ: Tensor) -> tuple[Tensor, None, None]:
        gradient_FBX = gradient_BZ.new_zeros(ctx.shape)
        overlaps = _overlaps(ctx.offset_F, gradient_BZ.shape[-1], ctx.shape[-1])
        for gradient_BX, (bins, samples) in zip(gradient_FBX, overlaps, strict=True):
            gradient_BX[:, samples] = gradient_BZ[:, bins]
        return gradient_FBX, None, None


def _overlaps(offset_F: list[int], n_bins: int, n_samples: int) -> list[tuple[slice, slice]]:
    """For each feature the redshift bins at which it lies in the spectrum, and the samples there."""
    ranges = [(max(0, -offset), max(0, -offset, min(n_bins, n_samples - offset))) for offset in offset_F]
    return [(slice(a, b), slice(a + offset, b + offset)) for offset, (a, b) in zip(offset_F, ranges, strict=True)]
