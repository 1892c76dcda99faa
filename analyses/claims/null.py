"""Are kernels before training as entangled as random matrices?

A calibration, and a claim of equivalence: the mean deviation of the initial weights' entanglement
entropy from that of Gaussian random matrices lies within a margin of 0.01 of the maximum.
"""

import json
from typing import Final

from analyses.claims.controls import over_cuts
from analyses.entropies import entropies, null_entropies
from analyses.findings import Claim, Comparison, Evidence, Kind, Told
from analyses.samples import Sample, sample
from analyses.words import in_words, number, sureness
from compressibility.store.reading import LayerData

MARGIN: Final = 0.01
_LACKING: Final = "spectra of the initial weights are not measured"


def _deviation(data: LayerData, comparison: Comparison) -> Sample:
    deviation = entropies(data, comparison.reference) - null_entropies(data)
    return sample(over_cuts(deviation), _LACKING)


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    experiment = json.loads(str(data.dataset.attrs.get("experiment", "{}")))
    if "architecture" not in experiment or experiment.get("stream"):
        return ()
    return (
        "these networks start from their seeds alone: a layer of the same shape and place has the "
        "same initial kernel, to the bit, in every other dataset whose experiment has no stream of "
        "its own (such as CIFAR-10's and CIFAR-100's of one architecture); what both say of "
        "kernels before training is one piece of evidence and not two",
    )


def _told(evidence: Evidence) -> Told:
    (found,) = evidence.findings
    result = in_words(
        found,
        "Before training, kernels are as entangled as random matrices",
        "Before training, kernels are not as entangled as random matrices",
        "Whether kernels before training are as entangled as random matrices stays open",
    )
    return Told(
        found=f"{result}: the deviation is {number(100 * found.estimate)} % of the maximum, on "
        f"average (margin ±{100 * MARGIN:g} %).",
        sure=sureness(evidence.findings),
        unseen=(
            "A deviation inside the margin, and deviations of single layers or cuts that cancel. "
            "The null's mean entropy is an expansion to second order.",
            *(f"{text[0].upper()}{text[1:]}." for text in found.caveats),
        ),
    )


CALIBRATED: Final = Claim(
    key="null",
    title="Before training",
    question="Are kernels before training as entangled as random matrices?",
    claim="Before training, entanglement entropies are those of Gaussian random matrices, within "
    "1 % of the maximum.",
    null=f"The mean deviation from the Gaussian null is at least {MARGIN} of the maximum.",
    statistic="entanglement entropy over its maximum, initial weights minus Gaussian null, "
    "averaged over the cuts and layers",
    unit="of the maximum",
    comparisons=(Comparison("initial", "null"),),
    needs=("controls",),
    lacking=_LACKING,
    measure=_deviation,
    check=lambda *_: None,
    tell=_told,
    limits=_limits,
    kind=Kind.EQUIVALENCE,
    margin=MARGIN,
)
