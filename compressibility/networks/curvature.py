"""Curvature of the training loss around trained kernels.

Every quantity is of the Hessian H of the mean cross-entropy (nats) over a fixed list of batches,
with respect to the kernels of chosen layers, in the order given. The network is copied and put
into evaluation mode first; batch norm is then an affine map, and is replaced by it. All products
with H go through one adapter to curvlinops.
"""

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from compressibility.networks.kernels import kernel_layer
from compressibility.tensors.arrays import Floating, Floats

with warnings.catch_warnings():
    # curvlinops imports, and the first forward-mode derivative loads, what calls torch.jit.script
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
    from curvlinops import HessianLinearOperator

    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))

Batches: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Images (N, C, H, W), as the network takes them, and labels (N,) int64; read in this order."""

MEMORY: Final = 2**27
"""Bytes of activations at once: those of one batch, from the layer on, times the directions that
are multiplied together."""


@dataclass(frozen=True)
class Estimate:
    """A mean over random samples.

    Attributes:
        value: The estimate.
        standard_error: Sample standard deviation / sqrt(samples); NaN for a single sample.
        samples: Number of independent samples.
    """

    value: float
    standard_error: float
    samples: int


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """The largest eigenvalues of a Hessian, with their quality.

    Attributes:
        eigenvalues: (k,) float64, descending, nats.
        residuals: (k,) float64, ‖Hv − λv‖: an eigenvalue of H lies within it of λ.
        eigenvectors: (k, D) float64, of unit norm, the layers' kernels one after another.
    """

    eigenvalues: Floats
    residuals: Floats
    eigenvectors: Floats


@dataclass(frozen=True, eq=False)
class LayerCurvature:
    """Curvature with respect to the kernel of one layer.

    Attributes:
        eigenvalue: Largest eigenvalue of the layer's block of the Hessian, nats.
        residual: ‖Hv − λv‖ of its unit eigenvector.
        trace: Trace of the block, Hutchinson's estimate from ``random``.
        random: (R,) float64, dᵀHd/dᵀd along random directions.
        directional: (P,) float64, dᵀHd/dᵀd along the given directions; NaN along zero.
    """

    eigenvalue: float
    residual: float
    trace: Estimate
    random: Floats
    directional: Floats


def top_eigenvalues(
    model: nn.Module,
    layers: Sequence[str],
    batches: Batches,
    k: int,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-3,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
) -> Eigenpairs:
    """The ``k`` largest eigenvalues of the Hessian over the kernels of ``layers``, jointly.

    Implicitly restarted Lanczos (ARPACK, through scipy), from H times a vector drawn from ``rng``;
    if that is zero, so are the eigenvalues.

    Args:
        model: The network; it is not changed.
        layers: Module paths.
        batches: Fixed training images.
        k: How many, below the number of weights.
        rng: Source of the starting vector.
        tolerance: Largest residual / eigenvalue. The eigenvalue's own error is of its square.
        dtype: Precision of the products.
        memory: Bytes of activations at once.

    Raises:
        ValueError: A layer is unknown or not measurable, ``batches`` is empty, a normalisation
            has no running statistics, or ``k`` is out of range.
        scipy.sparse.linalg.ArpackNoConvergence: Lanczos did not converge.
    """
    return _top(_hessian(model, layers, batches, dtype, memory), k, rng, tolerance)


def hessian_trace(
    model: nn.Module,
    layers: Sequence[str],
    batches: Batches,
    n_random: int,
    rng: np.random.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
) -> Estimate:
    """The trace of the Hessian over the kernels of ``layers``, jointly: Hutchinson's estimate.

    Args:
        model: The network; it is not changed.
        layers: Module paths.
        batches: Fixed training images.
        n_random: Number of random directions (Rademacher), at least 1.
        rng: Their source.
        dtype: Precision of the products.
        memory: Bytes of activations at once.

    Raises:
        ValueError: As for :func:`top_eigenvalues`, or ``n_random`` is below 1.
    """
    hessian = _hessian(model, layers, batches, dtype, memory)
    directions = random_directions(n_random, hessian.size, rng)
    return trace_estimate(_quadratic(hessian, directions), hessian.size)


def layer_curvature(
    model: nn.Module,
    layer: str,
    batches: Batches,
    directions: Floating,
    n_random: int,
    rng: np.random.Generator,
    *,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
    tolerance: float = 1e-3,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
) -> LayerCurvature:
    """Everything about one layer's block of the Hessian; see :class:`LayerCurvature`.

    Args:
        model: The network; it is not changed.
        layer: Module path.
        batches: Fixed training images.
        directions: As for :func:`directional_curvatures`; (0, ...) for none.
        n_random: Number of random directions, at least 1.
        rng: Source of the random directions, then of the Lanczos starting vector.
        distribution: Of the entries of the random directions.
        tolerance: As for :func:`top_eigenvalues`.
        dtype: Precision of the products.
        memory: Bytes of activations at once.

    Raises:
        ValueError: As for :func:`top_eigenvalues` and :func:`directional_curvatures`.
        scipy.sparse.linalg.ArpackNoConvergence: Lanczos did not converge.
    """
    hessian = _hessian(model, [layer], batches, dtype, memory)
    size = hessian.size
    directional = _quadratic(hessian, _as_rows(directions, size, layer))
    random = _quadratic(hessian, random_directions(n_random, size, rng, distribution))
    top = _top(hessian, 1, rng, tolerance)
    return LayerCurvature(
        eigenvalue=float(top.eigenvalues[0]),
        residual=float(top.residuals[0]),
        trace=trace_estimate(random, size),
        random=random,
        directional=directional,
    )


def directional_curvatures(
    model: nn.Module,
    layer: str,
    batches: Batches,
    directions: Floating,
    *,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
) -> Floats:
    """The curvature dᵀHd/dᵀd along each direction d of the kernel of ``layer``, in nats.

    It does not depend on the length of d, which is taken to be 1 first. A truncation to full
    rank points nowhere (its difference from the kernel is rounding): leave it out.

    Args:
        model: The network; it is not changed.
        layer: Module path.
        batches: Fixed training images.
        directions: (P, OUT, IN, KH, KW), or (P, D) with D the entries of the kernel.
        dtype: Precision of the products.
        memory: Bytes of activations at once; it bounds the directions multiplied together.

    Returns:
        (P,) float64; NaN along a zero direction.

    Raises:
        ValueError: As for :func:`top_eigenvalues`; or a direction has the wrong number of
            entries, or NaN or infinite ones.
    """
    hessian = _hessian(model, [layer], batches, dtype, memory)
    return _quadratic(hessian, _as_rows(directions, hessian.size, layer))


def random_directions(
    count: int,
    size: int,
    rng: np.random.Generator,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
) -> Floats:
    """``count`` random directions (count, size), float64, with entries of mean 0, variance 1.

    For both distributions dᵀHd/dᵀd has the expectation trace(H) / size.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"{count} random directions asked for: at least 1 is needed")
    if distribution == "gaussian":
        return rng.standard_normal((count, size))
    return rng.choice(np.array([-1.0, 1.0]), (count, size))


