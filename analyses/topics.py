"""The registry of claims, in the paper's order: topics, each a statement, its claims and figures.

A claim comes later by a line here: everything that is written is made from this list.
"""

import copyreg
from dataclasses import dataclass
from typing import Final

from analyses.claims.controls import LESS_ENTANGLED
from analyses.claims.correlation_loss import TELLS
from analyses.claims.cp import AT_EQUAL_ERROR
from analyses.claims.cp import AT_EQUAL_PARAMETERS as CP_AT_EQUAL_PARAMETERS
from analyses.claims.curvature import FLATTER
from analyses.claims.cuts import (
    AT_EQUAL_NORM_LOSS,
    AT_EQUAL_NORM_LOSS_PAIRS,
    AT_EQUAL_PARAMETERS,
    AT_EQUAL_PARAMETERS_PAIRS,
)
from analyses.claims.depth import DEEPER
from analyses.claims.depth_control import SPECIAL
from analyses.claims.depth_cuts import DEEPER_ALONG_OTHERS
from analyses.claims.formats import AT_EQUAL_ERROR as FORMATS_AT_EQUAL_ERROR
from analyses.claims.formats import AT_EQUAL_PARAMETERS as FORMATS_AT_EQUAL_PARAMETERS
from analyses.claims.headline import OFTEN, OFTEN_ALONG_OUT
from analyses.claims.joint import ABOVE_THE_SUM
from analyses.claims.minimum import AS_SHARP, SAME_MINIMUM
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.claims.recovery import MORE_THAN_CONTROLS, RECOVERS
from analyses.claims.two_mode_cuts import BETTER
from analyses.claims.whitened import BETTER_FACTORS, BETTER_PROXY
from analyses.figures.correlation_loss import CORRELATION_LOSS
from analyses.figures.cp import CP_FIGURE
from analyses.figures.critical_map import CRITICAL_MAP
from analyses.figures.curvature import CURVATURE
from analyses.figures.cuts import AGAINST_NORM_LOSS, AGAINST_PARAMETERS
from analyses.figures.cuts_differences import DIFFERENCES
from analyses.figures.depth import DEPTH
from analyses.figures.entropy import ENTROPY
from analyses.figures.entropy_map import ENTROPY_MAP
from analyses.figures.first_experiments import CONV1, CONV4
from analyses.figures.formats import FORMATS_FIGURE
from analyses.figures.headline import HEADLINE
from analyses.figures.joint import JOINT
from analyses.figures.kept import KEPT
from analyses.figures.minimum import MINIMUM_FIGURE
from analyses.figures.noise import AGAINST_NOISE
from analyses.figures.pareto import PARETO
from analyses.figures.plot import Plot
from analyses.figures.recovery import RECOVERY_FIGURE
from analyses.figures.spectra import SPECTRA
from analyses.figures.two_mode_cuts import TWO_MODE_CUTS
from analyses.figures.whitened import WHITENED_FIGURE
from analyses.findings import Claim
from analyses.paper import (
    CORRELATIONS,
    CP,
    DEEPER_LAYERS,
    FIRST_EXPERIMENTS,
    FLAT,
    HALF_THE_NORM,
    INTRINSIC,
    NOISE,
    OUT_MODE,
    OUTPUTS,
    RECOVERY,
    SAME_PLACE,
    SEVERAL_LAYERS,
    TENSOR_FORMATS,
    TWO_MODES,
    UNSTATED,
    Statement,
)


@dataclass(frozen=True, eq=False)
class Topic:
    """One section of the report.

    Attributes:
        key: Its name in links.
        title: Its heading.
        claims: What is put to the test.
        plots: What is drawn, where a claim is answered or the topic has none.
        statement: The paper's statement that its claims test.
        variables: The variables of a dataset that its claims read.
    """

    key: str
    title: str
    claims: tuple[Claim, ...]
    plots: tuple[Plot, ...]
    statement: Statement = UNSTATED
    variables: tuple[str, ...] = ()


_TRUNCATIONS: Final = ("norm_loss", "n_correct", "baseline_n_correct", "n_images")
_PERTURBATIONS: Final = (*_TRUNCATIONS, "perturbed_n_correct")

