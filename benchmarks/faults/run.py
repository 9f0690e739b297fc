"""Inject faults into training runs, one after the other, and write a table of what happened.

python benchmarks/faults/run.py --out docs/faults.md      all faults, about 20 minutes
python benchmarks/faults/run.py --quick                   the faults of the tests
python benchmarks/faults/run.py --only "node lost"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np  # noqa: E402

from benchmarks.faults.cluster import EVERY, QUICK_STEPS, STEPS, LocalCluster, Run  # noqa: E402
from benchmarks.faults.faults import FAULTS, Fault  # noqa: E402
from mmae.cli import INPUT_ERROR_STATUS  # noqa: E402

TOLERANCE = 1e-6  # on weights, between a run with a fault and the undisturbed run


@dataclass
class Outcome:
    """The outcome of a run with a fault.

    Attributes:
        happened: the reaction in words.
        recovered_s: time from the fault to a new checkpoint.
        lost: upper limit of the number of repeated steps.
        difference: largest absolute difference between final weights and those of the undisturbed run.
        ok: whether the run recovered as it should.
    """

    name: str
    happened: str
    recovered_s: float | None = None
    lost: int | None = None
    difference: float | None = None
    ok: bool = False


def undisturbed(cluster: LocalCluster, steps: int) -> Run:
    run = cluster.run("undisturbed", steps=steps)
    run.start()
    if run.wait() != 0:
        raise RuntimeError(run.text()[-3000:])
    return run


def try_fault(fault: Fault, cluster: LocalCluster, reference: Run) -> Outcome:
    outcome = Outcome(fault.name, "")
    with (fault.around or (lambda cluster: contextlib.nullcontext({})))(cluster) as extra:
        run = cluster.run(
            fault.name.split(" (")[0].replace(" ", "-").replace(",", ""),
            extra.get("home"),
            fault.steps,
            fault.every,
            **fault.compute,
        )
        run = replace(run, environment=extra.get("environment", {}))
        try:
            _inject_and_measure(fault, cluster, run, reference, outcome)
        finally:
            run.end()
    return outcome


def _inject_and_measure(fault: Fault, cluster: LocalCluster, run: Run, reference: Run, outcome: Outcome) -> None:
    run.start()
    run.wait_for_step(2 * fault.every)
    before, started, logged = run.last_step(), time.monotonic(), len(run.text())
    outcome.happened = fault.inject(cluster, run)
    run.wait_for_step(min(max(before, run.last_step()) + fault.every, fault.steps))
    outcome.recovered_s = time.monotonic() - started
    status = run.wait()
    resumed = [int(step) for step in re.findall(r"resumed at step (\d+)", run.text()[logged:])]
    # The fault may have come one step before the next checkpoint.
    newest = max(before, run.newest_at_start)
    outcome.lost = max(newest - resumed[0], 0) + fault.every - 1 if resumed else 0
    outcome.ok = status == 0 and sorted(run.losses()) == list(range(fault.every, fault.steps + 1, fault.every))
    if fault.equal:
        outcome.difference = largest_difference(run, reference)
        outcome.ok &= outcome.difference <= TOLERANCE and _same_curve(run, reference)


def _same_curve(run: Run, reference: Run) -> bool:
    losses, expected = run.losses(), reference.losses()
    return all(abs(losses[step] / expected[step] - 1) < TOLERANCE for step in expected)


def largest_difference(run: Run, reference: Run) -> float:
    mine, other = run.weights(), reference.weights()
    return max(float(np.abs(mine[n] - other[n]).max()) for n in other if n.startswith("model."))


def nan_loss(cluster: LocalCluster) -> Outcome:
    """A learning rate that makes the loss NaN: the run must end at once and name the settings to change."""
    run = cluster.run("nan")
    run.config = replace(run.config, optim=replace(run.config.optim, learning_rate=1e30, final_learning_rate=1e30))
    run.start()
    status = run.wait()
    ok = status == INPUT_ERROR_STATUS and "gradient is nan" in run.text()
    return Outcome(
        "NaN loss", "the run ends at once (status 2) and names the step and the settings to change; no restart", ok=ok
    )


def try_all(faults: list[Fault], with_nan: bool, folder: Path, steps: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    cluster = LocalCluster(folder)
    try:
        print("building a survey", flush=True)
        cluster.survey()
        print("the undisturbed run", flush=True)
        reference = undisturbed(cluster, steps)
        for fault in faults:
            while len(cluster.nodes) > fault.nodes:
                cluster.ray_cluster.remove_node(cluster.nodes.pop(), allow_graceful=True)
            while len(cluster.nodes) < fault.nodes:
                cluster.nodes.append(cluster.add_node())
            try:
                outcomes.append(try_fault(fault, cluster, reference))
            except Exception as error:
                traceback.print_exc()
                outcomes.append(Outcome(fault.name, f"{type(error).__name__}: {str(error).splitlines()[0]}"))
            print(_line(outcomes[-1]), flush=True)
        if with_nan:
            outcomes.append(nan_loss(cluster))
            print(_line(outcomes[-1]), flush=True)
    finally:
        cluster.close()
    return outcomes


def _line(o: Outcome) -> str:
    recovered = "-" if o.recovered_s is None else f"{o.recovered_s:.0f} s"
    lost = "-" if o.lost is None else str(o.lost)
    difference = "-" if o.difference is None else f"{o.difference:.1g}"
    return f"| {o.name} | {o.happened} | {recovered} | {lost} | {difference} | {'yes' if o.ok else '**no**'} |"


def page(outcomes: list[Outcome]) -> str:
    head = (
        Path(__file__)
        .with_name("page.md")
        .read_text()
        .format(steps=STEPS, every=EVERY, tolerance=TOLERANCE, cores=os.cpu_count())
    )
    return head + "\n".join(_line(o) for o in outcomes) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="only faults with this text in their name")
    parser.add_argument("--out", type=Path, help="write this page")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    parser.add_argument("--keep", type=Path, help="folder for logs and runs, instead of a temporary one")
    options = parser.parse_args()
    faults = [f for f in FAULTS if (f.quick or not options.quick) and (options.only or "") in f.name]
    steps = QUICK_STEPS if options.quick else STEPS
    faults = [replace(f, steps=steps) if f.steps == STEPS else f for f in faults]
    with_nan = not options.quick and (options.only or "") in "NaN loss"
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmae-faults-")))
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = try_all(faults, with_nan, folder, steps)
    if options.out:
        options.out.write_text(page(outcomes))
    if options.json:
        options.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    sys.exit(0 if all(o.ok for o in outcomes) else 1)


if __name__ == "__main__":
    main()
