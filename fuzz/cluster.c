// SPDX-License-Identifier: Apache-2.0
/* Hostile cluster files: what is accepted can be planned with and simulated, what is refused says so in one line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dist/placement_search.h"
#include "dist/placement_show.h"

enum { MAX_TRIED = 64 }; /* devices: what costs n^2 stays small */

static void require(bool promise)
{
    if (!promise) abort();
}

static void check_machines(const struct cluster *c)
{
    int devices = 0;
    require(c->n_machines >= 1 && c->n_devices <= CLUSTER_MAX_DEVICES);
    for (int i = 0; i < c->n_machines; i++) {
        const struct cluster_machine *m = &c->machines[i];
        require(m->first_device == devices && m->n_devices >= 1 && *m->host);
        require(isfinite(m->flops_per_s) && m->flops_per_s > 0 && isfinite(m->memory_bytes) && m->memory_bytes > 0);
        require(m->nic_bytes_per_s > 0 && m->region >= 0 && m->region < c->n_regions);
        devices += m->n_devices;
    }
    require(devices == c->n_devices);
}

static void check_links(const struct cluster *c)
{
    for (int i = 0; i < c->n_devices; i++) {
        for (int k = 0; k < c->n_devices; k++) {
            const struct shaped_link l = cluster_link(c, i, k);
            require(i == k || (isfinite(l.bytes_per_s) && l.bytes_per_s > 0));
            require(isfinite(l.latency_s) && l.latency_s >= 0);
        }
    }
}

static void check_plan(const struct cluster *c)
{
    const struct placement_task task = {c->n_devices > 1 ? 2 : 1, c->n_devices > 3 ? 2 : 1, 1e9, 1e9};
    const struct placement_search search = {.seed = 1, .restarts = 1, .moves = 200, .limit_s = INFINITY};
    struct placement_model *m;
    struct placement p;
    struct placement_found found;
    struct buf shown = {0};
    require(placement_model_create(&m, &task, c) == OK && placement_create(&p, &task, c->n_devices) == OK);
    require(placement_search(&p, m, &search, &found) == OK);
    require(isfinite(found.cost.total_s) && found.cost.total_s >= 0);
    placement_table(&shown, &p, c);
    placement_rankfile(&shown, &p, c);
    placement_hostfile(&shown, &p, c);
    placement_svg(&shown, &p, c);
    require(buf_status(&shown) == OK);
    buf_free(&shown);
    placement_free(&p);
    placement_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster c;
    if (cluster_read_text(&c, (const char *)data, size, "fuzz.yaml") == OK) {
        check_machines(&c);
        if (c.n_devices <= MAX_TRIED) {
            check_links(&c);
            check_plan(&c);
        }
        cluster_free(&c);
    } else {
        require(!strncmp(status_message(), "fuzz.yaml", 9) && !strchr(status_message(), '\n'));
    }
    return 0;
}
