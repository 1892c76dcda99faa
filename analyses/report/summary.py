"""All claims over all datasets: a row for each claim, a cell for each dataset, one sentence."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyses.findings import Answer, Claim, Kind, Rule, Verdict, fewest
from analyses.paper import Statement
from analyses.report.chapters import Chapter
from analyses.statistics import ALPHA, MINIMUM_SEEDS
from analyses.topics import TOPICS
from analyses.words import NOT_MEASURED, interval_text, number, unit_text, verdict_text


@dataclass(frozen=True, eq=False)
class Cell:
    """One claim on one dataset."""

    dataset: str
    answer: Answer

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return verdict_text(self.answer)

    @property
    def interim(self) -> bool:
        """Whether the planned networks are not complete yet."""
        return self.answer.interim

    @property
    def effect(self) -> str:
        """The estimate, or the range over the comparisons, without its unit; a dash for none."""
        estimates = [f.estimate for f in self.answer.findings]
        if not estimates:
            return "–"
        low, high = number(min(estimates)), number(max(estimates))
        return low if low == high else f"{low} to {high}"

    @property
    def uncertainty(self) -> str:
        """The interval of a single comparison; of several, how they fell out."""
        found = self.answer.findings
        if len(found) != 1:
            counts = [
                f"{n} {_COUNTED[verdict]}"
                for verdict in Verdict
                if (n := sum(f.verdict is verdict for f in found))
            ]
            return ", ".join(counts)
        known = not math.isnan(found[0].interval.low)
        return f"95 %: {interval_text(found[0].interval)}" if known else "one network"


_COUNTED = {
    Verdict.SUPPORTED: "for",
    Verdict.CONTRADICTED: "against",
    Verdict.UNDECIDED: "open",
    Verdict.DEPENDS: "by layer",
}


@dataclass(frozen=True, eq=False)
class Row:
    """One claim on every dataset."""

    claim: Claim
    statement: Statement
    cells: tuple[Cell, ...]

    @property
    def rule(self) -> str:
        """By what the verdict is given, in words."""
        return rule_text(self.claim)

    @property
    def sentence(self) -> str:
        """What a reader can quote: the claim, and what it is on each dataset."""
        unit = "" if self.claim.unit == "1" else f" (effect: {self.claim.unit})"
        said = f"“{self.claim.claim.rstrip('.')}”{unit}"
        enough = [c for c in self.cells if c.answer.is_decidable]
        few = [c for c in self.cells if c.answer.findings and not c.answer.is_decidable]
        none = [c.dataset for c in self.cells if not c.answer.findings]
        parts = [
            f"{verdict} on {listed(map(self._told, same))}"
            for verdict in dict.fromkeys(c.verdict for c in enough)
            if (same := [c for c in enough if c.verdict == verdict])
        ]
        if few:
            each = "one network" if all(c.answer.n_seeds == 1 for c in few) else "few networks"
            parts.append(
                f"not decided by {each}{' each' if len(few) > 1 else ''} on "
                f"{listed(map(self._told, few))}"
            )
        if none:
            parts.append(f"{NOT_MEASURED} on {listed(none)}")
        return f"{said}: {'; '.join(parts)}."

    def _told(self, cell: Cell) -> str:
        n = cell.answer.n_seeds
        networks = f"{n} networks{' so far' if cell.interim else ''}, " if n > 1 else ""
        return f"{cell.dataset} ({networks}{cell.effect})"


def rows(chapters: Sequence[Chapter]) -> tuple[Row, ...]:
    """Every claim, in the order of the registry, with its answer on each dataset."""
    answers = [(c.name, {a.claim.key: a for a in c.answers}) for c in chapters]
    return tuple(
        Row(claim, topic.statement, tuple(Cell(name, held[claim.key]) for name, held in answers))
        for topic in TOPICS
        for claim in topic.claims
    )


def rule_text(claim: Claim) -> str:
    """How a claim's comparisons decide it, in words."""
    enough = f"a p of at most {ALPHA} over {fewest(claim)} networks or more"
    if claim.kind is Kind.EQUIVALENCE:
        return (
            f"Supported where the difference lies within ±{claim.margin:g}{unit_text(claim.unit)} "
            f"with {enough}; contradicted where it lies outside, over {MINIMUM_SEEDS} or more."
        )
    if claim.needs_check:
        enough += f", and with p of at most {ALPHA} by the check"
    by_layer = "depends on the layer where two layers are decided in opposite directions"
    if len(claim.comparisons) == 1:
        return (
            f"Supported above zero, contradicted below it, either with {enough}; {by_layer}; "
            "undecided otherwise."
        )
    every = f"each of the {len(claim.comparisons)} comparisons"
    if claim.rule is Rule.UNANIMOUS:
        return f"What {every} is, with {enough}, unadjusted; {by_layer}; undecided otherwise."
    return (
        f"Supported where {every} is above zero with {enough}, unadjusted; contradicted by one "
        f"below it with such a p, adjusted; else {by_layer}; undecided otherwise."
    )


def listed(words: Iterable[str]) -> str:
    """Words in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def markdown(chapters: Sequence[Chapter]) -> str:
    """The table and the sentences as Markdown."""
    found = rows(chapters)
    lines = [
        "# Claims",
        "",
        "| claim | " + " | ".join(c.name for c in chapters) + " |",
        "|" + "---|" * (len(chapters) + 1),
    ]
    for row in found:
        told = [
            f"{cell.verdict}{' (interim)' if cell.interim else ''}: {cell.effect}"
            if cell.answer.findings
            else cell.verdict
            for cell in row.cells
        ]
        lines.append("| " + " | ".join(map(_cell, [_title(row.claim), *told])) + " |")
    lines += ["", "Effects are signed so that above zero speaks for the claim.", ""]
    lines += [f"- {row.sentence}" for row in found]
    return "\n".join(lines) + "\n"


def _title(claim: Claim) -> str:
    hint = " (exploratory)" if claim.exploratory else ""
    return f"{claim.title}{hint}{f', {claim.unit}' if claim.unit != '1' else ''}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
