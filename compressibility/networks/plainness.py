"""Whether a module computes what its class says, and nothing beside it: decided here alone."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

_HOOKS: Final = {
    "_forward_pre_hooks": "a forward pre-hook",
    "_forward_hooks": "a forward hook",
    "_backward_pre_hooks": "a backward pre-hook",
    "_backward_hooks": "a backward hook",
}
_GLOBAL_HOOKS: Final = tuple(f"_global{name}" for name in _HOOKS)

_WITHOUT_ARITHMETIC: Final = frozenset(
    {
        "__init__",
        "__repr__",
        "extra_repr",
        "reset_parameters",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__constants__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__qualname__",
        "__static_attributes__",
        "__weakref__",
    }
)
"""What a subclass may define anew without computing anything else."""


def addition(module: nn.Module) -> str | None:
    """What was added to a module, so that it does more than its class says; None if nothing was.

    Returns:
        The end of a sentence that begins with "it": "carries a forward hook", …
    """
    return next(_additions(module), None)


def peculiarity(module: nn.Module) -> str | None:
    """What a module does beside what its class in ``torch.nn`` does; None for a plain module.

    Something was added to it, or it is of a class derived from one that computes (a ``Conv2d``, a
    ``ReLU``) and computes otherwise. A class derived from ``nn.Module`` itself, or from a
    container, says all that its modules compute.

    Returns:
        As for :func:`addition`.
    """
    name = overridden(module)
    return f"has a {name} of its own" if name is not None else addition(module)


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module is one of ``kinds``, if any are given, and computes what its class does."""
    return (not kinds or isinstance(module, kinds)) and peculiarity(module) is None


def global_hooks() -> bool:
    """Whether hooks are registered that every module calls."""
    return any(getattr(torch_module, name) for name in _GLOBAL_HOOKS)


def method_set_on(module: nn.Module) -> str | None:
    """The first method that stands in the object itself, not in its class; None if none does."""
    own, kind = vars(module), type(module)
    return next(
        (name for name in own if callable(own[name]) and callable(getattr(kind, name, None))), None
    )


def overridden(module: nn.Module) -> str | None:
    """The first method with arithmetic that a module has otherwise than its ``torch.nn`` class.

    It stands in the object itself, or in a subclass.
    """
    kind: type = type(module)
    return method_set_on(module) or _overridden_by(kind)


def _additions(module: nn.Module) -> Iterator[str]:
    own = vars(module)
    yield from (f"carries {name}" for key, name in _HOOKS.items() if own.get(key))
    if (name := method_set_on(module)) is not None:
        yield f"has a {name} set on it"
    if parametrize.is_parametrized(module):
        computed: Any = module.parametrizations
        yield f"computes its {' and '.join(computed)} anew in every pass"
    for name, value in own.get("_parameters", {}).items():
        if value is not None and type(value) is not nn.Parameter:
            yield f"keeps its {name} as a {type(value).__name__}"
    if isinstance(module, nn.Conv2d | nn.Linear):
        loose = [name for name in ("weight", "bias") if isinstance(own.get(name), Tensor)]
        yield from (f"keeps its {name} as a tensor that is no parameter" for name in loose)


@cache
def _overridden_by(kind: type) -> str | None:
    base = _torch_class(kind)
    if base in (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return None
    declared = {name for each in base.__mro__ for name in (*vars(each), *_annotations(each))}
    derived = kind.__mro__[: kind.__mro__.index(base)]
    return next(
        (
            name
            for each in derived
            for name in vars(each)
            if name in declared and name not in _WITHOUT_ARITHMETIC
        ),
        None,
    )


def _annotations(kind: type) -> dict[str, Any]:
    return getattr(kind, "__annotations__", {})


@cache
def _torch_class(kind: type) -> type:
    """The nearest class that is PyTorch's own."""
    return next(each for each in kind.__mro__ if each.__module__.startswith("torch.nn."))
