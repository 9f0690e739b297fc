"""Redshift as a shift: a learned template is moved along the spectrum, and lines are drawn where it fits best.

On a grid of ln(wavelength) a redshift moves all features of a spectrum by the same number of samples (Tonry & Davis
1979, AJ 84, 1511). What a place looks like that is seen at x speaks for every ln(1+z) = x - w by as much as the template
at the rest wavelength w says; and at a given redshift every known line has its place. So a line keeps its width and its
wavelength where it was hidden, and a spectrum gives its redshift to a fraction of a sample, whichever part of it is seen.

Legend of suffixes: batch.py; X samples of ln(wavelength), W of ln(rest wavelength), Z bins of ln(1+z), F features,
R responses, C contrasts at S scales, G profiles.
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

# Vacuum wavelengths at rest in Angstrom, emission. Lines of quasars (to 2800): where they stand in the composite of Vanden
# Berk et al. 2001 (AJ 122, 549; table 2, observed), C IV 560 km/s short of the laboratory's; Al III, C II] and [Ne IV]: the
# laboratory's. Narrow lines: the list of SDSS (Stoughton et al. 2002, AJ 123, 485).
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
    4341.68,
    4364.44,
    4687.02,
    4862.68,
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
# Fe II, Mg II and Mg I of gas; Ca H and K, G band, Mg b, Fe, Na D and the Ca triplet of stars; Balmer lines of both.
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
BREAKS = (3646.0, 4000.0)  # Balmer limit; Bruzual 1983
FEATURES = EMISSION + ABSORPTION + BREAKS

SCALES = (1, 3, 9, 27)
"""Half widths of what is compared with its surroundings, in samples: from a narrow line to a break."""
SURROUNDINGS = 6  # their half width, in that of what they surround
PROFILES = (0.5, 1.0, 2.5, 12.0, 36.0)
"""Standard deviations of what is drawn, in samples: from a line as narrow as the spectrograph allows to a quasar's."""
LEANING = (12.0, 36.0)
"""Of those that are drawn once more as their derivative: broad lines stand beside their place, and Lyman alpha leans to
the red of the forest."""
HIDDEN = 16, 128  # of the two small networks
GAIN = 4.0  # of the strengths of lines, which begin at zero and would grow too slowly (docs/ablations.md)
MORE_LIKELY_THAN_NOT = 0.5


@dataclass(frozen=True)
class LinesConfig:
    """Features of known wavelength."""

    use: bool = True
    responses: int = 4
    """Numbers that a place in the spectrum is described by, each with a template of its own."""


@dataclass
class Seen:
    """What the visible part of some spectra looks like.

    Attributes:
        response_RBX: how each place looks to the template, 0 where nothing is visible.
        contrast_CBX: how much it differs from its surroundings, of which that is made; last, 1 where something is visible.
    """

    response_RBX: Tensor
    contrast_CBX: Tensor

    @property
    def visible_BX(self) -> Tensor:
        return self.contrast_CBX[-1]


