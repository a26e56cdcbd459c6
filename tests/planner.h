// SPDX-License-Identifier: Apache-2.0
/* What tests of the planner share. */
#ifndef GPTJT_TESTS_PLANNER_H
#define GPTJT_TESTS_PLANNER_H

#include <math.h>
#include <string.h>

#include "dist/cluster.h"
#include "dist/placement.h"
#include "test.h"

/* The example of dist/cluster.h. Devices: attic 0 and 1, cellar 2, node1 .. node8 3 .. 10. */
static const char homes[] = "machine: {tflops: 35, memory_gb: 24}\n"
                            "link: {gbps: 0.1, latency_ms: 25}\n"
                            "machines:\n"
                            "  - {name: attic, region: home, devices: 2, cores: 8}\n"
                            "  - {name: cellar, region: home, tflops: 82}\n"
                            "  - {name: node, region: office, count: 8}\n"
                            "links:\n"
                            "  - {within: [home, office], gbps: 1, latency_ms: 0.3}\n"
                            "  - {between: [attic, office], gbps: 0.5}\n"
                            "  - {from: office, to: home, gbps: 0.02}\n";

static inline void read_text(struct cluster *c, const char *text)
{
    if (cluster_read_text(c, text, strlen(text), "t.yaml") != OK) fail_msg("%s: %s", text, status_message());
}

/* relative: of the larger one. */
static inline void assert_near(double a, double b, double relative)
{
    if (!(fabs(a - b) <= relative * fmax(fabs(a), fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

static inline void assert_each_device_once(const struct placement *p, int n_devices)
{
    int *rank_of = calloc((size_t)n_devices, sizeof *rank_of), used = 0;
    assert_non_null(rank_of);
    placement_invert(rank_of, p, n_devices);
    for (int i = 0; i < n_devices; i++) {
        if (rank_of[i] < 0) continue;
        assert_int_equal(p->devices[rank_of[i]], i);
        used++;
    }
    assert_int_equal(used, placement_ranks(p));
    free(rank_of);
}

#endif
