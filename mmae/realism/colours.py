"""Colours and magnitudes of galaxies against redshift, compared with zCOSMOS-bright.

Shape suffixes: N simulated galaxies, M real galaxies, C bands.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from mmae.realism.columns import KS_DISTANCE, PERCENTILE_COLUMNS, PERCENTS, VERDICT
from mmae.realism.figures_population import colour_figure, magnitude_figure
from mmae.realism.measures import ColourBin
from mmae.realism.reference import SUBARU_BANDS, RealGalaxies, load, read_zcosmos
from mmae.realism.rows import Objects, Track, no_tracking
from mmae.realism.simulator import Simulator, row_of
from mmae.realism.stamps import aperture_magnitudes
from mmae.realism.statistics import effective_number, ks_distance, match_weights, weighted_percentiles
from mmae.report.contents import NOT_JUDGED, Cell, Column, Drawing, Section, Table, judge_difference
from mmae.survey.schema import SurveySpec

EDGES = (0.05, 0.15, 0.25, 0.35, 0.5, 0.65, 0.8, 1.0)  # of the redshift bins
COLOURS = (("g", "r"), ("r", "i"), ("i", "z"))
MATCH_STEP = 0.5  # mag: bin width for weighting real galaxies to the simulated magnitudes
MIN_GALAXIES = 30  # per bin and sample (real sample: effective number)
RESIMULATED, MIN_RESIMULATED = 20, 8  # galaxies per bin for the colour conversion: number used, minimum
APERTURE = 1.5  # arcsec, radius: COSMOS photometry uses 3 arcsec apertures (Capak+2007)
# mag. COSMOS zero points are uncertain by 0.05; without conversion, HSC and Suprime-Cam colours may differ
# by another 0.1.
TOLERANCE, TOLERANCE_UNCONVERTED = 0.10, 0.15
# Below this redshift the simulated galaxies are mostly BGS, magnitude-limited like zCOSMOS. Above it DESI
# selects by colour (LRG red, ELG blue) and colours are expected to differ.
FLUX_LIMITED_BELOW = 0.35
TITLE = "Colours against redshift"
COLOUR_CAPTION = (
    "Shaded: colours of the simulated galaxies in HSC filters. Points: median and 16-84% of both samples, the "
    "simulated one converted to the zCOSMOS filters and apertures where possible, the real one weighted to the "
    "simulated magnitudes."
)
MAGNITUDE_CAPTION = (
    "i magnitude against redshift: simulated (HSC i, cmodel) and zCOSMOS (selection magnitude). The selections "
    "differ where only one sample has galaxies."
)


def colour_bins(
    redshift_N: np.ndarray,
    mag_NC: np.ndarray,
    real: RealGalaxies,
    conversions: dict[tuple[str, float], float] | None = None,
    edges: tuple[float, ...] = EDGES,
) -> list[ColourBin]:
    """Percentiles of each colour in redshift bins.

    In each bin the real galaxies are weighted to the simulated distribution of i magnitudes, over the common
    magnitude range.

    Args:
        redshift_N, mag_NC: simulated galaxies; g r i z, AB.
        real: galaxies with the same bands.
        conversions: (colour, lower edge of the bin) -> mag to add to simulated colours for the filters and
            apertures of the real sample.
        edges: of the redshift bins.
    """
    i = SUBARU_BANDS.index("i")
    found = []
    for low, high in pairwise(edges):
        in_N, in_M = _inside(redshift_N, low, high), _inside(real.redshift_N, low, high)
        mag_N, mag_M = mag_NC[in_N], real.mag_NC[in_M]
        bright_N, bright_M = mag_N[:, i], real.selection_mag_N[in_M]
        for blue, red in COLOURS:
            conversion = (conversions or {}).get((f"{blue}-{red}", low), np.nan)
            colour_N, colour_M = (_colour(m, blue, red) for m in (mag_N, mag_M))
            colour_N = colour_N + np.nan_to_num(conversion)
            use_N = np.isfinite(colour_N) & np.isfinite(bright_N)
            use_M = np.isfinite(colour_M) & np.isfinite(bright_M)
            use_N, use_M = _common_range(bright_N, use_N, bright_M, use_M)
            if min(use_N.sum(), use_M.sum()) < MIN_GALAXIES:
                continue
            weight_M = match_weights(bright_M[use_M], bright_N[use_N], MATCH_STEP)
            n_real = effective_number(weight_M)
            if n_real < MIN_GALAXIES:
                continue
            found.append(
                ColourBin(
                    f"{blue}-{red}",
                    low,
                    high,
                    int(use_N.sum()),
                    n_real,
                    conversion,
                    np.percentile(colour_N[use_N], PERCENTS),
                    weighted_percentiles(colour_M[use_M], weight_M, PERCENTS),
                    ks_distance(colour_N[use_N], colour_M[use_M], weight_M),
                )
            )
    return found


def colour_conversions(
    objects: Objects, simulator: Simulator, spec: SurveySpec, seed: int, track: Track = no_tracking
) -> dict[tuple[str, float], float]:
    """Conversion from total HSC colours to zCOSMOS colours: (colour, lower edge of the redshift bin) -> mag.

    Median over re-simulated galaxies of two differences: Suprime-Cam minus HSC filters, and 3 arcsec aperture
    minus total magnitude (colour gradients).
    """
    rng = np.random.default_rng(seed)
    chosen = [
        (low, row)
        for low, high in pairwise(EDGES)
        for n in rng.permutation(np.flatnonzero(objects.is_galaxy_N & _inside(objects.redshift_N, low, high)))[
            :RESIMULATED
        ]
        if (row := row_of(objects.object_id_N[n])) is not None
    ]
    four = [objects.bands.index(b) for b in SUBARU_BANDS]
    difference: dict[float, list[np.ndarray]] = {}
    for low, row in track(chosen, "re-simulated galaxies"):
        truth = simulator.simulate(row)
        total_C = simulator.mag_C(truth)
        aperture_C = aperture_magnitudes(simulator.target_image(truth, spec.image_size), APERTURE, spec)
        difference.setdefault(low, []).append(
            simulator.subaru_mag_C(truth) - total_C[four] + (aperture_C - total_C)[four]
        )
    return {
        (f"{blue}-{red}", low): float(np.median(_colour(np.array(parts), blue, red)))
        for low, parts in difference.items()
        if len(parts) >= MIN_RESIMULATED
        for blue, red in COLOURS
    }


def _colour(mag_NC: np.ndarray, blue: str, red: str) -> np.ndarray:
    return mag_NC[:, SUBARU_BANDS.index(blue)] - mag_NC[:, SUBARU_BANDS.index(red)]


def _inside(redshift: np.ndarray, low: float, high: float) -> np.ndarray:
    return (redshift >= low) & (redshift < high)


def _common_range(
    mag_N: np.ndarray, use_N: np.ndarray, mag_M: np.ndarray, use_M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Restrict two selections to the magnitude range (1st to 99th percentile) common to both."""
    if not (use_N.any() and use_M.any()):
        return use_N, use_M
    range_N, range_M = (np.percentile(m[u], [1, 99]) for m, u in ((mag_N, use_N), (mag_M, use_M)))
    low, high = max(range_N[0], range_M[0]), min(range_N[1], range_M[1])
    return (use_N & (mag_N >= low) & (mag_N <= high)), (use_M & (mag_M >= low) & (mag_M <= high))


