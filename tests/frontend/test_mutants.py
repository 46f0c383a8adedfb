"""Damaged files deploy or are refused by name. `make mutants` runs 10,000 of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dory import pipeline
from dory.errors import UserError
from dory.testing import robustness
from dory.testing.robustness import BASES, examine, examine_seed, mutant

SHARDS, EACH = 12, 50
FIRST_SEED = 500_000


@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutants(shard: int) -> None:
    for seed in range(FIRST_SEED + shard * EACH, FIRST_SEED + (shard + 1) * EACH):
        outcome = examine_seed(seed)
        assert outcome.good, f"python tools/mutants.py --first {seed} --count 1\n{outcome.kind}: {outcome.text}"


@pytest.mark.parametrize("name", BASES)
def test_the_bases_deploy(tmp_path: Path, name: str) -> None:
    data = BASES[name](np.random.default_rng(0)).SerializeToString()
    outcome = examine(data, tmp_path)
    assert outcome.kind == "deployed", outcome.text


def test_a_seed_is_a_file() -> None:
    assert mutant(7) == mutant(7) != mutant(8)


def _crash(app: Path) -> None:
    raise ValueError("a mistake")


def _half_written(app: Path) -> None:
    app.mkdir()
    raise UserError("refused", where="net.onnx")


def _nameless(app: Path) -> None:
    raise UserError("refused")


def _endless(app: Path) -> None:
    while True:
        pass


FAULTS = {"traceback": _crash, "partial output": _half_written, "unclear": _nameless, "hang": _endless}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(robustness, "SECONDS", 1)
    monkeypatch.setattr(pipeline, "deploy", lambda path, options: FAULTS[kind](options.output))
    assert examine(b"", tmp_path).kind == kind
