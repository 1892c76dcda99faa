"""Points lost at shares of the multiply-accumulates, by the advice and by plainer ways, in one run.

    python -m tests.benchmarks.compression [DATASET ...] [--seeds 0,1] [--epochs N]

Every way builds the same kind of network (two plain layers in a row, batch-norm statistics of
training images, no training) within the same share of the dense network's multiply-accumulates,
and all are asked the test images:

    advice    `compressibility advise` as it stands
    sums      plain truncations along every cut; the held-out losses of single layers add up
    energy    truncations for the outputs along OUT; the shares of the outputs' energy that are
              lost add up (the recipe of BALF, arXiv 2509.25136, re-implemented)

Beside the points that the advice lost stands the interval that it had told beforehand, from
held-out images, and at the end in how many of all (network, share) pairs it held. With --epochs,
each network of the advice is then trained on so long.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Generator

from compressibility.compressing.advice import FRONT, Adviser
from compressibility.compressing.compress import fine_tuning
from compressibility.compressing.cost import Cost
from compressibility.compressing.knapsack import chosen
from compressibility.compressing.measured import Measured, measured
from compressibility.compressing.options import Layer, Option
from compressibility.compressing.realised import Judge, realised
from compressibility.compressing.search import Choice
from compressibility.experiments.networks import Place
from compressibility.networks.image_sizes import image_sizes
from compressibility.networks.training import train
from compressibility.store import cache
from compressibility.tensors.whitened import WhitenedDecomposition


def solved(
    options: Mapping[str, list[tuple[Option, float]]], adviser: Adviser, share: float
) -> Choice | None:
    """The options of the least total loss within a share of the whole network's cost."""
    whole = adviser.dense.cost.macs
    rest = whole - sum(layer.options[0].cost.macs for layer in adviser.layers.values())
    numbers = chosen(
        {name: [option.cost.macs for option, _ in each] for name, each in options.items()},
        {name: [loss for _, loss in each] for name, each in options.items()},
        share * whole - rest,
    )
    return numbers and {name: options[name][number][0] for name, number in numbers.items()}


def of_sums(layers: Mapping[str, Layer]) -> dict[str, list[tuple[Option, float]]]:
    """Plain truncations, by what single layers lose."""
    return {
        name: [(o, max(0.0, o.loss)) for o in layer.options if o.metric == "weights"]
        for name, layer in layers.items()
    }


def of_energy(
    found: Measured, layers: Mapping[str, Layer]
) -> dict[str, list[tuple[Option, float]]]:
    """Truncations for the outputs along OUT at every rank, by the energy that is lost."""
    sizes = image_sizes(found.subject.network, found.subject.images[:1], layers)

    def every(name: str, layer: Layer) -> Iterator[tuple[Option, float]]:
        dense = layer.options[0]
        yield dense, 0.0
        decomposition = layer.decompositions["OUT", "outputs"]
        assert isinstance(decomposition, WhitenedDecomposition)
        for rank in range(1, decomposition.size + 1):
            chain = decomposition.chain(rank)
            macs = sum(chain.macs(s.outputs, inputs=s.inputs) for s in sizes[name])
            if macs < dense.cost.macs:
                option = Option(name, "OUT", "outputs", rank, Cost(chain.parameters, macs), 0.0)
                yield option, float(decomposition.lost[rank - 1])

    return {name: list(every(name, layer)) for name, layer in layers.items()}


def bench(path: Path, seed: int, epochs: int) -> tuple[int, int]:
    """Print the table of one network; how many intervals held, of how many."""
    found = measured(path, seed, Place(cache.default(), cache.default().images, "cpu"))
    subject = found.subject
    adviser = Adviser(found.data, subject)
    judge = Judge(subject, subject.images, subject.labels)
    options = {"sums": of_sums(adviser.layers), "energy": of_energy(found, adviser.layers)}

    def lost(choice: Choice | None) -> str:
        if choice is None:
            return "–"
        chains = {n: adviser.layers[n].chain(o) for n, o in choice.items() if not o.is_dense}
        network = realised(subject, chains)
        losses = f"{judge.judge(network).points_lost:.2f}"
        tuning = fine_tuning(found, epochs) if choice is candidate.choice else None
        if tuning is None:
            return losses
        order = Generator().manual_seed(subject.seed)
        network = train(network, found.images, tuning, order, device=torch.device("cpu"))
        return f"{losses} → {judge.judge(network).points_lost:.2f}"

    print(f"\n{path.stem}, seed {seed}: {judge.dense.accuracy:.2%} on {len(subject.labels)} images")
    print(f"{'kept':>6} {'advice':>14} {'told before':>18} {'sums':>7} {'energy':>7}")
    held = 0
    for share in FRONT:
        candidate = adviser.within(share)
        low, high = candidate.on_judging.points_lost_on_others(len(subject.labels))
        told = lost(candidate.choice)
        held += low <= float(told.split()[0]) <= high
        others = [lost(solved(each, adviser, share)) for each in options.values()]
        interval = f"{low:.2f} to {high:.2f}"
        print(f"{share:>6.0%} {told:>14} {interval:>18} {others[0]:>7} {others[1]:>7}", flush=True)
    return held, len(FRONT)


def main() -> None:
    """Bench every network that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=["cifar10-vanilla"])
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=0)
    asked = parser.parse_args()
    start = time.perf_counter()
    pairs = [
        bench(cache.default().find(name), int(seed), asked.epochs)
        for name in asked.datasets
        for seed in asked.seeds.split(",")
    ]
    held, n = (sum(column) for column in zip(*pairs, strict=True))
    print(f"\nthe interval told before held in {held} of {n} pairs of network and share")
    print(f"{time.perf_counter() - start:.0f} s, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
