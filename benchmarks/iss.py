"""How fast the simulator is, and how its timing compares with the published figures.

    python benchmarks/iss.py [--seconds S]

Needs riscv64-unknown-elf-gcc for the speed; the table needs nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "iss"))

import iss_toolchain as toolchain
from iss_timing_rows import all_rows
from test_iss_timing import kernel_4x2

from dory.sim.iss import Machine

REPEAT = """
#include "rt.h"
#define WORDS 256
uint32_t block(const uint32_t *, const uint32_t *, const uint32_t *, const uint32_t *, const uint32_t *,
               const uint32_t *, uint32_t);
static uint32_t w[4 * WORDS] L1, x[16 * WORDS] L1;
static void work(void *arg) {
  const uint32_t *a = x + 2 * drt_core_id() * WORDS;
  for (int i = *(int *)arg; i > 0; i--)
    block(w, w + WORDS, w + 2 * WORDS, w + 3 * WORDS, a, a + WORDS, WORDS);
}
static void entry(void *arg) { drt_team_fork(8, work, arg); }
int main(void) {
  static int rounds = ROUNDS;
  CLUSTER(entry, &rounds);
  return 0;
}
"""


def speed(console: Console, seconds: float) -> None:
    """Millions of instructions per second of 8 cores in the 4x2 block, and the host time of 190 MMAC."""
    if toolchain.GCC is None:
        console.print("speed: riscv64-unknown-elf-gcc is not installed")
        return
    per_round = 8 * 14 * 256
    rounds = max(1, int(seconds * 80e6 / per_round))
    with tempfile.TemporaryDirectory() as folder:
        sources = {"main.c": REPEAT, "block.S": kernel_4x2()}
        elf = toolchain.build(Path(folder), sources, f"-DROUNDS={rounds}")
        for profile in (False, True):
            machine = Machine("gap8-gvsoc")
            machine.load_elf(elf)
            start = time.perf_counter()
            result = machine.run(profile=profile)
            wall = time.perf_counter() - start
            mips = result.instructions / wall / 1e6
            macs = 8 * 32 * 256 * rounds / wall / 1e6
            console.print(
                f"{'profiled: ' if profile else ''}{mips:.0f} million instructions/s (at least 60 wanted), "
                f"{result.cluster_cycles / wall / 1e6:.1f} million cycles/s, 190 MMAC in {190 / macs:.1f} s"
            )


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="host time of each speed measurement")
    console = Console()
    speed(console, parser.parse_args().seconds)
    table = Table("figure", "published", "simulated", "difference", title="Timing, cycles")
    for row in all_rows():
        difference = f"{row.measured - row.expected:+.1f}"
        table.add_row(row.name, f"{row.expected:g}", f"{row.measured:g}", difference, style="" if row.good else "red")
    console.print(table)


if __name__ == "__main__":
    main()
