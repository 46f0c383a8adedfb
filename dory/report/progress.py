"""Progress of long work: a spinner on a terminal, plain lines when piped; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.status import Status


class Progress:
    """Call it with the name of the stage that begins. `quiet` prints nothing when stderr is not a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._quiet = quiet
        self._stage, self._since, self._tenth = "", 0.0, 0

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __call__(self, stage: str) -> None:
        self._finish_stage()
        self._stage, self._since, self._tenth = stage, time.perf_counter(), 0
        if self._status:
            self._status.update(stage)

    def count(self, done: int, total: int, what: str) -> None:
        """Within a stage: how far it is. Piped: a line for every tenth, once the stage takes more than a second."""
        if self._status:
            self._status.update(f"{self._stage}: {done} of {total} {what}")
        elif not self._quiet and done * 10 // max(total, 1) > self._tenth and time.perf_counter() > self._since + 1:
            self._tenth = done * 10 // total
            print(f"{self._stage}: {done} of {total} {what}", file=sys.stderr, flush=True)

    def status(self, text: str) -> None:
        """Within a stage: what is going on. Nothing when piped."""
        if self._status:
            self._status.update(f"{self._stage}: {text}")

    def _finish_stage(self) -> None:
        if self._stage and not self._status and not self._quiet:
            print(f"{self._stage}: {time.perf_counter() - self._since:.2f} s", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
        if value is None:
            self._finish_stage()
