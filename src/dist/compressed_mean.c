// SPDX-License-Identifier: Apache-2.0
#include "dist/compressed_mean.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CONTRIBUTIONS, RESULTS, PHASES, IDLE };

/* What is exchanged with a member in a phase: a size, where it is not known beforehand, and a message of that size. */
struct mean_peer {
    struct net_request size_in, in, size_out[PHASES], out[PHASES];
    uint32_t bytes_in, bytes_out[PHASES];
    bool expected, arrived; /* the message's receive has been started; is done */
};

/* ---- A chunk's message ---- */

static struct sparse sparse_of(const struct mean_codec *c, size_t n)
{
    return (struct sparse){
        .positions = {.code = c->positions, .n = n, .chunk = n, .keep = sparse_cocktail_keep(n, c->keep, c->multiple)},
        .values = c->values};
}

/* Exactly, unless sizes vary. */
static size_t message_bytes(const struct mean_codec *c, size_t n)
{
    if (!c->sparse) return dense_bytes(&c->values, 1, n);
    const struct sparse s = sparse_of(c, n);
    return sparse_max_bytes(&s);
}

static bool sizes_vary(const struct compressed_mean *m)
{
    return m->codec.sparse && m->codec.positions == POSITIONS_GOLOMB;
}

static void spread(float *x, size_t n, const struct sparse *s, const struct sparse_entries *e)
{
    memset(x, 0, n * sizeof *x);
    for (size_t i = 0; i < positions_count(&s->positions); i++)
        x[e->index[i]] = e->value[i];
}

static enum status decode(struct compressed_mean *m, float *x, size_t n, const uint8_t *in, size_t bytes)
{
    if (!m->codec.sparse) return dense_decode(x, &m->codec.values, 1, n, in, bytes);
    const struct sparse s = sparse_of(&m->codec, n);
    TRY(sparse_decode(&m->entries, &s, in, bytes));
    spread(x, n, &s, &m->entries);
    return OK;
}

/* said [n] = what the message says of x. Returns its size. */
static size_t encode(struct compressed_mean *m, uint8_t *out, const float *x, float *said, size_t n)
{
    if (!m->codec.sparse) {
        const size_t bytes = dense_bytes(&m->codec.values, 1, n);
        dense_encode(out, &m->codec.values, x, 1, n);
        const enum status s = dense_decode(said, &m->codec.values, 1, n, out, bytes);
        assert(s == OK); /* its own bytes */
        (void)s;
        return bytes;
    }
    const struct sparse s = sparse_of(&m->codec, n);
    const size_t bytes = sparse_encode(out, &s, x, &m->entries);
    spread(said, n, &s, &m->entries);
    return bytes;
}

/* ---- Opening ---- */

void compressed_mean_close(struct compressed_mean *m)
{
    free(m->sent);
    free(m->in);
    free(m->out);
    free(m->peers);
    free(m->entries.index);
    free(m->entries.value);
    free(m->row);
    free(m->sum);
    *m = (struct compressed_mean){0};
}

enum status compressed_mean_open(struct compressed_mean *m, struct group *g, size_t n, size_t most,
                                 const struct mean_codec *codec)
{
    const size_t members = (size_t)g->n;
    *m = (struct compressed_mean){.g = g, .codec = *codec, .n = n, .most = most, .phase = IDLE};
    TRY(dense_check(&codec->values));
    m->max_bytes = message_bytes(codec, most);
    m->sent = calloc(n, sizeof *m->sent);
    m->in = malloc(members * m->max_bytes);
    m->out = malloc(members * m->max_bytes);
    m->peers = calloc(members, sizeof *m->peers);
    m->entries.index = malloc(most * sizeof *m->entries.index);
    m->entries.value = malloc(most * sizeof *m->entries.value);
    m->row = malloc(most * sizeof *m->row);
    m->sum = malloc(most * sizeof *m->sum);
    if (m->sent && m->in && m->out && m->peers && m->entries.index && m->entries.value && m->row && m->sum) return OK;
    compressed_mean_close(m);
    return fail(E_NOMEM, "out of memory to compress %zu values", n);
}

/* ---- Messages ---- */

static size_t chunk_values(const struct compressed_mean *m, int member)
{
    return m->bounds[member + 1] - m->bounds[member];
}

static int rank_of(const struct compressed_mean *m, int member)
{
    return m->g->first + member * m->g->stride;
}

static uint8_t *in_of(const struct compressed_mean *m, int member)
{
    return m->in + (size_t)member * m->max_bytes;
}

static uint8_t *out_of(const struct compressed_mean *m, int member)
{
    return m->out + (size_t)member * m->max_bytes;
}

/* Starts to receive a message about n values. */
static enum status expect(struct compressed_mean *m, int member, size_t n)
{
    struct mean_peer *p = &m->peers[member];
    p->expected = p->arrived = false;
    if (sizes_vary(m))
        return net_recv(m->g->t, &p->size_in, rank_of(m, member), NET_CONTROL, m->g->tag, &p->bytes_in,
                        sizeof p->bytes_in);
    p->expected = true;
    p->bytes_in = (uint32_t)message_bytes(&m->codec, n);
    return net_recv(m->g->t, &p->in, rank_of(m, member), NET_SYNC, m->g->tag, in_of(m, member), p->bytes_in);
}

static enum status send(struct compressed_mean *m, int member, const uint8_t *message, size_t bytes)
{
    struct mean_peer *p = &m->peers[member];
    struct transport *t = m->g->t;
    const int to = rank_of(m, member), tag = m->g->tag;
    uint32_t *size = &p->bytes_out[m->phase];
    *size = (uint32_t)bytes;
    if (sizes_vary(m)) TRY(net_send(t, &p->size_out[m->phase], to, NET_CONTROL, tag, size, sizeof *size));
    return net_send(t, &p->out[m->phase], to, NET_SYNC, tag, message, bytes);
}

