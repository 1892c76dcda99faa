"""Networks whose modules do something beside their classes, against the network itself.

The truth is what anyone would do by hand: put the kernel into the network's own weight, run the
whole network on all images, and put the weight back.
"""

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, weight_norm

from compressibility.errors import UserError
from compressibility.evaluation import Evaluator, Precision, Truncations, plain_evaluation
from compressibility.networks.kernels import find_kernels, kernel_array
from compressibility.networks.landscape import TrainingLoss
from compressibility.tensors.schmidt import decompose

N_CLASSES = 5


class Network(nn.Module):
    """Convolutions with what a test does to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.tail = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.norm(self.stem(images)))
        values = torch.relu(self.tail(self.body(values)))
        return self.head(values.mean(dim=(2, 3)))


def drawn(network: nn.Module) -> nn.Module:
    """Weights of a fixed seed, under which the answers differ from image to image."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_mean.normal_(0, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network


def images_of(shape: tuple[int, ...] = (3, 8, 8), n: int = 90) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def answered(network: nn.Module, images: Tensor) -> Tensor:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with torch.no_grad():
        answers = network(images).float()
    for module, mode in modes.items():
        module.training = mode
    return answers


def centre(network: nn.Module, images: Tensor) -> None:
    """Let no class be answered more than others."""
    for _ in range(2):
        logits = answered(network, images)
        with torch.no_grad():
            network.head.bias -= logits.mean(0) / 2


def by_hand(
    network: nn.Module, layer: str, kernels: Sequence[np.ndarray], images: Tensor, labels: Tensor
) -> list[tuple[int, float]]:
    """Right answers and mean loss with each kernel in the weight of a layer."""
    weight = network.get_parameter(f"{layer}.weight")
    own, found = weight.detach().clone(), []
    for kernel in kernels:
        with torch.no_grad():
            weight.copy_(torch.from_numpy(np.asarray(kernel)).reshape(weight.shape))
        logits = answered(network, images)
        loss = float(functional.cross_entropy(logits, labels))
        found.append((int((logits.argmax(1) == labels).sum()), loss))
        with torch.no_grad():
            weight.copy_(own)
    return found


def assert_right(
    network: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    *,
    noted: Sequence[str] = (),
    precision: Precision = "float32",
) -> Evaluator:
    """Every count is that by hand, and the layers noted are those."""
    centre(network, images)
    labels = answered(network, images).argmax(1)
    labels[::3] = (labels[::3] + 1) % N_CLASSES
    evaluator = Evaluator(network, images, labels, precision=precision)
    for layer in layers:
        decomposition = decompose(kernel_array(network, layer).astype(np.float64), "OUT")
        ranks = range(1, len(decomposition.schmidt_values))
        kernels = [decomposition.truncated(rank) for rank in ranks]
        truth = by_hand(network, layer, kernels, images, labels)
        assert len({count for count, _ in truth}) > 1, "the kernels do not change the answers"
        group = Truncations(decomposition, ranks)
        [found] = evaluator.variants(layer, [group])
        alone = [evaluator.kernels(layer, [kernel])[0] for kernel in kernels]
        together = evaluator.joint([{layer: decomposition.chain(rank)} for rank in ranks])
        for some in (found, alone, together):
            assert [each.n_correct for each in some] == [count for count, _ in truth]
            for each, (_, loss) in zip(some, truth, strict=True):
                assert np.isnan(each.loss) or each.loss == pytest.approx(loss, rel=1e-4)
    assert sorted(evaluator.notes) == sorted(noted), evaluator.notes
    return evaluator


ALL = ("stem", "body.0", "tail")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
class TestEdited:
    """1. Padding, dilation and stride assigned after construction."""

    @pytest.mark.parametrize(
        "change",
        [{"padding": (2, 2)}, {"padding": 1}, {"padding": 2, "dilation": (2, 2)}, {"stride": 2}],
        ids=str,
    )
    def test_an_edited_convolution(self, change: dict[str, object], precision: Precision) -> None:
        network = drawn(Network())
        for name, value in change.items():
            setattr(network.body[0], name, value)
        assert_right(network, ALL, images_of(), precision=precision)

    def test_padding_that_is_not_read(self, precision: Precision) -> None:
        network = Network()
        network.tail = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
        network.tail.padding = (2, 2)
        assert_right(drawn(network), ALL, images_of(), precision=precision)

    def test_groups(self, precision: Precision) -> None:
        network = Network()
        network.tail = nn.Conv2d(4, 8, 3, padding=1)
        network.tail.groups = 2
        assert_right(drawn(network), ALL, images_of(), precision=precision)


