"""An experiment measured: its jobs, their shards, and the one dataset they become."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import xarray as xr
from numpy.typing import ArrayLike
from torch import nn

from compressibility.errors import nearest
from compressibility.experiments import networks
from compressibility.experiments.experiment import (
    IDENTIFYING,
    Experiment,
    ExperimentError,
    identity,
)
from compressibility.experiments.given import require_takes
from compressibility.measuring.lock import exclusive
from compressibility.measuring.progress import Report, Step, reading
from compressibility.measuring.tasks import Bench, Task, Training, content_key
from compressibility.measuring.workers import Hands, InThisProcess
from compressibility.networks.image_sets import NAMES
from compressibility.networks.kernels import find_kernels, unsupported, weights_hash
from compressibility.networks.training import Progress
from compressibility.quantities.quantity import Quantity, coordinates, divided_along
from compressibility.store import layout, netcdf
from compressibility.store.declarations import PARTED
from compressibility.store.provenance import attributes, merged_history
from compressibility.store.schema import TABLES, dimensions, present


@dataclass
class _Sweep:
    """The jobs of one measurement, and which of them are done."""

    experiment: Experiment
    bench: Bench
    known: xr.Dataset | None
    layers: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    shards: dict[Task, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._held = set() if self.known is None else held_keys(self.known)

    @property
    def tasks_per_seed(self) -> int:
        return len(list(self.tasks(0)))

    def tasks(self, seed: int) -> Iterator[Task]:
        """The network's own, then layer by layer, then those that need many layers."""
        of_layers = [q for q in self.quantities if divided_along(q) == "layer"]
        first, *others = (q for q in self.quantities if q not in of_layers)
        yield Task(self.experiment, seed, first)
        for layer in self.layers:
            for quantity in of_layers:
                yield Task(self.experiment, seed, quantity, layer)
        for quantity in others:
            along = divided_along(quantity)
            for part in map(str, quantity.coordinates()[along]) if along else ("",):
                yield Task(self.experiment, seed, quantity, part)

    def network(self, seed: int) -> str | None:
        """Hash of the seed's trained network; None where it is still to be trained."""
        if self.known is not None and seed in self.known["seed"]:
            known = str(self.known["weights_hash"].sel(seed=seed).item())
            if known:
                return known
        cache = self.bench.place.cache
        if not cache.checkpoint(self.experiment.name, seed).exists():
            return None
        return self._hash(seed)

    def holds(self, seed: int) -> bool:
        """Whether the known dataset has all of a seed."""
        weights = self.network(seed) if self.known and seed in self.known["seed"] else None
        return weights is not None and set(self._keys(seed, weights).values()) <= self._held

    def missing(self, seed: int, weights: str) -> dict[Task, str]:
        """The tasks of a trained network that nothing holds yet, with their content keys."""
        absent = {}
        for task, key in self._keys(seed, weights).items():
            if key in self._held:
                continue
            self.shards[task] = self.shard(key)
            if not self.shards[task].exists():
                absent[task] = key
        if absent:
            self._require_network(seed, weights)
        return absent

    def shard(self, key: str) -> Path:
        return self.bench.place.cache.shards(self.experiment.name) / f"{key}.nc"

    @property
    def images_checksum(self) -> str:
        if self.known is not None:
            return str(self.known.attrs["images_checksum"])
        return self.bench.images(self.experiment).checksum

    def _keys(self, seed: int, weights: str) -> dict[Task, str]:
        checksum = self.images_checksum
        return {
            task: content_key(
                task.quantity,
                self.experiment.scope(seed),
                task.part,
                weights=weights,
                images_checksum=checksum,
            )
            for task in self.tasks(seed)
        }

    def _hash(self, seed: int) -> str:
        images, place = self.bench.images(self.experiment), self.bench.place
        return weights_hash(networks.trained(self.experiment, seed, images, place))

    def _require_network(self, seed: int, weights: str) -> None:
        path = self.bench.place.cache.checkpoint(self.experiment.name, seed)
        if not path.exists():
            raise ExperimentError(
                f"seed {seed} of {self.experiment.name} is measured in part, and its network is "
                f"not at {path}: put it there, or measure into another file with --out"
            )
        if self._hash(seed) != weights:
            raise ExperimentError(
                f"{path} is not the network of seed {seed} whose measurements are kept "
                f"(SHA-256 {weights[:12]}…): put that one there, or measure into another file "
                "with --out"
            )


