// SPDX-License-Identifier: Apache-2.0
/* A tensor in a state dict is a storage, an offset, a shape and strides, all of them claims of the file. Here they are
 * checked against the bytes that are really there, and a view is made of them. */
#include "formats/torchstate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum status torchstate_add(struct torchstate_set *set, const char *key, size_t key_bytes, const uint8_t *data,
                           size_t bytes, const char *where)
{
    if (set->n == set->cap) {
        const size_t cap = set->cap ? 2 * set->cap : 64;
        void *items = realloc(set->items, cap * sizeof set->items[0]);
        if (!items) return fail(E_NOMEM, "%s: out of memory for %zu storages", where, cap);
        set->items = items;
        set->cap = cap;
    }
    char *copy = strndup(key, key_bytes);
    if (!copy) return fail(E_NOMEM, "%s: out of memory", where);
    set->items[set->n++] = (struct torchstate_storage){copy, data, bytes};
    return OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct torchstate_storage *)a)->key, ((const struct torchstate_storage *)b)->key);
}

enum status torchstate_sort(struct torchstate_set *set, const char *where)
{
    if (set->n) qsort(set->items, set->n, sizeof set->items[0], compare_keys);
    for (size_t i = 1; i < set->n; i++) {
        if (!compare_keys(&set->items[i - 1], &set->items[i]))
            return fail(E_FORMAT, "%s: storage \"%.100s\" occurs twice", where, set->items[i].key);
    }
    return OK;
}

void torchstate_free(struct torchstate_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->items[i].key);
    free(set->items);
    *set = (struct torchstate_set){0};
}

static const struct torchstate_storage *find_storage(const struct torchstate_set *set, const struct pickle_node *key)
{
    size_t from = 0, to = set->n;
    while (from < to) { /* by hand: the key looked for is not terminated */
        const size_t mid = from + (to - from) / 2;
        const char *have = set->items[mid].key;
        const size_t len = strlen(have), common = len < key->n ? len : key->n;
        const int c = memcmp(have, key->text, common);
        if (!c && len == key->n) return &set->items[mid];
        if (c < 0 || (!c && len < key->n))
            from = mid + 1;
        else
            to = mid;
    }
    return NULL;
}

/* One tensor being read; where is "FILE: tensor NAME" for errors. */
struct reader {
    const struct pickle *p;
    const struct torchstate_set *set;
    const char *where;
};

static enum status read_ints(int64_t *out, int *n, const struct reader *r, uint32_t tuple, const char *what)
{
    const struct pickle_node *t = &r->p->nodes[tuple];
    if (t->n > TENSOR_MAX_DIMS)
        return fail(E_UNSUPPORTED, "%s: %s of %" PRIu32 " dimensions, more than %d", r->where, what, t->n,
                    TENSOR_MAX_DIMS);
    uint32_t at = t->items.first;
    for (uint32_t i = 0; i < t->n; i++, at = r->p->nodes[at].link.next) {
        const struct pickle_node *v = &r->p->nodes[r->p->nodes[at].link.value];
        if (v->kind != PICKLE_INT) return fail(E_FORMAT, "%s: %s is not of integers", r->where, what);
        out[i] = v->integer;
    }
    *n = (int)t->n;
    return OK;
}

static enum status check_contiguous(const struct tensor *t, const int64_t *strides, const char *where)
{
    int64_t expected = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && strides[i] != expected) {
            struct tensor as_shape = {.n_dims = t->n_dims};
            memcpy(as_shape.shape, strides, (size_t)t->n_dims * sizeof strides[0]);
            char shape[256], text[256];
            return fail(E_UNSUPPORTED, "%s: shape %s with strides %s is not contiguous", where,
                        tensor_shape_text(t, shape, sizeof shape), tensor_shape_text(&as_shape, text, sizeof text));
        }
        expected *= t->shape[i]; /* at most the number of elements, which tensor_size() checked */
    }
    return OK;
}

static enum status find_bytes(const uint8_t **out, const struct reader *r, const struct tensor *t, int64_t offset,
                              int64_t elements, const struct pickle_node *storage)
{
    const struct pickle_node *key = &r->p->nodes[storage->storage.key];
    const int64_t declared = r->p->nodes[storage->storage.elements].integer;
    const int key_bytes = key->n < 100 ? (int)key->n : 100;
    const struct torchstate_storage *s = find_storage(r->set, key);
    if (!s) return fail(E_FORMAT, "%s: its storage \"%.*s\" is missing", r->where, key_bytes, (const char *)key->text);
    const size_t width = dtype_bytes(t->dtype);
    if (declared < 0 || (uint64_t)declared > s->bytes / width)
        return fail(E_FORMAT, "%s: storage \"%s\" of %" PRId64 " elements of %s has only %zu bytes", r->where, s->key,
                    declared, dtype_name(t->dtype), s->bytes);
    if (offset < 0 || offset > declared || elements > declared - offset)
        return fail(E_FORMAT,
                    "%s: %" PRId64 " elements from %" PRId64 " on reach beyond storage \"%s\" of %" PRId64 " elements",
                    r->where, elements, offset, s->key, declared);
    *out = elements ? s->data + (size_t)offset * width : NULL;
    return OK;
}