class Lines(nn.Module):
    """What a spectrum says of its redshift, and the lines drawn at a redshift.

    Args:
        width: of the summary of a galaxy that `draw` is told.
        redshift: its fine bins of ln(1+z) are as wide as a sample of ln(wavelength).
    """

    def __init__(self, config: LinesConfig, spec: InputSpec, width: int, redshift: RedshiftConfig):
        super().__init__()
        self.config, self.n_bins = config, redshift.fine_bins
        self.grid = LogWavelength(spec, redshift.fine_width)
        self.register_buffer("place_F", torch.tensor([self.grid.place(w) for w in FEATURES]), persistent=False)
        R, C, F, G = config.responses, 2 * len(SCALES) + 1, len(FEATURES), len(PROFILES) + len(LEANING)
        self.respond = nn.Sequential(nn.Linear(C, HIDDEN[0]), nn.GELU(), nn.Linear(HIDDEN[0], R))
        # From what the largest redshift moves to the first sample, to the last sample at redshift 0.
        self.template_RW = nn.Parameter(torch.zeros(R, self.grid.n_samples + self.n_bins - 1))
        self.amplitudes = nn.Sequential(nn.Linear(F * C + width, HIDDEN[1]), nn.GELU(), nn.Linear(HIDDEN[1], F * G))
        nn.init.zeros_(self.amplitudes[-1].weight)  # no line is drawn before it is learned
        nn.init.zeros_(self.amplitudes[-1].bias)
        # Gaussians of height 1 as their Fourier transform, and their derivatives as -i times that.
        self.profile_samples = _fast_length(self.grid.n_samples + math.ceil(3 * max(PROFILES)))
        frequency = 2 * math.pi * torch.fft.rfftfreq(self.profile_samples, dtype=torch.float64)
        gaussian = {s: s * math.sqrt(2 * math.pi) * torch.exp(-0.5 * (s * frequency) ** 2) for s in PROFILES}
        transform = [*gaussian.values(), *(s * frequency * gaussian[s] for s in LEANING)]
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
        """What the spectrum says of ln(1+z), as log odds: (B, Z).

        The sum over x of response(x) template(x - z), as a product of Fourier transforms.
        """
        n = _fast_length(self.template_RW.shape[1])
        response_RBX, template_RW = torch.fft.rfft(seen.response_RBX, n=n), torch.fft.rfft(self.template_RW, n=n)
        moved_BW = torch.fft.irfft((response_RBX.conj() * template_RW[:, None]).sum(0), n=n)
        return moved_BW[:, : self.n_bins].flip(-1)

    def draw(self, seen: Seen, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor) -> Tensor:
        """The features at one redshift, as normalised flux (B, L).

        How strong a feature is follows from how the others look at that redshift and from the summary.

        Args:
            shift_B: ln(1+z).
            certainty_B: of it, from 0 to 1. Features are drawn where it is more likely right than not: at a fraction
                of their strength they would be wrong everywhere.
        """
        (C, B, X), F = seen.contrast_CBX.shape, len(FEATURES)
        place_BF = shift_B[:, None] / self.grid.step + self.place_F
        left_BF = place_BF.floor()
        inside_BF = (left_BF >= 0) & (left_BF < X - 1)
        place_BF, left_BF = place_BF.where(inside_BF, 0.0), left_BF.where(inside_BF, 0.0).long()

        told_CBF = seen.contrast_CBX.gather(2, place_BF.round().long().expand(C, -1, -1)) * inside_BF
        told_BN = torch.cat([told_CBF.permute(1, 2, 0).flatten(1), summary_BD], -1)
        amplitude_BFG = GAIN * self.amplitudes(told_BN).unflatten(1, (F, -1))
        amplitude_BFG = amplitude_BFG * (1 + amplitude_BFG.abs())  # strengths span decades

        something_B = (certainty_B > MORE_LIKELY_THAN_NOT) & seen.visible_BX.any(-1)
        peak_BGF = (amplitude_BFG * (something_B[:, None] * inside_BF)[..., None]).transpose(1, 2)
        G = peak_BGF.shape[1]
        right_share_B1F = (place_BF - left_BF)[:, None]  # a line between two samples is divided among them
        left_BGF = left_BF[:, None].expand(-1, G, -1)
        peaks_BGX = peak_BGF.new_zeros(B, G, X).scatter_add(2, left_BGF, peak_BGF * (1 - right_share_B1F))
        peaks_BGX = peaks_BGX.scatter_add(2, left_BGF + 1, peak_BGF * right_share_B1F)
        spread_BGX = torch.fft.rfft(peaks_BGX, n=self.profile_samples) * self.profile_GX
        upright_BGX, leaning_BGX = spread_BGX.split([len(PROFILES), len(LEANING)], 1)
        spread_BX = upright_BGX.sum(1) + 1j * leaning_BGX.sum(1)
        return self.grid.back(torch.fft.irfft(spread_BX, n=self.profile_samples)[:, :X])


def _fast_length(n: int) -> int:
    """A length of at least n, 4 to 8 times a power of two, of which Fourier transforms are fast."""
    unit = 2 ** max(0, n.bit_length() - 3)
    return unit * math.ceil(n / unit)
