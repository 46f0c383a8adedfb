"""`dory sweep`: every point is the estimate of that point, a stopped sweep goes on, what does not fit says why."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from cli_runner import Dory
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from dory.cli.sweep import values
from dory.report.sweep import best
from dory.testing.networks import NETWORKS

AXES = ["--l1", "16k,32k", "--cores", "2,8", "--fc-mhz", "100,250", "--cluster-mhz", "50,175"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_the_estimate_of_its_point(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    done = dory("sweep", digits, *AXES, "-o", out, "--jobs", "1")
    assert done.code == 0, done.err
    rows = read(out)
    points = {(r["l1"], r["cores"], r["fc_mhz"], r["cluster_mhz"]) for r in rows}
    assert points == set(product(("16384", "32768"), ("2", "8"), ("100", "250"), ("50", "175"))) and len(rows) == 16
    for row in rows[:: len(rows) // 4]:
        options = ["--l1", row["l1"], "--cores", row["cores"], "--fc-mhz", row["fc_mhz"]]
        wanted = json.loads(dory("estimate", digits, *options, "--cluster-mhz", row["cluster_mhz"], "--json").out)
        network = wanted["network"]
        assert int(row["cycles"]) == network["cycles"] and row["status"] == "ok" and row["target"] == "gap8"
        for column, key in (("ms", "ms"), ("mj", "mj"), ("pj_per_mac", "pj_per_mac"), ("mac_per_cycle",) * 2):
            assert float(row[column]) == pytest.approx(network[key], rel=1e-6)
        for cause, cycles in network["cycles_by_cause"].items():
            assert int(row[cause]) == cycles
        assert int(row["l1_used"]) == network["l1_peak_bytes"] and int(row["l3_read"]) == network["l3_bytes_read"]


@pytest.mark.slow
def test_processes_change_nothing(dory: Dory, digits: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert dory("sweep", digits, *AXES, "-o", tmp_path / f"{jobs}.csv", "--jobs", jobs).code == 0
    one, two = ((tmp_path / f"{jobs}.csv").read_text().splitlines() for jobs in ("1", "2"))
    assert one[0] == two[0] and sorted(one) == sorted(two)


def test_a_sweep_goes_on_where_it_was(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert dory("sweep", digits, *AXES, "-o", out, "--jobs", "1").code == 0
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:6]) + lines[6][:20])  # killed in the middle of a row
    done = dory("sweep", digits, *AXES, "-o", out, "--jobs", "1")
    assert done.code == 0 and "16 points, 11 of them new" in done.out
    assert out.read_bytes().startswith(b"".join(lines[:6]))
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert "16 points, 0 of them new" in dory("sweep", digits, *AXES, "-o", out).out
    done = dory("sweep", digits, "--l1", "24k", "-o", out, "--jobs", "1")
    assert "17 points, 1 of them new" in done.out
    for keep in (0, 5):
        out.write_bytes(whole[:keep])
        assert "16 points, 16 of them new" in dory("sweep", digits, *AXES, "-o", out, "--jobs", "1").out


def test_rows_of_another_sweep_are_refused(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "s.csv", NETWORKS["two_output_net"].save(tmp_path / "net.onnx")
    assert dory("sweep", digits, "-o", out, "--jobs", "1").code == 0
    before = out.read_bytes()
    for arguments in ([other], [digits, "--target", "gap8-gvsoc"], [digits, "--rescale-bits", "31"]):
        done = dory("sweep", *arguments, "-o", out, "--jobs", "1")
        assert done.code == 2 and str(out) in done.err and "another" in done.err
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["my thesis\n", "a,b\n1,2\n", "no line break", "\xff\xfe", '"open\n', "\n"])
def test_foreign_files_are_kept(text: str, dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    out.write_bytes(text.encode("latin-1"))
    done = dory("sweep", digits, "-o", out, "--jobs", "1")
    assert done.code == 2 and "s.csv" in done.err and out.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("change", [("8,", "eight,"), (",ok,", ",fine,"), (",gap8,", ",gap8,,")])
def test_damaged_rows_are_named(change: tuple[str, str], dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert dory("sweep", digits, "-o", out, "--jobs", "1", "--cores", "8", "--l1", "48k").code == 0
    out.write_text(out.read_text().replace(*change))
    done = dory("sweep", digits, "-o", out, "--jobs", "1")
    assert done.code == 2 and "row 2 is damaged" in done.err


def test_infeasible_points_are_recorded_with_their_reason(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.html"
    options = ["--l1", "1k,48k,64k", "--l2", "8k,200k", "--cores", "8,9", "--cluster-mhz", "100,400"]
    done = dory("sweep", digits, *options, "-o", out, "--jobs", "1")
    assert done.code == 0 and "infeasible" in done.out and out.exists()
    rows = read(out.with_suffix(".csv"))
    assert len(rows) == 24
    good = [r for r in rows if r["status"] == "ok"]
    assert [(r["l1"], r["l2"], r["cores"], r["cluster_mhz"]) for r in good] == [("49152", "204800", "8", "100")]
    for row in rows:
        assert (row["status"] == "ok") == (row["reason"] == "") == (row["cycles"] != "")
    reasons = {(r["l1"], r["l2"], r["cores"], r["cluster_mhz"]): r["reason"] for r in rows}
    assert "L1" in reasons["1024", "204800", "8", "100"] and "L2" in reasons["49152", "8192", "8", "100"]
    assert (
        "--l1: 65536" in reasons["65536", "204800", "8", "100"]
        and "--cores: 9" in reasons["49152", "204800", "9", "100"]
    )
    assert "400 MHz" in reasons["49152", "204800", "8", "400"]
    again = json.loads(dory("sweep", digits, *options, "-o", out, "--json").out)
    assert len(again["points"]) == 24 and sum(p["cycles"] is None for p in again["points"]) == 23
    assert out.read_text().count("infeasible") == 1


def _interruptible() -> None:
    """A process started in the background may ignore interrupts, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_sweeps_keep_their_rows(digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    command = [sys.executable, "-m", "dory", "sweep", str(digits), "-o", str(out), "--jobs", "2"]
    command += ["--l1", "12k:48k:1k", "--cluster-mhz", "20:170:1"]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_interruptible
    ) as sweep:
        deadline = time.monotonic() + 60
        while (not out.exists() or out.stat().st_size < 5000) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(sweep.pid, signal.SIGINT)
        _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130 and "Traceback" not in err and "the same command goes on" in err
    assert out.read_bytes().endswith(b"\n") and 10 < len(read(out)) < 37 * 151


