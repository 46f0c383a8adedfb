"""Float ONNX network + calibration data -> QDQ network, with onnxruntime's quantiser (extra: quantize)."""

from dory.quantize.calibrate import METHODS, Method, Settings
from dory.quantize.run import Options, Quantised, quantize

__all__ = ["METHODS", "Method", "Options", "Quantised", "Settings", "quantize"]
