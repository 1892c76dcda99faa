"""What every truncation of a kernel can tell, whatever format it is in."""

from typing import Protocol

from compressibility.tensors.arrays import Floats
from compressibility.tensors.chains import Chain


class Truncation(Protocol):
    """A kernel K̂ with fewer parameters in place of a kernel K.

    `CP`, `Tucker2` and `TensorTrain` are such.
    """

    @property
    def relative_error(self) -> float:
        """‖K − K̂‖/‖K‖; 0 for the zero kernel."""

    @property
    def norm_loss(self) -> float:
        """1 − ‖K̂‖/‖K‖; 0 for the zero kernel."""

    def kernel(self) -> Floats:
        """Return K̂, float64, shape (out, in, kh, kw)."""

    def chain(self) -> Chain:
        """Return K̂ as small kernels in a row."""
