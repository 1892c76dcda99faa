"""Datasets in which a claim's null holds, put through the whole analysis.

``python -m tests.null_datasets [DRAWS [CLAIM ...]]`` prints how often each claim, or each named by
its key, is decided all the same. Each is a stored dataset in which what a claim compares is
exchanged by coins, network by network, so that the null holds exactly, whatever the networks are. A
new claim needs a line in `NULLS`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr
from scipy.stats import binom

from analyses.claims.joint import summed_change
from analyses.claims.minimum import FACTOR, SHARE
from analyses.claims.recovery import CONTROLS, MARGIN
from analyses.comparing import PARAMETERS, PRIMARY_CUT, RELATIVE_ERROR, curves_along
from analyses.decompositions import log2_ratio
from analyses.findings import Verdict
from analyses.topics import claim_of
from analyses.verdicts import answer
from compressibility.store.arms import TRAINED_ON, TRUNCATED
from compressibility.store.layer_sets import ALL
from compressibility.store.paths import RECOVERED, TO_ANOTHER_NETWORK, TO_RECOVERED
from compressibility.store.reading import LayerData, read
from tests.synthetic_dataset import Effects, make

DRAWS = 200
SINGLE = ("OUT", "IN", "KH", "KW")
Change = Callable[[xr.Dataset, np.random.Generator], None]


def along(ds, dim):
    """Variables of truncations with this dimension, in place, (dim, seed, ...)."""
    for name in ds.data_vars:
        dims = ds[name].dims
        kind = ds[name].dtype.kind
        if dim in dims and "seed" in dims and kind in "fiu" and not name.endswith("_flag"):
            rest = [d for d in dims if d not in (dim, "seed")]
            yield ds[name].transpose(dim, "seed", *rest)


def permuted(ds, dim, labels, rng, names=None):
    """Give the labels of a dimension each other's values, in every network anew."""
    places = [ds[dim].values.tolist().index(label) for label in labels]
    orders = [rng.permutation(places) for _ in ds["seed"]]
    for values in along(ds, dim):
        if names is None or values.name in names:
            for seed, order in enumerate(orders):
                values.values[places, seed] = values.values[order, seed]


def cuts_alike(*labels: str) -> Change:
    return lambda ds, rng: permuted(ds, "mode", labels, rng)


def layers_in_any_order(ds, rng):
    permuted(ds, "layer", ds["layer"].values.tolist(), rng, _ANSWERS | {"norm_loss"})


_ANSWERS = {"n_correct", "n_lost", "n_gained", "accuracy", "loss", "perturbed_n_correct",
            "perturbed_loss"}  # fmt: skip


def turned_by_coins(ds, rng):
    """The layers' answers in their order or from last to first: slopes change their sign."""
    for seed in np.flatnonzero(rng.random(ds.sizes["seed"]) < 0.5):
        for values in along(ds, "layer"):
            if values.name in _ANSWERS | {"norm_loss"}:
                values.values[:, seed] = values.values[::-1, seed].copy()


def truncations_and_noise(ds, rng):
    """Truncations along OUT and perturbations on one grid, exchanged; the other cuts as OUT."""
    ds["norm_loss"].loc[{"threshold": 0}] = 0.0
    levels = ds["norm_loss_level"].values
    norm = ds["norm_loss"].transpose("threshold", ...)
    norm.values[1:] = levels.reshape(-1, 1, 1, 1)
    coins = rng.random(ds.sizes["seed"]) < 0.5
    for name in ("n_correct", "loss"):
        noise = ds[f"perturbed_{name}"].transpose("norm_loss_level", "layer", "seed").values
        cuts = ds[name].transpose("threshold", "layer", "seed", "mode").values
        first = cuts[1:, :, :, 0].copy()
        cuts[1:] = np.where(coins, noise, first)[..., None]
        noise[...] = np.where(coins, first, noise)


def weights_alike(ds, rng):
    permuted(ds, "weights", ds["weights"].values.tolist(), rng)


def sums_on_either_side(ds, rng):
    """Joint losses as far above the sum as below it."""
    coins = np.where(rng.random(ds.sizes["seed"]) < 0.5, -1.0, 1.0)
    total = summed_change(LayerData(ds), ALL, PRIMARY_CUT) + ds["baseline_loss"]
    place = {"layer_set": ALL, "joint_mode": PRIMARY_CUT}
    held = ds["joint_loss"].sel(place)
    turned = total + coins * (held.transpose("threshold", "seed") - total)
    ds["joint_loss"].loc[place] = turned.transpose(*held.dims).values


def decompositions_on_either_side(axis, ds, rng):
    """CP keeps what OUT keeps at its ratio or error, and as much more or less, by a network's coin.

    The other cuts are as OUT.
    """
    data = LayerData(ds)
    coins = np.where(rng.random(ds.sizes["seed"]) < 0.5, -1, 1)
    as_out(axis, data, ds["cp_n_correct"], of_cp(axis, data), "cp_rank", coins)
    every_cut_as_the_first(ds)


