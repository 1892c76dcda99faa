"""The evaluation engine against a plain loop, and both against the floor, in one run.

    python -m tests.benchmarks.sweep [vanilla] [resnet50] [--images N] [--every K] [--device D]

The plain loop replaces the weights, for each layer, each existing cut and each of 14 thresholds,
and runs the whole network on every image, as it is stored, at the best of several batch sizes.

The floor counts what no engine without lower precision or fewer multiplications can avoid, in
whole forward passes: for a layer l with the multiplications m(l) of the M of the whole network,
each distinct truncation costs what lies behind the layer, sum of m(l') / M over l' > l, and each
cut one convolution, m(l) / M, that its ranks share. At 14 thresholds and with all existing cuts:

    ResNet-50      2,170 whole forward passes, 1,535 distinct truncations, floor 780
    vanilla CNN      392                         235                             108

(the number of distinct truncations depends on the weights; full rank, the control, is among them,
but an engine need not run it where the kernel is the layer's own to the bit). Time over floor is
the engine's time / (floor x time of the best whole forward pass, measured beside it).

Only every K-th convolution is run, for the same part of the plain loop; the whole is extrapolated
by the floor's share. Weights are those of a measured network where one lies in the cache, for the
vanilla CNN the shipped one; else they are drawn, with spectra that fall off as those of trained
networks do.

Measured on an AMD EPYC (Zen 4, AVX-512), trained weights, 1,000 images, no count differing between
the precisions. Vanilla CNN, in CPU seconds on one core that others used too: 6.8 times the plain
loop and 1.04 of the floor in float32, 8.5 times and 0.84 in bfloat16. ResNet-50 with a stride-2
stem, in seconds on two cores: 3.8 times and 1.00 in float32, 5.5 times and 0.70 in bfloat16.
"""

import argparse
import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from compressibility.evaluation import Evaluator, Precision, Truncations
from compressibility.evaluation.resumption import ResumableNetwork
from compressibility.experiments.experiment import Experiment
from compressibility.experiments.named import named
from compressibility.networks import image_sets
from compressibility.networks.architectures import ResNet50, initialised
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.kernels import Kernel, find_kernels, kernel_array
from compressibility.store import cache
from compressibility.tensors.modes import distinct_cuts, matricize
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at

NETWORKS: Final = {
    "vanilla": (("cifar10-vanilla",), 1),
    "resnet50": (("cifar10-resnet50-small", "cifar100-resnet50-small"), 8),
}
"""Experiments, of which the first with weights in the cache is taken; K, of every K-th layer."""
N_CLASSES: Final = {"cifar10": 10, "cifar100": 100}
BATCH_SIZES: Final = (32, 64, 128, 256, 512)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Job:
    """The truncations of one layer, and what they cost at least, in whole forward passes."""

    layer: str
    truncations: list[Truncations]
    n_plain: int
    n_distinct: int
    floor: float


def checkpoint_of(experiment: Experiment) -> Path:
    """Where the weights of its first network lie, once it is trained."""
    return cache.default().checkpoint(experiment.name, experiment.seeds[0])


def network_and_images(name: str, n_images: int) -> tuple[nn.Module, Tensor, Tensor, str]:
    """A network, images, labels, and where they are from."""
    experiments = [named(experiment) for experiment in NETWORKS[name][0]]
    present = [each for each in experiments if checkpoint_of(each).exists()]
    experiment = (present or experiments)[0]
    n_classes = N_CLASSES[experiment.images]
    generator = Generator().manual_seed(0)
    try:
        images = image_sets.load(experiment.images, cache.default().images)
        inputs = images.normalised(images.test.images[:n_images])
        labels, source = images.test.labels[:n_images], f"{experiment.images} test images"
    except (ValueError, OSError):
        inputs = torch.randn(n_images, 3, 32, 32, generator=generator)
        labels = torch.randint(n_classes, (n_images,), generator=generator)
        source = "random images"
    network = initialised(experiment.architecture, 3, n_classes, generator)
    checkpoint = checkpoint_of(experiment)
    if checkpoint.exists():
        tensors = load_file(checkpoint)
        network.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        )
        return network.eval(), inputs, labels, f"trained weights of {checkpoint}, {source}"
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(_decaying(module.weight, generator))
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                nn.init.ones_(module.weight)
        network.train()(inputs[:256])
    return network.eval(), inputs, labels, f"random weights, {source}"


