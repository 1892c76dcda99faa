"""The page that documents a layer dataset, made from the table of its variables.

``python -m compressibility.store.documentation`` prints it as Markdown.
"""

from collections.abc import Iterable

from compressibility.store.schema import (
    ATTRIBUTES,
    BOOKKEEPING,
    COORDINATES,
    DIMENSIONS,
    FLAGS,
    SCHEMA_VERSION,
    VARIABLES,
    Flag,
    Variable,
)


def markdown() -> str:
    """The documentation of every dimension, coordinate, variable and attribute, as Markdown."""
    dimensions = "\n".join(f"- `{name}`: {meaning}" for name, meaning in DIMENSIONS.items())
    flags = "; ".join(f"{flag.value} {flag.name.lower()}" for flag in Flag)
    attributes = ", ".join(f"`{name}`" for name in ATTRIBUTES)
    return f"""# The layer dataset, schema version {SCHEMA_VERSION}

One netCDF-4 file holds one experiment. Dimensions are found by name, never by order. A missing
number is NaN, a missing count -1, a missing text empty; the flag named beside a variable says why.
A partial dataset is valid.

## Dimensions

{dimensions}

## Coordinates

{_table(COORDINATES)}

## Variables

{_table(VARIABLES)}

## Flags

Values: {flags}.

{_table(FLAGS)}

## Bookkeeping

{_table(BOOKKEEPING)}

## Global attributes

{attributes}. `library_versions` and `experiment` are JSON.
"""


def _table(variables: Iterable[Variable]) -> str:
    rows = [
        "| variable | dimensions | type | units | definition | flag | source |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{v.name}` | {', '.join(v.dims) or 'none'} | {v.dtype} | {v.units} "
        f"| {_sentence(v)} | {_flags(v)} | {v.source} |"
        for v in variables
    ]
    return "\n".join(rows)


def _sentence(variable: Variable) -> str:
    name = variable.long_name
    return f"{name[0].upper()}{name[1:]}. {variable.definition}".replace("|", "\\|")


def _flags(variable: Variable) -> str:
    return "; ".join(
        f"`{part.flag}`" + (f" ({', '.join(part.weights)})" if part.weights else "")
        for part in variable.parts
    )


if __name__ == "__main__":
    print(markdown())
