// SPDX-License-Identifier: Apache-2.0
#include "cli/common.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/shared.h"
#include "eval/api.h"
#include "hub/model_path.h"

/* The public statuses are the internal ones under public names, as engine/engine.c asserts. */
enum status cli_status(enum gptjt_status s)
{
    return api_status(s);
}

enum status cli_take_model(struct common *common, const struct option_args *args)
{
    if (args->n_positional && common->model)
        return fail(E_ARG, "the model is given twice: %s and %s", common->model, args->positional[0]);
    if (args->n_positional) common->model = args->positional[0];
    return OK;
}

const char *cli_device(const struct common *common)
{
    return common->device ? common->device : getenv("GPTJT_DEVICE");
}

void cli_engine_options(struct gptjt_engine_options *out, const struct common *common)
{
    gptjt_engine_options_init(out);
    out->prompt_mask = (enum gptjt_mask)common->prompt_mask;
    out->weights = (enum gptjt_weights)common->weights;
    out->compute = (enum gptjt_compute)common->compute;
    out->threads = (int)common->threads;
    out->cpu = common->cpu;
    out->adapter = common->adapter;
    out->device = cli_device(common);
}

enum status cli_model_open(struct cli_model *out, const struct common *common)
{
    struct model_path path;
    struct gptjt_engine_options options;
    TRY(model_path_resolve(&path, common->model));
    cli_engine_options(&options, common);

    struct cli_model m = {0};
    TRY(shared_open(&m.engine, path.dir, &options, common));
    gptjt_engine_info(m.engine, &m.info);
    m.name = path.hub_name ? path.hub_name : m.info.name;
    *out = m;
    return OK;
}

void cli_model_close(struct cli_model *m)
{
    gptjt_engine_close(m->engine);
    *m = (struct cli_model){0};
}

/* Each text with its length in front, so that neighbours cannot trade bytes. */
static void put_text(struct buf *out, const char *text)
{
    buf_printf(out, "%zu:", strlen(text));
    buf_puts(out, text);
}

enum status cli_model_describe(struct buf *out, const struct cli_model *m, const struct common *common)
{
    struct model_path path;
    TRY(model_path_resolve(&path, common->model));
    put_text(out, path.dir);
    put_text(out, common->adapter ? common->adapter : "");
    put_text(out, m->info.weights);
    put_text(out, m->info.compute);
    put_text(out, m->info.cpu);
    put_text(out, m->info.device);
    buf_printf(out, "%d %" PRId64 " ", (int)m->info.prompt_mask, m->info.parameters);
    return buf_status(out);
}

const char *cli_mask_name(const struct cli_model *m)
{
    return api_mask_name(m->info.prompt_mask);
}

void cli_print_mask(const struct common *common, bool prefix, bool guessed, const char *reason)
{
    if (common->quiet) return;
    fprintf(stderr, "%smask: %s (%s)%s\n", guessed ? "warning: " : "", prefix ? "prefix" : "causal", reason,
            guessed ? "; choose with --prompt-mask prefix|causal" : "");
}

void cli_mask_note(const struct cli_model *m, const struct common *common)
{
    cli_print_mask(common, m->info.prompt_mask == GPTJT_MASK_PREFIX, m->info.prompt_mask_guessed,
                   m->info.prompt_mask_reason);
}

enum status cli_tokenizer(const struct gptjt_tokenizer **out, const struct cli_model *m, const char *instead)
{
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(m->engine);
    if (!t) return fail(E_ARG, "%s; give %s", gptjt_error(), instead);
    *out = t;
    return OK;
}

enum status cli_check_ids(const struct cli_model *m, const char *what, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->info.vocab_size)
            return fail(E_ARG, "%s: token %d is not in the vocabulary of %s (0..%d)", what, ids[i], m->name,
                        m->info.vocab_size - 1);
    return OK;
}

static bool watch_pass(void *user, size_t done, size_t total)
{
    struct cli_watch *w = user;
    if (!w->begun) progress_begin(&w->bar, w->label, "tokens", total, w->quiet);
    progress_update(&w->bar, done);
    w->begun = done < total && !interrupt_seen();
    if (!w->begun) progress_end(&w->bar);
    return !interrupt_seen();
}

void cli_watch(struct gptjt_session *s, struct cli_watch *w)
{
    gptjt_session_set_progress(s, watch_pass, w);
}

void cli_unwatch(struct gptjt_session *s, struct cli_watch *w)
{
    gptjt_session_set_progress(s, NULL, NULL);
    if (w->begun) progress_end(&w->bar);
    w->begun = false;
}

void cli_token_text(struct buf *out, const struct gptjt_tokenizer *t, int32_t id)
{
    char *text;
    size_t len;
    if (gptjt_decode(t, &id, 1, &text, &len) != GPTJT_OK) return;
    utf8_append_replaced(out, text, len);
    gptjt_free(text);
}

json_t *cli_json_text(const char *text, size_t len)
{
    struct buf clean = {0};
    utf8_append_replaced(&clean, text, len);
    json_t *value = buf_status(&clean) == OK ? json_stringn(clean.len ? clean.data : "", clean.len) : NULL;
    buf_free(&clean);
    return value;
}

json_t *cli_json_number(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

/* Appends value, taking the reference; an array that cannot grow is given up. */
static json_t *append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0) return array;
    json_decref(array);
    return NULL;
}

json_t *cli_json_numbers(const float *numbers, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++)
        array = append(array, cli_json_number((double)numbers[i]));
    return array;
}

json_t *cli_json_ids(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++)
        array = append(array, json_integer(ids[i]));
    return array;
}

json_t *cli_json_tokens(const struct gptjt_tokenizer *t, const int32_t *ids, size_t n)
{
    if (!t) return json_null();
    json_t *array = json_array();
    struct buf text = {0};
    for (size_t i = 0; array && i < n; i++) {
        buf_clear(&text);
        cli_token_text(&text, t, ids[i]);
        array = append(array, cli_json_text(text.len ? text.data : "", text.len));
    }
    buf_free(&text);
    return array;
}

enum status cli_write_page(const struct common *common, const char *path, const struct buf *page)
{
    struct file_writer w;
    if (!strcmp(path, "-")) {
        fwrite(page->data, 1, page->len, stdout); /* main() looks for errors */
        return OK;
    }
    TRY(file_writer_open(&w, path));
    const enum status s = file_writer_write(&w, page->data, page->len);
    if (s != OK) {
        file_writer_abort(&w);
        return s;
    }
    TRY(file_writer_commit(&w));
    if (!common->quiet) fprintf(stderr, "%s: written\n", path);
    return OK;
}

bool cli_wants_colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

enum status cli_json_print(json_t *value)
{
    if (!value) return fail(E_NOMEM, "no memory for the JSON output");
    const enum status s = json_write_stream(value, stdout, false);
    json_decref(value);
    return s;
}
