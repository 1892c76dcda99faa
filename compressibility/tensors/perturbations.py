"""Kernels with another kernel's size and none of its structure: matched perturbation, shuffle."""

from math import sqrt

import numpy as np

from compressibility.tensors.arrays import Array, Floats
from compressibility.tensors.spectra import scaled


def matched_perturbation(kernel: Array, norm_loss: float, rng: np.random.Generator) -> Floats:
    """Return a random kernel with the norm and the overlap of a truncation, and nothing else of it.

    K′ = (1−ν)² K + (1−ν) √(1−(1−ν)²) ‖K‖ N with a random N of unit norm, orthogonal to K and
    uniformly distributed. Then ‖K′‖ = (1−ν)‖K‖ and ⟨K, K′⟩ = (1−ν)²‖K‖², as for a truncation
    K_r, an orthogonal projection of K, at norm loss ν; so ‖K − K′‖ is the truncation's too.

    Args:
        kernel: Kernel of any shape and real dtype.
        norm_loss: ν, in [0, 1).
        rng: Source of N.

    Returns:
        float64, of the kernel's shape; the kernel itself at ν = 0, zero for the zero kernel.

    Raises:
        ValueError: ν is outside [0, 1); the kernel holds NaN or infinity; or it has a single
            entry, to which nothing is orthogonal.

    Examples:
        >>> kernel = np.ones((4, 2, 3, 3))
        >>> perturbed = matched_perturbation(kernel, 0.2, np.random.default_rng(0))
        >>> bool(np.isclose(np.linalg.norm(perturbed), 0.8 * np.linalg.norm(kernel)))
        True
        >>> bool(np.isclose(np.vdot(kernel, perturbed), 0.8**2 * np.vdot(kernel, kernel)))
        True
    """
    if not 0 <= norm_loss < 1:
        raise ValueError(f"norm loss {norm_loss} is outside [0, 1): choose one from 0 to below 1")
    direction, exponent = scaled(kernel)
    if norm_loss == 0 or not direction.any():
        return np.ldexp(direction, exponent)
    if direction.size == 1:
        raise ValueError(
            f"kernel of shape {direction.shape} has one entry, to which nothing is orthogonal: "
            "its only perturbation is that of norm loss 0"
        )
    norm = np.linalg.norm(direction)
    unit = direction / norm
    noise = rng.standard_normal(direction.shape)
    for _ in range(2):  # the second pass removes what rounding left of K after the first
        noise /= np.linalg.norm(noise)
        noise -= np.vdot(unit, noise) * unit
    noise /= np.linalg.norm(noise)
    kept = 1 - norm_loss
    perturbed = kept**2 * direction + kept * sqrt(norm_loss * (1 + kept)) * norm * noise
    return np.ldexp(perturbed, exponent)


def shuffled(kernel: Array, rng: np.random.Generator) -> Array:
    """Return a kernel with its entries permuted at random over all modes.

    It keeps the distribution of the weights, hence the norm, and destroys their correlations.

    Args:
        kernel: Array of any shape and dtype.
        rng: Source of the permutation.

    Returns:
        Array of the same shape and dtype.

    Examples:
        >>> mixed = shuffled(np.arange(4).reshape(2, 2), np.random.default_rng(0))
        >>> sorted(mixed.ravel().tolist())
        [0, 1, 2, 3]
    """
    return rng.permutation(kernel.ravel()).reshape(kernel.shape)
