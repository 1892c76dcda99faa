"""What was measured, and where it comes from, for people."""

import json
from contextlib import suppress
from typing import Final

import xarray as xr

from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.store.schema import ATTRIBUTES, Table, present

_DESCRIBED_ELSEWHERE: Final = ("experiment", "left_out")


def facts(data: LayerData) -> tuple[tuple[str, str], ...]:
    """What was measured, for people."""
    told = [("Networks", _networks(data.seeds)), ("Layers", _layers(data.layers))]
    with suppress(NotMeasuredError):
        told.append(("Test images", f"{data.n_images:,}"))
    accuracy = 100 * data["baseline_accuracy"].dropna("seed").values
    if accuracy.size:
        spread = f" ({accuracy.min():.1f} to {accuracy.max():.1f})" if accuracy.size > 1 else ""
        told.append(("Accuracy before truncation", f"{accuracy.mean():.1f} %{spread}"))
    told.append(("Cuts", _coverage(data)))
    return tuple(told)


def _networks(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return f"1 (seed {seeds[0]}): estimates only, nothing can be decided"
    run = seeds == tuple(range(seeds[0], seeds[-1] + 1))
    listed = f"{seeds[0]} to {seeds[-1]}" if run else ", ".join(map(str, seeds))
    return f"{len(seeds)}, independently initialised and trained (seeds {listed})"


def _layers(layers: tuple[str, ...]) -> str:
    if len(layers) <= 6:
        return f"{len(layers)} ({', '.join(layers)})"
    return f"{len(layers)} ({layers[0]} to {layers[-1]})"


def _coverage(data: LayerData) -> str:
    found, thresholds = data.coverage, data.dataset.sizes.get("threshold", 0)
    if not found.n_existing:
        return "no truncations measured"
    if found.is_whole:
        existing = int(data.distinct.sum())
        return f"all {existing} that exist in these layers, {thresholds} thresholds each"
    return f"{found.n_measured:,} of {found.n_existing:,} (layer, cut, network) measured so far"


def provenance(dataset: xr.Dataset, file_checksum: str) -> tuple[tuple[str, str], ...]:
    """Where the dataset and its tables come from, as pairs of label and text."""
    rows = [
        (name.replace("_", " "), str(dataset.attrs[name]))
        for name in ATTRIBUTES
        if name in dataset.attrs and name not in _DESCRIBED_ELSEWHERE
    ]
    tables = present(dataset)
    versions = sorted({text for table in tables for text in _told(dataset, table, "versions")})
    rows += [
        ("versions", ", ".join(f"{k} {v}" for k, v in json.loads(text).items()))
        for text in versions
    ]
    for table in present(dataset):
        kinds = [
            " and ".join(_told(dataset, table, entry))
            for entry in ("device", "precision", "commit")
        ]
        if any(kinds):
            told = ", ".join(filter(None, kinds))
            rows.append((f"{table.name}: device, precision, commit", told))
    if file_checksum:
        rows.append(("SHA-256 of the dataset", file_checksum))
    return tuple(rows)


def _told(dataset: xr.Dataset, table: Table, entry: str) -> list[str]:
    """Every text that the tasks of a table tell, each once."""
    return sorted({str(text) for text in dataset[table.book(entry)].values.flat} - {""})


def pretty(text: object) -> str:
    """JSON over several lines; what is no JSON, as it is."""
    try:
        return json.dumps(json.loads(str(text)), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return str(text)
