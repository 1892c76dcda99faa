"""Training against what must not change it, and initial weights against their known law."""

import numpy as np
import pytest
import torch
from torch import Generator

from compressibility.errors import NumericalError, UserError
from compressibility.networks.architectures import ResNet50, VanillaCNN, initialised
from compressibility.networks.image_sets import digits
from compressibility.networks.training import (
    Progress,
    Recipe,
    augmented,
    rounded_to_float16,
    train,
)

CPU = torch.device("cpu")
NETWORK = VanillaCNN(channels=(4, 6), pooled=(0,))
RECIPE = Recipe(epochs=3, batch_size=128, peak_learning_rate=0.1, shift=1, flip=True)


class _Stopped(Exception):  # noqa: N818
    pass


def _trained(state_file=None, stop_after: int | None = None) -> torch.nn.Module:
    def report(progress: Progress) -> None:
        if progress.epoch == stop_after:
            raise _Stopped

    generator = Generator().manual_seed(3)
    network = initialised(NETWORK, 1, 10, generator)
    return train(
        network, digits(), RECIPE, generator, device=CPU, state_file=state_file, report=report
    )


def _state(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def test_a_resumed_training_ends_at_the_uninterrupted_ones_weights(tmp_path) -> None:
    state_file = tmp_path / "state.pt"
    with pytest.raises(_Stopped):
        _trained(state_file, stop_after=1)
    assert state_file.exists()
    resumed, uninterrupted = _state(_trained(state_file)), _state(_trained())
    for name, tensor in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], tensor, err_msg=name)
    assert not state_file.exists()


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    _trained()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_training_learns_the_digits() -> None:
    images, generator = digits(), Generator().manual_seed(0)
    recipe = Recipe(epochs=5, batch_size=32, peak_learning_rate=0.1)
    network = initialised(VanillaCNN((16, 32), (0,)), 1, 10, generator)
    train(network, images, recipe, generator, device=CPU)
    with torch.no_grad():
        predicted = network(images.normalised(images.train.images)).argmax(1)
    assert float((predicted == images.train.labels).float().mean()) > 0.8


def test_augmented_images_are_shifts_and_mirrors_of_the_image() -> None:
    image = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    padded = np.pad(image.numpy()[0, 0], 1)
    windows = [padded[r : r + 5, c : c + 5] for r in range(3) for c in range(3)]
    allowed = {w.tobytes() for w in windows} | {w[:, ::-1].tobytes() for w in windows}
    drawn = augmented(image.repeat(500, 1, 1, 1), RECIPE, Generator().manual_seed(0))
    assert {w.tobytes() for w in drawn.numpy()[:, 0]} == allowed


def test_rounding_is_numpys_to_float16_of_every_floating_value_and_of_nothing_else() -> None:
    network = initialised(NETWORK, 1, 10, Generator().manual_seed(0))
    before = {name: tensor.copy() for name, tensor in _state(network).items()}
    after = _state(rounded_to_float16(network))
    for name, tensor in before.items():
        exact = tensor.astype(np.float16) if tensor.dtype == np.float32 else tensor
        np.testing.assert_array_equal(after[name], exact, err_msg=name)
        assert after[name].dtype == tensor.dtype
    assert not np.array_equal(after["head.weight"], before["head.weight"])


def test_rounding_refuses_what_float16_cannot_hold() -> None:
    network = initialised(NETWORK, 1, 10, Generator().manual_seed(0))
    network.state_dict()["head.bias"].fill_(1e5)
    with pytest.raises(NumericalError, match=r"head\.bias"):
        rounded_to_float16(network)


def test_initial_kernels_have_hes_variance() -> None:
    network = initialised(ResNet50(), 3, 10, Generator().manual_seed(0))
    for name, parameter in network.named_parameters():
        if parameter.ndim == 4:
            out, _, height, width = parameter.shape
            expected = 2 / (out * height * width)
            spread = 6 * expected * (2 / parameter.numel()) ** 0.5
            assert abs(float(parameter.detach().double().var()) - expected) < spread, name


def test_the_blocks_of_a_resnet_begin_as_the_identity() -> None:
    network = initialised(ResNet50(), 3, 10, Generator().manual_seed(0)).eval()
    values = torch.randn(2, 256, 5, 5, generator=Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network.layer1[1](values), values.relu())


def test_one_seed_gives_one_network_and_another_seed_another() -> None:
    one, same, other = (
        initialised(NETWORK, 1, 10, Generator().manual_seed(seed)).stage1.conv.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_diverging_training_says_so() -> None:
    recipe = Recipe(epochs=1, batch_size=128, peak_learning_rate=1e30)
    network = initialised(NETWORK, 1, 10, Generator().manual_seed(0))
    with pytest.raises(NumericalError, match="lower the peak learning rate"):
        train(network, digits(), recipe, Generator().manual_seed(0), device=CPU)


def test_too_few_images_for_a_batch_are_counted() -> None:
    recipe = Recipe(epochs=1, batch_size=999, peak_learning_rate=0.1)
    network = initialised(NETWORK, 1, 10, Generator().manual_seed(0))
    with pytest.raises(UserError, match="998 training images do not fill one batch of 999"):
        train(network, digits(), recipe, Generator().manual_seed(0), device=CPU)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VanillaCNN((4, 6), (0, 2)), "pool after convolution 2: they are numbered 0 to 1"),
        (lambda: VanillaCNN((), ()), r"channels \(\) build no network"),
        (lambda: VanillaCNN((4, 0), ()), r"channels \(4, 0\) build no network"),
        (lambda: ResNet50(stem_stride=0), "stem stride 0 is below 1"),
    ],
    ids=["pool", "none", "empty layer", "stride"],
)
def test_an_architecture_that_cannot_be_built_is_refused(build, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_resnet_50_has_53_convolutions_and_torchvisions_parameters() -> None:
    network = initialised(ResNet50(), 3, 1000, Generator().manual_seed(0))
    kernels = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(kernels) == 53
    stem = 64 * 3 * (7 * 7 - 3 * 3)
    assert sum(p.numel() for p in network.parameters()) == 25_557_032 - stem