def doubled(module: nn.Module, given: object, output: Tensor) -> Tensor:
    return 2 * output - 0.3


def shifted(module: nn.Module, given: tuple[Tensor]) -> Tensor:
    return given[0] - 0.3


def with_keywords(module: nn.Module, args: object, kwargs: object, output: Tensor) -> Tensor:
    return output.clamp(max=0.7)


HOOKS: dict[str, Callable[[nn.Module], object]] = {
    "forward hook": lambda module: module.register_forward_hook(doubled),
    "pre-hook": lambda module: module.register_forward_pre_hook(shifted),
    "hook with keywords": lambda m: m.register_forward_hook(with_keywords, with_kwargs=True),
}


@pytest.mark.parametrize("hook", HOOKS)
class TestHooks:
    """2. Hooks in front of a layer, behind it, on it, around it, and on everything."""

    @pytest.mark.parametrize("place", ["stem", "norm", "body.0", "body.1", "tail"])
    def test_on_a_module(self, place: str, hook: str) -> None:
        network = drawn(Network())
        HOOKS[hook](network.get_submodule(place))
        noted = [place] if place in ALL else []
        evaluator = assert_right(network, ALL, images_of(), noted=noted)
        assert all("carries a forward" in reason for reason in evaluator.notes.values())

    def test_on_a_container(self, hook: str) -> None:
        network = drawn(Network())
        HOOKS[hook](network.body)
        assert_right(network, ALL, images_of(), noted=["body.0"])

    def test_on_the_network(self, hook: str) -> None:
        network = drawn(Network())
        HOOKS[hook](network)
        evaluator = assert_right(network, ALL, images_of(), noted=[""])
        assert "the network itself carries a forward" in evaluator.notes[""]


@pytest.mark.parametrize(
    "register",
    [
        lambda: nn.modules.module.register_module_forward_hook(lambda m, given, out: 1.1 * out),
        lambda: nn.modules.module.register_module_forward_pre_hook(shifted),
    ],
    ids=["forward hook", "pre-hook"],
)
def test_hooks_on_every_module(register: Callable[[], Any]) -> None:
    handle = register()
    try:
        assert_right(drawn(Network()), ALL, images_of(), noted=[""])
    finally:
        handle.remove()


def halved(self: nn.Conv2d, images: Tensor) -> Tensor:
    return 0.5 * nn.Conv2d.forward(self, images)


class TestPatched:
    """Methods set on an object."""

    @pytest.mark.parametrize("place", ["norm", "body.1", "body"])
    def test_a_method_that_takes_its_module(self, place: str) -> None:
        network = drawn(Network())
        module = network.get_submodule(place)
        method = type(module).forward
        module.forward = types.MethodType(lambda self, x: 0.5 * method(self, x) + 0.1, module)
        noted = ["body.0"] if place == "body" else []
        assert_right(network, ALL, images_of(), noted=noted)

    def test_a_convolution_with_another_forward_is_no_kernel(self) -> None:
        network = drawn(Network())
        network.tail.forward = types.MethodType(halved, network.tail)
        assert [k.layer for k in find_kernels(network, images_of())] == ["stem", "body.0"]
        assert_right(network, ["stem", "body.0"], images_of())

    def test_a_closure_over_the_original_is_refused_where_it_matters(self) -> None:
        """The copy would call the original's convolution, whatever its own kernel."""
        network = drawn(Network())
        original = network.body.forward
        network.body.forward = lambda images: 0.5 * original(images)
        images = images_of()
        labels = answered(network, images).argmax(1)
        evaluator = Evaluator(network, images, labels)
        with pytest.raises(
            UserError, match=r"layer body\.0: a kernel replaced in a copy .* does not act"
        ):
            evaluator.kernels("body.0", [0 * kernel_array(network, "body.0")])
        assert_right(network, ["stem", "tail"], images)

    def test_a_hook_that_reads_another_layers_weight_of_the_original(self) -> None:
        network = drawn(Network())
        weight = network.body[0].weight
        network.tail.register_forward_hook(lambda m, given, output: output * weight.mean() * 40)
        images = images_of()
        labels = answered(network, images).argmax(1)
        evaluator = Evaluator(network, images, labels)
        with pytest.raises(UserError, match=r"layer body\.0: a kernel replaced in a copy"):
            evaluator.kernels("body.0", [2 * kernel_array(network, "body.0")])


