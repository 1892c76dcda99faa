"""The learning rate of re-trainings, chosen on held-out images.

``python -m tests.retraining_rates [EXPERIMENT]`` prints, for each constant rate, the accuracy on
held-out training images after the last epoch of the experiment's re-training, truncated and trained
on, as the mean over its networks, which must be there. The test images are not looked at.
"""

import sys
from dataclasses import replace

import numpy as np

from compressibility.experiments import networks
from compressibility.experiments.named import named
from compressibility.networks import image_sets
from compressibility.quantities.quantity import generator
from compressibility.quantities.recovery import Recovery
from compressibility.store import cache

RATES = (0.003, 0.01, 0.03, 0.1)
ARMS = ("truncated", "trained on")


def held_out_accuracies(name, rates=RATES):
    """By rate and arm, the mean over networks; cuts and thresholds are averaged."""
    experiment = named(name)
    (plan,) = (each for each in experiment.plans if isinstance(each, Recovery))
    here = cache.default()
    images = image_sets.load(experiment.images, here.images)
    place = networks.Place(here, here.images, "cpu")
    for rate in rates:
        changed = replace(plan, recipe=replace(plan.recipe, peak_learning_rate=rate), arms=ARMS)
        found = {arm: [] for arm in ARMS}
        for seed in experiment.seeds:
            subject = networks.subject(experiment, seed, images, place)
            for arm in ARMS:
                values = changed.measure(
                    subject, arm, generator(changed, experiment.scope(seed), arm)
                )
                right = values["recovery_held_out_n_correct"][..., -1]
                found[arm].append(right.mean() / values["recovery_n_held_out"])
        yield rate, {arm: float(np.mean(each)) for arm, each in found.items()}


def main(name="digits-vanilla"):
    print(f"{'rate':>6}", *(f"{arm:>11}" for arm in ARMS))
    for rate, found in held_out_accuracies(name):
        print(f"{rate:>6g}", *(f"{100 * found[arm]:>9.1f} %" for arm in ARMS), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
