# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled parts of `dory.tiler`: every legal tile of a layer, and those that may be the cheapest; addresses.

`dory.tiler.space` prepares the arguments, `dory.tiler.bounds` documents the bound; tests hold plain Python twins against them.
"""

from cython.view cimport array
from libc.stdint cimport int32_t, int64_t

cdef enum:  # columns of the access table, one row per input
    H, W, C, SPAN_H, SPAN_W, STRIDE_H, STRIDE_W, PAD_H, PAD_W, ALL, ONCE, BITS

cdef enum:
    INPUTS = 1
    WEIGHTS = 2
    OUTPUT = 4

cdef enum:
    COLUMNS = 12
    MAX_INPUTS = 8


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int64_t guarded(int64_t size, int64_t guard) noexcept nogil:
    return (size + 7) // 8 * 8 + guard


cdef inline int64_t packed(int64_t elements, int64_t bits) noexcept nogil:
    return (elements * bits + 7) // 8


cdef inline int64_t buffers(int64_t pixels, int64_t c, int64_t bits, int64_t copies, int64_t guard) noexcept nogil:
    """Bytes of L1 of an operand: its copies, and one more to unpack it."""
    return guarded(pixels * packed(c, bits), guard) * copies + (guarded(pixels * c, guard) if bits < 8 else 0)


cdef struct Space:
    int64_t h, w, c, group, group_bytes, scratch, guard, budget, inputs
    int64_t out_bits, kernel_group_bytes  # bits of the output; bytes of a group of weights that is unpacked, else 0
    int64_t unit, limit, span_h, span_w, stride_h, stride_w, turned  # planes in the scratch; unit 0: none
    double ideal, per_tile, per_byte, between
    int32_t access[MAX_INPUTS][COLUMNS]


cdef int64_t l1_bytes(Space *s, int64_t h, int64_t w, int64_t c, int64_t single) noexcept nogil:
    """Bytes of L1 that a tile takes: what is loaded more than once has two buffers, unless it is `single`."""
    cdef int64_t spatial = ceil_div(s.h, h) * ceil_div(s.w, w), tc = ceil_div(s.c, c)
    cdef int64_t tiles = spatial * tc, total = 0, i, ih, iw, ic, wb, row
    cdef int32_t *a
    for i in range(s.inputs):
        a = s.access[i]
        ih = min((h - 1) * a[STRIDE_H] + a[SPAN_H], <int64_t>a[H])
        iw = min((w - 1) * a[STRIDE_W] + a[SPAN_W], <int64_t>a[W])
        ic = a[C] if a[ALL] else min(c, <int64_t>a[C])
        total += buffers(ih * iw, ic, a[BITS], 2 if (spatial if a[ALL] else tiles) > 1 and not single & INPUTS else 1, s.guard)
    if s.group_bytes:
        wb = s.group_bytes if s.group == 0 else ceil_div(c, s.group) * s.group_bytes
        total += guarded(wb, s.guard) * (2 if tc > 1 and s.group and not single & WEIGHTS else 1)
        if s.kernel_group_bytes:
            total += guarded(wb // s.group_bytes * s.kernel_group_bytes, s.guard)
    total += buffers(h * w, c, s.out_bits, 2 if tiles > 1 and not single & OUTPUT else 1, s.guard)
    cdef int64_t scratch = s.scratch
    if s.unit:
        if s.turned:
            h, w = w, h
        row = ceil_div((max(w, 4) - 1) * s.stride_w + s.span_w, 4) * 4 * s.unit  # a strip of columns at least
        scratch += row * min((h - 1) * s.stride_h + s.span_h, max(s.span_h, s.limit // row))
    if scratch:
        total += guarded(scratch, s.guard)
    return total


cdef double bound(Space *s, int64_t h, int64_t w, int64_t c, double more) noexcept nogil:
    """Cycles that no tiling with this tile goes below."""
    cdef int64_t spatial = ceil_div(s.h, h) * ceil_div(s.w, w), tc = ceil_div(s.c, c), i, ih, iw, ic
    cdef int64_t first = 0, every = 0, once = 0, wb = 0, weights
    cdef int32_t *a
    for i in range(s.inputs):
        a = s.access[i]
        ih = max(min((h - 1) * a[STRIDE_H] + a[SPAN_H] - a[PAD_H], <int64_t>a[H]), 0)
        iw = max(min((w - 1) * a[STRIDE_W] + a[SPAN_W] - a[PAD_W], <int64_t>a[W]), 0)
        ic = a[C] if a[ALL] else min(c, <int64_t>a[C])
        first += ih * iw * packed(ic, a[BITS])
        if a[ALL]:
            every += a[ONCE]
        else:
            once += a[ONCE]
    if s.group_bytes:
        wb = s.group_bytes if s.group == 0 else ceil_div(c, s.group) * s.group_bytes
    weights = (ceil_div(s.c, s.group) if s.group else 1) * s.group_bytes
    cdef int64_t moved = once + min(every + weights * (spatial if tc > 1 and s.group else 1),
                                    every * (tc if spatial > 1 else 1) + weights)
    cdef double compute = s.ideal + more + s.per_tile * (spatial * tc) + (first + wb) * s.per_byte
    return max(compute, moved * s.per_byte)


cdef double serial(Space *s, int64_t h, int64_t w, int64_t c, int64_t single) noexcept nogil:
    """Cycles that kernels wait, at least, for what has one buffer."""
    cdef int64_t spatial = ceil_div(s.h, h) * ceil_div(s.w, w), tc = ceil_div(s.c, c), i, ih, iw, ic
    cdef int64_t x = 0, loads = spatial
    cdef double waits = 0, y_waits
    cdef int32_t *a
    if single & INPUTS:
        for i in range(s.inputs):
            a = s.access[i]
            ih = min((h - 1) * a[STRIDE_H] + a[SPAN_H], <int64_t>a[H])
            iw = min((w - 1) * a[STRIDE_W] + a[SPAN_W], <int64_t>a[W])
            ic = a[C] if a[ALL] else min(c, <int64_t>a[C])
            x += a[ONCE] - ih * iw * packed(ic, a[BITS])
            if not a[ALL]:
                loads = spatial * tc
        waits = x * s.per_byte - loads * s.between
    if single & WEIGHTS and s.group_bytes and s.group:
        waits += (ceil_div(s.c, s.group) - ceil_div(c, s.group)) * s.group_bytes * s.per_byte - tc * s.between
    if single & OUTPUT:
        y_waits = (s.h * s.w * packed(s.c, s.out_bits) - h * w * packed(c, s.out_bits)) * s.per_byte
        waits = max(waits, y_waits - spatial * tc * s.between)
    return max(waits, 0)


cdef bint holds(int64_t masks, int64_t mask) noexcept nogil:
    """Whether some of a set of masks is part of `mask`."""
    cdef int64_t part
    for part in range(1, mask):
        if masks >> part & 1 and part & mask == part:
            return True
    return False


def survivors(out, hs, ws, cs, accesses, int64_t group, int64_t group_bytes, int64_t scratch, planes, int64_t guard,
              int64_t budget, double ideal, more_h, more_w, more_c, double per_tile, double per_byte, double limit,
              int64_t out_bits=8, int64_t kernel_group_bytes=0, double between=-1):
    """Tiles h x w x c, of heights hs, widths ws and channels cs (ascending), that fit `budget` bytes and whose bound is at
    most `limit` cycles.

    Returns (rows, fitting): rows are (h, w, c, bytes), fitting counts the tiles within the budget. out is (H, W, C) in
    elements; accesses rows are (H, W, C, span_h, span_w, stride_h, stride_w, pad_h, pad_w, all_channels, bytes that any
    tiling reads, bits); sizes are bytes. planes is None or (unit, limit, span_h, span_w, stride_h, stride_w, rows and
    columns exchanged) of a scratch that depends on the tile, on top of `scratch` bytes. The bound is ideal, what each of
    the three cuts adds (more_h, more_w, more_c, an entry for each of hs, ws, cs), per_tile a tile, and per_byte a byte of
    the first loads; or per_byte a byte of all loads. out_bits: of the output's elements; kernel_group_bytes: of a group
    of weights where it is unpacked in L1, else 0. between: if not negative, those tiles instead that fit only
    where some operands have one buffer; cycles of core 0 between two kernels, in which those are moved. Rows then have
    these operands as well, 1 the inputs, 2 the weights, 4 the output, a row for each set that can do with none of them;
    and the cycles that kernels wait for them, at least.
    """
    cdef Space s
    s.h, s.w, s.c = out
    s.group, s.group_bytes, s.scratch, s.guard = group, group_bytes, scratch, guard
    s.budget, s.inputs, s.ideal, s.per_tile, s.per_byte = budget, len(accesses), ideal, per_tile, per_byte
    if s.inputs > MAX_INPUTS:
        raise ValueError("too many inputs")
    s.out_bits, s.kernel_group_bytes, s.between = out_bits, kernel_group_bytes, between
    cdef int64_t single = INPUTS | WEIGHTS | OUTPUT if between >= 0 else 0
    cdef double most, waits
    s.unit = 0
    if planes is not None:
        s.unit, s.limit, s.span_h, s.span_w, s.stride_h, s.stride_w, s.turned = planes
    cdef int64_t i, k
    for i in range(s.inputs):
        for k in range(COLUMNS):
            s.access[i][k] = accesses[i][k]
    cdef int64_t h, w, c, size, mask, masks, fitting = 0
    cdef double by_h, by_w, by_c
    cdef int64_t least = cs[0]
    rows = []
    for h, by_h in zip(hs, more_h):
        for w, by_w in zip(ws, more_w):
            # More channels take more room, but for all of them, which need no second buffers.
            if l1_bytes(&s, h, w, least, single) > s.budget and l1_bytes(&s, h, w, s.c, single) > s.budget:
                continue
            for c, by_c in zip(cs, more_c):
                size = l1_bytes(&s, h, w, c, single)
                if single and l1_bytes(&s, h, w, c, 0) <= s.budget:
                    continue
                if size <= s.budget:
                    fitting += 1
                    most = max(max(by_h, by_w), by_c)
                    if bound(&s, h, w, c, most) > limit:
                        continue
                    if not single:
                        rows.append((h, w, c, size))
                        continue
                    masks = 0
                    for mask in range(1, 8):
                        size = l1_bytes(&s, h, w, c, mask)
                        if size <= s.budget and not holds(masks, mask):
                            masks |= 1 << mask
                            waits = serial(&s, h, w, c, mask)
                            if bound(&s, h, w, c, most + waits) <= limit:
                                rows.append((h, w, c, size, mask, <int64_t>waits))
    return rows, fitting


def place(first, last, size):
    """Offsets of blocks, each in turn at the lowest one that is free in its lifetime: steps first..last, both included.

    first, last, size: of each block, size in bytes.
    """
    cdef int64_t n = len(first), i, k, m = 0, at
    cdef int64_t[:, ::1] placed = array(shape=(max(n, 1), 4), itemsize=sizeof(int64_t), format="q")
    cdef int64_t f, l, bytes_
    offsets = []
    for i in range(n):
        f, l, bytes_ = first[i], last[i], size[i]
        at = 0
        for k in range(m):  # in the order of their offsets
            if placed[k, 0] <= l and f <= placed[k, 1]:
                if at + bytes_ <= placed[k, 2]:
                    break
                at = max(at, placed[k, 3])
        k = m
        while k > 0 and placed[k - 1, 2] > at:
            placed[k] = placed[k - 1]
            k -= 1
        placed[k, 0], placed[k, 1], placed[k, 2], placed[k, 3] = f, l, at, at + bytes_
        m += 1
        offsets.append(at)
    return offsets
