"""Build a survey from raw FITS files: rate, profile, and the cost of kill -9 in the middle of the build.

    python benchmarks/pairing.py --galaxies 2000           a few minutes
    python benchmarks/pairing.py --raw /tmp/raw            20,000 galaxies; the files are kept there for the next run

The profile is of reading and dividing cells one after the other in this process, as the Ray workers do it.
"""

import argparse
import contextlib
import cProfile
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mmae.core.ray_setup import start_ray  # noqa: E402
from mmae.ingest.chunk import divide_chunk, read_chunk  # noqa: E402
from mmae.ingest.config import DEFAULT_SPLIT  # noqa: E402
from mmae.ingest.pairing.config import PairConfig  # noqa: E402
from mmae.ingest.pairing.source import paired_source, plan_folder  # noqa: E402
from mmae.ingest.split_rows import split_rows  # noqa: E402
from mmae.simulation.config import SimulationConfig  # noqa: E402
from mmae.simulation.raw_files import write_raw_files  # noqa: E402
from mmae.survey.store import Survey, open_survey, verify_content  # noqa: E402

PROFILED_CELLS = 6
STEPS = {  # step -> its functions, which do not call each other
    "open and parse FITS headers": ("open_fits", "read_wcs"),
    "read FITS spectra": ("rows",),
    "read FITS images": ("cutout",),
    "pixel positions": ("positions",),
    "join arms": ("join_arms",),
    "check": ("check_galaxy",),
    "to Arrow": ("to_table",),
    "write and hash Parquet": ("write_shard",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--raw", type=Path, help="folder of the raw files; created if it does not exist")
    parser.add_argument(
        "--field-density", type=float, default=0.0, help="density of neighbours; slows the simulation only"
    )
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmae-pairing-")))
        raw = arguments.raw or work / "raw"
        if not (raw / "done").exists():
            start_ray()
            write_raw_files(SimulationConfig(galaxies=arguments.galaxies, field_density=arguments.field_density), raw)
            (raw / "done").touch()
        size = sum(p.stat().st_size for p in raw.rglob("*.fits"))
        print(f"{arguments.galaxies} galaxies, {size / 1e9:.1f} GB of FITS, {os.cpu_count()} CPUs", flush=True)

        start = time.perf_counter()
        subprocess.run(command(raw, work / "whole"), check=True)
        whole_s = time.perf_counter() - start
        survey = open_survey(work / "whole")
        print(
            f"built in {whole_s:.0f} s, including the start of Ray: {arguments.galaxies / whole_s:.0f} galaxies/s, "
            f"{size / whole_s / 1e6:.0f} MB of FITS/s",
            flush=True,
        )

        killed = subprocess.Popen(command(raw, work / "killed"), start_new_session=True)
        chunks = work / "killed.unfinished" / "chunks"
        while len(list(chunks.glob("*.json"))) < len(survey.shards) // 4 and killed.poll() is None:
            time.sleep(0.2)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        time.sleep(5)  # until the workers of the killed driver end
        done = {p.name: p.stat().st_mtime_ns for p in chunks.glob("*.json")}
        start = time.perf_counter()
        subprocess.run(command(raw, work / "killed"), check=True)
        print(
            f"killed with {len(done)} cells done; the second run took {time.perf_counter() - start:.0f} s", flush=True
        )
        again = open_survey(work / "killed")
        verify_content(again)
        print(
            f"same content: {again.content_hash == survey.content_hash}; rows {len(ids(again))}, distinct "
            f"{len(set(ids(again)))}, of the uninterrupted build {len(ids(survey))}",
            flush=True,
        )
        profile(raw, work)


def command(raw: Path, out: Path) -> list[str]:
    return [
        sys.executable,
        str(ROOT / "ray_jobs" / "build_survey.py"),
        "--out",
        str(out),
        "--source",
        "paired",
        "--pair.spectra",
        f"{raw}/spectra/coadd-*",
        "--pair.redshifts",
        f"{raw}/spectra/redrock-*",
        "--pair.patches",
        f"{raw}/patches",
        "--pair.catalogues",
        f"{raw}/catalogue",
    ]


def ids(survey: Survey) -> list[str]:
    return [
        i
        for s in survey.shards
        for i in pq.ParquetFile(survey.path / s.path).read(["object_id"])["object_id"].to_pylist()
    ]


def profile(raw: Path, work: Path) -> None:
    start_ray()
    config = PairConfig(
        spectra=(f"{raw}/spectra/coadd-*",),
        redshifts=(f"{raw}/spectra/redrock-*",),
        patches=(f"{raw}/patches",),
        catalogues=(f"{raw}/catalogue",),
    )
    source = paired_source(config, work / "profiled")
    cells = [chunk for chunk in source.chunks if "plan" in chunk][1 : 1 + PROFILED_CELLS]
    with cProfile.Profile() as watch:
        folder = work / "profiled"
        reports = [read_chunk(source, chunk, index, folder, DEFAULT_SPLIT) for index, chunk in enumerate(cells)]
        for index, (report, splits) in enumerate(zip(reports, split_rows(folder, reports).chunks, strict=True)):
            divide_chunk(report, index, splits, folder)
    stats = pstats.Stats(watch)
    total = stats.total_tt
    rows = sum(chunk["rows"] for chunk in cells)
    print(f"\n{len(cells)} cells, {rows} galaxies in {total:.1f} s of one process: {rows / total:.0f} galaxies/s")
    rest = total
    for step, names in STEPS.items():
        seconds = sum(
            cumulative
            for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items()
            if name in names and "mmae" in file
        )
        rest -= seconds
        print(f"  {step:28} {seconds:6.2f} s  {seconds / total:4.0%}")
    print(f"  {'other':28} {rest:6.2f} s  {rest / total:4.0%}")
    shutil.rmtree(plan_folder(work / "profiled"))


if __name__ == "__main__":
    main()
