"""Running ONNX networks in onnxruntime, without graph optimisation: fused integer kernels may saturate."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dory.errors import UserError

Array = NDArray[Any]
INSTALL = "pip install 'dory[quantize]'"


def require(module: str, package: str, where: str) -> None:
    """UserError that names the extra when an optional package is missing."""
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{package} is not installed", where=where, hint=INSTALL)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what onnxruntime's tools print and log as they go; their errors are exceptions."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
        onnxruntime.set_default_logger_severity(2)


class Runner:
    """A network with some of its values as further outputs. `where` is the file that errors name."""

    def __init__(self, model: onnx.ModelProto, where: str, extra: Sequence[str] = ()) -> None:
        import onnxruntime

        self._where = where
        self.outputs = [o.name for o in model.graph.output]
        own = {i.name for i in model.graph.input} | set(self.outputs)
        self.names = self.outputs + [n for n in dict.fromkeys(extra) if n not in own]
        widened = onnx.ModelProto()
        widened.CopyFrom(model)
        widened.graph.output.extend(onnx.ValueInfoProto(name=n) for n in self.names[len(self.outputs) :])
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                widened.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime has an exception class per status, all directly below Exception
            raise UserError(
                f"onnxruntime cannot load it: {first_line(e)}",
                where=where,
                hint="check the file with onnx.checker, or export it again",
            ) from e

    def __call__(self, feeds: Mapping[str, Array], sample: str) -> dict[str, Array]:
        """Inputs and outputs for one sample, by name. UserError, naming the sample, when it cannot be run."""
        try:
            results = self._session.run(self.names, dict(feeds))
        except Exception as e:  # see above
            raise UserError(
                f"onnxruntime cannot run it on {sample}: {first_line(e)}",
                where=self._where,
                hint="compare the sample's shape with the network's input, or export the network again",
            ) from e
        return {**feeds, **{n: np.asarray(v) for n, v in zip(self.names, results, strict=True)}}


def first_line(e: Exception) -> str:
    """The first line of an exception's message."""
    text = str(e).strip() or type(e).__name__
    return text.splitlines()[0][:300]
