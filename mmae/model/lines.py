"""Redshift from spectral features, and reconstruction of hidden lines: both on a grid of ln(wavelength).

On that grid a redshift shifts all features by the same number of samples (Tonry & Davis 1979, AJ 84, 1511). The log
odds of ln(1+z) are the cross-correlation of the spectrum, described by a few numbers per sample, with a learned
rest-frame template. At a given redshift, lines of known rest wavelength are drawn at their observed wavelengths. Hidden
lines therefore keep their width and wavelength, and any visible part of a spectrum gives its redshift to a fraction of
a sample.

Legend of suffixes: batch.py; X samples of ln(wavelength), W of ln(rest wavelength), Z bins of ln(1+z), F features,
R responses, C contrast channels, G profiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as Fn
from torch import Tensor, nn

from mmae.model.batch import InputSpec
from mmae.model.log_wavelength import LogWavelength
from mmae.model.part_configs import LinesConfig, RedshiftConfig

# Rest-frame vacuum wavelengths of emission lines in Angstrom. Quasar lines (up to 2800): observed positions in the
# composite of Vanden Berk et al. 2001 (AJ 122, 549; table 2), where C IV is blueshifted by 560 km/s; laboratory
# wavelengths for Al III, C II] and [Ne IV]. Narrow lines: SDSS line list (Stoughton et al. 2002, AJ 123, 485).
EMISSION = (
    1033.03,
    1216.25,
    1239.85,
    1305.42,
    1336.60,
    1398.33,
    1546.15,
    1637.84,
    1664.74,
    1857.40,
    1905.97,
    2326.00,
    2439.50,
    2800.26,
    3346.79,
    3426.85,
    3727.09,
    3729.88,
    3869.86,
    3889.75,
    3968.59,
    4072.30,
    4102.89,
    4341.69,
    4364.44,
    4687.02,
    4862.69,
    4960.30,
    5008.24,
    5877.25,
    6302.05,
    6549.86,
    6564.61,
    6585.27,
    6718.29,
    6732.67,
    7137.76,
    7321.50,
    9071.10,
    9533.20,
)
# Absorption: gas Fe II, Mg II and Mg I; stellar Ca H and K, G band, Mg b, Fe, Na D and Ca triplet; Balmer lines.
ABSORPTION = (
    2344.21,
    2382.76,
    2586.65,
    2600.17,
    2796.35,
    2803.53,
    2852.96,
    3798.98,
    3836.47,
    3934.78,
    3969.59,
    4305.61,
    5176.70,
    5271.00,
    5895.60,
    8500.36,
    8544.44,
    8664.52,
)
BREAKS = (3646.0, 4000.0)  # Balmer limit; 4000 A break (Bruzual 1983)
FEATURES = EMISSION + ABSORPTION + BREAKS

SCALES = (1, 3, 9, 27)
"""Half widths in samples of the windows compared with their surroundings: from a narrow line to a break."""
SURROUNDINGS = 6  # half width of the surroundings, in half widths of the window
PROFILES = (0.5, 1.0, 2.5, 12.0, 36.0)
"""Standard deviations of the Gaussian line profiles, in samples: from an unresolved line to a quasar's broad line."""
DERIVATIVES = (12.0, 36.0)
"""Standard deviations of the profiles whose derivative is fitted as well: broad lines are offset from their rest
wavelength, and Lyman alpha is asymmetric because of the forest."""
HIDDEN_WIDTHS = 16, 128  # of the response and amplitude networks
GAIN = 4.0  # of the line amplitudes, which start at zero and would otherwise grow too slowly (docs/ablations.md)
MIN_PROBABILITY = 0.5  # of the redshift, for lines to be drawn


@dataclass
class LineFeatures:
    """Description of the visible part of spectra, sample by sample.

    Attributes:
        response_RBX: input of the template cross-correlation, 0 at hidden samples.
        contrast_CBX: contrast with the surroundings, from which the response is computed; the last channel is 1 at
            visible samples.
    """

    response_RBX: Tensor
    contrast_CBX: Tensor

    @property
    def visible_BX(self) -> Tensor:
        return self.contrast_CBX[-1]


