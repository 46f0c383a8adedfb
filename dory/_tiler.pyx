# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled pruner behind `dory.tiler`: every legal tile of a layer, and the cheapest one.

`dory.tiler.tiles` prepares the arguments and documents the cost; tests hold a plain Python twin against it.
"""

from libc.stdint cimport int32_t, int64_t

cdef enum:  # columns of the access table, one row per input
    H, W, C, SPAN_H, SPAN_W, STRIDE_H, STRIDE_W, ALL

cdef enum:
    MAX_INPUTS = 8
    BAND_CYCLES = 300  # of planes: once for four channels, for four pixels of four channels, for four columns of one
    SPLIT_CYCLES = 22
    STRIP_CYCLES = 45
    DMA_COMMAND_CYCLES = 60  # of one two-dimensional command, beyond its lines (hardware notes)
    DMA_LINE_CYCLES = 2  # that a line of a two-dimensional command takes beyond its bytes, about
    DMA_BYTES_PER_CYCLE = 8


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int64_t guarded(int64_t size, int64_t guard) noexcept nogil:
    return (size + 7) // 8 * 8 + guard


cdef struct Space:
    int64_t h, w, c, c_step, group, group_bytes, scratch, guard, cores, budget, setup, inputs
    int64_t unit, limit, span_h, span_w, stride_h, stride_w  # planes in the scratch; unit 0: none
    double work
    int32_t access[8][8]


cdef struct Best:
    int64_t h, w, c, inputs_outer, bytes
    double cost


cdef void consider(Space *s, int64_t h, int64_t w, int64_t c, Best *best) noexcept nogil:
    cdef int64_t th = ceil_div(s.h, h), tw = ceil_div(s.w, w), tc = ceil_div(s.c, c)
    cdef int64_t tiles = th * tw * tc, spatial = th * tw
    cdef int64_t total = 0, x_all = 0, x_slice = 0, x_cmds_all = 0, x_cmds_slice = 0
    cdef int64_t i, ih, iw, ic, size, cmds, lines
    cdef int32_t *a
    for i in range(s.inputs):
        a = s.access[i]
        ih = min((h - 1) * a[STRIDE_H] + a[SPAN_H], <int64_t>a[H])
        iw = min((w - 1) * a[STRIDE_W] + a[SPAN_W], <int64_t>a[W])
        ic = a[C] if a[ALL] else min(c, <int64_t>a[C])
        size = ih * iw * ic
        lines = ih * iw if ic < a[C] else (ih if iw < a[W] else 1)
        cmds = (ih if (iw < a[W] and ic < a[C]) else 1) * DMA_COMMAND_CYCLES + lines * DMA_LINE_CYCLES
        if a[ALL]:
            x_all += size
            x_cmds_all += cmds
            total += guarded(size, s.guard) * (2 if spatial > 1 else 1)
        else:
            x_slice += size
            x_cmds_slice += cmds
            total += guarded(size, s.guard) * (2 if tiles > 1 else 1)
    cdef int64_t wb = 0
    if s.group_bytes:
        wb = s.group_bytes if s.group == 0 else ceil_div(c, s.group) * s.group_bytes
        total += guarded(wb, s.guard) * (2 if tc > 1 and s.group else 1)
    total += guarded(h * w * c, s.guard) * (2 if tiles > 1 else 1)
    cdef int64_t scratch = s.scratch, row
    if s.unit:
        row = ceil_div((max(w, 4) - 1) * s.stride_w + s.span_w, 4) * 4 * s.unit  # a strip of columns at least
        scratch += row * min((h - 1) * s.stride_h + s.span_h, max(s.span_h, s.limit // row))
    if scratch:
        total += guarded(scratch, s.guard)
    if total > s.budget:
        return
    # Compute: pairs of pixels spread over the cores, four channels at a time; planes: bands of rows of four channels.
    cdef int64_t groups = ceil_div(c, 4), bands = ceil_div(s.cores, groups), rows = ceil_div(h, bands)
    cdef double compute = ceil_div(h * w, 2 * s.cores) * 2.0 * groups * 4 * s.work
    if s.unit:
        compute = BAND_CYCLES + ((rows - 1) * s.stride_h + s.span_h) * (SPLIT_CYCLES * ceil_div(w * s.stride_w, 4) + 6.0)
        compute += 4 * ceil_div(w, 4) * (rows * (s.span_h * s.span_h + SPLIT_CYCLES) + STRIP_CYCLES)
        compute *= ceil_div(groups * bands, s.cores)
    compute = tiles * (compute + s.setup)
    cdef int64_t y = h * w * c
    lines = h * w if c < s.c else (h if w < s.w else 1)
    cdef int64_t y_cmds = (h if (w < s.w and c < s.c) else 1) * DMA_COMMAND_CYCLES + lines * DMA_LINE_CYCLES
    cdef int64_t w_loads = tc if s.group else 1
    cdef int64_t fixed = (x_slice + y) * tiles
    cdef int64_t by_weights = fixed + x_all * (tiles if spatial > 1 else 1) + wb * w_loads
    cdef int64_t by_inputs = fixed + x_all * spatial + wb * (tiles if w_loads > 1 else 1)
    cdef int64_t cmds_total = tiles * (x_cmds_slice + y_cmds + x_cmds_all)
    cdef double dma = min(by_weights, by_inputs) / <double>DMA_BYTES_PER_CYCLE + cmds_total
    cdef double edge = (x_all + x_slice + wb + y) / <double>DMA_BYTES_PER_CYCLE  # first load and last store
    cdef double cost = max(compute, dma) + edge
    if cost < best.cost:
        best.cost = cost
        best.h, best.w, best.c, best.bytes = h, w, c, total
        best.inputs_outer = by_inputs < by_weights


def cheapest(out, int64_t c_step, bint split_w, bint split_c, accesses, int64_t group, int64_t group_bytes,
             int64_t scratch, planes, int64_t guard, int64_t cores, int64_t budget, double work, int64_t setup):
    """Cheapest tile as (h, w, c, inputs_outer, bytes, cost), or None when no tile fits the budget.

    out is (H, W, C) in elements; accesses rows are (H, W, C, span_h, span_w, stride_h, stride_w, all_channels);
    work is cycles per output element on one core, setup cycles per tile; sizes are bytes. planes is None or
    (unit, limit, span_h, span_w, stride_h, stride_w) of a scratch that depends on the tile, on top of `scratch` bytes.
    Deterministic: of equal costs the first in (h, w, c) descending order wins.
    """
    cdef Space s
    cdef Best best
    s.h, s.w, s.c = out
    s.c_step, s.group, s.group_bytes, s.scratch, s.guard = c_step, group, group_bytes, scratch, guard
    s.cores, s.budget, s.work, s.setup, s.inputs = cores, budget, work, setup, len(accesses)
    if s.inputs > MAX_INPUTS:
        raise ValueError("too many inputs")
    s.unit = 0
    if planes is not None:
        s.unit, s.limit, s.span_h, s.span_w, s.stride_h, s.stride_w = planes
    cdef int64_t i, k
    for i in range(s.inputs):
        for k in range(8):
            s.access[i][k] = accesses[i][k]
    best.cost = 1e300
    best.h = 0
    cdef int64_t h, w, c, c_top = ceil_div(s.c, c_step) * c_step
    with nogil:
        h = s.h
        while h >= 1:
            w = s.w
            while w >= 1:
                c = c_top
                while c >= c_step:
                    consider(&s, h, w, min(c, s.c), &best)
                    c = c - c_step if split_c else 0
                w = w - 1 if split_w else 0
            h -= 1
    if best.h == 0:
        return None
    return best.h, best.w, best.c, bool(best.inputs_outer), best.bytes, best.cost
