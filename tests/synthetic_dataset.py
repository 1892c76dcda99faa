"""Layer datasets with known truth: every effect an analysis looks for is planted, or absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from compressibility.store.layer_sets import LAYER_SETS
from compressibility.store.layout import blank
from compressibility.store.schema import TABLES, Flag
from compressibility.tensors.modes import CUTS, same_as
from compressibility.tensors.schmidt import compression_ratio
from compressibility.tensors.spectra import spectrum
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at
from tests.synthetic_answers import answer

LEVELS = tuple(t for t in THRESHOLDS if t > 0)
NAMES = ("conv1", "conv2", "conv3", "conv4")
JOINT_MODES = ("OUT", "IN", "OUT,KW")
CP_RANKS = (1, 4, 16, 32)
DIMS = ("layer", "mode", "threshold", "seed")
RECOVERY_MODES = ("OUT", "OUT,KW")
SHAPES = ((16, 1, 3, 3), (24, 16, 3, 3), (32, 24, 3, 3), (32, 32, 3, 3))


@dataclass(frozen=True)
class Layer:
    layer: str
    shape: tuple[int, int, int, int]
    depth: int
    groups: int = 1
    macs: int = 1


@dataclass(frozen=True)
class Effects:
    """Log-odds lost at norm loss v are ``strength * v**2`` times the planted factors."""

    strength: float = 12.0
    cut: Mapping[str, float] = field(default_factory=dict)
    """Factor of a cut's loss; 1 where not named."""
    depth: float = 0.0
    """Factor exp(-depth * relative depth), for truncations."""
    perturbation: float = 1.0
    """Factor of the random perturbation's loss."""
    perturbation_depth: float = 0.0
    structure: float = 0.0
    """Weight of a low-rank part in the trained kernels; 0 leaves them as random as initial ones."""
    flatness: float = 1.0
    """Curvature along truncations over the layer's average."""
    average_curvature: float = 0.02
    cp: float = 1.0
    """Factor of what CP loses, against a truncation of the same relative error."""
    formats: float = 1.0
    """Likewise of Tucker-2 and tensor trains."""
    whitened: float = 1.0
    """Factor of what truncations for the outputs lose, against plain ones of their rank."""
    interaction: float = 1.0
    """What several layers cost at once over the sum of what each costs alone."""
    recovery_gap: float = 0.01
    """By how much of 1 the truncated and re-trained network lies below the one trained on."""
    control_gap: float = 0.0
    """By how much of 1 re-trained controls lie below the re-trained truncated network."""
    barrier: float = 0.2
    """Before the recovered network, in nats; that before another one is 2."""
    sharpness: float = 1.0
    """Relative trace at the recovered network over that at the network trained on."""
    noise: float = 0.1
    """Spread of the factors between networks (of their logarithms)."""


NULL = Effects()
PLANTED = Effects(
    structure=1.0,
    cut={"OUT": 0.6},
    depth=1.0,
    perturbation=2.0,
    flatness=0.3,
    interaction=1.3,
    recovery_gap=0.0,
    control_gap=0.05,
    barrier=0.02,
)
REVERSED = Effects(
    structure=-1e-9,
    cut={"OUT": 1.7},
    depth=-1.0,
    perturbation=0.5,
    perturbation_depth=0.5,
    flatness=3.0,
    interaction=0.7,
    recovery_gap=0.05,
    control_gap=-0.05,
    barrier=1.0,
    sharpness=0.4,
)


def kernels(shape, structure, rng):
    """Initial, trained and shuffled kernels of one layer."""
    fan_in = shape[1] * shape[2] * shape[3]
    initial = rng.normal(size=shape) / np.sqrt(fan_in)
    low = np.einsum("ra,rb,rc,rd->abcd", *(rng.normal(size=(8, n)) for n in shape)) / np.sqrt(
        8 * fan_in
    )
    trained = initial + structure * low
    return trained, initial, rng.permutation(trained.ravel()).reshape(shape)