def measure(
    experiment: Experiment,
    seeds: Sequence[int],
    *,
    place: networks.Place,
    out: Path,
    layers: Sequence[str] | None = None,
    tables: Sequence[str] | None = None,
    hands: Hands | None = None,
    given: Sequence[nn.Module] = (),
    report: Report = lambda _: None,
) -> xr.Dataset:
    """Measure what ``out`` and the shards do not hold yet of these seeds; save and return all.

    Every task writes a shard of its own, so that an interrupted measurement goes on where it
    was; whatever ends it early, what is measured is saved as a partial dataset. What fails for a
    numerical reason is recorded in the dataset as failed, and the rest goes on.

    Args:
        experiment: What to measure.
        seeds: Which of its networks.
        place: Where things lie, and which device computes.
        out: The dataset; what it holds counts as done.
        layers: Which layers; all by default.
        tables: Which of the planned tables, beside the baseline; all by default.
        hands: Who does the jobs; this process by default.
        given: The networks of an experiment that were trained elsewhere; they are kept in the
            cache, and may be left out where they are there.
        report: Called with every step.

    Raises:
        ExperimentError: ``out`` belongs to another experiment or other images, a layer is
            unknown, a table is not planned, a network that is measured in part is gone, or the
            network that is given does not take the images.
        ImagesError: The images are not there, or cannot be read as they are meant.
        compressibility.store.netcdf.DatasetError: ``out`` is damaged or cannot be written.
        compressibility.measuring.lock.BusyError: Another process measures the experiment in this
            cache, or writes to ``out``.
    """
    bench = hands.bench if isinstance(hands, InThisProcess) else Bench(place)
    of_folder = experiment.images not in NAMES and Path(experiment.images).is_dir()
    if of_folder:
        images = bench.images(experiment, reading(report, "reading the images"))
        report(Step(0, 0, (), note=images.taken))
        notes = dict.fromkeys(require_takes(network, images) for network in given)
        for note in filter(None, notes):
            report(Step(0, 0, (), note=note))
    if out.exists():
        held = _sweep(experiment, bench, out, layers, tables)
        assert held.known is not None
        whole = all(held.holds(seed) for seed in seeds)
        if not whole or of_folder:
            bench.require_images(experiment, held.known.attrs["images_checksum"])
        if whole:
            return held.known
    shards = place.cache.shards(experiment.name)
    with exclusive(out, experiment.name), exclusive(shards, experiment.name):
        if given:
            networks.keep(given, experiment, place)
        sweep = _sweep(experiment, bench, out, layers, tables)
        try:
            _run(sweep, seeds, hands or InThisProcess(bench), report)
        except BaseException:
            if any(shard.exists() for shard in sweep.shards.values()):
                _save(sweep, out)
            raise
        return _save(sweep, out)


def held_keys(dataset: xr.Dataset) -> set[str]:
    """The content keys of all that a dataset holds, of failures too."""
    return {key for table in present(dataset) for key in layout.measured(dataset, table).values()}


def _sweep(
    experiment: Experiment,
    bench: Bench,
    out: Path,
    layers: Sequence[str] | None,
    tables: Sequence[str] | None,
) -> _Sweep:
    """The sweep that goes on from what ``out`` holds."""
    quantities = _chosen(experiment, tables)
    known = netcdf.open_dataset(out) if out.exists() else None
    if known is not None:
        _require_same(known, experiment, out)
        every = tuple(known["layer"].values.tolist())
    else:
        network, example = networks.example(experiment, bench.images(experiment))
        kernels = find_kernels(network, example, kinds=experiment.kinds)
        every = tuple(kernel.layer for kernel in kernels)
    for layer in layers or ():
        if layer not in every:
            raise ExperimentError(
                f"{experiment.name} has no layer {layer!r}: {nearest(layer, every)} "
                f"It has {len(every)} from {every[0]} to {every[-1]}"
            )
    chosen = tuple(layer for layer in every if layers is None or layer in layers)
    return _Sweep(experiment, bench, known, chosen, quantities)


def _chosen(experiment: Experiment, tables: Sequence[str] | None) -> tuple[Quantity, ...]:
    """The baseline and the quantities that fill the tables which are asked for."""
    if tables is None:
        return experiment.quantities
    planned = [plan.table for plan in experiment.plans]
    for table in tables:
        if table not in planned:
            raise ExperimentError(
                f"{experiment.name} plans no table {table!r}: {nearest(table, planned)}"
            )
    baseline, *others = experiment.quantities
    return (baseline, *(quantity for quantity in others if quantity.table in tables))


def _require_same(known: xr.Dataset, experiment: Experiment, out: Path) -> None:
    """Refuse a dataset whose networks, images or grids are not the experiment's."""
    held, here = json.loads(known.attrs["experiment"]), experiment.as_data()
    if identity(held) != experiment.identity:
        differing = [
            n for n in IDENTIFYING if identity({n: held.get(n)}) != identity({n: here.get(n)})
        ]
        raise ExperimentError(
            f"{out} holds another experiment ({known.attrs['title']}), of another "
            f"{' and '.join(differing).replace('_', ' ')} than {experiment.name}: choose another "
            "--out, or move it away"
        )
    for name, values in coordinates(experiment.quantities).items():
        if name in _PUT_TOGETHER or name not in known:
            continue
        if list(values) != known[name].values.tolist():
            raise ExperimentError(
                f"{out} was measured on another grid of {name} ({known.sizes[name]} values); "
                "move it away, or choose another --out"
            )


