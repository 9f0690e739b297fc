"""Quantities of a training step that are counted, not measured: operations, memory traffic, communication.

What grows with the number of galaxies and what does not is separated by counting steps of two sizes.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.performance.model_step import SPEC, noise_galaxies
from mmae.config import RunConfig
from mmae.loader.sampler import Portion
from mmae.model.workers import BatchNorm2d
from mmae.training.parallel import DDP_OPTIONS
from mmae.training.step import create_state, training_step

FLOAT32, FLOAT64, INT32, INT64 = 4, 8, 4, 8  # bytes
# Matrix products, convolutions and attention: their time is counted by operations, that of all others by bytes.
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "attention")


@dataclass(frozen=True)
class PerStep:
    """A quantity that is `fixed` in each step and grows by `galaxy` with each galaxy of the device."""

    fixed: float
    galaxy: float

    def of(self, galaxies: float) -> float:
        return self.fixed + self.galaxy * galaxies


@dataclass(frozen=True)
class Counts:
    """Counted quantities of a step on one device.

    Attributes:
        flop: floating-point operations of matrix products, convolutions and attention, forward, backward and optimiser.
        convolutions: those of convolutions alone.
        traffic: bytes read and written by all other operations, each reading its inputs and writing its outputs.
        operations: number of operations that are not views: kernels that a GPU starts.
        activations: bytes kept for the backward pass.
        state: bytes of weights, their average, gradients and the state of the optimisers.
        read: bytes of a galaxy as stored: float32 image, flux and inverse variance.
        gradient: bytes of the gradient, which is summed over the workers.
        synchronised: further bytes that are summed over the workers in a step; `galaxy` for each galaxy of all workers.
        sums: number of sums over the workers in a step.
    """

    flop: PerStep
    convolutions: PerStep
    traffic: PerStep
    operations: float
    activations: PerStep
    state: float
    read: int
    gradient: int
    synchronised: PerStep
    sums: int


class Traffic(TorchDispatchMode):
    """Counts bytes and number of the operations that are not views."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.operations = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.operations += 1
            name = function.overloadpacket.__name__
            if not any(product in name for product in PRODUCTS):
                self.bytes += sum(_bytes(x) for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor))
        return result


def _bytes(tensor: Tensor) -> int:
    """Of the values that a tensor reads; repeated ones (of an expanded tensor) count once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def count(run: RunConfig, sizes: tuple[int, int] = (8, 24), steps: int = 3) -> Counts:
    """The counts of a run, mean of the first steps: each draws its own fraction of masked tokens.

    Args:
        sizes: two numbers of galaxies, counted on this CPU in float32.
    """
    # (sizes, quantities)
    counted = np.array([_count_steps(run, size, steps) for size in sizes])
    slope_Q = (counted[1] - counted[0]) / (sizes[1] - sizes[0])
    fixed_Q = counted[0] - slope_Q * sizes[0]
    flop, convolutions, traffic, operations, activations = range(5)

    def per_step(q: int) -> PerStep:
        return PerStep(max(0.0, fixed_Q[q]), slope_Q[q])

    state = create_state(run, SPEC, torch.device("cpu"))
    gradient, synchronised, sums = communication(run, state.model)
    return Counts(
        flop=per_step(flop),
        convolutions=per_step(convolutions),
        traffic=per_step(traffic),
        operations=counted[1][operations],
        activations=per_step(activations),
        state=5 * gradient,  # weights, average, gradients, and two moments of AdamW; Muon has one
        read=FLOAT32 * (SPEC.n_bands * SPEC.image_size**2 + 2 * SPEC.n_wavelengths),
        gradient=gradient,
        synchronised=synchronised,
        sums=sums,
    )


def _count_steps(run: RunConfig, galaxies: int, steps: int) -> tuple[float, ...]:
    """The quantities of `count`, in its order: means over the first steps."""
    state, batch = create_state(run, SPEC, torch.device("cpu")), noise_galaxies(galaxies)
    own = {p.untyped_storage().data_ptr() for p in state.model.parameters()}
    traffic, kept = Traffic(), []
    for _ in range(steps):
        saved: dict[int, int] = {}

        def keep(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), traffic:
            training_step(state, batch, run)
        kept.append(sum(saved.values()))
    state = create_state(run, SPEC, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        for _ in range(steps):
            training_step(state, batch, run)
    by_kind = counter.get_flop_counts()["Global"]
    flop = sum(by_kind.values()) / steps
    convolutions = sum(n for kind, n in by_kind.items() if "convolution" in str(kind)) / steps
    return flop, convolutions, traffic.bytes / steps, traffic.operations / steps, float(np.mean(kept))


def communication(run: RunConfig, model: torch.nn.Module) -> tuple[int, PerStep, int]:
    """Bytes of the gradient, other bytes that are summed over the workers, and the number of sums, in a step of `base`.

    The other bytes are: which parameters were used (DDP), the mean, variance and count of each batch normalisation,
    forward and backward, the number of targets of each loss, and the number of visible tokens of all galaxies.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradient = FLOAT32 * sum(p.numel() for p in parameters)
    maps = [layer.num_features for layer in model.modules() if isinstance(layer, BatchNorm2d)]
    views = 1 if run.redshift_masks is None else 2
    modalities = len(model.n_tokens)
    targets = INT64 * (modalities + 1) + FLOAT32 * views  # patches of each modality, levels; weights of redshifts
    fixed = INT32 * len(parameters) + 2 * 3 * FLOAT64 * sum(maps) + targets
    buckets = 1 + -(-max(0, gradient - 2**20) // (25 * 2**20))  # of 25 MiB, the first of 1 MiB (DDP)
    sums = buckets + 1 + 2 * len(maps) + modalities + 1 + views + views
    return gradient, PerStep(fixed, INT64 * modalities * views), sums


class Sums(TorchDispatchMode):
    """Counts bytes and number of the sums over the workers."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.sums = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in ("all_reduce", "allreduce_"):
            self.sums += 1
            self.bytes += sum(x.numel() * x.element_size() for x in tree_leaves(args) if isinstance(x, Tensor))
        return function(*args, **(kwargs or {}))


def counted_communication(run: RunConfig, galaxies: int = 16) -> tuple[int, int]:
    """Bytes and number of the sums over the workers in a step of two processes with gloo, as counted."""
    run = replace(
        run, stream=replace(run.stream, batch_size=galaxies), compute=replace(run.compute, workers=2, threads=1)
    )
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_worker, (run, folder), nprocs=2)
        total, sums = np.load(Path(folder) / "counted.npy")
    return int(total), int(sums)


def _worker(rank: int, run: RunConfig, folder: str) -> None:
    warnings.filterwarnings("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.set_num_threads(1)
    state = create_state(run, SPEC, torch.device("cpu"))
    state.trained = torch.nn.parallel.DistributedDataParallel(state.model, **DDP_OPTIONS)
    batch = noise_galaxies(run.stream.batch_size // 2, seed=rank)
    training_step(state, batch, run, Portion(rank, 2))  # the first step arranges the buckets of the gradient
    with Sums() as counted:
        training_step(state, batch, run, Portion(rank, 2))
    if rank == 0:
        np.save(Path(folder) / "counted.npy", [counted.bytes, counted.sums])
    dist.destroy_process_group()
