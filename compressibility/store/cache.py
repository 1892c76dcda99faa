"""Where images, datasets, checkpoints and shards lie."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from compressibility.errors import UserError


class DatasetNotFoundError(UserError):
    """No such dataset; the message says what there is."""


@dataclass(frozen=True)
class Cache:
    """The folders below one root."""

    root: Path

    @property
    def images(self) -> Path:
        """Downloaded images."""
        return self.root / "images"

    @property
    def layers(self) -> Path:
        """Layer datasets."""
        return self.root / "layers"

    def dataset(self, experiment: str) -> Path:
        """The layer dataset of an experiment."""
        return self.layers / f"{experiment}.nc"

    def datasets(self) -> tuple[Path, ...]:
        """Every layer dataset that is here, in the order of the names.

        Raises:
            DatasetNotFoundError: There is none.
        """
        found = tuple(sorted(self.layers.glob("[!.]*.nc")))
        if not found:
            raise DatasetNotFoundError(
                f"no dataset in {self.layers}: measure one with "
                "`compressibility measure digits-vanilla`"
            )
        return found

    def find(self, name: str) -> Path:
        """The layer dataset meant by a path or by the name of an experiment.

        Raises:
            DatasetNotFoundError: There is none.
        """
        path, named = Path(name), self.dataset(name)
        if path.is_file():
            return path
        if path.name != name or path.suffix == ".nc":
            raise DatasetNotFoundError(
                f"no dataset at {name}: give the path of a .nc file, or an experiment's name"
            )
        if named.is_file():
            return named
        known = sorted(path.stem for path in self.layers.glob("[!.]*.nc"))
        near = get_close_matches(name, known, n=1)
        advice = (
            f"did you mean {near[0]}?"
            if near
            else "`compressibility experiments` lists what can be measured"
        )
        raise DatasetNotFoundError(
            f"no dataset {name!r} in {self.layers} (there: {', '.join(known) or 'none'}); {advice}"
        )

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
