"""The command line, from ``compressibility measure`` to ``compressibility compress``."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from compressibility.compressing import commands
from compressibility.errors import UserError
from compressibility.interruption import interruptible
from compressibility.store import cache, netcdf
from compressibility.store.reading import LayerData
from compressibility.store.summary import Summary, rows, summarise
from compressibility.tensors.modes import Cut
from compressibility.version import __version__

if TYPE_CHECKING:
    from compressibility.experiments.experiment import Experiment
    from compressibility.experiments.networks import Place

FAILED = 1
USER_ERROR = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure how far the layers of trained networks can be truncated, cut by cut.",
    epilog="A first measurement, of eight small networks on handwritten digits, takes minutes: "
    "compressibility measure digits-vanilla",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and leave.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass


@app.command()
def experiments() -> None:
    """List the experiments that can be measured."""
    from compressibility.experiments.named import EXPERIMENTS

    table = Table(box=None, pad_edge=False)
    for name in ("experiment", "what", "networks"):
        table.add_column(name)
    for experiment in EXPERIMENTS.values():
        table.add_row(experiment.name, experiment.title, str(len(experiment.seeds)))
    Console(highlight=False).print(table)


@app.command()
def measure(
    experiment: Annotated[
        str | None,
        typer.Argument(
            help="Its name; `compressibility experiments` lists them. None with --model."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Networks to measure, such as 0-7 or 0,2,5; all by default.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers to measure, separated by commas; all by default.")
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(
            help="What to measure of what is planned, such as truncation,held_out,recovery; all by "
            "default. The same command without it measures the rest."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="The dataset; by default in the cache's folder layers.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Tasks at a time; by default what the experiment uses well."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="A dask scheduler whose workers share this cache: tcp://host:8786."),
    ] = None,
    images_dir: Annotated[
        Path | None, typer.Option(help="Where the images lie, if not in the cache.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="A folder with a sub-folder of images for each class, in the place of the "
            "experiment's own images, or for --model."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A network of your own: module:function of a function without arguments that "
            "builds it, such as my_model:build or torchvision.models:resnet18."
        ),
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            help="Its weights: safetensors, or a state dict saved by torch.save. Given several "
            "times, of as many networks, seeds 0, 1, …"
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels of each side of the images that it takes; 224."),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels that the shorter side is scaled to before cropping; 256 where the size "
            "is 224, and else the size.",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Of its training images' channels, of intensities 0 to 1; ImageNet's, "
            "0.485,0.456,0.406."
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Their deviations; ImageNet's, 0.229,0.224,0.225.")
    ] = None,
) -> None:
    """Train an experiment's networks where they are missing, and measure what is missing.

    With --model, --weights and --images, measure a network of your own, exactly as it is.

    What the dataset holds counts as done. Stopped at any moment, by Ctrl-C, SIGTERM or kill -9,
    the same command goes on and loses at most the tasks in hand. The cache is the folder
    datasets_cache of the checkout, or COMPRESSIBILITY_CACHE.
    """
    from compressibility.asked import asked
    from compressibility.experiments.networks import Place
    from compressibility.measuring.progress import shown
    from compressibility.measuring.sweep import measure as run
    from compressibility.measuring.workers import engaged, well_used
    from compressibility.networks.devices import resolve

    intake = {"--size": size, "--resize": resize, "--mean": mean, "--std": std}
    chosen, given = asked(experiment, images, model, weights or (), intake)
    place = Place(cache.default(), images_dir or cache.default().images, resolve(device))
    wanted = chosen.seeds if seeds is None else seeds_from(seeds, chosen.seeds, chosen.name)
    path = out or place.cache.dataset(chosen.name)
    if path.suffix != ".nc" or path.is_dir():
        raise UserError(f"--out {path} names no netCDF file; give one that ends in .nc")
    with (
        interruptible(),
        shown(chosen.name) as report,
        engaged(workers or well_used(chosen, place.device), scheduler, place) as hands,
    ):
        dataset = run(
            chosen,
            wanted,
            place=place,
            out=path,
            layers=_names(layers),
            tables=_names(tables),
            hands=hands,
            given=given,
            report=report,
        )
    summary = summarise(dataset)
    Console(highlight=False).print(f"{path}: {_told(summary)}", soft_wrap=True)
    failures = _failures(summary)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    if failures:
        raise typer.Exit(FAILED)


def _failures(summary: Summary) -> list[str]:
    """What failed and why, a line for each task."""
    return [
        f"{each.table.name} of {_at(each.table.per, place)}: {why}"
        for each in summary.tables
        for place, why in each.failures.items()
    ]


def _at(dims: Sequence[str], place: Sequence[object]) -> str:
    return ", ".join(f"{dim} {label}" for dim, label in zip(dims, place, strict=True))


def _told(summary: Summary) -> str:
    """Networks, accuracy and what was left out, in one line."""
    found = [accuracy for accuracy in summary.baseline_accuracies.values() if accuracy is not None]
    networks = f"{len(found)} network{'s' * (len(found) != 1)}"
    told = f", accuracy {min(found):.1%} to {max(found):.1%}" if found else ""
    images = f" on {summary.n_images} test images" if found else ""
    reasons: dict[str, list[str]] = {}
    for layer, reason in (summary.left_out or {}).items():
        reasons.setdefault(reason, []).append(layer or "the network itself")
    left_out = "".join(
        f"\nnot measured: {', '.join(layers)}: {reason}" for reason, layers in reasons.items()
    )
    return f"{networks}{told}{images}{left_out}"


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def seeds_from(text: str, planned: Sequence[int], experiment: str) -> tuple[int, ...]:
    """The seeds that ``text`` names, such as ``0-3,5``, ascending.

    Raises:
        UserError: It is no such list, or names a seed that is not planned.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        spelled = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        span = range(int(spelled[1]), int(spelled[2] or spelled[1]) + 1) if spelled else None
        if not span:
            raise UserError(f"seeds {text!r} are not a list such as 0-{planned[-1]} or 0,2,5")
        seeds.update(span)
    if unknown := sorted(seeds - set(planned)):
        raise UserError(
            f"{experiment} has no seed {unknown[0]}: choose from {planned[0]}-{planned[-1]}"
        )
    return tuple(sorted(seeds))