TOPICS: Final = (
    Topic(
        "headline",
        "How far can layers be truncated?",
        (OFTEN, OFTEN_ALONG_OUT),
        (HEADLINE,),
        HALF_THE_NORM,
        (*_TRUNCATIONS, "held_out_n_correct", "held_out_baseline_n_correct", "held_out_n_images"),
    ),
    Topic(
        "depth",
        "Which layers?",
        (DEEPER, SPECIAL, DEEPER_ALONG_OTHERS),
        (DEPTH,),
        DEEPER_LAYERS,
        (*_PERTURBATIONS, "relative_depth"),
    ),
    Topic(
        "noise",
        "Is a truncation gentler than noise?",
        (GENTLER,),
        (AGAINST_NOISE,),
        NOISE,
        _PERTURBATIONS,
    ),
    Topic(
        "controls",
        "Compared with what?",
        (LESS_ENTANGLED, CALIBRATED),
        (ENTROPY, SPECTRA),
        INTRINSIC,
        ("schmidt_value", "kernel_norm"),
    ),
    Topic(
        "cuts",
        "Which cut?",
        (
            AT_EQUAL_NORM_LOSS,
            AT_EQUAL_PARAMETERS,
            AT_EQUAL_NORM_LOSS_PAIRS,
            AT_EQUAL_PARAMETERS_PAIRS,
        ),
        (AGAINST_NORM_LOSS, AGAINST_PARAMETERS, PARETO, DIFFERENCES),
        OUT_MODE,
        (*_TRUNCATIONS, "compression_ratio"),
    ),
    Topic(
        "two-mode-cuts",
        "One mode or two?",
        (BETTER,),
        (TWO_MODE_CUTS,),
        TWO_MODES,
        (*_TRUNCATIONS, "compression_ratio"),
    ),
    Topic(
        "joint",
        "Several layers at once?",
        (ABOVE_THE_SUM,),
        (JOINT,),
        SEVERAL_LAYERS,
        ("joint_loss", "joint_norm_loss", "loss", "baseline_loss"),
    ),
    Topic(
        "cp",
        "CP, or a cut?",
        (CP_AT_EQUAL_PARAMETERS, AT_EQUAL_ERROR),
        (CP_FIGURE,),
        CP,
        (
            *_TRUNCATIONS,
            "compression_ratio",
            "cp_n_correct",
            "cp_parameters",
            "cp_sensitivity",
            "cp_largest_component",
            "cp_relative_error",
            "relative_error",
        ),
    ),
    Topic(
        "formats",
        "A cut, CP, Tucker-2 or a tensor train?",
        (FORMATS_AT_EQUAL_PARAMETERS, FORMATS_AT_EQUAL_ERROR),
        (FORMATS_FIGURE,),
        TENSOR_FORMATS,
        (
            *_TRUNCATIONS,
            "compression_ratio",
            "relative_error",
            "format_n_correct",
            "format_parameters",
            "format_relative_error",
            "format_rank",
            "cp_n_correct",
            "cp_parameters",
            "cp_relative_error",
        ),
    ),
    Topic(
        "whitened",
        "For the weights, or for the outputs?",
        (BETTER_FACTORS, BETTER_PROXY),
        (WHITENED_FIGURE,),
        OUTPUTS,
        (
            *_TRUNCATIONS,
            "compression_ratio",
            "whitened_n_correct",
            "output_error",
            "relative_error",
        ),
    ),
    Topic(
        "recovery",
        "Do truncated networks recover?",
        (RECOVERS, MORE_THAN_CONTROLS),
        (RECOVERY_FIGURE,),
        RECOVERY,
        (
            "recovery_accuracy",
            "recovery_held_out_n_correct",
            "recovery_n_held_out",
            "recovery_re_estimated_n_correct",
            "recovery_norm_loss",
            "recovery_distance",
        ),
    ),
    Topic(
        "minimum",
        "Back to the same minimum?",
        (SAME_MINIMUM, AS_SHARP),
        (MINIMUM_FIGURE,),
        SAME_PLACE,
        (
            "path_loss",
            "path_training_loss",
            "path_n_correct",
            "state_relative_trace",
            "state_gradient_norm",
        ),
    ),
    Topic(
        "curvature",
        "Along flat directions?",
        (FLATTER,),
        (CURVATURE,),
        FLAT,
        ("directional_curvature", "random_directional_curvature", "norm_loss"),
    ),
    Topic(
        "correlation-loss",
        "Correlation loss or norm loss?",
        (TELLS,),
        (CORRELATION_LOSS,),
        CORRELATIONS,
        (*_TRUNCATIONS, "correlation_loss"),
    ),
    Topic(
        "first-experiments",
        "The paper's first experiments",
        (),
        (CONV1, CONV4),
        FIRST_EXPERIMENTS,
        _PERTURBATIONS,
    ),
)
OF_ALL_LAYERS: Final = (CRITICAL_MAP, KEPT, ENTROPY_MAP)
"""Drawn on a page of their own: every layer, none chosen."""
CLAIMS: Final = tuple(claim for topic in TOPICS for claim in topic.claims)


def claim_of(key: str) -> Claim:
    """The claim of this key."""
    return next(claim for claim in CLAIMS if claim.key == key)


def topic_of(key: str) -> Topic:
    """The topic of this key."""
    return next(topic for topic in TOPICS if topic.key == key)


copyreg.pickle(Claim, lambda claim: (claim_of, (claim.key,)))  # between processes by their keys
copyreg.pickle(Topic, lambda topic: (topic_of, (topic.key,)))
