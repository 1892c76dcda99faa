"""Folders of images at the command line, against what was put into them."""

import numpy as np
from PIL import Image

from tests.taught import assert_taught
from tests.written_folders import write_classes, write_image

ASKED = ("measure", "digits-vanilla", "--seeds", "0", "--workers", "1", "--images")


def test_what_was_taken_and_left_is_told_before_anything_is_measured(call, tmp_path) -> None:
    root = write_classes(tmp_path / "pets", count=10)
    (root / "cat" / "[notes].txt").write_text("no image")
    write_image(root / "cat" / ".ipynb_checkpoints" / "0.png")
    answer = call(*ASKED, str(root))
    assert_taught(answer, "pets: 18 training images do not fill one batch of 64")
    assert (
        "pets: 20 images of 2 classes (cat, dog): 18 to train, 0 held out, 2 to test; every sixth "
        "of a class is a test image; left 1 hidden or the system's (cat/.ipynb_checkpoints); "
        "left 1 no image (cat/[notes].txt)\n"
    ) in answer[2]


def test_a_folder_that_cannot_be_read_ends_in_one_line(call, tmp_path) -> None:
    root = write_classes(tmp_path / "pets")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(root / "dog" / "a.tif")
    assert_taught(call(*ASKED, str(root)), "dog/a.tif", "floats", "8 or 16 unsigned bits")


def test_a_channel_that_does_not_vary_ends_in_one_line(call, tmp_path) -> None:
    for number in range(12):
        path = tmp_path / "red" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(path)
    answer = call(*ASKED, str(tmp_path / "red"))
    assert_taught(answer, "red: channel 2 of 3 is 0 everywhere")
    assert "learning rate" not in answer[2]
    assert not list(tmp_path.rglob("*.nc"))


def test_reading_that_takes_over_two_seconds_is_told(call, tmp_path, monkeypatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("compressibility.measuring.progress.time.monotonic", lambda: next(clock))
    _, _, err = call(*ASKED, str(write_classes(tmp_path / "pets", count=10)))
    assert "pets-vanilla · reading the images · 2/20 done" in err
