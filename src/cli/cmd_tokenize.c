// SPDX-License-Identifier: Apache-2.0
/* gptjt tokenize: text to token ids and back. Needs a model's tokenizer files and nothing else of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/jsonl.h"
#include "cli/prompt.h"
#include "hub/model_path.h"

struct settings {
    struct common common;
    struct prompt_options input;
    bool decode, json, jsonl, added_tokens;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .added_tokens = true};

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    PROMPT_OPTIONS(struct settings, input),
    {.name = "decode",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, decode),
     .help = "the other way: ids (from --ids, -f or standard input) to their exact bytes"},
    {.name = "jsonl",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, jsonl),
     .help = "every input line is {\"text\": ...} and becomes {\"ids\": [...]}, or the other way with --decode"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, json),
     .help = "print one object with ids, the text of each token and their number; broken UTF-8 is replaced"},
    {.name = "added-tokens",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, added_tokens),
     .help = "match added tokens such as <|endoftext|> in the text, as Hugging Face does by default; with "
             "--no-added-tokens they are ordinary text"},
    COMMON_LOG_OPTIONS,
    {0},
};

static enum status encode(const struct settings *set, const struct gptjt_tokenizer *t, const struct buf *text)
{
    int32_t *ids;
    size_t n;
    TRY(cli_status(gptjt_encode(t, text->len ? text->data : "", text->len, set->added_tokens, &ids, &n)));
    enum status s = OK;
    if (set->json) {
        s = cli_json_print(json_pack("{s:o, s:o, s:I}", "ids", cli_json_ids(ids, n), "tokens",
                                     cli_json_tokens(t, ids, n), "n", (json_int_t)n));
    } else {
        for (size_t i = 0; i < n; i++)
            printf("%s%" PRId32, i ? " " : "", ids[i]);
        putchar('\n');
    }
    gptjt_free(ids);
    return s;
}

static enum status decode(const struct settings *set, const struct gptjt_tokenizer *t, const int32_t *ids, size_t n)
{
    char *text;
    size_t len;
    TRY(cli_status(gptjt_decode(t, ids, n, &text, &len)));
    enum status s = OK;
    if (set->json)
        s = cli_json_print(json_pack("{s:o, s:I}", "text", cli_json_text(text, len), "n", (json_int_t)n));
    else
        fwrite(text, 1, len, stdout);
    gptjt_free(text);
    return s;
}

static enum status encode_object(const struct settings *set, const struct gptjt_tokenizer *t, const json_t *object)
{
    const json_t *text = json_object_get(object, "text");
    if (!json_is_string(text) || json_object_size(object) != 1)
        return fail(E_FORMAT, "an object with the one member \"text\", a string, is expected");
    int32_t *ids;
    size_t n;
    TRY(cli_status(gptjt_encode(t, json_string_value(text), json_string_length(text), set->added_tokens, &ids, &n)));
    const enum status s = cli_json_print(json_pack("{s:o}", "ids", cli_json_ids(ids, n)));
    gptjt_free(ids);
    return s;
}

static enum status decode_object(const struct gptjt_tokenizer *t, const json_t *object)
{
    const json_t *array = json_object_get(object, "ids");
    if (!array || json_object_size(object) != 1)
        return fail(E_FORMAT, "an object with the one member \"ids\", an array of token ids, is expected");
    int32_t *ids;
    size_t n;
    TRY(jsonl_ids(&ids, &n, array, "ids"));
    char *text;
    size_t len;
    enum status s = cli_status(gptjt_decode(t, ids, n, &text, &len));
    free(ids);
    TRY(s);
    s = cli_json_print(json_pack("{s:o}", "text", cli_json_text(text, len)));
    gptjt_free(text);
    return s;
}

static enum status convert_lines(const struct settings *set, const struct gptjt_tokenizer *t)
{
    struct jsonl lines;
    TRY(jsonl_open(&lines, set->input.file ? set->input.file : "-"));
    enum status s = OK;
    while (s == OK) {
        json_t *object;
        s = jsonl_next(&lines, &object);
        if (s != OK || !object) break;
        s = set->decode ? decode_object(t, object) : encode_object(set, t, object);
        if (s != OK) s = jsonl_fail(&lines, s);
        json_decref(object);
    }
    jsonl_close(&lines);
    return s;
}

static enum status convert_one(const struct settings *set, const struct gptjt_tokenizer *t)
{
    struct prompt p;
    TRY(prompt_read(&p, &set->input));
    enum status s = OK;
    if (!set->decode) {
        s = encode(set, t, &p.text);
    } else {
        if (!p.is_ids) s = prompt_parse_ids(p.text.len ? p.text.data : "", "input", &p.ids, &p.n_ids);
        p.is_ids = true;
        if (s == OK) s = decode(set, t, p.ids, p.n_ids);
    }
    prompt_free(&p);
    return s;
}

static enum status check(const struct settings *set)
{
    const struct prompt_options *in = &set->input;
    if (set->json && set->jsonl) return fail(E_ARG, "give --json or --jsonl, not both");
    if (set->jsonl && (in->text || in->ids)) return fail(E_ARG, "--jsonl reads lines from -f or standard input only");
    if (set->decode && in->text) return fail(E_ARG, "--decode takes ids (--ids, -f or standard input), not -p");
    if (!set->decode && in->ids) return fail(E_ARG, "--ids needs --decode");
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    (void)args;
    const struct settings *set = settings;
    TRY(check(set));
    struct model_path path;
    TRY(model_path_resolve(&path, set->common.model));
    struct gptjt_tokenizer *t;
    TRY(cli_status(gptjt_tokenizer_open(&t, path.dir)));
    const enum status s = set->jsonl ? convert_lines(set, t) : convert_one(set, t);
    gptjt_tokenizer_close(t);
    return s;
}

const struct command command_tokenize = {
    .name = "tokenize",
    .summary = "turn text into token ids and back",
    .usage = "[-m MODEL] [-p TEXT | -f FILE | < FILE] [--decode] [options]",
    .about =
        "Prints the token ids of a text on one line; with --decode the exact bytes of ids, and no newline after\n"
        "them. Reads the model's tokenizer files only: tokenizer.json, or vocab.json and merges.txt with what names\n"
        "added tokens.",
    .examples = "  gptjt tokenize -p 'Hello world'\n"
                "  gptjt tokenize --decode --ids 15496,995\n"
                "  gptjt tokenize -m EleutherAI/gpt-j-6b --jsonl < texts.jsonl > ids.jsonl",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .run = run,
};
