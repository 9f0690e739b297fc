"""The columns of the search's tables: unit, UCD and meaning, in the order they are written.

UCDs: the IVOA's UCD1+ controlled vocabulary (Cecconi et al. 2023, version 1.5).

SOURCES has one row a radio source, MEMBERS one row a source and error ellipse it lies in (a source
in two ellipses has two), REGIONS one row a gamma-ray source, POINTS one row a flux density or
upper limit that went into a spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ColumnSpec:
    """A column; `unit` as astropy reads it, "" for a pure number, words and flags."""

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
    _c("pointing", "text", "", "meta.id;obs.field", "pointing of the radio survey, if it names one"),
    _c("band", "text", "", "meta.id;instr.bandpass", "windows in which the source is detected, joined by +"),
    _c("snr", "float", "", "stat.snr", "peak over noise in the window in which it is highest"),
    _c("size", "text", "", "meta.code;phys.angSize", "compact, extended or unknown"),
    _c("deconvolved_arcsec", "float", "arcsec", "phys.angSize", "fitted major axis less the beam, in quadrature"),
    _c("alpha_band", "float", "", "spect.index;em.radio", "index between two windows of one survey, S ~ nu^alpha"),
    _c("alpha_band_err", "float", "", "stat.error;spect.index", "1-sigma error of alpha_band"),
    _c("alpha_catalogue", "float", "", "spect.index;em.radio", "index that the radio catalogue itself gives"),
    _c("alpha_catalogue_err", "float", "", "stat.error;spect.index", "its error"),
    _c("alpha", "float", "", "spect.index;em.radio;meta.main", "adopted index, at the reference frequency"),
    _c("alpha_err", "float", "", "stat.error;spect.index", "1-sigma error of alpha"),
    _c("alpha_from", "text", "", "meta.code", "what alpha is of: sed, catalogue, limits, or nothing"),
    _c("p_steep", "float", "", "stat.probability", "chance that the true index is below the steep limit"),
    _c("steep", "bool", "", "meta.code", "alpha is below the steep limit, from two detections or the catalogue"),
    _c("sed_flux_mjy", "float", "mJy", "phot.flux.density;em.radio", "fitted flux density at the reference frequency"),
    _c("sed_flux_err_mjy", "float", "mJy", "stat.error;phot.flux.density", "its error"),
    _c("curvature", "float", "", "spect.index;em.radio", "q of exp(q ln(x)^2); 0 for a power law"),
    _c("curvature_err", "float", "", "stat.error", "error of q; none for a power law"),
    _c("chi2", "float", "", "stat.fit.chi2", "of the detections about the fit"),
    _c("dof", "int", "", "stat.fit.dof", "degrees of freedom"),
    _c("n_detections", "int", "", "meta.number", "flux densities in the spectrum"),
    _c("n_limits", "int", "", "meta.number", "upper limits in the spectrum"),
    _c("sed_flags", "text", "", "meta.code.qual", "doubts about the spectrum, joined by commas"),
    _c("known_name", "text", "", "meta.id.cross", "known source at this place"),
    _c("known_class", "text", "", "src.class", "its class: pulsar, radio_galaxy, agn or star"),
    _c("counterpart_catalogue", "text", "", "meta.id;meta.dataset", "catalogue of the most reliable counterpart"),
    _c("counterpart_id", "text", "", "meta.id.cross", "its name there"),
    _c("counterpart_arcsec", "float", "arcsec", "pos.angDistance", "its separation"),
    _c("reliability", "float", "", "stat.probability", "chance that it is the counterpart"),
    _c("p_no_counterpart", "float", "", "stat.probability", "chance that nothing in these catalogues is"),
    _c("optical_limit_mag", "float", "mag", "phot.mag;stat.max", "depth of the deepest optical catalogue"),
    _c("optical_mag", "float", "mag", "phot.mag;em.opt", "magnitude of the optical counterpart, AB"),
    _c("morphology", "text", "", "src.morph", "of the optical counterpart: galaxy, point or nothing"),
    _c("w1_mag", "float", "mag", "phot.mag;em.IR.3-4um", "WISE W1 of the infrared counterpart, Vega"),
    _c("w2_mag", "float", "mag", "phot.mag;em.IR.4-8um", "WISE W2 of the infrared counterpart, Vega"),
    _c("parallax_over_error", "float", "", "stat.snr;pos.parallax", "of the Gaia counterpart"),
    _c("pm_over_error", "float", "", "stat.snr;pos.pm", "proper motion over its error, of the Gaia counterpart"),
    _c("source_class", "text", "", "src.class", "pulsar_candidate, radio_galaxy, agn, star or ambiguous"),
    _c("score", "float", "", "stat.value", "share of the best class, 0.25 to 1; an ordering, no probability"),
    _c("vetoed", "bool", "", "meta.code", "a known source, counted but no new candidate"),
    _c("reasons", "text", "", "meta.note", "the rules that applied, joined by ;"),
)

MEMBERS = (
    _c("rank", "int", "", "stat.rank;meta.main", "place among the candidates, 1 first; 0: no candidate"),
    _c("region", "text", "", "meta.id.parent", "gamma-ray source in whose 95% ellipse the radio source lies"),
    _c("region_deg", "float", "deg", "pos.angDistance", "separation from its centre"),
    _c("region_radius", "float", "", "pos.angDistance;arith.ratio", "0 at the centre of the ellipse, 1 on its edge"),
    _c("gamma_score", "float", "", "stat.value", "log odds that the gamma-ray source is a pulsar"),
    _c("gamma_rank", "int", "", "stat.rank", "place of the gamma-ray source, 1 the most pulsar-like"),
    *SOURCES,
)

REGIONS = (
    _c("name", "text", "", "meta.id;meta.main", "gamma-ray source"),
    _c("ra", "float", "deg", "pos.eq.ra;meta.main", "ICRS right ascension"),
    _c("dec", "float", "deg", "pos.eq.dec;meta.main", "ICRS declination"),
    _c("semi_major", "float", "deg", "phys.angSize.smajAxis", "of the 95% ellipse"),
    _c("semi_minor", "float", "deg", "phys.angSize.sminAxis", "of the 95% ellipse"),
    _c("pa", "float", "deg", "pos.posAng", "of the major axis, east of north"),
    _c("significance", "float", "", "stat.snr;em.gamma", "of the gamma-ray source, sigma"),
    _c("lp_sigcurv", "float", "", "stat.snr", "significance of a log-parabola over a power law, sigma"),
    _c("plec_sigcurv", "float", "", "stat.snr", "significance of a cut-off over a power law, sigma"),
    _c("variability_index", "float", "", "src.var.index", "of the yearly light curve"),
    _c("gamma_score", "float", "", "stat.value", "log odds of being a pulsar"),
    _c("gamma_rank", "int", "", "stat.rank", "1 the most pulsar-like of the regions searched"),
    _c("in_footprint", "bool", "", "meta.code", "its centre lies where the radio survey has sources"),
    _c("sources", "int", "", "meta.number", "radio sources in the ellipse"),
    _c("steep", "int", "", "meta.number", "of these steep"),
    _c("candidates", "int", "", "meta.number", "of these not known before"),
    _c("pulsar_candidates", "int", "", "meta.number", "of these classed as pulsar candidates"),
)

POINTS = (
    _c("source", "int", "", "meta.record", "row in the sources table"),
    _c("survey", "text", "", "meta.id;meta.dataset", "survey, and window where it has several"),
    _c("frequency_mhz", "float", "MHz", "em.freq", "frequency"),
    _c("flux_mjy", "float", "mJy", "phot.flux.density;em.radio", "flux density, or the upper limit"),
    _c("error_mjy", "float", "mJy", "stat.error;phot.flux.density", "noise there"),
    _c("scale_error", "float", "", "stat.error;arith.ratio", "fractional error of the survey's flux scale"),
    _c("is_limit", "bool", "", "meta.code", "an upper limit"),
    _c("beam_arcsec", "float", "arcsec", "phys.angSize;instr.beam", "FWHM of the beam"),
)
