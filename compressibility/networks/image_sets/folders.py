"""Images in class sub-folders."""

from pathlib import Path

import numpy as np

from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, labelled


def folder(path: Path, size: int = 32) -> ImageSet:
    """Images in class sub-folders, scaled and cropped to ``size`` by ``size`` colour pixels.

    ``path/train`` and ``path/test`` are taken where both exist; otherwise every sixth image of a
    class is a test image. Every tenth training image of a class is held out. The images of each
    part are in a random order, always the same, so that the first few are of all classes.

    Raises:
        ImagesError: Fewer than two class sub-folders, one without images or without test images,
            or a file that is no image.
    """
    if (path / "train").is_dir() and (path / "test").is_dir():
        images, labels, classes = _read(path / "train", size)
        test_images, test_labels, test_classes = _read(path / "test", size)
        if test_classes != classes:
            odd = sorted(set(classes) ^ set(test_classes))
            raise ImagesError(f"{path}: train and test do not hold the same classes: {odd}")
    else:
        images, labels, classes = _read(path, size)
        test = _number_in_class(labels) % 6 == 5
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    if absent := sorted(set(range(len(classes))) - set(test_labels.tolist())):
        raise ImagesError(
            f"{path}: class {classes[absent[0]]} has fewer than six images, and so no test image: "
            "give it more, or put test images into a folder test beside a folder train"
        )
    held_out = _number_in_class(labels) % 10 == 9
    return ImageSet(
        name=path.name,
        classes=classes,
        train=labelled(images[~held_out], labels[~held_out]),
        held_out=labelled(images[held_out], labels[held_out]),
        test=labelled(test_images, test_labels),
    )


def _number_in_class(labels: np.ndarray) -> np.ndarray:
    """0, 1, 2, … for the images of each class, in their order."""
    numbers = np.empty_like(labels)
    for label in np.unique(labels):
        numbers[labels == label] = np.arange(np.count_nonzero(labels == label))
    return numbers


def _read(part: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Images (n, 3, size, size) of class sub-folders in random order, labels (n,), classes."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    scale = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    try:
        images = ImageFolder(str(part), transform=scale)
    except FileNotFoundError as error:
        advice = (
            "fill each class's folder, or remove it"
            if any(each.is_dir() for each in part.iterdir())
            else "put each class's images into a folder of its own"
        )
        raise ImagesError(f"{part}: {error}; {advice}") from error
    if len(images.classes) < 2:
        raise ImagesError(
            f"{part} holds the one class {images.classes[0]}: give at least two class sub-folders"
        )
    pixels, unreadable = [], []
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    for number in order:
        try:
            pixels.append(images[number][0].numpy())
        except (OSError, SyntaxError, ValueError):  # as Pillow tells of damaged files
            unreadable.append(images.samples[number][0])
    if unreadable:
        some = ", ".join(sorted(unreadable)[:3])
        raise ImagesError(
            f"{len(unreadable)} of {len(images)} image files in {part} cannot be read; remove or "
            f"replace them: {some}{', …' * (len(unreadable) > 3)}"
        )
    return np.stack(pixels), np.asarray(images.targets)[order], tuple(images.classes)
