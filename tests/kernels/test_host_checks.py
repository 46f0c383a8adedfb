"""The host runtime notices what would be a race or a stray access on the chip, and says what it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import Build
from harness import ASAN, HERE, RUNTIME

EXIT_VIOLATION = 70
# Faults that the runtime itself finds, with words of its message.
FOUND = {
    "write-source": "source of a DMA in flight was written",
    "overlap": "writes where one in flight writes",
    "overlapping-lines": "writes where one in flight writes",
    "start-writes-source": "writes the source of one in flight",
    "start-reads-destination": "reads the destination of one in flight",
    "forgotten-dma": "never waited for",
    "forgotten-ram": "never waited for",
    "64k": "64 KiB or more",
    "dma-outside-live": "L1 + 256, outside of every L1 buffer",
    "dma-outside-arena": "outside of every L1 buffer",
    "dma-in-team": "DMA was started by core 0 inside a team",
    "dma-in-worker": "DMA was started by core 1 inside a team",
    "dma-wait-in-team": "DMA was waited for by core 0 inside a team",
    "ram-in-team": "RAM transfer was started by core 0 inside a team",
    "ram-wait-in-team": "RAM transfer was waited for by core 0 inside a team",
    "ram-size": "not whole aligned words",
    "ram-address": "not whole aligned words",
    "ram-l2-address": "not whole aligned words",
    "ram-bounds": "the network has 1024 bytes",
    "ram-bounds-wrap": "the network has 1024 bytes",
    "ram-outside-live": "outside of every L2 buffer",
    "ram-handle-twice": "handle that is in flight",
    "ram-write-then-read": "reads the destination of one in flight",
    "dirty-handle": "not zeroed before its first use",
    "dirty-handle-wait": "never started",
    "team": "a team of 3 cores, the device was opened with 4",
    "given-up-in-flight": "is given up while a DMA in flight reads it",
    "bad-live": "the arena has 4096",
    "load": "the weights do not fit the RAM",
}
# Plain accesses: the sanitizer sees them at once; without it, writes are found later and reads are not.
ACCESSES = {
    "read-early": None,
    "read-prefetch": None,
    "write-early": "destination of a DMA in flight was written",
    "write-outside": "L1 + 300, outside of every buffer, was written",
    "write-outside-l2": "L2 + 131071, outside of every buffer, was written",
}


@pytest.fixture(scope="module", params=["plain", "asan"])
def program(request: pytest.FixtureRequest, build: Build) -> Path:
    """The program with and without the address sanitizer."""
    flags = ASAN if request.param == "asan" else ["-O1"]
    sources = [HERE / "host_checks.c", RUNTIME / "rt_host.c", RUNTIME / "rt_host_transfer.c"]
    return build(sources, flags, f"host_checks_{request.param}")


def run(program: Path, fault: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, fault], capture_output=True, text=True, timeout=60)


def test_the_correct_program_passes(program: Path) -> None:
    done = run(program, "")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("fault", FOUND)
def test_fault(program: Path, fault: str) -> None:
    done = run(program, fault)
    assert done.returncode == EXIT_VIOLATION, done.stderr
    assert FOUND[fault] in done.stderr
    assert done.stderr.startswith("dory-host: error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("fault", ACCESSES)
def test_access(program: Path, fault: str) -> None:
    done, message = run(program, fault), ACCESSES[fault]
    if program.name.endswith("asan"):
        assert done.returncode not in (0, EXIT_VIOLATION)
        assert "use-after-poison" in done.stderr
    elif message is None:
        # Not an error without the sanitizer, but never the right data either: 0xa5 is what is read.
        assert (done.returncode, done.stdout) == (0, "165\ndone\n")
    else:
        assert done.returncode == EXIT_VIOLATION, done.stderr
        assert message in done.stderr
