"""Options of the search; apart from its code, so that `--help` loads neither astropy nor scipy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mmae.core.errors import InputError
from mmae.core.folders import absolute, home_folder, require_folder_name
from mmae.steepspec.classify import Thresholds
from mmae.steepspec.compactness import CompactnessSettings

MAX_SHIFTS = 200  # of the moved copies of the regions: half of the tries to place them (chance.py)


@dataclass(frozen=True)
class MatchSettings:
    """Radii in arcsec."""

    search_radius: float = 8.0
    """Search radius for candidates; at least 5 positional errors."""
    magnitude_radius: float = 3.0
    """q(m) is the excess within this radius, which contains most counterparts and little background."""
    ring: tuple[float, float] = (10.0, 20.0)
    """Inner and outer radius for the background density; the catalogue must cover it around each source."""
    bin_mag: float = 0.5
    """Bins of magnitude in which q(m) is measured, mag."""
    smooth_bins: float = 1.0
    """Gaussian smoothing of q(m), in bins: the excess of a few hundred sources is noisy."""


@dataclass(frozen=True)
class OpticalSettings:
    """Settings of the counterpart search."""

    match: MatchSettings = field(default_factory=MatchSettings)
    position_error_arcsec: float = 0.3
    """Position error for catalogues that give none."""
    reliable: float = 0.8
    """Minimum reliability of counterparts from which colours, morphology and motion are taken."""


@dataclass(frozen=True)
class SourceSettings:
    """Settings of `measure_sources`."""

    min_snr: float = 5.0
    """Sources below this in every window are rejected; those without a known noise are kept."""
    astrometry_arcsec: float = 0.2
    """Error of the radio frame, added in quadrature to the fit error."""
    size: CompactnessSettings = field(default_factory=CompactnessSettings)


@dataclass(frozen=True)
class PointSettings:
    """Selection of the points of a spectrum."""

    detection_sigma: float = 5.0
    """Significance of a detection: an upper limit is this many times the noise."""
    match_beams: float = 0.5
    """Match radius with a companion survey, in beams (the larger of the two)."""
    confusion_beams: float = 1.0
    """A companion detection is used as a limit if a second radio source is within this many beams ..."""
    confusing_flux: float = 0.1
    """... and has more than this fraction of the flux of the first."""


@dataclass(frozen=True)
class SEDSettings:
    """Settings of the fit."""

    reference_mhz: float = 1200.0
    """Reference frequency of alpha and the flux: between the MALS windows at 1006 and 1381 MHz."""
    steep_alpha: float = -1.4
    """P(alpha < this) is reported (arXiv:2412.12470)."""
    min_curved_detections: int = 4
    """Detections from which a curved spectrum is fitted as well."""
    min_delta_bic: float = 2.0
    """A curved fit must lower the BIC by this: "positive evidence" (Kass & Raftery 1995, JASA 90)."""
    max_beam_ratio: float = 3.0
    """A spectrum whose beams differ by more than this factor gets the flag resolution_mismatch."""
    min_chi2_probability: float = 0.01
    """A fit with a lower probability of its chi-square gets a flag."""
    variable_sigma: float = 3.0
    """Difference of two fluxes at one frequency, in their errors, above which a source is variable."""
    same_frequency: float = 0.15
    """Points closer than this in ln(frequency) are compared for variability."""
    min_lever_arm: float = 0.1
    """Detections closer than this in ln(frequency), highest to lowest, do not give a slope."""
    max_alpha_err: float = 1.0
    """An index with a larger error does not replace that of the radio catalogue and is never called steep."""
    alpha_range: tuple[float, float] = (-5.0, 3.0)
    """Range of the flat prior on alpha for a single detection with upper limits."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the search."""

    include_unknown: bool = False
    """Also search regions of CLASS1 `unk`: associated with an object of unknown class."""
    known_radius_arcsec: float = 5.0
    """Match radius with known pulsars and other known sources ..."""
    known_sigma: float = 3.0
    """... or this many position errors of the radio source, if that is larger."""
    shifts: int = 100
    """Number of moved copies of the regions for the chance estimate; 0: no estimate."""
    light_curve_years: int = 14
    """Bins of the 4FGL Variability_Index if the file has no light curves: 8 in v20, 14 in v35."""
    sources: SourceSettings = field(default_factory=SourceSettings)
    points: PointSettings = field(default_factory=PointSettings)
    sed: SEDSettings = field(default_factory=SEDSettings)
    counterparts: OpticalSettings = field(default_factory=OpticalSettings)
    classes: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if self.shifts != 0 and not 2 <= self.shifts <= MAX_SHIFTS:
            raise InputError(f"shifts is {self.shifts}: give 2 to {MAX_SHIFTS}, or 0 for no chance estimate.")
        if self.known_radius_arcsec < 0 or self.light_curve_years < 2:
            raise InputError(
                f"known_radius_arcsec is {self.known_radius_arcsec} and light_curve_years "
                f"{self.light_curve_years}: need >= 0 and >= 2."
            )


