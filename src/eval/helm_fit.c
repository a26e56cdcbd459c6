// SPDX-License-Identifier: Apache-2.0
/* Makes recorded prompts fit; see helm_fit.h. */
#include "eval/helm_fit.h"

#include <stdlib.h>
#include <string.h>

/* ---- Blocks ---- */

/* The texts of adapter_spec, which surround what instances say. */
struct frame {
    struct helm_text head, before_shot, before_text, before_answer, behind_answer;
    struct buf heads, needles; /* what head and before_answer are in */
};

static struct helm_text adapter_text(const struct helm_run *run, const char *key)
{
    const struct helm_text text = helm_text_of(run->adapter, key);
    return text.data ? text : (struct helm_text){"", 0};
}

static void append(struct buf *out, struct helm_text text)
{
    buf_append(out, text.data, text.len);
}

static struct helm_text both(struct buf *out, struct helm_text a, struct helm_text b)
{
    append(out, a);
    append(out, b);
    return (struct helm_text){out->data ? out->data : "", out->len};
}

static void make_frame(struct frame *f, const struct helm_run *run)
{
    *f = (struct frame){.before_shot = adapter_text(run, "instance_prefix"),
                        .before_text = adapter_text(run, "input_prefix"),
                        .behind_answer = adapter_text(run, "output_suffix")};
    f->head = both(&f->heads, adapter_text(run, "global_prefix"), adapter_text(run, "instructions"));
    f->before_answer = both(&f->needles, adapter_text(run, "input_suffix"), adapter_text(run, "output_prefix"));
}

static bool begins(struct helm_text text, size_t at, struct helm_text with)
{
    return at <= text.len && text.len - at >= with.len && (!with.len || !memcmp(text.data + at, with.data, with.len));
}

/* Where needle ends in text[at..], 0 without one. */
static size_t find_end(struct helm_text text, size_t at, struct helm_text needle)
{
    const char *hit = needle.len ? memmem(text.data + at, text.len - at, needle.data, needle.len) : NULL;
    return hit ? (size_t)(hit - text.data) + needle.len : 0;
}

/* Finds the query at the prompt's end; the white space that ends before_answer is not in it. */
static bool find_query(struct helm_blocks *b, const struct frame *f, const struct helm_request *q, size_t *query)
{
    const struct helm_text input = helm_text_of(json_object_get(q->state, "instance"), "input");
    struct helm_text tail = f->before_answer;
    while (tail.len && (tail.data[tail.len - 1] == ' ' || tail.data[tail.len - 1] == '\n'))
        tail.len--;
    const size_t len = f->before_shot.len + f->before_text.len + input.len + tail.len;
    if (!input.data || q->prompt.len < len) return false;
    *query = q->prompt.len - len;
    b->text = *query + f->before_shot.len + f->before_text.len;
    b->text_end = b->text + input.len;
    return begins(q->prompt, *query, f->before_shot) &&
           begins(q->prompt, *query + f->before_shot.len, f->before_text) && begins(q->prompt, b->text, input) &&
           begins(q->prompt, b->text_end, tail);
}

/* A shot's answer begins behind the first thing that looks like it, and ends where the next block may begin. */
static size_t shot_end(const struct frame *f, struct helm_text shots, size_t at)
{
    const size_t answer = begins(shots, at, f->before_shot) ? find_end(shots, at, f->before_answer) : 0;
    if (!answer) return 0;
    for (size_t end = answer; (end = find_end(shots, end, f->behind_answer));)
        if (end == shots.len || begins(shots, end, f->before_shot)) return end;
    return 0;
}

static bool find_shots(struct helm_blocks *b, const struct frame *f, struct helm_text shots)
{
    enum { MAX_SHOTS = 1024 };
    b->shots = calloc(MAX_SHOTS + 1, sizeof *b->shots);
    if (!b->shots || !begins(shots, 0, f->head)) return false;
    size_t at = b->shots[0] = f->head.len;
    while (at < shots.len && b->n_shots < MAX_SHOTS) {
        at = shot_end(f, shots, at);
        if (!at) return false;
        b->shots[++b->n_shots] = at;
    }
    return at == shots.len;
}

bool helm_blocks(struct helm_blocks *out, const struct helm_run *run, const struct helm_request *q)
{
    struct helm_blocks b = {0};
    struct frame f;
    make_frame(&f, run);
    size_t query;
    bool found = !f.heads.failed && !f.needles.failed && find_query(&b, &f, q, &query) &&
                 find_shots(&b, &f, (struct helm_text){q->prompt.data, query});
    const json_t *n = json_object_get(q->state, "num_train_instances");
    if (found && json_is_integer(n)) found = json_integer_value(n) == b.n_shots;
    buf_free(&f.heads);
    buf_free(&f.needles);
    if (found)
        *out = b;
    else
        free(b.shots);
    return found;
}

