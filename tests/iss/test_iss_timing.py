"""Published timing figures, and laws that the counters must obey."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from iss_encode import RET, code, word
from iss_presets import gap8, gap8_gvsoc
from iss_timing_rows import DMA_START, DMA_WAIT, L1, L2, MAIN, NOP, Row, Text, all_rows, li, run

from dory.errors import UserError
from dory.sim.iss import IssParams, Machine, RunResult
from dory.sim.iss.listing import listing, render

ROWS = all_rows()
PROGRAM = 0x1C00_8000


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_published_figure(row: Row) -> None:
    assert row.good, f"{row.measured} cycles instead of {row.expected}"


def test_use_stall_is_not_taken_across_a_loop_back_edge() -> None:
    """A load at a loop's end whose reader follows in the text waits only when the loop is left."""
    m = Machine(dataclasses.replace(gap8_gvsoc(), icache_bytes=0))
    loop = [word("lp.setupi", imm=4, imm2=10), NOP, word("lw", rd=5, rs1=10)]
    m.write(PROGRAM, code(*loop, word("add", rd=6, rs1=5), RET))
    cycles = m.run(entry=PROGRAM, core=0, registers={10: 0x1000_0000}).cores[0].cycles
    assert cycles == 1 + 20 + 1 + 1 + 2


def test_code_larger_than_the_cache_refills_every_round() -> None:
    """600 lines through a 256-line cache: nearly all miss in each round; in 1024 lines they miss once."""

    def refill_cycles(icache_bytes: int) -> int:
        m = Machine(dataclasses.replace(gap8_gvsoc(), icache_bytes=icache_bytes))
        body = [NOP] * (600 * 4 - 1)
        m.write(PROGRAM, code(word("addi", rd=11, imm=4), word("addi", rd=11, rs1=11, imm=-1), *body))
        end = PROGRAM + 8 + 4 * len(body)
        back = word("jal", imm=PROGRAM + 4 - end - 4)
        m.write(end, code(word("beq", rs1=11, imm=8), back, RET))
        return m.run(entry=PROGRAM, core=0).cores[0].stalls["icache"]

    assert 7300 <= refill_cycles(16 * 1024) <= 7500
    assert refill_cycles(4 * 1024) > 3 * 7300


KERNEL = """
  .section .text.block, "ax"
  .globl block
  .type block, @function
  .align 4
block: # weights a0..a3, activations a4, a5, words a6; returns cycles of the loop
  .option push
  .option norvc
  csrr a7, mcycle
  {body}
  csrr t6, mcycle
  sub a0, t6, a7
  .option pop
  ret
  .size block, .-block
"""

SOURCE = """
#include "rt.h"
#define WORDS 256
uint32_t block(const uint32_t *, const uint32_t *, const uint32_t *, const uint32_t *, const uint32_t *,
               const uint32_t *, uint32_t);
static uint32_t w[4 * WORDS] L1, x[2 * CORES * WORDS] L1;
static uint32_t loop[8] L1;
uint32_t slowest;
static void work(void *arg) {
  (void)arg;
  int id = rt_core_id();
  const uint32_t *a = x + 2 * id * WORDS;
  for (int warm = 0; warm < 2; warm++) {
    rt_barrier();
    loop[id] = block(w, w + WORDS, w + 2 * WORDS, w + 3 * WORDS, a, a + WORDS, WORDS);
  }
}
static void entry(void *arg) {
  rt_team_fork(CORES, work, arg);
  for (int i = 0; i < CORES; i++)
    if (loop[i] > slowest) slowest = loop[i];
}
int main(void) { CLUSTER(entry, NULL); return 0; }
"""


def kernel_4x2() -> str:
    """6 post-increment loads, then 8 dot products, in a hardware loop over a6 words; results are dropped."""
    loads = [f".insn i 0x0b, 2, t{i}, a{i}, 4" for i in range(6)]
    accumulators = ["t6", "s10", "s11", "gp", "tp", "s8", "s9", "ra"]
    saved = ["s8", "s9", "s10", "s11", "gp", "tp", "ra"]
    dots = [f".insn r 0x57, 1, 0x54, {accumulators[i]}, t{4 + i // 4}, t{i % 4}" for i in range(8)]
    setup = word("lp.setup", rs1=16, imm=2 * 14)
    out = ["addi sp, sp, -32", *(f"sw {r}, {4 * i}(sp)" for i, r in enumerate(saved))]
    back = [*(f"lw {r}, {4 * i}(sp)" for i, r in enumerate(saved)), "addi sp, sp, 32"]
    text = KERNEL.format(body="\n  ".join([f".word {setup:#x}", *loads, *dots]))
    text = text.replace("  csrr a7", "  " + "\n  ".join(out) + "\n  csrr a7")
    return text.replace("  .option pop", "  " + "\n  ".join(back) + "\n  .option pop")


