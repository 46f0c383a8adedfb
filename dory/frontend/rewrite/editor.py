"""Builds the nodes and constants that a rewrite puts in the place of a file's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike

from dory.frontend.fold import evaluate
from dory.frontend.names import unique
from dory.frontend.onnx_file import LIMITS, ROUNDING, Array, NodeView, OnnxFile, constant_value

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


class Editor:
    """The new file during one walk over the old one; nodes must be added in topological order."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.nodes: list[NodeView] = []
        self.constants: dict[str, Array] = dict(file.constants)
        self._makers: dict[str, NodeView] = {name: n for n in file.nodes for name in n.outputs if name}
        self._names = {*self._makers, *self.constants, *(p.name for p in file.inputs)}
        self._folded: dict[str, Array | None] = {}

    def result(self) -> OnnxFile:
        """The file as rewritten."""
        f = self.file
        return OnnxFile(f.path, tuple(self.nodes), self.constants, f.inputs, f.outputs)

    def maker(self, name: str) -> NodeView | None:
        """The node of the old file that makes a value; None for inputs and initialisers."""
        return self._makers.get(name)

    def keep(self, node: NodeView) -> None:
        """Take over a node as it is."""
        self.nodes.append(node)

    def add(
        self,
        like: NodeView,
        op: str,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        copy: Sequence[str] = (),
        opset: int | None = None,
        **attrs: Any,
    ) -> str:
        """A node in the place of (a part of) `like`; returns its output, a new name unless `output` gives one.

        `copy` names the attributes that are taken over from `like`. Messages about the node name `like`.
        """
        out = output if output is not None else self.fresh(f"{like.label}/{op}")
        proto = onnx.helper.make_node(op, list(inputs), [out], name=like.name, **attrs)
        kept = {name: like.attrs[name] for name in copy if name in like.attrs}
        proto.attribute.extend(a for a in like.proto.attribute if a.name in kept)
        self.nodes.append(
            NodeView(
                like.file,
                like.name or like.label,
                op,
                "",
                tuple(inputs),
                (out,),
                {**attrs, **kept},
                proto,
                like.opset if opset is None else opset,
                origin=like.origin or like.op,
            )
        )
        return out

    def fresh(self, stem: str) -> str:
        """A value name that the file does not have."""
        name = unique(stem, self._names)
        self._names.add(name)
        return name

    def store(self, stem: str, array: ArrayLike) -> str:
        """A new constant; returns its name."""
        name = self.fresh(stem)
        self.constants[name] = np.asarray(array)
        return name

    def quantised(
        self,
        like: NodeView,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        copy: Sequence[str] = (),
        limits: Sequence[int] | None = None,
        rounding: str | None = None,
    ) -> str:
        """QuantizeLinear of (x, scale, zero-point); "" or nothing stands for an absent zero-point."""
        extra: dict[str, Any] = {}
        if limits is not None:
            extra[LIMITS] = list(limits)
        if rounding is not None:
            extra[ROUNDING] = rounding
        return self.add(like, "QuantizeLinear", [i for i in inputs if i], output=output, copy=copy, opset=None, **extra)

    def dequantised(
        self, like: NodeView, x: str, scale: str, zero: str, *, output: str | None = None, axis: int | None = None
    ) -> str:
        """DequantizeLinear; "" stands for an absent zero-point."""
        extra: dict[str, Any] = {} if axis is None else {"axis": axis}
        inputs = [x, scale, *([zero] if zero else [])]
        return self.add(like, "DequantizeLinear", inputs, output=output, opset=None, copy=(), **extra)

    def constant(self, name: str) -> Array | None:
        """The value behind a name when it is constant: an initialiser, or computed from constants alone."""
        waiting = [name]
        while waiting:  # no recursion: a chain of nodes may be as long as the file
            current = waiting[-1]
            needed = [i for i in self._inputs(current) if i not in self.constants and i not in self._folded]
            if current in self.constants or current in self._folded or not needed:
                waiting.pop()
                if current not in self.constants and current not in self._folded:
                    self._folded[current] = self._fold(current)
            else:
                waiting.extend(needed)
        return self.constants[name] if name in self.constants else self._folded[name]

    def _inputs(self, name: str) -> list[str]:
        """What must be known before a value can be computed; nothing for one that cannot be."""
        node = self.maker(name)
        return [] if node is None or node.domain or node.op in QUANTISERS else [i for i in node.inputs if i]

    def _fold(self, name: str) -> Array | None:
        """The value of a name whose inputs are known to be constant or not."""
        node = self.maker(name)
        if node is None or node.domain or node.op in QUANTISERS:
            return None
        if node.op == "Constant":
            return constant_value(node)
        inputs = [self.constants.get(i, self._folded.get(i)) if i else None for i in node.inputs]
        if not inputs or any(a is None for a, i in zip(inputs, node.inputs, strict=True) if i):
            return None
        return dict(zip(node.outputs, evaluate(node, inputs), strict=False)).get(name)


def input_name(node: NodeView, i: int) -> str:
    """Input i, "" when it is absent."""
    return node.inputs[i] if i < len(node.inputs) else ""


def readers(file: OnnxFile) -> Mapping[str, list[NodeView]]:
    """The nodes that read each value."""
    found: dict[str, list[NodeView]] = {}
    for node in file.nodes:
        for name in filter(None, node.inputs):
            found.setdefault(name, []).append(node)
    return found
