// SPDX-License-Identifier: Apache-2.0
/* The format before torch 1.6: five pickles in a row (a magic number, the protocol version, facts about the machine,
 * the state dict, the list of storage keys), then for each key an int64 element count and the raw elements. Their
 * width is not written there; it is the one of the storage's type in the state dict. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/torchstate.h"

static const struct source_ops legacy_ops = {"pytorch legacy", source_file_close};

struct legacy {
    const char *file; /* for errors */
    const uint8_t *data;
    size_t bytes, at;
};

static enum status next_pickle(struct pickle *out, struct legacy *l)
{
    TRY(pickle_read(out, l->data + l->at, l->bytes - l->at, l->file));
    l->at += out->used_bytes;
    return OK;
}

static enum status read_magic(struct legacy *l)
{
    static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    struct pickle p;
    TRY(next_pickle(&p, l));
    const struct pickle_node *v = &p.nodes[p.root];
    const bool good = v->kind == PICKLE_BIG && v->n == sizeof magic && !memcmp(v->text, magic, sizeof magic);
    pickle_free(&p);
    return good ? OK : fail(E_FORMAT, "%s: a pickle without torch's magic number: not a pytorch file", l->file);
}

static enum status read_version(struct legacy *l)
{
    struct pickle p;
    TRY(next_pickle(&p, l));
    const struct pickle_node *v = &p.nodes[p.root];
    const bool good = v->kind == PICKLE_INT && v->integer == 1001;
    pickle_free(&p);
    return good ? OK : fail(E_UNSUPPORTED, "%s: pytorch legacy format of another version than 1001", l->file);
}

static enum status read_machine(struct legacy *l)
{
    struct pickle p;
    bool big = false;
    TRY(next_pickle(&p, l));
    const struct pickle_node *info = &p.nodes[p.root];
    const bool dict = info->kind == PICKLE_DICT;
    for (uint32_t at = dict ? info->items.first : 0; at; at = p.nodes[at].link.next) {
        const struct pickle_node *value = &p.nodes[p.nodes[at].link.value];
        if (pickle_text_is(&p.nodes[p.nodes[at].link.key], "little_endian"))
            big = value->kind != PICKLE_BOOL || !value->integer;
    }
    pickle_free(&p);
    if (!dict) return fail(E_FORMAT, "%s: the pickle about the machine is not a dict", l->file);
    if (big) return fail(E_UNSUPPORTED, "%s: byte order \"big\" is not supported, only little", l->file);
    return OK;
}

/* A storage as the state dict names it; one that tensors share occurs more than once. */
struct named {
    const struct pickle_node *key;
    enum dtype dtype;
};

static int compare_named(const void *a, const void *b)
{
    const struct pickle_node *x = ((const struct named *)a)->key, *y = ((const struct named *)b)->key;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return memcmp(x->text, y->text, x->n);
}

static int shown(const struct pickle_node *key)
{
    return key->n < 100 ? (int)key->n : 100;
}

/* Every storage of the state dict, sorted by key; *out is owned. */
static enum status list_named(struct named **out, size_t *n, const struct pickle *p, const char *file)
{
    struct named *all = calloc(p->n_nodes, sizeof all[0]);
    size_t count = 0;
    if (!all) return fail(E_NOMEM, "%s: out of memory", file);
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct pickle_node *node = &p->nodes[i];
        if (node->kind == PICKLE_STORAGE)
            all[count++] = (struct named){&p->nodes[node->storage.key], (enum dtype)node->dtype};
    }
    qsort(all, count, sizeof all[0], compare_named);
    for (size_t i = 1; i < count; i++) {
        if (compare_named(&all[i - 1], &all[i]) || all[i - 1].dtype == all[i].dtype) continue;
        const enum status s = fail(E_FORMAT, "%s: storage \"%.*s\" is both %s and %s", file, shown(all[i].key),
                                   (const char *)all[i].key->text, dtype_name(all[i - 1].dtype),
                                   dtype_name(all[i].dtype));
        free(all);
        return s;
    }
    *out = all;
    *n = count;
    return OK;
}

static enum status add_storage(struct torchstate_set *set, struct legacy *l, const struct pickle_node *key,
                               const struct named *all, size_t n)
{
    const char *text = (const char *)key->text;
    const struct named *found = NULL;
    if (key->kind != PICKLE_TEXT || memchr(text, 0, key->n))
        return fail(E_FORMAT, "%s: a storage key is not plain text", l->file);
    if (n) found = bsearch(&(struct named){.key = key}, all, n, sizeof all[0], compare_named);
    if (!found) return fail(E_FORMAT, "%s: storage \"%.*s\" is not in the state dict", l->file, shown(key), text);

    uint64_t elements = 0;
    const size_t left = l->bytes - l->at, width = dtype_bytes(found->dtype);
    for (int i = 7; left >= 8 && i >= 0; i--)
        elements = elements << 8 | l->data[l->at + (size_t)i];
    if (left < 8 || elements > (left - 8) / width)
        return fail(E_FORMAT, "%s: storage \"%.*s\" of %" PRIu64 " elements reaches beyond the file: truncated?",
                    l->file, shown(key), text, elements);
    const size_t bytes = (size_t)elements * width;
    TRY(torchstate_add(set, text, key->n, l->data + l->at + 8, bytes, l->file));
    l->at += 8 + bytes;
    return OK;
}

static enum status read_storages(struct torchstate_set *set, struct legacy *l, const struct pickle *state)
{
    struct pickle keys;
    struct named *all = NULL;
    size_t n = 0;
    TRY(next_pickle(&keys, l));
    enum status s = list_named(&all, &n, state, l->file);
    if (s != OK) goto free_keys;

    const struct pickle_node *list = &keys.nodes[keys.root];
    if (list->kind != PICKLE_LIST) s = fail(E_FORMAT, "%s: the pickle of storage keys is not a list", l->file);
    for (uint32_t at = s == OK ? list->items.first : 0; s == OK && at; at = keys.nodes[at].link.next)
        s = add_storage(set, l, &keys.nodes[keys.nodes[at].link.value], all, n);
    if (s == OK) s = torchstate_sort(set, l->file);
    if (s == OK && l->at != l->bytes)
        s = fail(E_FORMAT, "%s: %zu bytes after the last storage", l->file, l->bytes - l->at);
    free(all);
free_keys:
    pickle_free(&keys);
    return s;
}

enum status torchlegacy_read(struct source_file **out, const uint8_t *data, size_t bytes, const char *name)
{
    struct legacy l = {.file = name, .data = data, .bytes = bytes};
    struct pickle state;
    struct torchstate_set set = {0};
    TRY(read_magic(&l));
    TRY(read_version(&l));
    TRY(read_machine(&l));
    TRY(next_pickle(&state, &l));
    enum status s = read_storages(&set, &l, &state);
    if (s == OK) s = torchstate_read(out, &legacy_ops, &state, &set, bytes, name);
    torchstate_free(&set);
    pickle_free(&state);
    return s;
}