class TestCompiled:
    """3. A network that ``torch.compile`` has run once."""

    def test_compiled_and_run(self) -> None:
        network, images = drawn(Network()).eval(), images_of()
        truth = assert_right(network, ALL, images)
        compiled = torch.compile(network, backend="eager")
        compiled(images)
        labels = answered(network, images).argmax(1)
        found = Evaluator(compiled, images, labels)
        assert [k.layer for k in find_kernels(compiled, images)] == list(ALL)
        kernel = 0.5 * kernel_array(compiled, "tail")
        [one] = Evaluator(network, images, labels).kernels("tail", [kernel])
        [other] = found.kernels("tail", [kernel])
        assert one == other
        assert not found.notes | truth.notes

    def test_compiled_in_place(self) -> None:
        network, images = drawn(Network()).eval(), images_of()
        network.compile(backend="eager")
        network.body.compile(backend="eager")
        network(images)
        assert_right(network, ALL, images)


class Remembering(Network):
    def forward(self, images: Tensor) -> Tensor:
        self.features = self.stem(images)
        values = torch.relu(self.norm(self.features))
        values = torch.relu(self.tail(self.body(values)))
        return self.head(values.mean(dim=(2, 3)))


class TestNotCopied:
    """4. Networks that ``copy.deepcopy`` refuses."""

    @pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
    @pytest.mark.parametrize(
        "change",
        [
            lambda n: prune.l1_unstructured(n.tail, "weight", 0.5),
            lambda n: weight_norm(n.tail),
            lambda n: parametrizations.weight_norm(n.tail),
            lambda n: parametrizations.spectral_norm(n.tail),
        ],
        ids=["pruned", "old weight norm", "weight norm", "spectral norm"],
    )
    def test_a_weight_that_is_computed(self, change: Callable[[nn.Module], object]) -> None:
        network, images = drawn(Network()), images_of()
        change(network)
        assert_right(network, ["stem", "body.0"], images)
        network(images)  # the weight then hangs on a graph
        kernel = kernel_array(network, "stem")
        [found] = Evaluator(network, images, torch.arange(90) % 5).kernels("stem", [0.3 * kernel])
        [(count, _)] = by_hand(network, "stem", [0.3 * kernel], images, torch.arange(90) % 5)
        assert found.n_correct == count

    def test_a_remembered_feature_map(self) -> None:
        network, images = drawn(Remembering()), images_of()
        assert_right(network, ALL, images)
        network(images)
        features = network.features
        evaluator = Evaluator(network, images, torch.arange(90) % 5)
        assert network.features is features
        [found] = evaluator.kernels("tail", [0.3 * kernel_array(network, "tail")])
        assert evaluator.baseline.evaluation != found

    def test_an_unpicklable_attribute_is_named(self) -> None:
        network, images = drawn(Network()), images_of()
        network.source = (each for each in range(3))
        with pytest.raises(UserError, match=r"the network cannot be copied .*generator"):
            Evaluator(network, images, torch.zeros(len(images), dtype=torch.int64))


