// SPDX-License-Identifier: Apache-2.0
#include "bench/meter.h"

#include "base/clock.h"

static const int64_t STRETCH_NS = 1000000000;

static void look(struct meter *t)
{
    t->read_rate = machine_read_rate(t->m);
    t->peak_rate = machine_peak_rate(t->m, t->unit);
}

void meter_begin(struct meter *t, struct machine *m, enum probe_unit unit)
{
    *t = (struct meter){.m = m, .unit = unit};
    look(t);
    t->from_ns = clock_ns();
}

/* Rates are taken to change evenly from one look to the next. */
static void end_stretch(struct meter *t)
{
    const double seconds = clock_seconds(t->from_ns, clock_ns()), read = t->read_rate, peak = t->peak_rate;
    look(t);
    t->seconds += seconds;
    t->could_read += seconds * (read + t->read_rate) / 2;
    t->could_compute += seconds * (peak + t->peak_rate) / 2;
}

void meter_look(struct meter *t)
{
    if (clock_ns() - t->from_ns < STRETCH_NS) return;
    end_stretch(t);
    t->from_ns = clock_ns();
}

void meter_end(struct meter *t)
{
    end_stretch(t);
}
