"""Which planes of a FITS file are images of the sky, and of which bands the planes of a cube are.

Survey archives store masks, weights and models beside the images, with the same shape, band and WCS. The kind is in
EXTTYPE (Rubin, HSC), IMTYPE (Legacy Surveys), PRODTYPE (NOIRLab), EXTNAME, or only in the file's name.
"""

from __future__ import annotations

import re

from astropy.io import fits

_SKY = {"image", "img", "sci", "science"}
# Parts of header values: EXTNAME is also "MASK_G", IMTYPE also "blobmodel", "galdepth" or "maskbits".
_OTHER_PARTS = re.compile(
    r"mask|variance|invvar|ivar|weight|psf|depth|model|chi2|resid|background|expmap|nexp|wtmap|maxmjd|minmjd|flags?$"
)
# Words of header values and file names.
_OTHER_WORDS = {
    *("mask", "msk", "maskbits", "dq", "dqmask", "flag", "flags"),
    *("variance", "var", "invvar", "ivar", "weight", "wht", "wgt", "wt", "wtmap", "wei", "err", "error", "rms"),
    *("psf", "psfsize", "nexp", "expmap", "exptime", "depth", "psfdepth", "galdepth"),
    *("model", "blobmodel", "chi2", "resid", "residual", "bkg", "background", "minmjd", "maxmjd"),
}


def other_kind(header: fits.Header, primary: fits.Header, file_stem: str) -> str | None:
    """The kind of a plane that is not an image of the sky, such as "invvar" or "blobmodel"; None for an image.

    The first of EXTTYPE, IMTYPE, PRODTYPE, EXTNAME, those of the primary header and the file's name that contains a
    kind decides; a plane without any is an image.
    """
    keys = ("EXTTYPE", "IMTYPE", "PRODTYPE")
    values = [header.get(key) for key in (*keys, "EXTNAME")] + [primary.get(key) for key in keys]
    for value in values:
        text = str(value or "").strip().lower()
        if text == "compressed_image":  # fpack's default EXTNAME
            continue
        words = set(re.split(r"[^a-z0-9]+", text))
        if words & _OTHER_WORDS or _OTHER_PARTS.search(text):
            return text
        if words & _SKY:
            return None
    words = re.split(r"[^a-z0-9]+", file_stem.lower())
    return next((word for word in words if word in _OTHER_WORDS), None)


def cube_bands(header: fits.Header, primary: fits.Header, planes: int) -> list[str] | None:
    """The band of each plane of an image cube (planes, H, W), from BANDS or FILTER ("grz" or "g,r,z") or BAND0, BAND1,
    ...; None if they are not given."""
    for some in (header, primary):
        for key in ("BANDS", "FILTER", "FILTERS"):
            text = str(some.get(key, "")).strip()
            words = [word for word in re.split(r"[\s,;]+", text) if word]
            if len(words) == 1 and planes > 1 and len(text) == planes:
                words = list(text)
            if len(words) == planes:
                return words
        for first in (0, 1):
            numbered = [some.get(f"BAND{number}") for number in range(first, first + planes)]
            if all(numbered):
                return [str(band).strip() for band in numbered]
    return None
