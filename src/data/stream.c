// SPDX-License-Identifier: Apache-2.0
/* Four readers behind one table of functions. Lines, rows and text take bytes in blocks; elements parse a small file
 * whole. */
#include "data/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/json.h"
#include "base/utf8.h"
#include "data/bytes.h"
#include "data/csv_row.h"

struct stream_type {
    const char *extension, *unit;
    enum status (*start)(struct stream *s, const struct stream_options *o);
    enum status (*next)(struct stream *s, bool keep, struct stream_record *out, bool *got);
};

struct stream {
    const struct stream_type *type;
    const char *path;         /* borrowed */
    struct stream_place next; /* where the next record begins, or blank lines before it */

    struct bytes *bytes;
    char block[1 << 16]; /* .jsonl, .csv, .txt */
    size_t at, end;      /* unread bytes of block */
    struct buf kept;     /* .jsonl: the line; .csv: the row; .txt: the part, and what was read of the next */
    size_t part_len;     /* .txt: bytes of kept that the last record had */
    bool ended;

    json_t *root; /* .json; .csv: the header's names */
    bool members;
    char *element; /* as text: free() */
};

static const struct stream_type *type_of(const char *path);

void stream_where(char *out, size_t out_bytes, const char *path, uint64_t number)
{
    const struct stream_type *type = type_of(path);
    snprintf(out, out_bytes, "%.400s: %s %" PRIu64, path, type ? type->unit : "record", number + 1);
}

static enum status fail_here(const struct stream *s, enum status code, const char *message)
{
    char where[512];
    stream_where(where, sizeof where, s->path, s->next.number);
    return fail(code, "%s: %s", where, message);
}

/* ---- Bytes of .jsonl, .csv and .txt ---- */

static enum status start_bytes(struct stream *s, const struct stream_options *o)
{
    (void)o;
    const enum status status = bytes_skip(s->bytes, s->next.offset);
    return status == OK ? OK : fail_here(s, status, status_message());
}

/* More bytes into the block once it is used up. A byte order mark at the beginning of the file is none of its text. */
static enum status refill(struct stream *s)
{
    if (s->at < s->end || s->ended) return OK;
    s->at = 0;
    const enum status status = bytes_read(s->bytes, s->block, sizeof s->block, &s->end);
    if (status != OK) {
        s->end = 0;
        return fail_here(s, status, status_message());
    }
    s->ended = s->end == 0;
    return OK;
}

static bool is_blank(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n'))
        i++;
    return i == len;
}

static const char mark[] = "\xef\xbb\xbf";

/* ---- .jsonl ---- */

/* Appends one line without its end to what is kept; *len counts it. A line is kept, or only looked at for whether it is
 * blank. */
static enum status read_line(struct stream *s, bool keep, size_t *len, bool *blank)
{
    *len = 0;
    *blank = true;
    for (bool complete = false; !complete;) {
        TRY(refill(s));
        if (s->ended) return OK;
        const char *from = s->block + s->at, *newline = memchr(from, '\n', s->end - s->at);
        const size_t n = newline ? (size_t)(newline - from) : s->end - s->at;
        complete = newline;
        const size_t skip = s->next.offset == 0 && *len == 0 && n >= 3 && !memcmp(from, mark, 3) ? 3 : 0;
        *blank = *blank && is_blank(from + skip, n - skip);
        *len += n + complete;
        s->at += n + complete;
        if (*len > STREAM_LINE_MAX) return fail_here(s, E_LIMIT, "a line of more than 64 MiB");
        if (keep) buf_append(&s->kept, from + skip, n - skip);
    }
    return OK;
}

static enum status next_line(struct stream *s, bool keep, struct stream_record *out, bool *got)
{
    for (*got = false; !*got;) {
        size_t len;
        bool blank;
        buf_clear(&s->kept);
        TRY(read_line(s, keep, &len, &blank));
        if (!len) return OK;
        const struct stream_place place = s->next;
        s->next = (struct stream_place){place.offset + len, place.number + 1};
        if (blank) continue;
        *got = true;
        if (!keep) return OK;
        TRY(buf_status(&s->kept));
        *out = (struct stream_record){s->kept.data, s->kept.len, true, place};
    }
    return OK;
}

/* ---- .csv ---- */

