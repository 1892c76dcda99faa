"""What the arrays and shapes of this package are called in its signatures."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""Of any real dtype."""

Floating: TypeAlias = NDArray[np.floating[Any]]
"""Of floating numbers in any precision."""

Floats: TypeAlias = NDArray[np.float64]

Shape: TypeAlias = tuple[int, int, int, int]
"""(out, in, kh, kw)."""
