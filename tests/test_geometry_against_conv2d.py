"""The geometry read from a convolution, against what its own forward pass does."""

import pytest
import torch
from torch import nn

from compressibility.evaluation.responses import Convolution
from compressibility.networks.factorized import factorize
from compressibility.networks.geometry import Geometry
from compressibility.tensors.schmidt import decompose

EVEN = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


def edited(mode="zeros", window=3, **attributes):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, window, padding_mode=mode).requires_grad_(False)
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


EDITED = {
    "padding, a pair": edited(padding=(2, 1)),
    "padding, a number": edited(padding=1),
    "padding, one in a row": edited(padding=(2,)),
    "padding, a list": edited(padding=[0, 2]),
    "padding, same": edited(padding="same", window=(2, 4)),
    "padding, valid": edited(padding="valid"),
    "dilation": edited(dilation=(1, 2), padding=(1, 2)),
    "dilation of the same": edited(padding="same", dilation=3, window=(2, 3)),
    "stride": edited(stride=2, padding=1),
    "padding where it is not read": edited("circular", padding=(2, 2)),
    "reflected": nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="reflect"),
    "same, replicated": nn.Conv2d(4, 6, (4, 3), padding="same", padding_mode="replicate"),
}


@EVEN
@pytest.mark.parametrize("name", EDITED)
def test_the_engines_convolution_is_the_layer(name):
    layer = EDITED[name]
    images = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    convolution = Convolution.of(layer)
    kernel = convolution.tensor(layer.weight.detach().numpy())
    ours = convolution.apply(convolution.padded(images), kernel, layer.bias)
    torch.testing.assert_close(ours, layer(images))


@EVEN
@pytest.mark.parametrize("cut", ["OUT", "IN", "KH", "OUT,KW"])
@pytest.mark.parametrize("name", EDITED)
def test_the_factorised_layer_at_full_rank_is_the_layer(name, cut):
    layer = EDITED[name]
    images = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    decomposition = decompose(layer.weight.detach().numpy(), cut)
    small = factorize(layer, decomposition.chain(len(decomposition.schmidt_values)))
    torch.testing.assert_close(small(images), layer(images), rtol=1e-4, atol=1e-5)


def test_padding_of_another_mode_is_that_of_construction():
    layer = nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")
    layer.padding = (7, 7)
    assert Geometry.of(layer).vertical == (1, 1)
