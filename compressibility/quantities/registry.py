"""Every quantity that there is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from compressibility.quantities.controls import Controls
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.hessian import Hessian
from compressibility.quantities.network import Network
from compressibility.quantities.truncations import Truncation

AnyQuantity: TypeAlias = type[Network | Truncation | Controls | Hessian | Curvature]

QUANTITIES: Final[Mapping[str, AnyQuantity]] = MappingProxyType(
    {quantity.table: quantity for quantity in (Network, Truncation, Controls, Hessian, Curvature)}
)
"""By the name of the table that it fills, in the order of the tables."""
