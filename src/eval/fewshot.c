// SPDX-License-Identifier: Apache-2.0
/* Builds few-shot prompts and makes them fit the window; see fewshot.h for the format. */
#include "eval/fewshot.h"

#include <string.h>

#include "base/utf8.h"

static void separate(struct buf *out)
{
    if (out->len) buf_puts(out, "\n");
}

static void append_head(struct buf *out, const struct fewshot_spec *spec)
{
    const size_t len = spec->instruction ? strlen(spec->instruction) : 0;
    if (len) {
        buf_append(out, spec->instruction, len);
        if (spec->instruction[len - 1] != '\n') buf_puts(out, "\n");
    }
    if (!spec->list_labels || !spec->n_labels) return;
    buf_puts(out, "Possible labels:\n");
    for (int i = 0; i < spec->n_labels; i++)
        buf_printf(out, "%d. %s\n", i + 1, spec->labels[i]);
}

/* Every line but the last ends in a newline. */
static void append_fields(struct buf *out, const struct fewshot_spec *spec, const char *const *values)
{
    for (int i = 0; i < spec->n_fields; i++) {
        if (i) buf_puts(out, "\n");
        buf_puts(out, spec->names[i]);
        buf_puts(out, ": ");
        buf_puts(out, values[i]);
    }
}

static void append_shots(struct buf *out, const struct fewshot_spec *spec, int n_shots)
{
    for (int i = 0; i < n_shots; i++) {
        separate(out);
        append_fields(out, spec, spec->shots[i].values);
        buf_printf(out, "\n%s: ", spec->label_name);
        buf_puts(out, spec->shots[i].label);
        buf_puts(out, "\n");
    }
}

/* query: the lines of the fields, possibly cut. */
static enum status build(struct buf *out, const struct fewshot_spec *spec, int n_shots, const char *query, size_t len)
{
    buf_clear(out);
    append_head(out, spec);
    append_shots(out, spec, n_shots);
    separate(out);
    buf_append(out, query, len);
    buf_printf(out, "\n%s:", spec->label_name);
    return buf_status(out);
}

enum status fewshot_build(struct buf *out, const struct fewshot_spec *spec, int n_shots, const char *const *values)
{
    struct buf query = {0}, text = {0};
    append_fields(&query, spec, values);
    enum status s = buf_status(&query);
    if (s == OK) s = build(&text, spec, n_shots, query.data, query.len);
    if (s == OK) {
        buf_append(out, text.data, text.len);
        s = buf_status(out);
    }
    buf_free(&text);
    buf_free(&query);
    return s;
}

struct fitting {
    struct fewshot_prompt *out;
    const struct fewshot_spec *spec;
    const struct gptjt_tokenizer *tokenizer;
    struct buf query;
    size_t max_tokens;
};

static enum status encode(const struct gptjt_tokenizer *t, const struct buf *text, int32_t **ids, size_t *n)
{
    const enum gptjt_status s = gptjt_encode(t, text->data, text->len, false, ids, n);
    return s == GPTJT_OK ? OK
                         : fail((enum status)s, "cannot encode a prompt of %zu bytes: %s", text->len, gptjt_error());
}

static enum status attempt(struct fitting *f, int n_shots, size_t query_len)
{
    struct fewshot_prompt *p = f->out;
    TRY(build(&p->text, f->spec, n_shots, f->query.data, query_len));
    gptjt_free(p->ids);
    p->ids = NULL;
    p->n_ids = 0;
    p->n_shots = n_shots;
    return encode(f->tokenizer, &p->text, &p->ids, &p->n_ids);
}

/* A shot starts on a new line, so more shots always mean more tokens: bisect for the most that fit. */
static enum status drop_shots(struct fitting *f)
{
    int fits = -1, too_many = f->spec->n_shots;
    while (too_many - fits > 1) {
        const int n = fits + (too_many - fits) / 2;
        TRY(attempt(f, n, f->query.len));
        if (f->out->n_ids <= f->max_tokens)
            fits = n;
        else
            too_many = n;
    }
    return attempt(f, fits < 0 ? 0 : fits, f->query.len);
}

/* Bytes of the first n tokens of the query, less a character that the cut would split. */
static enum status bytes_of_tokens(const struct fitting *f, const int32_t *ids, size_t n, size_t *bytes)
{
    char *text;
    size_t len;
    if (gptjt_decode(f->tokenizer, ids, n, &text, &len) != GPTJT_OK) return fail(E_FORMAT, "%s", gptjt_error());
    gptjt_free(text);
    if (len > f->query.len) return fail(E_FORMAT, "the tokenizer does not give back the text it encoded");
    while (len && len < f->query.len && ((unsigned char)f->query.data[len] & 0xc0) == 0x80)
        len--;
    *bytes = len;
    return OK;
}

static enum status cut_query(struct fitting *f)
{
    const size_t whole = f->out->n_ids, least = strlen(f->spec->names[0]) + 1; /* "name:" stays */
    int32_t *ids;
    size_t n;
    TRY(encode(f->tokenizer, &f->query, &ids, &n));
    enum status s = OK;
    while (s == OK && f->out->n_ids > f->max_tokens) {
        const size_t excess = f->out->n_ids - f->max_tokens;
        size_t bytes = 0;
        n = n > excess ? n - excess : 0;
        if (n) s = bytes_of_tokens(f, ids, n, &bytes);
        if (s == OK && bytes < least)
            s = fail(E_LIMIT,
                     "the prompt does not fit in %zu tokens even without shots and text: shorten the instruction or "
                     "the labels",
                     f->max_tokens);
        if (s == OK) s = attempt(f, 0, bytes);
    }
    gptjt_free(ids);
    if (s == OK) f->out->n_dropped = whole - f->out->n_ids;
    return s;
}

enum status fewshot_fit(struct fewshot_prompt *out, const struct fewshot_spec *spec,
                        const struct gptjt_tokenizer *tokenizer, const char *const *values, size_t max_tokens)
{
    struct fitting f = {.out = out, .spec = spec, .tokenizer = tokenizer, .max_tokens = max_tokens};
    out->n_dropped = 0;
    append_fields(&f.query, spec, values);
    enum status s = buf_status(&f.query);
    if (s == OK) s = attempt(&f, spec->n_shots, f.query.len);
    if (s == OK && out->n_ids > max_tokens && spec->n_shots) s = drop_shots(&f);
    if (s == OK && out->n_ids > max_tokens) s = cut_query(&f);
    buf_free(&f.query);
    return s;
}

void fewshot_free(struct fewshot_prompt *p)
{
    buf_free(&p->text);
    gptjt_free(p->ids);
    *p = (struct fewshot_prompt){0};
}

enum status fewshot_continuation(struct buf *out, const char *label)
{
    buf_puts(out, " ");
    buf_puts(out, label);
    buf_puts(out, "\n");
    return buf_status(out);
}
