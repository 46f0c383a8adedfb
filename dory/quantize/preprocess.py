"""From an image to a network's numbers, as one small TOML file says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError
from dory.targets.check import line_of

if TYPE_CHECKING:
    from PIL.Image import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHANNELS = ("grey", "rgb", "bgr")
LAYOUTS = ("nchw", "nhwc")
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
FROM = ("centre", "top", "bottom")
LARGEST = 16384


@dataclass(frozen=True)
class Preprocess:
    """What is done to an image, in this order; see docs/quantize.md for the keys.

    Numbers are (pixel * scale - mean) / std with pixels 0 to 255. channels and layout are None where the network's
    input shape tells them.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    crop_from: str = "centre"
    filter: str = "bilinear"
    channels: str | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str | None = None
    source: str = ""

    def describe(self) -> str:
        """One line for reports."""
        steps = []
        if self.resize is not None:
            how = f"{self.resize} (shorter side)" if isinstance(self.resize, int) else _by(self.resize)
            steps.append(f"resized to {how}")
        if self.crop is not None:
            steps.append(f"cropped to {_by(self.crop)} from the {self.crop_from}")
        denominator = Fraction(self.scale).limit_denominator(1024)
        scale = f"/ {denominator.denominator}" if denominator.numerator == 1 else f"* {self.scale:g}"
        number = f"pixel {scale}" if self.scale != 1 else "pixel"
        if any(self.mean):
            number = f"{number} - {_list(self.mean)}"
        if any(s != 1 for s in self.std):
            number = f"({number}) / {_list(self.std)}"
        return ", ".join([*steps, number])

    def layout_of(self, shape: tuple[int, ...]) -> str | None:
        """nchw or nhwc for a network input's shape [1, a, b, c]; None when it holds no image."""
        if len(shape) != 4:
            return None
        fits = [k for k, c in zip(LAYOUTS, (shape[1], shape[3]), strict=True) if c in (1, 3)]
        if self.layout is not None:
            return self.layout if self.layout in fits else None
        return fits[0] if fits else None

    def pixels(self, image: Image, channels: int, where: str) -> NDArray[np.uint8]:
        """HWC pixels of an image after resize, crop and channel order."""
        from PIL import Image as Pil

        if image.mode.startswith(("I", "F")):
            raise UserError(f"its pixels have more than 8 bits (mode {image.mode})", where=where, hint="store 8 bits")
        order = self.channels or ("grey" if channels == 1 else "rgb")
        if (order == "grey") != (channels == 1):
            raise UserError(
                f"channels = {order!r}, but the network reads {channels}",
                where=self.source or where,
                hint="channels = 'grey' for 1, 'rgb' or 'bgr' for 3",
            )
        image = image.convert("L" if channels == 1 else "RGB")
        if self.resize is not None:
            image = image.resize(self._size(image.size), Pil.Resampling[self.filter.upper()])
        data = np.asarray(image, np.uint8)
        data = data[:, :, None] if data.ndim == 2 else data
        if self.crop is not None:
            data = self._cropped(data, where)
        return data[:, :, ::-1] if order == "bgr" else data

    def numbers(self, pixels: NDArray[Any], axis: int) -> NDArray[np.float32]:
        """(pixel * scale - mean) / std, with mean and std along `axis`."""
        shape = [1] * pixels.ndim
        shape[axis] = -1
        mean, std = (np.reshape(np.asarray(v, np.float64), shape) for v in (self.mean, self.std))
        out: NDArray[np.float32] = ((pixels * self.scale - mean) / std).astype(np.float32)
        return out

    def fits_channels(self, channels: int) -> bool:
        """Whether mean and std have one value, or one per channel."""
        return all(len(v) in (1, channels) for v in (self.mean, self.std))

    def bounds(self) -> tuple[float, float]:
        """Smallest and largest number that a pixel can become."""
        n = max(len(self.mean), len(self.std))
        ends = self.numbers(np.repeat([[0.0], [255.0]], n, 1), 1)
        return float(ends.min()), float(ends.max())

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after the resize."""
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        assert self.resize is not None
        short = min(size)
        width, height = (max(1, round(s * self.resize / short)) for s in size)
        return width, height

    def _cropped(self, data: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
        assert self.crop is not None
        (h, w), (height, width) = self.crop, data.shape[:2]
        if h > height or w > width:
            raise UserError(
                f"{height} x {width} pixels, too small for crop = [{h}, {w}]",
                where=where,
                hint=f"resize first, in {self.source}",
            )
        top = {"top": 0, "centre": (height - h) // 2, "bottom": height - h}[self.crop_from]
        left = (width - w) // 2
        return data[top : top + h, left : left + w]


def load(path: Path) -> Preprocess:
    """Read a TOML file. UserError with the line for an unknown key or a value that makes no sense."""
    hint = "compare with docs/quantize.md"
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError as e:
        raise UserError("no such file", where=str(path), hint="--preprocess FILE.toml") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"not TOML: {e}", where=str(path), hint=hint) from e
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", where=str(path), hint="--preprocess FILE.toml") from e
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            values[key] = _value(key, value)
        except ValueError as e:
            raise UserError(f"{key} {e}", where=f"{path}:{line_of(text, '', key)}", hint=hint) from e
    return Preprocess(**values, source=str(path))


def _value(key: str, value: Any) -> Any:
    """The checked value of a key; ValueError says what is wanted."""
    known: Mapping[str, tuple[str, ...]] = {
        "channels": CHANNELS,
        "layout": LAYOUTS,
        "filter": FILTERS,
        "crop_from": FROM,
    }
    if key in known:
        if value not in known[key]:
            raise ValueError(f"= {value!r}: accepted are {', '.join(known[key])}")
        return value
    if key in ("resize", "crop"):
        if isinstance(value, int) and _is_size(value):
            return value if key == "resize" else (value, value)
        if isinstance(value, list) and len(value) == 2 and all(_is_size(v) for v in value):
            return tuple(value)
        raise ValueError(f"= {value!r}: a size, or [height, width], from 1 to {LARGEST} is wanted")
    if key == "scale":
        return _number(value)
    if key in ("mean", "std"):
        numbers = tuple(_number(v) for v in (value if isinstance(value, list) else [value]))
        if len(numbers) not in (1, 3):
            raise ValueError(f"= {value!r}: one number, or one for each of three channels, is wanted")
        if key == "std" and 0 in numbers:
            raise ValueError(f"= {value!r}: it divides, and must not be 0")
        return numbers
    names = ", ".join(f.name for f in fields(Preprocess) if f.name != "source")
    raise ValueError(f"is unknown; known are {names}")


def _number(value: Any) -> float:
    """A number, or a text like "1/255"."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError) as e:
        raise ValueError(f"= {value!r}: a number, or a fraction like '1/255', is wanted") from e
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not np.isfinite(number):
        raise ValueError(f"= {value!r}: a finite number, or a fraction like '1/255', is wanted")
    return float(number)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _list(values: tuple[float, ...]) -> str:
    same = values[0] if len(set(values)) == 1 else None
    return f"{same:g}" if same is not None else f"[{', '.join(f'{v:g}' for v in values)}]"
