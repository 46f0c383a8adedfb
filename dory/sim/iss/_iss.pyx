# cython: language_level=3, boundscheck=False, wraparound=False
"""The simulator core as one Python object: memory in, a run, counters out. No policy here; see machine.py."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef extern from "state.h" nogil:
    int ISS_CAUSES, ISS_FC, ISS_ALL_CORES, ISS_MAX_CORES
    ctypedef void *iss_alu_fn
    ctypedef struct iss_ram_law:
        uint32_t setup, per_byte_milli, per_burst, burst_bytes, floor
    ctypedef struct iss_params:
        uint32_t cores
        uint32_t l1_base, l1_bytes, l1_banks
        uint32_t l2_base, l2_bytes
        uint32_t ram_bytes
        uint32_t fc_khz, cluster_khz
        uint32_t load_use, use_mulh, mul_use, mulh, div_base, branch_taken, jump, misaligned
        uint32_t l2_access, fc_l2_access, fc_l1_access
        uint32_t icache_bytes, icache_line, icache_ways, icache_miss_milli
        uint32_t fork_start, fork_join, barrier, elw, elw_wake, cluster_start_fc
        uint32_t dma_issue, dma_setup, dma_wake, dma_floor, dma_2d_setup, dma_bytes_per_cycle
        uint32_t dma_in_line_extra, dma_in_line_floor, dma_out_line_extra, dma_out_line_floor
        uint32_t dma_queue, dma_max_bytes
        uint32_t l2_wait_dma_cap
        iss_ram_law ram_read_fc, ram_write_fc, ram_read_cl, ram_write_cl
        uint32_t ram_issue, ram_wake, ram_offload_ns, ram_offload_cycles
    ctypedef struct iss_error:
        int code
        uint32_t core, pc, address, size, other_pc
        int32_t layer
        const char *text
    ctypedef struct iss_insn:
        iss_alu_fn fn
        int32_t imm
        uint8_t op, rd, rs1, rs2, base_out, len, flags
    ctypedef struct iss_opdef:
        const char *name
        uint32_t match, mask
        uint8_t op, fmt, flags
    ctypedef struct iss_tally:
        uint64_t count, cycles
        uint64_t stall[1]
    ctypedef struct iss_core:
        uint32_t r[33]
        uint64_t t
        iss_tally tally
    ctypedef struct iss_memory:
        uint8_t *data
        uint8_t *tag
        uint32_t base, bytes
    ctypedef struct iss_trace_event:
        uint64_t begin, end
        uint32_t kind, track, a, b
    ctypedef struct iss_layer:
        int32_t id
        uint64_t begin, end
        iss_tally core[1]
    ctypedef struct iss_t:
        iss_params p
        iss_memory l1, l2
        uint8_t *ram
        uint32_t code_count
        iss_core core[1]
        uint32_t ticks_fc, ticks_cl
        int32_t exit_code
        iss_error error
        char *out
        size_t out_len
        uint8_t *dump
        size_t dump_len
        iss_tally *totals
        uint32_t prof_first, prof_last
        uint16_t *function_of
        uint32_t functions
        iss_tally *function_rows
        size_t function_rows_len
        iss_layer *layers
        size_t layers_len
        iss_trace_event *events
        size_t events_len
    enum:
        FMT_NONE, FMT_R, FMT_R1, FMT_I, FMT_SHIFT, FMT_U, FMT_J, FMT_JR, FMT_B, FMT_BI, FMT_L, FMT_LP, FMT_LR, FMT_LRP
        FMT_S, FMT_SP, FMT_SR, FMT_SRP, FMT_NORM, FMT_FIELD, FMT_SIMM6, FMT_UIMM6, FMT_LANE, FMT_LOOP, FMT_LOOPR
        FMT_LOOPI, FMT_LOOPRL, FMT_LOOPIL, FMT_CSR, FMT_CSRI
    ctypedef enum iss_status:
        RUN_SLICE_OVER, RUN_EXITED, RUN_FAILED

    iss_t *iss_create(const iss_params *p)
    void iss_destroy(iss_t *s)
    bint iss_start(iss_t *s, uint32_t boot, uint32_t entry, uint64_t max_cycles, bint profile, bint trace)
    iss_status iss_run(iss_t *s, uint64_t slice)
    iss_memory *iss_memory_at(iss_t *s, uint32_t address, uint32_t size)
    void iss_tag(iss_memory *m, uint32_t address, uint32_t size, uint8_t set, uint8_t clear)
    void iss_invalidate(iss_t *s, uint32_t off, uint32_t n)
    const iss_opdef *iss_decode_word(uint32_t word, uint32_t pc, iss_insn *insn)
    uint32_t iss_expand_compressed(uint32_t half)
    uint32_t iss_reads(const iss_opdef *d, const iss_insn *insn)
    void iss_fold_profile(iss_t *s, size_t row)
    iss_tally iss_core_tally(const iss_t *s, const iss_core *c, uint64_t tick)
    uint64_t iss_ticks(const iss_t *s, const iss_core *c, uint64_t cycles)
    const iss_opdef *iss_ops_scalar
    const iss_opdef *iss_ops_simd
    unsigned iss_ops_scalar_count, iss_ops_simd_count

FORMATS = {
    FMT_NONE: "NONE", FMT_R: "R", FMT_R1: "R1", FMT_I: "I", FMT_SHIFT: "SHIFT", FMT_U: "U", FMT_J: "J", FMT_JR: "JR",
    FMT_B: "B", FMT_BI: "BI", FMT_L: "L", FMT_LP: "LP", FMT_LR: "LR", FMT_LRP: "LRP", FMT_S: "S", FMT_SP: "SP",
    FMT_SR: "SR", FMT_SRP: "SRP", FMT_NORM: "NORM", FMT_FIELD: "FIELD", FMT_SIMM6: "SIMM6", FMT_UIMM6: "UIMM6",
    FMT_LANE: "LANE", FMT_LOOP: "LOOP", FMT_LOOPR: "LOOPR", FMT_LOOPI: "LOOPI", FMT_LOOPRL: "LOOPRL",
    FMT_LOOPIL: "LOOPIL", FMT_CSR: "CSR", FMT_CSRI: "CSRI",
}
FC = ISS_FC
CORES = ISS_ALL_CORES

# Between two looks at pending signals, so that Ctrl-C ends a long run.
cdef uint64_t SLICE = 4_000_000


cdef tuple tally_of(const iss_tally *t):
    return (t.count, t.cycles, tuple([t.stall[i] for i in range(ISS_CAUSES)]))


def opcode_table():
    """(name, match, mask, format, reads rd) of every encoding."""
    scalar = [_row(&iss_ops_scalar[i]) for i in range(iss_ops_scalar_count)]
    return scalar + [_row(&iss_ops_simd[i]) for i in range(iss_ops_simd_count)]


cdef tuple _row(const iss_opdef *d):
    return (d.name.decode(), d.match, d.mask, FORMATS[d.fmt], bool(d.flags & 1))


def decode(uint32_t word, uint32_t pc=0):
    """(name, format, rd, rs1, rs2, imm, registers read as a bit set) or None; a halfword is expanded first."""
    cdef iss_insn insn
    cdef uint32_t full = word if (word & 3) == 3 else iss_expand_compressed(word & 0xFFFF)
    memset(&insn, 0, sizeof(insn))
    cdef const iss_opdef *d = iss_decode_word(full, pc, &insn)
    if d == NULL:
        return None
    return (d.name.decode(), FORMATS[d.fmt], insn.rd & 31, insn.rs1, insn.rs2, insn.imm, iss_reads(d, &insn))


cdef class Core:
    """One simulator instance. Addresses outside the memories raise IndexError."""

    cdef iss_t *s

    def __cinit__(self, params):
        cdef iss_params p = params
        self.s = iss_create(&p)
        if self.s == NULL:
            raise MemoryError("the simulator's memories")

    def __dealloc__(self):
        iss_destroy(self.s)

    def write(self, uint32_t address, const uint8_t[::1] data):
        cdef uint32_t n = <uint32_t>data.shape[0]
        cdef iss_memory *m = iss_memory_at(self.s, address, n)
        if m == NULL:
            raise IndexError(f"0x{address:08x} .. +{n} is not inside L1 or L2")
        if n:
            memcpy(m.data + (address - m.base), &data[0], n)
            if m == &self.s.l2:
                iss_invalidate(self.s, address - m.base, n)

    def read(self, uint32_t address, uint32_t n):
        cdef iss_memory *m = iss_memory_at(self.s, address, n)
        if m == NULL:
            raise IndexError(f"0x{address:08x} .. +{n} is not inside L1 or L2")
        return (<const char *>(m.data + (address - m.base)))[:n]

    def write_ram(self, uint32_t offset, const uint8_t[::1] data):
        cdef uint32_t n = <uint32_t>data.shape[0]
        if offset > self.s.p.ram_bytes or n > self.s.p.ram_bytes - offset:
            raise IndexError(f"0x{offset:x} .. +{n} is not inside the RAM")
        if n:
            memcpy(self.s.ram + offset, &data[0], n)

    def read_ram(self, uint32_t offset, uint32_t n):
        if offset > self.s.p.ram_bytes or n > self.s.p.ram_bytes - offset:
            raise IndexError(f"0x{offset:x} .. +{n} is not inside the RAM")
        return (<const char *>(self.s.ram + offset))[:n]

    def set_functions(self, ranges, uint32_t first, uint32_t last):
        """Profile buckets: (start, end) addresses in L2 of functions 1, 2, ...; 0 is everything else between first and last."""
        cdef uint32_t base = self.s.p.l2_base, i, f
        free(self.s.function_of)
        self.s.function_of = <uint16_t *>malloc((self.s.code_count + 4) * sizeof(uint16_t))
        if self.s.function_of == NULL:
            raise MemoryError("function map")
        memset(self.s.function_of, 0, (self.s.code_count + 4) * sizeof(uint16_t))
        for f, (start, end) in enumerate(ranges, 1):
            for i in range((start - base) // 2, min((end - base + 1) // 2, self.s.code_count)):
                self.s.function_of[i] = <uint16_t>f
        self.s.functions = len(ranges) + 1
        self.s.prof_first, self.s.prof_last = (first - base) // 2, min((last - base + 1) // 2, self.s.code_count)

    def start(self, uint32_t boot, uint32_t entry, uint64_t max_cycles, bint profile, bint trace):
        if boot >= <uint32_t>ISS_ALL_CORES or (boot < <uint32_t>ISS_MAX_CORES and boot >= self.s.p.cores):
            raise IndexError(f"there is no core {boot}")
        if not iss_start(self.s, boot, entry, max_cycles, profile, trace):
            raise MemoryError("profile")

    def registers(self, uint32_t core):
        return [self.s.core[core].r[i] for i in range(32)]

    def set_register(self, uint32_t core, uint32_t number, uint32_t value):
        if core >= <uint32_t>ISS_ALL_CORES or not 0 < number < 32:
            raise IndexError(f"core {core} has no register {number}")
        self.s.core[core].r[number] = value

    def run(self):
        """True: the program ended. False: error() says what went wrong."""
        cdef iss_status status = RUN_SLICE_OVER
        while status == RUN_SLICE_OVER:
            with nogil:
                status = iss_run(self.s, SLICE)
            PyErr_CheckSignals()
        iss_fold_profile(self.s, 0)
        return status == RUN_EXITED

    def exit_code(self):
        return self.s.exit_code

    def error(self):
        cdef iss_error *e = &self.s.error
        text = e.text.decode() if e.text != NULL else ""
        return (e.code, e.core, e.pc, e.address, e.size, e.other_pc, e.layer, text)

    def output(self):
        return self.s.out[:self.s.out_len] if self.s.out_len else b""

    def dump(self):
        return <bytes>(<char *>self.s.dump)[:self.s.dump_len] if self.s.dump_len else b""

    def ticks(self):
        """Ticks in a cycle of the FC and of the cluster: the unit of layers' and events' times."""
        return self.s.ticks_fc, self.s.ticks_cl

    def tallies(self):
        """(instructions, cycles, stalls by cause) of each core, the FC last."""
        cdef uint64_t end = 0
        cdef int i
        for i in range(ISS_ALL_CORES):
            end = max(end, iss_ticks(self.s, &self.s.core[i], self.s.core[i].t))
        cdef iss_tally t
        rows = []
        for i in range(ISS_ALL_CORES):
            t = iss_core_tally(self.s, &self.s.core[i], end)
            rows.append(tally_of(&t))
        return rows

    def layers(self):
        """(id, begin, end, tallies as above) in order; times in ticks, end None if it did not end."""
        rows = []
        cdef iss_layer *l
        for n in range(self.s.layers_len):
            l = &self.s.layers[n]
            ended = l.end != <uint64_t>-1
            cores = [tally_of(&l.core[i]) for i in range(ISS_ALL_CORES)] if ended else []
            rows.append((l.id, l.begin, l.end if ended else None, cores))
        return rows

    def function_tallies(self):
        """Profile by row (0: outside layers, i + 1: layer i) and function."""
        return [
            [tally_of(&self.s.function_rows[r * self.s.functions + f]) for f in range(self.s.functions)]
            for r in range(self.s.function_rows_len)
        ]

    def pc_tallies(self):
        """{pc: tally} over the whole run, profiled runs only."""
        if self.s.totals == NULL:
            return {}
        return {
            self.s.p.l2_base + 2 * i: tally_of(&self.s.totals[i])
            for i in range(self.s.prof_first, self.s.prof_last)
            if self.s.totals[i].count or self.s.totals[i].cycles
        }

    def events(self):
        """(begin, end, kind, track, a, b), times in ticks."""
        cdef iss_trace_event *e
        rows = []
        for i in range(self.s.events_len):
            e = &self.s.events[i]
            rows.append((e.begin, e.end, e.kind, e.track, e.a, e.b))
        return rows
