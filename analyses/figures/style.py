"""How the figures look: one palette, one type size, one line for each cut."""

from collections.abc import Mapping
from typing import Any, Final

from analyses.comparing import PRIMARY_CUT

INK: Final = "#1f2328"
"""Text and axes; in the report it takes the colour of the page's text."""
QUIET: Final = "#7d8590"
"""Controls, nulls and references: legible on white and on near-black."""

CUT_COLOURS: Final[Mapping[str, str]] = {
    "OUT": "#0a7cc4",
    "IN": "#d55e00",
    "KH": "#009e73",
    "KW": "#4fbf9f",
    "OUT,IN": "#c964a0",
    "OUT,KH": "#d99100",
    "OUT,KW": "#a3791f",
}
"""One colour per cut in every figure, after Okabe and Ito; mirrored cuts share a hue."""
CUT_DASHES: Final[Mapping[str, Any]] = {
    "IN": (0, (7, 1.5)),
    "KH": (0, (1, 1.2)),
    "KW": (0, (4, 1.5)),
    "OUT,IN": (0, (6, 1.5, 1, 1.5)),
    "OUT,KH": (0, (3, 1, 1, 1, 1, 1)),
    "OUT,KW": (0, (2, 1)),
}
"""And a dash of its own, to be told apart without colour."""
CUT_MARKERS: Final[Mapping[str, str]] = {
    "OUT": "o",
    "IN": "s",
    "KH": "^",
    "KW": "v",
    "OUT,IN": "D",
    "OUT,KH": "x",
    "OUT,KW": "+",
}

WEIGHT_COLOURS: Final[Mapping[str, str]] = {
    "trained": "#0a7cc4",
    "initial": "#d99100",
    "shuffled": "#c964a0",
}

NOISE: Final = "random perturbation"
RANDOM_MATRIX: Final = "random matrix"
UNTOUCHED: Final = "untouched network"

SETTINGS: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titley": 1.0,  # placed by hand, which is much faster than looking for room
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "grid.color": QUIET,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
}


def cut_style(mode: str) -> dict[str, Any]:
    """Line of a cut, the same in every figure."""
    return {
        "color": CUT_COLOURS.get(mode, QUIET),
        "linestyle": CUT_DASHES.get(mode, "-"),
        "linewidth": 2.1 if mode == PRIMARY_CUT else 1.4,
        "zorder": 4 if mode == PRIMARY_CUT else 3,
    }
