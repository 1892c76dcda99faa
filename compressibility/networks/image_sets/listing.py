"""What a folder of images holds: its parts, its classes, and their files."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compressibility.networks.image_sets.image_set import ImagesError

HIDDEN: Final = "hidden or the system's"
OUTSIDE: Final = "outside the class folders"
IRREGULAR: Final = "no regular file"

Left = tuple[Path, str]
"""A file or a folder that is not looked into, and why."""

_SYSTEM: Final = frozenset(
    (
        *("$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db"),
        *("icon\r", "lost+found", "system volume information", "thumbs.db"),
    )
)
_PARTS: Final = {
    "train": "train training trn",
    "val": "val valid validate validation dev eval evaluation heldout holdout",
    "test": "test tests testing tst",
}
_PART_OF: Final = {word: part for part, words in _PARTS.items() for word in words.split()}
_ABOUT: Final = re.compile("(set|data|dataset|images?|imgs?|split|samples|seg|folder)$")


@dataclass(frozen=True)
class Parts:
    """The folders whose sub-folders are the classes; ``test`` is None where none is apart."""

    train: Path
    test: Path | None
    note: str
    left: tuple[Left, ...]


@dataclass(frozen=True)
class Listing:
    """The files of each class in a folder, in the order of their names, and what is left."""

    folder: Path
    classes: Mapping[str, tuple[Path, ...]]
    left: tuple[Left, ...]

    @property
    def n_files(self) -> int:
        """Of all classes."""
        return sum(map(len, self.classes.values()))

    @property
    def inner(self) -> tuple[Path, ...]:
        """Files that lie in folders of a class."""
        return tuple(
            path
            for paths in self.classes.values()
            for path in paths
            if path.parent.parent != self.folder
        )


def shown(path: Path | str) -> str:
    """A path for a message of one line."""
    return text if (text := str(path)).isprintable() else ascii(text)


def named_part(name: str, common: frozenset[str] = frozenset()) -> str | None:
    """``train``, ``val`` or ``test`` where a folder is named for that part of a data set.

    ``common`` words do not count.

    >>> [named_part(name) for name in ("Training", "test_images", "val2017", "trainer")]
    ['train', 'test', 'val', None]
    """
    words = _words(name) - common
    return _PART_OF.get(*words) if len(words) == 1 else None


def _words(name: str) -> frozenset[str]:
    """Those of a folder's name, without what people add to the name of a part."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return frozenset(_ABOUT.sub("", word) for word in re.findall(r"[^\W\d_]+", apart)) - {""}


def _named_parts(names: Sequence[str]) -> dict[str, str]:
    """The parts among folders, as ``train`` and ``test``, or ``flowers-train`` and the like."""
    found = {name: part for name in names if (part := named_part(name))}
    if not found and len(names) > 1:
        common = frozenset.intersection(*map(_words, names))
        alike = {name: part for name in names if (part := named_part(name, common))}
        found = alike if len(alike) == len(names) else {}
    return found


def parts(path: Path) -> Parts:
    """Which folders hold the training and the test images.

    Raises:
        ImagesError: Parts of a data set that make no whole, or stand beside other folders.
    """
    names, left = _parts_in(path)
    if not names:
        return Parts(path, None, "", ())
    if "train" not in names:
        raise ImagesError(
            f"{shown(path)} holds {some(names.values())} and no train: add it, or give a folder "
            "that holds the class folders themselves"
        )
    train, test = path / names["train"], names.get("test", names.get("val"))
    note = ""
    if test is None:
        note = f"{train.name} alone is there"
    elif "test" not in names:
        note = f"{test} serves as the test images"
    elif "val" in names:
        note = f"{names['val']} is not used"
    return Parts(train, None if test is None else path / test, note, left)


@dataclass(frozen=True)
class EvaluationParts:
    """The folders of held-out and of test images; ``test`` is None where one holds both."""

    held_out: Path
    test: Path | None
    note: str
    left: tuple[Left, ...]


def evaluation_parts(path: Path) -> EvaluationParts:
    """Which folders hold the held-out and the test images of a network trained elsewhere.

    Raises:
        ImagesError: Two folders for one part, or parts beside other folders.
    """
    names, left = _parts_in(path)
    if not names:
        return EvaluationParts(path, None, "", ())
    unread = f"{names['train']} is not read" if "train" in names else ""
    if "val" in names and "test" in names:
        return EvaluationParts(path / names["val"], path / names["test"], unread, left)
    apart = next((names[part] for part in ("test", "val") if part in names), None)
    if apart is not None:
        return EvaluationParts(path / apart, None, unread, left)
    alone = f"{names['train']} alone is there: of images that it was trained on a network is surer"
    return EvaluationParts(path / names["train"], None, alone, left)


