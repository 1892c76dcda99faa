"""The tested differences between OUT and each other cut, with their intervals."""

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from analyses.figures.panels import grid, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET
from analyses.figures.tables import by, joined
from analyses.findings import Finding, Verdict
from compressibility.store.reading import LayerData

_PANELS: Final = {
    "cuts-norm": "at equal norm loss",
    "cuts-norm-pairs": "at equal norm loss",
    "cuts-parameters": "at equal parameters",
    "cuts-parameters-pairs": "at equal parameters",
}


def _table(data: LayerData, answers: Answers) -> DataFrame:
    return joined(
        _rows(compared, f) for claim, compared in _PANELS.items() for f in answers[claim].findings
    )


def _rows(compared: str, found: Finding) -> DataFrame:
    """The mean with its interval, then every network."""
    return DataFrame(
        {
            "compared": compared,
            "other": found.other,
            "what": ["mean", *["network"] * found.n_seeds],
            "difference": [100 * value for value in (found.estimate, *found.per_seed)],
            "low": [100 * found.interval.low, *[float("nan")] * found.n_seeds],
            "high": [100 * found.interval.high, *[float("nan")] * found.n_seeds],
            "verdict": [found.verdict.value, *[""] * found.n_seeds],
        }
    )


def _draw(table: DataFrame, narrow: bool) -> Figure:
    n = table["compared"].nunique()
    panels = grid(n, narrow=narrow, columns=(2, 1), height=1.9, left=0.75, share=False)
    for axes, (compared, rows) in zip(panels.axes, by(table, "compared"), strict=True):
        axes.set_label(compared)
        panel_title(axes, compared)
        axes.axvline(0, color=QUIET, lw=1)
        for place, (other, of_cut) in enumerate(by(rows, "other")):
            _draw_row(axes, place, other, of_cut)
        others = rows["other"].unique()
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.5, -0.6)
        axes.set_xlabel("points of accuracy above chance")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return panels.figure


def _draw_row(axes: Axes, place: int, other: str, rows: DataFrame) -> None:
    colour = CUT_COLOURS[other]
    style: dict[str, Any] = {"color": colour, "zorder": 3}
    networks = rows["difference"][rows["what"] == "network"]
    height = [place + 0.24] * len(networks)
    axes.plot(networks, height, ".", ms=3, alpha=0.6, label=f"{other}, networks", **style)
    mean = rows[rows["what"] == "mean"].iloc[0]
    if mean[["low", "high"]].notna().all():
        ends = [mean["low"], mean["high"]]
        axes.plot(ends, [place, place], lw=1.6, label=f"{other}, interval", **style)
    filled = "none" if mean["verdict"] == Verdict.UNDECIDED.value else colour
    axes.plot(
        mean["difference"], place, "o", ms=6, mfc=filled, mec=colour, mew=1.4, zorder=4, label=other
    )


DIFFERENCES: Final = Plot(
    name="cuts-differences",
    title="OUT against each other cut",
    caption=lambda _: (
        "The tested differences in the accuracy above chance that is kept, OUT minus the other "
        "cut, in % of the untouched network's: right of zero OUT keeps more. Small dots: single "
        "networks; large dots and bars: mean and 95 % interval (with six networks or more "
        "simultaneous over the single-mode cuts, and over the two-mode cuts; else Student's). "
        "Filled: decided."
    ),
    table=_table,
    draw=_draw,
    illustrates="cuts-parameters",
)
