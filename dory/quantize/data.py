"""Calibration data: a folder of images and arrays, one such file, or an .npz with labels.

Files are opened when their sample is asked for, so that one sample is in memory at a time. Floats and all integers but
uint8 are the network's numbers as they are; images and uint8 arrays are pixels, which are preprocessed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError
from dory.quantize.float_model import Input
from dory.quantize.preprocess import Preprocess
from dory.quantize.runtime import Array, require

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
LABELS = ("labels", "label")
ACCEPTED = f"a folder of images ({', '.join(IMAGES)}), .npy and .npz files, or one such file"
Feeds = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: its file, a name for messages, and how to read it. `pixels` when it is an image file."""

    file: Path
    name: str
    read: Callable[[], Feeds]
    pixels: bool
    label: int | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples of a source, sorted by file name, then by position in the file."""

    source: Path
    items: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def labelled(self) -> tuple[Sample, ...]:
        """Those with a label."""
        return tuple(s for s in self.items if s.label is not None)

    @property
    def pixels(self) -> bool:
        """Whether all are image files."""
        return all(s.pixels for s in self.items)

    def some(self, count: int | None) -> tuple[Sample, ...]:
        """At most `count` of them, evenly spread over the whole."""
        if count is None or count >= len(self.items):
            return self.items
        return tuple(self.items[i] for i in np.linspace(0, len(self.items) - 1, count).round().astype(int))


def open_samples(source: Path, inputs: Sequence[Input], preprocess: Preprocess) -> Samples:
    """The samples of a folder or file. UserError that names what is missing or does not fit."""
    reader = _Reader(inputs, preprocess)
    if not source.exists():
        raise UserError("no such file or folder", where=str(source), hint=ACCEPTED)
    if not source.is_dir():
        return Samples(source, reader.open(source))
    found = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    files = [p for p in found if p.suffix.lower() in (*IMAGES, *ARRAYS)]
    if not files:
        kinds = ", ".join(sorted({p.suffix or p.name for p in found})[:5])
        what = f"{len(found)} files ({kinds}), none of them an image or an array" if found else "nothing"
        raise UserError(f"the folder holds {what}", where=str(source), hint=ACCEPTED)
    return Samples(source, tuple(s for p in files for s in reader.open(p)))


@dataclass(frozen=True)
class _Reader:
    inputs: Sequence[Input]
    preprocess: Preprocess

    def open(self, file: Path) -> tuple[Sample, ...]:
        suffix = file.suffix.lower()
        if suffix in IMAGES:
            require("PIL", "Pillow", str(file))
            return (Sample(file, str(file), lambda: self._image(file), True),)
        if suffix not in ARRAYS:
            raise UserError(f"{suffix or 'no suffix'}: neither image nor array", where=str(file), hint=ACCEPTED)
        data = _load(file)
        return self._single(file, data) if isinstance(data, np.ndarray) else self._named(file, data)

    def _single(self, file: Path, data: Array) -> tuple[Sample, ...]:
        if len(self.inputs) != 1:
            names = ", ".join(i.name for i in self.inputs)
            raise UserError(
                f"holds one array, but the network reads {names}", where=str(file), hint=f"an .npz with {names}"
            )
        return self._samples(file, {self.inputs[0].name: data}, None)

    def _named(self, file: Path, data: Mapping[str, Array]) -> tuple[Sample, ...]:
        names = [i.name for i in self.inputs]
        labels = next((k for k in LABELS if k in data and k not in names), None)
        rest = [k for k in data if k != labels]
        arrays = {n: data[n] for n in names if n in data}
        if not arrays and len(names) == len(rest) == 1:
            arrays = {names[0]: data[rest[0]]}
        if len(arrays) != len(names):
            raise UserError(
                f"holds arrays {', '.join(data) or '(none)'}, but the network reads {', '.join(names)}",
                where=str(file),
                hint="np.savez(file, " + ", ".join(f"{_word(n)}=..." for n in names) + ", labels=...)",
            )
        return self._samples(file, arrays, None if labels is None else data[labels])

    def _samples(self, file: Path, arrays: Mapping[str, Array], labels: Array | None) -> tuple[Sample, ...]:
        stacks = {i.name: self._stack(file, i, arrays[i.name]) for i in self.inputs}
        counts = {name: len(s) for name, s in stacks.items()}
        if len(set(counts.values())) != 1:
            raise UserError(
                f"numbers of samples differ: {counts}", where=str(file), hint="one entry per sample in each"
            )
        count = next(iter(counts.values()))
        if count == 0:
            raise UserError("holds no samples", where=str(file), hint=ACCEPTED)
        classes = None if labels is None else _classes(file, labels, count)

        def sample(k: int) -> Sample:
            name = f"{file}[{k}]" if count > 1 else str(file)
            label = None if classes is None else int(classes[k])
            return Sample(file, name, lambda: self._arrays(stacks, k, name), False, label)

        return tuple(sample(k) for k in range(count))

    def _stack(self, file: Path, port: Input, data: Array) -> Array:
        """The array with one entry per sample; UserError when its shape or type is none that fits."""
        if data.dtype.kind not in "fiub":
            raise UserError(
                f"'{port.name}' is {data.dtype}", where=str(file), hint="accepted are floats, integers and uint8 pixels"
            )
        one = port.shape[1:]
        if tuple(data.shape) in (port.shape, one):
            return data.reshape(1, *one)
        if tuple(data.shape[1:]) in (port.shape, one):
            return data.reshape(len(data), *one)
        if data.dtype == np.uint8 and self.preprocess.layout_of(port.shape):
            channels = data.shape[-1] if data.ndim > 2 and data.shape[-1] in (1, 3) else 0
            if data.ndim == (3 if channels else 2):
                return data[None]
            if data.ndim == (4 if channels else 3):
                return data
        raise UserError(
            f"'{port.name}' has the shape {list(data.shape)}",
            where=str(file),
            hint=f"give {list(one)} for one sample, or [samples, {', '.join(map(str, one))}]",
        )

    def _arrays(self, stacks: Mapping[str, Array], k: int, name: str) -> Feeds:
        feeds = {}
        for port in self.inputs:
            data = stacks[port.name][k]
            if data.dtype == np.uint8:
                feeds[port.name] = self._pixels(np.ascontiguousarray(data), port, name)
            else:
                feeds[port.name] = np.ascontiguousarray(data, np.float32)[None]
            _require_finite(feeds[port.name], port.name, name)
        return feeds

    def _pixels(self, data: Array, port: Input, name: str) -> NDArray[np.float32]:
        """A uint8 array as the network reads it, or an image of another size."""
        layout = self.preprocess.layout_of(port.shape)
        if tuple(data.shape) == port.shape[1:]:
            axis = 0 if layout == "nchw" else data.ndim - 1
            channels = data.shape[axis] if layout else 1
            if not self.preprocess.fits_channels(channels):
                raise UserError(
                    f"mean or std has three values, '{port.name}' {channels} channel(s)",
                    where=self.preprocess.source,
                    hint="give one number, or one per channel",
                )
            return self.preprocess.numbers(data, axis)[None]
        from PIL import Image

        require("PIL", "Pillow", name)
        return self._from_image(Image.fromarray(data.squeeze(2) if data.shape[2:] == (1,) else data), port, name)

    def _image(self, file: Path) -> Feeds:
        from PIL import Image

        if len(self.inputs) != 1:
            names = ", ".join(i.name for i in self.inputs)
            raise UserError(
                f"an image, but the network reads {names}", where=str(file), hint=f"one .npz per sample, with {names}"
            )
        try:
            with Image.open(file) as image:
                image.load()
                pixels = image.copy()
        except Exception as e:  # decoders raise OSError, SyntaxError, ValueError, zlib.error and more
            raise UserError(
                f"not a readable image: {str(e).splitlines()[0] if str(e) else type(e).__name__}",
                where=str(file),
                hint="remove the file or replace it",
            ) from e
        return {self.inputs[0].name: self._from_image(pixels, self.inputs[0], str(file))}

    def _from_image(self, image: Any, port: Input, name: str) -> NDArray[np.float32]:
        layout = self.preprocess.layout_of(port.shape)
        if layout is None:
            raise UserError(
                f"an image, but the network reads '{port.name}' of shape {list(port.shape)}",
                where=name,
                hint="arrays (.npy, .npz), or in the TOML file: layout = 'nchw' or 'nhwc', with 1 or 3 channels",
            )
        h, w = port.shape[2:] if layout == "nchw" else port.shape[1:3]
        channels = port.shape[1] if layout == "nchw" else port.shape[3]
        pixels = self.preprocess.pixels(image, channels, name)
        if pixels.shape[:2] != (h, w):
            after = "after resize and crop " if self.preprocess.resize or self.preprocess.crop else ""
            raise UserError(
                f"the image has {after}{pixels.shape[0]} x {pixels.shape[1]} pixels, the network reads {h} x {w}",
                where=name,
                hint=f"--preprocess FILE.toml with resize = [{h}, {w}], or with resize and crop",
            )
        if not self.preprocess.fits_channels(channels):
            raise UserError(
                f"mean or std has three values, the network reads {channels} channel(s)",
                where=self.preprocess.source,
                hint="give one number, or one per channel",
            )
        numbers = self.preprocess.numbers(pixels, 2)
        return np.ascontiguousarray(numbers.transpose(2, 0, 1) if layout == "nchw" else numbers)[None]


def with_labels(samples: Samples, table: Mapping[str, int], source: Path) -> Samples:
    """The samples with the labels of a CSV, by path relative to the folder or by file name.

    UserError when no file of the table is among them.
    """
    root = samples.source if samples.source.is_dir() else samples.source.parent

    def label(s: Sample) -> int | None:
        return table.get(s.file.relative_to(root).as_posix(), table.get(s.file.name, s.label))

    labelled = tuple(replace(s, label=label(s)) for s in samples.items)
    if not any(s.label is not None for s in labelled):
        raise UserError(
            f"none of its {len(table)} files is among the samples ({samples.items[0].file.name}, ...)",
            where=str(source),
            hint=f"write paths relative to {root}",
        )
    return Samples(samples.source, labelled)


def _load(file: Path) -> Array | dict[str, Array]:
    try:
        data = np.load(file, mmap_mode="r" if file.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(data, np.ndarray):
            return data
        with data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as e:
        objects = any(text in str(e) for text in ("Object arrays", "Python objects"))
        reason = "holds Python objects" if objects else "damaged, or not a NumPy file"
        raise UserError(reason, where=str(file), hint="np.save or np.savez of plain arrays") from e


def _classes(file: Path, labels: Array, count: int) -> Array:
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        raise UserError(
            f"labels are {labels.dtype} of shape {list(labels.shape)}, for {count} samples",
            where=str(file),
            hint="one class index (an integer from 0) per sample",
        )
    return labels.reshape(-1)


def _require_finite(data: Array, port: str, name: str) -> None:
    if not np.all(np.isfinite(data)):
        bad = int(np.count_nonzero(~np.isfinite(data)))
        raise UserError(
            f"'{port}' holds {bad} values that are not finite (NaN or infinite)",
            where=name,
            hint="remove the sample, or check how it was made",
        )


def _word(name: str) -> str:
    return name if name.isidentifier() else f"**{{{name!r}: ...}}"
