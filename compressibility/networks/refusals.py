"""Why a layer of a network is not measured."""

from collections.abc import Mapping
from typing import Any, Final

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

KINDS: Final[Mapping[str, type[nn.Conv2d] | type[nn.Linear]]] = {
    "Conv2d": nn.Conv2d,
    "Linear": nn.Linear,
}
"""The layers that hold a kernel, by their names."""


def kind_of(module: nn.Module) -> str:
    """The name out of `KINDS` of what a module is; empty for any other."""
    return next((kind for kind, base in KINDS.items() if isinstance(module, base)), "")


def refusal(module: nn.Module) -> str | None:
    """Why the weight of this module, taken alone, is no kernel that can be measured.

    None for a Conv2d or Linear whose weight is what it applies, and for a module without weights.
    """
    name = type(module).__name__
    own = dict(module.named_parameters(recurse=False))
    base = KINDS.get(kind_of(module))
    if base is None:
        matrices = [key for key, value in own.items() if is_lazy(value) or value.ndim > 1]
        return (
            f"{name} (holding {', '.join(matrices)}) is no Conv2d or Linear" if matrices else None
        )
    if "weight" not in own:
        if parametrize.is_parametrized(module, "weight"):
            parametrizations: Any = module.parametrizations
            sources = ", ".join(type(step).__name__ for step in parametrizations["weight"])
        else:
            sources = ", ".join(key for key in own if key != "bias") or "elsewhere"
        return f"its weight is computed anew in every pass, from {sources}"
    if is_lazy(own["weight"]):
        return "it has no weight before its first forward pass"
    if any(
        getattr(type(module), method, None) is not getattr(base, method, None)
        for method in ("forward", "_conv_forward")
    ):
        return f"{name} has a forward pass of its own, so that its weight need not be its kernel"
    return None


def refusals(model: nn.Module) -> dict[str, str]:
    """Every module with weights that is refused whatever the input, with the reason.

    A module counts as one with weights if it holds a parameter of two or more dimensions; a vector
    (bias, affine part of a normalisation) has no cut.

    Returns:
        Module path to reason; the root's path is empty.
    """
    holders: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            identity = 0 if is_lazy(parameter) else parameter.data_ptr()
            holders.setdefault(identity or id(parameter), []).append(name)
    sharing = {name: others for others in holders.values() for name in others if others[1:]}

    reasons: dict[str, str] = {}
    parametrized: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(prefix) for prefix in parametrized):
            continue
        if parametrize.is_parametrized(module):
            parametrized.append(f"{path}.parametrizations." if path else "parametrizations.")
        reason = refusal(module)
        if reason is None and kind_of(module):
            weight = f"{path}.weight" if path else "weight"
            others = [name for name in sharing.get(weight, ()) if name != weight]
            reason = f"it shares its weight with {', '.join(others)}" if others else None
        if reason is not None:
            reasons[path] = reason
    return reasons
