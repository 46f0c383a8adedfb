/* The simulator's state: everything hangs off one iss_t. Private to the C files and the binding. */
#ifndef DORY_ISS_STATE_H
#define DORY_ISS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "optable.h"
#include "params.h"

#define ISS_MAX_CORES 8
#define ISS_FC ISS_MAX_CORES /* index of the fabric controller in iss_t.core */
#define ISS_ALL_CORES (ISS_MAX_CORES + 1)
#define ISS_NEVER UINT64_MAX

/* Return addresses that no memory answers to: a function that returns there has finished. */
#define ISS_RETURN_TEAM 0xfffffff0u
#define ISS_RETURN_CLUSTER 0xfffffff4u
#define ISS_RETURN_EXIT 0xfffffff8u

/* What cycles beyond one per instruction went to. */
typedef enum {
  CAUSE_LOAD_USE,
  CAUSE_BRANCH,
  CAUSE_MULTI, /* mulh, division, a product read by the next instruction */
  CAUSE_MISALIGNED,
  CAUSE_BANK,
  CAUSE_ICACHE,
  CAUSE_L2,
  CAUSE_CALL, /* runtime calls: issuing a transfer, forking */
  CAUSE_DMA_WAIT,
  CAUSE_RAM_WAIT,
  CAUSE_BARRIER, /* barrier, join */
  CAUSE_IDLE,    /* no work given */
  ISS_CAUSES
} iss_cause;

typedef enum {
  ISS_OK = 0,
  ERR_ILLEGAL,
  ERR_FETCH,
  ERR_ACCESS,
  ERR_MISALIGNED,
  ERR_UNWRITTEN,
  ERR_IN_FLIGHT_READ,
  ERR_IN_FLIGHT_WRITE,
  ERR_SOURCE_WRITE,
  ERR_DEAD,
  ERR_STACK,
  ERR_CYCLES,
  ERR_DEADLOCK,
  ERR_CALL, /* a runtime call with arguments it does not take; text says which */
  ERR_EBREAK,
  ERR_MEMORY
} iss_error_code;

typedef struct {
  iss_error_code code;
  uint32_t core, pc, address, size;
  uint32_t other_pc; /* where the transfer in question was started */
  int32_t layer;     /* last marker, -1 if none */
  const char *text;
} iss_error;

enum {
  INSN_TAIL = 1,     /* look before going on: a loop or a cache line may end here */
  INSN_LOOP_END = 2, /* some hardware loop has ended here */
  INSN_USE = 4,      /* the next instruction in the text reads the result of this load or mul */
  INSN_USE_MULH = 8  /* and it is a mulh */
};

typedef struct {
  iss_alu_fn fn;
  int32_t imm;
  uint8_t op, rd, rs1, rs2; /* rd: 32 if the result is dropped */
  uint8_t base_out;         /* register that a post-increment writes */
  uint8_t len;              /* halfwords */
  uint8_t flags;
} iss_insn;

typedef struct {
  uint64_t count, cycles, stall[ISS_CAUSES];
} iss_tally;

typedef enum { CORE_OFF, CORE_RUNNING, CORE_WAITING } iss_core_state;

typedef struct {
  uint32_t r[33]; /* [32] takes writes to x0 */
  uint32_t id;
  uint64_t t; /* ready at, cycles of its clock domain */
  iss_insn *in;
  iss_insn *loop_start[2], *loop_end[2];
  uint32_t loop_count[2];
  uint32_t l1_fast;   /* bytes of L1 that take the fast path; 0 for the FC */
  uint32_t stack_low; /* 0: unchecked */
  uint32_t vitop;     /* decision bits of pv.vitop.max */
  uint32_t scratch_csr[8];
  bool has_icache, refetch;
  iss_core_state state;
  iss_cause wait_cause;
  iss_insn *wait_in; /* the call that waits; NULL while without work */
  uint64_t wait_since;
  uint32_t wait_job; /* job waited for; 0: none */
  iss_insn *resume;  /* of a forking or offloading core: where it goes on */
  uint32_t resume_ra, running_fn;
  uint64_t busy_from; /* start of the running trace interval */
  iss_tally tally;
} iss_core;

enum { TAG_UNWRITTEN = 1, TAG_DESTINATION = 2, TAG_SOURCE = 4, TAG_DEAD = 8 };
#define TAGS_BLOCK_READ (TAG_UNWRITTEN | TAG_DESTINATION | TAG_DEAD)
#define TAGS_BLOCK_WRITE (TAG_DESTINATION | TAG_SOURCE | TAG_DEAD)

typedef struct {
  uint8_t *data, *tag;
  uint32_t base, bytes;
} iss_memory;

typedef enum { XFER_DMA_IN, XFER_DMA_OUT, XFER_RAM_READ, XFER_RAM_WRITE } iss_xfer_kind;

