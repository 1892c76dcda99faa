"""Why a layer of a network is not measured."""

from collections.abc import Collection, Mapping, ValuesView
from typing import Any, Final

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from compressibility.networks.plainness import overridden

KINDS: Final[Mapping[str, type[nn.Conv2d] | type[nn.Linear]]] = {
    "Conv2d": nn.Conv2d,
    "Linear": nn.Linear,
}
"""The layers that hold a kernel, by their names."""

_OF_EVERY_MODULE: Final = frozenset(vars(nn.Module()))


def kind_of(module: nn.Module) -> str:
    """The name out of `KINDS` of what a module is; empty for any other."""
    return next((kind for kind, base in KINDS.items() if isinstance(module, base)), "")


def refusal(module: nn.Module) -> str | None:
    """Why the weight of this module, taken alone, is no kernel that can be measured.

    None for a Conv2d or Linear whose weight is what it applies, and for a module without weights.
    """
    name = type(module).__name__
    own = dict(module.named_parameters(recurse=False))
    if not kind_of(module):
        matrices = [key for key, value in own.items() if is_lazy(value) or value.ndim > 1]
        if matrices:
            return f"{name} (holding {', '.join(matrices)}) is no Conv2d or Linear"
        if callable(getattr(type(module), "weight", None)):
            return f"{name} keeps its weight packed, as integers"
        return None
    if "weight" not in own:
        if parametrize.is_parametrized(module, "weight"):
            parametrizations: Any = module.parametrizations
            sources = ", ".join(type(step).__name__ for step in parametrizations["weight"])
        else:
            sources = ", ".join(key for key in own if key != "bias") or "elsewhere"
        return f"its weight is computed anew in every pass, from {sources}"
    weight = own["weight"]
    if is_lazy(weight):
        return "it has no weight before its first forward pass"
    if (method := overridden(module)) is not None:
        method = "forward pass" if method in ("forward", "_conv_forward") else method
        return f"{name} has a {method} of its own, so that its weight need not be its kernel"
    if type(weight) is not nn.Parameter:
        return f"its weight is a {type(weight).__name__}, which need not act as its numbers say"
    if not weight.is_floating_point():
        return f"its weight is {weight.dtype}: only real floating-point kernels are measured"
    if len(weight.shape) != (4 if isinstance(module, nn.Conv2d) else 2):
        return f"its weight has shape {tuple(weight.shape)}"
    return None


def _hidden(module: nn.Module, seen: Collection[nn.Module]) -> str | None:
    """The attribute in which a module keeps layers that are not among those ``seen``."""
    for attribute in vars(module).keys() - _OF_EVERY_MODULE:
        value = vars(module)[attribute]
        values = value.values() if isinstance(value, Mapping) else value
        some = values if isinstance(values, list | tuple | set | ValuesView) else (value,)
        modules = [each for each in some if isinstance(each, nn.Module)]
        if any(_holds_weights(each) and each not in seen for each in modules):
            return attribute
    return None


def _holds_weights(module: nn.Module) -> bool:
    return any(is_lazy(value) or value.ndim > 1 for value in module.parameters())


def refusals(model: nn.Module) -> dict[str, str]:
    """Every module with weights that is refused whatever the input, with the reason.

    A module counts as one with weights if it holds a parameter of two or more dimensions; a vector
    (bias, affine part of a normalisation) has no cut.

    Returns:
        Module path to reason; the root's path is empty.
    """
    sharing = _sharing(model)
    seen = set(model.modules())
    reasons: dict[str, str] = {}
    parametrized: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(prefix) for prefix in parametrized):
            continue
        if parametrize.is_parametrized(module):
            parametrized.append(f"{path}.parametrizations." if path else "parametrizations.")
        reason = refusal(module) or _refusal_to_share(path, module, sharing)
        if reason is None and (attribute := _hidden(module, seen)) is not None:
            reason = (
                f"it keeps layers in {attribute}, where PyTorch does not see them: register them "
                "(nn.ModuleList, nn.ModuleDict)"
            )
        if reason is not None:
            reasons[path] = reason
    return reasons


def refusal_in(model: nn.Module, path: str) -> str | None:
    """Why the weight of the module at a path of a network is no kernel that can be measured."""
    module = model.get_submodule(path)
    return refusal(module) or _refusal_to_share(path, module, _sharing(model))


def _refusal_to_share(
    path: str, module: nn.Module, sharing: Mapping[str, Collection[str]]
) -> str | None:
    others = sharing.get(f"{path}.weight" if path else "weight", ())
    return f"it shares its weight with {', '.join(others)}" if others and kind_of(module) else None


def _sharing(model: nn.Module) -> dict[str, list[str]]:
    """For each parameter that overlaps others in memory, their names."""
    holders: dict[int, list[tuple[str, range]]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            if is_lazy(parameter) or parameter.device.type == "meta" or not parameter.numel():
                holders.setdefault(-id(parameter), []).append((name, range(1)))
                continue
            steps = zip(parameter.shape, parameter.stride(), strict=True)
            reach = 1 + sum((size - 1) * stride for size, stride in steps)
            start = parameter.data_ptr()
            place = range(start, start + reach * parameter.element_size())
            holders.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, place))
    return {
        name: others
        for group in holders.values()
        for name, place in group
        if (others := [each for each, its in group if each != name and _overlap(place, its)])
    }


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop
