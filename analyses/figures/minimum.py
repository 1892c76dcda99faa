"""The loss on paths from the trained network to re-trained ones and to another network."""

from collections.abc import Iterator
from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.minimum import error, on_path
from analyses.figures.panels import grid, key, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.tables import averaged, by, joined, means, whole
from compressibility.store.paths import (
    BETWEEN_RETRAININGS,
    PATHS,
    THROUGH_TRUNCATED,
    TO_ANOTHER_NETWORK,
    TO_RECOVERED,
    TO_TRAINED_ON,
)
from compressibility.store.reading import LayerData

_LINES: Final[dict[str, dict[str, Any]]] = {
    TO_RECOVERED: {"color": "#0a7cc4", "lw": 2.1},
    THROUGH_TRUNCATED: {"color": "#0a7cc4", "lw": 1.4, "ls": (0, (1, 1.2))},
    TO_TRAINED_ON: {"color": "#333333", "lw": 1.4},
    BETWEEN_RETRAININGS: {"color": "#009e73", "lw": 1.6, "ls": (0, (5, 1.5, 1, 1.5))},
    TO_ANOTHER_NETWORK: {"color": "#d55e00", "lw": 1.6, "ls": (0, (7, 1.5))},
}
_TEST: Final = "test loss"
_TRAINING: Final = "training loss"
_ERROR: Final = "test error"
_YS: Final = {_TEST: "loss", _TRAINING: "training_loss", _ERROR: "error"}


def _table(data: LayerData, _: Answers) -> DataFrame:
    return joined(_rows(data))


def _rows(data: LayerData) -> Iterator[DataFrame]:
    for path in PATHS:
        for panel, values in (
            (_TEST, on_path(data, "path_loss", path)),
            (_TRAINING, on_path(data, "path_training_loss", path)),
            (_ERROR, 100 * error(data, path)),
        ):
            labels = {"panel": panel, "path": path}
            rows = means(whole(values, "path_point"), "path_point", _YS[panel], labels)
            if len(rows):
                rows["low"] = rows["low"].clip(lower=0)
            yield rows


def _draw(table: DataFrame, narrow: bool) -> Figure:
    shown = list(table["panel"].unique())
    rows = 3 if narrow else 2
    panels = grid(
        len(shown), narrow=narrow, columns=(3, 1), height=2.0, legend_rows=rows, share=False
    )
    for axes, panel in zip(panels.axes, shown, strict=True):
        axes.set_label(panel)
        panel_title(axes, panel)
        for path, here in by(table[table["panel"] == panel], "path"):
            line(axes, here, "path_point", _YS[panel], _LINES[path], label=path)
        axes.set_xlim(0, 1)
        axes.set_xlabel("place on the path")
        axes.set_ylabel("wrong images (%)" if panel == _ERROR else f"{panel} (nat)")
    key(panels, list(_LINES.items()), columns=2 if narrow else 3)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, bands: 95 % t-intervals" if several else "one network"
    return (
        "Loss and error on straight paths between the weights of two networks, batch-norm "
        f"statistics estimated anew at every place ({what}). To recovered: from the trained "
        "network to itself, truncated in every layer along OUT to norm loss 0.5 and trained again; "
        "through truncated: the same by way of the truncated network, reached half-way; to trained "
        "on: to itself trained on for as long; between re-trainings: two that saw the images in "
        "different order, the floor; to another network: drawn anew and trained by the same "
        "recipe, the ceiling. A hill above the line between the ends is a barrier."
    )


MINIMUM_FIGURE: Final = Plot(
    name="minimum",
    title="Paths between minima",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="minimum",
)
