"""One dataset, analysed: its answers in reading order, and its figures with their tables."""

import html
from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from analyses.figures.plot import Answers, Plot
from analyses.figures.svg import inlined, standalone, svg
from analyses.findings import Answer, answer
from analyses.report.facts import facts, pretty, provenance
from analyses.topics import TOPICS, Topic
from compressibility.store.reading import LayerData, NotMeasuredError


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure as drawn.

    Attributes:
        name: Its name in links and files, unique in the report.
        title: Its title.
        caption: What is to be seen.
        wide: SVG for the page.
        narrow: SVG for a narrow page.
        file: SVG for a file of its own.
        csv: Every number that is drawn.
        illustrates: Key of the claim it belongs to, or empty.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    file: str
    csv: str
    illustrates: str


@dataclass(frozen=True, eq=False)
class Section:
    """One topic: its answers and its figures, and what could not be drawn."""

    topic: Topic
    answers: tuple[Answer, ...]
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()

    def drawings_of(self, key: str) -> tuple[Drawing, ...]:
        """The figures that illustrate one claim; with an empty key, those that illustrate none."""
        return tuple(d for d in self.drawings if d.illustrates == key)


@dataclass(frozen=True, eq=False)
class Chapter:
    """One dataset, analysed."""

    name: str
    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    provenance: tuple[tuple[str, str], ...]
    experiment: str

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All answers, in reading order."""
        return tuple(answer for section in self.sections for answer in section.answers)

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All figures, in reading order."""
        return tuple(drawing for section in self.sections for drawing in section.drawings)


def chapter(
    name: str,
    dataset: xr.Dataset,
    *,
    file_checksum: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Chapter:
    """Analyse one dataset and draw its figures.

    Args:
        name: Short name, used in links and file names.
        dataset: A valid layer dataset, whole or partial.
        file_checksum: SHA-256 of the file it came from.
        progress: Told what is being done.
    """
    data = LayerData(dataset)
    return Chapter(
        name=name,
        title=str(dataset.attrs.get("title", name)),
        facts=facts(data),
        sections=tuple(
            section
            for topic in TOPICS
            if (section := _section(name, topic, data, progress)) is not None
        ),
        provenance=provenance(dataset, file_checksum),
        experiment=pretty(dataset.attrs.get("experiment", "")),
    )


def _section(
    name: str, topic: Topic, data: LayerData, progress: Callable[[str], None]
) -> Section | None:
    """The section of a topic; None where it has neither claims nor figures for this dataset."""
    progress(topic.title)
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
    return Section(topic, answers, tuple(drawings), tuple(notes))


def drawing(name: str, plot: Plot, data: LayerData, answers: Answers) -> Drawing:
    """One figure, drawn wide and narrow from its table.

    Raises:
        NotMeasuredError: The dataset lacks what is to be drawn.
    """
    table, caption = plot.table(data, answers), plot.caption(data)
    wide, narrow = (svg(plot, table, narrow=n, prefix=f"{name}-") for n in (False, True))
    label = html.escape(f"{plot.title}. {caption}", quote=True)
    return Drawing(
        name=f"{name}-{plot.name}",
        title=plot.title,
        caption=caption,
        wide=inlined(wide, label),
        narrow=inlined(narrow, label),
        file=standalone(wide),
        csv=table.to_csv(index=False, lineterminator="\n"),
        illustrates=plot.illustrates,
    )
