"""Whole programs: cluster, team, transfers, markers, and what is caught when they are used wrongly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from iss_presets import gap8

from dory import targets
from dory.errors import UserError
from dory.sim.iss import FC, IssParams, Machine, SimulationError
from dory.sim.iss.trace import chrome_trace

Build = Callable[..., Path]

TEMPLATE = """
#include "rt.h"
static uint8_t a[2048] L1, b[2048] L1;
static uint8_t near[8192], other[8192];
volatile uint32_t out[16];
{functions}
static void entry(void *arg) {{
  (void)arg; (void)a; (void)b; (void)near; (void)other;
  {body}
}}
int main(void) {{ CLUSTER(entry, NULL); return {code}; }}
"""


def program(body: str, functions: str = "", code: str = "0") -> dict[str, str]:
    return {"main.c": TEMPLATE.format(body=body, functions=functions, code=code)}


def start(build: Build, body: str, functions: str = "", code: str = "0") -> Machine:
    m = Machine("gap8-gvsoc")
    m.load_elf(build(program(body, functions, code)))
    return m


def out(m: Machine, n: int) -> list[int]:
    assert m.program is not None
    raw = m.read(m.program.symbols["out"], 4 * n)
    return [int.from_bytes(raw[4 * i : 4 * i + 4], "little") for i in range(n)]


def fails(m: Machine, kind: str | None, **options: int) -> SimulationError:
    with pytest.raises(SimulationError) as failure:
        m.run(**options)
    assert kind in (None, failure.value.kind), failure.value
    return failure.value


def test_printing_and_exit_code(build: Build) -> None:
    m = start(build, "rt_write(\"hello \", 6); rt_putchar('x');", code="42")
    result = m.run()
    assert (result.exit_code, result.output) == (42, b"hello x")
    assert m.run().output == b"hello x"


def test_exit_from_the_cluster_ends_the_run(build: Build) -> None:
    assert start(build, "rt_exit(7); out[0] = 1;").run().exit_code == 7


TEAM = """
static uint32_t seen[8] L1;
static void work(void *arg) {
  uint32_t id = rt_core_id();
  seen[id] = (uint32_t)rt_core_count() * 100 + id + *(int *)arg;
  rt_barrier();
  out[id] = seen[(id + 1) % rt_core_count()];
}
"""


def test_team_of_every_size(build: Build) -> None:
    m = start(build, "for (int n = 1; n <= 8; n++) { int k = 1000 * n; rt_team_fork(n, work, &k); }", TEAM)
    m.run()
    assert out(m, 8) == [8800 + (i + 1) % 8 for i in range(8)]


def test_two_clusters_runs_in_one_program(build: Build) -> None:
    m = Machine("gap8")
    text = program("out[0] += 5; rt_team_fork(8, work, near);", TEAM)["main.c"]
    m.load_elf(build({"main.c": text.replace("return 0;", "CLUSTER(entry, NULL); return (int)out[8];")}))
    result = m.run()
    for core in result.cores:
        assert core.instructions + sum(core.stalls.values()) == core.cycles


COPY = """
for (int i = 0; i < 2048; i++) near[i] = (uint8_t)(i * 7);
uint32_t job = rt_dma_start(0, a, near, 1, 1024, 0, 0);
rt_dma_start(job, a + 1024, near + 1024, 16, 8, 16, 0);
rt_dma_wait(job);
job = rt_dma_start(0, a, other, 1, 1024, 0, 1);
rt_dma_start(job, a + 1024, other + 2048, 16, 8, 32, 1);
rt_dma_wait(job);
"""


def test_dma_moves_lines_both_ways(build: Build) -> None:
    m = start(build, COPY)
    m.run()
    assert m.program is not None
    source = bytes(i * 7 & 255 for i in range(2048))
    got = m.read(m.program.symbols["other"], 4096)
    assert got[:1024] == source[:1024]
    for line in range(16):
        assert got[2048 + 32 * line :][:8] == source[1024 + 16 * line :][:8]
        assert got[2048 + 32 * line + 8 :][:8] == bytes(8)


def test_ram_round_trip_and_preloaded_data(build: Build) -> None:
    body = """
      uint32_t job = rt_ram_read(0, near, 4096, 512);
      rt_ram_read(job, near + 512, 0, 512);
      rt_ram_wait(job);
      rt_ram_wait(rt_ram_write(0, near, 8192, 1024));
    """
    m = start(build, body)
    data = bytes(range(256)) * 4
    m.write_ram(0, data[:512])
    m.write_ram(4096, data[512:])
    m.run()
    assert m.read_ram(8192, 1024) == data[512:] + data[:512]


def test_ram_time_overlaps_with_computation(build: Build) -> None:
    """4 KiB take about 5.6 kcycles: a wait after 3000 cycles of work takes the rest."""
    work = 'for (int i = 0; i < 1000; i++) __asm__ volatile("nop");'
    times = []
    for between in ("", work):
        body = f"uint32_t t = cycles(), job = rt_ram_read(0, near, 0, 4096); {between}"
        body += "rt_ram_wait(job); out[0] = cycles() - t;"
        m = start(build, body)
        m.run()
        times.append(out(m, 1)[0])
    assert times[0] == pytest.approx(330 + 1.23 * 4096 + 260, rel=0.02)
    assert times[1] == pytest.approx(times[0], abs=20)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("rt_dma_start(0, a, near, 1, 1024, 0, 0); out[0] = *(volatile uint8_t *)(a + 5);", "read in flight"),
        ("rt_dma_start(0, a, near, 1, 1024, 0, 0); *(volatile uint8_t *)(a + 5) = 1;", "write in flight"),
        (
            "rt_dma_start(0, a, near, 1, 1024, 0, 0); *(volatile uint32_t *)(near + 64) = 1;",
            "source in flight",
        ),
        ("rt_dma_start(0, a, near, 1, 1024, 0, 1); *(volatile uint32_t *)a = 1;", "source in flight"),
        ("rt_ram_read(0, near, 0, 1024); out[0] = *(volatile uint32_t *)near;", "read in flight"),
        ("rt_ram_read(0, near, 0, 1024); rt_dma_start(0, a, near, 1, 64, 0, 0);", "read in flight"),
        (
            "rt_dma_start(0, a, near, 1, 64, 0, 0); rt_dma_start(0, a, near + 64, 1, 64, 0, 0);",
            "write in flight",
        ),
        ("rt_ram_write(0, near, 0, 1024); *(volatile uint32_t *)near = 1;", "source in flight"),
    ],
)
def test_a_missing_wait_is_named_with_its_transfer(build: Build, body: str, kind: str) -> None:
    m = start(build, body)
    failure = fails(m, kind)
    assert ("entry" in failure.where and "main.c:" in failure.where) or "rt_dma_start" in failure.where
    assert "was started at rt_" in str(failure)


@pytest.mark.parametrize("access", ["out[0] = *(volatile uint8_t *)a;", "*(volatile uint8_t *)near = 1;"])
def test_a_transfer_that_is_done_by_luck_still_needs_its_wait(build: Build, access: str) -> None:
    luck = "uint32_t j = rt_dma_start(0, a, near, 1, 64, 0, 0); for (int i = 0; i < 999; i++) out[0] = j;"
    assert "in flight" in fails(start(build, luck + access), None).kind
    start(build, luck + "rt_dma_wait(j);" + access).run()


def test_bytes_move_at_the_modelled_time(build: Build) -> None:
    """The bytes move at the modelled time, not at the call: without a wait the RAM keeps the old ones."""
    m = start(build, "near[0] = 9; uint32_t job = rt_ram_write(0, near, 0, 4); out[0] = job;")
    m.run()
    assert m.read_ram(0, 4) == bytes(4)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("rt_dma_start(0, a, near, 2, 40000, 0, 0);", "64 KiB"),
        ("rt_dma_start(0, a, near, 0, 4, 0, 0);", "64 KiB"),
        ("rt_dma_start(0, near, near, 1, 4, 0, 0);", "not inside L1"),
        ("rt_dma_start(0, a, a, 1, 4, 0, 0);", "not inside L2"),
        ("rt_dma_start(3, a, near, 1, 4, 0, 0);", "not open"),
        (
            "uint32_t j = rt_dma_start(0, a, near, 1, 4, 0, 0); rt_dma_wait(j); rt_dma_wait(j);",
            "waited for twice",
        ),
        (
            "for (int i = 0; i < 17; i++) { rt_dma_start(0, a + 4 * i, near, 1, 4, 0, 0); }",
            "never waited for",
        ),
        ("rt_ram_read(0, near + 1, 0, 4);", "multiples of 4"),
        ("rt_ram_read(0, near, 2, 4);", "multiples of 4"),
        ("rt_ram_read(0, near, 0, 6);", "multiples of 4"),
        ("rt_ram_read(0, near, 8 << 20, 4);", "not inside the HyperRAM"),
        ("rt_team_fork(9, work, near);", "1 core up to"),
        ("rt_team_fork(2, nested, near);", "outside a team"),
        ("rt_layer_end(3);", "not the one that began"),
        ("rt_poison(near, 4);", "only L1"),
        ("rt_write((const char *)16, 4);", "not inside a memory"),
        ("CLUSTER(entry, NULL);", "only the FC"),
    ],
)
def test_refused_calls_say_why(build: Build, body: str, message: str) -> None:
    functions = TEAM + "static void nested(void *p) { rt_team_fork(2, work, p); }\nvoid *keep[] = {work, nested};"
    functions += "\nstatic void entry(void *arg);"
    assert message in str(fails(start(build, body, functions), "call"))


def test_the_fc_has_no_cluster_dma(build: Build) -> None:
    text = '#include "rt.h"\nstatic uint8_t a[4] L1, b[4];\n'
    text += "int main(void) { rt_dma_start(0, a, b, 1, 4, 0, 0); return 0; }"
    m = Machine("gap8")
    m.load_elf(build({"main.c": text}))
    failure = fails(m, "call")
    assert failure.core == FC and "from the cluster" in str(failure)


def test_unwritten_l1_is_an_error_until_written(build: Build) -> None:
    start(build, "rt_poison(a, 64); *(volatile uint32_t *)(a + 8) = 1; out[0] = *(volatile uint32_t *)(a + 8);").run()
    dma = "rt_poison(a, 64); rt_dma_wait(rt_dma_start(0, a, near, 1, 64, 0, 0));"
    dma += "out[0] = *(volatile uint32_t *)(a + 60);"
    start(build, dma).run()
    failure = fails(
        start(build, "rt_layer_begin(4); rt_poison(a, 64); out[0] = *(volatile uint16_t *)(a + 8);"),
        "unwritten",
    )
    assert failure.layer == 4 and "in layer 4" in str(failure)
    partly = "rt_poison(a, 64); *(volatile uint16_t *)a = 1; out[0] = *(volatile uint32_t *)a;"
    m = start(build, partly)
    failure = fails(m, "unwritten")
    assert m.program is not None and failure.address == m.program.symbols["a"] + 2
    fails(start(build, "rt_poison(a, 64); rt_dma_start(0, a, near, 1, 64, 0, 1);"), "unwritten")


LIVE = "static const uint32_t ranges[] = {0, 64, 256, 64}; rt_live(1, a, 512, ranges, 2);"


@pytest.mark.parametrize("off", [64, 255, 320])
def test_dead_ranges_of_an_arena(build: Build, off: int) -> None:
    start(build, LIVE + " *(volatile uint8_t *)(a + 63) = 1; *(volatile uint8_t *)(a + 256) = 1;").run()
    fails(start(build, LIVE + f" *(volatile uint8_t *)(a + {off}) = 1;"), "not live")
    fails(start(build, LIVE + f" out[0] = *(volatile uint8_t *)(a + {off});"), "not live")


def test_stack_overflow_names_function_and_line(build: Build) -> None:
    functions = """
      static volatile int limit = 1 << 30;
      static int deep(int n) {
        volatile int frame[16];
        frame[0] = n;
        return n < limit ? deep(n + 1) + frame[0] : 0;
      }
      static void sink(void *p) { (void)p; out[1] = (uint32_t)deep(0); }
    """
    failure = fails(start(build, "rt_team_fork(3, sink, near);", functions), "stack overflow")
    assert "deep" in failure.where and "main.c:" in failure.where
    assert failure.core in (0, 1, 2)


def test_deadlock_is_noticed(build: Build) -> None:
    functions = "static void half(void *p) { (void)p; if (rt_core_id() & 1) rt_barrier(); }"
    failure = fails(start(build, "rt_team_fork(4, half, near);", functions), "deadlock")
    assert "0xa" in str(failure)


def test_endless_loop_ends_with_what_was_counted(build: Build) -> None:
    failure = fails(start(build, "for (;;) out[0]++;"), "max cycles", max_cycles=200_000)
    assert "entry" in failure.where
    assert failure.partial.cores[0].instructions > 10_000


def test_layers_profile_and_trace(build: Build) -> None:
    body = """
      for (int l = 0; l < 3; l++) {
        rt_layer_begin(l);
        uint32_t job = rt_dma_start(0, a, near, 1, 1024, 0, 0);
        rt_dma_wait(job);
        for (int i = 0; i <= l; i++) rt_team_fork(8, work, near);
        rt_layer_end(l);
      }
    """
    m = start(build, body, TEAM)
    result = m.run(profile=True, trace=True)
    assert [layer.id for layer in result.layers] == [0, 1, 2]
    assert result.layers[0].cycles < result.layers[2].cycles + 400
    for layer in result.layers:
        assert len(layer.cores) == 9
        for core in layer.cores[:8]:
            assert core.instructions + sum(core.stalls.values()) == core.cycles == layer.cycles
        assert layer.functions["work"].instructions > 0
        in_functions = sum(t.instructions for t in layer.functions.values())
        assert in_functions == sum(c.instructions for c in layer.cores)
    assert result.layers[2].cores[0].stalls["DMA wait"] > 100  # in the first, cold code takes part of it
    kinds = [e.kind for e in result.events]
    assert (kinds.count("core"), kinds.count("DMA in"), kinds.count("layer")) == (8 * 6, 3, 3)
    trace = chrome_trace(result, 100)
    assert {e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"} >= {
        "core 0",
        "core 7",
        "layers",
    }
    assert all(e["dur"] >= 0 for e in trace["traceEvents"] if e["ph"] == "X")


def test_clock_ratio_only_changes_what_crosses_it(build: Build) -> None:
    """The cluster's own cycles do not depend on the clocks; the FC's wait for it does."""
    elf = build(program("rt_team_fork(8, work, near);", TEAM))
    results = []
    for fc, cluster in ((100_000, 100_000), (250_000, 175_000)):
        m = Machine(dataclasses.replace(gap8(), fc_khz=fc, cluster_khz=cluster))
        m.load_elf(elf)
        results.append(m.run())
    same, apart = results
    assert [c.instructions for c in same.cores] == [c.instructions for c in apart.cores]
    busy = [same.cores[0].busy, apart.cores[0].busy]
    assert busy[0] == busy[1]
    waited = [r.cores[-1].stalls["idle"] for r in results]
    assert waited[1] == pytest.approx(waited[0] * 250 / 175, abs=2)


def test_instances_share_nothing(build: Build) -> None:
    elf = build(program("out[0] += 1;"))
    first, second = Machine("gap8"), Machine("gap8")
    first.load_elf(elf)
    second.load_elf(elf)
    first.run()
    first.run()
    assert (out(first, 1), out(second, 1)) == ([2], [0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ELF"),
        (b"not an elf file at all", "ELF"),
        (b"\x7fELF" + bytes(60), "ELF"),
    ],
)
def test_bad_elf_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "app.elf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Machine("gap8").load_elf(path)


def test_missing_foreign_and_truncated_elf_files(tmp_path: Path, build: Build) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Machine("gap8").load_elf(tmp_path / "nothing.elf")
    with pytest.raises(UserError, match="RISC-V"):
        Machine("gap8").load_elf("/bin/true")
    elf = build(program(""))
    whole = elf.read_bytes()
    for n in range(0, len(whole), max(1, len(whole) // 50)):
        elf.write_bytes(whole[:n])
        try:
            Machine("gap8").load_elf(elf)
        except UserError:
            continue
    elf.write_bytes(whole)
    with pytest.raises(UserError, match="outside L1 and L2"):
        Machine(dataclasses.replace(gap8(), l2_base=0x2000_0000)).load_elf(elf)


def test_parameters_of_a_custom_target(tmp_path: Path) -> None:
    def of(text: str) -> IssParams:
        path = tmp_path / "chip.toml"
        path.write_text('base = "gap8"\nname = "chip"\n' + text)
        return IssParams.of(targets.load(str(path)))

    p = of("[timing]\nl2_access = 12\nram_read_fc = { setup = 1, per_byte = 2.0 }\n")
    assert (p.l2_access, p.ram_read_fc.per_byte, p.mulh) == (12, 2.0, 5)
    with pytest.raises(UserError, match="no_such"):
        of("[timing]\nno_such = 1\n")
    for bad in ("l1_banks = 3", "icache_bytes = 1000", "l2_access = 0", 'mulh = "five"', "ram_read_fc = 3"):
        with pytest.raises(UserError):
            of(f"[timing]\n{bad}\n")
    for bad in ("[cluster]\ncores = 9\n", "[clocks]\ncluster_khz = 0\n"):
        with pytest.raises(UserError):
            of(bad)
    with pytest.raises(UserError, match="gap8-gvsoc"):
        Machine("gap9")
