"""Section on spectra: verdicts on reconstructions with known errors, numbers, figures, left-out parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.text import Text

from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines import compare, tables
from mmae.evaluation.lines.batch import measure_spectra
from mmae.evaluation.lines.compare import compare_line, compare_ratio
from mmae.evaluation.lines.figures import NO_LINE, bpt_figure, continuum_figure, example_figure, line_figure
from mmae.evaluation.lines.measure import Reconstruction
from mmae.evaluation.lines.section import spectra_section
from mmae.report.contents import numbers
from tests.evaluation.cells import n_numbers
from tests.evaluation.cells import rows_by_column as table
from tests.evaluation.lines.conftest import GALAXIES, QUASARS
from tests.evaluation.lines.spectra import WAVELENGTH


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples():
    """These tests do not depend on the intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "RESAMPLES", 20)
        yield


@pytest.fixture(scope="module")
def section(measured):
    return spectra_section(measured, seed=0)


@pytest.fixture(scope="module")
def found(measured):
    return tables.summaries(measured.lines, 0)


def targets(section, line, quantity, situation):
    (one,) = [
        r
        for r in table(section, "targets")
        if (r["line"], r["situation"]) == (line, situation) and r["quantity"].startswith(quantity)
    ]
    return one


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def test_perfect_model_meets_every_target(section):
    for line in cat.JUDGED:
        for quantity in ("width", "amplitude", "centre"):
            row = targets(section, line, quantity, "75% masked")
            assert row["verdict"].ok is not False, row
            if quantity != "centre" and row["n"]:
                assert row["low"] <= row["median"] <= row["high"] and row["median"] == pytest.approx(1, abs=0.07)
    judged = [r for r in table(section, "targets") if r["situation"] == "75% masked" and r["verdict"].ok]
    assert len(judged) >= 9


def test_blurring_model_misses_width_and_amplitude_of_narrow_lines_only(section):
    for line in ("halpha", "oii", "oiii"):
        assert targets(section, line, "width", "blurred")["verdict"].ok is False
        assert targets(section, line, "width", "blurred")["median"] > 2
        row = targets(section, line, "amplitude", "blurred")
        assert row["verdict"].ok is False and row["median"] < tables.AMPLITUDE_TARGET[0]
        assert targets(section, line, "centre", "blurred")["verdict"].ok
    for line in ("lya", "civ"):
        assert targets(section, line, "width", "blurred")["verdict"].ok


def test_model_without_lines_misses_every_target(section):
    for line in cat.JUDGED:
        verdict = targets(section, line, "width", "bare")["verdict"]
        assert verdict.ok is False and "100%" in verdict.text
        assert targets(section, line, "centre", "bare")["verdict"].ok is False
        row = targets(section, line, "amplitude", "bare")
        assert row["verdict"].ok is False and row["n"] == (QUASARS if line in ("lya", "civ") else GALAXIES)


def test_few_galaxies_are_not_judged(sample):
    few = slice(0, 5)
    made = {"it": Reconstruction(sample.clean[few], np.zeros(sample.clean[few].shape, bool))}
    found = measure_spectra(WAVELENGTH, sample.flux[few], sample.ivar[few], sample.redshift[few], made)
    section = spectra_section(dataclasses.replace(found, lines=dataclasses.replace(found.lines, offered=9000)))
    assert "5 of 9,000 galaxies" in section.text
    for line, n in (("halpha", "5"), ("civ", "0")):
        verdict = targets(section, line, "width", "it")["verdict"]
        assert verdict.ok is None and n in verdict.text


def test_too_strong_and_shifted_lines_miss_their_targets(sample):
    keep, hidden = slice(0, 12), np.zeros(sample.clean[:12].shape, bool)
    made = {
        "strong": Reconstruction(sample.bare[keep] + 1.6 * (sample.clean - sample.bare)[keep], hidden),
        "shifted": Reconstruction(np.roll(sample.clean[keep], 5, axis=1), hidden),
    }
    section = spectra_section(
        measure_spectra(WAVELENGTH, sample.flux[keep], sample.ivar[keep], sample.redshift[keep], made)
    )
    row = targets(section, "halpha", "amplitude", "strong")
    assert row["verdict"].ok is False and row["median"] > tables.AMPLITUDE_TARGET[1]
    assert targets(section, "oiii", "centre", "strong")["verdict"].ok
    row = targets(section, "oiii", "centre", "shifted")
    assert row["verdict"].ok is False and row["median"] == pytest.approx(4.0 / (2.3548 * 0.64), rel=0.1)


def test_counts_of_masked_and_missing_lines(section, measured):
    rows = {(r["line"], r["situation"], r["cut"]): r for r in table(section, "counts")}
    for situation in measured.lines.hidden:
        row, c = rows["halpha", situation, "S/N 5"], compare_line(measured.lines, cat.HALPHA, situation, 5.0)
        assert (row["in_range"], row["bright"], row["masked"]) == (GALAXIES, c.bright, len(c))
        assert row["chi2_per_dof"] == pytest.approx(1, abs=0.1)
    assert rows["halpha", "75% masked", "S/N 5"]["masked"] < GALAXIES == rows["halpha", "bare", "S/N 5"]["masked"]
    assert rows["halpha", "bare", "S/N 5"]["missing_percent"] == 100
    assert rows["halpha", "blurred", "S/N 5"]["missing_percent"] == 0


