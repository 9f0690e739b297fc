"""Bands in the names of files and headers, and files grouped by their name.

Band names are as in HSC-SSP's data releases (https://hsc-release.mtk.nao.ac.jp) and other optical surveys.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from mmae.ingest.files import FITS_ENDINGS, name_of
from mmae.ingest.ids import distinct_names
from mmae.ingest.readers.planes import OTHER_WORDS, SKY_WORDS, WEIGHT_WORDS

KNOWN_BANDS = (*"ugrizyjhk", "ks", "w1", "w2", "w3", "w4", "nuv", "fuv")  # of which a survey uses some


def group_by_name(paths: list[str], bands: tuple[str, ...]) -> dict[str, list[str]]:
    """Files grouped by their path without the band; each group is one patch or stamp.

    Files of weights are in the group of the images whose name differs only in the kind (image, invvar). The names of
    the groups are as short as they can be and distinct.
    """
    groups: dict[str, list[str]] = {}
    words_of: dict[str, list[str]] = {}
    for path in paths:
        folder, name = path.rpartition("/")[::2]
        stem = next((name.removesuffix(e) for e in FITS_ENDINGS if name.endswith(e)), name)
        words = re.split(r"([-_.\s]+)", stem)  # words and separators
        of_band = [i for i in range(0, len(words), 2) if _band(words[i], bands)]
        of_band = of_band or [i for i in range(0, len(words), 2) if _band(words[i], KNOWN_BANDS)]
        if of_band:
            last = of_band[-1]
            before = last - 2 if last >= 2 and words[last - 2].upper() == "HSC" else last
            del words[max(before - 1, 0) : last + 1]
        key = f"{folder}/{''.join(words)}"
        groups.setdefault(key, []).append(path)
        words_of[key] = [folder, *re.split(r"[-_.\s]+", "".join(words).lower())]
    _join_weights(groups, words_of)
    names = distinct_names(list(groups))
    return {names[name]: files for name, files in groups.items()}


def _join_weights(groups: dict[str, list[str]], words_of: dict[str, list[str]]) -> None:
    """Move the files of groups of weights to the group of their images, if there is exactly one."""

    def without_kind(key: str) -> tuple[str, ...]:
        return tuple(word for word in words_of[key] if word and word not in SKY_WORDS | WEIGHT_WORDS)

    images: dict[tuple[str, ...], list[str]] = {}
    for key in groups:
        if not OTHER_WORDS & set(words_of[key][1:]):
            images.setdefault(without_kind(key), []).append(key)
    for key in [key for key in groups if WEIGHT_WORDS & set(words_of[key][1:])]:
        hosts = images.get(without_kind(key), [])
        if len(hosts) == 1:
            groups[hosts[0]] += groups.pop(key)


def band_of(names: tuple[Any, ...], bands: tuple[str, ...]) -> tuple[str | None, bool]:
    """The band in the first name that has one, and whether it is one of the survey's `bands`."""
    for name in names:
        for some in (bands, KNOWN_BANDS):
            band = _band(name, some)
            if band:
                return band, some is bands
    return None, False


def stem_of(path: str) -> str:
    """A file's name without its ending."""
    return PurePosixPath(name_of(path)).name.partition(".fit")[0]


def _band(text: Any, bands: tuple[str, ...]) -> str | None:
    """The last word that is a band in "G", "g", "HSC-G", "HSC-R2" or "calexp-HSC-G-9813". R2 and I2 are HSC's
    second r and i filters."""
    by_name = {band.lower(): band for band in bands}
    for word in reversed(re.split(r"[-_.\s]+", str(text or "").lower())):
        band = by_name.get(word) or by_name.get(re.sub(r"^(?:hsc)?([ri])2$", r"\1", word))
        if band:
            return band
    return None
