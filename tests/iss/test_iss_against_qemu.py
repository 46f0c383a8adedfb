"""Compiled RV32IMC programs: the same text on the simulator and on qemu's user-mode emulator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import iss_toolchain as toolchain
import pytest

from dory.sim.iss import Machine

QEMU = shutil.which("qemu-riscv32") or shutil.which("qemu-riscv32-static")

LINUX_START = r"""
  .globl _start
_start:
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  call main
  li a7, 93
  ecall
  .globl rt_write
rt_write:
  mv a2, a1
  mv a1, a0
  li a0, 1
  li a7, 64
  ecall
  ret
"""

COMMON = r"""
#include <stddef.h>
#include <stdint.h>
void rt_write(const char *text, uint32_t n);
static void show(uint32_t x) {
  char line[9];
  for (int i = 7; i >= 0; i--, x >>= 4) line[i] = "0123456789abcdef"[x & 15];
  line[8] = '\n';
  rt_write(line, 9);
}
static uint32_t seed = 12345;
static uint32_t random32(void) { return seed = seed * 1664525u + 1013904223u; }
void *memset(void *p, int c, size_t n) { for (uint8_t *q = p; n--; q++) *q = (uint8_t)c; return p; }
void *memcpy(void *p, const void *q, size_t n) {
  uint8_t *d = p;
  for (const uint8_t *s = q; n--;) *d++ = *s++;
  return p;
}
"""

SORT = r"""
static void sort(int32_t *v, int low, int high) {
  while (low < high) {
    int32_t pivot = v[(low + high) / 2];
    int i = low, j = high;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i <= j) { int32_t t = v[i]; v[i++] = v[j]; v[j--] = t; }
    }
    if (j - low < high - i) { sort(v, low, j); low = i; } else { sort(v, i, high); high = j; }
  }
}
int main(void) {
  static int32_t v[2000];
  for (int i = 0; i < 2000; i++) v[i] = (int32_t)random32() >> (i % 20);
  sort(v, 0, 1999);
  for (int i = 0; i < 2000; i += 37) show((uint32_t)v[i]);
  return 3;
}
"""

CRC = r"""
int main(void) {
  uint8_t data[777];
  uint32_t crc = ~0u;
  uint16_t short_crc = 0xffff;
  for (int i = 0; i < 777; i++) data[i] = (uint8_t)(random32() >> 13);
  for (int i = 0; i < 777; i++) {
    crc ^= data[i];
    short_crc = (uint16_t)(short_crc ^ (data[i] << 8));
    for (int b = 0; b < 8; b++) {
      crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1u));
      short_crc = (uint16_t)((short_crc & 0x8000) ? (short_crc << 1) ^ 0x1021 : short_crc << 1);
    }
    if (i % 64 == 0) { show(~crc); show(short_crc); }
  }
  return (int)(crc & 63);
}
"""

MATRIX = r"""
#define N 17
static int32_t a[N][N], b[N][N];
static int64_t c[N][N];
static int8_t d[N * N];
static uint16_t e[N * N];
int main(void) {
  for (int i = 0; i < N * N; i++) {
    a[i / N][i % N] = (int32_t)random32();
    b[i / N][i % N] = (int32_t)random32() >> 3;
    d[i] = (int8_t)random32();
    e[i] = (uint16_t)random32();
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      for (int k = 0; k < N; k++) c[i][j] += (int64_t)a[i][k] * b[k][j] + d[i * N + k] * e[k * N + j];
      show((uint32_t)c[i][j]);
      show((uint32_t)(c[i][j] >> 32));
      show((uint32_t)((uint64_t)c[i][j] % 1000003u));
    }
  return 0;
}
"""

DIVISION = r"""
static const uint32_t v[] = {0,          1,          2,          3,          7,     10,   0x7fffffff,
                             0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 65537, 99999};
int main(void) {
  for (unsigned i = 0; i < sizeof v / sizeof *v; i++)
    for (unsigned j = 0; j < sizeof v / sizeof *v; j++) {
      volatile uint32_t a = v[i], b = v[j];
      uint32_t q, r, s, t, h, k, m;
      __asm__("div %0, %1, %2" : "=r"(q) : "r"(a), "r"(b));
      __asm__("rem %0, %1, %2" : "=r"(r) : "r"(a), "r"(b));
      __asm__("divu %0, %1, %2" : "=r"(s) : "r"(a), "r"(b));
      __asm__("remu %0, %1, %2" : "=r"(t) : "r"(a), "r"(b));
      __asm__("mulh %0, %1, %2" : "=r"(h) : "r"(a), "r"(b));
      __asm__("mulhu %0, %1, %2" : "=r"(k) : "r"(a), "r"(b));
      __asm__("mulhsu %0, %1, %2" : "=r"(m) : "r"(a), "r"(b));
      show(q); show(r); show(s); show(t); show(h); show(k); show(m);
      show((uint32_t)((((uint64_t)a << 32) | b) / (b | 1u)));
    }
  return 1;
}
"""

SWITCHES = r"""
static uint32_t apply(int op, uint32_t x, uint32_t y) {
  switch (op) {
    case 0: return x + y;
    case 1: return x - y;
    case 2: return x * y;
    case 3: return x ^ (y >> 3);
    case 4: return x << (y & 31);
    case 5: return (uint32_t)((int32_t)x >> (y & 31));
    case 6: return x < y;
    case 7: return (uint32_t)((int32_t)x < (int32_t)y);
    case 8: return x & ~y;
    case 9: return x | y;
    default: return ~x;
  }
}
static uint32_t (*volatile call)(int, uint32_t, uint32_t) = apply;
int main(void) {
  uint32_t x = 1;
  struct { uint8_t a; uint16_t b; uint32_t c; } __attribute__((packed)) odd = {0};
  for (int i = 0; i < 3000; i++) {
    x = call(i % 11, x, random32());
    odd.a += (uint8_t)x; odd.b ^= (uint16_t)x; odd.c -= x;
    if (i % 50 == 0) { show(x); show(odd.a); show(odd.b); show(odd.c); }
  }
  return 0;
}
"""

PROGRAMS = {"sort": SORT, "crc": CRC, "matrix": MATRIX, "division": DIVISION, "switches": SWITCHES}


@pytest.mark.skipif(QEMU is None, reason="qemu-riscv32 is not installed")
@pytest.mark.parametrize("optimise", ["-O0", "-O2", "-Os"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_output_as_qemu(build: Callable[..., Path], tmp_path: Path, name: str, optimise: str) -> None:
    text = COMMON + PROGRAMS[name]
    elf = build({"main.c": text}, "-Wno-unused-function", optimise=optimise)
    m = Machine("gap8")
    m.load_elf(elf)
    result = m.run()

    (tmp_path / "start.S").write_text(LINUX_START)
    native = tmp_path / "native"
    sources = [str(tmp_path / "start.S"), str(tmp_path / "main.c"), "-lgcc"]
    assert toolchain.GCC is not None and QEMU is not None
    command = [toolchain.GCC, *toolchain.FLAGS, optimise, "-static", *sources, "-o", str(native)]
    subprocess.run(command, check=True, capture_output=True)
    reference = subprocess.run([QEMU, str(native)], capture_output=True, check=False, timeout=60)

    assert len(result.output) > 100
    assert (result.exit_code & 255, result.output) == (reference.returncode, reference.stdout)
