"""How an effect hangs on the scale and the range that were chosen for it."""

from collections.abc import Iterable, Mapping

import numpy as np
from pandas import DataFrame, concat

from analyses.choices import SCALES, Scale
from analyses.findings import Choices, Claim, Comparison, Finding
from analyses.words import and_others
from compressibility.store.reading import LayerData, NotMeasuredError


def over_choices(choices: Choices, data: LayerData, comparison: Comparison) -> DataFrame:
    """The mean over networks by scale (rows) and by where averages end (columns).

    Not a number where nothing is measured; scales without any number have no row. The layers are
    those that have truncations in the range, so they may be fewer in a short one.
    """
    reaches = choices.reaches(comparison)
    rows = {
        f"{scale.name} ({scale.unit})": {
            words: _mean(choices, data, comparison, scale, end) for words, end in reaches.items()
        }
        for scale in SCALES
    }
    return DataFrame.from_dict(rows, orient="index").dropna(how="all")


def _mean(
    choices: Choices, data: LayerData, comparison: Comparison, scale: Scale, end: float
) -> float:
    try:
        return float(choices.measure(data, comparison, scale, end).values.mean())
    except NotMeasuredError:
        return float("nan")


def sensitivities(
    claim: Claim, data: LayerData, comparisons: Iterable[Comparison]
) -> Mapping[Comparison, DataFrame]:
    """`over_choices` of each comparison; empty where the claim has no choices."""
    if claim.choices is None:
        return {}
    return {each: over_choices(claim.choices, data, each) for each in comparisons}


def as_one(tables: Mapping[Comparison, DataFrame]) -> DataFrame | None:
    """The tables under one another, rows named by comparison and scale; None of none."""
    if not tables:
        return None
    if len(tables) == 1:
        return next(iter(tables.values()))
    return concat([table.rename(index=f"{c.label}: {{}}".format) for c, table in tables.items()])


def hangs_on_choices(found: Iterable[Finding], tables: Mapping[Comparison, DataFrame]) -> str:
    """Whether any of the choices turns an effect's sign, in a sentence."""
    turned = [
        f.comparison.label
        for f in found
        if (np.sign(tables[f.comparison].to_numpy()) == -np.sign(f.estimate)).any()
        and f.estimate != 0
    ]
    if not turned:
        return "No other scale or range that was asked turns the sign."
    if len(tables) == 1:
        return "Its sign hangs on the choice of scale or range."
    return f"The sign hangs on the choice of scale or range in {and_others(turned)}."
