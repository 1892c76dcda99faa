"""The small ResNet-50's experiment on a folder of a few images: training, sweep, spectra."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressibility.evaluation import plain_evaluation
from compressibility.experiments.experiment import Experiment
from compressibility.experiments.named import EXPERIMENTS
from compressibility.measuring.tasks import Bench
from compressibility.quantities.controls import Controls
from compressibility.quantities.truncations import Truncation
from compressibility.store.rules import validate
from compressibility.tensors.schmidt import truncate
from tests.small_experiment import measure_in, place_in

LAYER, MODES = "layer3.0.downsample.0", ("OUT",)
N_TRAIN, N_TEST = 32, 70  # more test images than lower precision is checked on


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", N_TRAIN), ("test", N_TEST)):
        for name, brightness in (("dark", 100), ("bright", 140)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count // 2):
                noise = rng.normal(rng.normal(brightness, 25), 30, (32, 32, 3))
                pixels = np.clip(noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number:02}.png")
    of_record = EXPERIMENTS["cifar10-resnet50-small"]
    return replace(
        of_record,
        name="few",
        images=str(folder),
        recipe=replace(of_record.recipe, epochs=2, batch_size=14, peak_learning_rate=0.05),
        seeds=(0,),
        plans=(Truncation((0.0, 0.4, 0.7)), Controls((0.2,))),
    )


def test_resnet50_is_trained_and_swept_as_the_plain_loop_sweeps_it(
    experiment: Experiment, tmp_path: Path
) -> None:
    dataset = measure_in(tmp_path, experiment, layers=(LAYER,))
    validate(dataset)
    assert dataset.sizes["layer"] == 53
    assert int(dataset["n_images"]) == N_TEST
    measured = dataset.sel(layer=LAYER, seed=0)
    assert measured["truncation_precision"].item() == "bfloat16"
    assert measured["loss"].isnull().all()
    assert int(measured["n_lost"].max()) > 0

    subject = Bench(place_in(tmp_path)).subject(experiment, 0)
    kernel = subject.network.get_submodule(LAYER).weight.detach().numpy()
    for mode in MODES:
        here = measured.sel(mode=mode, threshold=0.7)
        plain = plain_evaluation(
            subject.network,
            subject.images,
            subject.labels,
            {LAYER: truncate(kernel, mode, int(here["rank"]))},
            baseline=subject.evaluator.baseline,
        )
        assert int(here["n_correct"]) == plain.n_correct
        assert int(here["n_lost"]) == plain.n_lost
