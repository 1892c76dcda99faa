"""The law: each count of the engine is that of the plain forward pass, or is refused with reason.

The plain forward pass is the user's own network, its weights overwritten by hand, on all images.
It shares no code with the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode

from compressibility.errors import UserError
from compressibility.evaluation import Evaluation, Evaluator, Kernels, Truncations
from compressibility.evaluation.variants import Replacement
from compressibility.networks.kernels import find_kernels, unsupported
from compressibility.networks.wrappers import unwrapped
from compressibility.tensors.arrays import Floating
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import decompose
from property_tests.networks import DrawnNetwork
from property_tests.oddities import BATCH, CHANCE

KINDS = ("Conv2d", "Linear")
PRECISIONS = ("float32", "bfloat16")
"""The lower one for many images alone; of fewer, all are measured in float32."""
SUMS = ("conv", "linear", "matmul", "mm", "norm", "mean", "pool", "softmax")
UNDEFINED = {"from run to run": CHANCE, "image by image": BATCH}
"""What a refusal must say where answers turn out undefined that were not meant to be."""
ROUNDED = 4
"""So often the plain forward pass is rounded otherwise."""
MOST_LAYERS = 2
"""So many layers of each network are measured."""


class BrokenError(AssertionError):
    """The law is broken; the first word says in which way."""


@dataclass(frozen=True)
class Outcome:
    """How a network fared.

    Attributes:
        way: ``fast``, ``whole`` where whole forward passes were needed, or ``refused``.
        reason: The word that a refusal had to say.
    """

    way: str
    reason: str = ""

    @property
    def kind(self) -> str:
        """The first word of the reason."""
        return self.reason.partition(":")[0]


def outcome(drawn: DrawnNetwork) -> Outcome:
    """Hold the engine against the plain forward pass on one network.

    Raises:
        BrokenError: The engine is wrong.
    """
    before = _state(drawn)
    try:
        layers, plain = _found(drawn), Plain(drawn)
        notes = [_measured(drawn, plain, layers, precision) for precision in PRECISIONS]
    except UserError as error:
        return _refused(drawn, error)
    except BrokenError as error:
        _require_defined(drawn, error)
        raise
    _require_defined(drawn)
    if not drawn.words:  # else the plain forward pass changes it too
        _require_same(before, _state(drawn))
    slow = [note for each in notes for note in each.values() if "whole" in note]
    if slow and drawn.plain:
        raise BrokenError(f"slow: {slow[0]}")
    return Outcome("whole" if slow else "fast")


def _found(drawn: DrawnNetwork) -> list[str]:
    """The measurable layers, which are those that are known to be."""
    network = unwrapped(drawn.network)
    found = [k.layer for k in find_kernels(drawn.network, drawn.images[:2].clone(), kinds=KINDS)]
    reasons = unsupported(drawn.network, drawn.images[:2].clone(), kinds=KINDS)
    for path, module in network.named_modules():
        words, told = drawn.refused.get(module, ()), reasons.get(path, "")
        if words and words != ("bfloat16",) and not any(word in told for word in words):
            raise BrokenError(f"layers: {path} is not refused as {' or '.join(words)}: {told}")
        if not words and isinstance(module, nn.Conv2d | nn.Linear) and path not in found:
            raise BrokenError(f"layers: {path} is not found: {told}")
    return [path for path in found if network.get_submodule(path) not in drawn.refused]


def _measured(
    drawn: DrawnNetwork, plain: "Plain", layers: list[str], precision: str
) -> Mapping[str, str]:
    """Compare some variants of some layers; the engine's notes."""
    rng = np.random.default_rng(drawn.description.seed)
    evaluator = Evaluator(
        drawn.network,
        drawn.images,
        drawn.labels,
        precision=precision,
        batch_size=5 if rng.random() < 0.5 else None,
    )
    compare = Comparison(drawn, plain, precision)
    compare({}, evaluator.joint([{}])[0], "unchanged")
    chosen = [layers[number] for number in rng.permutation(len(layers))[:MOST_LAYERS]]
    random: dict[str, Floating] = {}
    truncated: dict[str, Floating] = {}
    chains: dict[str, Replacement] = {}
    for layer in chosen:
        own = plain.kernel(layer)
        random[layer] = another(own, rng)
        asked: list[Kernels | Truncations] = [Kernels([random[layer], 0.5 * own])]
        if cuts := distinct_cuts(own.shape):
            decomposition = decompose(own, cuts[rng.integers(len(cuts))])
            n = len(decomposition.schmidt_values)
            rank = int(rng.integers(1, n + 1))
            asked.append(Truncations(decomposition, sorted({1, rank})))
            truncated[layer] = decomposition.truncated(rank)
            chains[layer] = decomposition.chain(rank)
        for group, found in zip(asked, evaluator.variants(layer, asked), strict=True):
            for number, (kernel, evaluation) in enumerate(zip(group.kernels, found, strict=True)):
                compare({layer: kernel}, evaluation, f"{type(group).__name__} {number}")
    together = [(random, random), (truncated, chains)]
    joint = evaluator.joint([replacements for _, replacements in together])
    for (kernels, _), evaluation in zip(together, joint, strict=True):
        compare(kernels, evaluation, "joint")
    return evaluator.notes


