// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include <sys/stat.h>

#include "data/example.h"
#include "data/tokens_file.h"

const char *tokenize_obstacle(const struct data_source *source)
{
    switch (source->format) {
    case DATA_NI:
    case DATA_P3: return "its texts are put together anew for every sequence";
    case DATA_TOKENS: return "it is tokenized already";
    default: return NULL;
    }
}

/* A file at a time, a record at a time. */
struct walk {
    const struct tokenize_job *job;
    struct example_settings example;
    struct paths paths;
    struct tokens_writer writer;
    struct token_list document;
    struct tokenize_result result;
    uint64_t total, before; /* bytes of all files, of those done */
};

static uint64_t bytes_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static enum status add_record(struct walk *w, const struct stream_record *record, const char *path)
{
    static const struct example_style none;
    const struct record r = {record->data, record->len, record->is_json, path, record->place.number};
    int64_t prefix;
    TRY(example_tokens(&w->document, &prefix, &w->example, &r, &none, true));
    if (!w->document.n) {
        w->result.n_skipped++;
        return OK;
    }
    w->result.n_documents++;
    w->result.n_tokens += w->document.n;
    return tokens_writer_add(&w->writer, w->document.ids, w->document.n, prefix);
}

static enum status add_records(struct walk *w, struct stream *s, const char *path)
{
    for (;;) {
        struct stream_record record;
        bool got;
        TRY(stream_next(s, true, &record, &got));
        if (!got) return OK;
        TRY(add_record(w, &record, path));
        const struct tokenize_job *job = w->job;
        if (job->progress && !job->progress(job->user, w->before + stream_file_bytes(s), w->total))
            return fail(E_CANCELLED, "stopped");
    }
}

static enum status add_file(struct walk *w, const char *path)
{
    const struct stream_options options = {.members = w->job->source->format == DATA_COT};
    const struct stream_place beginning = {0};
    struct stream *s;
    TRY(stream_open(&s, path, &options, &beginning));
    const enum status status = add_records(w, s, path);
    stream_close(s);
    w->before += bytes_of(path);
    return status;
}

static enum status add_files(struct walk *w, const char *path)
{
    TRY(example_end_of_text(&w->example.end_of_text, w->job->source, w->job->tokenizer));
    TRY(paths_find(&w->paths, &w->job->source->paths, stream_knows));
    for (int i = 0; i < w->paths.n; i++)
        w->total += bytes_of(w->paths.items[i]);
    const struct tokens_file_vocab vocab = tokens_file_vocab_of(w->job->tokenizer);
    TRY(tokens_writer_open(&w->writer, path, &vocab, w->job->source->format == DATA_PROMPT));
    for (int i = 0; i < w->paths.n; i++)
        TRY(add_file(w, w->paths.items[i]));
    if (!w->result.n_documents)
        return fail(E_FORMAT, "source %s: there is no document with text", data_source_name(w->job->source));
    return tokens_writer_commit(&w->writer);
}

enum status tokenize_write(struct tokenize_result *out, const struct tokenize_job *job, const char *path)
{
    const char *obstacle = tokenize_obstacle(job->source);
    if (obstacle) return fail(E_UNSUPPORTED, "source %s: %s", data_source_name(job->source), obstacle);
    struct walk w = {.job = job, .example = {job->source, job->tokenizer, job->documents == DOCUMENTS_JOIN, -1}};
    const enum status s = add_files(&w, path);
    if (s == OK) *out = w.result;
    tokens_writer_abort(&w.writer);
    token_list_free(&w.document);
    paths_free(&w.paths);
    return s;
}
