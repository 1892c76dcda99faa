"""The front: accuracy lost against what is kept, beside the dense network."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from compressibility.compressing.comparison import Comparison
from compressibility.compressing.cost import Measure
from compressibility.compressing.recipe import FrontPoint
from compressibility.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(
    front: Sequence[FrontPoint],
    path: Path,
    *,
    measure: Measure,
    comparison: Comparison | None = None,
) -> Path | None:
    """Draw the front as SVG; None where matplotlib is not installed. See `front_figure`."""
    if find_spec("matplotlib") is None:
        return None
    figure = front_figure(front, measure, comparison)
    with replaced(path) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})
    return path


def front_figure(
    front: Sequence[FrontPoint], measure: Measure, comparison: Comparison | None
) -> "Figure":
    """The figure.

    Args:
        front: Everything that was tried.
        measure: What lies along the horizontal axis.
        comparison: What was measured of the network that was built, if it was.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color="black", linestyle="--", linewidth=1, label="dense network")
    if front:
        told = [each.prediction for each in front]
        axes.errorbar(
            [100 * each.kept.of(measure) for each in front],
            [-each.points_lost for each in told],
            [
                [each.high - each.points_lost for each in told],
                [each.points_lost - each.low for each in told],
            ],
            fmt="o-",
            color="#0072B2",
            capsize=3,
            label=f"predicted, with {told[0].level:.0%} interval",
        )
    if comparison is not None:
        kept = comparison.compressed.cost / comparison.dense.cost
        gained = -comparison.compressed.judgement.points_lost
        axes.plot(100 * kept.of(measure), gained, "s", color="#D55E00", label="as measured")
    names = {"macs": "multiply-accumulates", "parameters": "parameters"}
    axes.set_xlabel(f"{names[measure]} kept, % of the dense network's")
    axes.set_ylabel("test accuracy less the dense network's, points")
    axes.invert_xaxis()
    axes.legend(frameon=False)
    return figure
