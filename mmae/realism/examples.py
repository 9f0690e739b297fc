"""Example images and spectra, simulated and real, for visual inspection.

Shape suffixes: S stamps, C bands, H and W pixels, N spectra, L wavelength samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.realism.figures_images import WHITE, ShownSpectrum, image_examples, spectrum_examples
from mmae.realism.reference import RealImages, RealSpectra, load, read_coadds, read_hsc
from mmae.realism.rows import Objects
from mmae.report.contents import Drawing, Section
from mmae.survey.schema import SurveySpec

N_IMAGES, N_SPECTRA = 12, 3
IMAGE_CAPTION = (
    f"Randomly selected simulated galaxies and real cutouts, with the same stretch (white: {WHITE:g} background sigma)."
)
SPECTRUM_CAPTION = (
    "Left: simulated spectra of the same class and nearest redshift. Right: DESI coadds of the early data release."
)


def example_section(
    image_SCHW: np.ndarray,
    spectra: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    objects: Objects,
    spec: SurveySpec,
    reference: Path | None,
    seed: int,
) -> Section:
    """Section with 12 simulated and 12 real images, 3 simulated and 3 real spectra.

    Args:
        image_SCHW: images to select from.
        spectra: row_N in the survey, flux_NL and ivar_NL to select from; None without spectra.
    """
    rng = np.random.default_rng(seed)
    hsc, coadds = load(read_hsc, reference), load(read_coadds, reference)
    drawings = []
    if len(image_SCHW):
        chosen = rng.permutation(len(image_SCHW))[:N_IMAGES]
        real = None if hsc.value is None else hsc.value.image_NCHW[select_cutouts(hsc.value)]
        if real is not None and real.shape[1] != len(spec.bands):
            real = None
        figure = image_examples(image_SCHW[chosen], real, spec)
        drawings.append(Drawing("example_images", IMAGE_CAPTION, figure))
    if spectra is not None and len(spectra[0]):
        pairs = [
            (_simulated(spectra, objects, pick), shown) for pick, shown in _pairs(spectra, objects, coadds.value, rng)
        ]
        figure = spectrum_examples(spec.wavelength_L(), pairs)
        drawings.append(Drawing("example_spectra", SPECTRUM_CAPTION, figure))
    reasons = " ".join(dict.fromkeys(r for r in (hsc.reason, coadds.reason) if r))
    return Section("examples", "Examples", "For visual inspection, not judged.", (), tuple(drawings), left_out=reasons)


def select_cutouts(real: RealImages) -> np.ndarray:
    """Indices of 12 cutouts from as many parents as possible, largest coverage by the footprint first."""
    inside_N = (real.weight_NCHW > 0).mean(axis=(1, 2, 3))
    order = np.argsort(-inside_N, kind="stable")
    turn_N = np.array([(real.parent_N[order[:k]] == real.parent_N[n]).sum() for k, n in enumerate(order)])
    return order[np.argsort(turn_N, kind="stable")][:N_IMAGES]


def _pairs(
    spectra: tuple[np.ndarray, np.ndarray, np.ndarray],
    objects: Objects,
    real: RealSpectra | None,
    rng: np.random.Generator,
) -> list[tuple[int, ShownSpectrum | None]]:
    """Three pairs: index of a simulated spectrum, and the real spectrum to show."""
    row_N = spectra[0]
    if real is None:
        return [(int(n), None) for n in rng.permutation(len(row_N))[:N_SPECTRA]]
    quasar_N = ~objects.is_galaxy_N[row_N]
    galaxies = [n for n, kind in enumerate(real.kind_N) if kind == "galaxy"]
    quasars = [n for n, kind in enumerate(real.kind_N) if kind == "quasar"]
    used: set[int] = set()
    pairs = []
    for n in (galaxies[:1] + quasars)[:N_SPECTRA]:
        same_class_N = quasar_N == (real.kind_N[n] == "quasar")
        distance_N = np.where(same_class_N, np.abs(objects.redshift_N[row_N] - real.redshift_N[n]), np.inf)
        distance_N[list(used)] = np.inf
        pick = int(np.argmin(np.where(np.isnan(distance_N), np.inf, distance_N)))
        used.add(pick)
        title = f"real {real.kind_N[n]} {real.name_N[n]}, z = {real.redshift_N[n]:.3f}"
        pairs.append((pick, (title, real.flux_NL[n], real.ivar_NL[n], float(real.redshift_N[n]))))
    return pairs


def _simulated(spectra: tuple[np.ndarray, np.ndarray, np.ndarray], objects: Objects, index: int) -> ShownSpectrum:
    row_N, flux_NL, ivar_NL = spectra
    row = row_N[index]
    redshift = float(objects.redshift_N[row])
    title = f"simulated {objects.class_N[row]} {objects.object_id_N[row]}, z = {redshift:.3f}"
    return title, flux_NL[index], ivar_NL[index], redshift