def colour_section(
    objects: Objects,
    spec: SurveySpec,
    reference: Path | None,
    simulator: Simulator | None,
    seed: int,
    track: Track = no_tracking,
) -> Section:
    """Section on g-r, r-i and i-z in redshift bins and on magnitude against redshift."""
    can_convert = simulator is not None and simulator.subaru_mag_C is not None
    text = (
        "Galaxies (no quasars, no stars) against zCOSMOS-bright DR3 (Lilly+2007, 2009): confidence classes "
        "3.x and 4.x, no broad-line AGN, z > 0.01. Filters differ (zCOSMOS: Suprime-Cam g+ r+ z+ and CFHT i*; "
        "simulation: HSC g r i z), and so do magnitudes (zCOSMOS: 3 arcsec apertures; simulation: total). "
        + (
            "Both differences are corrected in each bin by the median over re-simulated galaxies. "
            if can_convert
            else "Neither is corrected here; colours of a galaxy may differ by 0.1 mag. "
        )
        + "Selections differ: zCOSMOS is limited to I < 22.5, the survey consists of DESI-like targets. In each "
        "redshift bin the real galaxies are weighted to the simulated i magnitudes over the common range, "
        "which corrects for the different depth; colours are judged at "
        f"z < {FLUX_LIMITED_BELOW}, where both samples are selected by magnitude only."
    )
    loaded = load(read_zcosmos, reference)
    if loaded.value is None:
        return Section("colours", TITLE, text, left_out=loaded.reason)
    missing = [b for b in SUBARU_BANDS if b not in objects.bands]
    if missing:
        return Section("colours", TITLE, text, left_out=f"Left out: the survey has no {', '.join(missing)} magnitudes.")
    real = loaded.value
    conversions = colour_conversions(objects, simulator, spec, seed, track) if can_convert else {}
    use_N = objects.is_galaxy_N & np.isfinite(objects.redshift_N)
    redshift_N = objects.redshift_N[use_N]
    mag_NC = objects.mag_NC[use_N][:, [objects.bands.index(b) for b in SUBARU_BANDS]]
    bins = colour_bins(redshift_N, mag_NC, real, conversions)
    table = Table(
        "medians",
        "Colours in mag: 16, 50 and 84%",
        (
            Column("colour"),
            Column("redshift"),
            Column("n_simulated", "n sim"),
            Column("n_real"),
            Column("conversion"),
            *PERCENTILE_COLUMNS,
            Column("offset"),
            KS_DISTANCE,
            VERDICT,
        ),
        tuple(_row(b) for b in bins),
        note="n real: effective number of the weighted galaxies. Conversion: added to the simulated colours for "
        "filters and apertures. Offset: simulated minus real median. Not judged: bins where DESI selects by "
        f"colour. Omitted: bins with fewer than {MIN_GALAXIES} galaxies of either sample.",
    )
    i = SUBARU_BANDS.index("i")
    drawings = (
        Drawing("colours", COLOUR_CAPTION, colour_figure(redshift_N, mag_NC, bins)),
        Drawing(
            "magnitudes",
            MAGNITUDE_CAPTION,
            magnitude_figure(redshift_N, mag_NC[:, i], real.redshift_N, real.selection_mag_N),
        ),
    )
    return Section("colours", TITLE, text, (table,), drawings)


def _row(b: ColourBin) -> tuple[Cell, ...]:
    tolerance = TOLERANCE if np.isfinite(b.conversion) else TOLERANCE_UNCONVERTED
    judged = judge_difference(float(b.simulated[1]), float(b.real[1]), tolerance, "mag")
    return (
        b.colour,
        f"{b.low:g} to {b.high:g}",
        b.n_simulated,
        int(b.n_real),
        b.conversion,
        *b.simulated.tolist(),
        *b.real.tolist(),
        float(b.simulated[1] - b.real[1]),
        b.distance,
        judged if b.high <= FLUX_LIMITED_BELOW else NOT_JUDGED,
    )
