"""Networks whose derivatives autograd gets wrong, by construction; and sound ones that look alike.

What is refused is told from the text of the fault. What is not is held against the Hessian written
out: by differences of the slopes of the same network without its ornament.
"""

import types
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune, weight_norm

from compressibility.errors import UserError
from compressibility.networks.copies import copied
from compressibility.networks.curvature import curvatures_along
from compressibility.networks.kernels import weights_hash
from compressibility.networks.landscape import TrainingLoss

LAYERS = ["stem", "body", "tail", "head"]


class Network(nn.Module):
    """Four layers, and between them what a test puts there."""

    def __init__(self, between: Callable[[nn.Module, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.tail = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 3)
        self.between = between

    def forward(self, images: Tensor) -> Tensor:
        values = functional.softplus(self.norm(self.stem(images)))
        values = functional.softplus(self.body(values))
        if self.between is not None:
            values = self.between(self, values)
        return self.head(functional.softplus(self.tail(values)).mean((2, 3)))


def drawn(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def batches(n: int = 12) -> list[tuple[Tensor, Tensor]]:
    images = torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(6))
    return [(images, torch.arange(n) % 3)]


def curvatures(network: nn.Module, layers: list[str] = LAYERS, **options) -> np.ndarray:
    """Along two directions for each layer."""
    loss = TrainingLoss(network, batches(), **options)
    found = []
    for layer in layers:
        hessian = loss.hessian([layer])
        directions = np.random.default_rng(7).standard_normal((2, hessian.shape[0]))
        found.append(curvatures_along(hessian, directions))
    return np.array(found)


def by_differences(network: nn.Module, layers: list[str] = LAYERS) -> np.ndarray:
    """Second differences of the loss in float64; the network has no ornament but what it shows."""
    network = network.double().eval()
    [(images, labels)] = batches()
    found = []
    for layer in layers:
        weight = network.get_submodule(layer).weight
        own, values = weight.detach().clone(), []
        for direction in np.random.default_rng(7).standard_normal((2, weight.numel())):
            unit = torch.from_numpy(direction / np.linalg.norm(direction)).view_as(weight)
            losses = []
            for step in (1e-3, 0, -1e-3):
                with torch.no_grad():
                    weight.copy_(own + step * unit)
                    losses.append(functional.cross_entropy(network(images.double()), labels).item())
            values.append((losses[0] - 2 * losses[1] + losses[2]) / 1e-6)
        with torch.no_grad():
            weight.copy_(own)
        found.append(values)
    return np.array(found)


class WrongFirst(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        [x] = ctx.saved_tensors
        return gradient * x.cos() * 1.01

    generate_vmap_rule = True


class WrongSecond(WrongFirst):
    """The first derivative is right; the second is computed without a graph."""

    @staticmethod
    def backward(ctx, gradient):
        [x] = ctx.saved_tensors
        return gradient * x.detach().cos()

    @staticmethod
    def jvp(ctx, tangent):
        return tangent


class OnlyOnce(WrongFirst):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        [x] = ctx.saved_tensors
        return gradient * x.cos()


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        [x] = ctx.saved_tensors
        with torch.no_grad():
            return gradient * x.cos()


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return -gradient

    generate_vmap_rule = True


def without_gradient(network: nn.Module, values: Tensor) -> Tensor:
    with torch.no_grad():
        return values.clone()


def in_inference_mode(network: nn.Module, values: Tensor) -> Tensor:
    with torch.inference_mode():
        return 1 * values


def hooked(network: nn.Module, values: Tensor) -> Tensor:
    values = 1 * values
    if values.requires_grad:
        values.register_hook(lambda gradient: 0.5 * gradient)
    return values


def by_memory(network: nn.Module, values: Tensor) -> Tensor:
    """A kernel held in a list is that of the layer, but autograd does not know it."""
    return values + functional.conv2d(values, network.held[0], padding=1, groups=2)


HIDDEN: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "no_grad": without_gradient,
    "detach": lambda network, x: x.detach(),
    "data": lambda network, x: x.data,
    "inference mode": in_inference_mode,
    "rounding": lambda network, x: (8 * x).round() / 8,
    "sign": lambda network, x: (x - x.mean((2, 3), keepdim=True)).sign() + 0.5,
    "argmax": lambda network, x: x.argmax(1, keepdim=True) * torch.ones_like(x),
    "NumPy": lambda network, x: torch.from_numpy(np.sin(x.detach().cpu().numpy())).to(x),
    "a detached shortcut": lambda network, x: x.sin() + 0.1 * x.detach(),
    "a detached gate": lambda network, x: x * x.mean((2, 3), keepdim=True).detach().sigmoid(),
    "a straight-through estimator": lambda network, x: x + ((8 * x).round() / 8 - x).detach(),
    "fake quantisation": lambda network, x: torch.fake_quantize_per_tensor_affine(
        x, 0.05, 0, 0, 255
    ),
    "a wrong backward": lambda network, x: WrongFirst.apply(x),
    "a wrong second derivative": lambda network, x: WrongSecond.apply(x),
    "once differentiable": lambda network, x: OnlyOnce.apply(x),
    "a function of the old style": lambda network, x: OldStyle.apply(x),
    "a reversed gradient": lambda network, x: Reversed.apply(x),
    "a hook on a tensor": hooked,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_loss_that_autograd_misreads_is_refused_for_the_layer_before_the_fault(name, dtype):
    network = drawn(Network(HIDDEN[name]))
    for layer in ("stem", "body"):
        with pytest.raises(UserError, match=f"layer '{layer}': ") as refused:
            curvatures(network, [layer], dtype=dtype)
        assert "\n" not in str(refused.value)
    loss = TrainingLoss(network, batches(), dtype=dtype)
    with pytest.raises(UserError, match=r"layer '(body|tail)'"):
        loss.hessian(["tail", "body", "head"])


def exact(network: nn.Module, values: Tensor) -> Tensor:
    return values.sin()


def dead(network: nn.Module, values: Tensor) -> Tensor:
    return torch.relu(-values - 1)  # of what softplus gives


SOUND: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "nothing": lambda network, x: x,
    "a sine": exact,
    "attention": lambda network, x: functional.scaled_dot_product_attention(x, x, x),
    "a checked branch": lambda network, x: x if x.sum() > 0 else -x,
    "dropout in evaluation mode": lambda network, x: functional.dropout(x, 0.5, network.training),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_network_has_the_curvature_of_second_differences(name):
    network = drawn(Network(SOUND[name]))
    before = weights_hash(network)
    torch.manual_seed(0)
    drawn_before = torch.rand(())
    torch.manual_seed(0)
    found = curvatures(network, dtype=torch.float64)
    assert torch.equal(torch.rand(()), drawn_before)
    assert weights_hash(network) == before
    np.testing.assert_allclose(found, by_differences(network), rtol=1e-3, atol=1e-7)


def test_a_flat_loss_has_no_curvature_and_is_not_refused():
    network = drawn(Network(dead))
    assert np.array_equal(curvatures(network, ["stem", "body"]), np.zeros((2, 2)))


def test_a_piecewise_linear_loss_is_not_refused():
    """Kinks of ReLUs and max pooling everywhere."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    assert np.isfinite(curvatures(network, ["0", "3"])).all()


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_published_architectures_are_not_refused(name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=3)
    loss = TrainingLoss(network, [(torch.randn(4, 3, 32, 32), torch.arange(4) % 3)])
    layers = [path for path, each in network.named_modules() if isinstance(each, nn.Conv2d)]
    hessian = loss.hessian([layers[len(layers) // 2]])
    assert np.isfinite(hessian @ np.ones(hessian.shape[0])).all()


def test_an_operation_without_a_second_derivative_is_named():
    with pytest.raises(UserError, match=r"cannot be differentiated twice \(.*hardsigmoid_backward"):
        curvatures(drawn(Network(lambda network, x: functional.hardsigmoid(x))), ["stem"])


CHANCE = {
    "dropout": lambda network, x: functional.dropout(x, 0.5, training=True),
    "noise": lambda network, x: x + np.random.normal(),  # noqa: NPY002
}


@pytest.mark.parametrize("name", CHANCE)
def test_chance_is_refused(name):
    with pytest.raises(UserError, match=r"draws random numbers|from run to run"):
        curvatures(drawn(Network(CHANCE[name])))


def test_images_that_depend_on_one_another_are_refused():
    with pytest.raises(UserError, match="change with the other images of its batch"):
        curvatures(drawn(Network(lambda network, x: x - x.mean(0))))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", [
    lambda network: prune.l1_unstructured(network.tail, "weight", 0.5),
    lambda network: weight_norm(network.tail),
], ids=["pruned", "weight norm"])  # fmt: skip
def test_a_network_with_a_computed_weight_is_measured_elsewhere(change):
    network = drawn(Network())
    change(network)
    network(batches()[0][0])
    found = curvatures(network, ["stem", "body"], dtype=torch.float64)
    [tail] = [copied(network).tail.weight.detach()]
    for name in ("weight_orig", "weight_mask", "weight_g", "weight_v"):
        if hasattr(network.tail, name):
            delattr(network.tail, name)
    plain = drawn(Network())
    with torch.no_grad():
        plain.tail.weight.copy_(tail)
    np.testing.assert_allclose(found, by_differences(plain, ["stem", "body"]), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("where", ["hook", "method", "training"])
def test_a_batch_norm_that_is_not_plain_is_not_taken_for_an_affine_map(where):
    """Against the same arithmetic between the layers."""

    class Bent(Network):
        def forward(self, images: Tensor) -> Tensor:
            values = functional.softplus(self.norm(self.stem(images)).sin())
            values = functional.softplus(self.body(values))
            return self.head(functional.softplus(self.tail(values)).mean((2, 3)))

    network, bent = drawn(Network()), drawn(Bent())
    if where == "training":
        network.norm.train(True)
        network.norm.train = lambda mode=True: network.norm
        with pytest.raises(UserError, match=r"from run to run|other images of its batch"):
            curvatures(network)
        return
    if where == "hook":
        network.norm.register_forward_hook(lambda module, given, output: output.sin())
    else:
        forward = type(network.norm).forward
        network.norm.forward = types.MethodType(lambda m, x: forward(m, x).sin(), network.norm)
    found = curvatures(network, dtype=torch.float64)
    np.testing.assert_allclose(found, by_differences(bent), rtol=1e-3, atol=1e-7)


def test_wrappers_frozen_weights_and_other_buffers_change_nothing():
    network = drawn(Network())
    expected = curvatures(network)
    network.register_buffer("turn", torch.ones(3, dtype=torch.complex64))
    network.register_buffer("index", torch.arange(3))
    network.requires_grad_(False)
    assert np.array_equal(curvatures(network), expected)
    assert np.array_equal(curvatures(nn.DataParallel(network)), expected)
    compiled = torch.compile(network, backend="eager")
    compiled(batches()[0][0])
    assert np.array_equal(curvatures(compiled), expected)


def test_a_closure_over_the_original_is_refused():
    network = drawn(Network())
    weight = network.body.weight
    network.tail.register_forward_hook(lambda m, given, output: output * weight.mean() * 40)
    with pytest.raises(UserError, match="layer 'body': a kernel replaced in a copy"):
        curvatures(network, ["body"])


def test_a_layer_of_two_names_keeps_its_weight_when_it_is_differentiated() -> None:
    """`functional_call` leaves what it was given in a module that is known by two names."""

    class TwoNames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = self.two = nn.Linear(72, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.two(images.flatten(1))

    network = drawn(TwoNames())
    plain = drawn(nn.Sequential(nn.Flatten(), nn.Linear(72, 3)))
    assert curvatures(network, ["one"]) == pytest.approx(by_differences(plain, ["1"]), rel=1e-2)
