"""What do trained kernels owe to training, and to their correlations?

Primary statistic: for each network the entanglement entropy as a share of its maximum (ln of the
number of Schmidt values), control minus trained, averaged over the cuts of a layer and over layers.
Two comparisons: with the initial weights (does it come from training?) and with the
shuffled trained weights (from correlations, or from the distribution of the weights?).

Robustness, by another method: ranks in place of entropies, at the norm loss 0.3.
"""

from typing import Final

import xarray as xr

from analyses.entropies import entropies, log2_ranks
from analyses.findings import Claim, Comparison, Evidence, Finding, Robustness, Told
from analyses.samples import Sample, sample
from analyses.words import in_words, number, plain, sureness, undetectable
from compressibility.store.reading import LayerData

RANK_THRESHOLD: Final = 0.3
_LACKING: Final = "spectra of trained weights and of a control are not both measured"


def over_cuts(differences: xr.DataArray) -> xr.DataArray:
    """Mean over the cuts of a layer of (layer, mode, seed), as (seed, layer).

    A layer counts only where all of its existing cuts are measured in the network.
    """
    measured = differences.notnull()
    exists = measured.any("seed")
    complete = (measured | ~exists).all("mode") & exists.any("mode")
    mean = differences.sum("mode") / exists.sum("mode").clip(min=1)
    return mean.where(complete).transpose("seed", "layer")


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    control, trained = (
        entropies(data, weights) for weights in (comparison.reference, comparison.other)
    )
    return sample(
        over_cuts(control - trained),
        _LACKING,
    )


def _by_rank(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    control, trained = (
        log2_ranks(data, weights, RANK_THRESHOLD)
        for weights in (comparison.reference, comparison.other)
    )
    ranks = sample(over_cuts(control - trained))
    return Robustness.by_sign_flips(
        f"log2 of the rank at norm loss {RANK_THRESHOLD}, control minus trained",
        ranks.values,
        "log2",
        f"the control needs {plain(2 ** ranks.values.mean())} times the rank",
    )


def _told(evidence: Evidence) -> Told:
    found = evidence.findings
    missing = "" if len(found) == 2 else " Only one of the two controls is measured."
    return Told(
        found=f"{'. '.join(_one(f, first=f is found[0]) for f in found)}.{missing}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Entropies describe the weights alone; whether the network needs what a low-entropy "
            "kernel keeps is the matter of the truncations. One shuffle and one initialisation per "
            "network.",
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
    )


def _one(found: Finding, *, first: bool) -> str:
    name = found.reference
    verdict = in_words(
        found,
        f"Trained kernels are less entangled than their {name} weights",
        f"Trained kernels are more entangled than their {name} weights",
        f"Trained kernels could not be told from their {name} weights",
        first=first,
    )
    note = "" if found.robustness is None else f"; at norm loss {RANK_THRESHOLD} "
    note += "" if found.robustness is None else found.robustness.note
    return f"{verdict} (difference {number(100 * found.estimate)} % of the maximum{note})"


LESS_ENTANGLED: Final = Claim(
    key="controls",
    title="Training and correlations",
    question="Are trained kernels more compressible than untrained and than shuffled ones?",
    claim="Trained kernels have a lower entanglement entropy than their initial weights and than "
    "their own shuffled weights.",
    null="The difference of the entropies is symmetric about zero over networks.",
    statistic="entanglement entropy over its maximum, control minus trained, averaged over the "
    "cuts and layers",
    unit="of the maximum",
    comparisons=(Comparison("initial", "trained"), Comparison("shuffled", "trained")),
    needs=("truncation", "controls"),
    lacking=_LACKING,
    measure=_difference,
    check=_by_rank,
    tell=_told,
)
