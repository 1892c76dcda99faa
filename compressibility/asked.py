"""What the options of ``compressibility measure`` ask for, together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from compressibility.errors import UserError
from compressibility.experiments.experiment import Experiment, on_folder
from compressibility.experiments.given import own_network
from compressibility.experiments.named import named
from compressibility.networks.image_sets import Preprocessing


def asked(
    name: str | None,
    images: Path | None,
    model: str | None,
    weights: Sequence[Path],
    intake: Mapping[str, int | str | None],
) -> tuple[Experiment, tuple[nn.Module, ...]]:
    """What is to be measured, and its networks where those were trained elsewhere.

    Args:
        name: Of an experiment.
        images: A folder.
        model: ``module:function``.
        weights: Files, one for each network.
        intake: What ``--size``, ``--resize``, ``--mean`` and ``--std`` ask for.

    Raises:
        UserError: Options that do not go together, or one that cannot be met.
    """
    of_own = [option for option, value in {"--weights": weights, **intake}.items() if value]
    if model is None:
        if of_own:
            raise UserError(f"{of_own[0]} is of a network of your own: name it with --model")
        if name is None:
            raise UserError(
                "nothing to measure: name an experiment (`compressibility experiments` lists "
                "them), or a network of your own with --model, --weights and --images"
            )
        return (named(name) if images is None else on_folder(named(name), images)), ()
    if name is not None:
        raise UserError(
            f"--model {model} is a network of your own, and {name} has its own: give one of them"
        )
    if not weights:
        raise UserError(
            f"--model {model} lacks --weights: safetensors, or a state dict saved by torch.save"
        )
    if images is None:
        raise UserError(
            f"--model {model} lacks --images: a folder with a sub-folder for each of its classes"
        )
    return own_network(model, weights, images, _preprocessing(intake))


def _preprocessing(intake: Mapping[str, int | str | None]) -> Preprocessing:
    usual = Preprocessing()
    size = int(intake["--size"] or usual.size)
    resize = intake["--resize"] or (usual.resize if size == usual.size else size)
    given = {
        option: _channels(option, str(intake[option]))
        for option in ("--mean", "--std")
        if intake[option] is not None
    }
    return Preprocessing(
        size,
        int(resize),
        given.get("--mean", usual.mean),
        given.get("--std", usual.deviation),
    )


def _channels(option: str, text: str) -> tuple[float, float, float]:
    """Three numbers, or one for all three channels."""
    try:
        numbers = [float(part) for part in text.split(",")]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        raise UserError(
            f"{option} {text!r}: give a number for each of red, green and blue, such as "
            "0.485,0.456,0.406, or one for all"
        ) from None
    return red, green, blue