def another(own: Floating, rng: np.random.Generator) -> Floating:
    """A random kernel of about the same size."""
    scale = rng.uniform(0.5, 1.5) * np.sqrt(np.square(own).mean())
    return (scale * rng.standard_normal(own.shape)).astype(np.float32)


def answered(network: nn.Module, images: Tensor) -> Tensor:
    """What a network answers in evaluation mode; its modules then return to their modes."""
    modes = {module: module.training for module in network.modules()}
    with torch.no_grad():
        answers: Tensor = network.eval()(images.clone())
    for module, mode in modes.items():
        module.training = mode
    return answers


class Plain:
    """The user's own network with weights overwritten by hand, run on all images at once."""

    def __init__(self, drawn: DrawnNetwork) -> None:
        self._drawn = drawn
        self._known: dict[tuple[bytes | str, ...], Tensor] = {}
        self._modules = dict(unwrapped(drawn.network).named_modules())
        self.logits({})

    def kernel(self, layer: str) -> Floating:
        weight = self._weight(layer).numpy().copy()
        return weight.reshape(*weight.shape[:2], *(weight.shape[2:] or (1, 1)))

    def _weight(self, layer: str) -> Tensor:
        module = self._modules[layer]
        assert isinstance(module.weight, nn.Parameter)
        return module.weight.data

    def logits(self, kernels: Mapping[str, Floating]) -> Tensor:
        key = tuple(part for layer in kernels for part in (layer, kernels[layer].tobytes()))
        if key not in self._known:
            self._known[key] = self._run(kernels)
        return self._known[key]

    def rounding(self, kernels: Mapping[str, Floating]) -> float:
        """By how much logits may differ, of the largest, were every sum rounded otherwise."""
        own = self.logits(kernels)
        spread = 0.0
        for seed in range(ROUNDED):
            with Nudged(seed):
                spread = max(spread, float((self._run(kernels) - own).abs().max()))
        return 10 * spread / (1 + float(own.abs().max()))

    def _run(self, kernels: Mapping[str, Floating]) -> Tensor:
        network, images = self._drawn.network, self._drawn.images
        weights = {layer: self._weight(layer) for layer in kernels}
        originals = {layer: weight.clone() for layer, weight in weights.items()}
        for layer, weight in weights.items():
            weight.copy_(torch.from_numpy(np.array(kernels[layer])).reshape(weight.shape))
        answers = answered(network, images)
        for layer, weight in weights.items():
            weight.copy_(originals[layer])
        return answers


