"""The kinds of ONNX file that can be imported, and the choice of one by what is in the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dory.errors import UserError
from dory.frontend.importer import Imported, import_qdq, survey_qdq
from dory.frontend.integer import import_integer, integer_table, survey_integer, why_not_integer
from dory.frontend.kind import QUANTIZE_HINT, refuse, why_not_qdq
from dory.frontend.onnx_file import OnnxFile
from dory.frontend.registry import ops_table
from dory.frontend.rewrite import REWRITES
from dory.frontend.survey import Verdict


@dataclass(frozen=True)
class ImportOptions:
    """rescale_bits: width of the multipliers that scales become, 15 or 31. signed_inputs: an input whose type the file
    does not tell holds -128..127 rather than 0..255."""

    rescale_bits: int = 15
    signed_inputs: bool = False


@dataclass(frozen=True)
class Format:
    """One importer. `why_not` is None for a file that is its to import, else the reason; `ops` its table."""

    name: str
    summary: str
    why_not: Callable[[OnnxFile], str | None]
    load: Callable[[OnnxFile, ImportOptions], Imported]
    ops: Callable[[], list[tuple[str, str, str]]]
    survey: Callable[[OnnxFile, ImportOptions], list[Verdict]]


@dataclass(frozen=True)
class OpsTable:
    """Operators of one way to write a network: (ONNX operators, what is accepted, layer or what they are read as)."""

    name: str
    summary: str
    rows: tuple[tuple[str, str, str], ...]


FORMATS: tuple[Format, ...] = (
    Format(
        "QDQ",
        "float operators between QuantizeLinear and DequantizeLinear (onnxruntime, TensorFlow)",
        why_not_qdq,
        lambda file, options: import_qdq(file, options.rescale_bits),
        ops_table,
        lambda file, _: survey_qdq(file),
    ),
    Format(
        "integers in floats",
        "integer weights and explicit integer arithmetic (NEMO, Quantlab)",
        why_not_integer,
        lambda file, options: import_integer(file, signed_inputs=options.signed_inputs),
        integer_table,
        lambda file, options: survey_integer(file, signed_inputs=options.signed_inputs),
    ),
)


def tables() -> tuple[OpsTable, ...]:
    """What every importer accepts, and every form that is written anew before it is imported."""
    own = [OpsTable(f.name, f.summary, tuple(f.ops())) for f in FORMATS]
    anew = [OpsTable(r.name, f"{r.summary}; read as QDQ", tuple(r.table())) for r in REWRITES if r.rules]
    return (own[0], *anew, *own[1:])


def choose_format(file: OnnxFile) -> Format:
    """The importer of a file. UserError that says why each one refuses it."""
    refuse(file)
    reasons = [(f, f.why_not(file)) for f in FORMATS]
    for found, reason in reasons:
        if reason is None:
            return found
    text = "; ".join(f"{f.name}: {reason}" for f, reason in reasons)
    raise UserError(
        f"a float network, or one of a kind that no importer knows ({text})", where=str(file.path), hint=QUANTIZE_HINT
    )
