"""What each instruction computes, written down a second time: plain integers, no masks until the end.

`value(name, a, b, c, imm, imm2)` is rd after the instruction; a = rs1, b = rs2, c = rd before, all unsigned
32-bit numbers; imm and imm2 as the assembler text has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MASK = 0xFFFFFFFF


def s(x: int, bits: int = 32) -> int:
    """The low `bits` of x as a signed number."""
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def u(x: int, bits: int = 32) -> int:
    """The low `bits` of x as an unsigned number."""
    return x & ((1 << bits) - 1)


def lanes(x: int, bits: int, signed: bool) -> list[int]:
    return [(s if signed else u)(x >> i, bits) for i in range(0, 32, bits)]


def join(values: list[int], bits: int) -> int:
    return sum(u(v, bits) << (i * bits) for i, v in enumerate(values))


def quotient(a: int, b: int) -> int:
    """Division that rounds towards zero; -1 for a division by zero."""
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * quotient(a, b)


BASE: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "sll": lambda a, b: a << (b % 32),
    "srl": lambda a, b: a >> (b % 32),
    "sra": lambda a, b: s(a) >> (b % 32),
    "slt": lambda a, b: int(s(a) < s(b)),
    "sltu": lambda a, b: int(a < u(b)),
    "xor": lambda a, b: a ^ b,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "mul": lambda a, b: a * b,
    "mulh": lambda a, b: s(a) * s(b) >> 32,
    "mulhsu": lambda a, b: s(a) * b >> 32,
    "mulhu": lambda a, b: a * b >> 32,
    "div": lambda a, b: quotient(s(a), s(b)),
    "divu": lambda a, b: quotient(a, b),
    "rem": lambda a, b: remainder(s(a), s(b)),
    "remu": lambda a, b: remainder(a, b),
    "p.slet": lambda a, b: int(s(a) <= s(b)),
    "p.sletu": lambda a, b: int(a <= b),
    "p.min": lambda a, b: min(s(a), s(b)),
    "p.minu": lambda a, b: min(a, b),
    "p.max": lambda a, b: max(s(a), s(b)),
    "p.maxu": lambda a, b: max(a, b),
    "p.ror": lambda a, b: (a | a << 32) >> (b % 32),
    "p.abs": lambda a, b: abs(s(a)),
    "p.exths": lambda a, b: s(a, 16),
    "p.exthz": lambda a, b: u(a, 16),
    "p.extbs": lambda a, b: s(a, 8),
    "p.extbz": lambda a, b: u(a, 8),
    "p.cnt": lambda a, b: bin(a).count("1"),
    "p.ff1": lambda a, b: f"{a:032b}"[::-1].find("1") if a else 32,
    "p.fl1": lambda a, b: a.bit_length() - 1 if a else 32,
    "p.clb": lambda a, b: 31 - (a if s(a) >= 0 else ~s(a)).bit_length() if a else 0,
    # Bounds that cross (b negative) let the lower one win.
    "p.clipr": lambda a, b: -s(b) - 1 if s(a) < -s(b) - 1 else min(s(a), s(b)),
    "p.clipur": lambda a, b: 0 if s(a) < 0 else min(s(a), s(b)),
}

LANE: dict[str, Callable[[int, int], int]] = {
    "add": lambda p, q: p + q,
    "sub": lambda p, q: p - q,
    "or": lambda p, q: p | q,
    "xor": lambda p, q: p ^ q,
    "and": lambda p, q: p & q,
    **{name: min for name in ("min", "minu")},
    **{name: max for name in ("max", "maxu")},
}
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda p, q: p == q,
    "ne": lambda p, q: p != q,
    "gt": lambda p, q: p > q,
    "ge": lambda p, q: p >= q,
    "lt": lambda p, q: p < q,
    "le": lambda p, q: p <= q,
}


def rounded(x: int, shift: int, nearest: bool, signed: bool) -> int:
    """x modulo 2^32, plus half a unit if asked, shifted right."""
    x += 1 << (shift - 1) if nearest and shift else 0
    return (s(x) if signed else u(x)) >> shift


def half_product(name: str, a: int, b: int, c: int, imm: int) -> int:
    """p.mul and p.mac of halves: [hh] high halves, s or u, r rounds, n shifts by imm."""
    kind, high, sign, nearest = re.fullmatch(r"p\.(mul|mac)(hh)?([su])(r?)n?", name).groups()  # type: ignore[union-attr]
    signed = sign == "s"
    lane = 1 if high else 0
    product = lanes(a, 16, signed)[lane] * lanes(b, 16, signed)[lane]
    return rounded(product + (c if kind == "mac" else 0), imm, bool(nearest), signed)


def normalised(name: str, a: int, b: int, c: int, imm: int) -> int:
    """p.add/p.sub ...n (a op b, shift imm) and ...nr (c op a, shift b)."""
    kind, unsigned, nearest, register = re.fullmatch(r"p\.(add|sub)(u?)(r?)n(r?)", name).groups()  # type: ignore[union-attr]
    left, right, shift = (c, a, b % 32) if register else (a, b, imm)
    return rounded(left + right if kind == "add" else left - right, shift, bool(nearest), not unsigned)


def field(name: str, a: int, c: int, size: int, offset: int) -> int:
    bits = ((1 << size) - 1) << offset
    match name:
        case "p.extract":
            return s(s(a) >> offset, size)
        case "p.extractu":
            return u(a >> offset, size)
        case "p.insert":
            return c & ~bits | a << offset & bits
        case "p.bset":
            return a | bits
        case _:
            return a & ~bits


def vector(op: str, bits: int, a: int, b: int, c: int) -> int:
    """Packed operations of two registers."""
    if found := re.fullmatch(r"(s?)dot(u|us|s)p", op):
        left, right = {"u": (False, False), "us": (False, True), "s": (True, True)}[found[2]]
        products = zip(lanes(a, bits, left), lanes(b, bits, right), strict=True)
        return (c if found[1] else 0) + sum(p * q for p, q in products)
    signed = not op.endswith("u")
    pairs = list(zip(lanes(a, bits, signed), lanes(b, bits, signed), strict=True))
    raw = list(zip(lanes(a, bits, False), lanes(b, bits, False), strict=True))
    if op.startswith("cmp"):
        return join([-1 if COMPARE[op[3:5]](p, q) else 0 for p, q in pairs], bits)
    if op in ("avg", "avgu"):
        return join([(s if signed else u)(p + q, bits) >> 1 for p, q in raw], bits)
    if op in ("srl", "sll", "sra"):
        left = lanes(a, bits, op == "sra")
        shifts = [q % bits for _, q in raw]
        return join([p << n if op == "sll" else p >> n for p, n in zip(left, shifts, strict=True)], bits)
    return join([LANE[op](p, q) for p, q in pairs], bits)


def permuted(name: str, a: int, b: int, c: int) -> int:
    ab, bb, cb = (lanes(x, 8, False) for x in (a, b, c))
    ah, bh, ch = (lanes(x, 16, False) for x in (a, b, c))
    match name:
        case "pv.shuffle.b":
            return join([ab[m % 4] for m in bb], 8)
        case "pv.shuffle.h":
            return join([ah[m % 2] for m in bh], 16)
        case "pv.shuffle2.b":
            return join([(ab if m & 4 else cb)[m % 4] for m in bb], 8)
        case "pv.shuffle2.h":
            return join([(ah if m & 2 else ch)[m % 2] for m in bh], 16)
        case "pv.pack.h" | "pv.pack.l.h":
            return join([bh[0], ah[0]], 16)
        case "pv.pack.h.h":
            return join([bh[1], ah[1]], 16)
        case "pv.packlo.b":
            return join([bb[0], ab[0], cb[2], cb[3]], 8)
        case _:  # pv.packhi.b
            return join([cb[0], cb[1], bb[0], ab[0]], 8)


def complex_numbers(name: str, a: int, b: int) -> int:
    (ar, ai), (br, bi) = lanes(a, 16, True), lanes(b, 16, True)
    shift = 1 if name.endswith("div2") else 2 if name.endswith("div4") else 0
    if name.startswith("pv.cplxmul"):
        return join([s(ar * br - ai * bi) >> (15 + shift), s(ar * bi + ai * br) >> (15 + shift)], 16)
    if name.startswith("pv.subrotmj"):
        return join([s(ai - bi, 16) >> shift, s(br - ar, 16) >> shift], 16)
    return join([ar, -ai], 16)


def lane_access(name: str, a: int, c: int, imm: int) -> int:
    op, bits = name.split(".")[1], 8 if name.endswith("b") else 16
    at = bits * (imm % (32 // bits))
    if op == "insert":
        return c & ~(((1 << bits) - 1) << at) | u(a, bits) << at
    return (s if op == "extract" else u)(a >> at, bits)


def selected(name: str, a: int, imm: int) -> int:
    """pv.shuffle with an immediate."""
    if name == "pv.shuffle.sci.h":
        return join([lanes(a, 16, False)[imm >> i & 1] for i in (0, 1)], 16)
    top = int(name[len("pv.shufflei")])
    source = lanes(a, 8, False)
    return join([*(source[imm >> i & 3] for i in (0, 2, 4)), source[top]], 8)


def value(name: str, a: int, b: int, c: int, imm: int, imm2: int) -> int:
    """rd after the instruction."""
    return u(_value(name, a, b, c, imm, imm2))


def _value(name: str, a: int, b: int, c: int, imm: int, imm2: int) -> int:
    immediate = {"slli": "sll", "srli": "srl", "srai": "sra", "sltiu": "sltu"}.get(name) or (
        name[:-1] if name in ("addi", "slti", "xori", "ori", "andi") else ""
    )
    if immediate:
        return BASE[immediate](a, u(imm))
    if name in BASE:
        return BASE[name](a, b)
    if name in ("p.mac", "p.msu"):
        return c + a * b if name == "p.mac" else c - a * b
    if re.match(r"p\.m(ul|ac)", name):
        return half_product(name, a, b, c, imm)
    if re.match(r"p\.(add|sub)", name):
        return normalised(name, a, b, c, imm)
    if name in ("p.clip", "p.clipu"):
        limit = 1 << (imm - 1) if imm else 0
        low = (-limit if imm else -1) if name == "p.clip" else 0
        return max(low, min(s(a), limit - 1 if imm else 0))
    if found := re.fullmatch(r"(p\.(?:extractu?|insert|bset|bclr))(r?)", name):
        size, offset = ((b >> 5) % 32 + 1, b % 32) if found[2] else (imm2 + 1, imm)
        return field(found[1], a, c, size, offset)
    return _packed(name, a, b, c, imm)


def _packed(name: str, a: int, b: int, c: int, imm: int) -> int:
    if re.match(r"pv\.(cplxconj|cplxmul\.s($|\.div)|subrotmj)", name):
        return complex_numbers(name, a, b)
    if re.fullmatch(r"pv\.(shuffle2?|pack(lo|hi)?)(\.l|\.h)?\.[bh]", name):
        return permuted(name, a, b, c)
    if re.match(r"pv\.shuffle", name):
        return selected(name, a, imm)
    if re.match(r"pv\.(extractu?|insert)\.", name):
        return lane_access(name, a, c, imm)
    if found := re.fullmatch(r"pv\.(add|sub)\.([bh])\.div([24])", name):
        bits, shift = {"b": 8, "h": 16}[found[2]], int(found[3]) // 2
        op = LANE[found[1]]
        pairs = zip(lanes(a, bits, False), lanes(b, bits, False), strict=True)
        return join([s(op(p, q), bits) >> shift for p, q in pairs], bits)
    found = re.fullmatch(r"pv\.(\w+)(\.sci?)?\.([bh])", name)
    assert found, name
    op, scalar, bits = found[1], found[2], {"b": 8, "h": 16}[found[3]]
    if op == "abs":
        return join([abs(x) for x in lanes(a, bits, True)], bits)
    right = {None: b, ".sc": join([b] * (32 // bits), bits), ".sci": join([imm] * (32 // bits), bits)}[scalar]
    return vector(op, bits, a, right, c)
