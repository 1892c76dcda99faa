"""The report's pages: the index with all findings, and two pages for each dataset."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from analyses.report.beside import cell_text, layers
from analyses.report.chapters import Chapter
from analyses.report.rates import rate_text
from analyses.report.summary import rows, rule_text
from analyses.topics import TOPICS
from analyses.words import interval_text, lowered, number, p_text, plain, verdict_text
from compressibility.version import __version__

INDEX: Final = "index.html"


def file_name(chapter: Chapter) -> str:
    """The file of a dataset's page."""
    return f"{chapter.name}.html"


def layers_file_name(chapter: Chapter) -> str:
    """The file of the page with all of a dataset's layers."""
    return f"{chapter.name}-layers.html"


def index(chapters: Sequence[Chapter]) -> str:
    """The page with all findings and links to the datasets' pages, without figures."""
    confirmatory = [
        answer
        for chapter in chapters
        for answer in chapter.answers
        if not answer.claim.exploratory and answer.is_decidable
    ]
    template = _environment().get_template("index.html.jinja")
    return template.render(
        chapters=chapters,
        rows=rows(chapters),
        topics=TOPICS,
        tested=len(confirmatory),
        version=__version__,
    )


def page(chapter: Chapter) -> str:
    """The page of one dataset, with its figures inside it."""
    return _environment().get_template("dataset.html.jinja").render(c=chapter)


def layers_page(chapter: Chapter) -> str:
    """The page with every truncation of every layer of one dataset."""
    return _environment().get_template("layers.html.jinja").render(c=chapter)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        verdict=verdict_text,
        interval=interval_text,
        lowered=lowered,
        number=number,
        plain=plain,
        p=p_text,
        rate=rate_text,
        file_name=file_name,
        layers_file_name=layers_file_name,
        rule=rule_text,
        layers=layers,
        cell=cell_text,
        points=lambda value: f"{value:+.1f}".replace("-", "−"),
    )
    return environment
