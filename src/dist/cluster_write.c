// SPDX-License-Identifier: Apache-2.0
#include "dist/cluster_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double bytes_per_gbit = 1e9 / 8;

struct number {
    char text[32];
};

static struct number number(double x, double least, double most)
{
    struct number n;
    snprintf(n.text, sizeof n.text, "%.6g", fmin(fmax(x, least), most));
    return n;
}

static struct number gbps(double bytes_per_s)
{
    return number(bytes_per_s / bytes_per_gbit, 1e-6, 1e6);
}

static struct number ms(double seconds)
{
    return number(seconds * 1e3, 0, 1e5);
}

/* "-" and what is not allowed; "host" for nothing at all. */
static void put_name(struct buf *out, const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!*name) buf_puts(out, "host");
    for (const char *at = name; *at; at++)
        buf_printf(out, "%c", strchr(allowed, *at) && (at > name || *at != '-') ? *at : '_');
}

static void put_machine(struct buf *out, const struct measured_machine *m, const struct net_measured_link *inside,
                        double card)
{
    buf_puts(out, "  - {name: \"");
    put_name(out, m->name);
    buf_printf(out, "\", devices: %d", m->devices);
    if (m->cores >= m->devices) buf_printf(out, ", cores: %d", m->cores);
    buf_printf(out, ", tflops: %s, memory_gb: %s", number(m->flops_per_s / 1e12, 1e-6, 1e6).text,
               number(m->memory_bytes / 1e9, 1e-3, 1e6).text);
    if (isfinite(card)) buf_printf(out, ", nic_gbps: %s", gbps(card).text);
    if (m->devices > 1)
        buf_printf(out, ", inside_gbps: %s, inside_latency_ms: %s", gbps(inside->bytes_per_s).text,
                   ms(inside->latency_s).text);
    buf_puts(out, "}\n");
}

static void put_ends(struct buf *out, const char *before, const struct measured_machine *a, const char *between,
                     const struct measured_machine *b)
{
    buf_puts(out, before);
    put_name(out, a->name);
    buf_puts(out, between);
    put_name(out, b->name);
}

/* One line where both ways are as fast, else one of each rate. */
static void put_pair(struct buf *out, const struct measured_machine *a, const struct measured_machine *b,
                     const struct net_measured_link *to, const struct net_measured_link *back)
{
    const struct number up = gbps(to->bytes_per_s), down = gbps(back->bytes_per_s);
    put_ends(out, "  - {between: [\"", a, "\", \"", b);
    buf_printf(out, "\"], latency_ms: %s, gbps: %s}\n", ms((to->latency_s + back->latency_s) / 2).text, up.text);
    if (!strcmp(up.text, down.text)) return;
    put_ends(out, "  - {from: \"", b, "\", to: \"", a);
    buf_printf(out, "\", gbps: %s}\n", down.text);
}

void cluster_write(struct buf *out, const struct measured_machine *machines, int n,
                   const struct net_measured_link *links, const double *cards)
{
    buf_puts(out, "# Measured by gptjt plan --measure.\nname: measured\nmachines:\n");
    for (int i = 0; i < n; i++)
        put_machine(out, &machines[i], &links[i * n + i], cards[i]);
    if (n > 1) buf_puts(out, "links:\n");
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++)
            put_pair(out, &machines[i], &machines[k], &links[i * n + k], &links[k * n + i]);
}
