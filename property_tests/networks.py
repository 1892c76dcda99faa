"""Drawn networks: a stem for the images, pieces in a row, a head, and an oddity planted or not.

What is drawn is a :class:`Description`, from which the same network is built every time.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

from property_tests import (  # noqa: F401, they register what they hold
    awkward_pieces,
    planted_changes,
    planted_modules,
    planted_tensors,
    planted_undefined,
)
from property_tests.oddities import ODDITIES, Oddity, Site, names
from property_tests.pieces import PIECES, Shape, activation, of_forward

STEMS = ("images", "vectors", "sequences", "signals", "volumes")
HEADS = ("pooled", "flattened", "mlp", "tokens", "convolutional", "attentive")
MANY = 72
"""More images than those on which the error of a lower precision is measured."""
N_RARE = 100
"""One network of so many has a rare oddity."""


@dataclass(frozen=True)
class Description:
    """All that is drawn of a network.

    Attributes:
        pieces: Each by name, with the seed of what is drawn of it.
        stem: What the images are: its name.
        head: Its name.
        oddity: Its name; empty for none.
        n_images: Images it is asked about.
        side: Least pixels a side of the first feature maps.
        seed: Of weights, images, labels and kernels, and of where the oddity is planted.
    """

    pieces: tuple[tuple[str, int], ...] = ()
    stem: str = "images"
    head: str = "pooled"
    oddity: str = ""
    n_images: int = 6
    side: int = 3
    seed: int = 0

    @property
    def simpler(self) -> Iterator["Description"]:
        """Descriptions with less, the least first."""
        for number, (name, seed) in enumerate(self.pieces):
            before, behind = self.pieces[:number], self.pieces[number + 1 :]
            yield replace(self, pieces=before + behind)
            if name != "chain":
                yield replace(self, pieces=(*before, ("chain", seed), *behind))
        least = Description()
        for key in ("oddity", "stem", "head", "n_images", "side"):
            if getattr(self, key) != getattr(least, key):
                yield replace(self, **{key: getattr(least, key)})


@dataclass(frozen=True, eq=False)
class DrawnNetwork:
    """A network with images, and what is known of it by construction.

    Attributes:
        description: Of what it was built.
        network: The network, in training mode as a user may have left it or in evaluation mode.
        images: Shape (N, ...).
        labels: Int64, shape (N,).
        plain: Whether every layer can be measured the fast way.
        refused: Its layers that cannot be measured, each with words of which a reason has one.
        words: What a refusal must say, one of them; empty if the answers are defined.
        allowed: What a refusal may say although they are.
        rounding: By how much logits may differ, of the largest.
        seen: What its hooks recorded.
    """

    description: Description
    network: nn.Module
    images: Tensor
    labels: Tensor
    plain: bool
    refused: Mapping[nn.Module, tuple[str, ...]]
    words: tuple[str, ...]
    allowed: tuple[str, ...]
    rounding: float
    seen: list[Any]


def description(chance: Random, *, oddity: str | None = None) -> Description:
    """A description; ``oddity`` is drawn too where none is given."""
    if oddity is None:
        oddity = ""
        if chance.random() < 0.6:
            oddity = chance.choice(names(rare=chance.randrange(N_RARE) == 0))
    n_pieces = chance.choice((0, 1, 1, 2, 2, 3))
    return Description(
        pieces=tuple(
            (chance.choice(tuple(PIECES)), chance.randrange(10_000)) for _ in range(n_pieces)
        ),
        stem=chance.choice(("images", "images", *STEMS)),
        head=chance.choice(HEADS),
        oddity=oddity,
        n_images=chance.choice((6, 8, 14, 24, MANY)),
        side=chance.randint(3, 8),
        seed=chance.randrange(2**31),
    )


def descriptions(oddity: str | None = None) -> st.SearchStrategy[Description]:
    return st.randoms(use_true_random=False).map(lambda r: description(r, oddity=oddity))


@contextmanager
def built(described: Description) -> Iterator[DrawnNetwork]:
    """The network of a description; what was planted outside it is gone afterwards.

    Warnings are off meanwhile: much of what is drawn is outdated, and in use.
    """
    chance = Random(described.seed)
    generator = Generator().manual_seed(described.seed)
    rule = ODDITIES[described.oddity] if described.oddity else Oddity(lambda _: None)
    with warnings.catch_warnings(), ExitStack() as undo:
        warnings.simplefilter("ignore")
        undo.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(described.seed)
        site, plain = _unplanted(described, chance, generator, undo)
        rule.plant(site)
        yield DrawnNetwork(
            description=described,
            labels=_labels(site.network, site.images, generator),
            network=site.network.train(chance.random() < 0.5),
            images=site.images,
            plain=plain and not described.oddity,
            refused=site.refused,
            words=rule.words,
            allowed=rule.allowed,
            rounding=rule.rounding,
            seen=site.seen,
        )


def _unplanted(
    described: Description, chance: Random, generator: Generator, undo: ExitStack
) -> tuple[Site, bool]:
    """A network without its oddity, and whether it is plain."""
    side = described.side
    first: Shape = (chance.choice((1, 2, 3, 4)), side, side + chance.randint(0, 2))
    image_shape, stem, refused = _stem(described.stem, chance, first)
    images = torch.randn(described.n_images, *image_shape, generator=generator)
    body, plain = nn.Sequential(), True
    with torch.no_grad():
        values = stem(images[:2])
        for name, seed in described.pieces:
            made = PIECES[name](Random(seed), tuple(values.shape[1:]))
            body.append(made.module.eval())
            plain &= made.plain
            refused |= made.refused
            values = made.module(values.clone())
    head = _head(described.head, chance, tuple(values.shape[1:]), chance.randint(3, 5))
    if described.stem == "images" and chance.random() < 0.5:
        network: nn.Module = nn.Sequential(body, head)
    else:
        network = of_forward(root_forward, stem=stem, body=body, head=head)
    initialise(network, generator)
    words = {module: (word,) for module, word in refused.items()}
    return Site(network.eval(), body, images, chance, words, undo), plain


def root_forward(self: Any, images: Tensor) -> Tensor:
    return self.head(self.body(self.stem(images)))


def initialise(network: nn.Module, generator: Generator) -> None:
    """Weights of such a size that feature maps keep theirs, and statistics as after training."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                scale = 1.4 / (parameter[0].numel() ** 0.5)
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            else:
                offset = float(name.endswith("weight"))
                parameter.copy_(offset + 0.4 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            mean, var = (getattr(module, f"running_{each}", None) for each in ("mean", "var"))
            if isinstance(mean, Tensor) and isinstance(var, Tensor):
                mean.copy_(0.5 * torch.randn(mean.shape, generator=generator))
                var.copy_(0.5 + 1.5 * torch.rand(var.shape, generator=generator))


def _labels(network: nn.Module, images: Tensor, generator: Generator) -> Tensor:
    """The network's own answers for half of the images, so that it can lose and gain."""
    with torch.no_grad():
        answers = network(images.clone())
    logits = answers if isinstance(answers, Tensor) else answers[0]
    labels = torch.randint(0, logits.shape[1], (len(images),), generator=generator)
    labels[::2] = logits.argmax(1)[::2]
    return labels


def tokens_stem_forward(self: Any, sequences: Tensor) -> Tensor:
    return self.embed(sequences).transpose(1, 2).unsqueeze(3)


def signals_stem_forward(self: Any, signals: Tensor) -> Tensor:
    return self.conv(signals).unsqueeze(2)


def volumes_stem_forward(self: Any, volumes: Tensor) -> Tensor:
    return self.conv(volumes).mean(dim=2)


def _stem(
    name: str, chance: Random, shape: Shape
) -> tuple[tuple[int, ...], nn.Module, dict[nn.Module, str]]:
    """The shape of an image, what makes feature maps of it, and what of that is refused."""
    channels, height, width = shape
    match name:
        case "vectors":
            size = chance.randint(3, 7)
            linear = nn.Linear(size, channels * height * width)
            return (size,), nn.Sequential(linear, nn.Unflatten(1, shape)), {}
        case "sequences":
            embed = nn.Linear(3, channels)
            return (height, 3), of_forward(tokens_stem_forward, embed=embed), {}
        case "signals":
            conv: nn.Module = nn.Conv1d(2, channels, 3, padding=1)
            stem = of_forward(signals_stem_forward, conv=conv)
            return (2, width), stem, {conv: "is no Conv2d or Linear"}
        case "volumes":
            conv = nn.Conv3d(1, channels, (2, 1, 1))
            stem = of_forward(volumes_stem_forward, conv=conv)
            return (1, 3, height, width), stem, {conv: "is no Conv2d or Linear"}
    return shape, nn.Identity(), {}


def tokens_head_forward(self: Any, values: Tensor) -> Tensor:
    return self.classes(values.flatten(2).transpose(1, 2)).mean(dim=1)


def convolutional_head_forward(self: Any, values: Tensor) -> Tensor:
    return self.classes(values).mean((2, 3))


def attentive_head_forward(self: Any, values: Tensor) -> Tensor:
    tokens = values.flatten(2).transpose(1, 2)
    weights = self.score(tokens).softmax(dim=1)
    return self.classes((weights * tokens).sum(dim=1))


def _head(name: str, chance: Random, shape: Shape, n_classes: int) -> nn.Module:
    channels, height, width = shape
    size = channels * height * width
    match name:
        case "flattened":
            return nn.Sequential(nn.Flatten(), nn.Linear(size, n_classes))
        case "mlp":
            return nn.Sequential(
                nn.Flatten(),
                nn.Linear(size, 8),
                nn.BatchNorm1d(8) if chance.random() < 0.5 else nn.LayerNorm(8),
                activation(chance),
                nn.Dropout(0.5),
                nn.Linear(8, n_classes, bias=chance.random() < 0.5),
            )
        case "tokens":
            return of_forward(tokens_head_forward, classes=nn.Linear(channels, n_classes))
        case "convolutional":
            return of_forward(convolutional_head_forward, classes=nn.Conv2d(channels, n_classes, 1))
        case "attentive":
            return of_forward(
                attentive_head_forward,
                score=nn.Linear(channels, 1),
                classes=nn.Linear(channels, n_classes),
            )
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(pool, nn.Flatten(), nn.Linear(channels, n_classes))
