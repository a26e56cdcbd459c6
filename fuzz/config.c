// SPDX-License-Identifier: Apache-2.0
/* Hostile config.json: the bytes as config.json, as generation_config.json beside a good one, and as both. What is
 * accepted must keep the promises of gptj_config.h and come back from our own writer. */
#include <stdlib.h>
#include <string.h>

#include "formats/gptj_config.h"

static const char good[] = "{\"model_type\": \"gptj\", \"vocab_size\": 500, \"n_positions\": 128, \"n_embd\": 80,"
                           " \"n_layer\": 3, \"n_head\": 5, \"rotary_dim\": 12, \"n_inner\": null}";

static void require(bool promise)
{
    if (!promise) abort();
}

static void check_sizes(const struct gptj_config *c)
{
    require(c->V >= 1 && c->P >= 1 && c->D >= 1 && c->L >= 1 && c->H >= 1 && c->F >= 1);
    require(c->K * c->H == c->D && c->R >= 0 && c->R % 2 == 0 && c->R <= c->K);
    require(c->eps >= 0 && c->eps < 1);
    require(c->bos >= -1 && c->bos < c->V && c->eos >= -1 && c->eos < c->V);
    require(gptj_config_parameters(c) > 0);
}

static void check_round_trip(const struct checkpoint_config *c)
{
    json_t *j = NULL;
    struct checkpoint_config back;
    require(checkpoint_config_json(&j, &c->model, "float16", c->prompt_mask) == OK);
    require(checkpoint_config_parse(&back, j, NULL, "written") == OK);
    json_decref(j);
    const struct gptj_config *a = &c->model, *b = &back.model;
    require(a->V == b->V && a->P == b->P && a->D == b->D && a->L == b->L && a->H == b->H && a->K == b->K);
    require(a->R == b->R && a->F == b->F && a->tied == b->tied && a->bos == b->bos && a->eos == b->eos);
    require(a->eps <= b->eps && a->eps >= b->eps && back.prompt_mask == c->prompt_mask);
}

static void parse(const json_t *config, const json_t *generation)
{
    struct checkpoint_config c;
    if (checkpoint_config_parse(&c, config, generation, "fuzz") != OK) {
        require(*status_message() && !strchr(status_message(), '\n'));
        return;
    }
    check_sizes(&c.model);
    check_round_trip(&c);
    require(strlen(c.name_or_path) < sizeof c.name_or_path && strlen(c.torch_dtype) < sizeof c.torch_dtype);
    require(c.generation.top_k >= 0 && c.generation.max_length >= 0 && c.generation.max_new_tokens >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *j = NULL, *base = NULL;
    if (json_read_text(&j, (const char *)data, size, "fuzz") != OK) return 0;
    require(json_read_text(&base, good, strlen(good), "good") == OK);
    parse(j, NULL);
    parse(base, j);
    parse(j, j);
    json_decref(base);
    json_decref(j);
    return 0;
}
