// SPDX-License-Identifier: Apache-2.0
/* Speed as a fraction of the machine's: a prompt through the model, or tokens one after the other, by the very steps
 * that generation and scoring take, with the machine measured around them.
 *
 * The floor of a row is the longer of two times: all bytes that must be read (weights once a step, the K/V that is
 * seen) at the rate memory can be read, and all FLOP that were done at the peak of the unit that did them. What fits a
 * cache several times over is not read from memory at all; where a step reads less than CACHES last-level caches, only
 * the second counts. */
#ifndef GPTJT_BENCH_BENCH_H
#define GPTJT_BENCH_BENCH_H

#include "bench/machine.h"
#include "engine/engine.h"
#include "ops/counted.h"

enum { BENCH_CACHES = 8, BENCH_MAX_REPEATS = 100 };

enum bench_phase { BENCH_PREFILL, BENCH_DECODE };

extern const char *const bench_phase_names[]; /* "prefill", "decode" */

/* tokens of tokens are done; false to stop. */
typedef bool bench_progress_fn(void *user, size_t done);

struct bench {
    struct machine *machine;
    struct gptjt_engine *engine; /* after bench_count() */
    enum probe_unit unit;        /* what products are computed by */
    int repeats;
    bench_progress_fn *progress;
    void *user;
};

/* Puts a counting backend around that of an engine without sessions. */
enum status bench_count(struct gptjt_engine *e);

/* The run that is the median by fraction, so that its numbers belong together. */
struct bench_row {
    enum bench_phase phase;
    int prompt, batch; /* decoding: the context it starts from, and how many sequences go on from it */
    double seconds;    /* a whole prompt, or a decoding step */
    double tokens_per_s, bytes_per_s, flop_per_s, fraction;
    bool memory;                 /* the floor is reading, not computing */
    double read_rate, peak_rate; /* the machine's meanwhile */
    struct ops_counts counts;    /* of all runs, and their time */
    double counted_s;
};

/* A prompt of n tokens and the logits of its last one. */
enum status bench_prefill(struct bench_row *out, const struct bench *b, int n);

/* steps steps of batch sequences, each after a context of its own. */
enum status bench_decode(struct bench_row *out, const struct bench *b, int context, int batch, int steps);

#endif
