// SPDX-License-Identifier: Apache-2.0
#include "data/ni.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "data/bytes.h"
#include "data/data.h"
#include "data/example.h"

enum kind { KIND_UNKNOWN, KIND_CLASSIFICATION, KIND_OTHER };

struct ni {
    const struct paths *paths;
    unsigned char *kinds; /* [n] enum kind: found out when a task is read first; remembering changes nothing else */
    int loaded;           /* which task is in memory, or -1 */
    json_t *task;
    const json_t *instances;             /* borrowed from task */
    const json_t *labels[NI_MAX_LABELS]; /* of classification: sorted, borrowed */
    int n_labels;
};

enum status ni_open(struct ni **out, const struct paths *paths)
{
    struct ni *n = calloc(1, sizeof *n);
    unsigned char *kinds = calloc((size_t)paths->n, sizeof *kinds);
    if (!n || !kinds) {
        free(kinds);
        free(n);
        return fail(E_NOMEM, "out of memory for %d tasks", paths->n);
    }
    *n = (struct ni){.paths = paths, .kinds = kinds, .loaded = -1};
    *out = n;
    return OK;
}

void ni_close(struct ni *n)
{
    if (!n) return;
    json_decref(n->task);
    free(n->kinds);
    free(n);
}

/* ---- One task ---- */

static int by_text(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    const size_t nx = json_string_length(x), ny = json_string_length(y);
    const int order = memcmp(json_string_value(x), json_string_value(y), nx < ny ? nx : ny);
    return order ? order : (nx > ny) - (nx < ny);
}

/* Takes the first output of an instance for a label; false once there are too many different ones. */
static bool add_label(struct ni *n, const json_t *output)
{
    for (int i = 0; i < n->n_labels; i++)
        if (json_equal(n->labels[i], output)) return true;
    if (n->n_labels == NI_MAX_LABELS) return false;
    n->labels[n->n_labels++] = output;
    return true;
}

static const json_t *outputs_of(const json_t *instance)
{
    return json_object_get(instance, "output");
}

static enum status check_instance(const json_t *instance, size_t i, const char *path)
{
    const json_t *outputs = outputs_of(instance);
    if (!json_is_string(json_object_get(instance, "input")))
        return fail(E_FORMAT, "%s: instance %zu: \"input\" is not a string", path, i);
    if (!json_is_array(outputs) || !json_array_size(outputs))
        return fail(E_FORMAT, "%s: instance %zu: \"output\" is not an array with something in it", path, i);
    for (size_t k = 0; k < json_array_size(outputs); k++)
        if (!json_is_string(json_array_get(outputs, k)))
            return fail(E_FORMAT, "%s: instance %zu: output %zu is not a string", path, i, k);
    return OK;
}

static enum status check_definition(const json_t *task, const char *path)
{
    const json_t *d = json_object_get(task, "Definition");
    bool good = json_is_string(d) || (json_is_array(d) && json_array_size(d));
    for (size_t i = 0; good && i < json_array_size(d); i++)
        good = json_is_string(json_array_get(d, i));
    return good ? OK : fail(E_FORMAT, "%s: \"Definition\" is neither a string nor an array of strings", path);
}

static enum status check_task(struct ni *n, const char *path)
{
    TRY(check_definition(n->task, path));
    n->instances = json_object_get(n->task, "Instances");
    if (!json_is_array(n->instances) || !json_array_size(n->instances))
        return fail(E_FORMAT, "%s: \"Instances\" is not an array with something in it", path);
    bool few = true;
    n->n_labels = 0;
    for (size_t i = 0; i < json_array_size(n->instances); i++) {
        const json_t *instance = json_array_get(n->instances, i);
        TRY(check_instance(instance, i, path));
        few = few && add_label(n, json_array_get(outputs_of(instance), 0));
    }
    if (few) qsort(n->labels, (size_t)n->n_labels, sizeof *n->labels, by_text);
    if (!few) n->n_labels = 0;
    n->kinds[n->loaded] = few ? KIND_CLASSIFICATION : KIND_OTHER;
    return OK;
}

static enum status load(struct ni *n, int index)
{
    if (n->loaded == index) return OK;
    const char *path = n->paths->items[index];
    struct buf text = {0};
    json_decref(n->task);
    n->task = NULL;
    n->loaded = -1;
    enum status s = bytes_read_file(&text, path, NI_TASK_MAX_BYTES);
    if (s == OK) s = json_read_text(&n->task, text.data ? text.data : "", text.len, path);
    buf_free(&text);
    TRY(s);
    n->loaded = index;
    s = check_task(n, path);
    if (s != OK) n->loaded = -1;
    return s;
}

/* ---- Which task ---- */

/* 30 % of draws want classification: the first one in a random order of the tasks, which is each with the same
 * probability, without knowing beforehand which they are. The others take any; without one at all, so do these. */
