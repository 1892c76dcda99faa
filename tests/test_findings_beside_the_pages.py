"""Oracle: the answers themselves, as sentences, tables and findings.json tell them."""

import dataclasses
import io
import json
import re

import html5lib
import jsonschema
import pytest
from pandas import DataFrame
from rich.console import Console

from analyses.findings import Kind, LayerFinding, Verdict
from analyses.report.chapters import chapter
from analyses.report.numbers import SCHEMA, SCHEMA_VERSION, findings_json
from analyses.report.pages import page
from analyses.report.summary import markdown, rows
from analyses.report.write import print_table
from analyses.topics import CLAIMS
from tests.synthetic_dataset import Effects, make, unmeasured
from tests.undrawn import undrawn


@pytest.fixture(scope="module", autouse=True)
def _undrawn():
    with undrawn():
        yield


@pytest.fixture(scope="module")
def whole(dataset):
    """A chapter on eight networks with planted effects."""
    return chapter("digits-vanilla", dataset)


@pytest.fixture(scope="module")
def one():
    """A chapter on one network."""
    return chapter("one", make(Effects(structure=1.0), n_seeds=1))


def test_a_sentence_tells_every_dataset_once_and_its_verdict(whole, one):
    for row in rows([whole, one]):
        for chapter_ in (whole, one):
            assert len(re.findall(rf"\b{chapter_.name} \(", row.sentence)) == 1
        (answer,) = (a for a in whole.answers if a.claim is row.claim)
        assert f"{answer.verdict.value} on digits-vanilla (8 networks, " in row.sentence
        assert "not decided by one network on one (" in row.sentence
        assert row.claim.claim.rstrip(".") in row.sentence


def test_the_markdown_has_the_same_verdicts(whole, one):
    lines = markdown([whole, one]).splitlines()
    for i, claim in enumerate(CLAIMS):
        title, *cells = (cell.strip() for cell in lines[4 + i].strip("|").split("|"))
        assert title.startswith(claim.title)
        for chapter_, cell in zip((whole, one), cells, strict=True):
            (answer,) = (a for a in chapter_.answers if a.claim is claim)
            assert cell.split(":")[0] == answer.verdict.value


def test_the_table_fits_a_terminal_of_80_columns_and_says_what_was_not_tested(whole, dataset):
    partial = chapter("without-curvature", unmeasured(dataset, "curvature"))
    out = io.StringIO()
    print_table([whole, partial], Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(out.getvalue().split())
    assert "Not tested on without-curvature: Curvature. Nothing can be said" in told
    depth = next(line for line in lines if line.startswith(" Depth "))
    (answer,) = (a for a in whole.answers if a.claim.key == "depth")
    assert answer.verdict.value in depth


def test_claims_that_lack_the_same_are_told_together(dataset):
    without = chapter("no-classes", dataset.drop_attrs().assign_attrs(
        {k: v for k, v in dataset.attrs.items() if k != "n_classes"}
    ))  # fmt: skip
    out = io.StringIO()
    print_table([without], Console(file=out, width=80))
    told = " ".join(out.getvalue().split())
    assert told.count("set its attribute n_classes") == 1
    assert "Not tested on no-classes: Depth; Depth, against random noise; " in told


def test_what_stands_beside_a_verdict_is_shown_and_stored(whole):
    """Oracle: numbers put in by hand, found on the page and in the file."""
    (section, *others) = whole.sections
    (answer, *more) = section.answers
    found, *_ = answer.findings
    one = LayerFinding("conv3", -0.4321, -0.9, -0.1, 0.01, 0.02, Verdict.CONTRADICTED)
    found = dataclasses.replace(found, layers=(one,))
    table = DataFrame({"up to 0.1": [0.125, 3]}, index=["kept", "logit"])
    told = dataclasses.replace(answer, findings=(found,), interim=True, sensitivity=table)
    sections = (dataclasses.replace(section, answers=(told, *more)), *others)
    changed = dataclasses.replace(whole, sections=sections)
    text = page(changed)
    html5lib.HTMLParser(strict=True).parse(text)
    article = text[text.index(f'id="{answer.claim.key}"') :]
    article = article[: article.index("</article>")]
    for cell in ("conv3", "−0.43", "contradicted", "−0.90", "+0.12", "+3.0"):
        assert f"<td>{cell}</td>" in article
    assert '<th scope="row">kept</th>' in article
    assert "interim" in article
    assert "interim" not in page(whole)
    content = json.loads(findings_json([changed]))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(content)
    stored = content["datasets"][0]["answers"][0]
    assert stored["interim"]
    assert stored["sensitivity"]["rows"] == [[0.125], [3.0]]
    assert stored["findings"][0]["layers"]["rows"] == [
        ["conv3", -0.4321, -0.9, -0.1, 0.01, 0.02, "contradicted"]
    ]
    (row, *_) = rows([changed])
    assert "8 networks so far" in row.sentence


def test_findings_json_holds_every_number_of_every_finding(whole):
    content = json.loads(findings_json([whole]), parse_constant=lambda c: pytest.fail(c))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(content)
    assert content["schema_version"] == SCHEMA_VERSION
    assert [c["sentence"] for c in content["claims"]] == [r.sentence for r in rows([whole])]
    (stored,) = content["datasets"]
    assert stored["dataset"] == "digits-vanilla"
    for answer, entry in zip(whole.answers, stored["answers"], strict=True):
        assert entry["verdict"] == answer.verdict.value
        assert (entry["key"], entry["claim"]) == (answer.claim.key, answer.claim.claim)
        assert (entry["found"], entry["sure"]) == (answer.told.found, answer.told.sure)
        assert entry["n_seeds"] == answer.n_seeds
        equality = answer.claim.kind is Kind.EQUIVALENCE
        assert (entry["kind"] == "equivalence", entry["margin"]) == (
            equality,
            answer.claim.margin if equality else None,
        )
        for finding, numbers in zip(answer.findings, entry["findings"], strict=True):
            assert numbers["reference"] == finding.reference
            assert (numbers["other"] or "") == finding.other
            assert numbers["estimate"] == finding.estimate
            assert numbers["interval"]["low"] == finding.interval.low
            assert numbers["p_adjusted"] == finding.p_adjusted
            assert numbers["n_seeds"] == 8
            assert numbers["per_seed"] == list(finding.per_seed)
            width = numbers["half_width"]
            assert width is None if equality else width >= 0
            assert (numbers["robustness"] is None) == (finding.robustness is None)
            for key in ("question", "claim", "null", "test", "statistic", "unit", "caveats"):
                assert key in numbers


def test_what_is_infinite_is_null_in_json(one):
    content = json.loads(findings_json([one]))
    first = content["datasets"][0]["answers"][0]["findings"][0]
    assert first["half_width"] is None
    assert first["interval"]["low"] is None
    assert first["estimate"] is not None
