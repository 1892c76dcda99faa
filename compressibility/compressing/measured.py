"""A stored dataset with one of its networks and its images: what is to be made smaller."""

from dataclasses import dataclass
from pathlib import Path

from compressibility.experiments.experiment import Experiment, ExperimentError, of_dataset
from compressibility.experiments.networks import Place
from compressibility.measuring.tasks import Bench
from compressibility.networks.image_sets import ImageSet
from compressibility.store import netcdf
from compressibility.store.reading import LayerData
from compressibility.subjects import Subject


@dataclass(frozen=True, eq=False)
class Measured:
    """One network of a stored dataset, and all that belongs to it."""

    data: LayerData
    experiment: Experiment
    subject: Subject
    images: ImageSet

    @property
    def images_checksum(self) -> str:
        """Of the images that the dataset was measured on."""
        return str(self.data.dataset.attrs["images_checksum"])


def measured(path: Path, seed: int, place: Place, images: Path | None = None) -> Measured:
    """Open a dataset and the network of one of its seeds.

    Args:
        path: The dataset.
        seed: Number of the network.
        place: Where checkpoints and images lie, and which device computes.
        images: The folder of images of one's own, if it has been moved.

    Raises:
        DatasetError: The file is no layer dataset.
        ExperimentError: The dataset has no such seed, its experiment is not known here, or the
            images or the network are not those that were measured.
        ImagesError: The images cannot be had.
    """
    dataset = netcdf.open_dataset(path)
    experiment = of_dataset(dataset, images)
    seeds = dataset["seed"].values.tolist()
    if seed not in seeds:
        raise ExperimentError(
            f"{path} has no seed {seed}: choose from {', '.join(map(str, seeds))}"
        )
    bench = Bench(place)
    bench.require_network(experiment, seed)
    bench.require_images(experiment, dataset.attrs["images_checksum"])
    subject = bench.measured(dataset, experiment, seed)
    return Measured(LayerData(dataset), experiment, subject, bench.images(experiment))
