"""Layer datasets drawn from their tables: values within their bounds that obey the rules.

Spectra and truncations are those of Gaussian kernels; every other value follows from what its
table declares, so that a new table is drawn without an edit here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import xarray as xr
from hypothesis import strategies as st

from compressibility.store.declarations import PARTED, Rule, Table, Variable
from compressibility.store.keys import canonical_json
from compressibility.store.layout import blank, cut_flags
from compressibility.store.provenance import attributes
from compressibility.store.schema import (
    TABLES,
    Dimension,
    Flag,
    declared,
    dimensions,
    present,
)
from compressibility.store.view import View
from compressibility.tensors.modes import CUTS, distinct_cuts
from compressibility.tensors.schmidt import compression_ratio, decompose
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import ranks_at

Labels = Mapping[str, Sequence[float]]

BOOK = {
    "key": "f" * 64,
    "device": "cpu (Émile)",
    "precision": "float32",
    "commit": "0123456789ab",
    "versions": '{"numpy":"0"}',
}
FAILURE = "diverged: the loss is NaN (Émile)"

_ATTRIBUTES = attributes(
    title="drawn layers",
    experiment={},
    images_checksum="0" * 64,
    event="drawn",
    left_out={"head": "a linear layer"},
    moment=datetime(2024, 3, 21, tzinfo=UTC),
)


@dataclass(frozen=True)
class Task:
    """One task of a table, by its labels along the dimensions that the table is per."""

    table: str
    labels: tuple[object, ...]

    @property
    def place(self) -> dict[str, object]:
        return dict(zip(TABLES[self.table].per, self.labels, strict=True))


@dataclass(frozen=True)
class DrawnLayer:
    layer: str
    shape: tuple[int, int, int, int]
    groups: int
    depth: int
    macs: int


def default_labels(dimension: Dimension) -> list[float]:
    """Two labels of a dimension whose labels the experiment chooses, or three."""
    if dimension.order == "counted":
        return [1, 2]
    bounds = dimension.coordinate.bounds
    if bounds is not None and bounds.maximum == 1:
        return [0.0, 0.1, 0.5]
    least = 0 if bounds is None else int(bounds.minimum)
    return [least, least + 1]


def chosen_dimensions() -> dict[str, Dimension]:
    """Dimensions whose labels follow from neither the layers, the seeds nor the tables."""
    return {
        name: dimension
        for name, dimension in dimensions().items()
        if name not in ("layer", "seed") and not dimension.known and dimension.longest is None
    }


def blank_dataset(
    shapes: Mapping[str, tuple[int, int, int, int]],
    *,
    seeds: Sequence[int] = (0, 1),
    coordinates: Labels | None = None,
    tables: Sequence[str] | None = None,
    experiment: Mapping[str, object] | None = None,
) -> xr.Dataset:
    layers = [
        DrawnLayer(name, shape, 1, depth, 5 * int(np.prod(shape)))
        for depth, (name, shape) in enumerate(shapes.items(), start=1)
    ]
    chosen = {name: default_labels(d) for name, d in chosen_dimensions().items()}
    return blank(
        layers,
        seeds=seeds,
        coordinates=chosen | dict(coordinates or {}),
        tables=list(TABLES) if tables is None else tables,
        attributes=_ATTRIBUTES | {"experiment": canonical_json(experiment or {"name": "drawn"})},
    )


def tasks(dataset: xr.Dataset) -> list[Task]:
    """Every task of every table that the dataset has."""
    return [
        Task(table.name, labels)
        for table in present(dataset)
        for labels in _products(*(dataset[dim].values.tolist() for dim in table.per))
    ]


def _products(*axes: list[object]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = [()]
    for axis in axes:
        found = [(*labels, label) for labels in found for label in axis]
    return found


def measured(
    dataset: xr.Dataset,
    chosen: Sequence[Task],
    rng: np.random.Generator,
    *,
    n_images: int = 100,
    failed: Sequence[Task] = (),
) -> xr.Dataset:
    """The dataset with some tasks measured, and others failed.

    Every value of the tables is drawn first, so that rules between tables hold; what is not
    measured is then taken away.
    """
    whole = dataset.copy(deep=True)
    whole["n_images"][...] = n_images
    for table in present(dataset) if chosen else ():
        _draw(whole, table, rng)
    result = dataset.copy(deep=True)
    result["n_images"][...] = n_images
    for task in chosen:
        _copy(whole, result, task)
    for task in failed:
        table = TABLES[task.table]
        for flag in table.flags:
            result[flag.name].loc[task.place] = Flag.FAILED.value
        for entry, text in (BOOK | {"failure": FAILURE}).items():
            result[table.book(entry)].loc[task.place] = text
    return result


def _copy(whole: xr.Dataset, result: xr.Dataset, task: Task) -> None:
    table = TABLES[task.table]
    at = {dim: whole[dim].values.tolist().index(label) for dim, label in task.place.items()}
    for variable in (*table.measured, *table.bookkeeping):
        where: list[object] = [at.get(dim, slice(None)) for dim in variable.dims]
        if variable.part:
            weights = whole[PARTED].values
            where[variable.dims.index(PARTED)] = np.isin(weights.astype(str), variable.part)
        index = tuple(where)
        result.variables[variable.name].values[index] = whole.variables[variable.name].values[index]


def _draw(dataset: xr.Dataset, table: Table, rng: np.random.Generator) -> None:
    """Fill in every value of a table: flags, special values, then what the declarations say."""
    for entry, text in BOOK.items():
        dataset[table.book(entry)][...] = text
    for flag in table.flags:
        _draw_flag(dataset, flag, rng)
    special = {v.name for v in table.variables if v.part}
    _draw_spectra(dataset, table, rng)
    if table.name == "truncation":
        special |= _draw_truncations(dataset)
    free = [v for v in table.variables if v.name not in special]
    for variable in free:
        _draw_values(dataset, variable, rng)
    for rule in table.rules:
        if rule.variable not in special:
            _obey(dataset, rule)
    for variable in free:
        _take_away(dataset, table, variable)


def shapes_of(dataset: xr.Dataset) -> list[tuple[int, int, int, int]]:
    sizes = ("out_channels", "in_channels", "kernel_height", "kernel_width")
    columns = [dataset.variables[name].values.tolist() for name in sizes]
    return list(zip(*columns, strict=True))


def _draw_flag(dataset: xr.Dataset, flag: Variable, rng: np.random.Generator) -> None:
    found = dataset[flag.name]
    found[...] = Flag.MEASURED.value
    for reason in flag.reasons:
        found.values[rng.random(found.shape) < 0.3] = reason.value
    if "mode" in flag.dims:
        absent = np.array([cut_flags(shape) for shape in shapes_of(dataset)])
        along = xr.DataArray(absent, {d: dataset[d] for d in ("layer", "mode")}, ("layer", "mode"))
        found[...] = xr.where(along == Flag.MEASURED.value, found, along).transpose(*found.dims)


def _draw_spectra(dataset: xr.Dataset, table: Table, rng: np.random.Generator) -> None:
    labels = dataset[PARTED].values.tolist() if PARTED in dataset.dims else []
    measured = {label for v in table.variables for label in v.part}
    shapes = shapes_of(dataset)
    for w, i, s in np.ndindex(len(labels), dataset.sizes["layer"], dataset.sizes["seed"]):
        if labels[w] not in measured:
            continue
        kernel = rng.standard_normal(shapes[i]) * rng.integers(0, 4)
        dataset["kernel_norm"].values[w, i, s] = np.linalg.norm(kernel)
        for m in _existing(kernel.shape):
            values = decompose(kernel, CUTS[m]).schmidt_values
            dataset["schmidt_value"].values[w, i, m, s, : len(values)] = values


def _existing(shape: Sequence[int]) -> list[int]:
    """Places of the cuts that a kernel of this shape has."""
    distinct = distinct_cuts(shape)
    return [m for m, cut in enumerate(CUTS) if cut in distinct]


def _draw_truncations(dataset: xr.Dataset) -> set[str]:
    """Ranks and losses of the trained kernels, which follow from their Schmidt values."""
    values = {str(name): dataset[name].values for name in dataset.data_vars}
    shapes, thresholds = shapes_of(dataset), dataset["threshold"].values
    for i, s in np.ndindex(len(shapes), dataset.sizes["seed"]):
        for m in _existing(shapes[i]):
            held = values["schmidt_value"][0, i, m, s]
            spectrum = Spectrum(held[np.isfinite(held)])
            ranks = ranks_at(spectrum, thresholds)
            found = {
                "rank": ranks,
                "norm_loss": spectrum.norm_losses[ranks - 1],
                "relative_error": spectrum.relative_errors[ranks - 1],
                "correlation_loss": spectrum.correlation_losses[ranks - 1],
                "compression_ratio": [
                    compression_ratio(shapes[i], CUTS[m], int(rank)) for rank in ranks
                ],
            }
            for name, along in found.items():
                values[name][i, m, :, s] = along
    return {"rank", "norm_loss", "relative_error", "correlation_loss", "compression_ratio"}


def _view(dataset: xr.Dataset) -> View:
    return View.of(dataset, declared(present(dataset)))


def _draw_values(dataset: xr.Dataset, variable: Variable, rng: np.random.Generator) -> None:
    """Values within the bounds, and in the order that they descend in."""
    found = dataset[variable.name]
    if variable.dtype == "str":
        found[...] = "a" * 64
        return
    values = rng.standard_normal(found.shape)
    if (bounds := variable.bounds) is not None:
        low, high = bounds.minimum, bounds.greatest(_view(dataset))
        if variable.dtype == "int64":
            values = rng.integers(int(low), int(min(high, low + 1000)) + 1, found.shape)
        elif np.isfinite(high):
            values = rng.uniform(low, high, found.shape)
        else:
            values = low + rng.exponential(size=found.shape)
    if variable.descends_along:
        values = -np.sort(-values, axis=found.dims.index(variable.descends_along))
    found[...] = values


def _obey(dataset: xr.Dataset, rule: Rule) -> None:
    """Put a variable where a rule wants it; the rules of a table stand in the order of need."""
    assert rule.left is None, f"no drawn {rule.variable} obeys an equation that it is not alone in"
    found = dataset[rule.variable]
    right = xr.zeros_like(found.variable, dtype=np.float64) + rule.right(_view(dataset))
    wanted = right.transpose(*found.dims).values
    values = wanted if rule.relation == "equals" else np.fmin(found.values, wanted)
    found[...] = np.where(np.isnan(wanted), found.values, values)


def _take_away(dataset: xr.Dataset, table: Table, variable: Variable) -> None:
    """Leave values only where the flag says measured and the cut exists."""
    view, along = _view(dataset), dimensions((table,))
    there = view[variable.flag] == Flag.MEASURED.value
    for dim in variable.dims:
        if (exists := along[dim].exists) is not None:
            there = there & exists(view)
    found = dataset[variable.name]
    there = xr.zeros_like(found.variable, dtype=bool) | there
    absent = ~there.transpose(*found.dims).values
    values = found.values
    values[absent] = variable.missing


_sizes = st.integers(1, 4)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
_fractions = st.floats(0, 1, exclude_max=True, allow_subnormal=False)


def _ascending(values: st.SearchStrategy[float], most: int) -> st.SearchStrategy[list[float]]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(sorted)


def labels_along(dimension: Dimension) -> st.SearchStrategy[list[float]]:
    """Labels that an experiment may choose along a dimension."""
    if dimension.order == "counted":
        return st.integers(1, 3).map(lambda n: list(range(1, n + 1)))
    bounds = dimension.coordinate.bounds
    if bounds is not None and bounds.maximum == 1:
        return _ascending(_fractions, 4)
    if dimension.coordinate.dtype == "int64":
        least = 0 if bounds is None else int(bounds.minimum)
        return _ascending(st.integers(least, 2**62), 3)
    return _ascending(st.floats(0, 1e9, allow_subnormal=False), 3)


@st.composite
def blank_datasets(draw: st.DrawFn, *, whole: bool = False) -> xr.Dataset:
    """Datasets without a measurement, of some of the tables or of the whole of them.

    The first kernel has no mode of size one.
    """
    names = draw(st.lists(_texts, min_size=1, max_size=3, unique=True))
    shapes = {name: draw(st.tuples(_sizes, _sizes, _sizes, _sizes)) for name in names}
    shapes[names[0]] = draw(st.tuples(*[st.integers(2, 3)] * 4))
    tables = [name for name in TABLES if whole or draw(st.booleans())]
    return blank_dataset(
        shapes,
        seeds=draw(labels_along(dimensions()["seed"])),
        coordinates={name: draw(labels_along(d)) for name, d in chosen_dimensions().items()},
        tables=tables,
        experiment=draw(st.dictionaries(_texts, _texts | st.integers() | st.none(), max_size=3)),
    )


@st.composite
def partial_datasets(draw: st.DrawFn) -> xr.Dataset:
    """Valid datasets in which any of the tasks is measured, and any other has failed."""
    dataset = draw(blank_datasets())
    fates = {task: draw(st.sampled_from(["measured", "failed", "open"])) for task in tasks(dataset)}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return measured(
        dataset,
        [task for task, fate in fates.items() if fate == "measured"],
        rng,
        n_images=draw(st.integers(1, 10_000)),
        failed=[task for task, fate in fates.items() if fate == "failed"],
    )


@st.composite
def whole_datasets(draw: st.DrawFn) -> xr.Dataset:
    """Valid datasets of every table in which every task is measured."""
    dataset = draw(blank_datasets(whole=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return measured(dataset, tasks(dataset), rng, n_images=draw(st.integers(1, 10_000)))
