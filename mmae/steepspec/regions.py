"""Fermi error regions: reading of the 4FGL catalogues, and the radio sources inside the 95% ellipses.

4FGL: Abdollahi et al. 2020, ApJS 247, 33; DR4: Ballet et al. 2023, arXiv:2307.12546. Column
meanings: table 12 of the former (position angle east of north; blank CLASS1 = unassociated,
`unk` = associated with something of unknown kind).

Shape suffixes: R regions, S sources, P pairs.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from numpy.typing import ArrayLike

from mmae.astro.crossmatch import Pairs, match, position_angle, separation
from mmae.core.errors import InputError
from mmae.steepspec.counts import Rejections, rejections

HDU = "LAT_Point_Source_Catalog"

# Column name: (name in 4FGL, unit). The same in all releases from gll_psc_v20 to v35.
_NUMBERS = {
    "ra": ("RAJ2000", u.deg),
    "dec": ("DEJ2000", u.deg),
    "semi_major": ("Conf_95_SemiMajor", u.deg),
    "semi_minor": ("Conf_95_SemiMinor", u.deg),
    "pa": ("Conf_95_PosAng", u.deg),
    "significance": ("Signif_Avg", None),
    "lp_sigcurv": ("LP_SigCurv", None),
    "plec_sigcurv": ("PLEC_SigCurv", None),
    "variability_index": ("Variability_Index", None),
    "energy_flux": ("Energy_Flux100", u.erg / u.cm**2 / u.s),
    "pl_index": ("PL_Index", None),
    "lp_beta": ("LP_beta", None),
}
_TEXTS = {"name": "Source_Name", "class1": "CLASS1", "class2": "CLASS2", "assoc1": "ASSOC1"}
_UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, zlib.error, fits.VerifyError)


def read_4fgl(path: Path) -> Table:
    """A 4FGL release (gll_psc_v*.fit) as a table of regions, one row per gamma-ray source, all rows kept.

    Columns: name, class1, class2, assoc1, earlier_name (str, blanks stripped; the last is the name of
    the source in an earlier release, if the file has it); ra, dec, semi_major, semi_minor,
    pa (float64, deg; the 95% ellipse, NaN where there is none); significance, lp_sigcurv,
    plec_sigcurv (sigma), variability_index, pl_index, lp_beta (float64); energy_flux (0.1 to
    100 GeV, erg/cm2/s); flags (int64, bits of the analysis flags). meta: path, release, and intervals, the
    number of bins of the yearly light curve, if the file has it.

    Raises:
        InputError: the file cannot be read, lacks the catalogue table or a column, or has a row
            without valid coordinates.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Name a 4FGL release, e.g. gll_psc_v35.fit.")
    try:
        with fits.open(path) as file:
            if HDU not in file:
                raise InputError(
                    f"{path}: no HDU {HDU}. Name a 4FGL release, e.g. gll_psc_v35.fit, from "
                    f"https://fermi.gsfc.nasa.gov/ssc/data/access/lat/."
                )
            data = file[HDU].data
            wanted = [*_TEXTS.values(), *(name for name, _ in _NUMBERS.values()), "Flags"]
            if missing := [name for name in wanted if name not in data.names]:
                raise InputError(
                    f"{path}: {HDU} has no column {', '.join(missing)}. Name a 4FGL release from gll_psc_v20 on."
                )
            table = Table({column: np.char.strip(np.asarray(data[name], str)) for column, name in _TEXTS.items()})
            for column, (name, unit) in _NUMBERS.items():
                table[column] = np.asarray(data[name], np.float64)
                table[column].unit = unit
            table["flags"] = np.asarray(data["Flags"], np.int64)
            earlier = data["ASSOC_4FGL"] if "ASSOC_4FGL" in data.names else np.full(len(table), "")
            table["earlier_name"] = np.char.strip(np.asarray(earlier, str))
            if "Flux_History" in data.names:  # one bin per year
                table.meta["intervals"] = int(np.asarray(data["Flux_History"]).shape[1])
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable FITS file ({error or type(error).__name__}). Download it again."
        ) from error
    bad = ~((table["ra"] >= 0) & (table["ra"] <= 360) & (abs(table["dec"]) <= 90))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: row {row} ({table['name'][row]}) has RA {table['ra'][row]}, declination "
            f"{table['dec'][row]}. The file is damaged: download it again."
        )
    table.meta.update(path=str(path), release=path.stem)
    return table


