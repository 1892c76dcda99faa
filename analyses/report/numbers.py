"""Every answer and finding as JSON, by findings.schema.json; infinite or not a number is null."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from analyses.findings import Answer, Finding, Kind
from analyses.report.beside import as_json, layers
from analyses.report.chapters import Chapter
from analyses.report.summary import rows, rule_text

SCHEMA_VERSION: Final = 1
"""Raised with every change after which a reader of the older file would read amiss."""
SCHEMA: Final = Path(__file__).with_name("findings.schema.json")


def findings_json(chapters: Sequence[Chapter]) -> str:
    """The claims in their order, and all datasets with their answers and findings."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "claims": [
            {
                "key": row.claim.key,
                "claim": row.claim.claim,
                "statement": asdict(row.statement),
                "rule": row.rule,
                "sentence": row.sentence,
            }
            for row in rows(chapters)
        ],
        "datasets": [
            {
                "dataset": c.name,
                "title": c.title,
                "path": c.path or None,
                "provenance": dict(c.provenance),
                "answers": [_answer(a) for a in c.answers],
            }
            for c in chapters
        ],
    }
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _answer(answer: Answer) -> dict[str, Any]:
    claim = answer.claim
    return {
        "key": claim.key,
        "title": claim.title,
        "question": claim.question,
        "claim": claim.claim,
        "null": claim.null,
        "statistic": claim.statistic,
        "unit": claim.unit,
        "kind": claim.kind.value,
        "margin": claim.margin if claim.kind is Kind.EQUIVALENCE else None,
        "rule": rule_text(claim),
        "exploratory": claim.exploratory,
        "verdict": answer.verdict.value,
        "interim": answer.interim,
        "sensitivity": as_json(answer.sensitivity),
        "found": answer.told.found,
        "sure": answer.told.sure,
        "unseen": answer.told.unseen,
        "findings": [_finding(f) for f in answer.findings],
        "n_seeds": answer.n_seeds,
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "question": found.claim.question,
        "claim": found.claim.claim,
        "comparison": found.comparison.label,
        "reference": found.reference,
        "other": found.other or None,
        "condition": found.comparison.condition or None,
        "null": found.claim.null,
        "test": found.test,
        "statistic": found.claim.statistic,
        "estimate": found.estimate,
        "unit": found.claim.unit,
        "interval": asdict(found.interval),
        "p": found.p,
        "p_adjusted": found.p_adjusted,
        "n_seeds": found.n_seeds,
        "half_width": found.half_width,
        "verdict": found.verdict.value,
        "robustness": None if found.robustness is None else asdict(found.robustness),
        "caveats": found.caveats,
        "per_seed": found.per_seed,
        "layers": as_json(layers(found)),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
