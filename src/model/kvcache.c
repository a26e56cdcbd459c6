// SPDX-License-Identifier: Apache-2.0
#include "model/kvcache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int kvcache_pages_for(int64_t tokens)
{
    return (int)((tokens + KV_PAGE - 1) / KV_PAGE);
}

size_t kvcache_bytes(int n_layers, int H, int K, int n_pages, enum dtype dtype)
{
    return 2 * (size_t)n_layers * (size_t)n_pages * ops_kv_page_bytes(H, K, dtype);
}

static size_t layer_bytes(const struct kvcache *c)
{
    return (size_t)c->n_pages * ops_kv_page_bytes(c->H, c->K, c->dtype);
}

static enum status alloc_layers(struct kvcache *c)
{
    const struct ops_table *fn = c->ops->fn;
    for (int l = 0; l < c->n_layers; l++) {
        c->layers[l].dtype = c->dtype;
        TRY(fn->alloc(c->ops, &c->layers[l].k, layer_bytes(c)));
        TRY(fn->alloc(c->ops, &c->layers[l].v, layer_bytes(c)));
    }
    return OK;
}

enum status kvcache_create(struct kvcache **out, struct ops *ops, int n_layers, int H, int K, int n_pages,
                           enum dtype dtype)
{
    assert(dtype == DTYPE_F32 || dtype == DTYPE_F16);
    struct kvcache *c = calloc(1, sizeof *c);
    if (!c) return fail(E_NOMEM, "kv cache: out of memory");
    *c = (struct kvcache){ops, n_layers, H, K, dtype, n_pages, n_pages, NULL, NULL, NULL, NULL};
    c->layers = calloc((size_t)n_layers, sizeof *c->layers);
    c->free_pages = calloc((size_t)n_pages, sizeof *c->free_pages);
    c->references = calloc((size_t)n_pages, sizeof *c->references);
    const bool ok = c->layers && c->free_pages && c->references;
    const enum status s = ok ? alloc_layers(c) : fail(E_NOMEM, "kv cache: out of memory");
    if (s != OK) {
        kvcache_free(c);
        return s;
    }
    for (int i = 0; i < n_pages; i++)
        c->free_pages[i] = n_pages - 1 - i; /* lowest page first */
    *out = c;
    return OK;
}

void kvcache_free(struct kvcache *c)
{
    if (!c) return;
    for (int l = 0; c->layers && l < c->n_layers; l++) {
        c->ops->fn->free(c->ops, c->layers[l].k, layer_bytes(c));
        c->ops->fn->free(c->ops, c->layers[l].v, layer_bytes(c));
    }
    free(c->layers);
    free(c->free_pages);
    free(c->references);
    free(c);
}

static int32_t take_page(struct kvcache *c)
{
    assert(c->n_free > 0);
    const int32_t page = c->free_pages[--c->n_free];
    c->references[page] = 1;
    return page;
}

static void drop_page(struct kvcache *c, int32_t page)
{
    assert(c->references[page] > 0);
    if (--c->references[page] == 0) c->free_pages[c->n_free++] = page;
}

enum status kvcache_reserve(struct kv_sequence *s, int n_pages)
{
    if (n_pages <= s->cap) return OK;
    int32_t *pages = realloc(s->pages, (size_t)n_pages * sizeof *pages);
    if (!pages) return fail(E_NOMEM, "kv cache: out of memory");
    s->pages = pages;
    s->cap = n_pages;
    return OK;
}

void kvcache_copy_page(struct kvcache *c, int32_t to, int32_t from)
{
    const size_t n = ops_kv_page_bytes(c->H, c->K, c->dtype);
    for (int l = 0; l < c->n_layers; l++) {
        char *const k = c->layers[l].k, *const v = c->layers[l].v;
        c->ops->fn->copy(c->ops, k + (size_t)to * n, k + (size_t)from * n, n);
        c->ops->fn->copy(c->ops, v + (size_t)to * n, v + (size_t)from * n, n);
    }
}

static void copy_page(struct kvcache *c, int32_t to, int32_t from)
{
    const int32_t pair[] = {to, from};
    if (c->copies) buf_append(c->copies, pair, sizeof pair);
    kvcache_copy_page(c, to, from);
}

/* The page that length cuts is about to be written; the ones before it never are. */
static bool must_copy(const struct kvcache *c, const struct kv_sequence *s)
{
    return s->length % KV_PAGE != 0 && c->references[s->pages[s->n_pages - 1]] > 1;
}

int kvcache_pages_to_extend(const struct kvcache *c, const struct kv_sequence *s, int new_length)
{
    return new_length <= s->length ? 0 : kvcache_pages_for(new_length) - s->n_pages + must_copy(c, s);
}

enum status kvcache_extend(struct kvcache *c, struct kv_sequence *s, int new_length)
{
    if (new_length <= s->length) return OK;
    const int total = kvcache_pages_for(new_length), needed = kvcache_pages_to_extend(c, s, new_length);
    if (needed > c->n_free)
        return fail(E_LIMIT, "kv cache: %d pages of %d tokens needed, %d of %d free", needed, KV_PAGE, c->n_free,
                    c->n_pages);
    TRY(kvcache_reserve(s, total));
    if (must_copy(c, s)) {
        const int32_t last = s->pages[s->n_pages - 1], own = take_page(c);
        copy_page(c, own, last);
        drop_page(c, last);
        s->pages[s->n_pages - 1] = own;
    }
    while (s->n_pages < total)
        s->pages[s->n_pages++] = take_page(c);
    s->length = new_length;
    return OK;
}

enum status kvcache_fork(struct kvcache *c, struct kv_sequence *to, const struct kv_sequence *from, int length)
{
    assert(to->n_pages == 0 && length <= from->length);
    const int n = kvcache_pages_for(length);
    TRY(kvcache_reserve(to, n));
    for (int i = 0; i < n; i++) {
        to->pages[i] = from->pages[i];
        c->references[to->pages[i]]++;
    }
    to->n_pages = n;
    to->length = length;
    return OK;
}

void kvcache_truncate(struct kvcache *c, struct kv_sequence *s, int length)
{
    if (length >= s->length) return;
    const int n = kvcache_pages_for(length);
    while (s->n_pages > n)
        drop_page(c, s->pages[--s->n_pages]);
    s->length = length;
}

void kvcache_release(struct kvcache *c, struct kv_sequence *s)
{
    kvcache_truncate(c, s, 0);
    free(s->pages);
    *s = (struct kv_sequence){0};
}
