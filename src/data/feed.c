// SPDX-License-Identifier: Apache-2.0
/* Three kinds of feeds behind one cursor: shuffled records, tokens files, and Natural-Instructions, which draws. */
#include "data/feed.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "data/bytes.h"
#include "data/example.h"
#include "data/ni.h"
#include "data/tokens_file.h"

struct feed {
    struct feed_settings set;
    struct example_settings example;
    struct paths paths;
    struct feed_cursor cursor;
    uint64_t good_epoch; /* the last one that gave a document with text */

    struct records *records;
    bool block_is_read;
    struct tokens_file *files; /* [paths.n] */
    struct ni *ni;

    uint64_t row; /* the one begun last */
    struct example_style style;
    bool row_has_text;
    struct token_list document; /* at the cursor, while have */
    int64_t prefix;
    bool have;
};

/* ---- Opening ---- */

static bool is_tokens_file(const char *path)
{
    const size_t n = strlen(path), e = strlen(TOKENS_FILE_EXTENSION);
    return n > e && !strcmp(path + n - e, TOKENS_FILE_EXTENSION);
}

static bool is_task(const char *path)
{
    static const char extension[] = ".json";
    size_t len;
    bytes_packing_of(path, &len);
    return len >= strlen(extension) && !memcmp(path + len - strlen(extension), extension, strlen(extension));
}

static enum status open_records(struct feed *f)
{
    const struct feed_settings *set = &f->set;
    for (int i = 0; i < f->paths.n; i++)
        if (!stream_knows(f->paths.items[i]))
            return fail(E_ARG, "%s: is none of .jsonl, .json and .txt, as they are or with .gz or .zst",
                        f->paths.items[i]);
    const struct records_settings records = {.name = set->name,
                                             .stream.members = set->source->format == DATA_COT,
                                             .seed = set->seed,
                                             .source = set->index,
                                             .rank = set->rank,
                                             .n_ranks = set->n_ranks};
    return records_open(&f->records, &records, &f->paths);
}

static enum status open_tokens(struct feed *f)
{
    const struct tokens_file_vocab vocab = tokens_file_vocab_of(f->set.tokenizer);
    f->files = calloc((size_t)f->paths.n, sizeof *f->files);
    if (!f->files) return fail(E_NOMEM, "%s: out of memory", f->set.name);
    uint64_t n = 0;
    for (int i = 0; i < f->paths.n; i++) {
        TRY(tokens_file_open(&f->files[i], f->paths.items[i], &vocab));
        n += f->files[i].n_documents;
        if (!f->files[i].prefixes != !f->files[0].prefixes)
            return fail(E_ARG, "%s: of %s and %s only one has prompts", f->set.name, f->paths.items[0],
                        f->paths.items[i]);
    }
    return n ? OK : fail(E_FORMAT, "%s: there is no document in %s", f->set.name, f->paths.items[0]);
}

static enum status open_format(struct feed *f)
{
    const struct data_source *source = f->set.source;
    const bool tokens = source->format == DATA_TOKENS, ni = source->format == DATA_NI;
    enum status s = paths_find(&f->paths, &source->paths, tokens ? is_tokens_file : ni ? is_task : stream_knows);
    if (s == OK && ni) s = paths_read_lists(&f->paths);
    if (s != OK) return fail(s, "source %s: %s", f->set.name, status_message());
    if (tokens) return open_tokens(f);
    return ni ? ni_open(&f->ni, &f->paths) : open_records(f);
}

enum status feed_open(struct feed **out, const struct feed_settings *settings)
{
    struct feed *f = calloc(1, sizeof *f);
    if (!f) return fail(E_NOMEM, "%s: out of memory", settings->name);
    f->set = *settings;
    f->example = (struct example_settings){settings->source, settings->tokenizer, settings->join, -1};
    enum status s = example_end_of_text(&f->example.end_of_text, settings->source, settings->tokenizer);
    if (s == OK) s = open_format(f);
    if (s == OK)
        *out = f;
    else
        feed_close(f);
    return s;
}

void feed_close(struct feed *f)
{
    if (!f) return;
    records_close(f->records);
    for (int i = 0; f->files && i < f->paths.n; i++)
        tokens_file_close(&f->files[i]);
    free(f->files);
    ni_close(f->ni);
    paths_free(&f->paths);
    token_list_free(&f->document);
    free(f);
}

bool feed_has_prefixes(const struct feed *f)
{
    return f->set.source->format == DATA_PROMPT || (f->files && f->files[0].prefixes);
}

/* ---- The document at the cursor ---- */

/* Every rank has been through all records once after n_ranks epochs; one more may have begun in the middle. */
static enum status skip_empty(struct feed *f)
{
    f->cursor.skipped++;
    f->cursor.next++;
    f->cursor.token = 0;
    if (f->cursor.block.epoch <= f->good_epoch + (uint64_t)f->set.n_ranks + 1) return OK;
    return fail(E_FORMAT, "source %s: all documents of %s and the other files are empty", f->set.name,
                f->paths.items[0]);
}

/* The block of the cursor, or the next one if that is used up. */
static enum status read_block(struct feed *f)
{
    struct feed_cursor *c = &f->cursor;
    if (!f->block_is_read) TRY(records_load(f->records, &c->block, c->n_blocks));
    f->block_is_read = true;
    if (c->next < records_count(f->records)) return OK;
    c->block = records_next(f->records);
    c->n_blocks++;
    c->next = 0;
    return records_load(f->records, &c->block, c->n_blocks);
}

