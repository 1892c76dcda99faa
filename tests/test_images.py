"""Image sets against scikit-learn's digits, and folders against the files written to them."""

import dataclasses
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from compressibility.networks.image_sets import (
    ImagesError,
    LabelledImages,
    digits,
    load,
    require_present,
)


def test_the_digits_parts_are_the_whole_of_scikit_learns_digits() -> None:
    images = digits()
    pixels = torch.cat([images.train.images, images.held_out.images, images.test.images])
    ours = sorted(pixels.flatten(1).tolist())
    assert ours == sorted(load_digits().data.astype(int).tolist())
    assert (len(images.train), len(images.held_out), len(images.test)) == (998, 200, 599)


def test_digits_keep_their_labels() -> None:
    images = digits()
    label = {
        tuple(row): target
        for row, target in zip(
            load_digits().data.astype(int).tolist(), load_digits().target, strict=True
        )
    }
    for part in (images.train, images.held_out, images.test):
        rows = part.images.flatten(1).tolist()
        assert [label[tuple(row)] for row in rows] == part.labels.tolist()


def test_normalised_training_images_have_zero_mean_and_unit_deviation() -> None:
    images = digits()
    values = images.normalised(images.train.images).double()
    assert abs(float(values.mean())) < 1e-6
    assert abs(float(values.std(correction=0)) - 1) < 1e-6


def test_the_checksum_sees_one_changed_label() -> None:
    one, other = digits(), digits()
    other.test.labels[5] = (other.test.labels[5] + 1) % 10
    assert one.checksum == digits().checksum != other.checksum


def test_the_checksum_of_the_digits_is_that_of_the_datasets_measured_on_them() -> None:
    """As stored since the first datasets: a change would disown every one of them."""
    stored = "09804f2094803ecc6ce6b236305575d2f12019237de3f7f7a0d7aef45ea8694f"
    assert digits().checksum == stored


def test_normalised_images_do_not_depend_on_the_unit_of_intensity() -> None:
    images = digits()
    other = dataclasses.replace(images, maximum=255)
    assert other.checksum == images.checksum
    one, same = (each.normalised(images.test.images) for each in (images, other))
    assert torch.allclose(one, same, rtol=1e-5, atol=1e-6)


def test_a_constant_channel_is_seen_where_its_deviation_is_rounded_to_another_than_zero() -> None:
    images = digits()
    rounded = 0
    for value in range(256):
        constant = torch.full((999, 1, 8, 8), value, dtype=torch.uint8)
        rounded += float((constant.double() / 255).std(correction=0)) != 0
        train = LabelledImages(constant, torch.zeros(999, dtype=torch.int64))
        with pytest.raises(ImagesError, match=f"channel 1 of 1 is {value} everywhere"):
            dataclasses.replace(images, train=train).normalised(constant)
    assert rounded


def _write_classes(folder, counts: dict[str, int]) -> None:
    generator = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def test_a_folder_of_class_sub_folders_is_an_image_set(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 20, "dog": 16})
    images = load(str(tmp_path), tmp_path)
    assert images.classes == ("cat", "dog")
    assert len(images.train) + len(images.held_out) + len(images.test) == 36
    assert images.test.images.shape == (3 + 2, 3, 32, 32)
    assert set(images.test.labels.tolist()) == {0, 1}


def test_the_first_images_of_a_folder_are_of_all_classes_and_always_the_same(tmp_path) -> None:
    _write_classes(tmp_path / "train", {"cat": 30, "dog": 30})
    _write_classes(tmp_path / "test", {"cat": 20, "dog": 20})
    images, again = load(str(tmp_path), tmp_path), load(str(tmp_path), tmp_path)
    assert set(images.train.labels[:10].tolist()) == {0, 1}
    assert set(images.test.labels[:10].tolist()) == {0, 1}
    assert images.checksum == again.checksum


def test_a_folder_without_class_sub_folders_is_refused(tmp_path) -> None:
    with pytest.raises(ImagesError, match="into a folder of its own"):
        load(str(tmp_path), tmp_path)


def test_a_folder_of_one_class_is_refused(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 20})
    with pytest.raises(ImagesError, match="the one class cat: give at least two"):
        load(str(tmp_path), tmp_path)


def test_an_empty_class_is_named(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 20, "dog": 20, "emu": 0})
    with pytest.raises(ImagesError, match=r"classes emu.* fill each class's folder, or remove it"):
        load(str(tmp_path), tmp_path)


def test_every_class_has_its_share_of_every_part(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 60, "dog": 12})
    images = load(str(tmp_path), tmp_path)
    assert images.test.labels.bincount().tolist() == [10, 2]
    assert images.held_out.labels.bincount().tolist() == [5, 1]
    assert images.train.labels.bincount().tolist() == [45, 9]


def test_a_class_too_small_for_a_test_image_is_named(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 40, "dog": 5})
    with pytest.raises(ImagesError, match="class dog has fewer than six images"):
        load(str(tmp_path), tmp_path)


def test_every_unreadable_image_is_counted_and_the_first_are_named(tmp_path) -> None:
    _write_classes(tmp_path, {"cat": 20, "dog": 20})
    cut = tmp_path / "dog" / "007.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    (tmp_path / "cat" / "003.png").write_text("no image")
    with pytest.raises(ImagesError, match=r"2 of 40 image files .* cannot be read") as caught:
        load(str(tmp_path), tmp_path)
    assert str(cut) in str(caught.value)
    assert str(tmp_path / "cat" / "003.png") in str(caught.value)


def test_an_unknown_image_set_names_the_known_ones(tmp_path) -> None:
    with pytest.raises(ImagesError, match=r"unknown image set 'cifar11': .* digits, cifar10"):
        load("cifar11", tmp_path)


def test_without_a_network_cifar_says_which_file_to_put_where(tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(ImagesError) as caught:
        load("cifar10", tmp_path)
    message = str(caught.value)
    assert "cifar-10-python.tar.gz" in message
    assert str(tmp_path) in message
    assert "\n" not in message


def test_what_would_have_to_be_downloaded_is_told_without_a_network(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the net"))
    with pytest.raises(ImagesError, match=r"cifar100 is not in .*cifar-100-python.tar.gz"):
        require_present("cifar100", tmp_path)
    require_present("digits", tmp_path)
    (tmp_path / "cifar-100-python").mkdir()
    require_present("cifar100", tmp_path)