@dataclass(frozen=True)
class SkySettings:
    """Size and content of the simulated sky. The defaults give about 20,000 MALS rows."""

    seed: int = 0
    """Seed of the simulated sky."""
    pointings: int = 7
    """Number of MALS pointings."""
    overlapping: int = 1
    """Number of pointings that are 1.2 degrees from another: sources in the overlap appear twice."""
    regions: int = 80
    """Number of Fermi sources over the sky; each pointing is centred on one of them."""
    regions_per_pointing: int = 4
    """Number of Fermi sources in each pointing."""
    unassociated_fraction: float = 0.7
    """Fraction of the Fermi sources without an association."""
    pulsar_regions: float = 0.4
    """Fraction of the unassociated regions that contain a pulsar."""
    field_pulsars: int = 150
    """Pulsars at random positions in the pointings, far more than in the real sky, to measure completeness."""
    known_pulsars: float = 0.2
    """Fraction of the pulsars in the list of known pulsars."""
    mals_scale_error: float = 0.06
    """Flux-scale error of the survey (Deka+2024, ApJS 270, 33, abstract), which the search assumes."""
    optical_limit_mag: float = 21.8
    """Limit in r of Pan-STARRS mean magnitudes (surveys/panstarrs.yaml), which the search assumes."""
    optical_density: float = 18_000.0
    """Unrelated objects per square degree to r = 23 (Capak+2007, ApJS 172, 99)."""
    optical_radius_arcsec: float = 20.0
    """Unrelated objects are drawn only within this radius of radio detections."""


@dataclass(frozen=True)
class SearchConfig:
    """Inputs, outputs and settings of the search."""

    name: str = ""
    """Name of the run and its folder. Empty: the radio survey and the date."""
    home: str = ""
    """Folder for runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""
    radio: Path | None = None
    """Radio catalogue (FITS, VOTable, Parquet, CSV or other text). None: a simulated sky, written to the run folder."""
    radio_survey: str = "mals_dr1"
    """Survey of the radio catalogue: a name in mmae/steepspec/surveys, or a YAML file of that format."""
    regions: Path | None = None
    """A 4FGL release, gll_psc_v*.fit."""
    later_regions: Path | None = None
    """A later release, to test the gamma-ray ranking of --regions on the sources associated since."""
    companions: dict[str, Path] = field(default_factory=dict)
    """Other radio surveys, as pairs: survey (or YAML file) and catalogue."""
    optical: dict[str, Path] = field(default_factory=dict)
    """Optical and infrared surveys for counterparts, as --companions."""
    pulsars: Path | None = None
    """psrcat.db (text) or psrcat2.db (SQLite): known pulsars are vetoed, and their detectability is computed."""
    known: Path | None = None
    """Further known sources: a table with the columns name, ra, dec, class."""
    charts: int = 12
    """Maximum number of finder charts: one per region, for the highest-ranked candidates."""
    ray: bool = False
    """Fit the spectra on the Ray cluster: useful from about 100,000 sources."""
    # Without a prefix: --shifts, not --settings.shifts.
    settings: Annotated[SearchSettings, tyro.conf.arg(name="")] = field(default_factory=SearchSettings)
    sky: SkySettings = field(default_factory=SkySettings)
    """The simulated sky, used without --radio."""

    def __post_init__(self) -> None:
        self._resolve_paths()
        require_folder_name(self.name, "name")
        if self.charts < 0:
            raise ValueError(f"charts is {self.charts}: give 0 or more.")

    def _resolve_paths(self) -> None:
        """Make all paths absolute, so that the saved configuration means the same in every folder."""

        def resolved(path: Path) -> Path:
            return path.expanduser().resolve()

        object.__setattr__(self, "home", absolute(self.home))
        object.__setattr__(self, "radio_survey", _absolute_survey(self.radio_survey))
        for name in ("radio", "regions", "later_regions", "pulsars", "known"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, resolved(getattr(self, name)))
        for name in ("companions", "optical"):
            pairs = {_absolute_survey(key): resolved(path) for key, path in getattr(self, name).items()}
            object.__setattr__(self, name, pairs)

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)


def _absolute_survey(name: str) -> str:
    """A YAML file of `survey_description` as an absolute path; the name of a survey of the package unchanged."""
    return absolute(name) if Path(name).suffix in (".yaml", ".yml") else name
