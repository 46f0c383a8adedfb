"""dory: quantised ONNX to tiled, double-buffered, verified C for GAP8-class microcontrollers."""

__version__ = "0.1.0"
