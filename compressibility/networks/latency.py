"""How long networks take to answer, one against the other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import quantile_test
from torch import Tensor, nn

WARM_UP = 5
"""Passes of each network before any is timed."""


@dataclass(frozen=True)
class Latency:
    """The time of a forward pass.

    Attributes:
        median: Seconds.
        low: Lower end of a 95 % confidence interval of the median, from its order statistics.
        high: Upper end.
        passes: How many were timed.
        batch: Images in a pass.
        threads: Of PyTorch, on a CPU.
    """

    median: float
    low: float
    high: float
    passes: int
    batch: int
    threads: int

    def is_below(self, other: "Latency") -> bool:
        """Whether the whole interval lies below that of another."""
        return self.high < other.low


def latencies(
    networks: Sequence[nn.Module], batch: Tensor, *, passes: int = 50
) -> tuple[Latency, ...]:
    """The times of some networks for one batch, timed in turn, so that all see the same machine.

    Args:
        networks: In evaluation mode, on the device of the batch.
        batch: As they take it, (N, ...).
        passes: How often each is timed; at least 6, below which the interval has no ends.
    """
    seconds = np.empty((passes, len(networks)))
    with torch.inference_mode():
        for number in range(-WARM_UP, passes):
            for place, network in enumerate(networks):
                _wait(batch)
                start = time.perf_counter()
                network(batch)
                _wait(batch)
                if number >= 0:
                    seconds[number, place] = time.perf_counter() - start
    return tuple(_latency(column, len(batch)) for column in seconds.T)


def _latency(seconds: np.ndarray, batch: int) -> Latency:
    interval: Any = quantile_test(seconds, p=0.5).confidence_interval(0.95)
    return Latency(
        median=float(np.median(seconds)),
        low=float(interval.low),
        high=float(interval.high),
        passes=len(seconds),
        batch=batch,
        threads=torch.get_num_threads(),
    )


def _wait(batch: Tensor) -> None:
    """Until the device has done what it was given."""
    if batch.device.type == "cuda":
        torch.cuda.synchronize(batch.device)
