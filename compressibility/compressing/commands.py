"""The commands ``compressibility advise`` and ``compressibility compress``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compressibility.errors import UserError
from compressibility.interruption import interruptible
from compressibility.store import cache

if TYPE_CHECKING:
    from compressibility.compressing.advice import Advice, Budget, Candidate
    from compressibility.compressing.cost import Measure
    from compressibility.compressing.measured import Measured
    from compressibility.compressing.recipe import CompressionRecipe, Prediction

Dataset = Annotated[
    str, typer.Argument(help="A layer dataset (netCDF), or the name of an experiment.")
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")
]
ImagesDir = Annotated[Path | None, typer.Option(help="Where the images lie, if not in the cache.")]
Images = Annotated[
    Path | None, typer.Option(help="The folder of images of your own, if it has been moved.")
]


def advise(
    dataset: Dataset,
    max_drop: Annotated[
        float | None, typer.Option(help="Lose at most so many points of accuracy.")
    ] = None,
    macs: Annotated[
        str | None, typer.Option(help="Keep at most so many multiply-accumulates, such as 50%.")
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(help="Keep at most so many parameters, such as 50%.")
    ] = None,
    measure: Annotated[
        str, typer.Option(help="What --max-drop makes less: macs or parameters.")
    ] = "macs",
    seed: Annotated[int, typer.Option(help="Which of the dataset's networks.")] = 0,
    multiple_of: Annotated[
        int, typer.Option(help="Raise every rank to a multiple, such as 8.")
    ] = 1,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave layers alone: a name, or a pattern such as 'layer4.*'."),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            help="How often each layer's options are tried with all others truncated; "
            "0 adds up single-layer losses.",
        ),
    ] = 2,
    out: Annotated[Path, typer.Option(help="The recipe that is written.")] = Path("recipe.json"),
    device: Device = "auto",
    images_dir: ImagesDir = None,
    images: Images = None,
) -> None:
    """Say what to truncate of a network within a budget, and what it will cost in accuracy.

    For all layers together, the cuts and ranks that save most: chosen together on one half of the
    images that were held out of training, predicted from the other half. The test images are not
    asked.
    """
    from compressibility.compressing.advice import Adviser
    from compressibility.compressing.figure import drawn
    from compressibility.compressing.options import unmeasured
    from compressibility.compressing.recipe import recipe_of
    from compressibility.measuring.progress import Step, shown

    budget = _budget(max_drop, macs, parameters, measure)
    if out.suffix != ".json" or out.is_dir():
        raise UserError(f"--out {out} names no JSON file; give one that ends in .json")
    with (
        interruptible("no recipe is written", "nothing was written"),
        shown(f"advising on {dataset}") as report,
    ):
        found = _measured(dataset, seed, device, images_dir, images)
        adviser = Adviser(
            found.data,
            found.subject,
            measure=budget.measure,
            rounds=rounds,
            multiple_of=multiple_of,
            excluded=exclude or (),
            report=lambda what, done, total: report(Step(done, total, (what,))),
        )
        advice = adviser.advise(budget)
    recipe = recipe_of(
        advice,
        experiment=found.experiment.name,
        seed=seed,
        weights_hash=found.subject.weights_hash,
        images_checksum=found.images_checksum,
        n_test=found.data.n_images,
    )
    recipe.save(out)
    figure = drawn(recipe.front, out.with_suffix(".svg"), measure=budget.measure)
    console = Console(highlight=False)
    console.print(_front(recipe))
    console.print(_layers(advice.chosen, advice.dense))
    if left := unmeasured(found.data, seed):
        console.print(
            f"{len(left)} of {len(advice.dense.choice)} layers are not measured on held-out images "
            f"and stay as they are: {', '.join(left[:5])}{', …' * (len(left) > 5)}",
            soft_wrap=True,
        )
    assert recipe.prediction is not None
    console.print(_told(advice, recipe.prediction, found.data.n_images), soft_wrap=True)
    console.print(f"{out}" + (f", {figure}" if figure else ""), soft_wrap=True)


def compress(
    dataset: Dataset,
    recipe: Annotated[Path, typer.Argument(help="As `compressibility advise` writes it.")],
    out: Annotated[Path, typer.Option(help="The folder that is written.")],
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of fine-tuning.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images of the batch that is timed.")] = 1,
    device: Device = "auto",
    images_dir: ImagesDir = None,
    images: Images = None,
) -> None:
    """Build the network of a recipe, compare it with the dense one, and write it to a folder.

    Batch-norm statistics are taken anew, and the network is fine-tuned if asked for; stopped at
    any moment, fine-tuning goes on after its last whole epoch. The test images are asked once, at
    the end.
    """
    from compressibility.compressing import card
    from compressibility.compressing.compress import compress as build
    from compressibility.compressing.recipe import read_recipe
    from compressibility.measuring.progress import Step, shown

    told = read_recipe(recipe)
    with (
        interruptible("no folder is written", "the same command goes on after the last epoch"),
        shown(f"compressing to {out}") as report,
    ):
        found = _measured(dataset, told.seed, device, images_dir, images)
        compressed = build(
            found,
            told,
            out,
            epochs=epochs,
            batch=batch,
            state_folder=cache.default().shards(found.experiment.name),
            report=lambda what, epochs: report(Step(0, 1, (what,), epochs)),
        )
    table = Table("", "dense", "compressed", "kept", box=SIMPLE_HEAD, pad_edge=False)
    for row in card.rows(compressed.comparison):
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    console.print(card.predicted(told, compressed.comparison, trained=bool(epochs)), soft_wrap=True)
    console.print(f"The compressed network is {compressed.comparison.verdict}.", soft_wrap=True)
    for name, why in compressed.not_written.items():
        print(f"no {name}: {why}", file=sys.stderr)
    console.print(f"{out}: `compressibility.load({str(out)!r})` gives it back", soft_wrap=True)


def _measured(
    dataset: str, seed: int, device: str, images_dir: Path | None, images: Path | None
) -> "Measured":
    from compressibility.compressing.measured import measured
    from compressibility.experiments.networks import Place
    from compressibility.networks.devices import resolve

    place = Place(cache.default(), images_dir or cache.default().images, resolve(device))
    return measured(place.cache.find(dataset), seed, place, images)


def _front(recipe: "CompressionRecipe") -> Table:
    """Everything that was tried, by falling cost."""
    table = Table(title="what was tried", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("macs kept", "parameters kept", "points lost", "between", ""):
        table.add_column(name, justify="right")
    for each in recipe.front:
        told = each.prediction
        table.add_row(
            f"{each.kept.macs:.1%}",
            f"{each.kept.parameters:.1%}",
            f"{told.points_lost:.2f}",
            f"{told.low:.2f} and {told.high:.2f}",
            "advised" if told == recipe.prediction else "",
        )
    return table


def _layers(chosen: "Candidate", dense: "Candidate") -> Table:
    """What becomes of each layer."""
    table = Table(title="what is advised", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "cut", "metric", "rank", "macs kept", "parameters kept"):
        words = name in ("layer", "cut", "metric")
        table.add_column(name, justify="left" if words else "right")
    for layer, option in chosen.choice.items():
        kept = option.cost / dense.choice[layer].cost
        table.add_row(
            layer,
            option.cut or "as it is",
            option.metric if option.cut else "",
            str(option.rank or ""),
            f"{kept.macs:.1%}",
            f"{kept.parameters:.1%}",
        )
    return table


def _told(advice: "Advice", prediction: "Prediction", n_test: int) -> str:
    kept = advice.chosen.cost / advice.dense.cost
    said = ", ".join(
        f"keeps {share:.1%} of the {name} ({1 / share:.2f} times fewer)"
        for name, share in (("macs", kept.macs), ("parameters", kept.parameters))
    )
    return (
        f"Advised: {said}. Predicted, without training: {prediction.points_lost:.2f} points of "
        f"accuracy lost on {prediction.on.n_images} held-out images that the layers were not "
        f"chosen on together; on the {n_test} test images between {prediction.low:.2f} and "
        f"{prediction.high:.2f} ({prediction.level:.0%} interval)."
    )


def _budget(
    max_drop: float | None, macs: str | None, parameters: str | None, measure: str
) -> "Budget":
    from compressibility.compressing.advice import Budget

    asked = {"--max-drop": max_drop, "--macs": macs, "--parameters": parameters}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise UserError(
            f"{' and '.join(given) or 'no budget'} given: give one of --max-drop, --macs and "
            "--parameters"
        )
    if macs is not None:
        return Budget("macs", share=_share("--macs", macs))
    if parameters is not None:
        return Budget("parameters", share=_share("--parameters", parameters))
    return Budget(cast("Measure", measure), max_drop=max_drop)


def _share(option: str, text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UserError(f"{option} {text!r} is no share: give one such as 50%") from None
