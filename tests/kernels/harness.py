"""Talks to the C harness: one process answers many kernel calls."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
KERNELS, RUNTIME = CSRC / "gap8_kernels", CSRC / "runtime"
STRICT = ["-std=c11", "-DDORY_RT_HOST", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
INCLUDE = [f"-I{KERNELS}", f"-I{RUNTIME}"]
ASAN = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
TSAN = ["-O1", "-g1", "-fsanitize=thread"]
# The order of the table in harness.c.
FUNCTIONS = [
    "conv",
    "grouped_conv",
    "depthwise",
    "linear",
    "add",
    "maxpool",
    "avgpool",
    "lut",
    "pad",
    "concat",
    "permute",
    "softmax",
    "unpack",
    "pack",
    "unpack_weights",
    "crc32",
    "range",
    "tile",
    "linear32",
]


class Harness:
    """A running harness. Buffers are byte arrays; a call returns (scratch bytes, output bytes)."""

    def __init__(self, executable: Path, prefix: Sequence[str] = ()) -> None:
        self._command = [*prefix, str(executable)]
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115

    def call(
        self,
        function: str,
        parameters: Sequence[int],
        inputs: Sequence[NDArray[np.uint8]],
        size: int,
        cores: int = 8,
        scratch: int = 0,
    ) -> tuple[int, NDArray[np.uint8]]:
        """Run one function on a team of `cores`, with as much scratch as the kernel says.

        AssertionError with the harness's messages when it died.
        """
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=self._errors)
        head = [FUNCTIONS.index(function), cores, len(parameters), *map(int, parameters), len(inputs)]
        message = np.array(head, "<i4").tobytes()
        for x in inputs:
            message += np.array([x.size], "<i4").tobytes() + x.tobytes()
        message += np.array([size], "<i4").tobytes()
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.read(4 + size)
        if len(answer) != 4 + size:
            raise AssertionError(f"{function} failed:\n{self.close()}")
        return int.from_bytes(answer[:4], "little"), np.frombuffer(answer, np.uint8, offset=4)

    def close(self) -> str:
        """End the process; what it wrote to stderr. The next call starts another one."""
        if self._process is None:
            return ""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._process = None
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        self._errors.seek(0)
        self._errors.truncate()
        return text


def sources() -> list[Path]:
    """All kernels and the host runtime, without a main()."""
    return [*sorted(KERNELS.glob("*.c")), *(RUNTIME / f for f in ("rt_host.c", "rt_host_transfer.c", "dory_crc32.c"))]
