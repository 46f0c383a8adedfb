"""Labels, and the share of samples that the float and the quantised network classify right."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from dory.errors import UserError
from dory.quantize.data import Sample
from dory.quantize.float_model import FloatModel
from dory.quantize.runtime import Runner


@dataclass(frozen=True)
class Accuracy:
    """Samples whose largest score is that of their label, by the output `output`."""

    source: str
    output: str
    samples: int
    float_right: int
    quantised_right: int


def read_labels(path: Path) -> dict[str, int]:
    """file -> class of a CSV with the columns file,label (a first line without a number is a heading).

    UserError with the line for anything else.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError as e:
        raise UserError("no such file", where=str(path), hint="--labels FILE.csv with lines file,label") from e
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", where=str(path), hint="another --labels") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise UserError("not a CSV text file", where=str(path), hint="lines file,label") from e
    table: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and len(row) == 2 and row[0].strip().lower() == "file"):
            continue
        if len(row) != 2 or not row[1].strip().isdigit():
            raise UserError(
                f"{','.join(row)!r} is not file,label",
                where=f"{path}:{number}",
                hint="a file name and a class index from 0, like frames/1.png,3",
            )
        table[row[0].strip()] = int(row[1])
    if not table:
        raise UserError("holds no labels", where=str(path), hint="lines file,label")
    return table


def measure(
    model: FloatModel,
    quantised: onnx.ModelProto,
    samples: Sequence[Sample],
    source: str,
    count: Callable[[int, int], None],
) -> Accuracy:
    """Top-1 accuracy of both networks. UserError when no output has a score per class."""
    real, integer = Runner(model.model, model.where), Runner(quantised, model.where)
    output, classes = "", 0
    right = [0, 0]
    for k, sample in enumerate(samples):
        feeds = sample.read()
        assert sample.label is not None
        for i, runner in enumerate((real, integer)):
            values = runner(feeds, sample.name)
            if not output:
                output, classes = _scores({n: values[n].size for n in runner.outputs}, model.where)
            if sample.label >= classes:
                raise UserError(
                    f"its label is {sample.label}, but '{output}' has {classes} scores (0 to {classes - 1})",
                    where=sample.name,
                    hint="labels are class indices from 0",
                )
            right[i] += int(np.argmax(values[output]) == sample.label)
        count(k + 1, len(samples))
    return Accuracy(source, output, len(samples), *right)


def _scores(sizes: dict[str, int], where: str) -> tuple[str, int]:
    for name, size in sizes.items():
        if size > 1:
            return name, size
    raise UserError(
        f"labels need an output with a score per class; the outputs have {sizes} elements",
        where=where,
        hint="leave the labels out",
    )
