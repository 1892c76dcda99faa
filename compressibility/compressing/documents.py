"""JSON files of a version, read into what they tell of."""

import json
from pathlib import Path
from typing import Any, TypeVar

import cattrs

from compressibility.errors import UserError

Told = TypeVar("Told")


def document(path: Path, what: str, version: int, writer: str, error: type[UserError]) -> Any:
    """The content of a JSON file that has a ``version``.

    Args:
        path: Of the file.
        what: It is to be, such as ``recipe``.
        version: The one that is understood.
        writer: The command that writes such files.
        error: What is raised.

    Raises:
        UserError: The file cannot be read, or is of no or another version; an ``error``.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        told = reason.strerror if isinstance(reason, OSError) else "it is no JSON"
        raise error(f"cannot read the {what} {path}: {told}; `{writer}` writes one") from reason
    if not isinstance(data, dict) or data.get("version") != version:
        raise error(f"{path} is no {what} of version {version}: `{writer}` writes one")
    return data


def structured(
    data: Any,
    form: type[Told],
    path: Path,
    what: str,
    error: type[UserError],
    converter: cattrs.Converter | None = None,
) -> Told:
    """A document's content as a frozen dataclass.

    Args:
        data: The content.
        form: The dataclass; nothing else may stand in the file.
        path: Of the file.
        what: It is to be.
        error: What is raised.
        converter: Knows of unions; the plain one by default.

    Raises:
        UserError: The content is not of this form; an ``error``.
    """
    try:
        return (converter or cattrs.Converter(forbid_extra_keys=True)).structure(data, form)
    except cattrs.BaseValidationError as reason:
        told = "; ".join(cattrs.transform_error(reason))
    except KeyError as reason:
        told = f"no {reason}"
    raise error(f"{path} is no {what}: {told}")