def test_two_sweeps_do_not_write_one_file(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    with out.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = dory("sweep", digits, "-o", out, "--jobs", "1")
    assert done.code == 2 and "another sweep" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--l1", "48q"], ("--l1", "48q", "accepted")),
        (["--l1", ""], ("--l1",)),
        (["--l1", "1k:2"], ("--l1",)),
        (["--cores", "1.5"], ("--cores",)),
        (["--cores", "0"], ("--cores", "positive")),
        (["--cores", "8:1:1"], ("--cores",)),
        (["--fc-mhz", "0"], ("--fc-mhz", "10000")),
        (["--cluster-mhz", "50:60:0"], ("--cluster-mhz",)),
        (["--cluster-mhz", "1:1000000:0.001"], ("--cluster-mhz",)),
        (["--jobs", "0"], ("--jobs",)),
        (["-o", "points.txt"], ("points.txt", ".csv")),
        (["-o", "no/such/folder/s.csv"], ("s.csv", "another -o")),
        (["--target", "gap9"], ("gap9",)),
    ],
)
def test_bad_options(options: list[str], words: tuple[str, ...], dory: Dory, digits: Path, tmp_path: Path) -> None:
    output = [] if "-o" in options else ["-o", str(tmp_path / "s.csv")]
    done = dory("sweep", digits, *options, *output)
    assert done.code == 2 and done.out == ""
    for word in words:
        assert word in done.err
    assert dory("sweep", tmp_path / "none.onnx", "-o", tmp_path / "s.csv").code == 2
    assert not list(tmp_path.iterdir())


def test_lists_and_ranges() -> None:
    assert values(int)("1,2,2,8") == (1, 2, 8)
    assert values(float)("50:175:25") == (50, 75, 100, 125, 150, 175)
    assert values(float)("0.1:0.3:0.1,9") == (0.1, 0.2, 0.3, 9)
    assert values(int)("1:8:3") == (1, 4, 7)


def test_dask_is_an_extra(dory: Dory, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = dory("sweep", digits, "-o", tmp_path / "s.csv", "--dask", "tcp://127.0.0.1:8786")
    assert done.code == 2 and "pip install 'dory[sweep]'" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_on_a_dask_cluster(dory: Dory, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra sweep is not installed")
    monkeypatch.setattr("dory.sweep.run.DASK_SECONDS", 2)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:port"):
        done = dory("sweep", digits, "-o", tmp_path / "none.csv", "--dask", address)
        assert done.code == 2 and address in done.err, done.err
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", dashboard_address=None
    )
    with cluster:
        done = dory("sweep", digits, *AXES, "-o", tmp_path / "dask.csv", "--dask", cluster.scheduler_address)
        assert done.code == 0, done.err
        cluster.scale(0)
    assert dory("sweep", digits, *AXES, "-o", tmp_path / "local.csv", "--jobs", "1").code == 0
    dask, local = ((tmp_path / f"{x}.csv").read_text().splitlines() for x in ("dask", "local"))
    assert dask[0] == local[0] and sorted(dask) == sorted(local)


@given(st.lists(st.tuples(*[st.integers(1, 5)] * 3), max_size=20))
def test_best_points_are_those_that_no_other_beats(points: list[tuple[int, int, int]]) -> None:
    columns = ("ms", "mj", "l1_used")
    rows = [{"status": "ok", **dict(zip(columns, map(str, p), strict=True))} for p in points]
    found = {tuple(int(r[c]) for c in columns) for r in best(rows)}
    beaten = {p for p in points if any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)}
    assert found == set(points) - beaten


@pytest.mark.slow
def test_a_thousand_points_of_a_plan(dory: Dory, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    done = dory("sweep", digits, "-o", out, "--jobs", "2", "--fc-mhz", "50:248:2", "--cluster-mhz", "80:98:2")
    assert done.code == 0 and len(read(out)) == 1000