class Nudged(TorchFunctionMode):
    """Convolutions, products, norms and means end at a neighbour of the number that they give."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        summed = any(each in getattr(func, "__name__", "") for each in SUMS)
        if not summed or not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        up = torch.rand(result.shape, generator=self._generator) < 0.5
        ends = torch.full_like(result, torch.inf)
        return result.nextafter(torch.where(up, ends, -ends))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Whether an evaluation is that of the plain forward pass, up to rounding.

    What the network makes of rounding is asked for where the bound that is known is passed.
    """

    drawn: DrawnNetwork
    plain: Plain
    precision: str

    def __call__(self, kernels: Mapping[str, Floating], found: Evaluation, what: str) -> None:
        where = f"{what} of {', '.join(kernels)} in {self.precision}"
        if self._told(kernels, found, self.drawn.rounding):
            rounding = max(self.plain.rounding({}), self.plain.rounding(kernels))
            if told := self._told(kernels, found, max(self.drawn.rounding, rounding)):
                kind, how = told
                raise BrokenError(f"{kind}: {where}: {how}")

    def _told(
        self, kernels: Mapping[str, Floating], found: Evaluation, rounding: float
    ) -> tuple[str, str] | None:
        """What is wrong and how, if logits may differ by so much; None if nothing is."""
        labels, logits, unchanged = (
            self.drawn.labels,
            self.plain.logits(kernels),
            self.plain.logits({}),
        )
        was, is_ = (each.argmax(1) == labels for each in (unchanged, logits))
        doubtful = _doubtful(logits, rounding) | _doubtful(unchanged, rounding)
        counts = {
            "right": (is_, found.n_correct),
            "lost": (was & ~is_, found.n_lost),
            "gained": (~was & is_, found.n_gained),
        }
        for name, (counted, count) in counts.items():
            sure, most = int((counted & ~doubtful).sum()), int((counted | doubtful).sum())
            if not sure <= count <= most:
                return "count", f"{count} {name}, by the plain forward pass {counted.sum()}"
        if self.precision == "float32":
            loss = float(nn.functional.cross_entropy(logits, labels))
            if not abs(found.loss - loss) <= rounding * (1 + float(logits.abs().max())):
                return "loss", f"{found.loss:.6g}, by the plain forward pass {loss:.6g}"
        return None


def _doubtful(logits: Tensor, rounding: float) -> Tensor:
    """The images whose two largest logits differ by rounding alone."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second <= rounding * (1 + logits.abs().max())


def _refused(drawn: DrawnNetwork, error: UserError) -> Outcome:
    told = str(error)
    if "\n" in told:
        raise BrokenError(f"lines: refused in several lines: {told}") from error
    words = drawn.words + drawn.allowed or UNDEFINED.get(undefined(drawn), ())
    if not words:
        raise BrokenError(f"refused: a sound network: {told}") from error
    said = [word for word in words if word in told]
    if not said:
        raise BrokenError(f"reason: refused without {' or '.join(words)}: {told}") from error
    return Outcome("refused", said[0])


def undefined(drawn: DrawnNetwork) -> str:
    """How the answers of a network are undefined; empty if they are the same however asked."""
    network, images = drawn.network, drawn.images
    first = answered(network, images)
    if not isinstance(first, Tensor):
        return "by no tensor"
    answered(network, images.flip(0))
    if not all(_agree(answered(network, images), first) for _ in range(2)):
        return "from run to run"
    try:
        halves = torch.cat([answered(network, half) for half in images.tensor_split(2)])
        alone = torch.cat([answered(network, image[None]) for image in images])
    except RuntimeError:
        return "image by image"
    return "" if _agree(halves, first) and _agree(alone, first) else "image by image"


def _agree(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-4 * (1e-3 + other.abs().max()))


def _require_defined(drawn: DrawnNetwork, cause: BrokenError | None = None) -> None:
    if drawn.words and (told := undefined(drawn)):
        raise BrokenError(f"unrefused: the network answers otherwise {told}") from cause


def _state(drawn: DrawnNetwork) -> dict[str, Tensor]:
    """All of the user's that the engine must leave as it was."""
    modes = [module.training for module in drawn.network.modules()]
    own = {"images": drawn.images, "labels": drawn.labels, "modes": torch.tensor(modes)}
    return own | {key: value.clone() for key, value in drawn.network.state_dict().items()}


def _require_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    if changed:
        raise BrokenError(f"changed: the user's {changed[0]}")
