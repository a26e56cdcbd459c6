// SPDX-License-Identifier: Apache-2.0
#include "data/records.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "data/draws.h"

struct entry {
    size_t begin, len; /* in texts */
    bool is_json;
    const char *path;
    uint64_t number;
};

struct records {
    struct records_settings set;
    const struct paths *paths;
    struct stream *stream;   /* open where a block ended within a file, else NULL */
    struct records_place at; /* of the next record to read */
    struct buf texts;        /* of the block */
    struct entry *entries;   /* [RECORDS_BLOCK] */
    size_t n;
    uint64_t number; /* of the block */
};

enum status records_open(struct records **out, const struct records_settings *settings, const struct paths *paths)
{
    struct records *r = calloc(1, sizeof *r);
    struct entry *entries = calloc(RECORDS_BLOCK, sizeof *entries);
    if (!r || !entries) {
        free(entries);
        free(r);
        return fail(E_NOMEM, "%s: out of memory for a block of records", settings->name);
    }
    *r = (struct records){.set = *settings, .paths = paths, .entries = entries};
    *out = r;
    return OK;
}

void records_close(struct records *r)
{
    if (!r) return;
    stream_close(r->stream);
    buf_free(&r->texts);
    free(r->entries);
    free(r);
}

/* The same for all ranks: they divide one numbering of the records. */
static const char *file_of(const struct records *r, uint64_t epoch, uint64_t i)
{
    const struct draws d = draws_begin(r->set.seed, DRAWS_FILES, r->set.source, 0, epoch);
    return r->paths->items[draws_permute(&d, i, (uint64_t)r->paths->n)];
}

static void close_stream(struct records *r)
{
    stream_close(r->stream);
    r->stream = NULL;
}

static enum status add_record(struct records *r, const struct stream_record *record, const char *path)
{
    r->entries[r->n++] = (struct entry){r->texts.len, record->len, record->is_json, path, record->place.number};
    buf_append(&r->texts, record->data, record->len);
    return buf_status(&r->texts);
}

static bool is_full(const struct records *r)
{
    return r->n == RECORDS_BLOCK || r->texts.len >= RECORDS_BLOCK_BYTES;
}

/* From where we stand to the end of the file, or until the block is full. */
static enum status read_file(struct records *r)
{
    const char *path = file_of(r, r->at.epoch, r->at.file);
    if (!r->stream) TRY(stream_open(&r->stream, path, &r->set.stream, &r->at.place));
    while (!is_full(r)) {
        const uint64_t n_ranks = (uint64_t)r->set.n_ranks;
        const bool mine = (r->at.record % n_ranks + r->at.epoch % n_ranks) % n_ranks == (uint64_t)r->set.rank;
        struct stream_record record;
        bool got;
        TRY(stream_next(r->stream, mine, &record, &got));
        if (!got) {
            close_stream(r);
            r->at.file++;
            r->at.place = (struct stream_place){0};
            return OK;
        }
        if (mine) TRY(add_record(r, &record, path));
        r->at.record++;
        r->at.place = stream_at(r->stream);
    }
    return OK;
}

static enum status end_epoch(struct records *r)
{
    if (r->at.record == 0)
        return fail(E_FORMAT, "%s: there is no record in %s and the other files of this source", r->set.name,
                    r->paths->items[0]);
    r->at = (struct records_place){.epoch = r->at.epoch + 1};
    return OK;
}

static bool same_place(const struct records_place *a, const struct records_place *b)
{
    return a->epoch == b->epoch && a->file == b->file && a->place.offset == b->place.offset;
}

enum status records_load(struct records *r, const struct records_place *from, uint64_t number)
{
    if (!same_place(&r->at, from)) close_stream(r);
    r->at = *from;
    r->number = number;
    r->n = 0;
    buf_clear(&r->texts);
    while (!is_full(r)) {
        if (r->at.file < (uint64_t)r->paths->n) {
            TRY(read_file(r));
            continue;
        }
        TRY(end_epoch(r));
        if (r->n) break; /* every block is of one epoch; one without records for this rank is no block */
    }
    return OK;
}

size_t records_count(const struct records *r)
{
    return r->n;
}

struct record records_get(const struct records *r, size_t i)
{
    const struct draws d = draws_begin(r->set.seed, DRAWS_BLOCK, r->set.source, r->set.rank, r->number);
    const struct entry *e = &r->entries[draws_permute(&d, i, r->n)];
    return (struct record){r->texts.data ? r->texts.data + e->begin : "", e->len, e->is_json, e->path, e->number};
}

struct records_place records_next(const struct records *r)
{
    return r->at;
}
