"""The spectra in the report: lines and continuum of reconstructions against the observed ones."""

from __future__ import annotations

from mmae.evaluation.lines import continuum_tables, tables
from mmae.evaluation.lines.batch import SpectraMeasures
from mmae.evaluation.lines.compare import SIGNAL_CUTS
from mmae.evaluation.lines.figures import bpt_figure, continuum_figure, example_figure, line_figure
from mmae.report.contents import Drawing, Section

NAME, TITLE = "spectra", "Spectra: continuum and lines"


def spectra_section(measures: SpectraMeasures, *, seed: int = 0) -> Section:
    """Tables, verdicts and figures of what `measure_spectra` found.

    Args:
        seed: of the bootstrap.
    """
    lines, continuum = measures.lines, measures.continuum
    text = (
        "Gaussians on a linear continuum are fitted to the observed and to the reconstructed spectrum in the "
        "same hidden samples and with the same weights; doublets have their atomic flux ratio, the lines of a "
        "blend one width and one shift. Only lines count that the observed spectrum shows clearly and of which at "
        f"least half was hidden from the encoder. Lines were fitted in {lines.fitted:,} of {lines.offered:,} galaxies "
        "that have a spectrum and a redshift" + (", chosen at random." if lines.fitted < lines.offered else ".")
    )
    if not lines.offered:
        return Section(
            NAME,
            TITLE,
            text,
            left_out="Left out: no galaxy of this split has both a spectrum and a "
            "redshift; take a survey, or a split, that has some.",
        )
    found = tables.summaries(lines, seed)
    shown = (
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
            f"Reconstructed against observed lines of S/N {SIGNAL_CUTS[0]:g} or more. Boxes: the "
            "middle half of the galaxies, whiskers 5 to 95%. Shaded: the targets.",
            line_figure(found),
        ),
        Drawing(
            "spectra_bpt",
            "Line ratios of galaxies whose four lines were hidden and have S/N 3 or more in the "
            "observed spectrum. Below the solid line stars ionise the gas, above the dashed one active nuclei.",
            bpt_figure(lines),
        ),
        Drawing(
            "spectra_examples",
            "The first galaxies of the split with a bright H-alpha or C IV line that was "
            "hidden throughout. Of reconstructions the hidden samples are shown.",
            example_figure(lines.examples),
        ),
        Drawing(
            "spectra_continuum",
            "Error of the continuum in blocks of 100 A, and its median size in units of the "
            "noise (dashed: noise explains all).",
            continuum_figure(continuum),
        ),
    )
    kept = [table for table in shown if table is not None and table.rows]
    left_out = "" if len(lines.line_M) else "Left out: no line falls into the spectra; only the continuum is told."
    return Section(NAME, TITLE, text, tuple(kept), drawings, left_out=left_out)
