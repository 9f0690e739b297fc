"""Redshift as a shift: features of known rest wavelength vote for ln(1+z), and are drawn where the votes say.

On a grid of ln(wavelength) a redshift moves all features of a spectrum by the same number of samples (Tonry & Davis
1979, AJ 84, 1511). A feature of rest wavelength w that is seen at x speaks for ln(1+z) = x - ln w, whatever token it
lies in; and at a given redshift every feature has its place. So a line keeps its width and its wavelength where it was
hidden, and a spectrum gives its redshift to a fraction of a sample. What speaks for what is learned.

Legend of suffixes: batch.py; X samples of ln(wavelength), Z bins of ln(1+z), F features, R responses, C contrasts
at S scales, G profiles.
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
GALAXIES_IN_CACHE = 8  # 6 MB of float32 with 60 features and 3,000 samples


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
        response_RBX: how each place looks to those who vote, 0 where nothing is visible.
        contrast_CBX: how much it differs from its surroundings, of which that is made; last, 1 where something is visible.
    """

    response_RBX: Tensor
    contrast_CBX: Tensor

    @property
    def visible_BX(self) -> Tensor:
        return self.contrast_CBX[-1]


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
        R, C, F, G = config.responses, 2 * len(SCALES) + 1, len(FEATURES), len(PROFILES)
        self.respond = nn.Sequential(nn.Linear(C, HIDDEN[0]), nn.GELU(), nn.Linear(HIDDEN[0], R))
        self.vote_FR = nn.Parameter(torch.randn(F, R) * 0.02)
        self.amplitudes = nn.Sequential(
            nn.Linear(F * C + width, HIDDEN[1]), nn.GELU(), nn.Linear(HIDDEN[1], F * G)
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
        contrast_CBX = self._contrast(flux_BL, weight_BL)
        first, activation, second = self.respond
        # As matrices times (channels, galaxies and samples): the many samples are what a row holds.
        x = first.weight @ contrast_CBX.flatten(1) + first.bias[:, None]
        x = second.weight @ activation(x) + second.bias[:, None]
        return Seen(x.unflatten(1, contrast_CBX.shape[1:]) * contrast_CBX[-1], contrast_CBX)

    @torch.no_grad()
    def _contrast(self, flux_BL: Tensor, weight_BL: Tensor) -> Tensor:
        """How much each place differs from its surroundings, at all scales, and where it is visible: (2 S + 1, B, X).

        In units of the noise and of the flux, both compressed: signal to noise spans decades.
        """
        weight_B1X, flux_B1X = self.grid.running(weight_BL), self.grid.running(weight_BL * flux_BL)
        channels = []
        for half in SCALES:
            inner, outer = self._within(weight_B1X, half), self._within(weight_B1X, SURROUNDINGS * half)
            inner_flux, outer_flux = self._within(flux_B1X, half), self._within(flux_B1X, SURROUNDINGS * half)
            outer, outer_flux = outer - inner, outer_flux - inner_flux
            there = (inner > 0) & (outer > 0)
            inner, outer = inner.where(there, 1.0), outer.where(there, 1.0)
            difference = (inner_flux / inner - outer_flux / outer).where(there, 0.0)
            channels += [difference * (inner * outer / (inner + outer)).sqrt(), difference]
        contrast_CBX = torch.stack(channels)
        contrast_CBX = contrast_CBX.sign() * contrast_CBX.abs().log1p()
        visible_BX = (weight_B1X.diff(dim=-1) > 0).to(contrast_CBX.dtype)
        return torch.cat([contrast_CBX, visible_BX[None]])

    @staticmethod
    def _within(running_B1X: Tensor, half: int) -> Tensor:
        """The sum over the samples that are at most `half` away, of running sums in double precision."""
        padded_BX = Fn.pad(running_B1X[:, None], (half, half), mode="replicate")[:, 0]
        return (padded_BX[:, 2 * half + 1 :] - padded_BX[:, : running_B1X.shape[1] - 1]).float()

    def votes(self, seen: Seen) -> Tensor:
        """What all features together say of ln(1+z), as log odds: (B, Z)."""
        return _Votes.apply(self.vote_FR, seen.response_RBX, self.offset_F, self.n_bins)

    def draw(self, seen: Seen, bin_B: Tensor, certainty_B: Tensor, summary_BD: Tensor) -> Tensor:
        """The features at one redshift, as normalised flux (B, L).

        How strong a feature is follows from how the others look at that redshift and from the summary.

        Args:
            bin_B: the redshift, as a fine bin.
            certainty_B: of it, from 0 to 1; features are drawn so much weaker.
        """
        (C, B, X), F = seen.contrast_CBX.shape, len(FEATURES)
        place_BF = bin_B[:, None] + torch.tensor(self.offset_F, device=bin_B.device)
        inside_BF = (place_BF >= 0) & (place_BF < X)
        place_BF = torch.where(inside_BF, place_BF, 0)

        told_CBF = seen.contrast_CBX.gather(2, place_BF.expand(C, -1, -1)) * inside_BF
        told_BN = torch.cat([told_CBF.permute(1, 2, 0).flatten(1), summary_BD], -1)
        amplitude_BFG = self.amplitudes(told_BN).unflatten(1, (F, -1))
        amplitude_BFG = amplitude_BFG * (1 + amplitude_BFG.abs())  # strengths span decades

        something_B = certainty_B * seen.visible_BX.any(-1)
        peak_BGF = (amplitude_BFG * (something_B[:, None] * inside_BF)[..., None]).transpose(1, 2)
        G = peak_BGF.shape[1]
        peaks_BGX = peak_BGF.new_zeros(B, G, X).scatter_add(2, place_BF[:, None].expand(-1, G, -1), peak_BGF)
        spread_BX = (torch.fft.rfft(peaks_BGX, n=self.fft_samples) * self.profile_GX).sum(1)
        return self.grid.back(torch.fft.irfft(spread_BX, n=self.fft_samples)[:, :X])


class _Votes(torch.autograd.Function):
    """The sum over features, each moved by its offset, of what it makes of the responses: (F, R), (R, B, X) -> (B, Z).

    Written out, because all features of all galaxies at once are some hundred megabytes, and the gradient of each of some
    sixty slices would be a copy of the whole.
    """

    @staticmethod
    def forward(ctx, vote_FR: Tensor, response_RBX: Tensor, offset_F: list[int], n_bins: int) -> Tensor:
        ctx.save_for_backward(vote_FR, response_RBX)
        ctx.overlaps = _overlaps(offset_F, n_bins, response_RBX.shape[-1])
        total_BZ = response_RBX.new_zeros(response_RBX.shape[1], n_bins)
        for rows in _at_once(response_RBX):
            here_RBX = response_RBX[:, rows]
            spoken_FBX = (vote_FR @ here_RBX.flatten(1)).unflatten(1, here_RBX.shape[1:])
            for spoken_BX, (bins, samples) in zip(spoken_FBX, ctx.overlaps, strict=True):
                total_BZ[rows, bins] += spoken_BX[:, samples]
        return total_BZ

    @staticmethod
    def backward(ctx, gradient_BZ: Tensor) -> tuple[Tensor, Tensor, None, None]:
        vote_FR, response_RBX = ctx.saved_tensors
        vote_gradient_FR, response_gradient_RBX = torch.zeros_like(vote_FR), torch.empty_like(response_RBX)
        spoken_FBX = None
        for rows in _at_once(response_RBX):
            here_RBX = response_RBX[:, rows]
            if spoken_FBX is None or spoken_FBX.shape[1] != here_RBX.shape[1]:
                spoken_FBX = vote_FR.new_zeros(len(vote_FR), *here_RBX.shape[1:])  # stays zero where nothing overlaps
            for spoken_BX, (bins, samples) in zip(spoken_FBX, ctx.overlaps, strict=True):
                spoken_BX[:, samples] = gradient_BZ[rows, bins]
            vote_gradient_FR += spoken_FBX.flatten(1) @ here_RBX.flatten(1).T
            response_gradient_RBX[:, rows] = (vote_FR.T @ spoken_FBX.flatten(1)).unflatten(1, here_RBX.shape[1:])
        return vote_gradient_FR, response_gradient_RBX, None, None


def _at_once(response_RBX: Tensor) -> list[slice]:
    """Galaxies to be taken together: on a CPU as many as its cache holds with all features."""
    n = response_RBX.shape[1]
    size = GALAXIES_IN_CACHE if response_RBX.device.type == "cpu" else max(n, 1)
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def _overlaps(offset_F: list[int], n_bins: int, n_samples: int) -> list[tuple[slice, slice]]:
    """For each feature the redshift bins at which it lies in the spectrum, and the samples there."""
    ranges = [(max(0, -offset), max(0, -offset, min(n_bins, n_samples - offset))) for offset in offset_F]
    return [(slice(a, b), slice(a + offset, b + offset)) for offset, (a, b) in zip(offset_F, ranges, strict=True)]
