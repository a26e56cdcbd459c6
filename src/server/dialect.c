// SPDX-License-Identifier: Apache-2.0
#include "server/dialect.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

static int append(const char *text, size_t len, void *user)
{
    struct buf *out = user;
    buf_append(out, text, len);
    return out->failed ? -1 : 0;
}

/* 9 digits tell any two floats apart. */
void dialect_put_json(struct buf *out, json_t *value)
{
    if (!value || json_dump_callback(value, append, out, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9)))
        out->failed = true;
    json_decref(value);
}

void dialect_put_event(struct buf *out, const char *data, json_t *value)
{
    buf_puts(out, data);
    dialect_put_json(out, value);
    buf_puts(out, "\n\n");
}

json_t *dialect_text(const char *text, size_t len)
{
    struct buf clean = {0};
    utf8_append_replaced(&clean, text, len);
    json_t *value = dialect_buf(&clean);
    buf_free(&clean);
    return value;
}

json_t *dialect_buf(const struct buf *text)
{
    if (text->failed) return NULL;
    return json_stringn_nocheck(text->len ? text->data : "", text->len);
}

json_t *dialect_number(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

void dialect_plain_trouble(struct buf *out, enum trouble what, const char *message)
{
    (void)what;
    json_t *body = json_object();
    json_put(&body, "error", dialect_text(message, strlen(message)));
    dialect_put_json(out, body);
}

int dialect_plain_status(enum trouble what)
{
    switch (what) {
    case TROUBLE_REQUEST: return 422;
    case TROUBLE_TOO_LARGE: return 413;
    case TROUBLE_UNAUTHORIZED: return 401;
    case TROUBLE_NOT_FOUND: return 404;
    case TROUBLE_METHOD: return 405;
    case TROUBLE_OVERLOADED: return 429;
    case TROUBLE_LOADING:
    case TROUBLE_DRAINING:
    case TROUBLE_LATE: return 503;
    case TROUBLE_GENERATION: return 424;
    case TROUBLE_INCOMPLETE: break;
    }
    return 500;
}

void dialect_prompt_text(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r,
                         int prompt)
{
    const struct ask_prompt *p = &ask->prompts[prompt];
    const struct answer_prompt *run = &answer->prompts[prompt];
    char *text;
    size_t len;
    if (p->text) {
        buf_append(out, p->text, p->text_len);
    } else if (r->tokenizer && gptjt_decode(r->tokenizer, run->ids, run->n_ids, &text, &len) == GPTJT_OK) {
        utf8_append_replaced(out, text, len);
        gptjt_free(text);
    }
}