def test_scores_in_redshift_bins(section, measured):
    rows = [r for r in table(section, "redshift") if r["line"] == "halpha" and r["situation"] == "blurred"]
    z = measured.lines.redshift_M[measured.lines.line_M == cat.KEYS.index("halpha")]
    for row in rows:
        low, high = (float(x) for x in row["redshift"].split(" to "))
        assert row["n"] == ((z >= low) & (z < high)).sum() >= 10
        c = compare_line(measured.lines, cat.HALPHA, "blurred", 5.0)
        in_bin = (c.redshift_K >= low) & (c.redshift_K < high)
        assert row["width_ratio"].value == np.median(c.width_K[in_bin]) != np.median(c.width_K)
        assert row["amplitude_ratio"].value == np.median(c.amplitude_K[in_bin])
    assert rows


def test_ratio_table_has_noise_and_missing_fraction(section, measured):
    rows = {(r["ratio"], r["situation"]): r for r in table(section, "ratios")}
    row = rows["log nii / halpha", "75% masked"]
    r = compare_ratio(measured.lines, cat.NII, cat.HALPHA, "75% masked")
    assert row["n"] == r.observed_K.size and abs(row["median"].value) < 0.05
    assert row["noise"] == pytest.approx(np.median(r.error_K))
    assert rows["log oiii / hbeta", "bare"]["missing_percent"] == 100
    assert np.isnan(rows["log oiii / hbeta", "bare"]["median"].value)


def test_truth_table_is_made_only_with_a_truth(section, measured):
    assert "truth" not in {t.name for t in section.tables}
    true = np.where(measured.lines.line_M == cat.KEYS.index("halpha"), measured.lines.observed_M["ew"] / 2, np.nan)
    known = dataclasses.replace(measured, lines=dataclasses.replace(measured.lines, true_ew_M=true))
    known = tables.truth_table(known.lines, 0)
    rows = {row[:2]: row[2:] for row in known.rows}
    assert rows["halpha", "observed"][1].value == pytest.approx(2.0)
    assert rows["halpha", "bare"][1].value == pytest.approx(0.0, abs=0.1)
    assert {line for line, _ in rows} == {"halpha"}


def test_every_number_has_a_unique_name(section):
    found = numbers([section])
    assert len(found) == n_numbers(section)
    assert "spectra/targets/halpha_width_ratio_75pct_masked/median" in found
    assert found["spectra/shapes/halpha_75pct_masked_s_n_5/width_ratio_error"] > 0


def test_text_has_the_number_of_fitted_galaxies(section):
    assert f"{GALAXIES + QUASARS} of {GALAXIES + QUASARS} galaxies" in section.text


def test_section_without_spectra_is_left_out(sample):
    none = np.zeros((2, WAVELENGTH.size))
    found = measure_spectra(
        WAVELENGTH, none, none, np.array([0.1, 0.2]), {"it": Reconstruction(none, none.astype(bool))}
    )
    section = spectra_section(found)
    assert section.left_out and not section.tables and not section.drawings


def test_section_without_lines_in_range_has_the_continuum(sample):
    made = {"it": Reconstruction(sample.bare[:12], np.zeros(sample.bare[:12].shape, bool))}
    found = measure_spectra(WAVELENGTH, sample.flux[:12], sample.ivar[:12], np.full(12, 9.0), made)
    section = spectra_section(found)
    assert section.left_out
    assert "continuum" in {t.name for t in section.tables}


def test_line_figure_has_one_box_per_line_and_situation(found):
    figure = line_figure(found)
    width, amplitude, shift = figure.axes
    shown = [s for s in found if s.cut == 5.0 and len(s.compared)]
    assert len(amplitude.patches) == len(shown) + 1  # and the shaded target
    with_width = [s for s in shown if np.isfinite(s.compared.width_K).any()]
    assert len(width.patches) == len(shift.patches) == len(with_width) + 1
    labels = [t.get_text() for t in shift.get_xticklabels()]
    assert labels == [one.label for one in cat.LINES]
    assert {"75% masked", "blurred", "bare", "target"} <= set(texts(figure))


def test_bpt_figure_shows_galaxies_with_all_four_lines(measured):
    figure = bpt_figure(measured.lines)
    for ax, situation in zip(figure.axes, measured.lines.hidden, strict=True):
        x, y = (compare_ratio(measured.lines, *pair, situation) for pair in tables.RATIOS)
        both, in_x, in_y = np.intersect1d(x.galaxy_K, y.galaxy_K, return_indices=True)
        (observed,) = [li for li in ax.get_lines() if str(li.get_label()).startswith("observed")]
        np.testing.assert_array_equal(observed.get_xdata(), x.observed_K[in_x])
        np.testing.assert_array_equal(observed.get_ydata(), y.observed_K[in_y])
        assert f"({both.size})" in observed.get_label()
    assert any("(0 " in text for text in texts(figure))  # no reconstruction in "bare" has the lines


def test_example_figure_has_one_panel_per_example(measured):
    figure = example_figure(measured.lines.examples)
    assert len(figure.axes) == 6
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        f"{cat.LINES[cat.KEYS.index(e.line)].label}, z = {e.redshift:.3f}" for e in measured.lines.examples
    ]
    fitted = next(li for li in figure.axes[0].get_lines() if li.get_label() == "observed, fit")
    np.testing.assert_array_equal(fitted.get_ydata(), measured.lines.examples[0].fitted_W)
    low, high = figure.axes[0].get_ylim()
    assert low < fitted.get_ydata().min() and high > fitted.get_ydata().max()


def test_continuum_figure_shows_the_medians(measured):
    fraction, noise = continuum_figure(measured.continuum).axes
    line = next(li for li in fraction.get_lines() if li.get_label() == "blurred: median")
    expected = 100 * np.nanmedian(measured.continuum.fraction["blurred"][:, 50])
    assert line.get_ydata()[50] == pytest.approx(expected, abs=1e-4)
    assert len(noise.get_lines()) == 4  # three situations and the dashed line


def test_figures_without_lines_have_a_note():
    assert NO_LINE in texts(line_figure([]))
    assert NO_LINE in texts(example_figure(()))
