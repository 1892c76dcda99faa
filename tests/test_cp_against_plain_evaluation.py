"""CP decompositions as they are measured, against the kernel put in by hand and closed forms.

Oracles: one plain forward pass with PyTorch's argmax and cross-entropy, kernels of known CP rank,
NumPy's norms, and noise drawn on the factors.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import NumericalError, UserError
from compressibility.quantities.cp import CPDecomposition
from compressibility.quantities.quantity import Scope, generator
from compressibility.subjects import Subject
from compressibility.tensors.cp import CPStarts, cp, cp_kernel, cp_starts, highest_rank
from compressibility.tensors.cp_correction import corrected
from tests.drawn_subject import LAYERS, N_TEST, drawn_subject

PLAN = CPDecomposition((1, 2, 4, 16), starts=2, sweeps=40)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return drawn_subject()


def measured(subject: Subject, layer: str, plan: CPDecomposition = PLAN) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, layer, generator(plan, Scope(0), layer)))


def fitted(subject: Subject, layer: str) -> list[CPStarts]:
    """The same fits, by the tensors' own functions and the same random numbers."""
    kernel = subject.kernel(layer)
    rng = generator(PLAN, Scope(0), layer)
    ranks = [rank for rank in PLAN.ranks if rank <= highest_rank(kernel.shape)]
    return [
        cp_starts(kernel, r, rng, n_starts=2, max_sweeps=40, singular_first=True) for r in ranks
    ]


def answers(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images).double()


@pytest.mark.parametrize("layer", LAYERS)
def test_answers_are_those_of_the_network_with_the_kernel_replaced(subject, layer) -> None:
    found, kernel = measured(subject, layer), subject.kernel(layer)
    before = answers(subject.network, subject.images).argmax(1) == subject.labels
    weight, apart = subject.network.get_submodule(layer).weight, set()
    for place, starts in enumerate(fitted(subject, layer)):
        forms = (starts.best, corrected(starts.best, kernel, max_sweeps=40))
        for number, fit in enumerate(forms):
            by_hand = cp_kernel(fit.weights, fit.factors)
            kept = weight.detach().clone()
            weight.data = torch.from_numpy(by_hand).float()
            logits = answers(subject.network, subject.images)
            weight.data = kept
            after = logits.argmax(1) == subject.labels
            at = (number, place)
            assert found["cp_n_correct"][at] == int(after.sum())
            assert found["cp_n_lost"][at] == int((before & ~after).sum())
            assert found["cp_n_gained"][at] == int((after & ~before).sum())
            assert found["cp_accuracy"][at] == int(after.sum()) / N_TEST
            loss = float(nn.functional.cross_entropy(logits, subject.labels))
            assert found["cp_loss"][at] == pytest.approx(loss, rel=1e-5)
            error = np.linalg.norm(kernel - by_hand) / np.linalg.norm(kernel)
            assert found["cp_relative_error"][at] == pytest.approx(error, rel=1e-9)
            largest = max(
                abs(w) * np.prod([np.linalg.norm(f[:, i]) for f in fit.factors])
                for i, w in enumerate(fit.weights)
            )
            assert found["cp_largest_component"][at] == pytest.approx(
                largest / np.linalg.norm(kernel)
            )
            apart.add(int(after.sum()))
        errors = [fit.relative_error for fit in starts.fits]
        assert found["cp_error_spread"][place] == pytest.approx(max(errors) - min(errors))
        assert found["cp_n_diverged"][place] == sum(fit.diverged for fit in starts.fits)
        assert found["cp_parameters"][place] == PLAN.ranks[place] * sum(kernel.shape)
    assert len(apart) > 2  # the decompositions do change the answers


def test_ranks_above_the_kernels_highest_are_missing(subject) -> None:
    found = measured(subject, "0")  # 6 x 1 x 3 x 2: at most 6
    assert highest_rank((6, 1, 3, 2)) == 6
    for name, values in found.items():
        missing = np.isnan(values) if values.dtype.kind == "f" else values == -1
        assert missing[..., 3].all(), name
        assert not missing[..., :3].any(), name


def test_the_correction_keeps_the_error_and_makes_no_component_larger(subject) -> None:
    found = measured(subject, "2")
    fit, settled = found["cp_relative_error"]
    np.testing.assert_allclose(settled[1:], fit[1:], rtol=1e-6)
    first, second = found["cp_sensitivity"]
    assert (second <= first * (1 + 1e-9)).all()


