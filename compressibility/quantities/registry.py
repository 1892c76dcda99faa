"""Every quantity that there is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from compressibility.quantities.controls import Controls
from compressibility.quantities.cp import CPDecomposition
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.formats import TensorFormats
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.hessian import Hessian
from compressibility.quantities.joint import Joint
from compressibility.quantities.minimum import Minimum
from compressibility.quantities.network import Network
from compressibility.quantities.quantity import Quantity
from compressibility.quantities.recovery import Recovery
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation

_EVERY: Final[tuple[type[Quantity], ...]] = (
    Network,
    Truncation,
    HeldOut,
    Controls,
    Hessian,
    Curvature,
    Joint,
    TensorFormats,
    CPDecomposition,
    Recovery,
    Minimum,
    WhitenedTruncation,
)
_CORE: Final = Network.table

QUANTITIES: Final[Mapping[str, type[Quantity]]] = MappingProxyType(
    {quantity.table: quantity for quantity in _EVERY}
)
"""By the name of the table that it fills, in the order of the tables."""

PLANNED: Final[Mapping[str, type[Quantity]]] = MappingProxyType(
    {table: quantity for table, quantity in QUANTITIES.items() if table != _CORE}
)
"""Those that an experiment may plan, beside the baseline, which it always has."""
