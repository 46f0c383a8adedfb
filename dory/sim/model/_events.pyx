# cython: boundscheck=False, wraparound=False
"""The double-buffered tile loop, compiled. events.plain_block is the same in Python."""


cdef struct Engines:
    long long t, free_in, free_out, dma
    long long issue, wake, queue, floor, cap
    long long moved  # bytes of the last start


cdef long long start(Engines *e, tuple copies, bint outward, long long command):
    """Issue the commands; the time at which the last one has landed (0: none)."""
    cdef long long landed = 0, each = command + e.issue, n, cycles, setup, free, ready, begin, first, held
    cdef tuple c
    cdef object copy
    e.moved = 0
    for copy in copies:
        c = <tuple>copy  # a named one
        n = c[0]
        cycles = c[1]
        setup = c[2]
        e.moved += c[3]
        free = e.free_out if outward else e.free_in
        ready = e.t + each
        e.t += n * each
        if cycles <= each:
            begin = max(e.t, free + (n - 1) * cycles)
        else:
            first = max(free, ready)
            begin = first + (n - 1) * cycles
            if n > e.queue:
                held = first + (n - e.queue) * cycles + setup + e.issue
                if held > e.t:
                    e.dma += held - e.t
                    e.t = held
        free = begin + cycles
        landed = max(landed, free + setup, e.t + e.floor)
        if outward:
            e.free_out = free
        else:
            e.free_in = free
    return landed


cdef void stall(Engines *e, double accesses):
    """Accesses to L2, each behind what the engines have to move."""
    cdef long long wait
    if e.cap:
        wait = min(max(e.free_in, e.free_out) - e.t, <long long>(accesses * e.cap))
        if wait > 0:
            e.dma += wait
            e.t += wait


cdef void wait(Engines *e, long long landed):
    """Block until `landed` unless that is past."""
    if landed > e.t:
        e.dma += landed + e.wake - e.t
        e.t = landed + e.wake


def run(list steps, tuple chip, tuple loop, tuple start_, object enter, tuple late):
    """(cycles, compute, imbalance, exposed waits for the DMA, bytes moved) of a block.

    chip: issue, wake, queue, floor, cap. loop: head, body, tail, x, w, command, busy. start_: a cold start's lines of
    the loop and of the kernel, and their cycles. late: whether inputs, weights and the output have one buffer.
    """
    cdef Engines e
    cdef long long head = loop[0], body = loop[1], tail = loop[2], x_cost = loop[3], w_cost = loop[4], command = loop[5]
    cdef long long compute = 0, imbalance = 0, moved = 0, x_landed, w_landed = 0, cycles, even
    cdef long long[2] stores
    cdef double busy = loop[6]
    cdef Py_ssize_t i, n = len(steps)
    cdef tuple step = steps[0], following
    cdef object tile = step[0]
    cdef bint has_weights = len(tile.w) > 0, next_x, next_w
    cdef bint late_x = late[0], late_w = late[1], late_y = late[2]
    e.t = e.free_in = e.free_out = e.dma = 0
    e.issue, e.wake, e.queue, e.floor, e.cap = chip
    if enter is not None and step[3] >= 0:
        e.t = enter(e.t, step[3])
    x_landed = start(&e, tile.x, False, command)
    moved += e.moved
    e.t += x_cost
    if has_weights:
        w_landed = start(&e, tile.w, False, command)
        moved += e.moved
    stall(&e, start_[0])
    e.t += <long long>start_[2]
    stores[0] = stores[1] = 0
    for i in range(n):
        step = steps[i]
        tile = step[0]
        e.t += head
        wait(&e, x_landed)
        wait(&e, w_landed)
        next_x = next_w = False
        if i + 1 < n:
            following = steps[i + 1]
            if enter is not None and following[3] >= 0:
                e.t = enter(e.t, following[3])
            next_x = following[1]
            next_w = following[2] and has_weights
            if next_x and not late_x:
                e.t += x_cost
                x_landed = start(&e, following[0].x, False, command)
                moved += e.moved
            if next_w and not late_w:
                e.t += w_cost
                w_landed = start(&e, following[0].w, False, command)
                moved += e.moved
        stall(&e, busy if i else start_[1])
        wait(&e, stores[i & 1])
        if late_y:
            wait(&e, stores[(i & 1) ^ 1])
        e.t += body
        if i == 0:
            e.t += <long long>start_[3]
        cycles = tile.cycles
        even = tile.even
        e.t += cycles
        compute += even
        imbalance += cycles - even
        if next_x and late_x:
            e.t += x_cost
            x_landed = start(&e, following[0].x, False, command)
            moved += e.moved
        if next_w and late_w:
            e.t += w_cost
            w_landed = start(&e, following[0].w, False, command)
            moved += e.moved
        stores[i & 1] = start(&e, tile.y, True, command)
        moved += e.moved
        e.t += tail
    wait(&e, stores[0])
    wait(&e, stores[1])
    return e.t, compute, imbalance, e.dma, moved
