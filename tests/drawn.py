"""Every figure of a dataset of known truth, drawn, with its table as read back from the CSV."""

import io

import numpy as np
import pandas as pd

from analyses.topics import CLAIMS, OF_ALL_LAYERS, TOPICS
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import Effects, make

NAMES = ("conv1", "layer1.0.conv2", "layer3.0.conv2", "layer3.1.conv2", "layer4.0.conv1")
SHAPES = ((8, 3, 3, 3), (10, 8, 3, 3), (12, 10, 3, 3), (12, 12, 3, 3), (16, 12, 1, 1))
PLOTS = {p.name: p for p in (*(p for topic in TOPICS for p in topic.plots), *OF_ALL_LAYERS)}
SEVEN = ("OUT", "IN", "KH", "KW", "OUT,IN", "OUT,KH", "OUT,KW")


def drawn_dataset(n_seeds):
    effects = Effects(structure=1.0, cut={"OUT": 0.6, "IN": 1.5}, depth=1.0, perturbation=2.0)
    rng = np.random.default_rng(6)
    return make(effects, rng, n_seeds=n_seeds, n_images=2_000, names=NAMES, shapes=SHAPES)


class Drawn:
    """Every figure of one dataset: its table, and what its axes hold by label."""

    def __init__(self, n_seeds):
        self.dataset = drawn_dataset(n_seeds)
        self.data = LayerData(self.dataset)
        self.answers = {claim.key: answer(claim, self.data) for claim in CLAIMS}
        self.tables, self.figures = {}, {}
        for name, plot in PLOTS.items():
            table = plot.table(self.data, self.answers)
            text = table.to_csv(index=False)
            read = {"keep_default_na": False, "na_values": [""]}
            self.tables[name] = pd.read_csv(io.StringIO(text), dtype={"network": str}, **read)
            self.figures[name] = plot.draw(table, False)

    def axes(self, name):
        return {axes.get_label(): axes for axes in self.figures[name].axes}

    def lines(self, name):
        """(panel, series) of every line of the figure that stands for rows."""
        return {
            (panel, line.get_label()): line
            for panel, axes in self.axes(name).items()
            for line in axes.lines
            if not line.get_label().startswith("_")
        }

    def bands(self, name):
        return {
            (panel, band.get_label()): band
            for panel, axes in self.axes(name).items()
            for band in (*axes.collections, *axes.patches)
            if not band.get_label().startswith("_")
        }
