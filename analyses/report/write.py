"""The report as files, and its findings in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from analyses.findings import Verdict
from analyses.report.chapters import Chapter
from analyses.report.numbers import findings_json
from analyses.report.pages import INDEX, file_name, index, page
from analyses.words import headline, smallest_p, verdict_text
from compressibility.files import write_whole

_COLOURS: Final = {
    Verdict.SUPPORTED: "green",
    Verdict.CONTRADICTED: "red",
    Verdict.UNDECIDED: "yellow",
}


def write(chapters: Sequence[Chapter], folder: Path) -> Path:
    """Write the pages, findings.json, and a figure's SVG and CSV under figures/, each file whole.

    Returns:
        The path of the index.

    Raises:
        WriteError: The folder cannot be written.
    """
    texts = {"findings.json": findings_json(chapters), INDEX: index(chapters)}
    for chapter in chapters:
        texts[file_name(chapter)] = page(chapter)
        for drawing in chapter.drawings:
            texts[f"figures/{drawing.name}.svg"] = drawing.file
            texts[f"figures/{drawing.name}.csv"] = drawing.csv
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return folder / INDEX


def print_table(chapters: Sequence[Chapter], console: Console) -> None:
    """The findings in the terminal, one table for each dataset."""
    for chapter in chapters:
        table = Table(title=chapter.name, title_justify="left", title_style="bold", pad_edge=False)
        table.add_column("claim about", ratio=4)
        table.add_column("verdict", no_wrap=True)
        table.add_column("effect", ratio=5)
        table.add_column("adjusted p", no_wrap=True)
        table.add_column("networks", justify="right", no_wrap=True)
        for a in chapter.answers:
            question = a.claim.title + (" (exploratory)" if a.claim.exploratory else "")
            verdict = f"[{_COLOURS[a.verdict] if a.findings else 'dim'}]{verdict_text(a)}[/]"
            table.add_row(question, verdict, headline(a), smallest_p(a), str(a.n_seeds))
        console.print(table)