static enum status choose(struct ni *n, struct draws *d)
{
    const uint64_t n_tasks = (uint64_t)n->paths->n;
    const bool classification = draws_uniform(d) < 0.3;
    const struct draws order = *d;
    draws_uniform(d);
    for (uint64_t i = 0; classification && i < n_tasks; i++) {
        const int index = (int)draws_permute(&order, i, n_tasks);
        if (n->kinds[index] == KIND_OTHER) continue;
        TRY(load(n, index));
        if (n->kinds[index] == KIND_CLASSIFICATION) return OK;
    }
    return load(n, (int)draws_permute(&order, 0, n_tasks));
}

/* ---- The text ---- */

/* Text that is encoded as it grows, each part once. It is cut where white space follows something else: there the
 * pattern that splits text into words always splits it, whatever comes later. */
struct growing {
    const struct tokenizer *t;
    struct token_list *out;
    struct buf rest; /* not encoded yet */
    size_t searched; /* bytes of it that hold no place to cut */
};

static enum status encode_rest(struct growing *g, size_t len)
{
    TRY(buf_status(&g->rest));
    if (!len) return OK;
    TRY(tokenizer_encode(g->t, g->out, g->rest.data, len, true));
    memmove(g->rest.data, g->rest.data + len, g->rest.len - len);
    g->rest.len -= len;
    g->searched = 0;
    return OK;
}

/* Whether byte ends a character that is no white space in Unicode either: the last bytes of those that are, from U+0085
 * to U+3000, are left out. */
static bool ends_word(unsigned char byte)
{
    if (byte < 0x80) return isgraph(byte);
    return byte > 0x8a && byte != 0x9f && byte != 0xa0 && byte != 0xa8 && byte != 0xa9 && byte != 0xaf;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* What has been looked at without finding such a place is not looked at again; a text that has none for long is cut
 * anywhere. */
static enum status encode_safe(struct growing *g)
{
    enum { LONG = 1 << 16 };
    const struct buf *b = &g->rest;
    size_t cut = b->len;
    while (cut-- > g->searched)
        if (cut && is_space(b->data[cut]) && ends_word((unsigned char)b->data[cut - 1])) return encode_rest(g, cut);
    g->searched = b->len;
    return encode_rest(g, b->len > LONG ? b->len : 0);
}

static void append_string(struct buf *b, const json_t *string)
{
    buf_append(b, json_string_value(string), json_string_length(string));
}

static void append_definition(struct buf *b, const json_t *definition, struct draws *d)
{
    const size_t n = json_is_array(definition) ? json_array_size(definition) : 1;
    const uint64_t which = draws_below(d, 2 * n + 1); /* each twice, and none once */
    if (which == 2 * n) return;
    append_string(b, json_is_array(definition) ? json_array_get(definition, (size_t)which % n) : definition);
}

static void append_labels(struct buf *b, const struct ni *n)
{
    buf_puts(b, "\nPossible labels:");
    for (int i = 0; i < n->n_labels; i++) {
        buf_printf(b, "\n%d. ", i + 1);
        append_string(b, n->labels[i]);
    }
    buf_puts(b, "\n");
}

static void append_instance(struct buf *b, const struct ni *n, const struct example_style *style, struct draws *d)
{
    const json_t *instance = json_array_get(n->instances, (size_t)draws_below(d, json_array_size(n->instances)));
    const json_t *outputs = outputs_of(instance);
    buf_puts(b, style->separator);
    buf_puts(b, style->input_prefix);
    append_string(b, json_object_get(instance, "input"));
    buf_puts(b, style->answer_separator);
    buf_puts(b, style->output_prefix);
    append_string(b, json_array_get(outputs, (size_t)draws_below(d, json_array_size(outputs))));
}

static void strip_start(struct buf *b)
{
    size_t n = 0;
    while (n < b->len && isspace((unsigned char)b->data[n]))
        n++;
    if (!n) return;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

static enum status grow(struct growing *g, const struct ni *n, size_t min_tokens, struct draws *d)
{
    const struct example_style style = example_draw_style(d, DATA_NI);
    append_definition(&g->rest, json_object_get(n->task, "Definition"), d);
    if (draws_uniform(d) < 0.5 && n->n_labels) append_labels(&g->rest, n);
    append_instance(&g->rest, n, &style, d);
    TRY(buf_status(&g->rest));
    strip_start(&g->rest);
    for (;;) {
        TRY(encode_safe(g));
        if (g->out->n >= min_tokens) return OK;
        append_instance(&g->rest, n, &style, d);
    }
}

enum status ni_text(struct ni *n, struct token_list *out, const struct tokenizer *t, size_t min_tokens, struct draws *d)
{
    TRY(choose(n, d));
    out->n = 0;
    struct growing g = {.t = t, .out = out};
    const enum status s = grow(&g, n, min_tokens, d);
    buf_free(&g.rest);
    return s == OK ? OK : fail(s, "%s: %s", n->paths->items[n->loaded], status_message());
}
