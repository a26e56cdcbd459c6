// SPDX-License-Identifier: Apache-2.0
#include "bench/meter.h"

#include "base/clock.h"

static const int64_t STRETCH_NS = 1000000000, FRESH_NS = 10000000;

static void look(struct meter *t)
{
    t->read_rate = machine_read_rate(t->m);
    t->peak_rate = machine_peak_rate(t->m, t->unit);
    t->looked_ns = clock_ns();
}

void meter_begin(struct meter *t)
{
    t->seconds = t->could_read = t->could_compute = 0;
    if (!t->looked_ns || clock_ns() - t->looked_ns > FRESH_NS) look(t);
    t->from_ns = clock_ns();
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Of the looks at both ends the better one counts: in a second a machine hardly drifts, but a probe may be disturbed,
 * and a machine that seems slower than it is makes what was measured seem faster. */
static void end_stretch(struct meter *t)
{
    const double seconds = clock_seconds(t->from_ns, clock_ns()), read = t->read_rate, peak = t->peak_rate;
    look(t);
    t->seconds += seconds;
    t->could_read += seconds * larger(read, t->read_rate);
    t->could_compute += seconds * larger(peak, t->peak_rate);
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
