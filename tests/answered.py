"""Every claim answered of a dataset."""

from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.store.reading import LayerData


def answers(dataset):
    data = LayerData(dataset)
    return {claim.key: answer(claim, data) for claim in CLAIMS}
