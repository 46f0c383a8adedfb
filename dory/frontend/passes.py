"""From the builder's collection to the graph: fold ranges into layers, drop what feeds no output, name things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dory.frontend.builder import IDENTITY_TABLE, Builder
from dory.graph.types import Graph, IoLayout, Node

WITH_REQUANT = ("conv", "depthwise", "grouped_conv", "linear")
WITH_LIMITS = ("add", "avgpool", "maxpool", "softmax")


def finish(
    name: str, b: Builder, inputs: tuple[str, ...], outputs: tuple[str, ...], layouts: Mapping[str, IoLayout]
) -> Graph:
    """The graph that computes the outputs."""
    nodes = _live(_fold_limits(b.nodes, outputs), outputs)
    made = {*inputs, *(n.output for n in nodes)}
    tensors = {t: b.tensors[t] for t in b.tensors if t in made}
    return Graph(name, tuple(nodes), tensors, inputs, outputs, tuple(b.notes), dict(layouts))


def _live(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _fold_limits(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    """A table that only clips joins the layer before it, when nothing else reads that layer's result."""
    nodes = _live(nodes, outputs)
    maker = {n.output: i for i, n in enumerate(nodes)}
    readers = [t for n in nodes for t in n.inputs] + list(outputs)
    result: list[Node | None] = list(nodes)
    for i, node in enumerate(nodes):
        if node.op != "lut" or node.inputs[0] not in maker or readers.count(node.inputs[0]) != 1:
            continue
        j = maker[node.inputs[0]]
        before = result[j]
        limits = _limits(before) if before is not None else None
        if before is None or limits is None:
            continue
        table, (lo, hi) = node.attrs.table, limits
        low, high = int(table[lo : hi + 1].min()), int(table[lo : hi + 1].max())
        if not np.array_equal(table[lo : hi + 1], np.clip(IDENTITY_TABLE, low, high)[lo : hi + 1]):
            continue
        result[j] = replace(before, attrs=_limited(before, low, high), output=node.output)
        result[i] = None
        maker[node.output] = j
    return [n for n in result if n is not None]


def _limits(node: Node) -> tuple[int, int] | None:
    if node.op in WITH_REQUANT:
        return node.attrs.requant.lo, node.attrs.requant.hi
    return (node.attrs.lo, node.attrs.hi) if node.op in WITH_LIMITS else None


def _limited(node: Node, lo: int, hi: int) -> Any:
    if node.op in WITH_REQUANT:
        return replace(node.attrs, requant=replace(node.attrs.requant, lo=lo, hi=hi))
    return replace(node.attrs, lo=lo, hi=hi)
