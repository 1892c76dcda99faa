"""Oracle: losses written down for every combination of options."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from compressibility.compressing.cost import Cost
from compressibility.compressing.options import Option
from compressibility.compressing.search import Search


@dataclass(frozen=True)
class Layer:
    """As it is, at cost 4, or truncated, at cost 1."""

    options: tuple[Option, ...]

    def kernel(self, option: Option) -> str:
        return option.layer


def layer(name: str, loss: float) -> Layer:
    dense = Option(name, "", "weights", 0, Cost(4, 4), 0.0)
    return Layer((dense, Option(name, "OUT", "weights", 1, Cost(1, 1), loss)))


@dataclass
class Evaluator:
    """Answers from a table: by the layers that are truncated, the loss."""

    losses: dict[str, float]

    def joint(self, variants):
        return [SimpleNamespace(loss=self.losses["".join(sorted(each))]) for each in variants]


SINGLE = {"": 0.0, "a": 0.1, "b": 0.12, "c": 0.3}
"""By their sum, a and b are truncated where two of three have to be."""


def found(losses: dict[str, float], rounds: int = 2) -> set[str]:
    every = SINGLE | losses
    layers = {name: layer(name, every[name]) for name in "abc"}
    choice = Search(layers, Evaluator(every), rounds=rounds).within(6)
    return {name for name, option in choice.items() if not option.is_dense}


@pytest.mark.parametrize(
    ("better", "losses"),
    [("ac", {"ac": 0.4, "bc": 0.45}), ("bc", {"ac": 0.45, "bc": 0.4, "a": 0.12, "b": 0.1})],
)
def test_layers_that_lose_much_together_are_not_truncated_together(better, losses) -> None:
    losses = losses | {"ab": 5.0, "abc": 5.3}
    assert found(losses) == set(better)
    assert found(losses, rounds=1) == set(better)
    assert found(losses, rounds=0) == {"a", "b"}


def test_a_choice_that_loses_more_than_the_one_before_is_not_taken() -> None:
    """Beside a and b, c seems to gain, but a and c together lose much."""
    joint = {"ab": 0.2, "ac": 3.0, "bc": 3.0, "abc": 0.05}
    assert found(joint) == {"a", "b"}


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_limit_below_the_cheapest_cannot_be_met(rounds) -> None:
    layers = {name: layer(name, SINGLE[name]) for name in "abc"}
    joint = {"ab": 5.0, "ac": 0.4, "bc": 0.45, "abc": 5.3}
    search = Search(layers, Evaluator(SINGLE | joint), rounds=rounds)
    assert search.cheapest == 3
    assert search.within(2.9) is None
    assert all(not option.is_dense for option in search.within(3).values())
    assert search.within(12) == search.dense