def run_kernel(build: Callable[..., Path], cores: int) -> tuple[Machine, RunResult]:
    m = Machine("gap8-gvsoc")
    m.load_elf(build({"main.c": SOURCE, "block.S": kernel_4x2()}, f"-DCORES={cores}"))
    return m, m.run()


def value(m: Machine, name: str) -> int:
    assert m.program is not None
    return int.from_bytes(m.read(m.program.symbols[name], 4), "little")


def test_4x2_block_takes_14_cycles_on_one_core(build: Callable[..., Path]) -> None:
    m, _ = run_kernel(build, 1)
    assert value(m, "slowest") - 2 == 256 * 14  # lp.setup and the counter's reading


def test_4x2_block_on_8_cores_as_on_the_vendor_simulator(build: Callable[..., Path]) -> None:
    m, result = run_kernel(build, 8)
    macs_per_cycle = 8 * 32 * 256 / value(m, "slowest")
    assert 17.5 <= macs_per_cycle <= 17.75
    assert all(c.stalls["bank conflict"] > 0 for c in result.cores[1:8])


def test_same_program_same_cycles(build: Callable[..., Path]) -> None:
    elf = build({"main.c": SOURCE, "block.S": kernel_4x2()}, "-DCORES=8")
    fresh = []
    for _ in range(2):
        m = Machine("gap8-gvsoc")
        for profile in (False, True):
            m.load_elf(elf)  # its variables as at first
            fresh.append(m.run(profile=profile))
    first = fresh[0]
    for other in fresh[1:]:
        assert (other.cores, other.output, other.fc_cycles) == (first.cores, first.output, first.fc_cycles)


def test_counters_add_up(build: Callable[..., Path]) -> None:
    """instructions + stalls = cycles per core; the profile's buckets hold every busy cycle once."""
    m = Machine("gap8-gvsoc")
    m.load_elf(build({"main.c": SOURCE, "block.S": kernel_4x2()}, "-DCORES=8"))
    result = m.run(profile=True)
    for core in result.cores:
        assert core.instructions + sum(core.stalls.values()) == core.cycles
    assert sum(t.instructions for t in result.functions.values()) == result.instructions
    for cause in ("load-use", "branch", "bank conflict", "icache", "L2", "call", "barrier", "multi-cycle"):
        by_function = sum(t.stalls[cause] for t in result.functions.values())
        assert by_function == sum(c.stalls[cause] for c in result.cores), cause
    assert result.functions["block"].instructions > 0.9 * result.instructions
    for t in result.functions.values():
        assert t.instructions + sum(t.stalls.values()) == t.cycles


def test_listing_shows_the_loop_with_its_cycles(build: Callable[..., Path]) -> None:
    m = Machine("gap8-gvsoc")
    m.load_elf(build({"main.c": SOURCE, "block.S": kernel_4x2()}, "-DCORES=1"))
    lines = listing(m, m.run(profile=True), "block")
    dots = [line for line in lines if line.text.startswith("pv.sdotusp.b")]
    assert len(dots) == 8
    assert all(line.tally is not None and line.tally.instructions == 2 * 256 for line in dots)
    assert all(line.cycles_each < 1.2 for line in dots)
    text = render(lines)
    assert "lp.setup x0,a6" in text and "icache" in text
    with pytest.raises(UserError, match="no function"):
        listing(m, m.run(), "nothing")


def test_core_waits_behind_the_dma_where_bandwidth_is_booked() -> None:
    """On the vendor's simulator an L2 access during a long copy waits for it, up to a bound."""

    def l2_stall(params: IssParams) -> int:
        m = Machine(dataclasses.replace(params, icache_bytes=0))
        text = Text(MAIN).save_return()
        text.call(DMA_START, (0, L1, L2, 1, 4096, 0, 0)).add(*li(11, L2 + 8192), word("lw", rd=5, rs1=11))
        run(m, text.call(DMA_WAIT))
        return m.run(entry=MAIN, core=0).cores[0].stalls["L2"]

    assert l2_stall(gap8()) == 8
    assert 480 < l2_stall(gap8_gvsoc()) < 530