def _decaying(weight: Tensor, generator: Generator) -> Tensor:
    """Gaussian weights times a matrix with eigenvalues 1/n^a along each mode, a = 0.4 or 0.28."""
    kernel = weight.double()
    for axis, size in enumerate(kernel.shape):
        exponent = 0.4 if axis < 2 else 0.28
        noise = torch.randn(size, size, generator=generator, dtype=torch.float64)
        basis, _ = torch.linalg.qr(noise)
        values = torch.arange(1, size + 1, dtype=torch.float64) ** -exponent
        mixing = basis * values @ basis.T
        kernel = torch.tensordot(mixing, kernel, ([1], [axis])).movedim(0, axis)
    return kernel * weight.double().norm() / kernel.norm()


def jobs(network: nn.Module, kernels: Sequence[Kernel], every: int) -> Iterator[Job]:
    """The truncations of every ``every``-th kernel."""
    for number in range(0, len(kernels), every):
        layer = kernels[number].layer
        array = kernel_array(network, layer)
        decompositions = [decompose(array, cut) for cut in distinct_cuts(array.shape)]
        ranks = [ranks_at(each.spectrum, THRESHOLDS).tolist() for each in decompositions]
        truncations = [Truncations(*each) for each in zip(decompositions, ranks, strict=True)]
        yield Job(
            layer,
            truncations,
            len(ranks) * len(THRESHOLDS),
            sum(len(set(each)) for each in ranks),
            floor_of(kernels, number, ranks),
        )


def floor_of(kernels: Sequence[Kernel], number: int, ranks: Sequence[Sequence[int]]) -> float:
    """Whole forward passes that the distinct truncations of one kernel cost at least."""
    behind = sum(kernel.macs for kernel in kernels[number + 1 :])
    n_distinct = sum(len(set(each)) for each in ranks)
    cost = n_distinct * behind + len(ranks) * kernels[number].macs
    return cost / sum(kernel.macs for kernel in kernels)


def whole_floor(network: nn.Module, kernels: Sequence[Kernel]) -> float:
    """The floor of all kernels."""
    floor = 0.0
    for number, kernel in enumerate(kernels):
        array = kernel_array(network, kernel.layer).astype(np.float64)
        values = [
            np.linalg.svd(matricize(array, cut), compute_uv=False)
            for cut in distinct_cuts(array.shape)
        ]
        ranks = [ranks_at(Spectrum(each), THRESHOLDS).tolist() for each in values]
        floor += floor_of(kernels, number, ranks)
    return floor


def rate(run: Callable[[Tensor], object], images: Tensor, clock: Clock) -> float:
    """Images per second at the best batch size."""
    best = 0.0
    for size in BATCH_SIZES:
        if size <= len(images):
            run(images[:size])
            for _ in range(2):
                start = clock()
                for batch in images.split(size):
                    run(batch)
                best = max(best, len(images) / (clock() - start))
    return best


def whole_forwards(
    network: nn.Module, images: Tensor, device: torch.device, clock: Clock
) -> dict[str, float]:
    """Images per second of whole forward passes in float32, as stored and at their best."""
    network, images = network.to(device), images.to(device)
    last = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), ieee_float32():
        rates = {"as stored": rate(network, images, clock)}
        network = network.to(memory_format=torch.channels_last)
        rates["channels last"] = rate(network, last, clock)
        folded = ResumableNetwork(network, last[:3], network(last[:3]))
        rates["folded and fused"] = rate(folded.whole(), last, clock)
    return rates


