"""Putting what one dataset measured into another."""

from itertools import product

import xarray as xr

from compressibility.store.schema import Group, members


def merge(into: xr.Dataset, part: xr.Dataset) -> None:
    """Copy every group that ``part`` has measured into ``into``, in place, label by label.

    Both are layer datasets; the layers and seeds of ``part`` are among those of ``into``, and
    their other coordinates are equal, but that ``part`` may have fewer Schmidt indices.

    Raises:
        KeyError: A label of ``part`` is missing in ``into``.
    """
    for group in Group:
        for task in measured(part, group):
            _copy(into, part, group, dict(zip(group.dims, task, strict=True)))


def measured(dataset: xr.Dataset, group: Group) -> dict[tuple[object, ...], str]:
    """Content key of every measured task of a group, by its labels along ``group.dims``."""
    keys = dataset[f"{group.value}_key"].transpose(*group.dims)
    labels = product(*(keys[dim].values.tolist() for dim in group.dims))
    return {task: key for task, key in zip(labels, keys.values.ravel(), strict=True) if key}


def _copy(into: xr.Dataset, part: xr.Dataset, group: Group, labels: dict[str, object]) -> None:
    names = [f"{group.value}_{suffix}" for suffix in ("key", "device", "precision")]
    for name, piece in members(group).items():
        where = labels | ({"weights": list(piece.weights)} if piece.weights else {})
        values = part[name].loc[where]
        if "schmidt_index" in values.dims:
            where = where | {"schmidt_index": values["schmidt_index"].values}
        into[name].loc[where] = values.values
        names.append(piece.flag)
    for name in dict.fromkeys(names):
        into[name].loc[labels] = part[name].loc[labels].values
