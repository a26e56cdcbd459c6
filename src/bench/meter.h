// SPDX-License-Identifier: Apache-2.0
/* A stopwatch that looks at the machine before, after and about once a second between, and adds up what it could have
 * read and computed in the time that was measured. Its own looking is not part of that time. The fraction of the floor
 * is then what was done over what could have been done by the same machine in the same seconds. */
#ifndef GPTJT_BENCH_METER_H
#define GPTJT_BENCH_METER_H

#include "bench/machine.h"

struct meter {
    struct machine *m;
    enum probe_unit unit;
    int64_t from_ns;             /* the measured stretch began then, when the machine's rates were ... */
    double read_rate, peak_rate; /* ... as looked at then, or just before: */
    int64_t looked_ns;
    double seconds, could_read, could_compute; /* so far: bytes, operations */
};

/* t has m and unit set and the rest zero, or is used again: measurements that follow each other share a look. */
void meter_begin(struct meter *t);
void meter_look(struct meter *t); /* call often between pieces of work */
void meter_end(struct meter *t);

#endif
