"""Networks whose modules do something beside their classes, against kernels put in by hand."""

import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.evaluation import Evaluator, Precision, plain_evaluation
from compressibility.networks.kernels import find_kernels, kernel_array
from tests.kernels_by_hand import (
    ALL,
    N_CLASSES,
    Network,
    Other,
    answered,
    assert_right,
    by_hand,
    drawn,
    images_of,
)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
class TestEdited:
    """Padding, dilation and stride assigned after construction."""

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
    """Hooks in front of a layer, behind it, on it, around it, and on everything."""

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
    """A network that ``torch.compile`` has run once."""

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
    assert_right(drawn(OfManyRanks(rank)), ["plane", "head"], images_of(shape))


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
