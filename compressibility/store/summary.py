"""What is in a layer dataset, and whether it is whole."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from compressibility.store.declarations import Table
from compressibility.store.schema import present

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class TableSummary:
    """How far one table is measured.

    Attributes:
        table: The table.
        n_tasks: Tasks that make the table whole.
        n_measured: Those that are measured.
        missing: Those that are neither measured nor failed, by their labels along ``table.per``.
        failures: Why each task failed that did.
        devices: Every device that measured, each once.
        precisions: Every precision of the evaluation, each once.
        commits: Every commit that measured, each once.
        versions: Every set of versions that measured, each once.
    """

    table: Table
    n_tasks: int
    n_measured: int
    missing: tuple[Place, ...]
    failures: Mapping[Place, str]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    commits: tuple[str, ...]
    versions: tuple[Mapping[str, str], ...]

    @property
    def is_whole(self) -> bool:
        """Whether every task is measured."""
        return self.n_measured == self.n_tasks


@dataclass(frozen=True)
class Summary:
    """What a dataset holds.

    Attributes:
        title: What the dataset is, in one line.
        experiment: The experiment, as stored.
        layers: Paths of the layers, in forward order.
        left_out: Why each layer that is not measured is left out; None where nobody recorded it.
        labels: The labels along the other dimensions, by name.
        seeds: Seeds of the networks.
        n_images: Test images; None where not known yet.
        baseline_accuracies: Accuracy of each seed's network; None where not measured.
        tables: How far each table is measured.
        schema_version: Version of the schema.
        images_checksum: SHA-256 of the images.
        history: What was done, a line each.
    """

    title: str
    experiment: Mapping[str, Any]
    layers: tuple[str, ...]
    left_out: Mapping[str, str] | None
    labels: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    n_images: int | None
    baseline_accuracies: Mapping[int, float | None]
    tables: tuple[TableSummary, ...]
    schema_version: int
    images_checksum: str
    history: tuple[str, ...]

    @property
    def absent_seeds(self) -> tuple[int, ...]:
        """Seeds that the experiment plans and the dataset lacks."""
        planned = self.experiment.get("seeds", [])
        return tuple(int(seed) for seed in planned if seed not in self.seeds)

    @property
    def absent_tables(self) -> tuple[str, ...]:
        """Tables that the experiment plans and the dataset lacks."""
        here = {each.table.name for each in self.tables}
        return tuple(name for name in self.experiment.get("plans", {}) if name not in here)

    @property
    def is_whole(self) -> bool:
        """Whether every task of every planned table and seed is measured."""
        return (
            not self.absent_seeds
            and not self.absent_tables
            and all(each.is_whole for each in self.tables)
        )


def summarise(dataset: xr.Dataset) -> Summary:
    """Summarise a valid layer dataset; nothing is read or written.

    Args:
        dataset: A dataset that passes `compressibility.store.rules.validate`.
    """
    seeds = tuple(int(seed) for seed in dataset["seed"].values)
    accuracies = dataset["baseline_accuracy"].values.tolist()
    n_images = int(dataset["n_images"])
    attributes = dataset.attrs
    return Summary(
        title=attributes["title"],
        experiment=json.loads(attributes["experiment"]),
        layers=tuple(str(layer) for layer in dataset["layer"].values),
        left_out=json.loads(attributes["left_out"]),
        labels={
            str(dim): tuple(dataset[dim].values.tolist())
            for dim in dataset.dims
            if dim not in ("layer", "seed")
        },
        seeds=seeds,
        n_images=n_images if n_images > 0 else None,
        baseline_accuracies={
            seed: None if np.isnan(accuracy) else accuracy
            for seed, accuracy in zip(seeds, accuracies, strict=True)
        },
        tables=tuple(_table_summary(dataset, table) for table in present(dataset)),
        schema_version=int(attributes["schema_version"]),
        images_checksum=attributes["images_checksum"],
        history=tuple(attributes["history"].splitlines()),
    )


def _table_summary(dataset: xr.Dataset, table: Table) -> TableSummary:
    books = {
        entry: dataset[table.book(entry)].transpose(*table.per).values
        for entry in ("key", "failure", "device", "precision", "commit", "versions")
    }
    labels = [dataset[dim].values.tolist() for dim in table.per]

    def places(where: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Place, ...]:
        return tuple(
            tuple(axis[i] for axis, i in zip(labels, index, strict=True))
            for index in np.argwhere(where)
        )

    def distinct(entry: str) -> tuple[str, ...]:
        return tuple(sorted({str(text) for text in books[entry].flat} - {""}))

    keyed, failed = books["key"] != "", books["failure"] != ""
    return TableSummary(
        table=table,
        n_tasks=keyed.size,
        n_measured=int((keyed & ~failed).sum()),
        missing=places(~keyed),
        failures=dict(zip(places(failed), books["failure"][failed].tolist(), strict=True)),
        devices=distinct("device"),
        precisions=distinct("precision"),
        commits=distinct("commit"),
        versions=tuple(json.loads(text) for text in distinct("versions")),
    )


def rows(summary: Summary) -> tuple[tuple[str, str], ...]:
    """The summary as pairs of label and text, ready to be printed as a table of two columns."""
    accuracies = [
        f"seed {seed}: {'not measured' if accuracy is None else f'{accuracy:.2%}'}"
        for seed, accuracy in summary.baseline_accuracies.items()
    ]
    told = (
        ("whole", "yes" if summary.is_whole else "no, see the seeds and tables below"),
        ("layers", f"{len(summary.layers)}: {_shortened(summary.layers)}"),
        ("left out", _told_left_out(summary.left_out)),
        *((name.replace("_", " "), _span(labels)) for name, labels in summary.labels.items()),
        ("seeds", _told_seeds(summary)),
        ("test images", "unknown" if summary.n_images is None else str(summary.n_images)),
        ("baseline accuracy", "; ".join(accuracies)),
        *((f"{each.table.name} table", _told(each)) for each in summary.tables),
        *((f"{name} table", "planned, and not begun") for name in summary.absent_tables),
        *_origins(summary),
        ("schema version", str(summary.schema_version)),
        ("images checksum", summary.images_checksum),
        ("history", "\n".join(summary.history)),
    )
    names = {"title", *(name for name, _ in told)}
    settings = [row for row in _settings(summary.experiment) if row[0] not in names]
    return (("title", summary.title), *settings, *told)


def _settings(experiment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The experiment's settings, a row each; the plan of each table is a setting of its own."""
    told = {name: value for name, value in experiment.items() if name != "plans"}
    told |= {f"plan of {name}": plan for name, plan in experiment.get("plans", {}).items()}
    return [(name.replace("_", " "), _setting(value)) for name, value in told.items()]


