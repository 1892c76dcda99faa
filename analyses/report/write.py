"""The report as files, and its findings in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analyses.findings import Verdict
from analyses.report.chapters import Chapter
from analyses.report.numbers import SCHEMA, findings_json
from analyses.report.pages import INDEX, file_name, index, layers_file_name, layers_page, page
from analyses.report.summary import Cell, Row, listed, markdown, rows
from compressibility.files import write_whole

_COLOURS: Final = {
    Verdict.SUPPORTED: "green",
    Verdict.CONTRADICTED: "red",
    Verdict.UNDECIDED: "yellow",
}
_SIDE_BY_SIDE: Final = 3
"""Datasets in one table of a terminal of 80 columns."""


def write(chapters: Sequence[Chapter], folder: Path) -> Path:
    """Write the report, each file whole.

    Beside index.html and two pages for each dataset: claims.md, findings.json with its schema,
    and a figure's SVG, PNG and CSV under figures/.

    Returns:
        The path of the index.

    Raises:
        WriteError: The folder cannot be written.
    """
    texts = {
        "findings.json": findings_json(chapters),
        SCHEMA.name: SCHEMA.read_text(),
        "claims.md": markdown(chapters),
        INDEX: index(chapters),
    }
    for chapter in chapters:
        texts[file_name(chapter)] = page(chapter)
        texts[layers_file_name(chapter)] = layers_page(chapter)
        for drawing in chapter.drawings:
            texts[f"figures/{drawing.name}.svg"] = drawing.file
            texts[f"figures/{drawing.name}.csv"] = drawing.csv
            write_whole(folder / f"figures/{drawing.name}.png", drawing.png)
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return folder / INDEX


def print_table(chapters: Sequence[Chapter], console: Console) -> None:
    """Claims by datasets in the terminal: verdict and effect; then what was not tested, and why."""
    for first in range(0, len(chapters), _SIDE_BY_SIDE):
        console.print(_table(chapters[first : first + _SIDE_BY_SIDE]))
    untested: dict[tuple[str, str], list[str]] = {}
    for chapter in chapters:
        for answer in chapter.answers:
            if not answer.findings:
                what = (answer.claim.title, answer.told.found)
                untested.setdefault(what, []).append(chapter.name)
    alike: dict[tuple[str, str], list[str]] = {}
    for (title, reason), names in untested.items():
        alike.setdefault((listed(names), reason), []).append(title)
    for (where, reason), titles in alike.items():
        told = f"Not tested on {where}: {'; '.join(titles)}. {reason}"
        console.print(told, highlight=False, markup=False)


def _table(chapters: Sequence[Chapter]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_lines=False)
    table.add_column("claim about", ratio=4)
    for chapter in chapters:
        table.add_column(escape(chapter.name), ratio=3, overflow="fold")
    for row in rows(chapters):
        table.add_row(_title(row), *map(_cell, row.cells))
    return table


def _title(row: Row) -> str:
    unit = f"\n[dim]{escape(row.claim.unit)}[/]" if row.claim.unit != "1" else ""
    return row.claim.title + " (exploratory)" * row.claim.exploratory + unit


def _cell(cell: Cell) -> str:
    answer = cell.answer
    colour = _COLOURS.get(answer.verdict, "magenta") if answer.findings else "dim"
    effect = f"\n{cell.effect}" if answer.findings else ""
    interim = " interim" if cell.interim else ""
    return f"[{colour}]{cell.verdict}[/]{interim}{effect}"