def usable_ellipse(regions: Table) -> np.ndarray:
    """(R,) bool: both semi-axes finite and positive, and a finite position angle."""
    major, minor, pa = (np.asarray(regions[name], np.float64) for name in ("semi_major", "semi_minor", "pa"))
    return np.isfinite(major) & np.isfinite(minor) & (major > 0) & (minor > 0) & np.isfinite(pa)


def unassociated(regions: Table, include_unknown: bool = False) -> tuple[Table, list[Rejections]]:
    """The unassociated regions that have an ellipse, and the rejections.

    Args:
        regions: table of `read_4fgl`.
        include_unknown: also keep CLASS1 `unk`: associated with an object of unknown class.
    """
    class1 = np.char.lower(np.asarray(regions["class1"], str))
    unknown = class1 == "unk"
    wanted = (class1 == "") | (unknown & include_unknown)
    usable = usable_ellipse(regions)
    return regions[wanted & usable], rejections(
        "unassociated regions",
        [
            ("associated with a known class of source", (~wanted & ~unknown).sum()),
            ("class unk (associated, class unknown)", (unknown & ~wanted).sum()),
            ("no usable 95% ellipse", (wanted & ~usable).sum()),
        ],
    )


def normalised_radius(regions: Table, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Elliptical radius of positions in error ellipses, on the sphere; 1 is the edge:

        sqrt((s cos D / a)^2 + (s sin D / b)^2)

    with s the great-circle separation from the centre, D the position angle minus that of the
    major axis (DESIGN section 5), a and b the semi-axes.

    Args:
        regions: R rows, or one row (a `Row` or a table of length 1).
        ra, dec: ICRS degrees, shape (R,) or any that broadcasts with it.

    Returns:
        float64 of the broadcast shape; NaN or inf where the region has no usable ellipse.
    """
    centre_ra, centre_dec, major, minor, pa = (
        np.asarray(regions[name], np.float64) for name in ("ra", "dec", "semi_major", "semi_minor", "pa")
    )
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    s = separation(centre_ra, centre_dec, ra, dec)
    from_axis = np.radians(position_angle(centre_ra, centre_dec, ra, dec) - pa)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((s * np.cos(from_axis) / major) ** 2 + (s * np.sin(from_axis) / minor) ** 2)


def inside_ellipse(regions: Table, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Whether positions are inside error ellipses, the edge included. Arguments as `normalised_radius`.

    Returns:
        bool of the broadcast shape; False where the region has no usable ellipse.
    """
    return (normalised_radius(regions, ra, dec) <= 1) & usable_ellipse(regions)


def members(ra: ArrayLike, dec: ArrayLike, regions: Table) -> Pairs:
    """All pairs of a source and a region with the source inside the ellipse.

    Args:
        ra, dec: (S,) ICRS degrees of the sources.
        regions: R rows of `read_4fgl`; those without a usable ellipse have no members.

    Returns:
        Pairs with index1 into the sources, index2 into the regions. A source in two ellipses
        is in two pairs.

    Raises:
        InputError: the coordinates of a source are out of range.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    rows = np.flatnonzero(usable_ellipse(regions))
    if not len(rows):
        return match(ra, dec, [], [], 0)
    usable = regions[rows]
    # The factor 1 + 1e-9 keeps a source at the tip of the largest ellipse despite rounding.
    radius = float(np.max(usable["semi_major"])) * 3600 * (1 + 1e-9)
    near = match(ra, dec, usable["ra"], usable["dec"], min(radius, 180 * 3600))
    pairs = near.select(inside_ellipse(usable[near.index2], ra[near.index1], dec[near.index1]))
    return Pairs(pairs.index1, rows[pairs.index2], pairs.separation_arcsec)
