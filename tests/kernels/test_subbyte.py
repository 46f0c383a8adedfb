"""Packing and unpacking: the kernels against plain loops, on the host and in the simulator, and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import Bytes, seeds, teams
from simulated import simulated

from dory.graph import subbyte as memory
from dory.layers.base import PackedWeights
from dory.layers.subbyte import narrowed, weight_bits
from dory.plan import Unit, packed_bytes

Call = Callable[..., tuple[int, Bytes]]
bits_of = st.sampled_from([2, 4])
rows_of = st.one_of(st.just(1), st.integers(1, 40))
lengths = st.one_of(st.integers(1, 40), st.integers(1, 700))


def plain_pack(rows: np.ndarray, bits: int) -> Bytes:
    """Bit after bit."""
    out = []
    for row in rows:
        whole = 0
        for i, v in enumerate(row):
            whole |= int(v) << (i * bits)
        out.append(whole.to_bytes((len(row) * bits + 7) // 8, "little"))
    return np.frombuffer(b"".join(out), np.uint8)


def run_repack(call: Call, seed: int, rows: int, elements: int, bits: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1 << bits, (rows, elements))
    packed = plain_pack(values, bits)
    assert np.array_equal(memory.pack(values, bits), packed)
    assert np.array_equal(memory.unpack(packed, (1, rows, elements), bits)[0], values)
    size, wide = call("unpack", [rows, elements, bits], [packed], values.size, cores)
    assert np.array_equal(wide, values.reshape(-1))
    again, narrow = call("pack", [rows, elements, bits], [values.astype(np.uint8).reshape(-1)], packed.size, cores)
    assert np.array_equal(narrow, packed)
    if call is not simulated:
        assert size == again == packed.size == rows * packed_bytes(elements, bits)


def plain_unpack_words(body: bytes, bits: int, size: int) -> list[int]:
    """Weights of a unit: every byte of a packed word holds a weight of each of 8 / bits words in turn."""
    out = []
    for at in range(0, len(body), 4):
        for part in range(8 // bits):
            for byte in body[at : at + 4]:
                v = byte >> (part * bits) & ((1 << bits) - 1)
                out.append(v - (1 << bits) if v >> (bits - 1) else v)
    return out[:size]


def run_weights(call: Call, seed: int, units: int, unit: Unit, bits: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    parts = []
    for _ in range(units):
        weights = rng.integers(-half, half, unit.body)
        weights[:2] = -half, half - 1
        parts.append(rng.bytes(unit.head) + weights.astype(np.int8).tobytes() + rng.bytes(unit.tail))
    wide = PackedWeights(b"".join(parts), 4, unit.bytes(), unit)
    packed = narrowed(wide, bits)
    assert packed.group_bytes == unit.bytes(bits) and packed.kernel_group_bytes == unit.bytes()
    assert weight_bits(wide) == (bits if unit.bytes(bits) < unit.bytes() else 8)
    first = packed.data[: packed.group_bytes]
    body = first[unit.head : len(first) - unit.tail]
    want = np.frombuffer(wide.data, np.int8)[unit.head : unit.head + unit.body]
    assert plain_unpack_words(body, bits, unit.body) == want.tolist()
    fields = [units, unit.head, unit.body, unit.tail, bits]
    size, out = call("unpack_weights", fields, [np.frombuffer(packed.data, np.uint8)], len(wide.data), cores)
    assert out.tobytes() == wide.data
    if call is not simulated:
        assert size == len(packed.data)


units_of = st.builds(
    lambda head, body, tail: Unit(4 * head, 4 * body, 4 * tail),
    st.integers(0, 5),
    st.integers(1, 40),
    st.integers(0, 16),
)


@given(seeds, rows_of, lengths, bits_of, teams)
def test_rows(harness: Any, seed: int, rows: int, elements: int, bits: int, cores: int) -> None:
    run_repack(harness.call, seed, rows, elements, bits, cores)


@given(seeds, st.integers(1, 20), units_of, bits_of, teams)
def test_weights(harness: Any, seed: int, units: int, unit: Unit, bits: int, cores: int) -> None:
    run_weights(harness.call, seed, units, unit, bits, cores)


@pytest.mark.slow
@given(seeds, rows_of, lengths, bits_of, teams)
@settings(max_examples=40)
def test_rows_on_the_core(seed: int, rows: int, elements: int, bits: int, cores: int) -> None:
    run_repack(simulated, seed, rows, elements, bits, cores)


@pytest.mark.slow
@given(seeds, st.integers(1, 20), units_of, bits_of, teams)
@settings(max_examples=40)
def test_weights_on_the_core(seed: int, units: int, unit: Unit, bits: int, cores: int) -> None:
    run_weights(simulated, seed, units, unit, bits, cores)