/* A row, which ends where a line does outside of quotes; *len 0 at the end of the file. */
static enum status read_row(struct stream *s, size_t *len, bool *blank)
{
    buf_clear(&s->kept);
    TRY(read_line(s, true, len, blank));
    while (!*blank && csv_row_open(s->kept.data, s->kept.len)) {
        size_t more;
        bool more_blank;
        buf_puts(&s->kept, "\n");
        TRY(read_line(s, true, &more, &more_blank));
        if (!more) return fail_here(s, E_FORMAT, "quotes are not closed");
        *len += more;
        if (*len > STREAM_LINE_MAX) return fail_here(s, E_LIMIT, "a row of more than 64 MiB");
    }
    return buf_status(&s->kept);
}

static enum status next_row(struct stream *s, bool keep, struct stream_record *out, bool *got)
{
    for (*got = false; !*got;) {
        size_t len;
        bool blank;
        char where[512];
        TRY(read_row(s, &len, &blank));
        if (!len) return OK;
        const struct stream_place place = s->next;
        stream_where(where, sizeof where, s->path, place.number);
        s->next = (struct stream_place){place.offset + len, place.number + 1};
        if (blank) continue;
        *got = true;
        if (!keep) return OK;
        free(s->element);
        s->element = NULL;
        TRY(csv_row_object(&s->element, s->root, s->kept.data, s->kept.len, where));
        *out = (struct stream_record){s->element, strlen(s->element), true, place};
    }
    return OK;
}

static enum status read_header(struct stream *s)
{
    size_t len = 0;
    bool blank = true;
    char where[512];
    s->next = (struct stream_place){0, 0};
    stream_where(where, sizeof where, s->path, 0);
    TRY(read_row(s, &len, &blank));
    if (blank) return fail(E_FORMAT, "%s: there is no header", where);
    TRY(csv_row_fields(&s->root, s->kept.data, s->kept.len, where));
    s->next = (struct stream_place){len, 1};
    for (size_t i = 0; i < json_array_size(s->root); i++)
        for (size_t j = 0; j < i; j++)
            if (json_equal(json_array_get(s->root, i), json_array_get(s->root, j)))
                return fail(E_FORMAT, "%s: two columns are called \"%.100s\"", where,
                            json_string_value(json_array_get(s->root, i)));
    return OK;
}

/* The header is at the beginning wherever the records begin. */
static enum status start_rows(struct stream *s, const struct stream_options *o)
{
    (void)o;
    const struct stream_place from = s->next;
    TRY(read_header(s));
    if (from.offset <= s->next.offset) return OK;
    const uint64_t skip = from.offset - s->next.offset, here = s->end - s->at;
    s->next = from;
    s->at += (size_t)(skip < here ? skip : here);
    if (skip <= here) return OK;
    const enum status status = bytes_skip(s->bytes, skip - here);
    return status == OK ? OK : fail_here(s, status, status_message());
}

/* ---- .txt ---- */

