// SPDX-License-Identifier: Apache-2.0
/* Which mask a checkpoint is run with. A wrong guess here is what makes GPT-JT silently worse everywhere else, so the
 * choice always comes with its reason, and is marked as a guess where it rests on a name. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/engine.h"

/* "GPT-JT-6B-v1", "togethercomputer/GPT-JT-6B-v1", "/models/gpt-jt-6b-v1/" */
static bool is_gptjt_release(const char *name)
{
    const char *last = name;
    for (const char *c = name; *c; c++)
        if (*c == '/' && c[1]) last = c + 1;
    return !strncasecmp(last, "gpt-jt", 6);
}

static void choose(struct mask_choice *out, enum gptjt_mask mask, const char *reason)
{
    *out = (struct mask_choice){.mask = mask};
    snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static void guess_by_name(struct mask_choice *out, const struct checkpoint_config *config, const char *name)
{
    const char *release = is_gptjt_release(name)                   ? name
                          : is_gptjt_release(config->name_or_path) ? config->name_or_path
                                                                   : NULL;
    *out = (struct mask_choice){.mask = release ? GPTJT_MASK_PREFIX : GPTJT_MASK_CAUSAL, .guessed = true};
    if (release)
        snprintf(out->reason, sizeof out->reason, "the checkpoint has no attn.bias, but %.80s is a GPT-JT release",
                 release);
    else
        snprintf(out->reason, sizeof out->reason,
                 "the checkpoint has no attn.bias and is not named as a GPT-JT release");
}

enum status engine_choose_mask(struct mask_choice *out, enum gptjt_mask asked, const struct checkpoint_config *config,
                               const struct source *src, const char *name)
{
    if (asked != GPTJT_MASK_AUTO) {
        choose(out, asked, "as requested");
        return OK;
    }
    switch (gptj_stored_mask(&config->model, src)) {
    case STORED_MASK_PREFIX: choose(out, GPTJT_MASK_PREFIX, "attn.bias in the checkpoint is all ones"); return OK;
    case STORED_MASK_CAUSAL: choose(out, GPTJT_MASK_CAUSAL, "attn.bias in the checkpoint is triangular"); return OK;
    case STORED_MASK_OTHER:
        return fail(E_FORMAT,
                    "attn.bias in the checkpoint is neither all ones nor triangular in every layer; choose with "
                    "--prompt-mask prefix|causal");
    case STORED_MASK_ABSENT: break;
    }
    if (config->prompt_mask == CONFIG_MASK_PREFIX)
        choose(out, GPTJT_MASK_PREFIX, "prompt_mask in config.json");
    else if (config->prompt_mask == CONFIG_MASK_CAUSAL)
        choose(out, GPTJT_MASK_CAUSAL, "prompt_mask in config.json");
    else
        guess_by_name(out, config, name);
    return OK;
}
