"""The answers of variants of a network, each with some kernels replaced."""

from compressibility.evaluation.evaluator import Evaluator, Precision
from compressibility.evaluation.metrics import (
    Baseline,
    Classification,
    Count,
    DecisiveMetric,
    Evaluation,
    Metric,
)
from compressibility.evaluation.plain import plain_evaluation
from compressibility.evaluation.variants import Kernels, Truncations, Variant

__all__ = [
    "Baseline",
    "Classification",
    "Count",
    "DecisiveMetric",
    "Evaluation",
    "Evaluator",
    "Kernels",
    "Metric",
    "Precision",
    "Truncations",
    "Variant",
    "plain_evaluation",
]
