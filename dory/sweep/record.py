"""The CSV file of a sweep: whole rows are appended, so that a sweep that was stopped goes on where it was."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from dory.errors import UserError
from dory.sweep.space import Clock, Point

Row = Mapping[str, str]

AXES = ("l1", "l2", "cores", "fc_mhz", "cluster_mhz")
RESULTS = (
    "cycles",
    "ms",
    "mac_per_cycle",
    "mj",
    "pj_per_mac",
    "volts",
    "l1_used",
    "l2_used",
    "l3_used",
    "dma_bytes",
    "l3_read",
    "l3_written",
    "compute",
    "imbalance",
    "dma",
    "l3",
    "overhead",
)
COLUMNS = ("network", "target", *AXES, "status", *RESULTS, "reason", "key")
OK, INFEASIBLE = "ok", "infeasible"


def point_of(row: Row) -> Point:
    """The point that a row is about; ValueError or KeyError when it is none."""
    clock = Clock(round(float(row["fc_mhz"]) * 1000), round(float(row["cluster_mhz"]) * 1000))
    return Point(int(row["l1"]), int(row["l2"]), int(row["cores"]), clock)


def axes(point: Point) -> dict[str, str]:
    """The first columns of a row."""
    fc, cluster = point.clock.fc_khz / 1000, point.clock.cluster_khz / 1000
    values = (point.l1, point.l2, point.cores, f"{fc:g}", f"{cluster:g}")
    return dict(zip(AXES, map(str, values), strict=True))


class Record:
    """The file, open and locked. `rows` are those that it had and those added since."""

    def __init__(self, path: Path, key: str) -> None:
        """UserError when the file is not a sweep's, belongs to another sweep, or is being written by one."""
        self.path, self._key = path, key
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as e:
            raise UserError(f"cannot be written: {e.strerror}", where=str(path), hint="another -o") from e
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.rows = self._read()
        except BlockingIOError as e:
            os.close(self._fd)
            raise UserError("another sweep is writing it", where=str(path), hint="another -o") from e
        except UserError:
            os.close(self._fd)
            raise

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows in one write. UserError when the disk is full."""
        self._append("".join(_line([row[c] for c in COLUMNS]) for row in rows))
        self.rows += rows

    def points(self) -> set[Point]:
        """What is there already."""
        return {point_of(row) for row in self.rows}

    def _append(self, text: str) -> None:
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as e:
            raise UserError(f"cannot be written: {e.strerror}", where=str(self.path)) from e

    def _read(self) -> list[Row]:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # the last write of a sweep that was killed
            if not whole and not ",".join(COLUMNS).startswith(data.decode(errors="replace")):
                raise self._foreign()
            os.ftruncate(self._fd, len(whole))
        if not whole:
            self._append(_line(COLUMNS))
            return []
        try:
            lines = list(csv.reader(io.StringIO(whole.decode("utf-8")), strict=True))
        except (UnicodeDecodeError, csv.Error) as e:
            raise self._foreign() from e
        if tuple(lines[0]) != COLUMNS:
            raise self._foreign()
        return [self._row(fields, number) for number, fields in enumerate(lines[1:], 2)]

    def _row(self, fields: list[str], number: int) -> Row:
        row = dict(zip(COLUMNS, fields, strict=False))
        try:
            point_of(row)
            if len(fields) != len(COLUMNS) or row["status"] not in (OK, INFEASIBLE):
                raise ValueError(row)
            if row["status"] == OK:
                [float(row[c]) for c in RESULTS]
        except (KeyError, ValueError) as e:
            raise UserError(
                f"row {number} is damaged", where=str(self.path), hint="delete the row, or another -o"
            ) from e
        if row["key"] != self._key:
            raise UserError(
                "holds points of another model, target, option or version of dory",
                where=str(self.path),
                hint="another -o, or delete the file",
            )
        return row

    def _foreign(self) -> UserError:
        return UserError("exists and was not made by dory sweep", where=str(self.path), hint="another -o")


def _line(fields: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(fields)
    return out.getvalue()
