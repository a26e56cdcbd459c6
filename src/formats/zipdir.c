// SPDX-License-Identifier: Apache-2.0
/* From the end of the file: the end record points to the central directory, whose records point to the entries. Files
 * beyond 4 GB have a second, wider end record, and wider numbers in an extra field of each record that needs them. */
#include "formats/zipdir.h"

#include <inttypes.h>
#include <string.h>

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20, /* stands right before the end record and points to the wide one */
    WIDE_END_BYTES = 56,
    RECORD_BYTES = 46,
    HEADER_BYTES = 30, /* before each entry's name and data */
    MAX_COMMENT = 65535,
    WIDE_FIELD = 1, /* the extra field with 64-bit numbers */
};

static uint64_t number(const uint8_t *p, unsigned width)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < width; i++)
        n |= (uint64_t)p[i] << 8 * i;
    return n;
}

static bool signed_as(const uint8_t *p, const char *two)
{
    return p[0] == 'P' && p[1] == 'K' && p[2] == (uint8_t)two[0] && p[3] == (uint8_t)two[1];
}

static enum status damaged(const char *file)
{
    return fail(E_FORMAT, "%s: the zip directory at the end of the file is missing or damaged: truncated?", file);
}

static bool find_end(size_t *out, const uint8_t *data, size_t bytes)
{
    for (size_t comment = 0; comment <= MAX_COMMENT && bytes >= END_BYTES + comment; comment++) {
        const size_t at = bytes - END_BYTES - comment;
        if (!signed_as(data + at, "\5\6") || number(data + at + 20, 2) != comment) continue;
        *out = at;
        return true;
    }
    return false;
}

enum status zipdir_open(struct zipdir *out, const uint8_t *data, size_t bytes, const char *file)
{
    size_t end;
    if (!find_end(&end, data, bytes)) return damaged(file);
    const uint8_t *p = data + end;
    uint64_t n = number(p + 10, 2), size = number(p + 12, 4), begin = number(p + 16, 4);
    if (end >= LOCATOR_BYTES && signed_as(p - LOCATOR_BYTES, "\6\7")) {
        const uint64_t wide = number(p - LOCATOR_BYTES + 8, 8);
        if (wide > end || end - wide < WIDE_END_BYTES || !signed_as(data + wide, "\6\6")) return damaged(file);
        end = (size_t)wide;
        n = number(data + wide + 32, 8);
        size = number(data + wide + 40, 8);
        begin = number(data + wide + 48, 8);
    }
    if (begin > end || size > end - begin || n > size / RECORD_BYTES) return damaged(file);
    *out = (struct zipdir){.file = file,
                           .data = data,
                           .begin = (size_t)begin,
                           .end = (size_t)(begin + size),
                           .at = (size_t)begin,
                           .left = n};
    return OK;
}

/* A number in a record is all ones when the extra field has the real one; there they stand in the same order. */
static void widen(struct zipdir_entry *e, const uint8_t *extra, size_t bytes)
{
    uint64_t *const numbers[] = {&e->bytes, &e->stored_bytes, &e->header_at};
    while (bytes >= 4) {
        const size_t id = (size_t)number(extra, 2), field_bytes = (size_t)number(extra + 2, 2);
        if (field_bytes > bytes - 4) return;
        const uint8_t *p = extra + 4, *end = p + field_bytes;
        for (size_t i = 0; id == WIDE_FIELD && i < COUNT_OF(numbers); i++) {
            if (*numbers[i] != UINT32_MAX || end - p < 8) continue;
            *numbers[i] = number(p, 8);
            p += 8;
        }
        if (id == WIDE_FIELD) return;
        bytes -= 4 + field_bytes;
        extra = end;
    }
}

enum status zipdir_next(struct zipdir *d, struct zipdir_entry *out)
{
    const uint8_t *p = d->data + d->at;
    if (d->end - d->at < RECORD_BYTES || !signed_as(p, "\1\2")) return damaged(d->file);
    const size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2),
                 comment = (size_t)number(p + 32, 2);
    const size_t bytes = RECORD_BYTES + name + extra + comment;
    if (bytes > d->end - d->at) return damaged(d->file);
    if (d->left == 1 && bytes != d->end - d->at) return damaged(d->file);
    *out = (struct zipdir_entry){.name = (const char *)p + RECORD_BYTES,
                                 .name_bytes = name,
                                 .bytes = number(p + 24, 4),
                                 .stored_bytes = number(p + 20, 4),
                                 .header_at = number(p + 42, 4),
                                 .method = (unsigned)number(p + 10, 2),
                                 .encrypted = p[8] & 1};
    widen(out, p + RECORD_BYTES + name, extra);
    d->at += bytes;
    d->left--;
    return OK;
}

enum status zipdir_locate(const struct zipdir *d, const struct zipdir_entry *e, const uint8_t **out)
{
    const int shown = e->name_bytes < 200 ? (int)e->name_bytes : 200;
    if (e->encrypted) return fail(E_UNSUPPORTED, "%s: entry %.*s is encrypted", d->file, shown, e->name);
    if (e->method)
        return fail(E_UNSUPPORTED, "%s: entry %.*s is compressed (method %u); torch.save stores", d->file, shown,
                    e->name, e->method);
    const bool fits = e->header_at <= d->begin && d->begin - e->header_at >= HEADER_BYTES;
    const uint8_t *p = d->data + (fits ? e->header_at : 0);
    if (!fits || !signed_as(p, "\3\4"))
        return fail(E_FORMAT, "%s: entry %.*s is not where the zip directory says: truncated?", d->file, shown,
                    e->name);
    const size_t name = (size_t)number(p + 26, 2), before = HEADER_BYTES + name + (size_t)number(p + 28, 2);
    const size_t room = d->begin - (size_t)e->header_at;
    if (before > room || name != e->name_bytes || memcmp(p + HEADER_BYTES, e->name, name))
        return fail(E_FORMAT, "%s: entry %.*s has another name at its place", d->file, shown, e->name);
    if (e->stored_bytes != e->bytes || e->bytes > room - before)
        return fail(E_FORMAT, "%s: entry %.*s of %" PRIu64 " bytes reaches beyond the entries: truncated?", d->file,
                    shown, e->name, e->bytes);
    *out = p + before;
    return OK;
}