def make(
    effects: Effects = Effects(),
    rng: np.random.Generator | None = None,
    *,
    n_seeds: int = 8,
    n_images: int = 599,
    names=NAMES,
    shapes=SHAPES,
    title: str = "planted effects",
) -> xr.Dataset:
    """A whole dataset: real spectra of drawn kernels, answers and curvature as planted."""
    rng = rng or np.random.default_rng(0)
    layers = [Layer(n, s, d) for d, (n, s) in enumerate(zip(names, shapes, strict=True), 1)]
    ds = blank(
        layers,
        seeds=range(n_seeds),
        coordinates={
            "threshold": THRESHOLDS,
            "norm_loss_level": LEVELS,
            "direction": range(1, 17),
            "eigenvalue_index": range(1, 6),
            "layer_set": LAYER_SETS,
            "joint_mode": JOINT_MODES,
            "cp_rank": CP_RANKS,
            "recovery_mode": RECOVERY_MODES,
            "recovery_threshold": (0.5,),
            "epoch": range(6),
            "path_point": np.linspace(0, 1, 11).round(12),
        },
        tables=list(TABLES),
        attributes={
            "title": title,
            "source": "synthetic",
            "history": "made by tests/synthetic_dataset.py",
            "references": "none",
            "schema_version": 2,
            "images_checksum": "0" * 64,
            "experiment": f'{{"name": "{title}", "architecture": "vanilla", "images": "none"}}',
            "left_out": "{}",
            "n_classes": 10,
        },
    )
    ds["n_images"] = xr.Variable((), np.int64(n_images), ds["n_images"].attrs)
    v = {name: ds[name].values for name in ds.data_vars}
    for i, layer in enumerate(layers):
        for j, cut in enumerate(CUTS):
            v["same_as"][i, j] = same_as(layer.shape, cut)
    for s in range(n_seeds):
        for i, layer in enumerate(layers):
            weights = kernels(layer.shape, effects.structure, rng)
            for w, kernel in enumerate(weights):
                v["kernel_norm"][w, i, s] = np.linalg.norm(kernel)
            for j, cut in enumerate(CUTS):
                label = v["same_as"][i, j]
                if label != cut.label:
                    flag = Flag.TRIVIAL_CUT if label == "trivial" else Flag.SAME_AS_OTHER_CUT
                    v["truncation_flag"][i, j, s] = v["held_out_cut_flag"][i, j, s] = flag.value
                    v["whitened_cut_flag"][i, j, s] = flag.value
                    v["directional_curvature_flag"][i, j, :, s] = flag.value
                    continue
                for w, kernel in enumerate(weights):
                    values = spectrum(kernel, cut).schmidt_values
                    v["schmidt_value"][w, i, j, s, : values.size] = values
                trained = spectrum(weights[0], cut)
                ranks = ranks_at(trained, THRESHOLDS)
                at = (i, j, slice(None), s)
                v["rank"][at] = ranks
                v["norm_loss"][at] = [
                    0.0 if r == len(trained) else trained.norm_loss(r) for r in ranks
                ]
                v["relative_error"][at] = [trained.relative_error(r) for r in ranks]
                v["correlation_loss"][at] = [trained.correlation_loss(r) for r in ranks]
                v["compression_ratio"][at] = [
                    compression_ratio(layer.shape, cut, int(r)) for r in ranks
                ]
                v["truncation_flag"][i, j, s] = Flag.MEASURED.value
                v["held_out_cut_flag"][i, j, s] = Flag.MEASURED.value
                v["whitened_cut_flag"][i, j, s] = Flag.MEASURED.value
    for group in TABLES:
        if group not in ("truncation", "minimum"):
            v[f"{group}_flag"][...] = Flag.MEASURED.value
        if group == "recovery":
            v["recovery_statistics_flag"][...] = Flag.MEASURED.value
            v["recovery_held_out_flag"][...] = Flag.MEASURED.value
        if group == "minimum":
            v["path_flag"][...] = v["state_flag"][...] = Flag.MEASURED.value
        v[f"{group}_device"][...] = "none"
        v[f"{group}_precision"][...] = "float32"
        v[f"{group}_key"][...] = "0"
        v[f"{group}_commit"][...] = "0" * 40
        v[f"{group}_versions"][...] = '{"numpy": "0"}'
    v["weights_hash"][...] = "0"
    return answer(ds, effects, rng)


def unmeasured(dataset, group):
    """The dataset with one group of variables taken away again."""
    lost = dataset.copy(deep=True)
    for variable in TABLES[group].variables:
        if not variable.part:
            lost[variable.name].values[...] = variable.missing
    for flag in TABLES[group].flags:
        lost[flag.name].values[...] = Flag.NOT_MEASURED.value
    if group == "truncation":
        lost["schmidt_value"].values[0] = np.nan
    if group == "controls":
        lost["schmidt_value"].values[1:] = np.nan
    return lost
