"""What is in a layer dataset, and whether it is whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from compressibility.store.schema import Group

_TOLD_ELSEWHERE: Final = (
    "norm_loss_levels",
    "seeds",
    "test_images",
    "threads",
    "thresholds",
    "title",
)
_HESSIAN: Final = (Group.HESSIAN, Group.CURVATURE)


@dataclass(frozen=True)
class GroupSummary:
    """How far one group of variables is measured.

    Attributes:
        group: The group.
        n_tasks: Tasks that make the group whole.
        n_measured: Those that are measured.
        missing: Those that are not: (layer, seed), or (seed,) where the group has no layers.
        devices: Every device that measured, each once.
        precisions: Every precision of the evaluation, each once.
    """

    group: Group
    n_tasks: int
    n_measured: int
    missing: tuple[tuple[str | int, ...], ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]

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
        modes: Labels of the cuts.
        thresholds: Allowed norm losses.
        seeds: Seeds of the networks.
        n_images: Test images; None where not known yet.
        baseline_accuracies: Accuracy of each seed's network; None where not measured.
        groups: How far each group that the experiment plans is measured.
        schema_version: Version of the schema.
        package_version: Version of this package that made the dataset.
        library_versions: Versions of the libraries.
        commit: Commit of the checkout, or ``unknown``.
        images_checksum: SHA-256 of the images.
        history: What was done, a line each.
    """

    title: str
    experiment: Mapping[str, Any]
    layers: tuple[str, ...]
    modes: tuple[str, ...]
    thresholds: tuple[float, ...]
    seeds: tuple[int, ...]
    n_images: int | None
    baseline_accuracies: Mapping[int, float | None]
    groups: tuple[GroupSummary, ...]
    schema_version: int
    package_version: str
    library_versions: Mapping[str, str]
    commit: str
    images_checksum: str
    history: tuple[str, ...]

    @property
    def absent_seeds(self) -> tuple[int, ...]:
        """Seeds that the experiment plans and the dataset lacks."""
        planned = self.experiment.get("seeds", [])
        return tuple(int(seed) for seed in planned if seed not in self.seeds)

    @property
    def is_whole(self) -> bool:
        """Whether every task of every group of every planned seed is measured."""
        return not self.absent_seeds and all(group.is_whole for group in self.groups)


def summarise(dataset: xr.Dataset) -> Summary:
    """Summarise a valid layer dataset; nothing is read or written.

    Args:
        dataset: A dataset that passes `compressibility.store.validation.validate`.
    """
    seeds = tuple(int(seed) for seed in dataset["seed"].values)
    accuracies = dataset["baseline_accuracy"].values.tolist()
    n_images = int(dataset["n_images"])
    attributes = dataset.attrs
    experiment = json.loads(attributes["experiment"])
    unplanned = _HESSIAN if experiment.get("hessian", {}) is None else ()
    return Summary(
        title=attributes["title"],
        experiment=experiment,
        layers=tuple(str(layer) for layer in dataset["layer"].values),
        modes=tuple(str(mode) for mode in dataset["mode"].values),
        thresholds=tuple(dataset["threshold"].values.tolist()),
        seeds=seeds,
        n_images=n_images if n_images > 0 else None,
        baseline_accuracies={
            seed: None if np.isnan(accuracy) else accuracy
            for seed, accuracy in zip(seeds, accuracies, strict=True)
        },
        groups=tuple(_group_summary(dataset, group) for group in Group if group not in unplanned),
        schema_version=int(attributes["schema_version"]),
        package_version=attributes["package_version"],
        library_versions=json.loads(attributes["library_versions"]),
        commit=attributes["commit"],
        images_checksum=attributes["images_checksum"],
        history=tuple(attributes["history"].splitlines()),
    )


def rows(summary: Summary) -> tuple[tuple[str, str], ...]:
    """The summary as pairs of label and text, ready to be printed as a table of two columns."""
    thresholds = summary.thresholds
    accuracies = [
        f"seed {seed}: {'not measured' if accuracy is None else f'{accuracy:.2%}'}"
        for seed, accuracy in summary.baseline_accuracies.items()
    ]
    return (
        ("title", summary.title),
        *(
            (name.replace("_", " "), _setting(value))
            for name, value in summary.experiment.items()
            if name not in _TOLD_ELSEWHERE
        ),
        ("whole", "yes" if summary.is_whole else "no, see the seeds and groups below"),
        ("layers", f"{len(summary.layers)}: {_shortened(summary.layers)}"),
        ("cuts", "; ".join(summary.modes)),
        ("thresholds", f"{len(thresholds)} from {thresholds[0]:g} to {thresholds[-1]:g}"),
        ("seeds", _told_seeds(summary)),
        ("test images", "unknown" if summary.n_images is None else str(summary.n_images)),
        ("baseline accuracy", "; ".join(accuracies)),
        *((f"{group.group.value} group", _told(group)) for group in summary.groups),
        ("schema version", str(summary.schema_version)),
        ("made by", f"compressibility {summary.package_version}, commit {summary.commit}"),
        ("libraries", ", ".join(f"{k} {v}" for k, v in summary.library_versions.items())),
        ("images checksum", summary.images_checksum),
        ("history", "\n".join(summary.history)),
    )


def _setting(value: object) -> str:
    match value:
        case None:
            return "none"
        case Mapping():
            return ", ".join(f"{name.replace('_', ' ')} {item}" for name, item in value.items())
    return str(value)


def _told_seeds(summary: Summary) -> str:
    present = ", ".join(map(str, summary.seeds))
    absent = ", ".join(map(str, summary.absent_seeds))
    return f"{present}; missing {absent}" if absent else present


def _group_summary(dataset: xr.Dataset, group: Group) -> GroupSummary:
    keys = dataset[f"{group.value}_key"].transpose(*group.dims)
    keyed = np.asarray(keys.values != "")
    labels = [dataset[dim].values.tolist() for dim in group.dims]
    return GroupSummary(
        group=group,
        n_tasks=keyed.size,
        n_measured=int(keyed.sum()),
        missing=tuple(
            tuple(axis[i] for axis, i in zip(labels, index, strict=True))
            for index in np.argwhere(~keyed)
        ),
        devices=_distinct(dataset[f"{group.value}_device"]),
        precisions=_distinct(dataset[f"{group.value}_precision"]),
    )


def _distinct(texts: xr.DataArray) -> tuple[str, ...]:
    return tuple(sorted({str(text) for text in texts.values.flat} - {""}))


def _told(group: GroupSummary) -> str:
    text = f"{group.n_measured} of {group.n_tasks} tasks"
    if group.n_measured:
        text += f" on {'; '.join(group.devices)} in {'; '.join(group.precisions)}"
    if not group.is_whole:
        absent = ["/".join(map(str, place)) for place in group.missing]
        text += f"; missing {'/'.join(group.group.dims)} {_shortened(absent)}"
    return text


def _shortened(labels: tuple[str, ...] | list[str], most: int = 8) -> str:
    told = ", ".join(labels[:most])
    return told if len(labels) <= most else f"{told}, and {len(labels) - most} more"
