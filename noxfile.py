#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox[uv]"]
# ///
import os

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ANEW = "datasets_cache/anew"
PROJECT = nox.project.load_toml("pyproject.toml")


def _install(session: nox.Session, *groups: str) -> None:
    session.install("-e.", *nox.project.dependency_groups(PROJECT, *groups))


def _measure(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    # interrupted, it keeps what is measured; nox would give it 0.3 seconds
    session.run("compressibility", "measure", *arguments, interrupt_timeout=30, env=env)


@nox.session
def analyses(session: nox.Session) -> None:
    """Recompute some of the digits' numbers and analyse every dataset.

    nox -s analyses -- --full trains and measures the digits anew, and analyses that;
    nox -s analyses -- my.nc other.nc analyses files.
    """
    _install(session, "analyses")
    if "--full" in session.posargs:
        _measure(session, "digits-vanilla", env={"COMPRESSIBILITY_CACHE": ANEW})
        anew = f"{ANEW}/layers/digits-vanilla.nc"
        session.run("python", "-m", "analyses", anew, "--report=report/anew")
        return
    if not session.posargs:
        session.run("compressibility", "verify", "digits-vanilla")
    session.run("python", "-m", "analyses", *session.posargs)


@nox.session
def measure(session: nox.Session) -> None:
    """Measure an experiment: nox -s measure -- cifar10-vanilla --seeds 0-3."""
    _install(session)
    _measure(session, *(session.posargs or ["digits-vanilla"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests and the property tests, file by file on every core."""
    session.env["UV_COMPILE_BYTECODE"] = "1"  # many tests start processes
    _install(session, "test")
    session.run("pytest", f"--numprocesses={os.cpu_count()}", "--dist=loadfile", *session.posargs)


@nox.session
def property_tests(session: nox.Session) -> None:
    """Run the property tests with ten times the examples."""
    _install(session, "test")
    session.run("pytest", "property_tests", "--hypothesis-profile=thorough", *session.posargs)


@nox.session
def verify(session: nox.Session) -> None:
    """Recompute a random sample of every stored dataset: nox -s verify -- --sample 100."""
    _install(session)
    session.run("compressibility", "verify", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time the engine against a plain loop and the floor; or, `-- compress`, weigh the advice."""
    _install(session, "test")
    which, *others = session.posargs or ("",)
    if which == "compress":
        session.run("python", "-m", "tests.benchmarks.compression", *others)
    else:
        session.run("python", "-m", "tests.benchmarks.sweep", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package with mypy, strictly."""
    _install(session, "types")
    session.run("mypy", *session.posargs)
