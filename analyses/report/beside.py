"""What stands beside a verdict, as tables: each layer's own finding, and how the choices matter."""

import math
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pandas import DataFrame

from analyses.findings import Answer, Finding
from analyses.words import number


def is_interim(answer: Answer) -> bool:
    """Whether the planned networks are not complete yet."""
    return answer.interim


def sensitivity(answer: Answer) -> DataFrame | None:
    """The effect by scale (rows) and range of norm losses (columns), where it was asked."""
    table = getattr(answer, "sensitivity", None)
    return table if isinstance(table, DataFrame) and len(table) else None


def layers(finding: Finding) -> DataFrame | None:
    """One row for each layer's own finding, where it was asked."""
    rows = [_row(each) for each in finding.layers]
    return DataFrame(rows) if rows else None


def _row(each: Any) -> dict[str, Any]:
    """The fields of a value on one level, without what is a value of many numbers."""
    found: dict[str, Any] = {}
    for field in fields(each):
        value = getattr(each, field.name)
        if isinstance(value, Enum):
            found[field.name] = value.value
        elif is_dataclass(value):
            found |= {f"{field.name} {name}": part for name, part in _row(value).items()}
        elif isinstance(value, str | float | int):
            found[field.name] = value
    return found


def cell_text(value: Any) -> str:
    """A cell of such a table in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "–" if math.isnan(value) else number(value)
    return str(value)


def as_json(table: DataFrame | None) -> dict[str, Any] | None:
    """A table as columns, names of rows and rows; None for none."""
    if table is None:
        return None
    return {
        "columns": [str(name) for name in table.columns],
        "index": [str(name) for name in table.index],
        "rows": table.to_numpy(dtype=object).tolist(),
    }
