// SPDX-License-Identifier: Apache-2.0
#include "dist/placement_show.h"

#include <stdio.h>
#include <string.h>

static const struct cluster_machine *machine_of(const struct cluster *c, int device)
{
    return &c->machines[c->hosts[device]];
}

/* ---- Table ---- */

enum { MAX_CELL = CLUSTER_HOST_BYTES + 8 };

static void name_device(char text[MAX_CELL], const struct cluster *c, int device)
{
    const struct cluster_machine *m = machine_of(c, device);
    if (m->n_devices > 1)
        snprintf(text, MAX_CELL, "%s:%d", m->host, device - m->first_device);
    else
        snprintf(text, MAX_CELL, "%s", m->host);
}

static int widest(const struct placement *p, const struct cluster *c, int stage)
{
    char text[MAX_CELL];
    int width = snprintf(text, sizeof text, "stage %d", stage);
    for (int r = 0; r < p->replicas; r++) {
        name_device(text, c, placement_device(p, stage, r));
        if ((int)strlen(text) > width) width = (int)strlen(text);
    }
    return width;
}

static void put_column(char text[MAX_CELL], const struct placement *p, const struct cluster *c, int stage, int replica)
{
    if (replica < 0)
        snprintf(text, MAX_CELL, "stage %d", stage);
    else
        name_device(text, c, placement_device(p, stage, replica));
}

static void put_link(struct buf *out, const struct cluster *c, int from, int to)
{
    char a[MAX_CELL], b[MAX_CELL];
    const struct shaped_link l = cluster_link(c, from, to);
    name_device(a, c, from);
    name_device(b, c, to);
    buf_printf(out, "%.4g Gbps, %.4g ms (%s to %s)", l.bytes_per_s * 8e-9, l.latency_s * 1e3, a, b);
}

static bool is_slower(const struct cluster *c, int from, int to, int slowest_from, int slowest_to)
{
    const struct shaped_link a = cluster_link(c, from, to), b = cluster_link(c, slowest_from, slowest_to);
    if (a.bytes_per_s < b.bytes_per_s) return true;
    return a.bytes_per_s <= b.bytes_per_s && a.latency_s > b.latency_s;
}

/* Of one stage's replicas among each other. */
static void put_group(struct buf *out, const struct placement *p, const struct cluster *c, int stage)
{
    int from = placement_device(p, stage, 0), to = from; /* to itself nothing is slow */
    for (int i = 0; i < p->replicas; i++) {
        for (int k = 0; k < p->replicas; k++) {
            const int a = placement_device(p, stage, i), b = placement_device(p, stage, k);
            if (!is_slower(c, a, b, from, to)) continue;
            from = a;
            to = b;
        }
    }
    if (from == to) return;
    buf_printf(out, "; replicas average over ");
    put_link(out, c, from, to);
}

static void put_step(struct buf *out, const struct placement *p, const struct cluster *c, int stage)
{
    int from = placement_device(p, stage, 0), to = placement_device(p, stage + 1, 0);
    for (int r = 1; r < p->replicas; r++) {
        const int a = placement_device(p, stage, r), b = placement_device(p, stage + 1, r);
        if (!is_slower(c, a, b, from, to)) continue;
        from = a;
        to = b;
    }
    buf_puts(out, "; to the next ");
    put_link(out, c, from, to);
}

void placement_table(struct buf *out, const struct placement *p, const struct cluster *c)
{
    char text[MAX_CELL];
    for (int r = -1; r < p->replicas; r++) {
        if (r < 0)
            buf_puts(out, "replica");
        else
            buf_printf(out, "%7d", r);
        for (int s = 0; s < p->stages; s++) {
            put_column(text, p, c, s, r);
            buf_printf(out, "  %-*s", s + 1 < p->stages ? widest(p, c, s) : 0, text);
        }
        buf_puts(out, "\n");
    }
    buf_puts(out, "slowest links:\n");
    for (int s = 0; s < p->stages; s++) {
        buf_printf(out, "stage %d", s);
        put_group(out, p, c, s);
        if (s + 1 < p->stages) put_step(out, p, c, s);
        buf_puts(out, "\n");
    }
}

/* ---- Files for mpirun ---- */

void placement_rankfile(struct buf *out, const struct placement *p, const struct cluster *c)
{
    for (int rank = 0; rank < placement_ranks(p); rank++) {
        const struct cluster_machine *m = machine_of(c, p->devices[rank]);
        const int k = p->devices[rank] - m->first_device;
        const int first = m->cores ? k * m->cores / m->n_devices : k;
        const int last = m->cores ? (k + 1) * m->cores / m->n_devices - 1 : k;
        buf_printf(out, "rank %d=%s slot=%d", rank, m->host, first);
        if (last > first) buf_printf(out, "-%d", last);
        buf_puts(out, "\n");
    }
}

void placement_hostfile(struct buf *out, const struct placement *p, const struct cluster *c)
{
    for (int i = 0; i < c->n_machines; i++) {
        int slots = 0;
        for (int rank = 0; rank < placement_ranks(p); rank++)
            slots += c->hosts[p->devices[rank]] == i;
        if (slots) buf_printf(out, "%s slots=%d\n", c->machines[i].host, slots);
    }
}
