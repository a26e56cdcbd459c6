// SPDX-License-Identifier: Apache-2.0
#include "engine/identity.h"

#include <inttypes.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"

/* Tensors that every training changes, and every rank has in its files, whatever layers it holds. */
static uint64_t checkpoint_hash(const struct gptjt_engine *e)
{
    static const char *const names[] = {"transformer.h.0.ln_1.weight", "transformer.ln_f.weight",
                                        "transformer.ln_f.bias", "lm_head.bias"};
    uint64_t h = HASH_BEGIN;
    for (size_t i = 0; e->source && i < COUNT_OF(names); i++) {
        const struct tensor *t = source_find(e->source, names[i]);
        if (t) h = hash_bytes(h, t->data, (size_t)tensor_elements(t) * dtype_bytes(t->dtype));
    }
    return h;
}

enum status identity_put(struct buf *out, const struct gptjt_engine *e)
{
    struct gptjt_info i;
    gptjt_engine_info(e, &i);
    buf_printf(out, "gptjt %s\nlayers %d, width %d, heads %d, vocabulary %d, window %d\n", gptjt_version(), i.n_layers,
               i.n_embd, i.n_heads, i.vocab_size, i.n_positions);
    buf_printf(out, "weights %s\ncompute %s\ndevice %s\ncpu %s\n", i.weights, i.compute, i.device, i.cpu);
    buf_printf(out, "prompt-mask %s\n", i.prompt_mask == GPTJT_MASK_PREFIX ? "prefix" : "causal");
    buf_printf(out, "tokenizer %s\n", e->tokenizer.bpe ? "yes" : "no");
    buf_printf(out, "checkpoint %016" PRIx64 "\n", checkpoint_hash(e));
    return buf_status(out);
}

enum { PROBE_TOKENS = 12 };

/* Ids from all over the vocabulary. */
static void probe_ids(int32_t ids[PROBE_TOKENS], int V)
{
    for (int i = 0; i < PROBE_TOKENS; i++)
        ids[i] = (int32_t)((int64_t)V * i / PROBE_TOKENS);
}

enum status identity_put_scores(struct buf *out, struct gptjt_engine *e)
{
    int32_t ids[PROBE_TOKENS];
    probe_ids(ids, e->config.model.V);
    const size_t n = e->config.model.P < PROBE_TOKENS ? (size_t)e->config.model.P / 2 : PROBE_TOKENS / 2;
    const struct gptjt_span prompt = {ids, n}, after = {ids + n, n};
    struct gptjt_session *s;
    struct gptjt_score score;
    buf_append(out, "", 1);
    TRY((enum status)gptjt_session_create(&s, e, gptjt_tokens_needed(n, 1, n)));
    const enum status st = (enum status)gptjt_score(s, prompt, GPTJT_MASK_AUTO, &after, 1, &score);
    if (st == OK) {
        buf_append(out, score.logprobs, score.n * sizeof *score.logprobs);
        gptjt_scores_free(&score, 1);
    }
    gptjt_session_close(s);
    return st == OK ? buf_status(out) : st;
}

/* The length of the line at text [n], without its end. */
static size_t line_length(const char *text, size_t n)
{
    size_t len = 0;
    while (len < n && text[len] && text[len] != '\n')
        len++;
    return len;
}

enum status identity_compare(const struct buf *mine, const char *theirs, size_t n)
{
    if (n == mine->len && !memcmp(theirs, mine->data, n)) return OK;
    size_t at = 0; /* of both: lines were equal so far */
    while (at < n && at < mine->len && theirs[at] && mine->data[at]) {
        const size_t a = line_length(mine->data + at, mine->len - at), b = line_length(theirs + at, n - at);
        if (a != b || memcmp(mine->data + at, theirs + at, a))
            return fail(E_ARG, "this rank has \"%.*s\", rank 0 has \"%.*s\": results would depend on who computes them",
                        (int)a, mine->data + at, (int)b, theirs + at);
        at += a + 1;
    }
    return fail(E_ARG, "this rank's model or kernels give other numbers than rank 0's");
}
