"""Columns of the output tables: unit, UCD and meaning, in the order in which they are written.

UCDs: the UCD1+ controlled vocabulary of the IVOA (Cecconi et al. 2023, version 1.5).

SOURCES has one row per radio source, MEMBERS one row per source and error ellipse that contains it (a
source in two ellipses has two rows), REGIONS one row per gamma-ray source, POINTS one row per flux
density or upper limit used in a spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ColumnSpec:
    """A column; `unit` in the astropy format, "" for dimensionless numbers, text and flags."""

    name: str
    kind: Literal["float", "int", "bool", "text"]
    unit: str
    ucd: str
    meaning: str


def _c(name: str, kind: str, unit: str, ucd: str, meaning: str) -> ColumnSpec:
    return ColumnSpec(name, kind, unit, ucd, meaning)


SOURCES = (
    _c("source_id", "text", "", "meta.id;meta.main", "name in the radio catalogue"),
    _c("ra", "float", "deg", "pos.eq.ra;meta.main", "ICRS right ascension"),
    _c("dec", "float", "deg", "pos.eq.dec;meta.main", "ICRS declination"),
    _c("pos_err_arcsec", "float", "arcsec", "stat.error;pos.eq", "1-sigma error of one coordinate"),
    _c("pointing", "text", "", "meta.id;obs.field", "pointing of the radio survey, if given"),
    _c("band", "text", "", "meta.id;instr.bandpass", "windows in which the source is detected, joined by +"),
    _c("snr", "float", "", "stat.snr", "peak over noise, the highest of the windows"),
    _c("size", "text", "", "meta.code;phys.angSize", "compact, extended or unknown"),
    _c("deconvolved_arcsec", "float", "arcsec", "phys.angSize", "fitted major axis minus the beam, in quadrature"),
    _c("alpha_band", "float", "", "spect.index;em.radio", "index between two windows of one survey, S ~ nu^alpha"),
    _c("alpha_band_err", "float", "", "stat.error;spect.index", "1-sigma error of alpha_band"),
    _c("alpha_catalogue", "float", "", "spect.index;em.radio", "index of the radio catalogue"),
    _c("alpha_catalogue_err", "float", "", "stat.error;spect.index", "1-sigma error of alpha_catalogue"),
    _c("alpha", "float", "", "spect.index;em.radio;meta.main", "adopted index, at the reference frequency"),
    _c("alpha_err", "float", "", "stat.error;spect.index", "1-sigma error of alpha"),
    _c("alpha_from", "text", "", "meta.code", "origin of alpha: sed, catalogue, limits, or empty"),
    _c("p_steep", "float", "", "stat.probability", "probability that the true index is below the steep limit"),
    _c("steep", "bool", "", "meta.code", "alpha is below the steep limit, from two detections or the catalogue"),
    _c("sed_flux_mjy", "float", "mJy", "phot.flux.density;em.radio", "fitted flux density at the reference frequency"),
    _c("sed_flux_err_mjy", "float", "mJy", "stat.error;phot.flux.density", "1-sigma error of sed_flux_mjy"),
    _c("curvature", "float", "", "spect.index;em.radio", "q of exp(q ln(x)^2); 0 for a power law"),
    _c("curvature_err", "float", "", "stat.error", "error of q; NaN for a power law"),
    _c("chi2", "float", "", "stat.fit.chi2", "chi-square of the detections"),
    _c("dof", "int", "", "stat.fit.dof", "degrees of freedom"),
    _c("n_detections", "int", "", "meta.number", "flux densities in the spectrum"),
    _c("n_limits", "int", "", "meta.number", "upper limits in the spectrum"),
    _c("sed_flags", "text", "", "meta.code.qual", "quality flags of the spectrum, joined by commas"),
    _c("known_name", "text", "", "meta.id.cross", "known source at this position"),
    _c("known_class", "text", "", "src.class", "class of the known source: pulsar, radio_galaxy, agn or star"),
    _c("counterpart_catalogue", "text", "", "meta.id;meta.dataset", "catalogue of the most reliable counterpart"),
    _c("counterpart_id", "text", "", "meta.id.cross", "name of the counterpart in that catalogue"),
    _c("counterpart_arcsec", "float", "arcsec", "pos.angDistance", "separation of the counterpart"),
    _c("reliability", "float", "", "stat.probability", "probability that it is the counterpart"),
    _c("p_no_counterpart", "float", "", "stat.probability", "probability of no counterpart in the catalogues"),
    _c("optical_limit_mag", "float", "mag", "phot.mag;stat.max", "depth of the deepest optical catalogue"),
    _c("optical_mag", "float", "mag", "phot.mag;em.opt", "magnitude of the optical counterpart, AB"),
    _c("morphology", "text", "", "src.morph", "of the optical counterpart: galaxy, point or empty"),
    _c("w1_mag", "float", "mag", "phot.mag;em.IR.3-4um", "WISE W1 of the infrared counterpart, Vega"),
    _c("w2_mag", "float", "mag", "phot.mag;em.IR.4-8um", "WISE W2 of the infrared counterpart, Vega"),
    _c("parallax_over_error", "float", "", "stat.snr;pos.parallax", "of the Gaia counterpart"),
    _c("pm_over_error", "float", "", "stat.snr;pos.pm", "proper motion over its error, of the Gaia counterpart"),
    _c("source_class", "text", "", "src.class", "pulsar_candidate, radio_galaxy, agn, star or ambiguous"),
    _c("score", "float", "", "stat.value", "share of the best class, 0.25 to 1; not a probability"),
    _c("vetoed", "bool", "", "meta.code", "known source: not a new candidate"),
    _c("reasons", "text", "", "meta.note", "rules that applied, joined by ;"),
)

MEMBERS = (
    _c("rank", "int", "", "stat.rank;meta.main", "rank among the candidates, from 1; 0: not a candidate"),
    _c("region", "text", "", "meta.id.parent", "gamma-ray source with the radio source in its 95% ellipse"),
    _c("region_deg", "float", "deg", "pos.angDistance", "separation from the centre of the ellipse"),
    _c("region_radius", "float", "", "pos.angDistance;arith.ratio", "0 at the centre of the ellipse, 1 on its edge"),
    _c("gamma_score", "float", "", "stat.value", "log odds that the gamma-ray source is a pulsar"),
    _c("gamma_rank", "int", "", "stat.rank", "rank of the gamma-ray source, 1: most pulsar-like"),
    *SOURCES,
)

REGIONS = (
    _c("name", "text", "", "meta.id;meta.main", "gamma-ray source"),
    _c("ra", "float", "deg", "pos.eq.ra;meta.main", "ICRS right ascension"),
    _c("dec", "float", "deg", "pos.eq.dec;meta.main", "ICRS declination"),
    _c("semi_major", "float", "deg", "phys.angSize.smajAxis", "of the 95% ellipse"),
    _c("semi_minor", "float", "deg", "phys.angSize.sminAxis", "of the 95% ellipse"),
    _c("pa", "float", "deg", "pos.posAng", "of the major axis, east of north"),
    _c("significance", "float", "", "stat.snr;em.gamma", "detection significance of the gamma-ray source, sigma"),
    _c("lp_sigcurv", "float", "", "stat.snr", "significance of a log-parabola over a power law, sigma"),
    _c("plec_sigcurv", "float", "", "stat.snr", "significance of a cut-off over a power law, sigma"),
    _c("variability_index", "float", "", "src.var.index", "of the yearly light curve"),
    _c("gamma_score", "float", "", "stat.value", "log odds of being a pulsar"),
    _c("gamma_rank", "int", "", "stat.rank", "rank among the searched regions, 1: most pulsar-like"),
    _c("in_footprint", "bool", "", "meta.code", "centre is in the footprint of the radio survey"),
    _c("sources", "int", "", "meta.number", "radio sources in the ellipse"),
    _c("steep", "int", "", "meta.number", "steep radio sources in the ellipse"),
    _c("candidates", "int", "", "meta.number", "steep sources in the ellipse that are not known"),
    _c("pulsar_candidates", "int", "", "meta.number", "candidates classed as pulsar candidates"),
)

POINTS = (
    _c("source", "int", "", "meta.record", "row in the sources table"),
    _c("survey", "text", "", "meta.id;meta.dataset", "survey, and window if it has several"),
    _c("frequency_mhz", "float", "MHz", "em.freq", "frequency"),
    _c("flux_mjy", "float", "mJy", "phot.flux.density;em.radio", "flux density, or the upper limit"),
    _c("error_mjy", "float", "mJy", "stat.error;phot.flux.density", "noise at the source"),
    _c("scale_error", "float", "", "stat.error;arith.ratio", "fractional error of the survey's flux scale"),
    _c("is_limit", "bool", "", "meta.code", "an upper limit"),
    _c("beam_arcsec", "float", "arcsec", "phys.angSize;instr.beam", "FWHM of the beam"),
)
