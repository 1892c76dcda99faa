"""A compressed network as a folder: its weights, how to build it, and the network exported."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cattrs
import numpy as np
import torch
from cattrs.strategies import configure_tagged_union
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor, nn

from compressibility.compressing.recipe import Truncated
from compressibility.errors import ForeignError, UserError, foreign
from compressibility.files import WriteError, write_whole
from compressibility.networks.architectures import Architecture
from compressibility.networks.compression import compress
from compressibility.networks.imported import BuilderError
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.chains import Chain
from compressibility.tensors.schmidt import decompose
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
        architecture = {"kind": type(self.architecture).__name__, **asdict(self.architecture)}
        return json.dumps(asdict(self) | {"architecture": architecture}, indent=2) + "\n"


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A folder aside, which takes the given name when the block has ended; gone on any exception.

    Raises:
        WriteError: There is something of that name already, or the folder cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError(f"{folder} is there already: give another name, or move it away")
    aside = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        if folder.exists():
            folder.rmdir()
        aside.replace(folder)
    except OSError as error:
        raise WriteError(
            f"cannot write {folder}: {error.strerror}; free space, or choose another place"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def save(
    network: nn.Module, aside: Path, config: Callable[[str], Config], example: Tensor
) -> tuple[str, ...]:
    """Write weights, config and exports into a folder.

    Args:
        network: Compressed, on the CPU, in evaluation mode.
        aside: The folder.
        config: From the SHA-256 of the weights.
        example: Images as the network takes them, two or more.

    Returns:
        What could not be written, and why, a line each.

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
        return (f"neither {EXPORTED} nor {ONNX}: torch.export does not take it: {error}",)
    torch.export.save(exported, aside / EXPORTED)
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        return (f"no {ONNX}: onnx and onnxscript are not installed",)
    program = torch.onnx.export(exported, dynamo=True, verbose=False)
    assert program is not None
    program.save(aside / ONNX)
    return ()


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
    own = network.state_dict()
    strange = sorted(own.keys() ^ tensors.keys())
    strange += [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if strange:
        raise FolderError(
            f"{folder / WEIGHTS} does not fit the network of {CONFIG}: {', '.join(strange[:3])}"
        )
    network.load_state_dict(tensors)
    return network.eval()


def built(config: Config) -> nn.Module:
    """The network that a config tells of, its small layers filled with zeros."""
    with torch.random.fork_rng(devices=[]):
        network = config.architecture.build(config.input.shape[0], len(config.classes))
    chains: dict[str, Chain] = {}
    for layer, each in config.layers.items():
        empty = np.zeros_like(kernel_array(network, layer))
        chains[layer] = decompose(empty, each.cut).chain(each.rank)
    return compress(network, chains)


def read_config(folder: Path) -> Config:
    """The config of a folder.

    Raises:
        FolderError: There is none, or it is of a version that is not known.
    """
    path = folder / CONFIG
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise FolderError(
            f"cannot read {path}: {reason}; `compressibility compress` writes such a folder"
        ) from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise FolderError(
            f"{path} is no config of version {VERSION}: take the version of compressibility that "
            "made it"
        )
    converter = cattrs.Converter(forbid_extra_keys=True)
    configure_tagged_union(Architecture, converter, tag_name="kind")
    with suppress(KeyError):
        try:
            return converter.structure(data, Config)
        except cattrs.BaseValidationError as error:
            reason = "; ".join(cattrs.transform_error(error))
            raise FolderError(f"{path} is no config: {reason}") from error
    raise FolderError(f"{path} tells of an architecture that this version does not have")
