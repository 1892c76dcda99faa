"""Whether a network answers the same images alike every time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compressibility.errors import ForeignError, UserError, foreign
from compressibility.networks.arithmetic import agree
from compressibility.networks.wrappers import uncompiled


def require_repeatable(network: nn.Module, images: Tensor) -> Tensor:
    """What a network answers to images, if it does so whenever it is asked.

    It is asked several times, with other random numbers, and with other images in between. Random
    numbers are afterwards what they would have been.

    Args:
        network: A network in evaluation mode; it may keep what it keeps while it answers.
        images: What it takes, shape (N, ...).

    Returns:
        Its answers, without gradients.

    Raises:
        UserError: It draws random numbers, or answers otherwise from run to run.
    """
    with torch.no_grad(), uncompiled(), _chance_restored(images.device):
        first: Any = None
        others = 2 * images.flip(0)
        for number, asked in enumerate((images, images, others, images, images, images)):
            _seed(number, images.device)
            try:
                with foreign(UserError), without_chance(images.device):
                    answers = network(asked.clone())  # it may write into what it is given
            except ForeignError:  # it need not take images twice as large
                if asked is images:
                    raise
                continue
            if asked is not images or not isinstance(answers, Tensor):
                continue
            if first is not None and not agree(answers, first):
                raise UserError(
                    "the network answers the same images otherwise from run to run: it must "
                    "neither draw random numbers nor depend on what it answered before"
                )
            first = answers if first is None else first
    result: Tensor = first if first is not None else answers
    return result


@contextmanager
def without_chance(device: torch.device) -> Iterator[None]:
    """Refuse a network that draws random numbers while the context lasts.

    Raises:
        UserError: It did, from a global source.
    """
    before = _generators(device)
    yield
    if (source := _drawn(before, device)) is not None:
        raise UserError(
            f"the network draws random numbers ({source}) in evaluation mode, so that its answers "
            "are random: switch that off (dropout that is always on?)"
        )


def apart(count: int) -> list[list[int]]:
    """Some of ``count`` images in other company and order."""
    if count < 3:
        return [[number] for number in range(count)]
    return [[2, 0], [1], list(reversed(range(count)))]


def _generators(device: torch.device) -> dict[str, Tensor]:
    """What is known of each source of random numbers that no other thread is likely to draw from.

    ``random`` and ``numpy.random`` serve libraries in threads of their own, so that a change there
    tells nothing of the network.
    """
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["torch.cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["torch.cuda"], device)


def _seed(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


def _drawn(before: dict[str, Tensor], device: torch.device) -> str | None:
    """The first source from which random numbers were drawn since; None if there is none."""
    after = _generators(device)
    return next((name for name in before if not torch.equal(before[name], after[name])), None)


@contextmanager
def _chance_restored(device: torch.device) -> Iterator[None]:
    before = _generators(device)
    try:
        yield
    finally:
        _restore(before, device)
