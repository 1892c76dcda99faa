"""Chapters whose figures are empty: to draw them takes most of a report's time."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def undrawn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, nothing in (("drawn", None), ("svg", "<svg></svg>"), ("png", b"")):
            patch.setattr(f"analyses.report.chapters.{name}", lambda *_, n=nothing, **__: n)
        yield
