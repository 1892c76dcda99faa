"""What decompositions of one kernel keep, and how they compare with truncations and each other."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr

from analyses.choices import PRIMARY, Scale
from analyses.comparing import (
    PARAMETERS,
    RELATIVE_ERROR,
    Axis,
    CurveByCell,
    linked_curves,
    mean_difference,
    scaled_curves,
    scored,
)
from analyses.findings import Comparison, Finding, Verdict
from analyses.once import once
from analyses.samples import Sample
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from compressibility.tensors.cp import CP_FORMS
from compressibility.tensors.formats import FORMATS

FITTED, CORRECTED = CP_FORMS
CP: Final = "CP"
"""The best CP fit of several starts."""
CP_CORRECTED: Final = f"CP, {CORRECTED}"
"""The same after its error-preserving correction."""
_CP_FORM: Final = {CP: FITTED, CP_CORRECTED: CORRECTED}
FOR_OUTPUTS: Final = {mode: f"{mode}, for outputs" for mode in MODES}
"""Truncations along each cut in the metric of what the layer sees."""
_CUT_OF: Final = {name: mode for mode, name in FOR_OUTPUTS.items()}


def kept_by(
    data: LayerData, name: str, scale: Scale = PRIMARY, axis: Axis = PARAMETERS
) -> CurveByCell:
    """What one decomposition keeps, on a scale, against ratio or error, by layer and seed.

    Made once for each reading of a dataset.

    Args:
        data: The dataset.
        name: `CP` or `CP_CORRECTED`, a tensor format, one of `FOR_OUTPUTS`, or the label of a cut.
        scale: What is kept.
        axis: The compression ratio, as its base-2 logarithm, or the relative error.

    Raises:
        NotMeasuredError: The dataset has no such decompositions.
    """
    if name not in (*_CP_FORM, *FORMATS, *_CUT_OF):
        return scaled_curves(data, axis, scale, name)

    def made() -> CurveByCell:
        if cut := _CUT_OF.get(name):
            change = scale.counted(data, data["whitened_n_correct"], data["whitened_loss"])
            x = data["whitened_relative_error"] if axis is RELATIVE_ERROR else axis.of(data)
            x, y = data.of_cut(x, cut), data.of_cut(change, cut)
            return linked_curves(data, scale, x, y, "threshold")
        table, at, along = (
            ("cp", {"cp_form": _CP_FORM[name]}, "cp_rank")
            if name in _CP_FORM
            else ("format", {"format": name}, "threshold")
        )
        right, loss = (data[f"{table}_{what}"].sel(at, drop=True) for what in ("n_correct", "loss"))
        if axis is RELATIVE_ERROR:
            x = data[f"{table}_relative_error"].sel(at, drop=True)
        else:
            x = log2_ratio(data, f"{table}_parameters")
            x = x.sel({dim: label for dim, label in at.items() if dim in x.dims}, drop=True)
        return linked_curves(data, scale, x, scale.counted(data, right, loss), along)

    return once(data, ("decomposition", name, scale.name, axis.name), made)


def log2_ratio(data: LayerData, parameters: str) -> xr.DataArray:
    """Base-2 logarithm of the compression ratio of decompositions, of their parameters' dimensions.

    Raises:
        NotMeasuredError: The dataset has no such decompositions.
    """
    ratio = data["parameters"] / data[parameters]
    return ratio.copy(data=np.log2(ratio.values))


def differences(
    axis: Axis,
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float | None = None,
) -> xr.DataArray:
    """Mean difference of what the two of a comparison keep, as far as both reach, (seed, layer)."""
    first, second = (
        kept_by(data, name, scale, axis) for name in (comparison.reference, comparison.other)
    )
    high = axis.highest if end is None else end
    return scored(data, first, second, lambda one, other: mean_difference(one, other, 0.0, high))


def absent_layers(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    """In how many layers the two of a comparison do not meet."""
    if len(found.layers) == len(data.layers):
        return ()
    return (
        f"{comparison.label} in {len(found.layers)} of {len(data.layers)} layers; in the others "
        "one of the two does not exist, is another one, or has no rank where both reach",
    )


def in_words(name: str, found: Sequence[Finding], than: str = "") -> str:
    """What one decomposition keeps more or less than, each of the others by its label.

    Args:
        name: Of the one.
        found: Its comparisons with the others.
        than: What the labels are of, such as ``truncations along``, before them.
    """
    before = f"{than} " if than else ""
    said = [
        f"{what} {before}{'; '.join(others)}"
        for what, verdict in (
            ("more accuracy than", Verdict.SUPPORTED),
            ("less than", Verdict.CONTRADICTED),
            ("an amount that could not be told from that of", Verdict.UNDECIDED),
            ("more or less, by layer, than", Verdict.DEPENDS),
        )
        if (others := [f.other for f in found if f.leaning is verdict])
    ]
    return f"{name} keeps {', '.join(said)}"


def at_equal(axis: Axis, found: Sequence[Finding]) -> str:
    """The beginning of such a sentence: of few networks, that it is from estimates."""
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, at" if few else "At"
    return f"{start} equal {axis.name}"