def _setting(value: object) -> str:
    match value:
        case None:
            return "none"
        case {}:
            return ", ".join(f"{name.replace('_', ' ')} {_setting(v)}" for name, v in value.items())
        case list():
            return _span(value)
    return str(value)


def _span(values: Sequence[Any]) -> str:
    """A few values, or how many there are and from which to which."""
    told = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    if len(told) <= _MOST:
        return "; ".join(told)
    return f"{len(told)} from {told[0]} to {told[-1]}"


def _told_left_out(left_out: Mapping[str, str] | None) -> str:
    if left_out is None:
        return "not recorded"
    return "\n".join(f"{layer}: {reason}" for layer, reason in left_out.items()) or "nothing"


def _told_seeds(summary: Summary) -> str:
    held = ", ".join(map(str, summary.seeds))
    absent = ", ".join(map(str, summary.absent_seeds))
    return f"{held}; missing {absent}" if absent else held


def _told(each: TableSummary) -> str:
    text = f"{each.n_measured} of {each.n_tasks} tasks"
    if each.devices:
        text += f" on {'; '.join(each.devices)} in {'; '.join(each.precisions)}"
    per = "/".join(each.table.per)
    if each.missing:
        text += f"; missing {per} {_shortened([_place(place) for place in each.missing])}"
    for place, reason in each.failures.items():
        text += f"\nfailed at {per} {_place(place)}: {reason}"
    return text


def _origins(summary: Summary) -> list[tuple[str, str]]:
    """Which commits and versions measured: told once where all tables agree."""
    told = {
        each.table.name: (", ".join(each.commits), each.versions)
        for each in summary.tables
        if each.commits
    }
    groups: dict[str, list[str]] = {}
    for name, (commits, versions) in told.items():
        sets = [", ".join(f"{k} {v}" for k, v in one.items()) for one in versions]
        groups.setdefault(f"commit {commits}: " + "; or ".join(sets), []).append(name)
    if len(groups) == 1:
        return [("measured by", text) for text in groups]
    return [(f"{', '.join(names)} measured by", text) for text, names in groups.items()]


def _place(place: Place) -> str:
    return "/".join(map(str, place))


_MOST = 8


def _shortened(labels: Sequence[str]) -> str:
    told = ", ".join(labels[:_MOST])
    return told if len(labels) <= _MOST else f"{told}, and {len(labels) - _MOST} more"
