"""What the report tells, in reading order: topics, each with its claims and its figures."""

from dataclasses import dataclass
from typing import Final

from analyses.claims.controls import LESS_ENTANGLED
from analyses.claims.correlation_loss import TELLS
from analyses.claims.curvature import FLATTER
from analyses.claims.cuts import AT_EQUAL_NORM_LOSS, AT_EQUAL_PARAMETERS
from analyses.claims.depth import DEEPER
from analyses.claims.depth_control import SPECIAL
from analyses.claims.joint import ABOVE_THE_SUM
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.claims.two_mode_cuts import BETTER
from analyses.figures.correlation_loss import CORRELATION_LOSS
from analyses.figures.curvature import CURVATURE
from analyses.figures.cuts import AGAINST_NORM_LOSS, AGAINST_PARAMETERS
from analyses.figures.cuts_differences import DIFFERENCES
from analyses.figures.depth import DEPTH
from analyses.figures.entropy import ENTROPY
from analyses.figures.entropy_map import ENTROPY_MAP
from analyses.figures.first_experiments import CONV1, CONV4
from analyses.figures.joint import JOINT
from analyses.figures.noise import AGAINST_NOISE
from analyses.figures.plot import Plot
from analyses.figures.spectra import SPECTRA
from analyses.figures.two_mode_cuts import TWO_MODE_CUTS
from analyses.findings import Claim


@dataclass(frozen=True, eq=False)
class Topic:
    """One section of the report.

    Attributes:
        key: Its name in links.
        title: Its heading.
        claims: What is put to the test.
        plots: What is drawn, where a claim is answered or the topic has none.
    """

    key: str
    title: str
    claims: tuple[Claim, ...]
    plots: tuple[Plot, ...]


TOPICS: Final = (
    Topic(
        "cuts",
        "Which cut?",
        (AT_EQUAL_NORM_LOSS, AT_EQUAL_PARAMETERS),
        (AGAINST_NORM_LOSS, AGAINST_PARAMETERS, DIFFERENCES),
    ),
    Topic("depth", "Which layers?", (DEEPER, SPECIAL), (DEPTH,)),
    Topic("noise", "Is a truncation gentler than noise?", (GENTLER,), (AGAINST_NOISE,)),
    Topic(
        "controls",
        "Compared with what?",
        (LESS_ENTANGLED, CALIBRATED),
        (ENTROPY, SPECTRA, ENTROPY_MAP),
    ),
    Topic("curvature", "Along flat directions?", (FLATTER,), (CURVATURE,)),
    Topic("joint", "Several layers at once?", (ABOVE_THE_SUM,), (JOINT,)),
    Topic("correlation-loss", "Correlation loss or norm loss?", (TELLS,), (CORRELATION_LOSS,)),
    Topic("two-mode-cuts", "One mode or two?", (BETTER,), (TWO_MODE_CUTS,)),
    Topic("first-experiments", "The paper's first experiments", (), (CONV1, CONV4)),
)
CLAIMS: Final = tuple(claim for topic in TOPICS for claim in topic.claims)
