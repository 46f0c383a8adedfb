"""Train the digits network, export it as float ONNX, quantise it, and write the test split.

    pip install -r requirements.txt
    python train.py

writes digits_float.onnx, digits_qdq.onnx and digits_test.npz beside this file. Seeds and split are fixed; another
version of PyTorch or another processor may give slightly other weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from network import DigitsNet, float_onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SEED = 1
EPOCHS = 60
BATCH = 64
SCALE = 1 / 16  # the pixels are 0..16


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, test images and labels; a quarter is for testing. Images are uint8 [n, 1, 8, 8]."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)
    parts = train_test_split(images, labels, test_size=0.25, random_state=SEED, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return train_x, train_y, test_x, test_y


def shifted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by -1, 0 or 1 columns (around the edge, which is nearly blank) and darkened, at random."""
    columns = torch.randint(-1, 2, (len(x),), generator=generator)
    moved = torch.stack([torch.roll(image, int(c), 2) for image, c in zip(x, columns, strict=True)])
    return moved * (0.8 + 0.2 * torch.rand(len(x), 1, 1, 1, generator=generator))


def train(images: np.ndarray, labels: np.ndarray) -> DigitsNet:
    """Adam with a cosine schedule, on one thread so that sums are added in one order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(images).float() * SCALE, torch.from_numpy(labels).long()
    net = DigitsNet()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        for batch in order.split(BATCH):
            loss = torch.nn.functional.cross_entropy(net(shifted(x[batch], generator)), y[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(x):.4f}", flush=True)
    return net.eval()


class Calibration(CalibrationDataReader):
    """The training images, one by one, under the name of the network's input."""

    def __init__(self, images: np.ndarray) -> None:
        self.images: Iterator[np.ndarray] = iter(images.astype(np.float32) * SCALE)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.images, None)
        return None if image is None else {"image": image[None]}


def quantise(model: onnx.ModelProto, images: np.ndarray, output: Path) -> None:
    """QDQ with int8 weights per channel and uint8 activations, calibrated on `images`."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            output,
            Calibration(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )


def accuracy(path: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers in onnxruntime, without the graph optimisation that may saturate integer kernels."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    right = 0
    for image, label in zip(images, labels, strict=True):
        (scores,) = session.run(None, {"image": image[None].astype(np.float32) * SCALE})
        right += int(scores.argmax()) == int(label)
    return right / len(labels)


def main() -> None:
    train_x, train_y, test_x, test_y = load()
    net = train(train_x, train_y)
    print(f"{sum(p.numel() for p in net.parameters())} parameters")
    model = float_onnx(net)
    onnx.save(model, HERE / "digits_float.onnx")
    quantise(model, train_x[:512], HERE / "digits_qdq.onnx")
    np.savez_compressed(HERE / "digits_test.npz", images=test_x, labels=test_y)
    for name in ("digits_float.onnx", "digits_qdq.onnx"):
        path = HERE / name
        print(f"{name}: {path.stat().st_size} bytes, {accuracy(path, test_x, test_y):.2%} of {len(test_y)} right")


if __name__ == "__main__":
    main()
