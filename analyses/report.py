"""The report: every answer in plain words, its figures, its numbers, and where they come from."""

import hashlib
import html
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import jinja2
import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from analyses import (
    controls,
    correlation_loss,
    curvature,
    cuts,
    depth,
    first_experiments,
    noise,
    two_mode_cuts,
)
from analyses.curves import NotMeasuredError
from analyses.figures import Plot, inlined, standalone, svg
from analyses.findings import (
    Answer,
    Finding,
    Verdict,
    effect_text,
    interval_text,
    number,
    p_text,
    plain,
)
from analyses.statistics import MINIMUM_SEEDS
from compressibility.store.schema import ATTRIBUTES, Group

ANALYSES: Final[tuple[ModuleType, ...]] = (
    cuts,
    depth,
    noise,
    controls,
    curvature,
    correlation_loss,
    two_mode_cuts,
)
_DESCRIBED_ELSEWHERE: Final = ("experiment", "library_versions")


@dataclass(frozen=True)
class Drawing:
    """A figure as drawn: for the page, wide and narrow, and for a file."""

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    file: str
    belongs_to: str


@dataclass(frozen=True)
class Section:
    """One analysis: its answers and its figures, and what could not be drawn."""

    key: str
    title: str
    answers: tuple[Answer, ...]
    drawings: tuple[Drawing, ...]
    notes: tuple[str, ...] = ()

    def drawings_of(self, key: str) -> tuple[Drawing, ...]:
        """The figures that illustrate one answer; with an empty key, those that illustrate none."""
        return tuple(d for d in self.drawings if d.belongs_to == key)


@dataclass(frozen=True)
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
    sections = []
    for analysis in ANALYSES:
        progress(analysis.TITLE)
        answers = analysis.analyse(dataset)
        if all(not answer.findings for answer in answers):
            sections.append(Section(_key(analysis), analysis.TITLE, answers, ()))
            continue
        drawings, notes = _drawn(name, analysis.plots(dataset, answers))
        sections.append(Section(_key(analysis), analysis.TITLE, answers, drawings, notes))
    if plots := first_experiments.plots(dataset):
        progress(first_experiments.TITLE)
        drawings, notes = _drawn(name, plots)
        key = _key(first_experiments)
        sections.append(Section(key, first_experiments.TITLE, (), drawings, notes))
    return Chapter(
        name=name,
        title=str(dataset.attrs.get("title", name)),
        facts=_facts(dataset),
        sections=tuple(sections),
        provenance=_provenance(dataset, file_checksum),
        experiment=_pretty(dataset.attrs.get("experiment", "")),
    )


def _key(analysis: ModuleType) -> str:
    return analysis.__name__.rpartition(".")[2].replace("_", "-")


def _drawn(name: str, plots: Sequence[Plot]) -> tuple[tuple[Drawing, ...], tuple[str, ...]]:
    drawings, notes = [], []
    for plot in plots:
        try:
            wide = svg(plot, narrow=False, prefix=f"{name}-")
            narrow = svg(plot, narrow=True, prefix=f"{name}-")
        except NotMeasuredError as reason:
            notes.append(f"{plot.title}: not drawn, {reason}.")
            continue
        label = html.escape(f"{plot.title}. {plot.caption}", quote=True)
        drawings.append(
            Drawing(
                f"{name}-{plot.name}",
                plot.title,
                plot.caption,
                inlined(wide, label),
                inlined(narrow, label),
                standalone(wide),
                plot.belongs_to,
            )
        )
    return tuple(drawings), tuple(notes)


def _facts(dataset: xr.Dataset) -> tuple[tuple[str, str], ...]:
    """What was measured, for people."""
    seeds = [int(seed) for seed in dataset["seed"].values]
    layers = [str(layer) for layer in dataset["layer"].values]
    facts = [("Networks", _networks(seeds)), ("Layers", _layers(layers))]
    if "n_images" in dataset.variables and int(dataset["n_images"]) > 0:
        facts.append(("Test images", f"{int(dataset['n_images']):,}"))
    accuracy = dataset["baseline_accuracy"].values
    accuracy = 100 * accuracy[np.isfinite(accuracy)]
    if accuracy.size:
        spread = f" ({accuracy.min():.1f} to {accuracy.max():.1f})" if accuracy.size > 1 else ""
        facts.append(("Accuracy before truncation", f"{accuracy.mean():.1f} %{spread}"))
    facts.append(("Cuts", _coverage(dataset)))
    return tuple(facts)


