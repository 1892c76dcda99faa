"""One dataset, analysed: its answers in reading order, and its figures with their tables."""

import html
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import xarray as xr
from pandas import DataFrame

from analyses.figures.plot import Answers, Plot
from analyses.figures.svg import drawn, inlined, png, standalone, svg
from analyses.findings import Answer
from analyses.report.facts import facts, pretty, provenance
from analyses.topics import OF_ALL_LAYERS, TOPICS, Topic
from analyses.truncations import truncations
from analyses.verdicts import answer
from compressibility.store.reading import LayerData, NotMeasuredError


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure as drawn.

    Attributes:
        name: Its name in links and files, unique in the report.
        title: Its title.
        caption: What is to be seen.
        wide: SVG for the page.
        narrow: SVG for a narrow page; empty where it shows the wide one.
        file: SVG for a file of its own.
        png: The same as PNG, on white.
        csv: Every number that is drawn.
        illustrates: Key of the claim it belongs to, or empty.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    file: str
    png: bytes
    csv: str
    illustrates: str


@dataclass(frozen=True, eq=False)
class Section:
    """One topic: its answers, its figures, what could not be drawn, and how to fetch its data."""

    topic: Topic
    answers: tuple[Answer, ...]
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    lines: str = ""

    def drawings_of(self, key: str) -> tuple[Drawing, ...]:
        """The figures that illustrate one claim; with an empty key, those that illustrate none."""
        return tuple(d for d in self.drawings if d.illustrates == key)


@dataclass(frozen=True, eq=False)
class Chapter:
    """One dataset, analysed.

    Attributes:
        name: Its short name, in links and file names.
        title: What it is called.
        n_networks: Networks measured.
        facts: What was measured, as pairs of label and text.
        sections: One for each topic that has anything to tell.
        truncations: Every truncation, as `analyses.truncations` gives them.
        maps: Figures of all layers.
        provenance: Where it comes from, as pairs of label and text.
        experiment: The experiment as JSON.
        path: Where its file lies, seen from where the report was asked for; or empty.
        checksum: SHA-256 of its file, or empty.
    """

    name: str
    title: str
    n_networks: int
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    truncations: DataFrame
    maps: tuple[Drawing, ...]
    provenance: tuple[tuple[str, str], ...]
    experiment: str
    path: str = ""
    checksum: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """Keys of the topics that have a section."""
        return tuple(section.topic.key for section in self.sections)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All answers, in reading order."""
        return tuple(answer for section in self.sections for answer in section.answers)

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All figures, in reading order."""
        return (*(d for section in self.sections for d in section.drawings), *self.maps)


def chapter(
    name: str,
    dataset: xr.Dataset,
    *,
    path: str = "",
    file_checksum: str = "",
) -> Chapter:
    """Analyse one dataset and draw its figures.

    Args:
        name: Short name, used in links and file names.
        dataset: A valid layer dataset, whole or partial.
        path: The file it came from, as the lines that fetch its data shall name it.
        file_checksum: SHA-256 of that file.
    """
    data = LayerData(dataset)
    return Chapter(
        name=name,
        title=str(dataset.attrs.get("title", name)),
        n_networks=len(data.seeds),
        facts=facts(data),
        sections=tuple(
            section
            for topic in TOPICS
            if (section := _section(name, topic, data, path)) is not None
        ),
        truncations=truncations(data),
        maps=_maps(name, data),
        provenance=provenance(dataset, file_checksum),
        experiment=pretty(dataset.attrs.get("experiment", "")),
        path=path,
        checksum=file_checksum,
    )


def _maps(name: str, data: LayerData) -> tuple[Drawing, ...]:
    drawn = []
    for plot in OF_ALL_LAYERS:
        with suppress(NotMeasuredError):
            drawn.append(drawing(name, plot, data, {}))
    return tuple(drawn)


def lines_that_fetch(path: str, dataset: xr.Dataset, variables: Sequence[str]) -> str:
    """Two lines of Python that fetch these variables of a dataset's file, as far as it has them."""
    held = json.dumps([name for name in variables if name in dataset])
    return f"import xarray as xr\ndata = xr.open_dataset({json.dumps(path)})[{held}]"


def _section(name: str, topic: Topic, data: LayerData, path: str) -> Section | None:
    """The section of a topic; None where it has neither claims nor figures for this dataset."""
    answers = tuple(answer(claim, data) for claim in topic.claims)
    plots = tuple(plot for plot in topic.plots if plot.applies(data))
    if answers and not any(a.findings for a in answers):
        return Section(topic, answers)
    if not answers and not plots:
        return None
    drawings, notes = [], []
    for plot in plots:
        try:
            drawings.append(drawing(name, plot, data, {a.claim.key: a for a in answers}))
        except NotMeasuredError as reason:
            notes.append(f"{plot.title}: not drawn, {reason}.")
    lines = lines_that_fetch(path or f"{name}.nc", data.dataset, topic.variables)
    return Section(topic, answers, tuple(drawings), tuple(notes), lines)


def drawing(name: str, plot: Plot, data: LayerData, answers: Answers) -> Drawing:
    """One figure, drawn wide and narrow from its table.

    Raises:
        NotMeasuredError: The dataset lacks what is to be drawn.
    """
    table, caption = plot.table(data, answers), plot.caption(data)
    wide = drawn(plot, table, narrow=False)
    wide_svg = svg(wide, f"{name}-{plot.name}-wide")
    narrow_svg = ""
    if not plot.tall:
        narrow_svg = svg(drawn(plot, table, narrow=True), f"{name}-{plot.name}")
    label = html.escape(f"{plot.title}. {caption}", quote=True)
    return Drawing(
        name=f"{name}-{plot.name}",
        title=plot.title,
        caption=caption,
        wide=inlined(wide_svg, label),
        narrow=inlined(narrow_svg, label) if narrow_svg else "",
        file=standalone(wide_svg),
        png=png(wide),
        csv=table.to_csv(index=False, lineterminator="\n"),
        illustrates=plot.illustrates,
    )