class Lines(nn.Module):
    """Log odds of the redshift from a spectrum, and lines drawn at a redshift.

    Args:
        width: of the galaxy summary passed to `draw`.
        redshift: its fine bins of ln(1+z) are as wide as a sample of ln(wavelength).
    """

    feature_position_F: Tensor
    profile_GX: Tensor

    def __init__(self, config: LinesConfig, spec: InputSpec, width: int, redshift: RedshiftConfig):
        super().__init__()
        self.config, self.n_bins = config, redshift.fine_bins
        self.grid = LogWavelength(spec, redshift.fine_width)
        positions = [self.grid.position(wavelength) for wavelength in FEATURES]
        self.register_buffer("feature_position_F", torch.tensor(positions), persistent=False)
        R, C, F, G = config.responses, 2 * len(SCALES) + 1, len(FEATURES), len(PROFILES) + len(DERIVATIVES)
        self.respond = nn.Sequential(nn.Linear(C, HIDDEN_WIDTHS[0]), nn.GELU(), nn.Linear(HIDDEN_WIDTHS[0], R))
        # From the rest wavelength of the first sample at z_max to that of the last sample at redshift 0.
        self.template_RW = nn.Parameter(torch.zeros(R, self.grid.n_samples + self.n_bins - 1))
        first, last = nn.Linear(F * C + width, HIDDEN_WIDTHS[1]), nn.Linear(HIDDEN_WIDTHS[1], F * G)
        self.amplitudes = nn.Sequential(first, nn.GELU(), last)
        nn.init.zeros_(last.weight)  # no lines in the reconstructions of an untrained model
        nn.init.zeros_(last.bias)
        # Fourier transforms of Gaussians of height 1, and -i times those of their derivatives times s.
        self.profile_samples = _fast_length(self.grid.n_samples + math.ceil(3 * max(PROFILES)))
        frequency = 2 * math.pi * torch.fft.rfftfreq(self.profile_samples, dtype=torch.float64)
        gaussian = {s: s * math.sqrt(2 * math.pi) * torch.exp(-0.5 * (s * frequency) ** 2) for s in PROFILES}
        transform = [*gaussian.values(), *(s * frequency * gaussian[s] for s in DERIVATIVES)]
        self.register_buffer("profile_GX", torch.stack(transform).float(), persistent=False)

    def features(self, flux_BL: Tensor, weight_BL: Tensor) -> LineFeatures:
        """Describe every sample of the visible part.

        Args:
            flux_BL: normalised.
            weight_BL: inverse variance of the flux; 0 where bad or hidden.
        """
        contrast_CBX = self._contrast(flux_BL, weight_BL)
        first, activation, second = cast("tuple[nn.Linear, nn.GELU, nn.Linear]", tuple(self.respond))
        # As matrix products with (channels, galaxies x samples): the long axis is contiguous in memory.
        x = first.weight @ contrast_CBX.flatten(1) + first.bias[:, None]
        x = second.weight @ activation(x) + second.bias[:, None]
        return LineFeatures(x.unflatten(1, contrast_CBX.shape[1:]) * contrast_CBX[-1], contrast_CBX)

    @torch.no_grad()
    def _contrast(self, flux_BL: Tensor, weight_BL: Tensor) -> Tensor:
        """Difference of each sample from its surroundings at all scales, and visibility: (2 * scales + 1, B, X).

        In units of the noise and of the flux, both compressed by sign(x) ln(1 + |x|): signal to noise spans decades.
        """
        weight_B1X, flux_B1X = self.grid.cumulative(weight_BL), self.grid.cumulative(weight_BL * flux_BL)
        channels = []
        for half in SCALES:
            (inner, inner_flux), (outer, outer_flux) = (
                [self._window_sum(sum_B1X, width).to(flux_BL.dtype) for sum_B1X in (weight_B1X, flux_B1X)]
                for width in (half, SURROUNDINGS * half)
            )
            outer, outer_flux = outer - inner, outer_flux - inner_flux
            measured = (inner > 0) & (outer > 0)
            inner, outer = inner.where(measured, 1.0), outer.where(measured, 1.0)
            difference = (inner_flux / inner - outer_flux / outer).where(measured, 0.0)
            channels += [difference * (inner * outer / (inner + outer)).sqrt(), difference]
        contrast_CBX = torch.stack(channels)
        contrast_CBX = contrast_CBX.sign() * contrast_CBX.abs().log1p()
        visible_BX = (weight_B1X.diff(dim=-1) > 0).to(contrast_CBX.dtype)
        return torch.cat([contrast_CBX, visible_BX[None]])

    @staticmethod
    def _window_sum(cumulative_B1X: Tensor, half: int) -> Tensor:
        """Sums over windows of 2 * half + 1 samples, from cumulative sums in double precision."""
        padded_BX = Fn.pad(cumulative_B1X[:, None], (half, half), mode="replicate")[:, 0]
        return padded_BX[:, 2 * half + 1 :] - padded_BX[:, : cumulative_B1X.shape[1] - 1]

    def log_odds(self, features: LineFeatures) -> Tensor:
        """Log odds of ln(1+z) given the spectrum: (B, Z).

        The sum over x of response(x) template(x - z), computed with Fourier transforms.
        """
        n = _fast_length(self.template_RW.shape[1])
        response_RBX, template_RW = torch.fft.rfft(features.response_RBX, n=n), torch.fft.rfft(self.template_RW, n=n)
        correlation_BW = torch.fft.irfft((response_RBX.conj() * template_RW[:, None]).sum(0), n=n)
        return correlation_BW[:, : self.n_bins].flip(-1)

    def draw(self, features: LineFeatures, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor) -> Tensor:
        """Lines at one redshift, as normalised flux (B, L).

        The amplitudes are computed from the contrasts at the wavelengths of all features at that redshift, and from
        the summary.

        Args:
            shift_B: ln(1+z).
            certainty_B: probability of that redshift, from 0 to 1. Lines are drawn where it exceeds MIN_PROBABILITY, at
                full amplitude: weighted by the probability they would be wrong everywhere.
            summary_BD: one encoded token per galaxy.
        """
        (C, B, X), F = features.contrast_CBX.shape, len(FEATURES)
        position_BF = shift_B[:, None] / self.grid.step + self.feature_position_F
        left_BF = position_BF.floor()
        inside_BF = (left_BF >= 0) & (left_BF < X - 1)
        position_BF, left_BF = position_BF.where(inside_BF, 0.0), left_BF.where(inside_BF, 0.0).long()

        nearest_CBF = position_BF.round().long().expand(C, -1, -1)
        contrast_CBF = features.contrast_CBX.gather(2, nearest_CBF) * inside_BF
        input_BN = torch.cat([contrast_CBF.permute(1, 2, 0).flatten(1), summary_BD], -1)
        amplitude_BFG = GAIN * self.amplitudes(input_BN).unflatten(1, (F, -1))
        amplitude_BFG = amplitude_BFG * (1 + amplitude_BFG.abs())  # line strengths span decades

        is_drawn_B = (certainty_B > MIN_PROBABILITY) & features.visible_BX.any(-1)
        peak_BGF = (amplitude_BFG * (is_drawn_B[:, None] * inside_BF)[..., None]).transpose(1, 2)
        G = peak_BGF.shape[1]
        right_fraction_B1F = (position_BF - left_BF)[:, None]  # linear interpolation between two samples
        left_BGF = left_BF[:, None].expand(-1, G, -1)
        peaks_BGX = peak_BGF.new_zeros(B, G, X).scatter_add(2, left_BGF, peak_BGF * (1 - right_fraction_B1F))
        peaks_BGX = peaks_BGX.scatter_add(2, left_BGF + 1, peak_BGF * right_fraction_B1F)
        convolved_BGX = torch.fft.rfft(peaks_BGX, n=self.profile_samples) * self.profile_GX
        gaussian_BGX, derivative_BGX = convolved_BGX.split([len(PROFILES), len(DERIVATIVES)], 1)
        transform_BX = gaussian_BGX.sum(1) + 1j * derivative_BGX.sum(1)
        return self.grid.to_linear(torch.fft.irfft(transform_BX, n=self.profile_samples)[:, :X])


def _fast_length(n: int) -> int:
    """Smallest length >= n that is 4 to 8 times a power of two, for fast Fourier transforms."""
    unit = 2 ** max(0, n.bit_length() - 3)
    return unit * math.ceil(n / unit)
