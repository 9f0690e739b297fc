"""Units of catalogues by their meaning, in the spellings of archives."""

from __future__ import annotations

import re

from astropy import units as u

_SPELLINGS = {
    "deg": "degree degrees degs deg",
    "rad": "radian radians rad rads",
    "arcmin": "arcminute arcminutes arcmins arcmin amin",
    "arcsec": "arcsecond arcseconds arcsecs arcsec asec",
    "mas": "mas milliarcsec milliarcsecs milliarcsecond milliarcseconds marcsec",
    "hourangle": "hourangle hourangles",
    "h": "hour hours hr hrs",
    "yr": "year years yr yrs",
    "Jy": "jansky janskys jy",
    "mJy": "millijansky millijanskys millijy mjy",
    "uJy": "microjansky microjanskys microjy ujy µjy μjy",
    "beam": "beam beams bm",
    "mag": "mag mags magnitude magnitudes abmag mag_ab vegamag",
    "Hz": "hertz hz",
    "MHz": "megahertz mhz",
    "GHz": "gigahertz ghz",
}
_BY_SPELLING = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_PURE_NUMBERS = frozenset(("", "-", "--", "none", "null", "unitless", "dimensionless", "number", "redshift", "z", "1"))
_REMARK = re.compile(r"\b(decimal|icrs|j2000(\.0)?)\b|\(\s*(icrs|j2000(\.0)?|ab|vega)\s*\)", re.IGNORECASE)


def parse_unit(text: str | u.UnitBase) -> u.UnitBase:
    """The unit of a text such as "deg", "DEGREES", "JY/BEAM", "mas/year"; a unit is returned as it is.

    Raises:
        ValueError: the text is not a unit.
    """
    if isinstance(text, u.UnitBase) and not isinstance(text, u.UnrecognizedUnit):
        return text
    plain = _REMARK.sub(" ", str(text)).strip().strip(".'\"").strip()
    if plain.lower() in _PURE_NUMBERS:
        return u.dimensionless_unscaled
    plain = re.sub(r"\bAB\s+mag(nitude)?s?\b", "mag", plain, flags=re.IGNORECASE)
    plain = re.sub(r"\s+per\s+", " / ", plain, flags=re.IGNORECASE)
    return u.Unit(re.sub(r"[^\W\d]+", _standard_spelling, plain), parse_strict="raise")


def _standard_spelling(word: re.Match[str]) -> str:
    """The standard spelling of a unit; MJy, correct in itself, is not mJy, but in capitals it is."""
    text = word.group()
    return text if text in ("MJy", "Mrad") else _BY_SPELLING.get(text.lower(), text)