class OfManyRanks(nn.Module):
    """Convolutions of one, two and three image axes beside one another."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.volume = nn.Conv3d(1, 2, 3, padding=1)
        self.line = nn.Conv1d(3, 3, 3, padding=1)
        self.plane = nn.Conv2d(2, 6, 3, padding=1)
        self.head = nn.Linear(6, N_CLASSES)

    def forward(self, values: Tensor) -> Tensor:
        n = values.shape[0]
        if self.rank == 2:
            values = values.reshape(n, 3, 16)
        if self.rank in (2, 3):
            values = self.line(values).reshape(n, 1, 3, 4, 4)
        if self.rank == 4:
            values = values[:, None]
        values = self.volume(values).mean(dim=2)
        return self.head(torch.relu(self.plane(values)).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("rank", "shape"), [(2, (48,)), (3, (3, 16)), (4, (3, 4, 4)), (5, (1, 3, 4, 4))]
)
def test_inputs_of_any_rank_beside_other_convolutions(rank: int, shape: tuple[int, ...]) -> None:
    """5."""
    assert_right(drawn(OfManyRanks(rank)), ["plane", "head"], images_of(shape))


class Other(Network):
    """A network with another end."""

    def __init__(self, end: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.end = end

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.norm(self.stem(images)))
        return self.end(self, torch.relu(self.tail(self.body(values))))


def flattened_in_the_order_of_memory(network: Network, values: Tensor) -> Tensor:
    stored = values.as_strided((values.shape[0], 8, 64), (values.stride(0), 64, 1))
    weights = torch.linspace(0, 2, 64)
    return network.head((stored * weights).mean(dim=2))


def viewed(network: Network, values: Tensor) -> Tensor:
    return network.head(values.view(values.shape[0], -1).reshape(-1, 8, 64).amax(dim=2))


def in_bfloat16(network: Network, values: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.head(values.mean(dim=(2, 3)))
    return logits.float()


class TestLayoutAndDtypes:
    @pytest.mark.parametrize("end", [flattened_in_the_order_of_memory, viewed])
    def test_memory_layout(self, end: Callable[[nn.Module, Tensor], Tensor]) -> None:
        network = drawn(Other(end))
        evaluator = assert_right(network, ALL, images_of())
        assert plain_right(network)
        assert evaluator._form.layout is torch.contiguous_format

    def test_autocast_inside(self) -> None:
        evaluator = assert_right(drawn(Other(in_bfloat16)), ALL, images_of(), noted=[""])
        assert "bfloat16, which tracing does not keep" in evaluator.notes[""]

    def test_a_head_in_double_precision(self) -> None:
        network = Other(lambda network, values: network.head(values.double().mean(dim=(2, 3))))
        network.head.double()
        evaluator = assert_right(drawn(network), ALL, images_of(), noted=[""])
        assert "by whole forward passes" in evaluator.notes[""]

    def test_a_block_in_bfloat16(self) -> None:
        network = Network()
        network.body.to(torch.bfloat16)
        network.body.register_forward_pre_hook(lambda m, given: given[0].bfloat16())
        network.body.register_forward_hook(lambda m, given, output: output.float())
        assert_right(drawn(network), ["stem", "tail"], images_of(), noted=[""])

    def test_complex_and_integer_buffers(self) -> None:
        network = Other(
            lambda n, v: n.head((v.mean(dim=(2, 3)) * n.turn[n.index]).real * 2).float()
        )
        network.register_buffer("turn", torch.polar(torch.ones(8), torch.arange(8.0)))
        network.register_buffer("index", torch.arange(7, -1, -1))
        assert_right(drawn(network), ALL, images_of())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Evaluator(network, images_of(), torch.zeros(90, dtype=torch.int64))


def plain_right(network: nn.Module) -> bool:
    """Whether the plain way of the package counts as by hand."""
    images = images_of()
    labels = answered(network, images).argmax(1)
    kernel = 0.4 * kernel_array(network, "body.0")
    [(count, _)] = by_hand(network, "body.0", [kernel], images, labels)
    return plain_evaluation(network, images, labels, {"body.0": kernel}).n_correct == count


UNDEFINED = {
    "always-on dropout": (lambda n, v: n.head(functional.dropout(v).mean((2, 3))), "random"),
    "a batch mean": (lambda n, v: n.head((v - v.mean(0)).amax((2, 3))), "other images of its b"),
    "softmax over the batch": (lambda n, v: n.head(v.mean((2, 3))).softmax(0), "other images of"),
    "the first image": (lambda n, v: n.head(v.mean((2, 3)) + v[:1].mean()), "other images of its"),
    "the number of images": (lambda n, v: n.head(v.mean((2, 3))) / len(v), "other images of its b"),
    "a list of answers": (lambda n, v: [n.head(v.mean((2, 3)))], "it must return logits"),
}


@pytest.mark.parametrize("name", UNDEFINED)
@pytest.mark.parametrize("way", ["engine", "plain"])
def test_answers_that_are_not_defined_are_refused(name: str, way: str) -> None:
    end, reason = UNDEFINED[name]
    network, images = drawn(Other(end)), images_of()
    labels = torch.zeros(len(images), dtype=torch.int64)
    variant = {"tail": kernel_array(network, "tail")}
    ways = {
        "engine": lambda: Evaluator(network, images, labels),
        "plain": lambda: plain_evaluation(network, images, labels, variant),
    }
    with pytest.raises(UserError, match=reason):
        ways[way]()


def test_images_that_the_network_does_not_take_are_refused_in_a_line() -> None:
    with pytest.raises(
        UserError, match=r"does not take a batch of shape \(16, 4, 8, 8\)"
    ) as caught:
        Evaluator(drawn(Network()), images_of((4, 8, 8)), torch.zeros(90, dtype=torch.int64))
    assert "\n" not in str(caught.value)


class Overwriting(Network):
    """A hook that writes into what it is given, which is used again."""

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.norm(self.stem(images)))
        again = self.tail(self.body(values))
        return self.head(
            (torch.relu(again).mean((2, 3))) + values.mean(dim=(2, 3)).repeat(1, 2)[:, :8]
        )


def overwriting(module: nn.Module, given: tuple[Tensor]) -> None:
    given[0].mul_(1.5)


def test_a_hook_that_overwrites_its_input() -> None:
    network = drawn(Overwriting())
    network.body.register_forward_pre_hook(overwriting)
    assert_right(network, ALL, images_of(), noted=[""])


class Recording(Network):
    """Counts and averages what it is given, and keeps the last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("average", torch.zeros(3))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.last = images
        self.average.lerp_(images.mean(dim=(0, 2, 3)), 0.1)
        return super().forward(images)


