// SPDX-License-Identifier: Apache-2.0
/* gptjt logits: the raw numbers behind everything else, for comparison with other implementations. Rows go to the file
 * as they are computed, so that a long row of a large vocabulary needs no memory of its own. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/prompt.h"
#include "formats/safetensors.h"

struct settings {
    struct common common;
    struct prompt_options row;
    int64_t prefix;
    const char *out;
    bool added_tokens;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .added_tokens = true};

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    PROMPT_OPTIONS(struct settings, row),
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, out),
     .meta = "FILE",
     .help = "the safetensors file to write"},
    {.name = "prefix",
     .type = OPTION_INT,
     .offset = offsetof(struct settings, prefix),
     .max = INT32_MAX,
     .meta = "N",
     .help = "the first N tokens see each other, the rest what is before them (default: all in prefix mode, none in "
             "causal mode)"},
    {.name = "added-tokens",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, added_tokens),
     .help = "match added tokens such as <|endoftext|> in the text; with --no-added-tokens they are ordinary text"},
    COMMON_ENGINE_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

struct sink {
    struct safetensors_writer *writer;
    size_t row_bytes;
    enum status status; /* of the writer */
    char message[512];
};

static bool write_row(void *user, size_t position, const float *logits)
{
    (void)position;
    struct sink *s = user;
    s->status = safetensors_writer_data(s->writer, logits, s->row_bytes);
    if (s->status != OK) snprintf(s->message, sizeof s->message, "%s", status_message());
    return s->status == OK && !interrupt_seen();
}

struct job {
    struct settings set;
    bool prefix_given;
    struct prompt row;
    struct cli_model model;
    struct gptjt_session *session;
};

static enum status write_logits(struct job *j)
{
    const struct gptjt_span row = {j->row.ids, j->row.n_ids};
    const size_t n_prefix = j->prefix_given ? (size_t)j->set.prefix : SIZE_MAX;
    const int64_t V = j->model.info.vocab_size;
    const struct tensor shape = {.dtype = DTYPE_F32, .n_dims = 2, .shape = {(int64_t)row.n, V}};
    struct sink sink = {.row_bytes = (size_t)V * sizeof(float)};
    interrupt_catch(); /* the temporary file must go */
    TRY(safetensors_writer_open(&sink.writer, j->set.out));
    enum status s = safetensors_writer_declare(sink.writer, "logits", &shape);
    if (s == OK && !j->prefix_given) cli_mask_note(&j->model, &j->set.common);
    if (s == OK) s = cli_status(gptjt_logits(j->session, row, n_prefix, write_row, &sink));
    if (sink.status != OK) s = fail(sink.status, "%s", sink.message); /* the cause, not that we stopped for it */
    if (s == OK) return safetensors_writer_commit(sink.writer);
    safetensors_writer_abort(sink.writer);
    return s;
}

static enum status execute(struct job *j)
{
    const struct settings *set = &j->set;
    TRY(prompt_read(&j->row, &set->row));
    TRY(cli_model_open(&j->model, &set->common));
    TRY(prompt_encode(&j->row, &j->model, set->added_tokens));
    const size_t n = j->row.n_ids;
    if (n > (size_t)j->model.info.n_positions)
        return fail(E_LIMIT, "a row of %zu tokens does not fit in the window of %d", n, j->model.info.n_positions);
    if (j->prefix_given && (size_t)set->prefix > n)
        return fail(E_ARG, "--prefix is %" PRId64 ", more than the row's %zu tokens", set->prefix, n);
    TRY(cli_status(gptjt_session_create(&j->session, j->model.engine, n)));
    struct cli_watch watch = {.label = "row", .quiet = set->common.quiet};
    cli_watch(j->session, &watch);
    return write_logits(j);
}

static enum status run(void *settings, const struct option_args *args)
{
    struct job j = {.set = *(const struct settings *)settings,
                    .prefix_given = options_given(options, args->given, "prefix")};
    TRY(cli_take_model(&j.set.common, args));
    if (!j.set.out) return fail(E_ARG, "no output: give -o FILE");
    const enum status s = execute(&j);
    gptjt_session_close(j.session);
    cli_model_close(&j.model);
    prompt_free(&j.row);
    return s;
}

const struct command command_logits = {
    .name = "logits",
    .summary = "write the logits at every position to a safetensors file",
    .usage = "[MODEL] [-p TEXT | -f FILE | --ids N,N,... | < FILE] -o FILE [options]",
    .about =
        "Runs one row of tokens through the model and writes one fp32 tensor, \"logits\" [tokens][vocabulary], row\n"
        "t being what the model expects after token t. Nothing appears under the file's name before it is complete.",
    .examples = "  gptjt logits MODEL --ids 1,2,3 -o logits.safetensors\n"
                "  gptjt logits MODEL -p 'Hello world' --prefix 0 -o causal.safetensors",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
