"""Oracles: the grammar of the pages, and two runs against each other."""

import html
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import html5lib
import numpy as np
import pytest
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.figures.plot import Plot
from analyses.figures.svg import drawn, svg
from analyses.paper import UNSTATED
from analyses.report.chapters import chapter
from analyses.report.pages import index, layers_page, page
from analyses.report.write import write
from analyses.topics import CLAIMS, TOPICS
from analyses.truncations import truncations
from analyses.words import interval_text, number
from compressibility.files import WriteError
from compressibility.store.netcdf import open_dataset, save
from compressibility.store.reading import LayerData
from compressibility.store.schema import TABLES, declared
from tests.synthetic_dataset import Effects, make, unmeasured
from tests.tags import Tags
from tests.undrawn import undrawn

RESNET = (
    "conv1",
    "layer1.0.conv1",
    "layer3.0.conv2",
    "layer3.1.conv2",
    "layer3.2.conv3",
    "layer4.2.conv2",
)
RESNET_SHAPES = (
    (8, 3, 3, 3),
    (8, 8, 1, 1),
    (12, 12, 3, 3),
    (12, 12, 3, 3),
    (16, 12, 1, 1),
    (12, 12, 3, 3),
)
BESIDE = ("findings.json", "findings.schema.json", "claims.md")


@pytest.fixture(scope="module")
def whole(dataset):
    """A chapter on eight networks with planted effects."""
    return chapter("digits-vanilla", dataset)


@pytest.fixture(scope="module")
def one():
    """A chapter on one network."""
    return chapter("one", make(Effects(structure=1.0), n_seeds=1))


@pytest.fixture(scope="module")
def resnet():
    effects = Effects(structure=1.0)
    shapes = {"names": RESNET, "shapes": RESNET_SHAPES}
    return chapter("resnet", make(effects, n_seeds=3, **shapes, n_images=10_000))


@pytest.fixture(scope="module")
def page_of_whole(whole):
    return page(whole)


def test_drawing_again_gives_the_same_bytes(one):
    again = chapter("one", make(Effects(structure=1.0), n_seeds=1))
    assert page(again) == page(one)
    for first, second in zip(one.drawings, again.drawings, strict=True):
        assert (first.file, first.csv, first.png) == (second.file, second.csv, second.png)
        assert first.png.startswith(b"\x89PNG")


def test_the_pages_need_nothing_but_one_another(whole, page_of_whole):
    pages = {
        "index.html": index([whole]),
        "digits-vanilla.html": page_of_whole,
        "digits-vanilla-layers.html": layers_page(whole),
    }
    ids = {name: Tags(text).ids for name, text in pages.items()}
    written = {f"figures/{d.name}.{kind}" for d in whole.drawings for kind in ("svg", "png", "csv")}
    for name, text in pages.items():
        tags = Tags(text)
        assert tags.open == []
        assert len(tags.ids) == len(set(tags.ids))
        for reference in tags.references:
            file, _, place = reference.partition("#")
            known = {"https://arxiv.org/abs/2403.14379", *BESIDE, *written, *pages}
            assert file in {*known, ""}
            assert not place or place in ids[file or name]
        assert not {"link", "img", "iframe"} & set(tags.tags)
        assert tags.tags.count("script") == (name == "digits-vanilla-layers.html")
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(tags.ids)
        assert "@import" not in text


def test_the_index_begins_with_a_table_of_claims_by_datasets(whole, one, resnet):
    chapters = (whole, one, resnet)
    text = index(chapters)
    assert "<svg" not in text
    assert len(text) < 90_000
    table = ET.fromstring(text[text.index("<table") : text.index("</table>") + 8])
    assert [h.get("id") for h in table.iter("th")][1:4] == [c.name for c in chapters]
    rows = list(table.find("tbody"))
    assert len(rows) == len(CLAIMS)
    for row, claim in zip(rows, CLAIMS, strict=True):
        head, *cells = row
        assert head.find("a").text == claim.title
        for chapter_, cell in zip(chapters, cells, strict=True):
            (found,) = (a for a in chapter_.answers if a.claim is claim)
            link = cell.find("a")
            assert link.text == link.get("class").removeprefix("verdict ") == found.verdict.value
            assert link.get("href") == f"{chapter_.name}.html#{claim.key}"
            estimates = [f.estimate for f in found.findings]
            effect = cell.find("span").text
            assert effect.split(" to ")[0] == number(min(estimates))
            assert effect.split(" to ")[-1] == number(max(estimates))


