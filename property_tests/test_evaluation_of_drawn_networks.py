"""Any network: the right numbers, or a refusal that says why."""

import pytest
from hypothesis import given

from property_tests.evaluation_law import outcome
from property_tests.networks import Description, built, descriptions
from property_tests.oddities import ODDITIES


@given(descriptions())
def test_the_engine_gives_what_the_plain_forward_pass_gives_or_refuses_with_the_reason(
    described: Description,
) -> None:
    with built(described) as drawn:
        outcome(drawn)


@pytest.mark.parametrize("name", ODDITIES)
def test_so_it_is_with_each_oddity_planted_in_a_small_network(name: str) -> None:
    described = Description(pieces=(("residual", 1),), oddity=name, side=5, n_images=8)
    with built(described) as drawn:
        found = outcome(drawn)
    if ODDITIES[name].words:
        assert found.way == "refused"


@pytest.mark.parametrize("seed", range(5))
def test_a_plain_network_is_measured_the_fast_way(seed: int) -> None:
    pieces = tuple((name, seed) for name in ("chain", "residual", "branches", "pool"))
    with built(Description(pieces=pieces, side=6, n_images=24, seed=seed)) as drawn:
        assert outcome(drawn).way == "fast"
