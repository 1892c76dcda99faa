"""The Schmidt values of a kernel across a cut, and what they say.

Every quantity is formed from the ratios q_i = s_i / s_1 and their squares w_i: in sums of
non-negative terms that neither overflow, underflow nor cancel, whatever the kernel's scale.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf, log, log1p

import numpy as np
from scipy.special import entr

from compressibility.tensors.arrays import Array, Floats
from compressibility.tensors.modes import Cut, as_kernel, matricize


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The Schmidt values s_1 ≥ … ≥ s_n ≥ 0 of a kernel across a cut.

    With p_i = s_i² / Σ s². The zero kernel has p = (1, 0, …, 0): it has rank 1, entropy 0, and no
    truncation loses anything.

    Attributes:
        schmidt_values: float64, shape (n,), descending; kept as a read-only copy.

    Raises:
        ValueError: The values are not a non-empty vector of finite, non-negative, descending
            numbers.
    """

    schmidt_values: Floats

    def __post_init__(self) -> None:
        """Check the values and keep a read-only copy."""
        values = np.array(self.schmidt_values, dtype=np.float64)
        if values.ndim != 1 or values.size == 0:
            raise ValueError(
                f"Schmidt values of shape {values.shape} are no spectrum: pass a vector of at "
                "least one value"
            )
        wrong = ~(np.isfinite(values) & (values >= 0))
        wrong[1:] |= values[1:] > values[:-1]
        if wrong.any():
            index = int(wrong.argmax())
            raise ValueError(
                f"Schmidt value {values[index]} at index {index} is out of place: the values are "
                "finite, non-negative and descending"
            )
        values.flags.writeable = False
        object.__setattr__(self, "schmidt_values", values)

    def __len__(self) -> int:
        """Return the number n of Schmidt values, zeros included."""
        return self.schmidt_values.size

    @property
    def is_zero(self) -> bool:
        """Whether the kernel is the zero kernel."""
        return bool(self.schmidt_values[0] == 0)

    @property
    def norm(self) -> float:
        """Frobenius norm of the kernel, √Σs²."""
        return float(self.schmidt_values[0] * np.sqrt(self._kept[-1]))

    @property
    def probabilities(self) -> Floats:
        """p_i = s_i² / Σs², shape (n,)."""
        probabilities: Floats = self._weights / self._kept[-1]
        return probabilities

    @property
    def entropy(self) -> float:
        """Entanglement entropy S = −Σ p ln p in nats; 0 ≤ S ≤ ln n."""
        return float(_entropies(self._weights)[-1])

    @property
    def stable_rank(self) -> float:
        """‖K‖² / s_1², the exponential of the Rényi entropy of order ∞."""
        return float(self._kept[-1])

    @property
    def schmidt_number(self) -> float:
        """1 / Σp², the exponential of the Rényi entropy of order 2."""
        return float(self._kept[-1] ** 2 / np.sum(self._weights**2))

    @property
    def entropic_rank(self) -> float:
        """e^S, the exponential of the Rényi entropy of order 1."""
        return float(np.exp(self.entropy))

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of s_i / Σs: of the values, not of their squares.

        Source: Roy and Vetterli, EUSIPCO 2007, Definition 1.
        """
        return float(np.exp(_entropies(self._ratios)[-1]))

    def renyi_entropy(self, alpha: float) -> float:
        """Return the Rényi entropy S_α = ln(Σ p^α) / (1 − α), in nats; non-increasing in α.

        Args:
            alpha: Order, 0 to infinity. 0 gives the logarithm of the number of non-zero Schmidt
                values (every value that is not exactly zero counts), 1 the entanglement entropy,
                infinity −ln p_1.

        Raises:
            ValueError: The order is negative or NaN.
        """
        if not alpha >= 0:
            raise ValueError(f"order {alpha} of a Rényi entropy is out of range: choose 0 or more")
        if alpha == 1:
            return self.entropy
        logarithm_of_total = log(self._kept[-1])
        if alpha == inf:
            return logarithm_of_total
        logarithms = 2 * np.log(self._ratios[self._ratios > 0])
        if abs(alpha - 1) < 0.5:  # ln Σp^α is the small difference of two terms near α = 1
            weights = np.exp(logarithms - logarithm_of_total)
            powers = np.expm1((alpha - 1) * (logarithms - logarithm_of_total))
            kept = weights > 0
            return log1p(float(weights[kept] @ powers[kept])) / (1 - alpha)
        total_of_powers = float(np.sum(np.exp(alpha * logarithms[1:])))
        return (log1p(total_of_powers) - alpha * logarithm_of_total) / (1 - alpha)

    @cached_property
    def norm_losses(self) -> Floats:
        """Norm loss ν = 1 − ‖K_r‖/‖K‖ of the ranks r = 1, …, n, shape (n,).

        Non-increasing, 0 at r = n, at most 1 − 1/√n. Formed as ε / (1 + √(1 − ε)) from the
        discarded weight ε = Σ_{i>r} p_i, which loses no digit where ν is small.
        """
        losses: Floats = self._discarded / (1 + np.sqrt(1 - self._discarded))
        return losses

    @cached_property
    def relative_errors(self) -> Floats:
        """‖K − K_r‖/‖K‖ = √ε of the ranks r = 1, …, n, shape (n,); (1 − ν)² + ε = 1.

        Source: Eckart and Young, Psychometrika 1 (1936) 211.
        """
        return np.sqrt(self._discarded)

    @cached_property
    def correlation_losses(self) -> Floats:
        """(S − S_r)/S of the ranks r = 1, …, n, shape (n,); all 0 where S = 0.

        S_r is the entropy of the r kept, renormalised p. Non-increasing, 1 at r = 1 and 0 at
        r = n where S > 0: with x = p_{r+1} / Σ_{i≤r+1} p_i and h the binary entropy, the chain
        rule gives S_{r+1} = h(x) + (1 − x) S_r. Because p descends, x ≤ 1/(r + 1), so that
        h(x) ≥ −x ln x ≥ x ln(r + 1), while S_r ≤ ln r; hence S_{r+1} − S_r ≥ x ln(1 + 1/r) ≥ 0.
        (Without the descending order it does not hold.)
        """
        entropies = _entropies(self._weights)
        if entropies[-1] == 0:
            return np.zeros_like(entropies)
        losses: Floats = np.maximum(1 - entropies / entropies[-1], 0)
        return losses

    def norm_loss(self, rank: int) -> float:
        """Return the norm loss at a rank.

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        return float(self.norm_losses[self._index(rank)])

    def relative_error(self, rank: int) -> float:
        """Return the relative error at a rank.

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        return float(self.relative_errors[self._index(rank)])

    def correlation_loss(self, rank: int) -> float:
        """Return the correlation loss at a rank.

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        return float(self.correlation_losses[self._index(rank)])

    def _index(self, rank: int) -> int:
        if not 1 <= rank <= len(self):
            raise ValueError(out_of_range(rank, len(self)))
        return rank - 1

    @cached_property
    def _ratios(self) -> Floats:
        if self.is_zero:
            return np.append(1.0, np.zeros(len(self) - 1))
        ratios: Floats = self.schmidt_values / self.schmidt_values[0]
        return ratios

    @cached_property
    def _weights(self) -> Floats:
        return np.square(self._ratios)

    @cached_property
    def _kept(self) -> Floats:
        return np.cumsum(self._weights)

    @cached_property
    def _discarded(self) -> Floats:
        from_the_smallest = np.cumsum(self._weights[::-1])[::-1]
        return np.append(from_the_smallest[1:] / from_the_smallest[0], 0.0)