def test_a_network_is_left_as_it_was() -> None:
    network, images = drawn(Recording()), images_of()
    find_kernels(network, images)
    evaluator = Evaluator(network, images, torch.zeros(90, dtype=torch.int64))
    evaluator.kernels("tail", [0 * kernel_array(network, "tail")])
    assert network.calls == 0
    assert not hasattr(network, "last")
    assert not network.average.any()
    assert network.training


class WritingIntoImages(Network):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.mul_(2))


def test_a_network_that_overwrites_its_images() -> None:
    network, images = drawn(WritingIntoImages()), images_of()
    before = images.clone()
    labels = torch.arange(90) % N_CLASSES
    kernel = 0.4 * kernel_array(network, "tail")
    found = Evaluator(network, images, labels).kernels("tail", [kernel])[0]
    assert torch.equal(images, before)
    [(count, loss)] = by_hand(network, "tail", [kernel], images, labels)
    assert (found.n_correct, found.loss) == (count, pytest.approx(loss, rel=1e-5))


@pytest.mark.parametrize("hooked", [False, True], ids=["engine", "whole passes"])
def test_chance_that_another_kernel_lets_loose_is_refused(hooked: bool) -> None:
    """The random slopes are those of negative values, which the network itself has not."""
    network = drawn(Other(lambda n, v: n.head(functional.rrelu(v.mean((2, 3)) - 1, training=True))))
    if hooked:
        network.tail.register_forward_hook(lambda module, given, output: 1 * output)
    labels = torch.zeros(90, dtype=torch.int64)
    network.tail.bias.data.fill_(50)
    evaluator = Evaluator(network, images_of(), labels)
    with pytest.raises(UserError, match="draws random numbers"):
        evaluator.kernels("tail", [np.full((8, 8, 3, 3), -1e3)])


def test_a_network_that_is_not_initialised_is_refused() -> None:
    network, labels = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), torch.zeros(90).long()
    with pytest.raises(UserError, match=r"1\.weight is uninitialised: run the network once"):
        Evaluator(network, images_of(), labels)
    with pytest.raises(UserError, match=r"1\.weight is uninitialised: run the network once"):
        TrainingLoss(network, [(images_of(), labels)])
