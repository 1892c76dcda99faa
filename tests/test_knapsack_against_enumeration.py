"""Oracle: every combination tried."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressibility.compressing.knapsack import chosen

COSTS = st.integers(0, 12)
LOSSES = st.integers(-3, 9)
LAYERS = st.lists(
    st.lists(st.tuples(COSTS, LOSSES), min_size=1, max_size=4), min_size=1, max_size=4
)


@given(LAYERS, st.integers(0, 40))
def test_the_choice_is_within_the_limit_and_no_other_one_there_loses_less(layers, limit) -> None:
    costs = {str(n): [float(cost) for cost, _ in each] for n, each in enumerate(layers)}
    losses = {str(n): [float(loss) for _, loss in each] for n, each in enumerate(layers)}
    every = [
        sum(loss for _, loss in combination)
        for combination in product(*layers)
        if sum(cost for cost, _ in combination) <= limit
    ]
    found = chosen(costs, losses, limit)
    if not every:
        assert found is None
        return
    assert found is not None
    assert sum(costs[name][number] for name, number in found.items()) <= limit
    assert sum(losses[name][number] for name, number in found.items()) == pytest.approx(min(every))


def test_a_limit_that_the_solver_passes_by_its_tolerance_is_drawn_closer(monkeypatch) -> None:
    limits = []

    def solved(costs, losses, limit) -> dict[str, int]:
        limits.append(limit)
        return {"a": len(limits) - 1}

    monkeypatch.setattr("compressibility.compressing.knapsack._solved", solved)
    assert chosen({"a": [1e9 + 500, 1e9 - 3000]}, {"a": [0, 1]}, limit=1e9) == {"a": 1}
    assert limits == [1e9, 1e9 * (1 - 2e-6)]


def test_a_hundred_layers_of_thirty_options_are_solved_within_their_limit() -> None:
    rng = np.random.default_rng(0)
    costs = {str(n): rng.integers(1, 10**6, 30).astype(float).tolist() for n in range(100)}
    losses = {
        name: (rng.random(30) * 1e-3 * (1e6 / np.array(each))).tolist()
        for name, each in costs.items()
    }
    limit = 0.4 * sum(max(each) for each in costs.values())
    found = chosen(costs, losses, limit)
    assert found is not None
    assert sum(costs[name][number] for name, number in found.items()) <= limit
    greedy = sum(
        min(loss for cost, loss in zip(costs[n], losses[n], strict=True) if cost <= limit / 100)
        for n in costs
    )
    assert sum(losses[name][number] for name, number in found.items()) <= greedy
