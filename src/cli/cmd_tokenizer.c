// SPDX-License-Identifier: Apache-2.0
/* gptjt tokenizer train: learns a byte-level BPE vocabulary from text files. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/output_dir.h"
#include "data/paths.h"
#include "data/stream.h"
#include "tokenizer/bpe_train.h"
#include "tokenizer/vocabfile_write.h"

enum { DIGITS_MERGED, DIGITS_APART };

struct settings {
    struct common common;
    const char *out, *end_of_text, *field;
    int64_t vocab_size, extra_tokens, min_frequency;
    int digits;
    bool by_line, force, json;
};

static const struct settings defaults = {
    .common = COMMON_DEFAULTS, .end_of_text = "<|endoftext|>", .field = "text", .min_frequency = 2};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(out),
     .meta = "DIR",
     .help = "where to write the tokenizer's files"},
    {.name = "vocab-size",
     .type = OPTION_INT,
     FIELD(vocab_size),
     .min = 257,
     .max = VOCAB_MAX_IDS,
     .meta = "N",
     .help = "tokens in all: 256 bytes, what is learned, the special token, extra tokens (no default)"},
    {.name = "special",
     .type = OPTION_STRING,
     FIELD(end_of_text),
     .meta = "TEXT",
     .help = "the token that ends (and begins) texts; its id follows the last one that was learned"},
    {.name = "extra-tokens",
     .type = OPTION_INT,
     FIELD(extra_tokens),
     .max = 1 << 16,
     .meta = "N",
     .help = "added tokens <|extratoken_1|> to <|extratoken_N|> behind it, as GPT-J has 143; UL2 needs some as "
             "sentinels"},
    {.name = "min-frequency",
     .type = OPTION_INT,
     FIELD(min_frequency),
     .min = 1,
     .max = 1e15,
     .meta = "N",
     .help = "how often a pair must occur to become a token"},
    {.name = "digits",
     .type = OPTION_CHOICE,
     FIELD(digits),
     .choices = "merged|apart",
     .help =
         "apart: no token has a digit and anything else in it, so that numbers are spelled, which small models copy "
         "and compute better with"},
    {.name = "field",
     .type = OPTION_STRING,
     FIELD(field),
     .meta = "NAME",
     .help = "the member of JSON objects, or the column of csv files, that has the text; '*': every string in them is "
             "one"},
    {.name = "by-line",
     .type = OPTION_FLAG,
     FIELD(by_line),
     .help = "take every line for a text of its own, as Hugging Face's train() does when it reads files: no token then "
             "has anything behind a line break"},
    {.name = "force", .type = OPTION_FLAG, FIELD(force), .help = "write into a directory that is not empty"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print the statistics as one object"},
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- Reading texts ---- */

struct reading {
    const struct settings *set;
    struct bpe_trainer *trainer;
    struct paths paths;
    struct progress bar;
    uint64_t total, before; /* bytes of all files, of those done */
};

/* Every string in value, however deep. */
static enum status add_strings(struct bpe_trainer *t, json_t *value)
{
    if (json_is_string(value)) return bpe_trainer_add(t, json_string_value(value), json_string_length(value));
    const char *key;
    json_t *member;
    size_t i;
    json_object_foreach (value, key, member)
        TRY(add_strings(t, member));
    json_array_foreach (value, i, member)
        TRY(add_strings(t, member));
    return OK;
}

static enum status add_value(const struct reading *r, json_t *value, const char *where)
{
    const char *field = r->set->field;
    if (!strcmp(field, "*") || json_is_string(value)) return add_strings(r->trainer, value);
    json_t *text = json_object_get(value, field);
    if (!json_is_string(text))
        return fail(E_FORMAT, "%s: %s \"%s\" (--field; '*' takes every string)", where,
                    text ? "not a string:" : "there is no", field);
    return add_strings(r->trainer, text);
}

static enum status add_record(const struct reading *r, const struct stream_record *record, const char *path)
{
    if (!record->is_json) return bpe_trainer_add(r->trainer, record->data, record->len);
    char where[512];
    json_t *value;
    stream_where(where, sizeof where, path, record->place.number);
    TRY(json_read_text(&value, record->data, record->len, where));
    const enum status s = add_value(r, value, where);
    json_decref(value);
    return s;
}

static enum status add_records(struct reading *r, struct stream *stream, const char *path)
{
    for (;;) {
        struct stream_record record;
        bool got;
        TRY(stream_next(stream, true, &record, &got));
        if (!got) return OK;
        TRY(add_record(r, &record, path));
        progress_update(&r->bar, r->before + stream_file_bytes(stream));
        if (interrupt_seen()) return fail(E_CANCELLED, "interrupted");
    }
}

