"""The fits of `make calibrate` find what made the samples."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from tests.paths import ROOT

PATH = ROOT / "tools" / "kernel_fits.py"
pytestmark = pytest.mark.skipif(not PATH.is_file(), reason="the tools are not beside the tests")


@pytest.fixture(scope="module")
def fits():
    spec = importlib.util.spec_from_file_location("kernel_fits", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kernel_fits"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["kernel_fits"]


def test_a_linear_law_is_found(fits) -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([np.ones(50), rng.integers(1, 100, 50), rng.integers(0, 4, 50)])
    truth = np.array([60.0, 14.0, 3.0])
    found = fits.fit(features, features @ truth, {}, [1.0] * 50)
    np.testing.assert_allclose(found, truth, rtol=1e-6)
    assert fits.fit(features, features @ truth, {2: 5.0}, [1.0] * 50)[2] >= 5.0


def test_cold_starts_are_taken_off_before_the_fit(fits) -> None:
    rows = fits.Rows([(1.0, float(n)) for n in range(1, 21)], [], [], {}, [1.0] * 20)
    rows.cold = [100.0 if n % 3 == 0 else 0.0 for n in range(20)]
    rows.cycles = [50 + 10 * int(n) + int(c) for (_, n), c in zip(rows.features, rows.cold, strict=True)]
    (entry,) = fits.fit_kernels({"dory_lut": rows}).values()
    assert entry["coefficients"] == pytest.approx([50, 10]) and entry["p95_error"] < 1e-6
    assert fits.unmeasured({"dory_lut": rows}) == {}
