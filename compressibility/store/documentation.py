"""The page that documents a layer dataset, made from its tables.

``python -m compressibility.store.documentation`` prints it as Markdown.
"""

from collections.abc import Iterable

from compressibility.store.declarations import Table, Variable
from compressibility.store.schema import (
    ATTRIBUTES,
    CORE,
    JSON_ATTRIBUTES,
    N_CLASSES,
    SCHEMA_VERSION,
    TABLES,
    Flag,
    coordinates,
    described,
    dimensions,
)


def markdown() -> str:
    """The documentation of every dimension, coordinate, table and attribute, as Markdown."""
    along = dimensions()
    told = "\n".join(f"- `{name}`: {dimension.meaning}" for name, dimension in along.items())
    flags = "; ".join(f"{flag.value} {flag.name.lower()}" for flag in Flag)
    attributes = ", ".join(f"`{name}`" for name in ATTRIBUTES)
    beside = [v for name, v in described(along.values()).items() if name not in coordinates()]
    return f"""# The layer dataset, schema version {SCHEMA_VERSION}

One netCDF-4 file holds one experiment: the table `{CORE.name}`, and any other table wholly or not
at all. Dimensions and coordinates are there where a table lies along them; they are found by name,
never by order. A missing number is NaN, a missing count -1, a missing text empty; the flag named
beside a variable says why. A partial dataset is valid.

## Dimensions

{told}

## Coordinates

{_rows((*coordinates().values(), *beside))}

## Flags

Values: {flags}.

{"".join(_section(table) for table in TABLES.values())}## Global attributes

{attributes}. {" and ".join(f"`{name}`" for name in JSON_ATTRIBUTES)} are JSON; `left_out` gives the
reason why each layer that is not measured is left out, or null where nobody recorded it.
`{N_CLASSES}`, the number of classes of the test images, is there where it was known.
"""


def _section(table: Table) -> str:
    per = ", ".join(table.per)
    return f"""## Table `{table.name}`

{table.what[0].upper()}{table.what[1:]}. A task for each ({per}).

{_rows(table.stored)}

"""


def _rows(variables: Iterable[Variable]) -> str:
    rows = [
        "| variable | dimensions | type | units | definition | flag | source |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{v.name}` | {', '.join(v.dims) or 'none'} | {v.dtype} | {v.units} "
        f"| {_sentence(v)} | {_flag(v)} | {v.source} |"
        for v in variables
    ]
    return "\n".join(rows)


def _sentence(variable: Variable) -> str:
    name = variable.long_name
    return f"{name[0].upper()}{name[1:]}. {variable.definition}".replace("|", "\\|")


def _flag(variable: Variable) -> str:
    part = f" ({', '.join(variable.part)})" if variable.part else ""
    return f"`{variable.flag}`{part}" if variable.flag else ""


if __name__ == "__main__":
    print(markdown())