/* Where to cut a full buffer: behind its last empty line, else its last line, else between two characters. */
static size_t part_end(const struct buf *b)
{
    for (size_t i = b->len; i-- > b->len / 2;)
        if (b->data[i] == '\n' && b->data[i - 1] == '\n') return i + 1;
    for (size_t i = b->len; i-- > b->len / 2;)
        if (b->data[i] == '\n') return i + 1;
    size_t end = b->len;
    while (end > b->len - 3 && ((unsigned char)b->data[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static enum status next_part(struct stream *s, bool keep, struct stream_record *out, bool *got)
{
    if (s->part_len) memmove(s->kept.data, s->kept.data + s->part_len, s->kept.len - s->part_len);
    s->kept.len -= s->part_len;
    s->part_len = 0;
    while (s->kept.len <= STREAM_PART_MAX) {
        TRY(refill(s));
        if (s->ended) break;
        const size_t room = STREAM_PART_MAX + 1 - s->kept.len, n = s->end - s->at < room ? s->end - s->at : room;
        buf_append(&s->kept, s->block + s->at, n);
        TRY(buf_status(&s->kept));
        s->at += n;
    }
    *got = s->kept.len > 0;
    if (!*got) return OK;
    s->part_len = s->kept.len;
    if (s->kept.len > STREAM_PART_MAX) {
        struct buf full = s->kept;
        full.len = STREAM_PART_MAX;
        s->part_len = part_end(&full);
    }
    const bool marked = s->next.offset == 0 && s->part_len >= 3 && !memcmp(s->kept.data, mark, 3);
    const size_t skip = marked ? 3 : 0;
    if (keep) *out = (struct stream_record){s->kept.data + skip, s->part_len - skip, false, s->next};
    s->next = (struct stream_place){s->next.offset + s->part_len, s->next.number + 1};
    return OK;
}

/* ---- .json ---- */

static enum status start_elements(struct stream *s, const struct stream_options *o)
{
    struct buf text = {0};
    s->members = o->members;
    enum status status = bytes_read_rest(s->bytes, &text, STREAM_JSON_MAX);
    if (status != OK)
        status = fail(status, "%s: %s", s->path, status_message());
    else
        status = json_read_text(&s->root, text.data ? text.data : "", text.len, s->path);
    buf_free(&text);
    TRY(status);
    if (!json_is_array(s->root) && !json_is_object(s->root))
        return fail(E_FORMAT, "%s: is neither an array nor an object", s->path);
    return OK;
}

/* Members of an object are walked from the front: files of this kind have some dozens. */
static const json_t *element(const struct stream *s, uint64_t i)
{
    if (json_is_array(s->root)) return i < json_array_size(s->root) ? json_array_get(s->root, (size_t)i) : NULL;
    if (!s->members) return i == 0 ? s->root : NULL;
    void *at = json_object_iter(s->root);
    for (; at && i; i--)
        at = json_object_iter_next(s->root, at);
    return at ? json_object_iter_value(at) : NULL;
}

static enum status next_element(struct stream *s, bool keep, struct stream_record *out, bool *got)
{
    const json_t *value = element(s, s->next.offset);
    *got = value;
    if (!value) return OK;
    if (keep) {
        free(s->element);
        s->element = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (!s->element) return fail(E_NOMEM, "%s: out of memory", s->path);
        *out = (struct stream_record){s->element, strlen(s->element), true, s->next};
    }
    s->next = (struct stream_place){s->next.offset + 1, s->next.number + 1};
    return OK;
}

/* ---- All of them ---- */

static const struct stream_type types[] = {
    {".jsonl", "line", start_bytes, next_line},
    {".csv", "row", start_rows, next_row},
    {".json", "element", start_elements, next_element},
    {".txt", "part", start_bytes, next_part},
};

static const struct stream_type *type_of(const char *path)
{
    size_t len;
    bytes_packing_of(path, &len);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        const size_t n = strlen(types[i].extension);
        if (len > n && !memcmp(path + len - n, types[i].extension, n)) return &types[i];
    }
    return NULL;
}

bool stream_knows(const char *path)
{
    return type_of(path);
}

static enum status open_bytes(struct stream **out, struct bytes *bytes, const char *path,
                              const struct stream_options *o, const struct stream_place *from)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s) {
        bytes_close(bytes);
        return fail(E_NOMEM, "%s: out of memory", path);
    }
    s->type = type_of(path);
    s->path = path;
    s->next = *from;
    s->bytes = bytes;
    const enum status status = s->type->start(s, o);
    if (status != OK) {
        stream_close(s);
        return status;
    }
    *out = s;
    return OK;
}

enum status stream_open(struct stream **out, const char *path, const struct stream_options *o,
                        const struct stream_place *from)
{
    struct bytes *bytes;
    if (!type_of(path))
        return fail(E_ARG, "%s: is none of .jsonl, .json, .csv and .txt, as they are or with .gz or .zst", path);
    TRY(bytes_open(&bytes, path));
    return open_bytes(out, bytes, path, o, from);
}

enum status stream_open_file(struct stream **out, FILE *file, const char *path, const struct stream_options *o,
                             const struct stream_place *from)
{
    struct bytes *bytes;
    size_t stem_len;
    assert(type_of(path));
    TRY(bytes_open_stream(&bytes, file, bytes_packing_of(path, &stem_len)));
    return open_bytes(out, bytes, path, o, from);
}

void stream_close(struct stream *s)
{
    if (!s) return;
    bytes_close(s->bytes);
    buf_free(&s->kept);
    json_decref(s->root);
    free(s->element);
    free(s);
}

enum status stream_next(struct stream *s, bool keep, struct stream_record *out, bool *got)
{
    return s->type->next(s, keep, out, got);
}

uint64_t stream_file_bytes(const struct stream *s)
{
    return bytes_position(s->bytes);
}

struct stream_place stream_at(const struct stream *s)
{
    return s->next;
}
