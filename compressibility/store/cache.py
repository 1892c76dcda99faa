"""Where images, datasets, checkpoints and shards lie."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    """The folders below one root."""

    root: Path

    @property
    def images(self) -> Path:
        """Downloaded images."""
        return self.root / "images"

    def dataset(self, experiment: str) -> Path:
        """The layer dataset of an experiment."""
        return self.root / "layers" / f"{experiment}.nc"

    def checkpoint(self, experiment: str, seed: int) -> Path:
        """The trained network of one seed."""
        return self.root / "checkpoints" / experiment / f"seed-{seed}.safetensors"

    def shards(self, experiment: str) -> Path:
        """Work in progress on an experiment."""
        return self.root / "shards" / experiment


def default() -> Cache:
    """``COMPRESSIBILITY_CACHE``, or ``datasets_cache`` of the checkout or the working folder."""
    named = os.environ.get("COMPRESSIBILITY_CACHE")
    if named:
        return Cache(Path(named))
    checkout = Path(__file__).resolve().parents[2]
    home = checkout if (checkout / "noxfile.py").exists() else Path.cwd()
    return Cache(home / "datasets_cache")
