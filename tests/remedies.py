"""What other tests would do where networks are skewed: ``python -m tests.remedies [DRAWS]``.

How often each rejects at 5 % with eight networks: where the mean is zero, where the median is, and
where every network is shifted by one or by two.
"""

import sys
from collections.abc import Callable

import numpy as np
import scipy.stats

from analyses.statistics import sign_flip_test
from tests.calibration import N_NETWORKS
from tests.laws import LAWS, Law, median

DRAWS = 2000

Test = Callable[[np.ndarray], float]


def signs(values: np.ndarray) -> float:
    other = values[values != 0]
    if not other.size:
        return 1.0
    return float(scipy.stats.binomtest(int((other > 0).sum()), other.size).pvalue)


TESTS: dict[str, Test] = {
    "sign flips": sign_flip_test,
    "signed ranks": lambda values: float(scipy.stats.wilcoxon(values).pvalue),
    "signs": signs,
    "t": lambda values: float(scipy.stats.ttest_1samp(values, 0).pvalue),
}
SHIFTS = {"mean 0": 0.0, "shifted by 1": 1.0, "shifted by 2": 2.0}


def rejected(test: Test, law: Law, shift: float, draws: int) -> float:
    rng = np.random.default_rng(0)
    tables = (law.draw(rng, (N_NETWORKS, 1))[:, 0] + shift for _ in range(draws))
    return sum(test(values) <= 0.05 for values in tables) / draws


def main(draws: int = DRAWS) -> None:
    """Print the rates as Markdown."""
    print("| law | null or effect | " + " | ".join(TESTS) + " |")
    print("|---|---|" + "---|" * len(TESTS))
    for law in LAWS:
        if law.name not in ("normal", "t with 2 degrees of freedom") and law.symmetric:
            continue
        shifts = {"median 0": -median(law), **SHIFTS} if not law.symmetric else SHIFTS
        for words, shift in shifts.items():
            rates = [f"{rejected(test, law, shift, draws):.3f}" for test in TESTS.values()]
            print("| " + " | ".join([law.name, words, *rates]) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS)
