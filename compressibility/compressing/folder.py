"""A compressed network as a folder: its weights, how to build it, and the network exported."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor, nn

from compressibility.compressing.documents import document, structured
from compressibility.compressing.recipe import Truncated
from compressibility.errors import ForeignError, UserError, foreign
from compressibility.files import WriteError, write_whole
from compressibility.networks import architectures
from compressibility.networks.architectures import Architecture
from compressibility.networks.checkpoints import misfit
from compressibility.networks.compression import compress
from compressibility.networks.imported import BuilderError
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.chains import Chain
from compressibility.tensors.factors import chain_of
from compressibility.tensors.modes import Cut, matrix_shape
from compressibility.version import __version__

VERSION: Final = 1
WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
EXPORTED: Final = "model.pt2"
ONNX: Final = "model.onnx"


class FolderError(UserError):
    """A folder that holds no compressed network, or one that does not fit; says why."""


@dataclass(frozen=True)
class Input:
    """What a network takes: (N, channels, height, width), float32.

    Attributes:
        shape: Channels, height and width.
        mean: Of each channel, of intensities from 0 to 1; it is taken off.
        deviation: Of each channel; what is left is divided by it.
        maximum: The intensity that counts as 1.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    maximum: int


@dataclass(frozen=True)
class Config:
    """How to build a compressed network, and what it takes and tells.

    Attributes:
        architecture: Of the dense network.
        classes: Their names, in the order of the logits.
        input: What it takes.
        layers: What is truncated, by module path.
        weights_sha256: Of the file of weights.
        made_by: The version of this package.
        version: Of this file's form.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    input: Input
    layers: Mapping[str, Truncated]
    weights_sha256: str
    made_by: str = __version__
    version: int = VERSION

    def json(self) -> str:
        """As JSON."""
        architecture = architectures.as_data(self.architecture)
        return json.dumps(asdict(self) | {"architecture": architecture}, indent=2) + "\n"


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A folder aside, which takes the given name when the block has ended; gone on any exception.

    Raises:
        WriteError: There is something of that name already, or the folder cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError(f"{folder} is there already: give another name, or move it away")
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        aside.mkdir(parents=True)
        yield aside
        aside.replace(folder)
    except OSError as error:
        raise WriteError(
            f"cannot write {folder}: {error.strerror}; free space, or choose another place"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def save(
    network: nn.Module, aside: Path, config: Callable[[str], Config], example: Tensor
) -> dict[str, str]:
    """Write weights, config and exports into a folder.

    Args:
        network: Compressed, on the CPU, in evaluation mode.
        aside: The folder.
        config: From the SHA-256 of the weights.
        example: Images as the network takes them, two or more.

    Returns:
        What could not be written, by name, and why.

    Raises:
        WriteError: A file cannot be written.
    """
    content = serialize({name: each.contiguous() for name, each in network.state_dict().items()})
    write_whole(aside / WEIGHTS, content)
    told = config(hashlib.sha256(content).hexdigest())
    write_whole(aside / CONFIG, told.json().encode())
    batch = torch.export.Dim("batch")
    try:
        with foreign():
            exported = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    except ForeignError as error:
        return dict.fromkeys((EXPORTED, ONNX), f"torch.export does not take the network: {error}")
    torch.export.save(exported, aside / EXPORTED)
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        return {ONNX: "onnx and onnxscript are not installed"}
    program = torch.onnx.export(exported, dynamo=True, verbose=False)
    assert program is not None
    program.save(aside / ONNX)
    return {}


def load(folder: str | Path) -> nn.Module:
    """The compressed network in a folder, in evaluation mode.

    Args:
        folder: As `compressibility compress` writes it.

    Raises:
        FolderError: It is no such folder, or its files are not of one another.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
        tensors = deserialize(content)
    except (OSError, SafetensorError) as error:
        raise FolderError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != config.weights_sha256:
        raise FolderError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} tells of: take both from one folder"
        )
    try:
        network = built(config)
    except BuilderError as error:
        raise FolderError(
            f"the network in {folder} cannot be built: {error} ({folder / EXPORTED} runs without "
            "that: torch.export.load)"
        ) from error
    if odd := misfit(tensors, network.state_dict()):
        raise FolderError(f"{folder / WEIGHTS} does not fit the network of {CONFIG}: {odd}")
    network.load_state_dict(tensors)
    return network.eval()


def built(config: Config) -> nn.Module:
    """The network that a config tells of, its small layers filled with zeros."""
    with torch.random.fork_rng(devices=[]):
        network = config.architecture.build(config.input.shape[0], len(config.classes))
    chains: dict[str, Chain] = {}
    for layer, each in config.layers.items():
        shape = kernel_array(network, layer).shape
        rows, columns = matrix_shape(shape, each.cut)
        left, right = np.zeros((rows, each.rank)), np.zeros((each.rank, columns))
        chains[layer] = chain_of(left, right, Cut.parse(each.cut), shape)
    return compress(network, chains)


def read_config(folder: Path) -> Config:
    """The config of a folder.

    Raises:
        FolderError: There is none, or it is of a version or an architecture that is not known.
    """
    path = folder / CONFIG
    data = document(path, "config", VERSION, "compressibility compress", FolderError)
    return structured(data, Config, path, "config", FolderError, architectures.converter())
