"""One image file as pixels: read as what it is, whatever its name, or refused with the reason."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from compressibility.errors import ForeignError, first_line, foreign

FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Those that are known by their first bytes and hold one picture or say how many."""

IMAGE_SUFFIX: Final = re.compile(
    r"\.(apng|arw|avif|bmp|cr[23]|dcm|dib|dng|exr|gif|hdr|hei[cf]|ico|j2k|jfif|jp2|jpe|jpe?g|jxl|"
    r"nef|p[bfgnp]m|pcx|png|psd|qoi|ras|svg|tga|tiff?|webp)",
    re.IGNORECASE,
)
"""With one of these a file calls itself an image, in a format that is read here or another."""

EIGHT_BITS: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
LONGEST: Final = 100
"""Times its shorter side; of a longer image the crop would keep less than a hundredth."""


class NoImageError(Exception):
    """The file is no image and does not call itself one."""


class UnreadableError(Exception):
    """The file is an image, or calls itself one, and cannot be taken; the message says why."""


_TOLD: Final = (
    OSError,
    UnreadableError,
    Image.DecompressionBombWarning,
    Image.DecompressionBombError,
)
"""What is told of a file in words of its own."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image.

    Attributes:
        pixels: uint8, shape (3, size, size).
        turned: Whether it was turned upright, as its orientation tag asks.
        peak: Its largest value over the largest of its range, where it has more than eight bits.
    """

    pixels: np.ndarray
    turned: bool
    peak: float | None


def read(path: Path, size: int, resize: int | None = None) -> Picture:
    """The image in a file, upright, its shorter side scaled and its middle cropped to ``size``.

    The shorter side is scaled to ``resize``, by default to ``size``.

    Grey images become three equal channels. Sixteen bits are scaled by 65535 to eight (of 16-bit
    colours Pillow keeps the upper eight).

    Raises:
        NoImageError: It is no image, and its name does not say that it is.
        UnreadableError: It is damaged, too large, of several frames, partly transparent, or of
            values that have no range of their own.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with foreign(*_TOLD), Image.open(file, formats=_formats()) as image:
                return _picture(image, size, resize or size)
    except UnidentifiedImageError:
        if not IMAGE_SUFFIX.fullmatch(path.suffix):
            raise NoImageError from None
        empty = path.stat().st_size == 0
        raise UnreadableError(
            "it is empty" if empty else f"it is none of {', '.join(_formats())}, or damaged"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnreadableError(
            f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down"
        ) from None
    except OSError as error:
        raise UnreadableError(error.strerror or first_line(error)) from error
    except ForeignError as error:  # Pillow tells of damaged files by errors of a dozen types
        raise UnreadableError(str(error)) from error


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@lru_cache
def _scaled(size: int, resize: int) -> Callable[[Image.Image], np.ndarray]:
    from torchvision.transforms import v2

    scale = v2.Compose([v2.Resize(resize), v2.CenterCrop(size), v2.PILToTensor()])
    return lambda image: scale(image).numpy()


def _picture(image: Image.Image, size: int, resize: int) -> Picture:
    if max(image.size) > LONGEST * min(image.size):
        raise UnreadableError(
            f"it is {image.width} by {image.height}, more than {LONGEST} times as long as wide; "
            "cut it"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # in which previews follow the photograph
        raise UnreadableError(f"it has {frames} frames; give the one that is meant, or one a file")
    turned = _orientation(image) in range(2, 9)
    image.load()
    upright = ImageOps.exif_transpose(image) if turned else image
    if upright.mode in EIGHT_BITS:
        return Picture(_scaled(size, resize)(_opaque(upright)), turned, None)
    values, largest = _wide(upright, image)
    eight = ((values.astype(np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)
    grey = Image.fromarray(eight).convert("RGB")
    return Picture(_scaled(size, resize)(grey), turned, float(values.max()) / largest)


def _orientation(image: Image.Image) -> int:
    """As the file says; 1, upright, where it says nothing or what cannot be read."""
    try:
        with foreign():
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except ForeignError:  # viewers show such an image as it lies
        return 1


def _opaque(image: Image.Image) -> Image.Image:
    """The colours of an image of eight bits without a transparent pixel."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise UnreadableError("it is transparent in parts; lay it on a background")
    return image.convert("RGB")


def _wide(upright: Image.Image, image: Image.Image) -> tuple[np.ndarray, int]:
    """The values (height, width) of a grey image of up to sixteen bits, and their largest.

    ``image`` is as it was opened, with its tags.
    """
    mode, tags = image.mode, dict(getattr(image, "tag_v2", {}))
    bits = 16
    if mode.startswith("I;16"):
        [bits] = tags.get(258, (16,))
        if tags.get(262, 1) != 1:
            raise UnreadableError("zero is its white; save it with zero as black")
        if "transparency" in image.info:
            raise UnreadableError("it is transparent in parts; lay it on a background")
    elif mode != "I" or image.format not in ("PNG", "PPM"):
        raise UnreadableError(_NO_RANGE.get(mode, f"its pixels are {mode}; {_SAVE}"))
    return np.asarray(upright), 2**bits - 1


_SAVE: Final = "save it in 8 or 16 unsigned bits"
_NO_RANGE: Final = {
    "F": f"its pixels are floats, which have no range of their own; {_SAVE}",
    "I": f"its pixels are signed or 32-bit integers, which have no range of their own; {_SAVE}",
    "CMYK": "its colours are inks (CMYK), which depend on the printer; save it as RGB",
}
