"""An experiment measured: its tasks, their shards, and the one dataset they become."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import xarray as xr

from compressibility.experiments import Experiment, ExperimentError
from compressibility.measuring import tasks
from compressibility.measuring.lock import exclusive
from compressibility.measuring.progress import Report, Step
from compressibility.measuring.tasks import Group, Place, Task
from compressibility.networks.kernels import weights_hash
from compressibility.networks.training import Progress
from compressibility.store import netcdf
from compressibility.store.layout import measured, merge
from compressibility.store.provenance import merged_history
from compressibility.store.schema import TABLES


@dataclass(frozen=True)
class Training:
    """The training of one seed's network."""

    experiment: Experiment
    seed: int

    def __str__(self) -> str:
        """Such as ``seed 3 · training``."""
        return f"seed {self.seed} · training"


@dataclass
class _Sweep:
    """The jobs of one measurement, and which of them are done."""

    experiment: Experiment
    place: Place
    known: xr.Dataset | None
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        self.shards: dict[Task, Path] = {}
        held = xr.Dataset() if self.known is None else self.known
        self._held = {
            key for group in Group for key in measured(held, TABLES[group.value]).values()
        }

    @property
    def tasks_per_seed(self) -> int:
        return len(list(self.tasks(0)))

    def tasks(self, seed: int) -> Iterator[Task]:
        yield Task(self.experiment, seed, Group.NETWORK)
        for layer in self.layers:
            yield Task(self.experiment, seed, Group.TRUNCATION, layer)
            yield Task(self.experiment, seed, Group.CONTROLS, layer)
            if self.experiment.hessian:
                yield Task(self.experiment, seed, Group.CURVATURE, layer)
        if self.experiment.hessian:
            yield Task(self.experiment, seed, Group.HESSIAN)

    def network(self, seed: int) -> str | None:
        """Hash of the seed's trained network; None where it is still to be trained."""
        if self.known is not None and seed in self.known["seed"]:
            known = str(self.known["weights_hash"].sel(seed=seed).item())
            if known:
                return known
        if not self.place.cache.checkpoint(self.experiment.name, seed).exists():
            return None
        return weights_hash(tasks.trained(self.experiment, seed, self.place))

    def holds(self, seed: int) -> bool:
        """Whether the known dataset has all of a seed."""
        weights = self.network(seed) if self.known and seed in self.known["seed"] else None
        return weights is not None and all(
            tasks.content_key(task, weights, self.images_checksum) in self._held
            for task in self.tasks(seed)
        )

    def missing(self, seed: int, weights: str) -> dict[Task, str]:
        """The tasks of a trained network that nothing holds yet, with their content keys."""
        keys = {
            task: tasks.content_key(task, weights, self.images_checksum)
            for task in self.tasks(seed)
        }
        absent = {}
        for task, key in keys.items():
            shard = self.place.cache.shards(self.experiment.name) / f"{key}.nc"
            if key in self._held:
                continue
            self.shards[task] = shard
            if not shard.exists():
                absent[task] = key
        if absent:
            self._require_network(seed, weights)
        return absent

    @property
    def images_checksum(self) -> str:
        if self.known is not None:
            return str(self.known.attrs["images_checksum"])
        return tasks.load_images(self.experiment, self.place.images).checksum

    def _require_network(self, seed: int, weights: str) -> None:
        path = self.place.cache.checkpoint(self.experiment.name, seed)
        if not path.exists():
            raise ExperimentError(
                f"seed {seed} of {self.experiment.name} is measured in part, and its network is "
                f"not at {path}: put it there, or measure into another file with --out"
            )
        if weights_hash(tasks.trained(self.experiment, seed, self.place)) != weights:
            raise ExperimentError(
                f"{path} is not the network of seed {seed} whose measurements are kept "
                f"(SHA-256 {weights[:12]}…): put that one there, or measure into another file "
                "with --out"
            )


def measure(
    experiment: Experiment,
    seeds: tuple[int, ...],
    *,
    place: Place,
    out: Path,
    layers: tuple[str, ...] | None = None,
    executor: Executor | None = None,
    in_flight: int = 1,
    report: Report = lambda _: None,
) -> xr.Dataset:
    """Measure what ``out`` and the shards do not hold yet of these seeds; save and return all.

    Every task writes a shard of its own, so that an interrupted measurement goes on where it
    was; what an interruption leaves is saved as a partial dataset.

    Args:
        experiment: What to measure.
        seeds: Which of its networks.
        place: Where things lie, and which device computes.
        out: The dataset; what it holds counts as done.
        layers: Which layers; all by default.
        executor: Who does the jobs, in processes that see the same files; without one, this
            process does.
        in_flight: How many jobs the executor is given at a time.
        report: Called with every step.

    Raises:
        ExperimentError: ``out`` belongs to another experiment or other images, a layer is
            unknown, or a network that is measured in part is gone.
        compressibility.store.netcdf.DatasetError: ``out`` is damaged or cannot be written.
        compressibility.measuring.lock.BusyError: Another process measures the experiment in this
            cache, or writes to ``out``.
    """
    if out.exists():
        held = _sweep(experiment, place, out, layers)
        assert held.known is not None
        whole = all(held.holds(seed) for seed in seeds)
        if not whole or Path(experiment.images).is_dir():
            tasks.require_images(held.known, experiment, place.images)
        if whole:
            return held.known
    shards = place.cache.shards(experiment.name)
    with exclusive(out, experiment.name), exclusive(shards, experiment.name):
        sweep = _sweep(experiment, place, out, layers)
        try:
            _run(sweep, seeds, executor, in_flight, report)
        except KeyboardInterrupt:
            if any(shard.exists() for shard in sweep.shards.values()):
                _save(sweep, out)
            raise
        return _save(sweep, out)