def _run(sweep: _Sweep, seeds: Sequence[int], hands: Hands, report: Report) -> None:
    """Do every missing job, those of one seed after its training."""
    total = len(seeds) * (1 + sweep.tasks_per_seed)
    queue: deque[tuple[Training | Task, str]] = deque()
    done = 0
    for seed in seeds:
        weights = sweep.network(seed)
        if weights is None:
            queue.append((Training(sweep.experiment, seed), ""))
        else:
            absent = sweep.missing(seed, weights)
            queue.extend(absent.items())
            done += 1 + sweep.tasks_per_seed - len(absent)
    begun: list[Training | Task] = []
    in_hand: dict[Future[str], Training | Task] = {}

    def step(progress: Progress | None = None) -> None:
        report(Step(done, total, tuple(map(str, begun)), progress))

    step()
    while queue or in_hand:
        while queue and len(in_hand) < hands.at_once:
            job, key = queue.popleft()
            begun.append(job)
            step()
            in_hand[hands.submit(job, key, step)] = job
        for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
            job = in_hand.pop(future)
            begun.remove(job)
            failure = future.result()
            done += 1
            if isinstance(job, Training):
                if failure:
                    _record_failed_training(sweep, job, failure)
                    done += sweep.tasks_per_seed
                else:
                    weights = sweep.network(job.seed)
                    assert weights is not None
                    queue.extendleft(reversed(sweep.missing(job.seed, weights).items()))
        step()


def _record_failed_training(sweep: _Sweep, job: Training, failure: str) -> None:
    task, key, shard = sweep.bench.failed_training(job, failure)
    sweep.shards[task] = sweep.shard(key)
    netcdf.save_shard(shard, sweep.shards[task])


def _save(sweep: _Sweep, out: Path) -> xr.Dataset:
    """The dataset of all that is known and of the shards that are there, saved to ``out``."""
    shards = [netcdf.open_shard(path) for path in sweep.shards.values() if path.exists()]
    dataset = _assembled(sweep, [*([sweep.known] if sweep.known else []), *shards])
    netcdf.save(dataset, out)
    for path in sweep.shards.values():
        path.unlink(missing_ok=True)
    return dataset


def _assembled(sweep: _Sweep, parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset of all the seeds in ``parts``, each task of theirs in its place."""
    experiment, known, images = sweep.experiment, sweep.known, sweep.bench.images(sweep.experiment)
    network, example = networks.example(experiment, images)
    begun = [quantity.table for quantity in sweep.quantities]
    tables = begun
    grid = coordinates(sweep.quantities)
    labels: dict[str, ArrayLike] = {d: grid[d] for d in grid if d not in _PUT_TOGETHER}
    if known is not None:
        tables = [*begun, *(table.name for table in present(known))]
        labels = {str(d): known[d].values for d in known.dims if d not in _PUT_TOGETHER} | labels
    labels[PARTED] = _weights(grid.get(PARTED, ()), known)
    dataset = layout.blank(
        find_kernels(network, example, kinds=experiment.kinds),
        seeds=sorted({int(seed) for part in parts for seed in part["seed"].values}),
        coordinates=labels,
        tables=tables,
        attributes=attributes(
            title=experiment.title,
            experiment=experiment.as_data(),
            images_checksum=images.checksum,
            left_out=unsupported(network, example, kinds=experiment.kinds),
            n_classes=len(images.classes),
            event=f"measure {experiment.name}",
        ),
    )
    dataset["n_images"][...] = len(images.test.first(experiment.test_images))
    if known is not None:
        histories = (known.attrs["history"], dataset.attrs["history"])
        dataset.attrs["history"] = merged_history(histories)
    for part in parts:
        layout.merge(dataset, part)
    return dataset


def _weights(planned: Sequence[str], known: xr.Dataset | None) -> list[str]:
    """Which weights of the layers there are spectra of."""
    held = known[PARTED].values.tolist() if known is not None and PARTED in known.coords else []
    return [label for label in dimensions()[PARTED].known if label in {*planned, *held}]


_PUT_TOGETHER: Final = (
    {"mode", PARTED}
    | {name for table in TABLES.values() for name in table.per}
    | {name for name, dimension in dimensions().items() if dimension.longest is not None}
)
"""Dimensions whose labels are put together from those of the parts."""