def trace_estimate(curvatures: Floats, size: int) -> Estimate:
    """The trace of a ``size`` × ``size`` matrix from dᵀHd/dᵀd along random directions.

    Source: M. F. Hutchinson, Commun. Stat. Simul. Comput. 18 (1989) 1059.
    """
    n = len(curvatures)
    spread = float(np.std(curvatures, ddof=1)) if n > 1 else math.nan
    return Estimate(size * float(np.mean(curvatures)), size * spread / math.sqrt(n), n)


class _Affine(nn.Module):
    """What a batch norm computes in evaluation mode: scale · x + shift, for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = torch.zeros_like(scale)
        if norm.affine:
            scale = scale * norm.weight.detach().double()
            shift = norm.bias.detach().double()
        shift = shift - norm.running_mean.double() * scale
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)


def _frozen_copy(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in evaluation mode, its batch norms replaced by the affine maps that they are."""
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for path, module in list(frozen.named_modules(remove_duplicate=False)):
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if module.running_mean is None or module.running_var is None:
            raise ValueError(
                f"layer {path!r} keeps no running statistics, so that its output depends on the "
                "batch: curvature needs track_running_stats=True"
            )
        if type(module).forward is nn.modules.batchnorm._BatchNorm.forward and path:
            frozen.set_submodule(path, _Affine(module))
    return frozen.to(dtype)


