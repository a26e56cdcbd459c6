// SPDX-License-Identifier: Apache-2.0
#include "dist/outer_mean.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dist/wire.h"

static struct group *peers_of(const struct outer_mean *m)
{
    return m->o->c.peers;
}

static const struct outer_part *part_of(const struct outer_mean *m, int part)
{
    return &m->o->parts[part];
}

/* ---- Opening ---- */

static enum status open_bounds(struct outer_mean *m)
{
    const int members = peers_of(m)->n;
    m->bounds = calloc((size_t)m->o->n_parts * ((size_t)members + 1), sizeof *m->bounds);
    if (!m->bounds) return fail(E_NOMEM, "outer optimizer: out of memory");
    size_t *next = m->bounds;
    for (int part = 0; part < m->o->n_parts; part++)
        for (int member = 0; member <= members; member++)
            *next++ = group_chunk(part_of(m, part)->n, members, member);
    return OK;
}

static const size_t *bounds_of(const struct outer_mean *m, int part)
{
    return m->bounds + (size_t)part * ((size_t)peers_of(m)->n + 1);
}

static struct mean_codec codec_of(const struct recipe *r)
{
    return (struct mean_codec){.values = wire_of_deltas((enum train_wire)r->sync_wire)};
}

bool outer_mean_is_direct(const struct recipe *r)
{
    return r->sync_wire != TRAIN_WIRE_FP32;
}

enum status outer_mean_open(struct outer_mean *m, struct outer *o)
{
    const size_t n = o->c.params->n_values, chunk = group_chunk(o->most, o->c.peers->n, 1);
    const struct mean_codec codec = codec_of(o->c.recipe);
    *m = (struct outer_mean){.o = o, .part = -1, .narrow = outer_mean_is_direct(o->c.recipe) && o->c.peers->n > 1};
    if (!m->narrow) return OK;
    m->left = calloc(n, sizeof *m->left);
    m->error = calloc(n, sizeof *m->error);
    m->owned = malloc(chunk * sizeof *m->owned);
    if (!m->left || !m->error || !m->owned)
        return fail(E_NOMEM, "outer optimizer: out of memory for %zu parameters", n);
    TRY(open_bounds(m));
    return compressed_mean_open(&m->mean, o->c.peers, o->most, chunk, &codec);
}

void outer_mean_close(struct outer_mean *m)
{
    compressed_mean_close(&m->mean);
    free(m->left);
    free(m->error);
    free(m->owned);
    free(m->bounds);
}

/* ---- What is left out ---- */

static void keep_left(struct outer_mean *m, const struct outer_part *p)
{
    for (int k = 0; k < p->n_pieces; k++) {
        const float *delta = m->o->delta + p->pieces[k].begin, *sent = m->mean.sent + p->pieces[k].begin;
        float *left = m->left + p->pieces[k].at;
        for (size_t i = 0; i < p->pieces[k].n; i++)
            left[i] = delta[i] - sent[i];
    }
}

/* Between error and owned, the values of the part that are in this member's chunk. */
static void move_error(struct outer_mean *m, int part, bool back)
{
    const struct outer_part *p = part_of(m, part);
    const size_t *bounds = bounds_of(m, part) + peers_of(m)->me, begin = bounds[0], end = bounds[1];
    if (!back) memset(m->owned, 0, (end - begin) * sizeof *m->owned);
    for (int k = 0; k < p->n_pieces; k++) {
        const struct outer_piece *piece = &p->pieces[k];
        const size_t from = piece->begin > begin ? piece->begin : begin;
        const size_t to = piece->begin + piece->n < end ? piece->begin + piece->n : end;
        if (from >= to) continue;
        float *error = m->error + piece->at + (from - piece->begin), *owned = m->owned + (from - begin);
        memcpy(back ? error : owned, back ? owned : error, (to - from) * sizeof *owned);
    }
}

/* ---- The mean ---- */

static enum status begin_narrow(struct outer_mean *m, int part)
{
    outer_add_left(m->o, part, m->left, 1);
    move_error(m, part, false);
    TRY(compressed_mean_begin(&m->mean, m->o->delta, bounds_of(m, part), m->owned));
    keep_left(m, part_of(m, part));
    return OK;
}

enum status outer_mean_begin(struct outer_mean *m, int part)
{
    const size_t n = part_of(m, part)->n;
    assert(m->part < 0);
    m->part = part;
    if (!m->narrow) return group_begin_allreduce(peers_of(m), NET_SYNC, m->o->delta, n);
    return n ? begin_narrow(m, part) : OK;
}

void outer_mean_progress(struct outer_mean *m)
{
    bool done;
    if (m->part < 0) return;
    if (m->narrow)
        compressed_mean_progress(&m->mean);
    else
        (void)group_test(peers_of(m), &done); /* a failure is the transport's to keep */
}

static enum status finish_dense(struct outer_mean *m, size_t n)
{
    const float share = 1.0F / (float)peers_of(m)->n;
    TRY(group_wait(peers_of(m)));
    for (size_t i = 0; i < n; i++)
        m->o->delta[i] *= share;
    return OK;
}

enum status outer_mean_finish(struct outer_mean *m)
{
    const int part = m->part;
    const size_t n = part_of(m, part)->n;
    m->part = -1;
    if (!m->narrow) return finish_dense(m, n);
    if (!n) return OK;
    TRY(compressed_mean_finish(&m->mean, m->o->delta));
    move_error(m, part, true);
    return OK;
}

struct part_shape {
    size_t values;
    int n;
};

static size_t chunk_values(const void *user, int c)
{
    const struct part_shape *p = user;
    return group_chunk(p->values, p->n, c + 1) - group_chunk(p->values, p->n, c);
}

size_t outer_mean_bytes(const struct sync_shape *s, size_t values)
{
    const struct part_shape part = {values, s->n};
    const struct mean_codec codec = codec_of(s->recipe);
    if (!outer_mean_is_direct(s->recipe)) return group_allreduce_bytes(s->n, s->me, values, sizeof(float), NULL);
    return values ? compressed_mean_bytes(&codec, s->n, s->me, chunk_values, &part) : 0;
}

size_t outer_mean_memory(const struct sync_shape *s, size_t most)
{
    const size_t chunk = group_chunk(most, s->n, 1);
    const struct mean_codec codec = codec_of(s->recipe);
    if (!outer_mean_is_direct(s->recipe) || s->n == 1) return 0;
    return (2 * s->all + chunk) * sizeof(float) + compressed_mean_memory(&codec, s->n, most, chunk);
}

int outer_mean_vectors(const struct outer_mean *m, struct team_vector *out)
{
    if (!m->narrow) return 0;
    out[0] = (struct team_vector){"worker_error", m->left};
    out[1] = (struct team_vector){"server_error", m->error};
    return 2;
}
