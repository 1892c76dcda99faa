"""Tensor-network compressibility of trained neural networks (after arXiv 2403.14379).

What a notebook needs is handed on from here, and loaded when it is first asked for; what reads
stored datasets loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compressibility.version import __version__ as __version__

if TYPE_CHECKING:
    from compressibility.compressing.folder import load as load
    from compressibility.evaluation import Evaluator as Evaluator
    from compressibility.networks.compression import compress as compress
    from compressibility.networks.compression import truncations as truncations
    from compressibility.networks.kernels import find_kernels as find_kernels
    from compressibility.own import measure as measure
    from compressibility.own import spectra as spectra
    from compressibility.scored import scores as scores
    from compressibility.store.netcdf import save as save
    from compressibility.store.reading import LayerData as LayerData
    from compressibility.store.reading import read as read
    from compressibility.tensors.modes import Cut as Cut
    from compressibility.tensors.schmidt import decompose as decompose
    from compressibility.tensors.schmidt import truncate as truncate
    from compressibility.tensors.spectra import spectrum as spectrum

_HANDED_ON = {
    "Cut": "tensors.modes",
    "spectrum": "tensors.spectra",
    "decompose": "tensors.schmidt",
    "truncate": "tensors.schmidt",
    "find_kernels": "networks.kernels",
    "Evaluator": "evaluation",
    "spectra": "own",
    "measure": "own",
    "scores": "scored",
    "truncations": "networks.compression",
    "compress": "networks.compression",
    "read": "store.reading",
    "LayerData": "store.reading",
    "save": "store.netcdf",
    "load": "compressing.folder",
}

__all__ = [*_HANDED_ON, "__version__"]


def __getattr__(name: str) -> Any:
    """The object of a name that is handed on."""
    if name not in _HANDED_ON:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HANDED_ON[name]}"), name)


def __dir__() -> list[str]:
    """The names that are handed on."""
    return sorted(__all__)
