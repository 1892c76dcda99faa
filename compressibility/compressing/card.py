"""The model card of a compressed network."""

from collections.abc import Mapping

from compressibility.compressing import folder
from compressibility.compressing.comparison import Comparison
from compressibility.compressing.measured import Measured
from compressibility.compressing.realised import STATISTICS_IMAGES
from compressibility.compressing.recipe import CompressionRecipe, Truncated
from compressibility.networks.imported import Imported
from compressibility.networks.latency import WARM_UP, Latency
from compressibility.networks.training import Recipe
from compressibility.store.provenance import device_name


def rows(comparison: Comparison) -> tuple[tuple[str, str, str, str], ...]:
    """What is compared, dense, compressed, and what is kept of it."""
    dense, small = comparison.dense, comparison.compressed

    def share(before: float, after: float) -> str:
        return f"{after / before:.1%} ({before / after:.2f} times fewer)"

    latency = comparison.compressed.latency
    return (
        (
            f"accuracy, {dense.judgement.n_images} test images",
            f"{dense.judgement.accuracy:.2%}",
            f"{small.judgement.accuracy:.2%}",
            f"{-small.judgement.points_lost:+.2f} points",
        ),
        ("parameters", f"{dense.cost.parameters:,}", f"{small.cost.parameters:,}",
         share(dense.cost.parameters, small.cost.parameters)),
        ("MACs an image", f"{dense.cost.macs:,}", f"{small.cost.macs:,}",
         share(dense.cost.macs, small.cost.macs)),
        ("bytes of weights", f"{dense.bytes:,}", f"{small.bytes:,}",
         share(dense.bytes, small.bytes)),
        (
            f"latency, batch {latency.batch}, threads {latency.threads}",
            _latency(dense.latency), _latency(latency),
            f"{small.latency.median / dense.latency.median:.1%}",
        ),
        ("peak activations, bytes", f"{dense.peak_activations:,}",
         f"{small.peak_activations:,}", f"{small.peak_activations / dense.peak_activations:.1%}"),
    )  # fmt: skip


def _truncation(truncated: Truncated | None) -> str:
    if truncated is None:
        return "as it is | | |"
    return f"{truncated.cut} | {truncated.metric} | {truncated.rank} |"


def _latency(latency: Latency) -> str:
    low, median, high = (1000 * x for x in (latency.low, latency.median, latency.high))
    return f"{median:.2f} ms ({low:.2f} to {high:.2f})"


def predicted(recipe: CompressionRecipe, comparison: Comparison, *, trained: bool) -> str:
    """The prediction beside what was measured, in a sentence."""
    found = comparison.compressed.judgement.points_lost
    if recipe.prediction is None:
        return f"Nothing was predicted. {found:.2f} points were lost on the test images."
    told = recipe.prediction
    sentence = (
        f"Predicted without training: {told.points_lost:.2f} points lost, between {told.low:.2f} "
        f"and {told.high:.2f} on the test images ({told.level:.0%} interval, from "
        f"{told.on.n_images} held-out images that the layers were not chosen on together)."
    )
    if trained:
        return f"{sentence} After fine-tuning {found:.2f} points are lost."
    where = "inside" if told.low <= found <= told.high else "outside"
    return f"{sentence} Measured: {found:.2f} points, {where} the interval."


def text(
    measured: Measured,
    recipe: CompressionRecipe,
    comparison: Comparison,
    tuning: Recipe | None,
    not_written: Mapping[str, str],
) -> str:
    """The card, as Markdown."""
    kernels = {kernel.layer: kernel for kernel in measured.subject.layers}
    compared = "\n".join(f"| {' | '.join(row)} |" for row in rows(comparison))
    layers = "\n".join(
        f"| `{layer}` | {kernel.shape} | {_truncation(recipe.layers.get(layer))}"
        for layer, kernel in kernels.items()
    )
    left = "".join(
        f"- `{layer}` was left alone: {reason}.\n"
        for layer, reason in measured.subject.left_out.items()
    )
    if tuning is None:
        n_images = min(len(measured.images.train), STATISTICS_IMAGES)
        kind = "training" if measured.experiment.recipe else "held-out"
        training = f"None. Batch-norm statistics are those of {n_images:,} {kind} images."
    else:
        training = (
            f"{tuning.epochs} epochs on the training images, peak learning rate "
            f"{tuning.peak_learning_rate:g}, batches of {tuning.batch_size}."
        )
    exported = (
        f'network = torch.export.load("{folder.EXPORTED}").module()   # needs PyTorch alone\n\n'
        if folder.EXPORTED not in not_written
        else ""
    )
    lacks = "".join(f"- No {name}: {why}.\n" for name, why in not_written.items())
    latency = comparison.compressed.latency
    mean = ", ".join(f"{x:.4f}" for x in measured.images.moments[0].flatten().tolist())
    deviation = ", ".join(f"{x:.4f}" for x in measured.images.moments[1].flatten().tolist())
    architecture = measured.experiment.architecture
    needs = (
        f"`load` builds the network by `{architecture.builder}`, which has to be importable.\n\n"
        if isinstance(architecture, Imported)
        else ""
    )
    machine = device_name(measured.subject.device)
    shape = tuple(measured.images.test.images.shape[1:])
    return f"""# {measured.experiment.title}, compressed

Network {measured.subject.seed} of `{measured.experiment.name}` (SHA-256
`{recipe.weights_hash}`), asked for: {recipe.budget}.

| | dense | compressed | kept |
|---|---|---|---|
{compared}

{predicted(recipe, comparison, trained=tuning is not None)}
The compressed network is {comparison.verdict}. (Latencies are medians of {latency.passes} passes
after {WARM_UP} to warm up, dense and compressed in turn, with 95 % intervals, on {machine}.)

## Fine-tuning

{training}

## Layers

| layer | kernel (OUT, IN, KH, KW) | cut | metric | rank |
|---|---|---|---|---|
{layers}

{left}
## Use

Images of shape {shape}, intensities divided by {measured.images.maximum}, less the mean
({mean}), over the deviation ({deviation}) of each channel; classes:
{", ".join(measured.images.classes)}.

```python
import torch

{exported}from compressibility import load

network = load(".")                                   # plain torch.nn modules, to train on
```

{needs}{lacks}
Accuracy is that on this image set alone; how the network answers other images was not measured.
"""