static enum status read_tensor(struct tensor *out, const struct reader *r, const struct pickle_node *value)
{
    const struct pickle_node *storage = &r->p->nodes[value->tensor.storage];
    struct tensor t = {.dtype = (enum dtype)storage->dtype};
    int64_t strides[TENSOR_MAX_DIMS], elements, bytes;
    int n_strides;
    TRY(read_ints(t.shape, &t.n_dims, r, value->tensor.shape, "shape"));
    TRY(read_ints(strides, &n_strides, r, value->tensor.strides, "strides"));
    if (n_strides != t.n_dims)
        return fail(E_FORMAT, "%s: %d dimensions with %d strides", r->where, t.n_dims, n_strides);
    TRY(tensor_size(&t, r->where, &elements, &bytes));
    if (elements) TRY(check_contiguous(&t, strides, r->where));
    const uint8_t *data = NULL;
    TRY(find_bytes(&data, r, &t, r->p->nodes[value->tensor.offset].integer, elements, storage));
    t.data = data;
    *out = t;
    return OK;
}

static enum status check_root(const struct pickle *p, const char *name)
{
    const struct pickle_node *root = &p->nodes[p->root];
    if (root->kind == PICKLE_TENSOR) return fail(E_UNSUPPORTED, "%s: holds one tensor, not a state dict", name);
    if (root->kind != PICKLE_DICT) return fail(E_UNSUPPORTED, "%s: holds something else than a state dict", name);
    const struct pickle_node *nested = NULL;
    for (uint32_t at = root->items.first; at; at = p->nodes[at].link.next) {
        const struct pickle_node *key = &p->nodes[p->nodes[at].link.key];
        const struct pickle_node *value = &p->nodes[p->nodes[at].link.value];
        if (value->kind == PICKLE_TENSOR) return OK;
        if (value->kind == PICKLE_DICT && (pickle_text_is(key, "state_dict") || pickle_text_is(key, "model")))
            nested = key;
    }
    if (!nested) return OK;
    return fail(E_UNSUPPORTED, "%s: the weights sit inside \"%.*s\": save that state dict alone", name, (int)nested->n,
                (const char *)nested->text);
}

static enum status read_item(struct source_file *f, const struct pickle *p, const struct torchstate_set *set,
                             const struct pickle_node *link, const char *name)
{
    const struct pickle_node *key = &p->nodes[link->link.key], *value = &p->nodes[link->link.value];
    const char *text = (const char *)key->text;
    if (key->kind != PICKLE_TEXT) return fail(E_FORMAT, "%s: a key of the state dict is not text", name);
    const int shown = key->n < 200 ? (int)key->n : 200;
    if (memchr(text, 0, key->n) || !utf8_valid(text, key->n))
        return fail(E_FORMAT, "%s: the tensor name \"%.*s\" holds a NUL or is not UTF-8", name, shown, text);
    if (value->kind != PICKLE_TENSOR)
        return fail(E_UNSUPPORTED, "%s: \"%.*s\" in the state dict is not a tensor", name, shown, text);
    char where[512];
    snprintf(where, sizeof where, "%.250s: tensor \"%.*s\"", name, shown, text);
    const struct reader r = {p, set, where};
    struct tensor t;
    TRY(read_tensor(&t, &r, value));
    return source_file_add(f, text, key->n, &t);
}

enum status torchstate_read(struct source_file **out, const struct source_ops *ops, const struct pickle *p,
                            const struct torchstate_set *set, size_t file_bytes, const char *name)
{
    struct source_file *f;
    TRY(check_root(p, name));
    const struct pickle_node *root = &p->nodes[p->root];
    TRY(source_file_create(&f, ops, root->n, file_bytes, name));
    enum status s = OK;
    for (uint32_t at = root->items.first; s == OK && at; at = p->nodes[at].link.next)
        s = read_item(f, p, set, &p->nodes[at], name);
    if (s == OK) s = source_sort(&f->base, name);
    if (s != OK) {
        source_file_close(&f->base);
        return s;
    }
    *out = f;
    return OK;
}