def spectrum(kernel: Array, cut: Cut | str) -> Spectrum:
    """Return the Schmidt values of a kernel across a cut, without its Schmidt vectors.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in); decomposed in float64 whatever its
            dtype.
        cut: The cut, or its label.

    Raises:
        ValueError: The array is no kernel, or holds NaN or infinity.
        UserError: The label names no cut.

    Examples:
        >>> kernel = np.zeros((4, 4, 3, 3))
        >>> kernel[:, :, 1, 1] = np.diag([4.0, 3.0, 0.0, 0.0])
        >>> found = spectrum(kernel, "OUT")
        >>> found.schmidt_values
        array([4., 3., 0., 0.])
        >>> found.norm, round(found.norm_loss(1), 12), found.norm_loss(2)
        (5.0, 0.2, 0.0)

        The window is one product, so that nothing is entangled across this cut.

        >>> spectrum(kernel, "KH,KW").entropy
        0.0
    """
    scaled_kernel, exponent = scaled(as_kernel(kernel))
    values = np.linalg.svd(matricize(scaled_kernel, cut), compute_uv=False)
    return Spectrum(np.ldexp(values, exponent))


def scaled(array: Array) -> tuple[Floats, int]:
    """Return an array in float64 as (a, e) with array = a · 2^e and 1/2 ≤ max|a| < 1.

    Scaling by a power of two is exact, so that the squares of what is formed from ``a`` neither
    overflow nor underflow and no digit is lost. The zero array has e = 0.

    Args:
        array: Real array of any shape, not empty.

    Raises:
        ValueError: The array holds NaN or infinity; the message names how many and the first.

    Examples:
        >>> scaled(np.array([3.0, -5.0]))
        (array([ 0.375, -0.625]), 3)
    """
    values = np.asarray(array, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        count = int(values.size - np.count_nonzero(finite))
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"kernel has {count} of {values.size} entries that are NaN or infinite, the first "
            f"({values[first]}) at index {list(first)}: it cannot be decomposed"
        )
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def out_of_range(rank: int, n: int, where: str = "") -> str:
    """Return the message for a rank that is not one of 1, …, n."""
    if rank > n:
        return f"rank {rank} exceeds the {n} Schmidt values{where}: choose 1 to {n}"
    return f"rank {rank} keeps nothing{where}: choose 1 to {n}"


def _entropies(weights: Floats) -> Floats:
    """Entropies of the first r weights, each renormalised, for r = 1, …, n; weights[0] is 1.

    With T_r = Σ_{1<i≤r} w_i: S_r = ln(1 + T_r) − Σ_{i≤r} w_i ln w_i / (1 + T_r).
    """
    tail = np.append(0.0, np.cumsum(weights[1:]))
    terms = np.append(0.0, np.cumsum(entr(weights[1:])))
    result: Floats = np.log1p(tail) + terms / (1 + tail)
    return result
