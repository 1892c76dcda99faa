"""The import rule of the package, read from the syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

GROUND = ("compressibility.errors", "compressibility.files", "compressibility.version")
TENSORS = (*GROUND, "compressibility.tensors")
STORE = (*TENSORS, "compressibility.store")
NETWORKS = (*TENSORS, "compressibility.networks")
EVALUATION = (*NETWORKS, "compressibility.evaluation")
SUBJECTS = (*EVALUATION, "compressibility.subjects")
QUANTITIES = (*SUBJECTS, "compressibility.store", "compressibility.quantities")
EXPERIMENTS = (*QUANTITIES, "compressibility.experiments")
MEASURING = (*EXPERIMENTS, "compressibility.measuring")
COMPRESSING = (*MEASURING, "compressibility.interruption", "compressibility.compressing")

ALLOWED = {
    "compressibility.errors": (),
    "compressibility.version": (),
    "compressibility.files": GROUND,
    "compressibility.tensors": TENSORS,
    "compressibility.store": STORE,
    "compressibility.networks": NETWORKS,
    "compressibility.evaluation": EVALUATION,
    "compressibility.subjects": SUBJECTS,
    "compressibility.quantities": QUANTITIES,
    "compressibility.experiments": EXPERIMENTS,
    "compressibility.measuring": MEASURING,
    "compressibility.interruption": (),
    "compressibility.compressing": COMPRESSING,
    "analyses": (*STORE, "analyses"),
}
"""What the modules below each name import of the project, besides ``compressibility`` itself."""

TORCHLESS = ("compressibility.tensors", "compressibility.store", "analyses")
TORCH = ("torch", "torchvision", "curvlinops")
FIRST_PARTY = ("compressibility", "analyses")
ROOT_PACKAGE = "compressibility"

Sources = Mapping[str, str]


def sources() -> dict[str, str]:
    """The source of every module of the project, by name; packages end in ``.__init__``."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text()
        for package in FIRST_PARTY
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imported(module: str, source: str, modules: Sources) -> Iterator[str]:
    """The modules that a module imports, at whatever depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ".".join(module.split(".")[: -node.level])
                base = f"{above}.{base}".rstrip(".")
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in modules or f"{name}.__init__" in modules else base


def handed_on(source: str) -> dict[str, str]:
    """The names that the package hands on when they are asked for, with their modules."""
    [names] = [
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HANDED_ON"
    ]
    return names


def violations(modules: Sources) -> list[str]:
    found = []
    for module, source in modules.items():
        for target in imported(module, source, modules):
            if below(target, FIRST_PARTY):
                found += [
                    f"{module} imports {target}"
                    for package, allowed in ALLOWED.items()
                    if below(module, (package,)) and not below(target, allowed)
                ]
                if target == ROOT_PACKAGE and f"{module} imports {target}" not in found:
                    found.append(f"{module} imports {target}")
                if below(target, ("analyses",)) and not below(module, ("analyses",)):
                    found.append(f"{module} imports {target}")
                if target == "compressibility.cli" and module != "compressibility.__main__":
                    found.append(f"{module} imports {target}")
                if target == "compressibility.measuring.sweep" and not module.startswith(
                    ("compressibility.cli", "compressibility.__main__")
                ):
                    found.append(f"{module} imports {target}")
            elif below(target, TORCH) and below(module, TORCHLESS):
                found.append(f"{module} imports {target}")
        if module.endswith(".__init__") and module != f"{ROOT_PACKAGE}.__init__":
            found += [f"{module} defines {name}" for name in definitions(source)]
    return found


def definitions(source: str) -> list[str]:
    """What a module does besides documenting itself and importing."""
    told = []
    for node in ast.parse(source).body:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                continue
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                told.append(name)
            case _:
                told.append(ast.unparse(node))
    return told


def graph(modules: Sources) -> dict[str, set[str]]:
    """Who imports whom; ``from package import name`` counts for the package, not for its parts."""
    edges = {}
    for module, source in modules.items():
        if module == f"{ROOT_PACKAGE}.__init__":  # it imports what it hands on when asked for it
            continue
        targets = {t.removesuffix(".__init__") for t in imported(module, source, modules)}
        named = {t if t in modules else f"{t}.__init__" for t in targets}
        edges[module] = {t for t in named if t in modules}
    return edges


def test_imports_run_downwards() -> None:
    assert violations(sources()) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    list(TopologicalSorter(graph(sources())).static_order())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("compressibility.tensors.modes", "from compressibility.store.schema import MODES"),
        ("compressibility.tensors.modes", "from compressibility.networks import kernels"),
        ("compressibility.tensors.modes", "import torch"),
        ("compressibility.networks.kernels", "from compressibility.store import schema"),
        ("compressibility.networks.kernels", "from compressibility.measuring import sweep"),
        ("compressibility.store.schema", "def f():\n    from torch import nn"),
        ("compressibility.store.schema", "import compressibility.networks.kernels"),
        ("compressibility.store.schema", "from ..networks import kernels"),
        ("compressibility.measuring.sweep", "from analyses import report"),
        ("compressibility.measuring.sweep", "from compressibility.cli import main"),
        ("compressibility.experiments", "from compressibility.measuring.sweep import measure"),
        ("compressibility.own", "from compressibility import spectra"),
        ("analyses.report", "import torch.nn"),
        ("analyses.report", "from compressibility.measuring import sweep"),
        ("analyses.report", "from compressibility.networks import kernels"),
        ("compressibility.store.__init__", "def load(): ..."),
        ("compressibility.store.__init__", "VALUE = 1"),
        ("analyses.__init__", "class Finding: ..."),
    ],
)
def test_the_rule_sees_each_kind_of_violation(module: str, source: str) -> None:
    skeleton = dict.fromkeys(
        (
            "compressibility.cli",
            "compressibility.experiments",
            "compressibility.measuring.sweep",
            "compressibility.networks.kernels",
            "compressibility.store.schema",
            "compressibility.tensors.modes",
            "analyses.report",
        ),
        "import numpy\nfrom compressibility.version import __version__",
    )
    assert violations(skeleton) == []
    assert violations(skeleton | {module: source}) != []


def test_what_the_package_hands_on_is_what_its_types_say() -> None:
    source = sources()[f"{ROOT_PACKAGE}.__init__"]
    typed = {
        alias.name: node.module.removeprefix(f"{ROOT_PACKAGE}.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module.startswith(ROOT_PACKAGE)
        for alias in node.names
    }
    assert handed_on(source) | {"__version__": "version"} == typed


def test_a_circle_is_seen() -> None:
    circle = {
        "compressibility.tensors.modes": "from compressibility.tensors import spectra",
        "compressibility.tensors.spectra": "from compressibility.tensors.modes import Cut",
    }
    with pytest.raises(CycleError):
        list(TopologicalSorter(graph(circle)).static_order())


def test_store_and_tensors_load_no_torch() -> None:
    names = [
        name.removesuffix(".__init__")
        for name in sources()
        if below(name, ("compressibility.tensors", "compressibility.store"))
    ]
    check = "import importlib, sys\n" + "\n".join(f"importlib.import_module({n!r})" for n in names)
    check += "\nprint(*[name for name in ('torch', 'torchvision') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []
    assert "compressibility.store.netcdf" in names