def formats_on_either_side(axis, ds, rng):
    """Tucker-2 and TT likewise; CP keeps what OUT keeps, without a coin."""
    data = LayerData(ds)
    coins = np.where(rng.random(ds.sizes["seed"]) < 0.5, -1, 1)
    ratio = data["parameters"] / data["format_parameters"]
    at = np.log2(ratio) if axis is PARAMETERS else data["format_relative_error"]
    for place in range(ds.sizes["format"]):
        here = {"format": place}
        as_out(axis, data, ds["format_n_correct"].isel(here), at.isel(here), "threshold", coins)
    as_out(axis, data, ds["cp_n_correct"], of_cp(axis, data), "cp_rank", 0 * coins)
    every_cut_as_the_first(ds)


def of_cp(axis, data):
    """Where the best fits lie on an axis."""
    if axis is PARAMETERS:
        return log2_ratio(data, "cp_parameters")
    return data["cp_relative_error"].sel(cp_form="fitted", drop=True)


def as_out(axis, data, counts, at, along, coins):
    """Put in place of counts what OUT keeps at the same place, and more or less by the coins."""
    curves = curves_along(data, axis, data["n_correct"], PRIMARY_CUT)
    values = counts.transpose("layer", along, "seed", ...).values
    for place in np.ndindex(values.shape[:3]):
        layer, seed = data.layers[place[0]], data.seeds[place[2]]
        kept = curves[layer, seed].at(at.transpose("layer", along, "seed").values[place])
        if np.isfinite(kept) and (values[place] >= 0).all():
            apart = min(20 * (1 + place[0]), kept, data.n_images - kept)
            values[place] = np.rint(kept + coins[place[2]] * apart)


def every_cut_as_the_first(ds):
    for name in ("n_correct", "loss", "norm_loss", "relative_error", "compression_ratio", "rank"):
        values = ds[name].transpose("mode", ...).values
        there = values[1:] >= 0
        values[1:][there] = np.broadcast_to(values[:1], values[1:].shape)[there]


def outputs_on_either_side(ds, rng):
    """Truncated for the outputs, layers keep more or less than plainly, by a network's coin."""
    coins = np.where(rng.random(ds.sizes["seed"]) < 0.5, -1, 1)
    plain = ds["n_correct"].transpose("layer", "mode", "threshold", "seed").values
    values = ds["whitened_n_correct"].transpose("layer", "mode", "threshold", "seed").values
    there = plain >= 0
    apart = np.minimum(20, np.minimum(plain, int(ds["n_images"]) - plain))
    values[there] = (plain + coins * apart)[there]


def random_directions(ds, rng):
    """In the place of every truncation's direction one of the random ones, which is then gone."""
    random = ds["random_directional_curvature"].transpose("direction", "layer", "seed").values
    curvature = ds["directional_curvature"].transpose("layer", "seed", "mode", "threshold").values
    for layer, seed in np.ndindex(random.shape[1:]):
        chosen = rng.integers(random.shape[0])
        there = np.isfinite(curvature[layer, seed])
        curvature[layer, seed][there] = random[chosen, layer, seed]
        random[chosen, layer, seed] = np.nan


def answers_in_any_order(ds, rng):
    """Answers that no loss can tell, in each layer."""
    counts, loss, rank = (
        ds[name].transpose("layer", "seed", "mode", "threshold").values
        for name in ("n_correct", "loss", "rank")
    )
    for place in np.ndindex(counts.shape[:2]):
        there = rank[place] >= 0
        order = rng.permutation(there.sum())
        for values in (counts, loss):
            values[place][there] = values[place][there][order]


def half_of_the_layers(ds, rng):
    """A layer keeps all or nothing, by a coin for each layer and network."""
    keeps = rng.random((ds.sizes["layer"], ds.sizes["seed"])) < 0.5
    for prefix in ("", "held_out_"):
        counts = ds[f"{prefix}n_correct"].transpose("mode", "threshold", "layer", "seed").values
        base = ds[f"{prefix}baseline_n_correct"].values
        counts[...] = np.where(counts < 0, counts, np.where(keeps, base, 0))


def mirrored_by_coins(arms, mirror, margin):
    """Arms' accuracies about another's less a margin, in whole networks, by a coin for each."""

    def change(ds, rng):
        accuracy = ds["recovery_accuracy"].transpose("arm", "seed", ...)
        known = ds["arm"].values.tolist()
        coins = rng.random(ds.sizes["seed"]) < 0.5
        about = accuracy.values[known.index(mirror)][coins]
        for arm in arms:
            values = accuracy.values[known.index(arm)]
            values[coins] = 2 * (about - margin) - values[coins]

    return change


