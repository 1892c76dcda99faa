"""Figures as SVG and PNG that never vary: text as text, no date, the same bytes at every run."""

import io
import re
import zlib
from itertools import pairwise
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.figures.plot import Plot
from analyses.figures.style import INK, SETTINGS

_SETTINGS: Final[dict[Any, Any]] = dict(SETTINGS)
_DOTS_PER_INCH: Final = 144


def drawn(plot: Plot, table: DataFrame, *, narrow: bool) -> Figure:
    """The figure of a table, in the style of all."""
    with mpl.rc_context(_SETTINGS):
        return plot.draw(table, narrow)


def png(figure: Figure) -> bytes:
    """A figure on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        figure.savefig(
            buffer,
            format="png",
            dpi=_DOTS_PER_INCH,
            facecolor="white",
            metadata={"Software": None},
            pil_kwargs={"compress_level": 4},
        )
    return buffer.getvalue()


def svg(figure: Figure, name: str) -> str:
    """A figure as one SVG element, whose ids no figure of another name has."""
    buffer = io.StringIO()
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = _with_few_ids(text, name)
    text = re.sub(r"(?:<use [^>]*/>\s*)+", _with_one_style, text)
    text = re.sub(r">\s+<", ">\n<", text)
    text = re.sub(r' d="[^"]+"', _with_short_path, text)
    text = _with_one_font(text)
    return re.sub(r"(\d\.\d{2})\d+(?=[^<>]*>)", r"\1", text)  # in tags: what is written stays


def _with_few_ids(text: str, name: str) -> str:
    """Only what is referred to keeps an id, a short one that no other figure of a page has."""
    referred = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    ids = {old: f"{zlib.crc32(name.encode()):x}-{i}" for i, old in enumerate(referred)}

    def renamed(found: re.Match[str]) -> str:
        return f' id="{ids[found[1]]}"' if found[1] in ids else ""

    text = re.sub(r' id="([^"]+)"', renamed, text)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + ids[found[2]], text)


def _with_one_style(dots: re.Match[str]) -> str:
    """Dots in a row that look alike, in a group that says so once."""
    styles = set(re.findall(r' style="([^"]*)"', dots[0]))
    if len(styles) != 1 or dots[0].count(" style=") != dots[0].count("<use "):
        return dots[0]
    bare = re.sub(r' style="[^"]*"', "", dots[0])
    return f'<g style="{styles.pop()}">{bare}</g>'


def _with_short_path(path: re.Match[str]) -> str:
    """A path with one decimal, each of its lines told by how far it goes on from the point before.

    Paths with curves stay as they are, but for the decimals.
    """
    text = re.sub(r"\s+", " ", re.sub(r"-?\d+(?:\.\d+)?", _rounded, path[0]))
    return re.sub(r'M[^M"]+', _going_on, text) if set(text) <= _LINES else text


_LINES: Final = frozenset(' d="MLz-.0123456789')


def _rounded(number: re.Match[str]) -> str:
    return _tenths(round(10 * float(number[0])))


def _tenths(count: int) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{count / 10:g}")


def _going_on(lines: re.Match[str]) -> str:
    """``M 1 2 L 4 2 L 4 3`` as ``M1 2l3 0 0 1``; a line that goes nowhere is a dot alone."""
    numbers = [round(10 * float(each)) for each in re.findall(r"[-.\d]+", lines[0])]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    steps = [
        (x - before_x, y - before_y)
        for (before_x, before_y), (x, y) in pairwise(points)
        if (x, y) != (before_x, before_y)
    ]
    told = " ".join(_tenths(each) for step in steps or [(0, 0)] for each in step)
    end = "z" if "z" in lines[0] else ""
    return f"M{_tenths(points[0][0])} {_tenths(points[0][1])}l{told}{end}"


def _with_one_font(text: str) -> str:
    """The font once, where all that is written has it."""
    [font, *others] = set(re.findall(r" font-family: ([^;\"]+);", text)) or {""}
    if others or not font:
        return text
    bare = text.replace(f" font-family: {font};", "")
    return bare.replace("<svg ", f'<svg font-family="{font}" ', 1)


def inlined(text: str, label: str) -> str:
    """An SVG element to stand in a page: as wide as its box, in the page's text colour."""
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*pt"', "", head)
    head += f' role="img" aria-label="{label}"'
    return f"{head}>{rest}".replace(INK, "currentColor")


def standalone(text: str) -> str:
    """An SVG element to stand in a file of its own, on white."""
    head, rest = text.split(">", 1)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'{head}><rect width="100%" height="100%" fill="white"/>{rest}'
    )
