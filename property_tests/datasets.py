"""Layer datasets of drawn kernels, measured in full or in part, with counts drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import xarray as xr
from hypothesis import strategies as st

from compressibility.store.provenance import attributes, canonical_json
from compressibility.store.schema import WEIGHTS, Flag, Group
from compressibility.store.template import blank
from compressibility.tensors.modes import CUTS, TRIVIAL, Cut, same_as
from compressibility.tensors.schmidt import compression_ratio, decompose
from compressibility.tensors.thresholds import ranks_at

Task = tuple[Group, str | None, int]

_ATTRIBUTES = attributes(
    title="drawn layers",
    experiment={},
    images_checksum="0" * 64,
    event="drawn",
    moment=datetime(2024, 3, 21, tzinfo=UTC),
)


@dataclass(frozen=True)
class DrawnLayer:
    layer: str
    shape: tuple[int, int, int, int]
    groups: int
    depth: int
    macs: int


def blank_dataset(
    shapes: Mapping[str, tuple[int, int, int, int]],
    *,
    thresholds: Sequence[float] = (0.0, 0.1, 0.5),
    seeds: Sequence[int] = (0, 1),
    norm_loss_levels: Sequence[float] = (0.1, 0.5),
    n_directions: int = 2,
    n_eigenvalues: int = 2,
    experiment: Mapping[str, object] | None = None,
) -> xr.Dataset:
    layers = [
        DrawnLayer(name, shape, 1, depth, 5 * int(np.prod(shape)))
        for depth, (name, shape) in enumerate(shapes.items(), start=1)
    ]
    return blank(
        layers,
        thresholds=thresholds,
        seeds=seeds,
        norm_loss_levels=norm_loss_levels,
        n_directions=n_directions,
        n_eigenvalues=n_eigenvalues,
        attributes=_ATTRIBUTES | {"experiment": canonical_json(experiment or {"name": "drawn"})},
    )


def tasks(dataset: xr.Dataset) -> list[Task]:
    return [
        (group, layer, int(seed))
        for group in Group
        for seed in dataset["seed"].values
        for layer in (dataset["layer"].values if "layer" in group.dims else [None])
    ]


def measured(
    dataset: xr.Dataset, chosen: Sequence[Task], rng: np.random.Generator, n_images: int = 100
) -> xr.Dataset:
    """The dataset with the chosen tasks measured on Gaussian kernels; counts are drawn."""
    dataset = dataset.copy(deep=True)
    values = {str(name): dataset[name].values for name in dataset.variables}
    values["n_images"][...] = n_images
    seeds, layers = values["seed"].tolist(), values["layer"].tolist()
    baselines = rng.integers(0, n_images + 1, len(seeds))
    for group, layer, seed in chosen:
        s = seeds.index(seed)
        task = (s,) if layer is None else (layers.index(layer), s)
        for name, text in (("key", "f" * 64), ("device", "cpu (Émile)"), ("precision", "float32")):
            values[f"{group.value}_{name}"][task] = text
        if group is not Group.TRUNCATION:
            values[f"{group.value}_flag"][task] = Flag.MEASURED.value
        if group is Group.NETWORK:
            _measure_network(values, s, int(baselines[s]), rng)
        elif group is Group.HESSIAN:
            _measure_hessian(values, s, rng)
        elif group is Group.TRUNCATION:
            _measure_truncations(values, *task, int(baselines[s]), rng)
        elif group is Group.CONTROLS:
            _measure_controls(values, *task, rng)
        else:
            _measure_curvature(values, *task, rng)
    return dataset


Arrays = dict[str, np.ndarray]


def _shape(values: Arrays, layer: int) -> tuple[int, ...]:
    names = ("out_channels", "in_channels", "kernel_height", "kernel_width")
    return tuple(int(values[name][layer]) for name in names)


def _measure_network(values: Arrays, s: int, baseline: int, rng: np.random.Generator) -> None:
    values["weights_hash"][s] = "a" * 64
    values["baseline_n_correct"][s] = baseline
    values["baseline_accuracy"][s] = baseline / int(values["n_images"])
    values["baseline_loss"][s] = rng.exponential()


def _measure_spectra(values: Arrays, w: int, layer: int, s: int, kernel: np.ndarray) -> None:
    values["kernel_norm"][w, layer, s] = np.linalg.norm(kernel)
    for m, cut in enumerate(CUTS):
        if same_as(kernel.shape, cut) == cut.label:
            spectrum = decompose(kernel, cut).schmidt_values
            values["schmidt_value"][w, layer, m, s, : len(spectrum)] = spectrum


def _flag_of_absent_cut(shape: tuple[int, ...], cut: Cut) -> int | None:
    """The flag of a cut that the kernel does not have, None of one that it has."""
    label = same_as(shape, cut)
    if label == cut.label:
        return None
    return (Flag.TRIVIAL_CUT if label == TRIVIAL else Flag.SAME_AS_OTHER_CUT).value


def _measure_truncations(
    values: Arrays, layer: int, s: int, baseline: int, rng: np.random.Generator
) -> None:
    shape, n_images = _shape(values, layer), int(values["n_images"])
    kernel = rng.standard_normal(shape) * rng.integers(0, 4)
    _measure_spectra(values, 0, layer, s, kernel)
    for m, cut in enumerate(CUTS):
        if (flag := _flag_of_absent_cut(shape, cut)) is not None:
            values["truncation_flag"][layer, m, s] = flag
            continue
        values["truncation_flag"][layer, m, s] = Flag.MEASURED.value
        spectrum = decompose(kernel, cut).spectrum
        ranks = ranks_at(spectrum, values["threshold"])
        lost = rng.integers(0, baseline + 1, ranks.shape)
        gained = rng.integers(0, n_images - baseline + 1, ranks.shape)
        n_correct = baseline + gained - lost
        for name, found in {
            "rank": ranks,
            "norm_loss": spectrum.norm_losses[ranks - 1],
            "relative_error": spectrum.relative_errors[ranks - 1],
            "correlation_loss": spectrum.correlation_losses[ranks - 1],
            "compression_ratio": [compression_ratio(shape, cut, int(rank)) for rank in ranks],
            "n_correct": n_correct,
            "n_lost": lost,
            "n_gained": gained,
            "accuracy": n_correct / n_images,
            "loss": rng.exponential(size=ranks.shape),
        }.items():
            values[name][layer, m, :, s] = found


def _measure_controls(values: Arrays, layer: int, s: int, rng: np.random.Generator) -> None:
    for w in range(1, len(WEIGHTS)):
        _measure_spectra(values, w, layer, s, rng.standard_normal(_shape(values, layer)))
    counts = values["perturbed_n_correct"][layer, :, s]
    counts[:] = rng.integers(0, int(values["n_images"]) + 1, counts.shape)
    values["perturbed_loss"][layer, :, s] = rng.exponential(size=counts.shape)


def _measure_hessian(values: Arrays, s: int, rng: np.random.Generator) -> None:
    eigenvalues = values["hessian_eigenvalue"][:, s]
    eigenvalues[:] = np.sort(rng.standard_normal(eigenvalues.shape))[::-1]
    values["hessian_eigenvalue_residual"][:, s] = rng.exponential(size=eigenvalues.shape)
    values["hessian_trace"][s] = rng.standard_normal()
    values["hessian_trace_standard_error"][s] = rng.exponential()


def _measure_curvature(values: Arrays, layer: int, s: int, rng: np.random.Generator) -> None:
    values["hessian_layer_eigenvalue"][layer, s] = rng.standard_normal()
    values["hessian_layer_trace"][layer, s] = rng.standard_normal()
    values["hessian_layer_trace_standard_error"][layer, s] = rng.exponential()
    directions = values["random_directional_curvature"][layer, :, s]
    directions[:] = rng.standard_normal(directions.shape)
    full = values["threshold"] == 0
    for m, cut in enumerate(CUTS):
        flags = values["directional_curvature_flag"][layer, m, :, s]
        if (flag := _flag_of_absent_cut(_shape(values, layer), cut)) is not None:
            flags[:] = flag
            continue
        flags[:] = np.where(full, Flag.NO_DIRECTION.value, Flag.MEASURED.value)
        curvatures = np.where(full, np.nan, rng.standard_normal(full.shape))
        values["directional_curvature"][layer, m, :, s] = curvatures


_sizes = st.integers(1, 4)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
_fractions = st.floats(0, 1, exclude_max=True, allow_subnormal=False)


def _ascending(values: st.SearchStrategy[float], most: int) -> st.SearchStrategy[list[float]]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(sorted)


@st.composite
def blank_datasets(draw: st.DrawFn) -> xr.Dataset:
    """Datasets without a measurement; the first kernel has no mode of size one."""
    names = draw(st.lists(_texts, min_size=1, max_size=3, unique=True))
    shapes = {name: draw(st.tuples(_sizes, _sizes, _sizes, _sizes)) for name in names}
    shapes[names[0]] = draw(st.tuples(*[st.integers(2, 3)] * 4))
    return blank_dataset(
        shapes,
        thresholds=draw(_ascending(_fractions, 4)),
        seeds=draw(_ascending(st.integers(0, 2**62), 3)),
        norm_loss_levels=draw(_ascending(_fractions, 3)),
        n_directions=draw(st.integers(1, 3)),
        n_eigenvalues=draw(st.integers(1, 3)),
        experiment=draw(st.dictionaries(_texts, _texts | st.integers() | st.none(), max_size=3)),
    )


@st.composite
def partial_datasets(draw: st.DrawFn) -> xr.Dataset:
    """Valid datasets in which any of the tasks is measured."""
    dataset = draw(blank_datasets())
    chosen = [task for task in tasks(dataset) if draw(st.booleans())]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return measured(dataset, chosen, rng, n_images=draw(st.integers(1, 10_000)))


@st.composite
def whole_datasets(draw: st.DrawFn) -> xr.Dataset:
    """Valid datasets in which every task is measured."""
    dataset = draw(blank_datasets())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return measured(dataset, tasks(dataset), rng, n_images=draw(st.integers(1, 10_000)))