typedef struct {
  iss_xfer_kind kind;
  uint32_t near, far; /* L1 (or L2) address; L2 (or RAM) address */
  uint32_t lines, line_bytes, stride;
  uint32_t job, pc, core;
  uint64_t begin, end; /* ticks */
  bool landed;         /* its bytes have moved; the program has not waited for it yet */
} iss_xfer;

#define ISS_MAX_XFERS 256
#define ISS_DMA_JOBS 16 /* the engine's counters: jobs 1 ... 16 */
#define ISS_MAX_JOBS 48 /* the rest are the HyperRAM's */

typedef enum { TRACE_CORE, TRACE_DMA_IN, TRACE_DMA_OUT, TRACE_RAM_READ, TRACE_RAM_WRITE, TRACE_LAYER } iss_trace_kind;

typedef struct {
  uint64_t begin, end; /* ticks */
  uint32_t kind, track, a, b;
} iss_trace_event;

typedef struct {
  int32_t id;
  uint64_t begin, end; /* ticks */
  iss_tally core[ISS_ALL_CORES];
} iss_layer;

typedef struct {
  iss_params p;
  iss_memory l1, l2;
  uint8_t *ram;
  iss_insn *code; /* one per halfword of L2 */
  uint32_t code_count;
  iss_core core[ISS_ALL_CORES];
  uint32_t team;                                 /* cores in the running team; 0: none */
  uint32_t team_running, barrier_seen;           /* cores that have not returned; bit set of those at the barrier */
  uint32_t boot;                                 /* core that started the program */
  bool in_cluster;                               /* the cluster, not the FC, is running */
  uint32_t stack_base, stack_first, stack_other; /* of the cluster's cores: address, bytes of core 0's, of each other */

  /* Clock: ticks in a cycle of each domain, so that both are whole numbers. */
  uint32_t ticks_fc, ticks_cl;
  uint64_t max_cycles, horizon; /* end of the run and of the present slice of it, cycles of the running domain */

  uint64_t queue[ISS_ALL_CORES]; /* running cores, ascending ready time << 4 | id; [0] is the one that runs */
  uint32_t queue_len;

  uint64_t *bank_free;
  uint32_t bank_mask;

  uint8_t *line_state; /* of L2's cache lines: 0 absent, 1 present, 2 being refilled */
  uint64_t *line_ready;
  uint32_t *way_line; /* [set][way] = line + 1 */
  uint32_t line_shift, sets, lfsr, miss_carry;
  uint64_t refill_free;

  iss_xfer xfer[ISS_MAX_XFERS];
  uint32_t xfers;
  uint32_t job_open[ISS_MAX_JOBS + 1]; /* copies under way, plus 1 while open */
  uint64_t dma_free[2], ram_free;      /* ticks */
  uint64_t event_tick, event_cycle;    /* next completion; the latter in cycles of the running domain */
  uint64_t dma_l1_from, dma_l1_until;  /* the DMA's current use of the banks, cluster cycles */
  uint32_t dma_l1_bank;

  bool stop;
  int32_t exit_code;
  bool exited;
  iss_error error;
  int32_t layer;

  char *out;
  size_t out_len, out_cap;
  uint8_t *dump; /* layers' outputs, one after another */
  size_t dump_len, dump_cap;
  bool profile, trace;
  iss_tally *prof;                /* per halfword of code, since the last fold */
  iss_tally *totals;              /* the same, whole run */
  uint32_t prof_first, prof_last; /* halfwords of code that can run */
  uint16_t *function_of;
  uint32_t functions;
  iss_tally *function_rows; /* [row][function]: row 0 is what ran outside layers, row i + 1 is layers[i] */
  size_t function_rows_len, function_rows_cap;
  iss_layer *layers;
  size_t layers_len, layers_cap;
  iss_trace_event *events;
  size_t events_len, events_cap;
} iss_t;

static inline uint32_t iss_pc(const iss_t *s, const iss_insn *in) {
  return s->p.l2_base + 2u * (uint32_t)(in - s->code);
}

/* First cycle from t on in which the word's bank is free; takes it. */
static inline uint64_t iss_take_bank(iss_t *s, uint32_t off, uint64_t t) {
  uint32_t bank = (off >> 2) & s->bank_mask;
  uint64_t grant = s->bank_free[bank] > t ? s->bank_free[bank] : t;
  if (__builtin_expect(grant < s->dma_l1_until, 0) && grant >= s->dma_l1_from) {
    /* The DMA sweeps the banks two words a cycle. */
    uint32_t at = (s->dma_l1_bank + 2u * (uint32_t)(grant - s->dma_l1_from)) & s->bank_mask;
    if (bank == at || bank == ((at + 1u) & s->bank_mask)) grant++;
  }
  s->bank_free[bank] = grant + 1;
  return grant;
}