def _parts_in(path: Path) -> tuple[dict[str, str], tuple[Left, ...]]:
    """The folder of each part, none of a folder without parts, and what else is there.

    Raises:
        ImagesError: Two folders for one part, or parts beside other folders.
    """
    folders, left = _entries(path)
    found = _named_parts(folders)
    if found and (others := [name for name in folders if name not in found]):
        raise ImagesError(
            f"{shown(path)} holds {some(found)} beside {some(others)}: give a folder of parts "
            "alone or of classes alone, and rename a class that is named like a part"
        )
    names = {part: name for name, part in found.items()}
    if len(names) < len(found):
        raise ImagesError(
            f"{shown(path)} holds {some(found)}, two folders for one part: put them together, or "
            "move one away"
        )
    return names, left


def listing(part: Path, met: dict[tuple[int, int], Path]) -> Listing:
    """The class folders of a part and their files, those of folders in them too.

    Symbolic links are followed. ``met`` keeps the folders that were listed, by device and inode;
    none may be met twice.

    Raises:
        ImagesError: Fewer than two class folders, a folder met twice or named like a part in one,
            a link to nothing, or what may not be listed.
    """
    folders, left = _entries(part)
    if not folders:
        raise ImagesError(
            f"{shown(part)} has no class folders: put each class's images into a folder of its own"
        )
    if inner := [name for name in folders if named_part(name)]:
        raise ImagesError(
            f"{shown(part)} holds {some(inner)} where classes are looked for: rename a class that "
            "is named like a part of a data set"
        )
    if len(folders) == 1:
        deeper = f", or {shown(part / folders[0])} if the classes are in it"
        deeper = deeper if _entries(part / folders[0])[0] else ""
        raise ImagesError(
            f"{shown(part)} holds the one class {shown(folders[0])}: give at least two class "
            f"sub-folders{deeper}"
        )
    classes = {}
    for name in folders:
        files = sorted(_files(part / name, met), key=_in_order)
        classes[name] = tuple(path for path, reason in files if not reason)
        left += tuple(each for each in files if each[1])
    return Listing(part, classes, left)


def _in_order(each: Left) -> tuple[str, str]:
    path, _ = each
    return str(path.parent), path.name


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """How the classes of two parts differ; empty where they do not."""
    odd = sorted(set(one) ^ set(other))
    alike = {unicodedata.normalize("NFC", name).casefold() for name in odd}
    spelling = ", which differ in their spelling alone" if len(alike) < len(odd) else ""
    return f"{some(odd)}{spelling}" if odd else ""


def _entries(folder: Path) -> tuple[list[str], tuple[Left, ...]]:
    """The names of a folder's visible sub-folders, sorted, and all else in it."""
    folders, left = [], []
    for path, kind in _scan(folder):
        if kind == "folder":
            folders.append(path.name)
        else:
            left.append((path, kind or OUTSIDE))
    return folders, tuple(left)


def _files(folder: Path, met: dict[tuple[int, int], Path]) -> Iterator[Left]:
    """Every file below a folder, and why it is left; empty where it is not."""
    with _refused(folder):
        place = folder.stat()
    first = met.setdefault((place.st_dev, place.st_ino), folder)
    if first != folder:
        raise ImagesError(
            f"{shown(folder)} and {shown(first)} are one folder by a link: remove the link"
        )
    for path, kind in _scan(folder):
        if kind != "folder":
            yield path, kind
        elif named_part(path.name):
            raise ImagesError(
                f"{shown(path)}: a class holds a part of a data set; put the parts outermost, each "
                "with its class folders, or rename it"
            )
        else:
            yield from _files(path, met)


def _scan(folder: Path) -> list[tuple[Path, str]]:
    """All in a folder by name, each a ``folder``, or why it is left; empty for other files.

    Symbolic links are followed.
    """
    found = []
    with _refused(folder), os.scandir(folder) as entries:
        for entry in entries:
            if _hidden(entry.name):
                kind = HIDDEN
            elif entry.is_dir():
                kind = "folder"
            else:
                entry.stat()  # of a link, what it leads to
                kind = "" if entry.is_file() else IRREGULAR
            found.append((folder / entry.name, kind))
    return sorted(found, key=lambda each: each[0].name)


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """What may not be listed in a folder is refused by name."""
    try:
        yield
    except OSError as error:
        nothing = isinstance(error, FileNotFoundError)
        raise ImagesError(
            f"{shown(error.filename or folder)} cannot be read "
            f"({'a link to nothing' if nothing else error.strerror}): mend it, or take it out of "
            "the folder"
        ) from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def some(names: Iterable[object]) -> str:
    """The first three names."""
    every = list(names)
    return ", ".join(shown(str(name)) for name in every[:3]) + ", …" * (len(every) > 3)