@app.command()
def inspect(
    file: Annotated[
        str, typer.Argument(help="A layer dataset (netCDF), or the name of an experiment.")
    ],
    layer: Annotated[
        str | None, typer.Option(help="Show this layer's truncations, with --mode.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="The cut to show, such as OUT,KW; OUT by default.")
    ] = None,
) -> None:
    """Say what is in a dataset and whether it is whole; or show one layer along one cut."""
    dataset = netcdf.open_dataset(cache.default().find(file))
    if layer is None and mode is not None:
        raise UserError(f"--mode {mode} shows the truncations of one layer; name it with --layer")
    if layer is None:
        table = Table(show_header=False, box=None, pad_edge=False)
        for label, text in rows(summarise(dataset)):
            table.add_row(label, escape(text))
    else:
        table = _truncation_table(LayerData(dataset), layer, mode or "OUT")
    Console(highlight=False).print(table)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]...",
            help="Names of experiments or .nc files; by default every dataset in the cache.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many variants to recompute.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    device: Annotated[str, typer.Option(help="As for measure.")] = "auto",
    images_dir: Annotated[
        Path | None, typer.Option(help="Where the images lie, if not in the cache.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The folder of images of your own, if it has been moved."),
    ] = None,
) -> None:
    """Recompute a random sample of datasets from their networks and images; 1 if any differs.

    Ranks and norms must be equal, counts up to images whose two top logits are closer than
    1e-3, losses to 1e-4 of their value. A dataset whose networks or images are not here is passed
    over and told; nothing is downloaded.
    """
    from compressibility.experiments.experiment import ExperimentError, of_dataset
    from compressibility.experiments.networks import Place
    from compressibility.networks.checkpoints import CheckpointError
    from compressibility.networks.devices import resolve
    from compressibility.networks.image_sets import ImagesError
    from compressibility.networks.imported import BuilderError

    if images is not None and len(names or ()) != 1:
        raise UserError(f"--images {images} are those of one dataset: name it")
    place = Place(cache.default(), images_dir or cache.default().images, resolve(device))
    paths = tuple(map(place.cache.find, names or ())) or place.cache.datasets()
    n_verified, n_failed = 0, 0
    for path in paths:
        dataset = netcdf.open_dataset(path)
        try:
            experiment = of_dataset(dataset, images)
            n_failed += _verified(dataset, experiment, place, sample, seed)
            n_verified += 1
        except (BuilderError, CheckpointError, ExperimentError, ImagesError) as error:
            advice = "" if images else "; the folder of images of your own is given with --images"
            hint = advice if isinstance(error, ImagesError) else ""
            print(f"{path.stem}: not verified: {error}{hint}", file=sys.stderr)
    print(f"{n_verified} of {len(paths)} dataset{'s' * (len(paths) != 1)} verified")
    if n_failed or n_verified < (len(paths) if names else 1):
        raise typer.Exit(1)


def _verified(
    dataset: xr.Dataset, experiment: "Experiment", place: "Place", sample: int, seed: int
) -> int:
    """Verify one dataset and print what was found; the number of truncations that differ."""
    import numpy as np

    from compressibility.measuring.verify import verify as recompute

    with Progress(console=Console(stderr=True)) as bars:
        bar = bars.add_task(f"{experiment.name} · verifying", total=None)
        checks = recompute(
            dataset,
            experiment,
            place,
            sample=sample,
            rng=np.random.default_rng(seed),
            report=lambda done, total: bars.update(bar, completed=done, total=total),
        )
    failed = [check for check in checks if not check.holds]
    for check in failed:
        print(f"differs: {check.variant}: {check}", file=sys.stderr)
    losses = [abs(c.loss_difference) for c in checks if not np.isnan(c.loss_difference)]
    told = f"losses by {max(losses):.1e} of their value" if losses else "no losses are stored"
    print(
        f"{experiment.name}: {len(checks) - len(failed)} of {len(checks)} variants hold; counts "
        f"differ by at most {max(check.count_difference for check in checks)} images, {told}"
    )
    return len(failed)


def _truncation_table(data: LayerData, layer: str, mode: str) -> Table:
    """Means over the seeds, a row for each threshold."""
    columns = ("rank", "norm_loss", "correlation_loss", "compression_ratio", "accuracy", "loss")
    means = data.mean_along(layer, mode)
    held, seeds = str(means["mode"].item()), int(means["n_seeds"])
    same = "" if Cut.parse(mode).label == held else f" (in this layer the same cut as {mode})"
    over = "one seed" if seeds == 1 else f"means over {seeds} seeds"
    table = Table(title=f"{layer} cut {held}{same}, {over}", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("threshold", *columns):
        table.add_column(name.replace("_", " "), justify="right")
    for threshold in means["threshold"]:
        row = means.sel(threshold=threshold)
        told = (f"{float(row[name]):.4g}" if row[name].notnull() else "–" for name in columns)
        table.add_row(f"{float(threshold):g}", *told)
    return table


app.command()(commands.advise)
app.command()(commands.compress)


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit status 2."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"compressibility: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