/* Whether a member's message has come. */
static enum status look(struct compressed_mean *m, int member, bool wait)
{
    struct mean_peer *p = &m->peers[member];
    struct transport *t = m->g->t;
    bool done = true;
    if (!p->expected) {
        if (wait)
            TRY(net_wait(t, &p->size_in));
        else
            TRY(net_test(t, &p->size_in, &done));
        if (!done) return OK;
        if (p->bytes_in > m->max_bytes)
            return fail(E_FORMAT, "rank %d announces a message of %u bytes, %zu are the most", rank_of(m, member),
                        (unsigned)p->bytes_in, m->max_bytes);
        p->expected = true;
        TRY(net_recv(t, &p->in, rank_of(m, member), NET_SYNC, m->g->tag, in_of(m, member), p->bytes_in));
    }
    if (wait)
        TRY(net_wait(t, &p->in));
    else
        TRY(net_test(t, &p->in, &done));
    p->arrived = done;
    return OK;
}

static enum status look_at_all(struct compressed_mean *m, bool wait, bool *all)
{
    *all = true;
    for (int member = 0; member < m->g->n; member++) {
        if (member == m->g->me || m->peers[member].arrived) continue;
        TRY(look(m, member, wait));
        *all &= m->peers[member].arrived;
    }
    return OK;
}

/* ---- Phases ---- */

enum status compressed_mean_begin(struct compressed_mean *m, const float *x, const size_t *bounds, float *error)
{
    const int me = m->g->me;
    assert(m->phase == IDLE && bounds[m->g->n] <= m->n);
    m->bounds = bounds;
    m->error = error;
    m->status = OK;
    m->phase = CONTRIBUTIONS;
    for (int member = 0; member < m->g->n; member++)
        if (member != me) TRY(expect(m, member, chunk_values(m, me)));
    for (int member = 0; member < m->g->n; member++) {
        const size_t at = bounds[member];
        const size_t bytes = encode(m, out_of(m, member), x + at, m->sent + at, chunk_values(m, member));
        if (member != me) TRY(send(m, member, out_of(m, member), bytes));
    }
    return OK;
}

/* The owner's part: the mean of all contributions in the order of members, with what was left out the last time. */
static enum status own_result(struct compressed_mean *m)
{
    const int me = m->g->me;
    const size_t n = chunk_values(m, me);
    memset(m->sum, 0, n * sizeof *m->sum);
    for (int member = 0; member < m->g->n; member++) {
        if (member == me)
            memcpy(m->row, m->sent + m->bounds[me], n * sizeof *m->row);
        else
            TRY(decode(m, m->row, n, in_of(m, member), m->peers[member].bytes_in));
        for (size_t i = 0; i < n; i++)
            m->sum[i] += m->row[i];
    }
    const float share = 1.0F / (float)m->g->n;
    for (size_t i = 0; i < n; i++)
        m->sum[i] = m->sum[i] * share + m->error[i];
    const size_t bytes = encode(m, out_of(m, me), m->sum, m->row, n);
    for (size_t i = 0; i < n; i++)
        m->error[i] = m->sum[i] - m->row[i];
    m->phase = RESULTS;
    for (int member = 0; member < m->g->n; member++)
        if (member != me) TRY(expect(m, member, chunk_values(m, member)));
    for (int member = 0; member < m->g->n; member++)
        if (member != me) TRY(send(m, member, out_of(m, me), bytes));
    m->peers[me].bytes_in = (uint32_t)bytes;
    return OK;
}

static enum status go_on(struct compressed_mean *m, bool wait)
{
    bool all;
    if (m->phase == CONTRIBUTIONS) {
        TRY(look_at_all(m, wait, &all));
        if (!all) return OK;
        TRY(own_result(m));
    }
    return look_at_all(m, wait, &all);
}

void compressed_mean_progress(struct compressed_mean *m)
{
    if (m->phase != IDLE && m->status == OK) m->status = go_on(m, false);
}

enum status compressed_mean_finish(struct compressed_mean *m, float *mean)
{
    const int me = m->g->me;
    assert(m->phase != IDLE);
    TRY(m->status);
    TRY(go_on(m, true));
    for (int member = 0; member < m->g->n; member++)
        TRY(decode(m, mean + m->bounds[member], chunk_values(m, member),
                   member == me ? out_of(m, me) : in_of(m, member), m->peers[member].bytes_in));
    for (int member = 0; member < m->g->n; member++) {
        TRY(net_wait_all(m->g->t, m->peers[member].out, PHASES));
        TRY(net_wait_all(m->g->t, m->peers[member].size_out, PHASES));
    }
    m->phase = IDLE;
    return OK;
}

/* Its part of each other chunk, and its own chunk's result to all others. */
size_t compressed_mean_bytes(const struct mean_codec *codec, int n, int me, mean_chunk_fn *chunk, const void *user)
{
    const size_t result = message_bytes(codec, chunk(user, me));
    size_t bytes = 0;
    for (int c = 0; c < n; c++)
        if (c != me) bytes += message_bytes(codec, chunk(user, c)) + result;
    return bytes;
}

size_t compressed_mean_memory(const struct mean_codec *codec, int members, size_t n, size_t most)
{
    const size_t entry = sizeof(uint32_t) + sizeof(float);
    return n * sizeof(float) + most * (entry + 2 * sizeof(float)) +
           (size_t)members * (2 * message_bytes(codec, most) + sizeof(struct mean_peer));
}
