"""Keys of content: what two measurements share exactly if they would measure the same."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def content_key(settings: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> str:
    """A key that two measurements share exactly if they would measure the same.

    Equal numbers give equal keys however they are written (0 and 0.0, tuple and list), and the
    order of names and the memory layout of arrays do not count; the arrays' dtype and shape do.

    Args:
        settings: What the values depend on, as data that JSON can hold.
        arrays: Arrays that the values depend on, by name.

    Returns:
        SHA-256 of the canonical JSON of the settings and of the arrays' bytes, in hexadecimal.

    Raises:
        TypeError: A setting is nothing that JSON can hold, or an array holds objects.
        ValueError: A setting is NaN or infinite.
    """
    digest = hashlib.sha256()

    def add(content: bytes) -> None:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)

    add(canonical_json(settings).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.hasobject:
            raise TypeError(f"array {name!r} holds objects, which have no bytes of their own")
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        add(canonical_json([name, little.dtype.str, little.shape]).encode())
        add(little.tobytes())
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """The one JSON text of a value: names sorted, no blanks, whole numbers without a point.

    Raises:
        TypeError: The value holds what JSON cannot.
        ValueError: The value holds NaN or infinity.
    """
    whole = _canonical(value)
    separators = (",", ":")
    return json.dumps(
        whole, sort_keys=True, separators=separators, allow_nan=False, ensure_ascii=False
    )


def _canonical(value: object) -> object:
    match value:
        case None | bool() | str() | int():
            return value
        case np.generic():
            return _canonical(value.item())
        case float():
            return int(value) if value.is_integer() else value
        case Mapping():
            if strange := [name for name in value if not isinstance(name, str)]:
                raise TypeError(f"name {strange[0]!r} is no text; JSON names things by text alone")
            return {name: _canonical(item) for name, item in value.items()}
        case list() | tuple():
            return [_canonical(item) for item in value]
    raise TypeError(f"{value!r} of type {type(value).__name__} has no place in JSON")