/* ---- Cutting ---- */

struct fitting {
    struct helm_prompt *out;
    const struct gptjt_tokenizer *tokenizer;
    struct helm_text prompt;
    size_t max_tokens;
};

static enum status encode(struct fitting *f)
{
    struct helm_prompt *p = f->out;
    TRY(buf_status(&p->text));
    gptjt_free(p->ids);
    p->ids = NULL;
    p->n_ids = 0;
    const enum gptjt_status s = gptjt_encode(f->tokenizer, p->text.data ? p->text.data : "", p->text.len, true, &p->ids,
                                             &p->n_ids);
    return s == GPTJT_OK ? OK : fail((enum status)s, "a prompt of %zu bytes: %s", p->text.len, gptjt_error());
}

/* The prompt with its first n shots and the first bytes of the query's text. */
static enum status attempt(struct fitting *f, const struct helm_blocks *b, int n, size_t bytes)
{
    struct buf *text = &f->out->text;
    const size_t query = b->shots[b->n_shots];
    buf_clear(text);
    buf_append(text, f->prompt.data, b->shots[n]);
    buf_append(text, f->prompt.data + query, b->text + bytes - query);
    buf_append(text, f->prompt.data + b->text_end, f->prompt.len - b->text_end);
    f->out->n_shots = n;
    return encode(f);
}

static size_t whole_characters(const char *text, size_t bytes)
{
    while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        bytes--;
    return bytes;
}

/* The most of the text that fits, by bisection over its bytes: more text is hardly ever fewer tokens, and what is found
 * has been tried. */
static enum status cut_text(struct fitting *f, const struct helm_blocks *b)
{
    const char *text = f->prompt.data + b->text;
    size_t fits = 0, too_many = b->text_end - b->text;
    while (too_many - fits > 1) {
        const size_t bytes = fits + (too_many - fits) / 2, whole = whole_characters(text, bytes);
        TRY(attempt(f, b, 0, whole));
        if (f->out->n_ids <= f->max_tokens)
            fits = bytes;
        else
            too_many = bytes;
    }
    return attempt(f, b, 0, whole_characters(text, fits));
}

static enum status cut_blocks(struct fitting *f, const struct helm_blocks *b)
{
    f->out->cut = HELM_CUT_SHOTS;
    for (int n = b->n_shots - 1; n >= 0 && f->out->n_ids > f->max_tokens; n--)
        TRY(attempt(f, b, n, b->text_end - b->text));
    if (f->out->n_ids <= f->max_tokens) return OK;
    f->out->cut = HELM_CUT_TEXT;
    return cut_text(f, b);
}

static enum status keep_right_end(struct fitting *f)
{
    struct helm_prompt *p = f->out;
    buf_clear(&p->text);
    buf_append(&p->text, f->prompt.data, f->prompt.len);
    TRY(encode(f));
    memmove(p->ids, p->ids + (p->n_ids - f->max_tokens), f->max_tokens * sizeof *p->ids);
    p->n_ids = f->max_tokens;
    p->cut = HELM_CUT_LEFT;
    p->n_shots = -1;
    char *text;
    size_t len;
    if (gptjt_decode(f->tokenizer, p->ids, p->n_ids, &text, &len) != GPTJT_OK)
        return fail(E_FORMAT, "%s", gptjt_error());
    buf_clear(&p->text);
    buf_append(&p->text, text, len);
    gptjt_free(text);
    return buf_status(&p->text);
}

enum status helm_fit(struct helm_prompt *out, const struct helm_run *run, const struct helm_request *q,
                     const struct gptjt_tokenizer *tokenizer, size_t max_tokens)
{
    struct fitting f = {.out = out, .tokenizer = tokenizer, .prompt = q->prompt, .max_tokens = max_tokens};
    out->cut = HELM_CUT_NOTHING;
    out->n_shots = -1;
    buf_clear(&out->text);
    buf_append(&out->text, q->prompt.data, q->prompt.len);
    TRY(encode(&f));
    if (out->n_ids <= max_tokens) return OK;
    struct helm_blocks b;
    if (!helm_blocks(&b, run, q)) return keep_right_end(&f);
    enum status s = cut_blocks(&f, &b);
    free(b.shots);
    if (s == OK && out->n_ids > max_tokens) s = keep_right_end(&f);
    return s;
}

void helm_prompt_free(struct helm_prompt *p)
{
    buf_free(&p->text);
    gptjt_free(p->ids);
    *p = (struct helm_prompt){0};
}
