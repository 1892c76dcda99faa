"""The floor of the benchmark, which a person can count."""

from types import SimpleNamespace

import pytest

from tests.benchmarks import sweep


def test_the_floor_counts_what_lies_behind_a_layer_and_one_convolution_a_cut() -> None:
    kernels = [SimpleNamespace(macs=macs) for macs in (10, 20, 70)]
    ranks = [[3, 2, 2, 1], [4, 4]]  # four distinct truncations, two cuts
    assert sweep.floor_of(kernels, 1, ranks) == pytest.approx((4 * 70 + 2 * 20) / 100)
    assert sweep.floor_of(kernels, 2, ranks) == pytest.approx(2 * 70 / 100)


def test_every_network_that_it_names_is_an_experiment() -> None:
    for experiments, _ in sweep.NETWORKS.values():
        for name in experiments:
            assert sweep.named(name).images in sweep.N_CLASSES
