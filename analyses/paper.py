"""What Singh, Jahromi and Orús (arXiv 2403.14379) say, where, and what would break it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Statement:
    """One statement that is put to the test.

    Attributes:
        words: The statement, in our words.
        where: Where the paper makes it; for a control of this report, whose it is.
        broken_by: What would break it.
        numbers: The figures that the paper gives for it, or empty.
    """

    words: str
    where: str
    broken_by: str
    numbers: str = ""


_OURS: Final = "not in the paper: "

UNSTATED: Final = Statement(
    words="The paper makes no such statement.",
    where=f"{_OURS}asked by this report",
    broken_by="The claim contradicted.",
)
HALF_THE_NORM: Final = Statement(
    words="Kernels can often be truncated strongly without a large loss of accuracy.",
    where="abstract, section 4.3",
    broken_by="Layers lose accuracy significantly where the paper sees little loss.",
    numbers="norm losses of up to 50 %",
)
DEEPER_LAYERS: Final = Statement(
    words="Deeper layers can be truncated further than the first ones.",
    where="abstract",
    broken_by="Deeper layers lose accuracy significantly when truncated.",
)
NOISE: Final = Statement(
    words="What a truncation discards is redundant, and more so than a random part of that size.",
    where=f"{_OURS}a control of this report",
    broken_by="Random noise of the same size and overlap costs no more accuracy.",
)
INTRINSIC: Final = Statement(
    words="Compressibility lies in the trained dense network itself: training finds kernels of "
    "low rank.",
    where="abstract and section 4.3, as their explanation",
    broken_by="Kernels are as entangled after training as before it.",
)
OUT_MODE: Final = Statement(
    words="Truncation along OUT does better than along the other modes.",
    where="section 4.3",
    broken_by="Truncation along OUT loses much accuracy where other modes lose less.",
)
TWO_MODES: Final = Statement(
    words="Across OUT,KW several Schmidt values are so small that they can go without "
    "significant norm loss.",
    where="section 4.2",
    broken_by="Cuts that group more modes lose no less accuracy.",
)
SEVERAL_LAYERS: Final = Statement(
    words="Truncating too many layers at once makes a network less robust.",
    where="on the choice of layers",
    broken_by="Several layers at once cost no more than the sum of each alone.",
)
FLAT: Final = Statement(
    words="Truncation does not move a network to a worse minimum: the loss is flat along the "
    "directions that are truncated.",
    where="section 4.5, as its explanation",
    broken_by="The loss is as steep along truncations as along other directions.",
)
CORRELATIONS: Final = Statement(
    words="A truncation is described by its norm loss and by its correlation loss.",
    where="in the method",
    broken_by="Correlation loss tells no more of the accuracy lost than norm loss.",
)
FIRST_EXPERIMENTS: Final = Statement(
    words="Single cuts of ResNet-50: conv1 along OUT, kernels of conv4 along OUT,KW.",
    where="sections 4.2 and 4.3",
    broken_by="The accuracy falls at small norm losses.",
    numbers="little impact up to 50 % of the norm",
)
RECOVERY: Final = Statement(
    words="Truncated networks recover their accuracy when they are trained on.",
    where="abstract, section 4.5",
    broken_by="It takes many epochs, or the accuracy does not come back.",
    numbers="a few epochs",
)
SAME_PLACE: Final = Statement(
    words="Truncation does not move a network to a worse minimum: so quickly does it recover.",
    where="abstract, section 4.5",
    broken_by="A barrier between the network and what it is trained into, or a sharper minimum.",
)
CP: Final = Statement(
    words="CP decompositions compress too, but are unstable at high ranks.",
    where="among the methods",
    broken_by="CP kept stable at high rank, or losing more accuracy at equal parameters.",
    numbers="rank 20, every convolution",
)
OUTPUTS: Final = Statement(
    words="Truncated for its outputs, a layer keeps more accuracy than truncated for its weights, "
    "and the error of its outputs tells better what a truncation costs.",
    where=f"{_OURS}a comparison of this report",
    broken_by="Plain truncations of equal rank keep as much accuracy, or their relative error "
    "orders them by their cost as well.",
)
TENSOR_FORMATS: Final = Statement(
    words="Formats of several small tensors keep more accuracy than one cut or a CP decomposition.",
    where=f"{_OURS}a comparison of this report",
    broken_by="Some cut, or CP, keeps more accuracy than Tucker-2 or tensor trains.",
)
