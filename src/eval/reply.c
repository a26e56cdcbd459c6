// SPDX-License-Identifier: Apache-2.0
#include "eval/reply.h"

#include <stdlib.h>
#include <string.h>

#include "eval/api.h"

struct reply {
    const struct fewshot_spec *spec;
    const struct gptjt_tokenizer *tokenizer;
    struct gptjt_session *session;
    struct reply_options options;
    size_t max_prompt;
    struct fewshot_prompt prompts[REPLY_MANY];
    struct gptjt_generate_request requests[REPLY_MANY];
    struct gptjt_generation generations[REPLY_MANY];
    struct buf texts[REPLY_MANY];
};

static enum status open_session(struct reply *r, struct gptjt_engine *engine)
{
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    if (r->options.max_tokens >= info.n_positions)
        return fail(E_LIMIT, "an answer of %d tokens leaves no room for a prompt: the model's window is %d",
                    r->options.max_tokens, info.n_positions);
    const size_t new = (size_t)r->options.max_tokens;
    r->max_prompt = (size_t)(info.n_positions - r->options.max_tokens);
    r->tokenizer = gptjt_engine_tokenizer(engine);
    if (!r->tokenizer) return fail(E_UNSUPPORTED, "%s", gptjt_error());
    const size_t room = batching_room(engine, gptjt_tokens_needed(r->max_prompt, 1, new));
    TRY(api_status(gptjt_session_create(&r->session, engine, room)));
    gptjt_session_set_progress(r->session, r->options.progress, r->options.user);
    return OK;
}

enum status reply_create(struct reply **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                         const struct reply_options *options)
{
    struct reply *r = calloc(1, sizeof *r);
    if (!r) return fail(E_NOMEM, "reply: out of memory");
    r->spec = spec;
    r->options = *options;
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
    for (int i = 0; i < REPLY_MANY; i++) {
        fewshot_free(&r->prompts[i]);
        buf_free(&r->texts[i]);
    }
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

static enum status ask(struct reply *r, const char *const *values, int n)
{
    static const char *const stop[] = {"\n"};
    for (int i = 0; i < n; i++) {
        struct fewshot_prompt *p = &r->prompts[i];
        struct gptjt_generate_request *q = &r->requests[i];
        TRY(fewshot_fit(p, r->spec, r->tokenizer, values + i * r->spec->n_fields, r->max_prompt));
        gptjt_generate_init(q);
        q->prompt = p->ids;
        q->n_prompt = p->n_ids;
        q->prompt_mask = r->options.prompt_mask;
        q->max_new_tokens = r->options.max_tokens;
        q->stop = stop;
        q->n_stop = 1;
    }
    return api_status(gptjt_generate_many(r->session, r->requests, (size_t)n, r->generations));
}

enum status reply_run_many(struct reply *r, const char *const *values, int n, struct reply_result *out)
{
    TRY(ask(r, values, n));
    enum status s = OK;
    for (int i = 0; i < n; i++) {
        const enum status kept = keep_stripped(&r->texts[i], r->generations[i].completions[0].text);
        if (s == OK) s = kept;
        gptjt_generation_free(&r->generations[i]);
        out[i] = (struct reply_result){.text = r->texts[i].data ? r->texts[i].data : "",
                                       .prompt_tokens = r->prompts[i].n_ids,
                                       .n_shots = r->prompts[i].n_shots,
                                       .n_dropped = r->prompts[i].n_dropped};
    }
    return s;
}
