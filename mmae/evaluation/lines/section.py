"""Report section on spectra: lines and continuum of reconstructions against observations."""

from __future__ import annotations

from mmae.evaluation.lines import continuum_tables, tables
from mmae.evaluation.lines.batch import SpectraMeasures
from mmae.evaluation.lines.compare import SIGNAL_CUTS
from mmae.evaluation.lines.figures import bpt_figure, continuum_figure, example_figure, line_figure
from mmae.report.contents import Drawing, Section

NAME, TITLE = "spectra", "Spectra: continuum and lines"


def spectra_section(measures: SpectraMeasures, *, seed: int = 0) -> Section:
    """Tables, verdicts and figures of the results of `measure_spectra`.

    Args:
        seed: of the bootstrap.
    """
    lines, continuum = measures.lines, measures.continuum
    text = (
        "Gaussians on a linear continuum are fitted to the observed and to the reconstructed spectrum in the "
        "same hidden samples and with the same weights; doublets have their atomic flux ratio, the lines of a "
        "blend a common width and shift. Only lines above a S/N cut in the observed spectrum and at "
        f"least half hidden from the encoder are compared. Lines were fitted in {lines.fitted:,} of {lines.offered:,} "
        "galaxies with a spectrum and a redshift" + (", chosen at random." if lines.fitted < lines.offered else ".")
    )
    if not lines.offered:
        return Section(
            NAME,
            TITLE,
            text,
            left_out="Left out: no galaxy of this split has both a spectrum and a redshift; use another split.",
        )
    found = tables.summaries(lines, seed)
    candidates = (
        tables.target_table(found),
        tables.count_table(found),
        tables.shape_table(found),
        tables.flux_table(found),
        tables.redshift_table(found, seed),
        tables.ratio_table(lines, seed),
        tables.truth_table(lines, seed),
        continuum_tables.wavelength_table(continuum, seed),
        continuum_tables.redshift_table(continuum, seed),
    )
    drawings = (
        Drawing(
            "spectra_lines",
            f"Reconstructed against observed lines of S/N {SIGNAL_CUTS[0]:g} or more. Boxes: "
            "interquartile range of the galaxies, whiskers 5 to 95%. Shaded: the targets.",
            line_figure(found),
        ),
        Drawing(
            "spectra_bpt",
            "Line ratios of galaxies with all four lines hidden and at S/N 3 or more in the "
            "observed spectrum. Below the solid line: ionised by stars; above the dashed line: by active nuclei.",
            bpt_figure(lines),
        ),
        Drawing(
            "spectra_examples",
            "The first galaxies of the split with a bright H-alpha or C IV line that was "
            "hidden in all situations. Only hidden samples of the reconstructions are shown.",
            example_figure(lines.examples),
        ),
        Drawing(
            "spectra_continuum",
            "Error of the continuum in blocks of 100 A, and its median absolute value in units of the "
            "noise (dashed: the expectation from noise alone).",
            continuum_figure(continuum),
        ),
    )
    kept = [table for table in candidates if table is not None and table.rows]
    left_out = "" if len(lines.line_M) else "No line is in the wavelength range; only the continuum is reported."
    return Section(NAME, TITLE, text, tuple(kept), drawings, left_out=left_out)
