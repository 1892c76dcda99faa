"""The command for ResNet-50 on CIFAR-10, on a folder of a few images: training, sweep, spectra."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressibility import tasks
from compressibility.experiments import EXPERIMENTS, Experiment
from compressibility.networks.evaluation import plain_evaluation
from compressibility.store.validation import validate
from compressibility.tensors.modes import Cut
from compressibility.tensors.truncation import truncate
from tests.small_experiment import measure_in, place_in

LAYER = "layer3.5.conv2"
N_TRAIN, N_TEST = 32, 70  # more test images than lower precision is checked on


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", N_TRAIN), ("test", N_TEST)):
        for name, brightness in (("dark", 60), ("bright", 190)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count // 2):
                pixels = np.clip(rng.normal(brightness, 60, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number:02}.png")
    of_record = EXPERIMENTS["cifar10-resnet50"]
    return replace(
        of_record,
        name="few",
        images=str(folder),
        recipe=replace(of_record.recipe, epochs=1, batch_size=14, peak_learning_rate=0.01),
        seeds=(0,),
        thresholds=(0.0, 0.2, 0.4),
        norm_loss_levels=(0.2,),
    )


def test_resnet50_is_trained_and_swept_as_the_plain_loop_sweeps_it(
    experiment: Experiment, tmp_path: Path
) -> None:
    dataset = measure_in(tmp_path, experiment, layers=(LAYER,))
    validate(dataset)
    assert dataset.sizes["layer"] == 53
    held = dataset.sel(layer=LAYER, seed=0)
    assert int(dataset["n_images"]) == N_TEST
    assert held["truncation_precision"].item() == "bfloat16"

    place = place_in(tmp_path)
    network, images = tasks.trained(experiment, 0, place), tasks.load_images(experiment, tmp_path)
    inputs, labels = images.normalised(images.test.images), images.test.labels
    kernel = network.get_submodule(LAYER).weight.detach().numpy()
    for mode in ("OUT", "OUT,KW"):
        here = held.sel(mode=mode, threshold=0.4)
        truncated = truncate(kernel, Cut.parse(mode), int(here["rank"]))
        plain = plain_evaluation(network, inputs, labels, {LAYER: truncated})
        assert int(here["n_correct"]) == plain.n_correct
        assert int(here["n_lost"]) == plain.n_lost
