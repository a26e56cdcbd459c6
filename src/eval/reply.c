// SPDX-License-Identifier: Apache-2.0
#include "eval/reply.h"

#include <stdlib.h>
#include <string.h>

struct reply {
    const struct fewshot_spec *spec;
    const struct gptjt_tokenizer *tokenizer;
    struct gptjt_session *session;
    size_t max_prompt;
    int max_tokens;
    enum gptjt_mask prompt_mask;
    struct fewshot_prompt prompt;
    struct buf text;
};

static enum status failed(enum gptjt_status s)
{
    return s == GPTJT_OK ? OK : fail((enum status)s, "%s", gptjt_error());
}

static enum status open_session(struct reply *r, struct gptjt_engine *engine)
{
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    if (r->max_tokens >= info.n_positions)
        return fail(E_LIMIT, "an answer of %d tokens leaves no room for a prompt: the model's window is %d",
                    r->max_tokens, info.n_positions);
    r->max_prompt = (size_t)(info.n_positions - r->max_tokens);
    r->tokenizer = gptjt_engine_tokenizer(engine);
    if (!r->tokenizer) return fail(E_UNSUPPORTED, "%s", gptjt_error());
    return failed(gptjt_session_create(&r->session, engine, 0));
}

enum status reply_create(struct reply **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                         int max_tokens, enum gptjt_mask prompt_mask)
{
    struct reply *r = calloc(1, sizeof *r);
    if (!r) return fail(E_NOMEM, "reply: out of memory");
    r->spec = spec;
    r->max_tokens = max_tokens;
    r->prompt_mask = prompt_mask;
    const enum status s = open_session(r, engine);
    if (s == OK)
        *out = r;
    else
        reply_free(r);
    return s;
}

void reply_free(struct reply *r)
{
    if (!r) return;
    gptjt_session_close(r->session);
    fewshot_free(&r->prompt);
    buf_free(&r->text);
    free(r);
}

static enum status keep_stripped(struct buf *out, const char *text)
{
    static const char space[] = " \t\r\n\v\f";
    text += strspn(text, space);
    size_t len = strlen(text);
    while (len && strchr(space, text[len - 1]))
        len--;
    buf_clear(out);
    buf_append(out, text, len);
    buf_puts(out, "");
    return buf_status(out);
}

enum status reply_run(struct reply *r, const char *const *values, struct reply_result *out)
{
    static const char *const stop[] = {"\n"};
    TRY(fewshot_fit(&r->prompt, r->spec, r->tokenizer, values, r->max_prompt));
    struct gptjt_generate_request request;
    gptjt_generate_init(&request);
    request.prompt = r->prompt.ids;
    request.n_prompt = r->prompt.n_ids;
    request.prompt_mask = r->prompt_mask;
    request.max_new_tokens = r->max_tokens;
    request.stop = stop;
    request.n_stop = 1;
    struct gptjt_generation g;
    TRY(failed(gptjt_generate(r->session, &request, &g)));
    const enum status s = keep_stripped(&r->text, g.completions[0].text);
    gptjt_generation_free(&g);
    if (s != OK) return s;
    *out = (struct reply_result){.text = r->text.data ? r->text.data : "",
                                 .prompt_tokens = r->prompt.n_ids,
                                 .n_shots = r->prompt.n_shots,
                                 .n_dropped = r->prompt.n_dropped};
    return OK;
}