def barriers_on_either_side(ds, rng):
    """A tenth of the barrier to another network minus the own one, its sign by a coin."""
    coins = rng.random(ds.sizes["seed"]) < 0.5
    at = ds["path_point"]
    for name in ("path_loss", "path_training_loss"):
        loss = ds[name].transpose("path", "path_point", "statistics", "seed")
        line = (1 - at) * loss.sel(path_point=0.0) + at * loss.sel(path_point=1.0)
        excess = (loss - line).transpose(*loss.dims)
        own, another = (
            excess.sel(path=path).max("path_point") for path in (TO_RECOVERED, TO_ANOTHER_NETWORK)
        )
        factor = xr.where(coins, (2 * SHARE * another - own) / own, 1.0)
        mirrored = (line + factor * excess).sel(path=TO_RECOVERED)
        loss.loc[{"path": TO_RECOVERED}] = mirrored.transpose("path_point", "statistics", "seed")


def at_the_factor(ds, rng):
    """The logarithm of the ratio of the traces, mirrored at the margin by a coin."""
    trace = ds["state_relative_trace"].transpose("state", "seed")
    states = trace["state"].values.tolist()
    recovered, on = (trace.values[states.index(state)] for state in (RECOVERED, TRAINED_ON))
    coins = rng.random(ds.sizes["seed"]) < 0.5
    recovered[coins] = (FACTOR**2 * on**2 / recovered)[coins]


def as_it_is(ds, rng):
    """Where the claim is true by construction."""


@dataclass(frozen=True)
class Null:
    """A claim's null: the stored dataset, how it is changed, and the verdicts that are wrong."""

    change: Change
    stored: str = "cifar10-vanilla"
    wrong: tuple[Verdict, ...] = (Verdict.SUPPORTED, Verdict.CONTRADICTED)


PLANTED = "planted"
_PAIRS = ("OUT", "OUT,IN", "OUT,KH", "OUT,KW")
NULLS = {
    "headline": Null(half_of_the_layers),
    "headline-out": Null(half_of_the_layers),
    "depth": Null(layers_in_any_order),
    "depth-control": Null(turned_by_coins),
    "depth-cuts": Null(layers_in_any_order),
    "noise": Null(truncations_and_noise),
    "controls": Null(weights_alike),
    "null": Null(as_it_is, wrong=(Verdict.CONTRADICTED,)),
    "cuts-norm": Null(cuts_alike(*SINGLE)),
    "cuts-parameters": Null(cuts_alike(*SINGLE)),
    "cuts-norm-pairs": Null(cuts_alike(*_PAIRS)),
    "cuts-parameters-pairs": Null(cuts_alike(*_PAIRS)),
    "two-mode": Null(cuts_alike(*SINGLE, *_PAIRS[1:])),
    "joint": Null(sums_on_either_side, PLANTED),
    "cp": Null(partial(decompositions_on_either_side, PARAMETERS), PLANTED),
    "cp-error": Null(partial(decompositions_on_either_side, RELATIVE_ERROR), PLANTED),
    "formats": Null(partial(formats_on_either_side, PARAMETERS), PLANTED),
    "formats-error": Null(partial(formats_on_either_side, RELATIVE_ERROR), PLANTED),
    "whitened": Null(outputs_on_either_side, PLANTED),
    "whitened-proxy": Null(answers_in_any_order, PLANTED),
    "recovery": Null(mirrored_by_coins([TRUNCATED], TRAINED_ON, MARGIN), PLANTED),
    "recovery-controls": Null(mirrored_by_coins(list(CONTROLS), TRUNCATED, 0.0), PLANTED),
    "minimum": Null(barriers_on_either_side, PLANTED),
    "minimum-curvature": Null(at_the_factor, PLANTED),
    "curvature": Null(random_directions),
    "correlation": Null(answers_in_any_order),
}


def stored(name: str) -> xr.Dataset:
    if name == PLANTED:
        return make(Effects(interaction=1.2), np.random.default_rng(0))
    return read(name).dataset.load()


def verdicts(key: str, draws: int, seed: int = 0) -> Iterator[Verdict]:
    """What the whole analysis says of datasets drawn under a claim's null."""
    null, rng = NULLS[key], np.random.default_rng(seed)
    form = stored(null.stored)
    claim = replace(claim_of(key), choices=None)  # tables of other choices decide nothing
    for _ in range(draws):
        ds = form.copy(deep=True)
        null.change(ds, rng)
        yield answer(claim, LayerData(ds)).verdict


def main(draws: int = DRAWS, *keys: str) -> int:
    """Print how often each claim is decided where it should not be; how many pass the limit."""
    beyond = 0
    limit = int(binom.ppf(0.999, draws, 0.05))
    print(f"Wrong verdicts of {draws} datasets under each claim's null (limit {limit}).\n")
    print("| claim | wrong | depends on the layer |\n|---|---|---|")
    for claim in map(claim_of, keys or NULLS):
        found = list(verdicts(claim.key, draws))
        wrong = sum(v in NULLS[claim.key].wrong for v in found)
        beyond += wrong > limit
        told = (
            f"| {claim.title} | {wrong / draws:.3f} | {found.count(Verdict.DEPENDS) / draws:.3f} |"
        )
        print(told, flush=True)
    return beyond


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *sys.argv[2:]) > 0)
