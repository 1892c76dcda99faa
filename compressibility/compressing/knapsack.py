"""One option for each layer, of the least total loss within a total cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from compressibility.errors import NumericalError


def chosen(
    costs: Mapping[str, Sequence[float]], losses: Mapping[str, Sequence[float]], limit: float
) -> dict[str, int] | None:
    """The number of the option of each layer: the multiple-choice knapsack, solved exactly.

    Args:
        costs: By layer, of each of its options.
        losses: The same of what is lost; they add up.
        limit: What the options chosen may cost together.

    Returns:
        By layer; None if even the cheapest options cost more.

    Raises:
        NumericalError: The solver gives up.

    Source: Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), section 11.1; solved by
    HiGHS.

    Examples:
        >>> chosen({"a": [4, 1], "b": [4, 2]}, {"a": [0, 0.3], "b": [0, 0.1]}, limit=6)
        {'a': 0, 'b': 1}
    """
    if sum(min(each) for each in costs.values()) > limit:
        return None
    numbers = _solved(costs, losses, limit)
    if sum(costs[layer][number] for layer, number in numbers.items()) > limit:
        return _solved(costs, losses, limit * (1 - 2 * _TOLERANCE))
    return numbers


_TOLERANCE = 1e-6
"""By so much of itself the solver may pass a limit."""


def _solved(
    costs: Mapping[str, Sequence[float]], losses: Mapping[str, Sequence[float]], limit: float
) -> dict[str, int]:
    sizes = [len(each) for each in costs.values()]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    n = len(rows)
    one_each = csr_array((np.ones(n), (rows, np.arange(n))), shape=(len(sizes), n))
    cost = np.concatenate([np.asarray(each, dtype=np.float64) for each in costs.values()])
    loss = np.concatenate([np.asarray(losses[layer], dtype=np.float64) for layer in costs])
    scale = float(limit) or 1.0
    found = milp(
        loss / (np.abs(loss).max() or 1.0),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(cost[None] / scale, -np.inf, limit / scale),
        ],
        integrality=np.ones(n, np.int64),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise NumericalError(f"the knapsack could not be solved: {found.message}")
    taken = np.flatnonzero(found.x > 0.5)
    first = np.concatenate([[0], np.cumsum(sizes)])
    return dict(zip(costs, (taken - first[:-1]).tolist(), strict=True))
