// SPDX-License-Identifier: Apache-2.0
/* Which mask a checkpoint is run with. A wrong guess here is what makes GPT-JT silently worse everywhere else, so the
 * choice is always explained, and noisy where it rests on a name. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "engine/engine.h"

/* "GPT-JT-6B-v1", "togethercomputer/GPT-JT-6B-v1", "/models/gpt-jt-6b-v1/" */
static bool is_gptjt_release(const char *name)
{
    const char *last = name;
    for (const char *c = name; *c; c++)
        if (*c == '/' && c[1]) last = c + 1;
    return !strncasecmp(last, "gpt-jt", 6);
}

enum status mask_choose(enum gptjt_mask *out, char *reason, size_t reason_bytes, enum gptjt_mask asked,
                        const struct checkpoint_config *config, const struct source *src, const char *name)
{
    if (asked != GPTJT_MASK_AUTO) {
        *out = asked;
        snprintf(reason, reason_bytes, "as requested");
        return OK;
    }
    switch (gptj_stored_mask(&config->model, src)) {
    case STORED_MASK_PREFIX:
        *out = GPTJT_MASK_PREFIX;
        snprintf(reason, reason_bytes, "attn.bias in the checkpoint is all ones");
        return OK;
    case STORED_MASK_CAUSAL:
        *out = GPTJT_MASK_CAUSAL;
        snprintf(reason, reason_bytes, "attn.bias in the checkpoint is triangular");
        return OK;
    case STORED_MASK_OTHER:
        return fail(E_FORMAT,
                    "attn.bias in the checkpoint is neither all ones nor triangular in every layer; choose with "
                    "--prompt-mask prefix|causal");
    case STORED_MASK_ABSENT: break;
    }
    if (config->prompt_mask != CONFIG_MASK_NONE) {
        *out = config->prompt_mask == CONFIG_MASK_PREFIX ? GPTJT_MASK_PREFIX : GPTJT_MASK_CAUSAL;
        snprintf(reason, reason_bytes, "prompt_mask in config.json");
        return OK;
    }
    const char *release = is_gptjt_release(name)                   ? name
                          : is_gptjt_release(config->name_or_path) ? config->name_or_path
                                                                   : NULL;
    *out = release ? GPTJT_MASK_PREFIX : GPTJT_MASK_CAUSAL;
    if (release)
        snprintf(reason, reason_bytes, "the checkpoint has no attn.bias, but %.80s is a GPT-JT release", release);
    else
        snprintf(reason, reason_bytes, "the checkpoint has no attn.bias and is not named as a GPT-JT release");
    log_line(LOG_WARN, "prompt mask is %s: %s; choose with --prompt-mask prefix|causal", release ? "prefix" : "causal",
             reason);
    return OK;
}
