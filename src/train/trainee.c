// SPDX-License-Identifier: Apache-2.0
#include "train/trainee.h"

#include <inttypes.h>

#include "base/memory.h"

/* What products are made of, and what matrices are kept as for them. */
static const struct {
    enum compute_type compute;
    enum weight_type matrices;
    enum dtype round;
} precisions[] = {[PRECISION_FP32] = {COMPUTE_FP32, WEIGHT_F32, DTYPE_F32},
                  [PRECISION_BF16] = {COMPUTE_BF16, WEIGHT_BF16, DTYPE_F32},
                  [PRECISION_FP16] = {COMPUTE_FP32, WEIGHT_F16, DTYPE_F16}};

static struct train_pass_options pass_options(const struct trainee_options *o)
{
    return (struct train_pass_options){.sequences = o->sequences,
                                       .seq_len = o->seq_len,
                                       .recompute = o->recompute,
                                       .slots = o->slots,
                                       .late = o->late,
                                       .lora_rank = o->lora.r,
                                       .lora_scale = o->lora.scale,
                                       .round = precisions[o->precision].round,
                                       .between = o->between,
                                       .user = o->user};
}

static int last_of(const struct gptj_config *c, const struct trainee_options *o)
{
    return o->last ? o->last : c->L;
}

static struct ops_cpu_limits limits_of(const struct gptj_config *c, const struct trainee_options *o)
{
    return (struct ops_cpu_limits){.head = c->K, .inputs = c->F > c->D ? c->F : c->D, .sequence = o->seq_len};
}

struct trainee_memory trainee_memory(const struct gptj_config *c, const struct source *src,
                                     const struct trainee_options *o)
{
    const struct train_pass_options pass = pass_options(o);
    const int first = o->first, last = last_of(c, o);
    const size_t values = o->lora.r ? params_lora_values(c, first, last, &o->lora) : params_values(c, first, last);
    struct trainee_memory m = {
        .values = values,
        .weight_bytes = values * sizeof(float),
        .gradient_bytes = values * sizeof(float),
        .activation_bytes = train_pass_bytes(c, first, last, &pass),
        .scratch_bytes = ops_cpu_bytes(o->level, precisions[o->precision].compute, o->threads, limits_of(c, o))};
    if (o->lora.r) {
        const struct gptj_memory frozen = gptj_memory_in(c, first, last, src, WEIGHT_AS_STORED);
        m.weight_bytes += (size_t)frozen.heap;
        m.mapped_bytes = (size_t)frozen.mapped;
    } else {
        m.weight_bytes += params_copy_bytes(c, first, last, precisions[o->precision].matrices);
    }
    return m;
}

static enum status check(const struct trainee *t, const char *dir, const struct source *src,
                         const struct trainee_options *o)
{
    const struct gptj_config *c = &t->config.model;
    if (o->seq_len > c->P)
        return fail(E_ARG, "seq_len is %d, but %s has a window of %d positions", o->seq_len, dir, c->P);
    if (o->first < 0 || o->first >= last_of(c, o) || last_of(c, o) > c->L)
        return fail(E_ARG, "there are no layers %d to %d: %s has %d", o->first, last_of(c, o) - 1, dir, c->L);
    if (o->device == DEVICE_CUDA) return OK; /* what the device has is asked of it */
    const struct trainee_memory m = trainee_memory(c, src, o);
    const size_t needed = m.weight_bytes + m.gradient_bytes + m.activation_bytes + m.scratch_bytes;
    const int64_t available = memory_available();
    if ((int64_t)needed <= available) return OK;
    return fail(E_NOMEM, "%s: training %d of its %d layers takes %.1f GB of memory, %.1f GB are available", dir,
                last_of(c, o) - o->first, c->L, (double)needed * 1e-9, (double)available * 1e-9);
}

static enum status open_device(struct trainee *t, const struct trainee_options *o)
{
    const enum compute_type compute = precisions[o->precision].compute;
    if (o->device == DEVICE_CUDA) return ops_cuda_create(&t->ops, compute, o->threads);
    return ops_cpu_create(&t->ops, o->level, compute, o->threads, limits_of(&t->config.model, o));
}

static enum status bind(struct trainee *t, const struct source *src, const struct trainee_options *o)
{
    const struct gptj_config *c = &t->config.model;
    const struct train_pass_options pass = pass_options(o);
    TRY(open_device(t, o));
    TRY(gptj_load(&t->model, c, src, t->ops, o->first, last_of(c, o), WEIGHT_AS_STORED));
    if (o->lora.r)
        TRY(params_create_lora(&t->params, t->model, &o->lora, o->seed));
    else
        TRY(params_create(&t->params, t->model, src, precisions[o->precision].matrices));
    return train_pass_create(&t->pass, t->model, &pass);
}

enum status trainee_open_source(struct trainee *t, const char *name, const struct gptj_config *config,
                                const struct source *src, const struct trainee_options *o)
{
    t->config.model = *config;
    TRY(check(t, name, src, o));
    return bind(t, src, o);
}

enum status trainee_open(struct trainee *t, const char *dir, const struct trainee_options *o)
{
    TRY(checkpoint_config_read(&t->config, dir));
    struct source *src = NULL;
    TRY(source_open_dir(&src, dir));
    const struct gptj_config config = t->config.model;
    enum status s = gptj_check(&config, src);
    if (s == OK && gptj_quantised_type(&config, src) != WEIGHT_TYPES)
        s = fail(E_UNSUPPORTED, "%s: quantised weights cannot be trained; start from the fp16 or fp32 checkpoint", dir);
    if (s == OK) s = trainee_open_source(t, dir, &config, src, o);
    if (o->lora.r)
        t->source = src;
    else
        source_close(src);
    return s;
}

void trainee_close(struct trainee *t)
{
    train_pass_free(t->pass);
    gptj_free(t->model);
    params_free(t->params);
    if (t->ops) t->ops->fn->close(t->ops);
    source_close(t->source);
    *t = (struct trainee){0};
}
