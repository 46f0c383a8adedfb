"""What a rewrite of one operator is, and the row that it has in the table of accepted operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dory.errors import DoryError
from dory.frontend.onnx_file import NodeView, OnnxFile
from dory.frontend.rewrite.editor import Editor


@dataclass(frozen=True)
class Rule:
    """Operators that one function writes anew. `accepted` and `becomes` are their line in the README's table."""

    names: tuple[str, ...]
    accepted: str
    becomes: str
    run: Callable[[Editor, NodeView], None]


@dataclass(frozen=True)
class Rewrite:
    """One way to write quantised networks: recognised by what is in the file, written anew as QDQ.

    `found` tells whether a file has anything to write anew, `lacks` says what is missing from one that has not; `run`
    raises UserError at a node that it cannot take.
    """

    name: str
    summary: str
    lacks: str
    found: Callable[[OnnxFile], bool]
    run: Callable[[OnnxFile], OnnxFile]
    rules: tuple[Rule, ...] = ()

    def table(self) -> list[tuple[str, str, str]]:
        """(ONNX operators, what is accepted, what they are read as), like the importer's own table."""
        return [(", ".join(r.names), r.accepted, f"as {r.becomes}") for r in self.rules]


def by_name(rules: Sequence[Rule]) -> Mapping[str, Rule]:
    """The rule of each operator."""
    return {name: rule for rule in rules for name in rule.names}


def walk(file: OnnxFile, step: Callable[[Editor, NodeView], None]) -> OnnxFile:
    """The file that `step` makes, node by node; what a malformed node raises becomes a UserError at it."""
    editor = Editor(file)
    for node in file.nodes:
        try:
            step(editor, node)
        except DoryError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AttributeError) as exc:
            hint = "check the network with onnx.checker, or export it again"
            raise node.error(f"it is malformed: {exc}", hint) from exc
    return editor.result()
