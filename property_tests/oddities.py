"""Oddities: what is done to drawn networks so that an engine that rearranges them could go wrong.

An oddity is planted at a place drawn at random. It is known by construction whether the answers
stay defined, and what a refusal must say if they do not. Those there are stand in
the modules called ``planted_…``.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from property_tests.pieces import of_forward

ROUNDING = 1e-5
"""By how much logits may differ by rounding in float32, of the largest."""
COARSE = 0.02
"""The same where the network itself rounds to few bits."""

CHANCE = ("random", "from run to run")
STATE = ("from run to run",)
BATCH = ("batch",)
ORIGINAL = ("holds on to the original",)
"""Of functions that a copy of the network shares with the network itself."""


@dataclass(eq=False)
class Site:
    """A network in which something is planted.

    Attributes:
        network: The network, in evaluation mode; a planter may put another in its place.
        body: The row of its pieces, from feature maps to feature maps.
        images: What it takes.
        chance: For what is drawn.
        refused: Its layers that cannot be measured, each with words of which a reason has one.
        undo: Takes back what was planted outside the network.
        seen: What was recorded while the network ran.
    """

    network: nn.Module
    body: nn.Sequential
    images: Tensor
    chance: Random
    refused: dict[nn.Module, tuple[str, ...]]
    undo: ExitStack
    seen: list[Any] = field(default_factory=list)

    def refuse(self, module: nn.Module, word: str) -> None:
        self.refused[module] = (*self.refused.get(module, ()), word)

    @property
    def hidden(self) -> list[nn.Module]:
        """Modules in Python lists, of which the network does not know."""
        lists = [vars(module).get("layers") for module in self.network.modules()]
        return [each for found in lists if isinstance(found, list) for each in found]

    def run(self) -> None:
        self.network(self.images.clone())

    def called(self, *kinds: type[nn.Module]) -> list[nn.Module]:
        """The modules that answer one tensor with one, in the order of their calls."""
        found: dict[nn.Module, None] = {}

        def note(module: nn.Module, given: Any, answer: Any) -> None:
            if len(given) < 2 and isinstance(answer, Tensor):
                found[module] = None

        handles = [m.register_forward_hook(note) for m in self.network.modules()]
        with torch.no_grad():
            self.run()
        for handle in handles:
            handle.remove()
        return [module for module in found if not kinds or isinstance(module, kinds)]

    def module(self, *kinds: type[nn.Module]) -> nn.Module:
        return self.chance.choice(self.called(*kinds))

    def layer(self) -> Any:
        """A plain layer that can be measured; every head has one."""
        layers = self.called(nn.Conv2d, nn.Linear)
        return self.chance.choice(
            [m for m in layers if type(m) in (nn.Conv2d, nn.Linear) and m not in self.refused]
        )

    @property
    def channels(self) -> int:
        """Of the feature maps that leave the body."""
        widths: list[int] = []
        handle = self.body.register_forward_hook(
            lambda _, given, answer: widths.append(answer.shape[1])
        )
        with torch.no_grad():
            self.run()
        handle.remove()
        return widths[0]

    def between_the_greatest(self, module: nn.Module) -> float:
        """What the values of one image alone exceed where a module takes them."""
        greatest: list[Tensor] = []
        handle = module.register_forward_pre_hook(
            lambda _, given: greatest.append(given[0].flatten(1).amax(1))
        )
        with torch.no_grad():
            self.run()
        handle.remove()
        first, second = greatest[0].topk(2).values.tolist()
        return (first + second) / 2

    def append(self, module: nn.Module) -> None:
        """Put a module behind the last piece."""
        self.insert(module, len(self.body))

    def insert(self, module: nn.Module, place: int | None = None) -> None:
        """Put a module between two pieces, and draw its weights."""
        generator = torch.Generator().manual_seed(self.chance.randrange(2**31))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        self.body.insert(self.chance.randint(0, len(self.body)) if place is None else place, module)
        module.eval()


Plant: TypeAlias = Callable[[Site], None]
Forward: TypeAlias = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Oddity:
    """Something planted in a network.

    Attributes:
        plant: What plants it.
        words: What a refusal must say, one of them; empty where the answers are defined, so that
            they must be right.
        allowed: What a refusal may say although the answers are defined.
        changes: Whether the network answers otherwise with it.
        rounding: By how much logits may differ, of the largest.
        rare: Whether it takes so long that it is to be drawn seldom.
    """

    plant: Plant
    words: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    changes: bool = True
    rounding: float = ROUNDING
    rare: bool = False


ODDITIES: dict[str, Oddity] = {}


def oddity(**options: Any) -> Callable[[Plant], Plant]:
    """Of what plants it."""

    def register(plant: Plant) -> Plant:
        ODDITIES[plant.__name__] = Oddity(plant, **options)
        return plant

    return register


def inserted(**options: Any) -> Callable[[Forward], Forward]:
    """Of the forward pass of a module, from feature maps to feature maps of the same shape."""

    def register(forward: Forward) -> Forward:
        def plant(site: Site) -> None:
            site.insert(of_forward(forward, calls=0, last=None))

        ODDITIES[forward.__name__] = Oddity(plant, **options)
        return forward

    return register


def bent(values: Tensor) -> Tensor:
    """Other values, whatever comes behind."""
    return values + (1.7 * values).sin()


def names(*, rare: bool = False) -> tuple[str, ...]:
    """The names of oddities; those of rare ones where they are wanted."""
    return tuple(name for name, each in ODDITIES.items() if each.rare == rare)