def test_every_claim_says_what_the_paper_says_and_what_would_break_it(whole):
    text = html.unescape(index([whole]))
    for topic in TOPICS:
        assert topic.statement is not UNSTATED
        for claim in topic.claims:
            article = text[text.index(f'id="claim-{claim.key}"') :]
            article = article[: article.index("</article>")]
            for told in (topic.statement.words, topic.statement.broken_by, claim.null):
                assert told in article


def test_html_is_valid_to_a_strict_parser(whole, one, resnet, page_of_whole):
    """Oracle: html5lib's strict parser, which stops at the first error of the HTML standard."""
    texts = [index([whole, one, resnet]), page_of_whole, page(one), page(resnet)]
    for text in (*texts, *map(layers_page, (whole, one, resnet))):
        html5lib.HTMLParser(strict=True).parse(text)
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse(page_of_whole.replace("</article>", "", 1))


def test_two_lines_fetch_the_data_behind_every_claim(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = make(n_seeds=2, names=("a", "b", "c"), shapes=((12, 8, 3, 3),) * 3)
    save(dataset, Path("folder/my.nc"))
    with undrawn():
        found = chapter("my", dataset, path="folder/my.nc")
    shown = html.unescape(page(found))
    for section in found.sections:
        for answer in section.answers:
            article = shown[shown.index(f'id="{answer.claim.key}"') :]
            assert f"<pre>{section.lines}</pre>" in article[: article.index("</article>")]
        names = {}
        exec(section.lines, names)
        assert section.lines.count("\n") == 1
        data = names["data"].load()
        names["data"].close()
        assert set(data.variables) >= set(section.topic.variables)
        for name in section.topic.variables:
            np.testing.assert_array_equal(data[name].values, dataset[name].values)


def test_pages_of_a_resnet50_are_below_two_megabytes_and_hold_every_layer():
    path = Path(__file__).parents[1] / "datasets_cache/layers/cifar10-resnet50-small.nc"
    dataset = open_dataset(path)
    found = chapter("resnet50", dataset)
    text = layers_page(found)
    assert max(len(each.encode()) for each in (page(found), text)) < 2_000_000
    table = text[text.index("<tbody>") :]
    assert dataset.sizes["layer"] == 53
    for layer in dataset["layer"].values:
        assert f"<tr><td>{layer}</td>" in table
    html5lib.HTMLParser(strict=True).parse(text)


def test_every_truncation_is_in_the_table_of_layers(dataset, whole):
    """Oracle: xarray's own mean over seeds."""
    table = truncations(LayerData(dataset)).set_index(["layer", "cut", "threshold"])
    there = (dataset["truncation_flag"] == 0).any("seed")
    assert len(table) == int(there.sum()) * dataset.sizes["threshold"]
    place = {"layer": "conv2", "mode": "OUT,KW", "threshold": 0.2}
    row = table.loc[tuple(place.values())]
    here = dataset.sel(place)
    n = int(dataset["n_images"])
    change = 100 * ((here["n_correct"] - dataset["baseline_n_correct"]) / n).mean()
    assert row["change"] == pytest.approx(float(change))
    assert row["rank"] == pytest.approx(float(here["rank"].mean()))
    assert row["parameters"] == pytest.approx(float((100 / here["compression_ratio"]).mean()))
    cells = [
        re.findall(r"<td>(.*?)</td>", r) for r in re.findall(r"<tr>.*?</tr>", layers_page(whole))
    ]
    assert [c[:2] for c in cells if c] == [list(i[:2]) for i in table.index]


def test_text_of_the_dataset_is_escaped(whole, page_of_whole):
    for text in (page_of_whole, index([whole])):
        assert "planted &lt;effects&gt; &amp; such" in text
        assert "<effects>" not in text


def test_every_question_says_what_how_sure_from_how_many_and_what_not(whole, page_of_whole):
    text = page_of_whole
    for answer in whole.answers:
        start = text.index(f'id="{answer.claim.key}"')
        article = text[start : text.index("</article>", start)]
        for part in ("What was found", "How sure", "From how many", "could not have been seen"):
            assert part in article
        assert answer.verdict.value in article
        assert "8 independently trained networks" in article
        assert len(answer.told.unseen) > 0


def test_figures_are_svg_with_text_as_text_and_no_date(whole):
    for drawing in whole.drawings:
        root = ET.fromstring(drawing.file.split("\n", 1)[1])
        assert root.tag.endswith("svg")
        assert "<text" in drawing.file
        assert "date" not in drawing.file.lower()
        assert drawing.caption
        assert drawing.wide != drawing.narrow


def test_type_is_legible_on_a_phone(whole, resnet):
    """At 390 pixels less the margins no letter of a figure is below 9 pixels."""
    for drawing in (*whole.drawings, *resnet.drawings):
        text, pixels = (drawing.narrow, 358) if drawing.narrow else (drawing.wide, 46 * 16)
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', text).group(1))
        sizes = [float(s) for s in re.findall(r"font-size: ([\d.]+)px", text)]
        assert sizes
        assert min(sizes) * pixels / width >= 9


def test_one_network_gets_estimates_and_no_intervals(one):
    text = page(one)
    assert len(one.drawings) == 21
    assert "1 (seed 0): estimates only" in text
    findings = [f for answer in one.answers for f in answer.findings]
    told = [interval_text(f.interval) for f in findings]
    assert set(told) == {"no interval from one network"}
    assert text.count('<td data-label="Interval">no interval from one network</td>') == len(told)


def test_a_resnet_gets_the_papers_first_experiments(resnet):
    names = [d.name for d in resnet.sections[-1].drawings]
    assert names == ["resnet-first-conv1-out", "resnet-first-conv4-out-kw"]
    assert resnet.sections[-1].answers == ()
    Tags(page(resnet))


@pytest.fixture
def drawn_once(monkeypatch):
    """Figures are drawn wide alone, and stand in for the narrow ones; none as PNG."""
    last = {}

    def once(plot, table, *, narrow):
        if not narrow:
            last["svg"] = svg(drawn(plot, table, narrow=False), plot.name)

    monkeypatch.setattr("analyses.report.chapters.drawn", once)
    monkeypatch.setattr("analyses.report.chapters.svg", lambda *_: last["svg"])
    monkeypatch.setattr("analyses.report.chapters.png", lambda _: b"")


@pytest.mark.usefixtures("drawn_once")
def test_layers_that_are_not_measured_get_no_panels():
    whole = make(Effects(), n_seeds=1, names=RESNET, shapes=RESNET_SHAPES)
    partial = whole.copy(deep=True)
    for variable in declared().values():
        if variable.flag and "layer" in variable.dims:
            held = partial[variable.name]
            partial[variable.name] = held.where(held["layer"] == "conv1", variable.missing)
    assert LayerData(partial).measured_layers == ("conv1",)
    drawings = chapter("resnet", partial).drawings
    assert {"resnet-first-conv1-out", "resnet-noise"} <= {d.name for d in drawings}
    assert "resnet-first-conv4-out-kw" not in {d.name for d in drawings}
    (noise,) = (d for d in drawings if d.name == "resnet-noise")
    assert f"Shown: the measured layers, 1 of {len(RESNET)}." in noise.caption
    assert "conv1" in noise.wide
    assert not re.search(r"layer\d", noise.wide)


def test_other_networks_do_not(whole):
    assert not any("first" in drawing.name for drawing in whole.drawings)
    assert "first-experiments" not in {section.topic.key for section in whole.sections}


def test_a_blank_dataset_says_that_nothing_is_measured(dataset):
    empty = dataset.copy(deep=True)
    for variable in (v for table in TABLES.values() for v in table.variables):
        empty[variable.name].values[...] = variable.missing
    empty["truncation_flag"].values[...] = 1
    found = chapter("empty", empty)
    assert all(answer.findings == () for answer in found.answers)
    assert set(re.findall(r'class="verdict ([^"]+)"', page(found) + index([found]))) == {
        "not measured"
    }
    assert "Nothing can be said" in page(found)


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize(
    "group", ["controls", "curvature", "joint", "minimum", "network", "recovery", "truncation"]
)
def test_a_dataset_without_a_group_is_drawn_as_far_as_it_goes(group):
    dataset = make(Effects(), n_seeds=6, names=("a", "b"), shapes=((6, 4, 3, 3),) * 2)
    text = page(chapter("partial", unmeasured(dataset, group)))
    assert "Nothing can be said" in text
    Tags(text)


def test_a_failed_write_leaves_no_half_file(whole, tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match="No space"):
        write([whole], tmp_path / "report")
    assert [p for p in (tmp_path / "report").rglob("*") if p.is_file()] == []


def test_written_numbers_keep_their_decimals() -> None:
    def draw(table: DataFrame, _: bool) -> Figure:
        figure = Figure()
        axes = figure.subplots()
        axes.plot(table["x"], table["y"])
        axes.set_xticks([0.00125], ["0.00125"])
        return figure

    table = DataFrame({"x": [0.00125, 1], "y": [0, 1]})
    plot = Plot("drawn", "Drawn", lambda _: "A line.", lambda *_: table, draw)
    text = svg(drawn(plot, table, narrow=False), "drawn")
    assert ">0.00125<" in text
    assert not re.search(r'<path d="[^"]*\d\.\d{3,}', text)
