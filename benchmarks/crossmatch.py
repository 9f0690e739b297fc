"""Time the sky match against astropy's `search_around_sky`, in paired runs.

    python benchmarks/crossmatch.py                          1e5 x 1e5, 9 pairs of runs: seconds
    python benchmarks/crossmatch.py --points 1000000 --runs 5    1e6 x 1e6: about a minute

Runs of both alternate, so that variations of the machine speed affect both; the ratio is the median over the pairs of
runs. The results are compared before the timing.
"""

import argparse
import time

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky

from mmae.astro.crossmatch import match


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--points", type=int, default=100_000, help="rows of each catalogue")
    parser.add_argument("--radius", type=float, nargs="+", default=[2.0, 60.0, 180.0], help="arcsec")
    parser.add_argument("--runs", type=int, default=9, help="pairs of runs for each radius")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    first, second = random_points(arguments.points, rng), random_points(arguments.points, rng)
    print(f"{arguments.points} x {arguments.points} random points, median of {arguments.runs} paired runs")
    print(f"{'radius':>8} {'pairs':>9} {'mmae s':>9} {'astropy s':>10} {'ratio':>7} {'ratio range':>13}")
    for radius in arguments.radius:
        pairs, reference = match(*first, *second, radius), astropy_match(first, second, radius)
        same = set(zip(pairs.index1, pairs.index2, strict=True)) == set(zip(*reference, strict=True))
        if not same:
            raise SystemExit(f"the pair sets differ at {radius} arcsec")
        ours_R, theirs_R = np.array(
            [
                (seconds(match, *first, *second, radius), seconds(astropy_match, first, second, radius))
                for _ in range(arguments.runs)
            ]
        ).T
        ratio_R = theirs_R / ours_R
        print(
            f'{radius:7.0f}" {len(pairs):9d} {np.median(ours_R):9.3f} {np.median(theirs_R):10.3f} '
            f"{np.median(ratio_R):7.2f} {ratio_R.min():6.2f}-{ratio_R.max():.2f}"
        )


def random_points(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """RA and declination (n,), (n,) in degrees, uniform on the sphere."""
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def astropy_match(first, second, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of astropy from plain arrays, as for `match`; a new SkyCoord has no cached tree."""
    index1, index2, _, _ = search_around_sky(
        SkyCoord(*first, unit="deg"), SkyCoord(*second, unit="deg"), radius * u.arcsec
    )
    return index1, index2


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