def _networks(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"1 (seed {seeds[0]}): estimates only, nothing can be decided"
    run = seeds == list(range(seeds[0], seeds[-1] + 1))
    listed = f"{seeds[0]} to {seeds[-1]}" if run else ", ".join(map(str, seeds))
    return f"{len(seeds)}, independently initialised and trained (seeds {listed})"


def _layers(layers: list[str]) -> str:
    if len(layers) <= 6:
        return f"{len(layers)} ({', '.join(layers)})"
    return f"{len(layers)} ({layers[0]} to {layers[-1]})"


def _coverage(dataset: xr.Dataset) -> str:
    same_as = dataset["same_as"].transpose("layer", "mode").values
    distinct = same_as == dataset["mode"].values.astype(object)
    flags = dataset["truncation_flag"].transpose("layer", "mode", "seed").values
    measured = int(((flags == 0) & distinct[:, :, None]).sum())
    whole = int(distinct.sum()) * flags.shape[2]
    thresholds = dataset.sizes["threshold"]
    if measured == whole:
        return f"all {int(distinct.sum())} that exist in these layers, {thresholds} thresholds each"
    return f"{measured:,} of {whole:,} (layer, cut, network) measured so far"


def _provenance(dataset: xr.Dataset, file_checksum: str) -> tuple[tuple[str, str], ...]:
    rows = [
        (name.replace("_", " "), str(dataset.attrs[name]))
        for name in ATTRIBUTES
        if name in dataset.attrs and name not in _DESCRIBED_ELSEWHERE
    ]
    try:
        libraries = json.loads(str(dataset.attrs.get("library_versions", "{}")))
        rows.append(("libraries", ", ".join(f"{k} {v}" for k, v in sorted(libraries.items()))))
    except (json.JSONDecodeError, AttributeError):
        rows.append(("libraries", str(dataset.attrs["library_versions"])))
    for group in Group:
        kinds = [
            " and ".join(sorted({str(v) for v in dataset[name].values.flat} - {""}))
            for name in (f"{group.value}_device", f"{group.value}_precision")
            if name in dataset.variables
        ]
        if any(kinds):
            rows.append((f"{group.value}: device, precision", ", ".join(k for k in kinds if k)))
    if file_checksum:
        rows.append(("SHA-256 of the dataset", file_checksum))
    return tuple(rows)


def _pretty(text: object) -> str:
    try:
        return json.dumps(json.loads(str(text)), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return str(text)


def headline(answer: Answer) -> str:
    """The effect in one line, or how a family of comparisons fell out."""
    if not answer.findings:
        return "not measured"
    if len(answer.findings) == 1:
        only = answer.findings[0]
        unit = "" if only.unit == "1" else f" {only.unit}"
        known = not math.isnan(only.interval.low)
        return f"{number(only.estimate)}{unit} ({'95 %: ' * known}{interval_text(only.interval)})"
    estimates = [f.estimate for f in answer.findings]
    unit = "" if answer.findings[0].unit == "1" else f" {answer.findings[0].unit}"
    counts = {v: sum(f.verdict is v for f in answer.findings) for v in Verdict}
    low, high = number(min(estimates)), number(max(estimates))
    told = f"estimates are {low}" if low == high else f"estimates range from {low} to {high}"
    return (
        f"{len(answer.findings)} comparisons: {counts[Verdict.SUPPORTED]} for, "
        f"{counts[Verdict.CONTRADICTED]} against, {counts[Verdict.UNDECIDED]} open "
        f"({told}{unit})"
    )


def smallest_p(answer: Answer) -> str:
    """The adjusted p-value, or the range over a family."""
    p = [f.p_adjusted for f in answer.findings if not math.isnan(f.p_adjusted)]
    if not p:
        return "–"
    low, high = p_text(min(p)), p_text(max(p))
    return low if low == high else f"{low} to {high}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        headline=headline,
        smallest_p=smallest_p,
        effect=effect_text,
        interval=interval_text,
        number=number,
        plain=plain,
        p=p_text,
    )
    return environment


def page(chapters: Sequence[Chapter]) -> str:
    """The report as one self-contained HTML page."""
    template = _environment().get_template("report.html.jinja")
    confirmatory = [
        a
        for c in chapters
        for a in c.answers
        if not a.claim.exploratory and a.n_seeds >= MINIMUM_SEEDS
    ]
    return template.render(chapters=chapters, tested=len(confirmatory))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value


def _entry(answer: Answer) -> dict[str, Any]:
    """An answer with its claim, on one level."""
    found = {k: v for k, v in asdict(answer).items() if k != "claim"}
    entry: dict[str, Any] = _jsonable(asdict(answer.claim) | found | {"n_seeds": answer.n_seeds})
    return entry


def findings_json(chapters: Sequence[Chapter]) -> str:
    """All answers and findings as JSON; what is infinite or not a number is null."""
    content = [
        {
            "dataset": c.name,
            "title": c.title,
            "provenance": dict(c.provenance),
            "answers": [_entry(answer) for answer in c.answers],
        }
        for c in chapters
    ]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write(chapters: Sequence[Chapter], folder: Path) -> Path:
    """Write index.html, findings.json and figures/*.svg; each file appears whole or not at all.

    Returns:
        The path of the page.

    Raises:
        OSError: if the folder cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for drawing in (d for c in chapters for s in c.sections for d in s.drawings):
        _write(folder / "figures" / f"{drawing.name}.svg", drawing.file)
    _write(folder / "findings.json", findings_json(chapters))
    _write(folder / "index.html", page(chapters))
    return folder / "index.html"


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def print_table(chapters: Sequence[Chapter], console: Console) -> None:
    """The findings in the terminal, one table for each dataset."""
    colours = {
        Verdict.SUPPORTED: "green",
        Verdict.CONTRADICTED: "red",
        Verdict.UNDECIDED: "yellow",
    }
    for c in chapters:
        table = Table(title=f"{c.name}", title_justify="left", title_style="bold", pad_edge=False)
        table.add_column("claim about", ratio=4)
        table.add_column("verdict", no_wrap=True)
        table.add_column("effect", ratio=5)
        table.add_column("adjusted p", no_wrap=True)
        table.add_column("networks", justify="right", no_wrap=True)
        for a in c.answers:
            question = a.claim.title + (" (exploratory)" if a.claim.exploratory else "")
            verdict = f"[{colours[a.verdict]}]{a.verdict.value}[/]"
            table.add_row(question, verdict, headline(a), smallest_p(a), str(a.n_seeds))
        console.print(table)


def checksum(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


__all__ = [
    "ANALYSES",
    "Chapter",
    "Drawing",
    "Finding",
    "Section",
    "chapter",
    "checksum",
    "findings_json",
    "headline",
    "page",
    "print_table",
    "smallest_p",
    "write",
]
