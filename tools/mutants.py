"""Deploys damaged network files and says what became of them: python tools/mutants.py [--count N] [--first SEED].

Exit code 1, and the seed, when one ends in a traceback, hangs, leaves files behind or is refused without a reason.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from dory.testing.robustness import BASES, GOOD, Outcome, examine_seed, mutant

CHUNK = 25
SHOWN = 10


def table(outcomes: list[Outcome]) -> str:
    """Counts by base and outcome, and times."""
    kinds = [*GOOD, *sorted({o.kind for o in outcomes} - set(GOOD))]
    lines = [f"{'base':24}" + "".join(f"{k:>16}" for k in kinds)]
    for base in BASES:
        count = Counter(o.kind for o in outcomes if o.base == base)
        lines.append(f"{base:24}" + "".join(f"{count[k]:16}" for k in kinds))
    seconds = np.array([o.seconds for o in outcomes])
    p99 = float(np.quantile(seconds, 0.99))
    return "\n".join([*lines, f"seconds each: mean {seconds.mean():.3f}, p99 {p99:.2f}, most {seconds.max():.2f}"])


def main() -> int:
    """Run, count, and print the ones that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutants (default 10000)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default 0)")
    parser.add_argument("--jobs", type=int, help="processes (default: one per core)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the first mutant there and stop")
    args = parser.parse_args()
    if args.save:
        args.save.write_bytes(mutant(args.first)[1])
        return 0
    seeds = range(args.first, args.first + args.count)
    outcomes: list[Outcome] = []
    wrong = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for seed, outcome in zip(seeds, pool.map(examine_seed, seeds, chunksize=CHUNK), strict=True):
            outcomes.append(outcome)
            if not outcome.good:
                wrong += 1
                if wrong <= SHOWN:
                    print(f"seed {seed} ({outcome.base}): {outcome.kind}: {outcome.text}", flush=True)
            if len(outcomes) % 100 == 0:
                print(f"\r{len(outcomes)} of {args.count}, {wrong} wrong ", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(table(outcomes))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
