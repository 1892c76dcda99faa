"""Oracle: entropies and ranks of the spectra one by one, and those of values known by hand."""

import numpy as np
import pytest

from analyses import entropies
from compressibility.store.reading import LayerData
from compressibility.tensors.spectra import Spectrum


def test_entropies_are_those_of_the_spectra(planted):
    data = LayerData(planted)
    for weights, layer, mode, seed in [
        ("trained", "conv1", "OUT", 0),
        ("initial", "conv3", "OUT,IN", 3),
        ("shuffled", "conv4", "OUT,KW", 7),
    ]:
        where = {"layer": layer, "mode": mode, "seed": seed}
        here = planted["schmidt_value"].sel(weights=weights, **where).values
        spectrum = Spectrum(here[np.isfinite(here)])
        entropy = entropies.entropies(data, weights).sel(where)
        assert float(entropy) == pytest.approx(spectrum.entropy / np.log(len(spectrum)))
        rank = np.flatnonzero(spectrum.norm_losses <= 0.3 + 1e-12)[0] + 1
        assert float(entropies.log2_ranks(data, weights, 0.3).sel(where)) == np.log2(rank)
    trivial = entropies.entropies(data, "trained").sel(layer="conv1", mode="IN")
    assert trivial.isnull().all()


def test_entropies_do_not_depend_on_the_scale():
    values = np.random.default_rng(0).uniform(size=(3, 5))
    values[:, 4] = np.nan
    expected = entropies.normalised_entropy(values)
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(entropies.normalised_entropy(scale * values), expected)
    assert entropies.normalised_entropy(np.array([[3.0, 0, 0]])) == 0
    assert entropies.normalised_entropy(np.array([[3.0, 3, 3]])) == pytest.approx(1)