@dataclass(frozen=True, eq=False)
class _Hessian:
    """The Hessian over some kernels: the adapter to curvlinops 3.0.

    Attributes:
        operator: What curvlinops multiplies with.
        at_once: Directions that may be multiplied together.
    """

    operator: HessianLinearOperator
    at_once: int

    @property
    def size(self) -> int:
        return int(self.operator.shape[0])

    def __matmul__(self, columns: Floats) -> Floats:
        """The product with (D,) or (D, P)."""
        matrix = torch.from_numpy(columns).to(self.operator.device, self.operator.dtype)
        parts = torch.split(matrix, self.at_once, dim=1) if matrix.ndim > 1 else (matrix,)
        with sdpa_kernel(SDPBackend.MATH):  # the only attention with second derivatives
            product = torch.cat([self.operator @ part for part in parts], dim=-1)
        result: Floats = product.double().cpu().numpy()
        return result


def _hessian(
    model: nn.Module, layers: Sequence[str], batches: Batches, dtype: torch.dtype, memory: int
) -> _Hessian:
    if not layers or not batches:
        raise ValueError(f"{len(layers)} layers and {len(batches)} batches given: at least 1 each")
    for layer in layers:
        kernel_layer(model, layer)
    frozen = _frozen_copy(model, dtype)
    weights = [kernel_layer(frozen, layer).weight.requires_grad_() for layer in layers]
    data = [(images.to(weights[0]), labels.to(weights[0].device)) for images, labels in batches]
    operator = HessianLinearOperator(
        frozen,
        nn.CrossEntropyLoss(),
        weights,
        data,
        num_data=sum(len(labels) for _, labels in data),
        check_deterministic=False,  # the check would draw from the global generator
    )
    activations = _activations(frozen, weights, max((images for images, _ in data), key=len))
    return _Hessian(operator, max(1, memory // activations))


def _activations(model: nn.Module, weights: Sequence[Tensor], images: Tensor) -> int:
    """Bytes that the modules put out on ``images``, from the first that holds a weight on."""
    bytes_out: list[int] = []

    def count(module: nn.Module, _: Any, output: Any) -> None:
        own = any(
            parameter is weight for parameter in module.parameters(False) for weight in weights
        )
        if (bytes_out or own) and isinstance(output, Tensor):
            bytes_out.append(output.nbytes)

    leaves = [module for module in model.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return max(1, sum(bytes_out))


def _as_rows(directions: Floating, size: int, layer: str) -> Floating:
    entries = math.prod(directions.shape[1:])
    if len(directions) and entries != size:
        raise ValueError(
            f"directions of shape {directions.shape} have {entries} entries each: the kernel of "
            f"layer {layer!r} has {size}"
        )
    rows = directions.reshape(len(directions), size)
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        raise ValueError(f"direction {np.argmin(finite)} of layer {layer!r} has NaN or infinity")
    return rows


def _quadratic(hessian: _Hessian, directions: Floating) -> Floats:
    """dᵀHd along the unit vector of each row d of ``directions`` (P, D); NaN for zero rows."""
    curvatures = np.full(len(directions), np.nan)
    moving = np.flatnonzero(directions.any(axis=1))
    for start in range(0, len(moving), hessian.at_once):
        some = moving[start : start + hessian.at_once]
        rows = directions[some].astype(np.float64)
        rows /= np.abs(rows).max(axis=1, keepdims=True)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        curvatures[some] = np.einsum("pd,dp->p", rows, hessian @ rows.T)
    return curvatures


def _top(hessian: _Hessian, k: int, rng: np.random.Generator, tolerance: float) -> Eigenpairs:
    if not 1 <= k < hessian.size:
        raise ValueError(
            f"{k} eigenvalues of {hessian.size} weights: ask for 1 to {hessian.size - 1}"
        )
    start = hessian @ rng.standard_normal(hessian.size)
    if not start.any():
        return Eigenpairs(np.zeros(k), np.zeros(k), np.eye(k, hessian.size))
    start /= np.linalg.norm(start)  # else the next product may vanish in float32
    values, vectors = eigsh(
        LinearOperator((hessian.size,) * 2, matvec=hessian.__matmul__, dtype=np.float64),
        k,
        which="LA",
        v0=start,
        ncv=min(hessian.size, 2 * k + 4),  # few: the top eigenvalues stand well apart
        tol=tolerance,
    )
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    residuals = np.linalg.norm(hessian @ vectors - vectors * values, axis=0)
    return Eigenpairs(values, residuals, vectors.T)