static uint64_t bytes_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static enum status add_file(struct reading *r, const char *path)
{
    const struct stream_options plain = {0};
    const struct stream_place beginning = {0};
    struct stream *stream;
    TRY(stream_open(&stream, path, &plain, &beginning));
    const enum status s = add_records(r, stream, path);
    stream_close(stream);
    r->before += bytes_of(path);
    return s;
}

static enum status add_files(struct reading *r)
{
    for (int i = 0; i < r->paths.n; i++)
        r->total += bytes_of(r->paths.items[i]);
    progress_begin(&r->bar, "count words", "B", r->total, r->set->common.quiet);
    enum status s = OK;
    for (int i = 0; s == OK && i < r->paths.n; i++)
        s = add_file(r, r->paths.items[i]);
    progress_end(&r->bar);
    return s;
}

/* ---- Learning ---- */

static int32_t tokens_to_learn(const struct settings *set)
{
    return (int32_t)(set->vocab_size - 1 - set->extra_tokens);
}

static bool on_progress(void *user, int32_t n_tokens)
{
    progress_update(user, (uint64_t)n_tokens);
    return !interrupt_seen();
}

static enum status learn(struct bpe_trained *out, const struct settings *set, struct bpe_trainer *trainer)
{
    struct progress bar;
    progress_begin(&bar, "merge", "tokens", (uint64_t)tokens_to_learn(set), set->common.quiet);
    const enum status s = bpe_trainer_run(out, trainer, on_progress, &bar);
    progress_end(&bar);
    return s;
}

static enum status read_and_learn(struct bpe_trained *out, const struct settings *set, const struct option_strings *in)
{
    const struct bpe_train_options train = {.n_tokens = tokens_to_learn(set),
                                            .min_frequency = (uint64_t)set->min_frequency,
                                            .digits_apart = set->digits == DIGITS_APART,
                                            .by_line = set->by_line};
    struct reading r = {.set = set};
    enum status s = paths_find(&r.paths, in, stream_knows);
    if (s == OK) s = bpe_trainer_create(&r.trainer, &train);
    if (s == OK) s = add_files(&r);
    if (s == OK) s = learn(out, set, r.trainer);
    bpe_trainer_free(r.trainer);
    paths_free(&r.paths);
    return s;
}

/* ---- What came out ---- */

enum { LONGEST = 12 };

static size_t token_len(const struct vocab *v, int32_t id)
{
    return vocab_token(v, id)->len;
}

/* Ids of the longest tokens, the longest and then the earliest first. */
static int find_longest(int32_t ids[LONGEST], const struct vocab *v)
{
    int n = 0;
    for (int32_t id = BPE_TRAIN_BYTES; id < v->n_ids; id++) {
        int at = n;
        while (at && token_len(v, id) > token_len(v, ids[at - 1]))
            at--;
        if (at == LONGEST) continue;
        if (n < LONGEST) n++;
        memmove(ids + at + 1, ids + at, (size_t)(n - at - 1) * sizeof *ids);
        ids[at] = id;
    }
    return n;
}

static json_t *token_json(const struct vocab *v, int32_t id)
{
    return cli_json_text(vocab_bytes(v, vocab_token(v, id)), token_len(v, id));
}

static double bytes_per_token(const struct bpe_trained *b)
{
    return b->n_tokens ? (double)b->n_bytes / (double)b->n_tokens : 0;
}

static int64_t size_of(const struct settings *set, const struct bpe_trained *b)
{
    return b->vocab.n_ids + 1 + set->extra_tokens;
}

static enum status print_json(const struct settings *set, const struct bpe_trained *b, double seconds)
{
    int32_t ids[LONGEST];
    const int n = find_longest(ids, &b->vocab);
    json_t *longest = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(longest, token_json(&b->vocab, ids[i]));
    return cli_json_print(json_pack(
        "{s:s, s:I, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:f}", "output", set->out, "vocab_size",
        (json_int_t)size_of(set, b), "learned", b->vocab.n_ids - BPE_TRAIN_BYTES, "end_of_text_id", b->vocab.n_ids,
        "last_frequency", (json_int_t)b->last_frequency, "texts", (json_int_t)b->n_texts, "bytes",
        (json_int_t)b->n_bytes, "different_words", (json_int_t)b->n_words, "tokens", (json_int_t)b->n_tokens,
        "bytes_per_token", bytes_per_token(b), "longest", longest, "seconds", seconds));
}

static enum status print_longest(const struct bpe_trained *b)
{
    int32_t ids[LONGEST];
    const int n = find_longest(ids, &b->vocab);
    fputs("longest  ", stdout);
    for (int i = 0; i < n; i++) {
        json_t *text = token_json(&b->vocab, ids[i]);
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        json_decref(text);
        if (!quoted) return fail(E_NOMEM, "out of memory");
        printf("%s%s", i ? ", " : "", quoted);
        free(quoted);
    }
    putchar('\n');
    return OK;
}