def test_the_sensitivity_is_that_of_the_kernel_of_unit_norm(subject) -> None:
    """Oracle: noise on the factors of the fit of the scaled kernel, each component shared alike."""
    found, kernel = measured(subject, "2"), subject.kernel("2")
    best = fitted(subject, "2")[1].best
    weights = best.weights / np.linalg.norm(kernel)
    columns = [factor * weights**0.25 for factor in best.factors]
    rng, sigma, ones = np.random.default_rng(0), 1e-4, np.ones(2)
    changes = [
        np.sum(
            (
                cp_kernel(ones, [c + sigma * rng.standard_normal(c.shape) for c in columns])
                - cp_kernel(ones, columns)
            )
            ** 2
        )
        for _ in range(4000)
    ]
    spread = 4 * np.std(changes) / np.sqrt(len(changes))
    assert abs(np.mean(changes) - sigma**2 * found["cp_sensitivity"][0, 1]) <= spread


def test_a_kernel_of_known_rank_is_found_and_one_of_border_rank_diverges(subject) -> None:
    rng = np.random.default_rng(2)
    exact = cp_kernel(np.ones(2), [rng.standard_normal((n, 2)) for n in (8, 6, 3, 3)])
    a, b, c = (np.linalg.qr(rng.standard_normal((n, n)))[0][:2] for n in (8, 6, 3))
    border = sum(
        np.einsum("o,i,h->oih", *parts)
        for parts in ((a[1], b[0], c[0]), (a[0], b[1], c[0]), (a[0], b[0], c[1]))
    )[..., None] * np.ones(3)
    plan = CPDecomposition((2,), starts=3, sweeps=1500)
    weight = subject.network.get_submodule("2").weight
    kept = weight.detach().clone()
    weight.data = torch.from_numpy(exact).float()
    found = measured(replace(subject), "2", plan)
    assert found["cp_relative_error"][0, 0] < 1e-3
    assert found["cp_largest_component"][0, 0] < 10
    weight.data = torch.from_numpy(border).float()
    found = measured(replace(subject), "2", plan)
    assert (found["cp_largest_component"][:, 0] > 2).all()
    assert found["cp_largest_component"][1, 0] <= found["cp_largest_component"][0, 0]
    few, many = (
        cp(border, 2, np.random.default_rng(0), max_sweeps=n, l2_reg=0, tolerance=0)
        for n in (500, 9000)
    )
    assert many.relative_error < few.relative_error
    assert many.largest_component > 1.5 * few.largest_component
    weight.data = kept


def test_the_singular_start_solves_an_orthogonal_kernel_at_once() -> None:
    """Of orthogonal factors of distinct weights singular vectors are the factors."""
    rng = np.random.default_rng(3)
    factors = [np.linalg.qr(rng.standard_normal((n, n)))[0][:, :3] for n in (9, 8, 7, 6)]
    kernel = cp_kernel(np.array([3.0, 2.0, 1.0]), factors)
    found = cp(kernel, 3, rng, l2_reg=0, singular=True)
    assert found.relative_error < 1e-12
    assert found.n_sweeps <= 5
    random = cp(kernel, 3, rng, l2_reg=0)
    assert random.n_sweeps > found.n_sweeps


def test_one_failed_start_is_counted_and_the_others_are_kept(subject, monkeypatch) -> None:
    """The spread is of the starts that did not fail; the dataset would be refused with a NaN."""
    from tensorly.decomposition import parafac

    calls = []

    def first_fails(*arguments, **settings):
        calls.append(1)
        if len(calls) == 1:
            raise np.linalg.LinAlgError
        return parafac(*arguments, **settings)

    monkeypatch.setattr("tensorly.decomposition.parafac", first_fails)
    found = measured(subject, "2", CPDecomposition((2,), starts=3, sweeps=20))
    assert found["cp_n_diverged"][0] == 1
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_kernel_of_known_rank_is_found_to_rounding_without_the_ridge() -> None:
    """With it the error stays at some ten times the ridge, whose price that is."""
    rng = np.random.default_rng(2)
    exact = cp_kernel(np.ones(2), [rng.standard_normal((n, 2)) for n in (8, 6, 3, 3)])
    assert cp_starts(exact, 2, rng, max_sweeps=1500, l2_reg=0).best.relative_error < 1e-6


def test_fits_that_all_fail_are_a_numerical_failure(subject, monkeypatch) -> None:
    def failing(*_, **__):
        raise np.linalg.LinAlgError

    monkeypatch.setattr("tensorly.decomposition.parafac", failing)
    with pytest.raises(NumericalError, match="no start of CP rank 1 led to a finite fit"):
        measured(subject, "2")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ranks": (0, 3)}, "CP rank 0 is outside 1 … 256"),
        ({"ranks": (300,)}, "CP rank 300 is outside 1 … 256"),
        ({"ranks": ()}, "needs a rank"),
        ({"ranks": (3,), "starts": 0}, "needs a rank, a start"),
    ],
)
def test_plans_that_decompose_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        CPDecomposition(**settings)


def test_ranks_stand_in_order_and_once() -> None:
    assert CPDecomposition((8, 1, 8)).ranks == (1, 8)
