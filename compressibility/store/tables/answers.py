"""How a changed network answers: the variables that every table of changes has, and their rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import xarray as xr

from compressibility.store.declarations import (
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    Rule,
    Variable,
    at_most,
)
from compressibility.store.view import View

ROUNDING: Final = 1e-9


def answers(
    declared: Callable[..., Variable],
    table: str,
    prefix: str,
    *,
    state: str,
    change: str,
    what: str,
) -> tuple[Variable, ...]:
    """Counts, accuracy and loss on the test images with something changed.

    Args:
        declared: Makes a variable of a name, a dtype, a long name, a definition and bounds, with
            the dimensions and the flag of its table.
        table: The table's name.
        prefix: What the names begin with.
        state: The network as it answers, such as ``with this one layer truncated``.
        change: What was done to it, such as ``the truncation``.
        what: What ends the long names, such as ``, the set truncated``.
    """
    right = "Test images whose largest logit is the label's"
    loss = declared(
        f"{prefix}loss",
        "float64",
        f"test loss{what}",
        f"Mean cross-entropy over the test images, {state}. Missing where {table}_precision is "
        "lower than float32: rounding shifts all logits alike.",
        NOT_NEGATIVE,
        units="nat",
    )
    return (
        declared(
            f"{prefix}n_correct", "int64", f"correct test images{what}", f"{right}, {state}.", COUNT
        ),
        declared(
            f"{prefix}n_lost",
            "int64",
            f"test images lost{what}",
            f"Right before {change} and wrong after.",
            COUNT,
        ),
        declared(
            f"{prefix}n_gained",
            "int64",
            f"test images gained{what}",
            f"Wrong before {change} and right after.",
            COUNT,
        ),
        declared(
            f"{prefix}accuracy",
            "float64",
            f"accuracy{what}",
            f"{prefix}n_correct / n_images.",
            FRACTION,
        ),
        replace(loss, float32_only=True),
    )


def accuracy_is(variable: str, count: str) -> Rule:
    """An accuracy is its count over the number of images."""

    def share(view: View) -> xr.Variable:
        return view.numbers(count) / view.numbers("n_images")

    return Rule(
        variable,
        "equals",
        (count, "n_images"),
        share,
        f"is not {count} / n_images",
        tolerance=ROUNDING,
    )


def counts_of(prefix: str = "") -> tuple[Rule, ...]:
    """The counts of a changed network add up with the baseline's.

    Args:
        prefix: What the names ``n_correct``, ``n_lost`` and ``n_gained`` begin with.
    """
    before = "baseline_n_correct"
    correct, lost, gained = (f"{prefix}n_{what}" for what in ("correct", "lost", "gained"))
    return (
        at_most(lost, before),
        Rule(
            gained,
            "at most",
            (before, "n_images"),
            lambda view: view.numbers("n_images") - view.numbers(before),
            f"exceeds n_images - {before}",
        ),
        Rule(
            correct,
            "equals",
            (before, lost, gained),
            lambda view: view.numbers(before) + view.numbers(gained) - view.numbers(lost),
            f"is not {before} + {gained} - {lost}",
        ),
    )


def rules_of(prefix: str = "") -> tuple[Rule, ...]:
    """What `answers` obey, the loss aside."""
    return (*counts_of(prefix), accuracy_is(f"{prefix}accuracy", f"{prefix}n_correct"))