def _sweep(
    experiment: Experiment, place: Place, out: Path, layers: tuple[str, ...] | None
) -> _Sweep:
    """The sweep that goes on from what ``out`` holds."""
    known = netcdf.open_dataset(out) if out.exists() else None
    if known is not None:
        _require_same(known, experiment, out)
        every = tuple(known["layer"].values.tolist())
    else:
        every = tuple(k.layer for k in tasks.find_layers(experiment, place.images))
    return _Sweep(experiment, place, known, _chosen(every, layers, experiment))


def _chosen(
    every: tuple[str, ...], layers: tuple[str, ...] | None, experiment: Experiment
) -> tuple[str, ...]:
    for layer in layers or ():
        if layer not in every:
            near = get_close_matches(layer, every, n=1, cutoff=0)
            raise ExperimentError(
                f"{experiment.name} has no layer {layer!r}: did you mean {near[0]}? "
                f"It has {len(every)} from {every[0]} to {every[-1]}"
            )
    return tuple(layer for layer in every if layers is None or layer in layers)


def _require_same(known: xr.Dataset, experiment: Experiment, out: Path) -> None:
    if known.attrs["title"] != experiment.title:
        raise ExperimentError(
            f"{out} holds another experiment ({known.attrs['title']}); choose another --out"
        )
    for name, values in tasks.grid(experiment).items():
        if name in known.dims and not np.array_equal(known[name], values):
            raise ExperimentError(
                f"{out} was measured on another grid of {name} ({known.sizes[name]} values); "
                "move it away, or choose another --out"
            )


def _run(
    sweep: _Sweep,
    seeds: tuple[int, ...],
    executor: Executor | None,
    in_flight: int,
    report: Report,
) -> None:
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
    in_hand: dict[Future[None], Training | Task] = {}

    def step(progress: Progress | None = None) -> None:
        report(Step(done, total, tuple(map(str, in_hand.values())), progress))

    step()
    while queue or in_hand:
        while queue and len(in_hand) < in_flight:
            job, key = queue.popleft()
            if executor is None:
                future: Future[None] = Future()
                in_hand[future] = job
                step()
                perform(job, sweep.place, key, step)
                future.set_result(None)
            else:
                in_hand[executor.submit(perform, job, sweep.place, key)] = job
        step()
        for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
            job = in_hand.pop(future)
            future.result()
            done += 1
            if isinstance(job, Training):
                weights = weights_hash(tasks.trained(job.experiment, job.seed, sweep.place))
                queue.extendleft(reversed(sweep.missing(job.seed, weights).items()))
        step()


def perform(
    job: Training | Task, place: Place, key: str, report: Callable[[Progress], None] | None = None
) -> None:
    """Do one job and keep what comes of it: a checkpoint, or the shard of content ``key``."""
    if isinstance(job, Training):
        tasks.train(job.experiment, job.seed, place, report or (lambda _: None))
    else:
        shard = tasks.measure(job, place, key)
        netcdf.save(shard, place.cache.shards(job.experiment.name) / f"{key}.nc")


def _save(sweep: _Sweep, out: Path) -> xr.Dataset:
    """The dataset of all that is known and of the shards that are there, saved to ``out``."""
    shards = [netcdf.open_dataset(path) for path in sweep.shards.values() if path.exists()]
    dataset = assembled(sweep, [*([sweep.known] if sweep.known else []), *shards])
    netcdf.save(dataset, out)
    for path in sweep.shards.values():
        path.unlink(missing_ok=True)
    return dataset


def assembled(sweep: _Sweep, parts: Iterable[xr.Dataset]) -> xr.Dataset:
    """One dataset of all the seeds in ``parts``, each group of theirs in its place."""
    parts = list(parts)
    seeds = tuple(sorted({int(seed) for part in parts for seed in part["seed"].values}))
    dataset = tasks.template(sweep.experiment, seeds, sweep.place)
    if sweep.known is not None:
        dataset.attrs["history"] = merged_history(
            (sweep.known.attrs["history"], dataset.attrs["history"])
        )
    for part in parts:
        merge(dataset, part)
    return dataset
