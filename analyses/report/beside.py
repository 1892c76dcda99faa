"""What stands beside a verdict, as tables: each layer's own finding, and how the choices matter."""

import math
from typing import Any

from pandas import DataFrame

from analyses.findings import Finding
from analyses.words import number


def layers(finding: Finding) -> DataFrame | None:
    """One row for each layer's own finding, where it was asked."""
    rows = [vars(each) | {"verdict": each.verdict.value} for each in finding.layers]
    return DataFrame(rows) if rows else None


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
