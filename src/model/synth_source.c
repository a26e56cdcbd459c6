// SPDX-License-Identifier: Apache-2.0
#include "model/synth_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/source_file.h"
#include "model/gptj.h"

/* BLOCK is more than a last-level cache holds. A PIECE is what one task copies, and a huge page. */
enum { BLOCK = 64 << 20, PIECE = 2 << 20, ALIGNMENT = 64, VALUES_A_TASK = 1 << 17 };

struct synth_source {
    struct source base; /* first; entries' names are owned */
    const struct synth *synth;
    char *matrices, *vectors; /* one after the other */
    size_t matrix_bytes, vector_bytes;
    size_t matrices_at, vectors_at; /* while they are laid out */
};

static void synth_source_close(struct source *s)
{
    struct synth_source *m = (struct synth_source *)s;
    for (int i = 0; i < s->n_entries; i++)
        free((void *)(uintptr_t)s->entries[i].name);
    free(s->entries);
    if (m->matrices) munmap(m->matrices, m->matrix_bytes);
    free(m->vectors);
    free(m);
}

static const struct source_ops synth_ops = {"synthetic", synth_source_close};

/* ---- Layout ---- */

static size_t padded(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static size_t spec_bytes(const struct synth_source *m, const struct gptj_tensor_spec *spec)
{
    if (spec->n_dims == 1) return padded((size_t)spec->shape[0] * sizeof(float), ALIGNMENT);
    return padded((size_t)spec->shape[0] * (size_t)spec->shape[1] * dtype_bytes(m->synth->dtype), ALIGNMENT);
}

static enum status measure(void *user, const struct gptj_tensor_spec *spec)
{
    struct synth_source *m = user;
    *(spec->n_dims == 1 ? &m->vector_bytes : &m->matrix_bytes) += spec_bytes(m, spec);
    m->base.n_entries++;
    return OK;
}

static enum status place(void *user, const struct gptj_tensor_spec *spec)
{
    struct synth_source *m = user;
    const bool vector = spec->n_dims == 1;
    size_t *at = vector ? &m->vectors_at : &m->matrices_at;
    struct source_entry *e = &m->base.entries[m->base.n_entries];
    e->name = strdup(spec->name);
    if (!e->name) return fail(E_NOMEM, "synthetic model: out of memory");
    e->tensor = (struct tensor){.data = (vector ? m->vectors : m->matrices) + *at,
                                .dtype = vector ? DTYPE_F32 : m->synth->dtype,
                                .n_dims = spec->n_dims,
                                .shape = {spec->shape[0], spec->shape[1]}};
    if (vector) {
        struct synth s = *m->synth;
        s.dtype = DTYPE_F32;
        synth_values(m->vectors + *at, &s, m->base.n_entries, synth_mean(spec->name), 0, spec->shape[0]);
    }
    *at += spec_bytes(m, spec);
    m->base.n_entries++;
    return OK;
}

/* ---- Matrices ---- */

struct filling {
    const struct synth *synth;
    char *to;
    const char *block;
    size_t bytes;
};

static void make_values(void *user, int task, int thread)
{
    (void)thread;
    const struct filling *f = user;
    const int64_t begin = (int64_t)task * VALUES_A_TASK;
    synth_values(f->to + (size_t)begin * dtype_bytes(f->synth->dtype), f->synth, 0, 0, begin, VALUES_A_TASK);
}

static void copy_piece(void *user, int task, int thread)
{
    (void)thread;
    const struct filling *f = user;
    const size_t at = (size_t)task * PIECE, bytes = f->bytes - at < PIECE ? f->bytes - at : PIECE;
    const size_t places = (BLOCK - PIECE) / ALIGNMENT;
    memcpy(f->to + at, f->block + (size_t)task * 40503 % places * ALIGNMENT, bytes); /* 40503: 2^16 / golden ratio */
}

/* A file without a name, so that it can be mapped many times. */
static enum status make_block(int *fd, char **block, const struct synth *s, struct pool *pool)
{
    *fd = memfd_create("synthetic weights", MFD_CLOEXEC);
    if (*fd < 0) return fail(E_IO, "synthetic model: %s", strerror(errno));
    void *p = ftruncate(*fd, BLOCK) ? MAP_FAILED : mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (p == MAP_FAILED) {
        close(*fd);
        return fail(E_NOMEM, "synthetic model: %d bytes: %s", BLOCK, strerror(errno));
    }
    *block = p;
    struct filling f = {.synth = s, .to = p};
    pool_run(pool, BLOCK / (int)dtype_bytes(s->dtype) / VALUES_A_TASK, make_values, &f);
    return OK;
}

static enum status reserve(struct synth_source *m, int protection)
{
    void *p = mmap(NULL, m->matrix_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return fail(E_NOMEM, "synthetic model: %zu bytes for weights: %s", m->matrix_bytes, strerror(errno));
    m->matrices = p;
    return OK;
}

static enum status fill_distinct(struct synth_source *m, const char *block, struct pool *pool)
{
    const int64_t available = memory_available();
    if ((int64_t)m->matrix_bytes > available)
        return fail(E_NOMEM, "synthetic model: weights take %.1f GB of memory, %.1f GB are available",
                    (double)m->matrix_bytes * 1e-9, (double)available * 1e-9);
    TRY(reserve(m, PROT_READ | PROT_WRITE));
    madvise(m->matrices, m->matrix_bytes, MADV_HUGEPAGE); /* where there are none it runs without */
    struct filling f = {m->synth, m->matrices, block, m->matrix_bytes};
    pool_run(pool, (int)((m->matrix_bytes + PIECE - 1) / PIECE), copy_piece, &f);
    return OK;
}

static enum status map_shared(struct synth_source *m, int fd)
{
    TRY(reserve(m, PROT_NONE));
    for (size_t at = 0; at < m->matrix_bytes; at += BLOCK) {
        const size_t bytes = m->matrix_bytes - at < BLOCK ? m->matrix_bytes - at : BLOCK;
        if (mmap(m->matrices + at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
            return fail(E_NOMEM, "synthetic model: mapping weights: %s", strerror(errno));
    }
    return OK;
}

static enum status make_matrices(struct synth_source *m, enum synth_memory memory, struct pool *pool)
{
    int fd = -1;
    char *block = NULL;
    TRY(make_block(&fd, &block, m->synth, pool));
    const enum status s = memory == SYNTH_SHARED ? map_shared(m, fd) : fill_distinct(m, block, pool);
    munmap(block, BLOCK);
    close(fd);
    return s;
}

static enum status build(struct synth_source *m, enum synth_memory memory, struct pool *pool)
{
    TRY(gptj_each_tensor(&m->synth->config, measure, m));
    m->base.entries = calloc((size_t)m->base.n_entries, sizeof *m->base.entries);
    m->base.n_entries = 0;
    m->vectors = aligned_alloc(ALIGNMENT, m->vector_bytes);
    if (!m->base.entries || !m->vectors) return fail(E_NOMEM, "synthetic model: out of memory");
    TRY(make_matrices(m, memory, pool));
    TRY(gptj_each_tensor(&m->synth->config, place, m));
    return source_sort(&m->base, "synthetic model");
}

enum status synth_source_open(struct source **out, const struct synth *s, enum synth_memory memory, struct pool *pool)
{
    struct synth_source *m = calloc(1, sizeof *m);
    if (!m) return fail(E_NOMEM, "synthetic model: out of memory");
    *m = (struct synth_source){.base = {.ops = &synth_ops}, .synth = s};
    const enum status st = build(m, memory, pool);
    m->synth = NULL; /* borrowed until here */
    if (st != OK) {
        synth_source_close(&m->base);
        return st;
    }
    *out = &m->base;
    return OK;
}
