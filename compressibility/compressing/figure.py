"""The front: accuracy lost against what is kept, beside the dense network."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from compressibility.compressing.comparison import Comparison
from compressibility.compressing.cost import Measure
from compressibility.compressing.recipe import FrontPoint
from compressibility.files import replaced


def drawn(
    front: Sequence[FrontPoint],
    path: Path,
    *,
    measure: Measure,
    comparison: Comparison | None = None,
) -> Path | None:
    """Draw the front as SVG; None where matplotlib is not installed.

    Args:
        front: Everything that was tried.
        path: Of the figure.
        measure: What lies along the horizontal axis.
        comparison: What was measured of the network that was built, if it was.
    """
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color="black", linestyle="--", linewidth=1, label="dense network")
    if front:
        shares = [100 * each.kept.of(measure) for each in front]
        lost = [each.prediction.points_lost for each in front]
        ends = (
            [each.prediction.points_lost - each.prediction.low for each in front],
            [each.prediction.high - each.prediction.points_lost for each in front],
        )
        level = f"{front[0].prediction.level:.0%}"
        axes.errorbar(
            shares, [-x for x in lost], [ends[1], ends[0]], fmt="o-", color="#0072B2", capsize=3,
            label=f"predicted, with {level} interval",
        )  # fmt: skip
    if comparison is not None:
        kept = comparison.compressed.cost / comparison.dense.cost
        gained = -comparison.compressed.judgement.points_lost
        axes.plot(100 * kept.of(measure), gained, "s", color="#D55E00", label="as measured")
    names = {"macs": "multiply-accumulates", "parameters": "parameters"}
    axes.set_xlabel(f"{names[measure]} kept, % of the dense network's")
    axes.set_ylabel("test accuracy less the dense network's, points")
    axes.invert_xaxis()
    axes.legend(frameon=False)
    with replaced(path) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})
    return path
