"""Every node of a file tried in turn: which ones the importer takes, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dory.errors import UserError
from dory.frontend.onnx_file import NodeView, OnnxFile

State = Literal["taken", "host", "unchecked", "refused"]
STATES: tuple[State, ...] = ("taken", "host", "unchecked", "refused")  # better ones first
MALFORMED = (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AttributeError)


@dataclass(frozen=True, eq=False)
class Verdict:
    """One node: taken by the importer, left to the host, refused with a reason, or not checked because of another."""

    node: NodeView
    state: State
    reason: str = ""


def survey(file: OnnxFile, known: Iterable[str], step: Callable[[NodeView], State]) -> list[Verdict]:
    """Run `step` on every node whose inputs are known; a node that it refuses makes its results unknown.

    `known` are the names of constants and network inputs. `step` raises UserError for a node that it refuses.
    """
    have = {"", *known}
    lost: dict[str, str] = {}  # value -> label of the node that was refused
    out = []
    for node in file.nodes:
        missing = next((n for n in node.inputs if n not in have), None)
        if missing is not None:
            cause = lost.get(missing, missing)
            lost.update(dict.fromkeys(node.outputs, cause))
            out.append(Verdict(node, "unchecked", f"it depends on '{cause}'"))
            continue
        try:
            state = step(node)
        except UserError as exc:
            out.append(Verdict(node, "refused", exc.message))
        except MALFORMED as exc:
            out.append(Verdict(node, "refused", f"it is malformed: {exc}"))
        else:
            have.update(node.outputs)
            out.append(Verdict(node, state))
            continue
        lost.update(dict.fromkeys(node.outputs, node.label))
    return out