def matrix_rate(device: torch.device, clock: Clock, dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of a matrix product."""
    n = 1024 if device.type == "cpu" else 8192
    matrix = torch.randn(n, n, device=device).to(dtype)
    times = []
    with torch.inference_mode(), ieee_float32():
        for _ in range(6):
            start = clock()
            matrix @ matrix
            times.append(clock() - start)
    return 2.0 * n**3 / min(times)


def report(name: str, n_images: int, every: int, device: torch.device, clock: Clock) -> None:
    """Measure one network and print what was found."""
    network, images, labels, source = network_and_images(name, n_images)
    kernels = find_kernels(network, images[:1])
    chosen = list(jobs(network, kernels, every))
    floor, n_plain = sum(job.floor for job in chosen), sum(job.n_plain for job in chosen)
    n_distinct = sum(job.n_distinct for job in chosen)
    print(f"\n{name}: {source}; {len(chosen)} of {len(kernels)} convolutions, {n_images} images")
    print(f"  plain loop {n_plain} forwards, {n_distinct} distinct, floor {floor:.1f} forwards")

    few = images[: 512 if name == "vanilla" else 128]
    before = whole_forwards(copy.deepcopy(network), few, device, clock)
    taken: dict[Precision, float] = {}
    answers: list[list[tuple[int, int, int]]] = []
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions if source.startswith("trained") else precisions[:1]:
        evaluator = Evaluator(network, images, labels, device=device, precision=precision)
        evaluator.baseline  # noqa: B018
        start = clock()
        found = [evaluator.variants(job.layer, job.truncations) for job in chosen]
        taken[precision] = clock() - start
        flat = itertools.chain.from_iterable(itertools.chain.from_iterable(found))
        answers.append([(each.n_correct, each.n_lost, each.n_gained) for each in flat])
    after = whole_forwards(copy.deepcopy(network), few, device, clock)
    rates = {key: max(before[key], after[key]) for key in before}
    for key, value in rates.items():
        print(f"  whole forward, float32, {key}: {value:,.0f} images/s")

    plain = n_plain * n_images / rates["as stored"]
    floor_seconds = floor * n_images / max(rates.values())
    share = whole_floor(network, kernels) / floor
    operations = 2 * sum(kernel.macs for kernel in kernels) * floor * n_images
    for precision, seconds in taken.items():
        product = matrix_rate(device, clock, getattr(torch, precision))
        print(
            f"  {precision}: {seconds:.1f} s (all convolutions {share * seconds:,.0f} s)\n"
            f"    {plain / seconds:.2f} times as fast as the plain loop\n"
            f"    {seconds / floor_seconds:.2f} of the floor at the best float32 rate\n"
            f"    {n_distinct * n_images / seconds:,.0f} variants x images/s\n"
            f"    {operations / seconds / 1e9:,.0f} GFLOP/s of the floor's operations, "
            f"{operations / seconds / product:.2f} of a {precision} matrix product's"
        )
    if len(answers) == 2:
        differing = sum(one != other for one, other in zip(*answers, strict=True))
        print(f"  counts that differ between the precisions: {differing} of {len(answers[0])}")
    else:
        print("  bfloat16 needs trained weights: how many images are in doubt depends on them")


def report_spectra(every: int, clock: Clock) -> None:
    """All Schmidt values of ResNet-50's kernels against ``numpy.linalg.svd`` for each cut."""
    network = initialised(ResNet50(), 3, 10, Generator().manual_seed(0))
    kernels = find_kernels(network, torch.zeros(1, 3, 32, 32))[::every]
    ours = theirs = worst = 0.0
    for kernel in kernels:
        array = kernel_array(network, kernel.layer).astype(np.float64)
        for cut in distinct_cuts(array.shape):
            start = clock()
            found = decompose(array, cut).schmidt_values
            middle = clock()
            _, plain, _ = np.linalg.svd(matricize(array, cut), full_matrices=False)
            theirs += clock() - middle
            ours += middle - start
            worst = max(worst, float(abs(found - plain).max() / plain[0]))
    print(
        f"\nspectra of {len(kernels)} kernels: {ours:.1f} s, numpy.linalg.svd {theirs:.1f} s, "
        f"{theirs / ours:.2f} times as long, greatest difference {worst:.0e} of the largest"
    )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=[*NETWORKS, "spectra"])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--every", type=int, help="convolutions to pass over, less one")
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument(
        "--cpu-time", action="store_true", help="CPU seconds, for a machine that others use too"
    )
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)

    def now() -> float:
        if asked.device.type == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if asked.cpu_time else time.perf_counter()

    print(f"{asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix product in float32: {matrix_rate(asked.device, now) / 1e9:,.0f} GFLOP/s")
    for name in asked.networks:
        if name == "spectra":
            report_spectra(asked.every or 8, now)
        else:
            report(name, asked.images, asked.every or NETWORKS[name][1], asked.device, now)


if __name__ == "__main__":
    main()
