"""Any network: the curvature of its loss, or a refusal."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from property_tests.curvature_law import curvature_outcome
from property_tests.networks import Description, descriptions
from property_tests.oddities import ODDITIES


@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(descriptions())
def test_the_curvature_is_that_of_the_plain_loss_or_is_refused(described: Description) -> None:
    curvature_outcome(replace(described, n_images=min(described.n_images, 8)))


@pytest.mark.parametrize("seed", range(5))
def test_of_a_plain_network_it_is_given(seed: int) -> None:
    pieces = tuple((name, seed) for name in ("chain", "residual", "branches"))
    described = Description(pieces=pieces, side=5, n_images=8, seed=seed)
    assert curvature_outcome(described).way == "equal"


@pytest.mark.parametrize("name", ODDITIES)
def test_so_it_is_with_each_oddity_planted_in_a_small_network(name: str) -> None:
    described = Description(pieces=(("residual", 1),), oddity=name, side=5, n_images=8)
    found = curvature_outcome(described)
    if ODDITIES[name].words:
        assert found.way == "refused"


@pytest.mark.parametrize("seed", range(3))
def test_weights_hidden_from_autograd_are_never_taken_for_a_flat_loss(seed: int) -> None:
    described = Description(oddity="no_grad_inside", side=5, n_images=8, seed=seed)
    assert curvature_outcome(described).way in ("refused", "equal")
