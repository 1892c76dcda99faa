"""Do Tucker-2 and tensor trains keep more accuracy than truncations, and than CP?

Exploratory: the paper does not compare tensor formats. Two claims, at equal parameters and at equal
relative error; one comparison for each format and cut, and one for each format and CP. Statistic:
for each network the mean over layers of the difference in the share of the accuracy above chance
that is kept, the decomposition minus the truncation along the cut, or minus the best CP fit of
several starts, as far as both reach, averaged over the logarithm of the compression ratio from 1,
or over relative errors up to that of the norm loss 0.5. Robustness: the test loss in place of
accuracy.
"""

from functools import partial
from typing import Final

from analyses.choices import LOSS, PRIMARY, Scale
from analyses.comparing import PARAMETERS, RELATIVE_ERROR, Axis
from analyses.decompositions import (
    CP,
    absent_layers,
    at_equal,
    differences,
    in_words,
)
from analyses.findings import Choices, Claim, Comparison, Evidence, Robustness, Rule, Told
from analyses.samples import Sample, sample
from analyses.words import points, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from compressibility.tensors.formats import FORMATS

_LACKING: Final = "decompositions in tensor formats and truncations are not both measured"


def _difference(
    axis: Axis,
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float | None = None,
) -> Sample:
    return sample(differences(axis, data, comparison, scale, end), _LACKING)


def _by_loss(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = differences(axis, data, comparison, LOSS)
    method = "test loss (cross-entropy) in place of accuracy, less is better"
    return Robustness.asked_again(method, table, found, LOSS.unit)


def _told(axis: Axis, evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    by_format = {name: [f for f in found if f.reference == name] for name in FORMATS}
    said = "; ".join(in_words(name, own) for name, own in by_format.items() if own)
    return Told(
        found=f"{at_equal(axis, found)} {said}. The accuracy above chance kept by the one, less "
        f"that by the other, ranges from {points(low.estimate)} ({low.comparison.label}) to "
        f"{points(high.estimate)} ({high.comparison.label}).",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Ranks that share the allowed squared error equally among the bonds: other ranks of "
            "the same format may keep more.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in s.left_out),
        ),
    )


def _claim(axis: Axis, *, key: str, title: str, than: str, averaged_over: str) -> Claim:
    return Claim(
        key=key,
        title=title,
        question="Do Tucker-2 and tensor-train (TT) decompositions keep more accuracy than "
        f"truncations and CP {than}?",
        claim="A layer's Tucker-2 and TT decompositions lose less accuracy than its truncations "
        f"along any cut and its CP decomposition {than}.",
        null="The difference is symmetric about zero over networks.",
        statistic="difference in the share of the accuracy above chance that is kept, "
        f"decomposition in the tensor format minus the other, averaged over {averaged_over} and "
        "over layers",
        unit=PRIMARY.unit,
        comparisons=tuple(Comparison(name, other) for name in FORMATS for other in (*MODES, CP)),
        needs=("truncation", "formats"),
        lacking=_LACKING,
        measure=partial(_difference, axis),
        check=partial(_by_loss, axis),
        tell=partial(_told, axis),
        limits=absent_layers,
        choices=Choices(partial(_difference, axis), lambda _: axis.reaches),
        rule=Rule.EVERY_MEASURED,
        exploratory=True,
    )


AT_EQUAL_PARAMETERS: Final = _claim(
    PARAMETERS,
    key="formats",
    title="Tucker-2 and TT against truncation and CP at equal parameters",
    than="of as many parameters",
    averaged_over="the logarithm of the compression ratio, from 1 as far as both reach,",
)
AT_EQUAL_ERROR: Final = _claim(
    RELATIVE_ERROR,
    key="formats-error",
    title="Tucker-2 and TT against truncation and CP at equal relative error",
    than="of the same relative error",
    averaged_over="the relative errors that both reach, up to that of the norm loss 0.5,",
)