static enum status load_record(struct feed *f)
{
    TRY(read_block(f));
    const struct record record = records_get(f->records, (size_t)f->cursor.next);
    return example_tokens(&f->document, &f->prefix, &f->example, &record, &f->style, !f->row_has_text);
}

static uint64_t n_documents(const struct feed *f)
{
    uint64_t n = 0;
    for (int i = 0; i < f->paths.n; i++)
        n += f->files[i].n_documents;
    return n;
}

/* The documents of all files are one numbering, permuted anew every epoch and divided among ranks as records are. */
static enum status load_tokens(struct feed *f)
{
    struct feed_cursor *c = &f->cursor;
    const uint64_t n = n_documents(f), n_ranks = (uint64_t)f->set.n_ranks;
    uint64_t place;
    for (;;) {
        place = ((uint64_t)f->set.rank + n_ranks - c->block.epoch % n_ranks) % n_ranks + c->next * n_ranks;
        if (place < n) break;
        c->block.epoch++;
        c->next = 0;
    }
    const struct draws d = draws_begin(f->set.seed, DRAWS_FILES, f->set.index, 0, c->block.epoch);
    uint64_t i = draws_permute(&d, place, n);
    const struct tokens_file *file = f->files;
    for (; i >= file->n_documents; file++)
        i -= file->n_documents;
    return tokens_file_document(file, i, &f->document, &f->prefix);
}

static enum status load_ni(struct feed *f)
{
    struct draws d = draws_begin(f->set.seed, DRAWS_TEXT, f->set.index, f->set.rank, f->row);
    f->prefix = EXAMPLE_NO_PREFIX;
    return ni_text(f->ni, &f->document, f->set.tokenizer, f->set.row_tokens, &d);
}

static enum status load(struct feed *f)
{
    while (!f->have) {
        TRY(f->ni ? load_ni(f) : f->files ? load_tokens(f) : load_record(f));
        f->have = f->document.n > 0;
        if (!f->have) TRY(skip_empty(f));
    }
    f->good_epoch = f->cursor.block.epoch;
    return OK;
}

/* ---- Rows ---- */

static bool is_per_row(const struct feed *f)
{
    return f->ni || f->set.source->format == DATA_P3;
}

void feed_begin_row(struct feed *f)
{
    f->row = f->cursor.rows++;
    f->row_has_text = false;
    struct draws d = draws_begin(f->set.seed, DRAWS_TEXT, f->set.index, f->set.rank, f->row);
    if (!f->ni) f->style = example_draw_style(&d, f->set.source->format);
}

enum status feed_document(struct feed *f, const int32_t **ids, size_t *n, int64_t *prefix)
{
    TRY(load(f));
    if (f->cursor.token >= f->document.n) /* only of a state that is not ours */
        return fail(E_FORMAT, "source %s: goes on at token %" PRIu64 " of a document of %zu", f->set.name,
                    f->cursor.token, f->document.n);
    *ids = f->document.ids + f->cursor.token;
    *n = f->document.n - (size_t)f->cursor.token;
    *prefix = f->prefix;
    return OK;
}

static void end_document(struct feed *f)
{
    f->have = false;
    f->cursor.token = 0;
    if (!f->ni) f->cursor.next++;
}

void feed_take(struct feed *f, size_t n)
{
    assert(f->have && n <= f->document.n - f->cursor.token);
    f->cursor.token += n;
    f->row_has_text = true;
    if (f->cursor.token == f->document.n) end_document(f);
}

void feed_end_row(struct feed *f)
{
    if (!is_per_row(f)) return;
    if (f->cursor.token) end_document(f);
    f->have = false; /* what was looked at and not taken was made for this row */
}

/* ---- State ---- */

struct feed_cursor feed_at(const struct feed *f)
{
    return f->cursor;
}

static enum status check_cursor(const struct feed *f, const struct feed_cursor *c)
{
    static const uint64_t MOST = (uint64_t)1 << 39; /* draws_begin() takes 40 bits */
    const bool sane = c->block.epoch < MOST && c->n_blocks < MOST && c->rows < MOST && c->next < MOST &&
                      c->block.file <= (uint64_t)f->paths.n && c->skipped < MOST;
    if (!sane || (is_per_row(f) && c->token))
        return fail(E_FORMAT, "source %s: the state names no place in its files", f->set.name);
    return OK;
}

enum status feed_restore(struct feed *f, const struct feed_cursor *c)
{
    TRY(check_cursor(f, c));
    f->cursor = *c;
    f->good_epoch = c->block.epoch;
    f->block_is_read = false;
    f->have = false;
    if (f->records) {
        TRY(records_load(f->records, &c->block, c->n_blocks));
        f->block_is_read = true;
        if (c->next > records_count(f->records))
            return fail(E_FORMAT, "source %s: goes on at record %" PRIu64 " of a block of %zu", f->set.name, c->next,
                        records_count(f->records));
    }
    const int32_t *ids;
    size_t n;
    int64_t prefix;
    return c->token ? feed_document(f, &ids, &n, &prefix) : OK;
}

uint64_t feed_fingerprint(const struct feed *f)
{
    uint64_t hash = HASH_BEGIN ^ (uint64_t)f->set.source->format;
    for (int i = 0; i < f->paths.n; i++) {
        const char *slash = strrchr(f->paths.items[i], '/'), *name = slash ? slash + 1 : f->paths.items[i];
        hash = hash_bytes(hash, name, strlen(name));
        struct stat st;
        const uint64_t bytes = stat(f->paths.items[i], &st) == 0 ? (uint64_t)st.st_size : 0;
        hash = hash_value(hash, bytes);
    }
    return hash;
}