static enum status print_text(const struct settings *set, const struct bpe_trained *b, double seconds)
{
    printf("%s: %s tokens in %.1f s\n", set->out, amount_count(size_of(set, b)).text, seconds);
    printf("texts    %s of %s, with %s different words\n", amount_count((int64_t)b->n_texts).text,
           amount_bytes(b->n_bytes).text, amount_count((int64_t)b->n_words).text);
    printf("learned  %s tokens, the last of a pair that occurs %s times\n",
           amount_count(b->vocab.n_ids - BPE_TRAIN_BYTES).text, amount_count((int64_t)b->last_frequency).text);
    printf("ids      bytes 0 to 255, learned to %" PRId32 ", %s %" PRId32, b->vocab.n_ids - 1, set->end_of_text,
           b->vocab.n_ids);
    if (set->extra_tokens) printf(", extra tokens %" PRId32 " to %" PRId64, b->vocab.n_ids + 1, size_of(set, b) - 1);
    printf("\nlength   the texts are %s tokens, %.3f bytes each\n", amount_count((int64_t)b->n_tokens).text,
           bytes_per_token(b));
    return print_longest(b);
}

static void warn_of_few(const struct settings *set, const struct bpe_trained *b)
{
    if (b->vocab.n_ids == tokens_to_learn(set)) return;
    log_line(LOG_WARN, "%s: %" PRId64 " tokens instead of %" PRId64 ": no other pair occurs %" PRId64 " times",
             set->out, size_of(set, b), set->vocab_size, set->min_frequency);
}

/* ---- Running ---- */

static enum status check(const struct settings *set, const struct option_args *args)
{
    if (!args->n_positional || strcmp(args->positional[0], "train"))
        return fail(E_ARG, "say what to do, and there is one thing: train FILES...");
    if (args->n_positional < 2) return fail(E_ARG, "no texts: give files, directories or patterns after train");
    if (!set->out || !*set->out) return fail(E_ARG, "no output: give -o DIR");
    if (!set->vocab_size) return fail(E_ARG, "no size: give --vocab-size N");
    if (!*set->end_of_text) return fail(E_ARG, "--special is empty");
    if (!utf8_valid(set->end_of_text, strlen(set->end_of_text))) return fail(E_ARG, "--special is not UTF-8");
    if (tokens_to_learn(set) < BPE_TRAIN_BYTES)
        return fail(E_ARG, "--vocab-size %" PRId64 " has no room for 256 bytes, 1 special and %" PRId64 " extra tokens",
                    set->vocab_size, set->extra_tokens);
    return OK;
}

static void remove_files(const char *dir)
{
    for (int i = 0; vocabfile_names[i]; i++) {
        char path[PATH_MAX];
        if (file_join(path, sizeof path, dir, vocabfile_names[i]) == OK) unlink(path);
    }
    rmdir(dir);
}

static enum status write_files(const struct settings *set, const struct bpe_trained *learned)
{
    const struct vocabfile_new files = {learned, set->end_of_text, (int)set->extra_tokens};
    bool created;
    TRY(output_dir_make(&created, set->out, set->force));
    const enum status s = vocabfile_write(set->out, &files);
    if (s != OK && created) remove_files(set->out);
    return s;
}

static enum status run(void *settings, const struct option_args *args)
{
    const struct settings *set = settings;
    TRY(check(set, args));
    const struct option_strings in = {args->positional + 1, args->n_positional - 1};
    const int64_t start = clock_ns();
    struct bpe_trained learned = {0};
    interrupt_catch();
    enum status s = read_and_learn(&learned, set, &in);
    if (s == OK) s = write_files(set, &learned);
    if (s == OK) warn_of_few(set, &learned);
    const double seconds = clock_seconds(start, clock_ns());
    if (s == OK) s = set->json ? print_json(set, &learned, seconds) : print_text(set, &learned, seconds);
    bpe_trained_free(&learned);
    return s;
}

const struct command command_tokenizer = {
    .name = "tokenizer",
    .summary = "train a vocabulary of one's own on text files",
    .usage = "train FILES... --vocab-size N -o DIR [options]",
    .about =
        "Learns a byte-level BPE vocabulary of GPT-2's kind, merge by merge as Hugging Face's trainer does, and "
        "writes\n"
        "it in their format for every program. FILES are .txt, .jsonl, .json or .csv, as they are or with .gz or "
        ".zst,\n"
        "directories of such, or patterns in quotes. Memory grows with the number of different words, not with the "
        "text.",
    .examples = "  gptjt tokenizer train texts/*.txt --vocab-size 2048 --extra-tokens 8 -o my-tokenizer\n"
                "  gptjt tokenizer train tasks/ corpus.jsonl.gz --field '*' --digits apart --vocab-size 50400 "
                "--extra-tokens 143 -o big\n"
                "  gptjt synth --init --tokenizer my-tokenizer --n-layer 4 --n-embd 128 --n-head 4 --rotary-dim 16 -o "
                "new-model",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = INT_MAX,
    .run = run,
};
