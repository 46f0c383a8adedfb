"""Other ways to write quantised networks, written anew as QDQ before the importer reads them."""

from __future__ import annotations

from dataclasses import dataclass

from dory.frontend.onnx_file import OnnxFile
from dory.frontend.rewrite.pads import PADS
from dory.frontend.rewrite.qcdq import QCDQ
from dory.frontend.rewrite.qonnx import QONNX
from dory.frontend.rewrite.qoperator import QOPERATOR
from dory.frontend.rewrite.rule import Rewrite, Rule

__all__ = ["REWRITES", "Normalised", "Rewrite", "Rule", "normalise", "rewritten_operators"]

REWRITES: tuple[Rewrite, ...] = (QONNX, QOPERATOR, QCDQ, PADS)


@dataclass(frozen=True, eq=False)
class Normalised:
    """The file in QDQ form, and the names of the forms that were found in it."""

    file: OnnxFile
    forms: tuple[str, ...]


def normalise(file: OnnxFile) -> Normalised:
    """Apply every rewrite whose form is in the file; UserError at a node that none can take."""
    forms = []
    for rewrite in REWRITES:
        if rewrite.found(file):
            file = rewrite.run(file)
            forms.append(rewrite.name)
    return Normalised(file, tuple(forms))


def rewritten_operators() -> list[str]:
    """Operators of other forms that are accepted."""
    return [name for rewrite in REWRITES for rule in rewrite.rules for name in rule.names]