/* decode.c, rvc.c */
uint32_t iss_expand_compressed(uint32_t half);           /* 0 if there is no such instruction */
void iss_decode(iss_t *s, iss_insn *in);                 /* fills *in from L2 */
void iss_invalidate(iss_t *s, uint32_t off, uint32_t n); /* L2 bytes changed */
const iss_opdef *iss_decode_word(uint32_t word, uint32_t pc, iss_insn *in);
uint32_t iss_reads(const iss_opdef *def, const iss_insn *in); /* bit set of registers */

/* exec.c: runs a core until it has to wait for its turn (a shared access at `limit` or later), blocks or fails. */
void iss_exec(iss_t *s, iss_core *c, uint64_t limit);
void iss_exec_profiled(iss_t *s, iss_core *c, uint64_t limit);

/* memory.c */
typedef struct {
  uint32_t address, size;
  bool store;
  uint32_t value; /* stored, or loaded (zero-extended) */
} iss_access;
/* Cycles that the cluster's access to L2 at t waits while the DMA holds the bandwidth it has booked. */
uint64_t iss_behind_dma(const iss_t *s, uint64_t t);
bool iss_access_slow(iss_t *s, iss_core *c, const iss_insn *in, iss_access *a, uint64_t *t);
iss_memory *iss_memory_at(iss_t *s, uint32_t address, uint32_t bytes); /* NULL if not inside one memory */
void iss_tag(iss_memory *m, uint32_t address, uint32_t bytes, uint8_t set, uint8_t clear);
uint32_t iss_find_tag(const iss_memory *m, uint32_t address, uint32_t bytes, uint8_t tags); /* offset or bytes */
void iss_stall(iss_t *s, iss_core *c, const iss_insn *in, iss_cause cause, uint64_t cycles);

/* icache.c */
bool iss_icache_init(iss_t *s);
uint64_t iss_refill(iss_t *s, uint32_t line, uint64_t t); /* time at which the line is there */

/* csr.c */
bool iss_csr(iss_t *s, iss_core *c, const iss_insn *in, uint64_t t);

/* calls.c */
void iss_call(iss_t *s, iss_core *c, uint64_t *t);
bool iss_magic_return(iss_t *s, iss_core *c, uint32_t target, uint64_t t);
void iss_barrier(iss_t *s, iss_core *c, uint64_t t, uint64_t extra);
void iss_event_load(iss_t *s, iss_core *c, uint64_t *t);

/* transfer.c */
void iss_call_start(iss_t *s, iss_core *c, uint64_t *t);
void iss_call_wait(iss_t *s, iss_core *c, uint64_t *t);
void iss_transfers_complete(iss_t *s, uint64_t tick);
void iss_update_event(iss_t *s);
const iss_xfer *iss_transfer_at(const iss_t *s, uint32_t address); /* the one that holds these bytes, or NULL */

/* sched.c */
typedef enum { RUN_SLICE_OVER, RUN_EXITED, RUN_FAILED } iss_status;
iss_status iss_run(iss_t *s, uint64_t slice);
void iss_start_core(iss_t *s, iss_core *c, uint32_t pc, uint32_t argument, uint64_t t);
void iss_fail(iss_t *s, const iss_core *c, const iss_insn *in, iss_error_code code, uint32_t address, uint32_t size,
              const char *text);
void iss_block(iss_t *s, iss_core *c, iss_cause cause, uint64_t t);
void iss_wake(iss_t *s, iss_core *c, uint64_t t);
uint64_t iss_ticks(const iss_t *s, const iss_core *c, uint64_t cycles);
uint64_t iss_cycles_up(const iss_t *s, const iss_core *c, uint64_t ticks);

/* machine.c */
iss_t *iss_create(const iss_params *p);
void iss_destroy(iss_t *s);
/* Core `boot` begins at `entry`; the program ends when it returns. */
bool iss_start(iss_t *s, uint32_t boot, uint32_t entry, uint64_t max_cycles, bool profile, bool trace);

/* record.c */
void iss_layer_begin(iss_t *s, const iss_core *c, int32_t id, uint64_t t);
void iss_layer_end(iss_t *s, const iss_core *c, int32_t id, uint64_t t);
void iss_trace_add(iss_t *s, iss_trace_event e);
void iss_print(iss_t *s, const uint8_t *text, uint32_t n);
void iss_dump(iss_t *s, const uint8_t *data, uint32_t n);
void iss_fold_profile(iss_t *s, size_t row);
iss_tally iss_core_tally(const iss_t *s, const iss_core *c, uint64_t tick);
bool iss_reserve(void **array, size_t *cap, size_t need, size_t item);

#endif
