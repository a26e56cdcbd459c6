// SPDX-License-Identifier: Apache-2.0
/* The only file that knows zlib and zstd. */
#include "data/bytes.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_BYTES = 1 << 17 };

struct bytes {
    FILE *stream;
    enum bytes_packing packing;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool between; /* no member or frame is open: the input may end here */
    bool any;     /* a member or frame has ended */
    bool input_ended;
    size_t at, end; /* unread packed bytes of input */
    unsigned char input[INPUT_BYTES];
};

static bool ends_in(const char *text, size_t len, const char *end)
{
    const size_t n = strlen(end);
    return len > n && !memcmp(text + len - n, end, n);
}

enum bytes_packing bytes_packing_of(const char *path, size_t *stem_len)
{
    const size_t len = strlen(path);
    *stem_len = len;
    if (ends_in(path, len, ".gz")) {
        *stem_len = len - 3;
        return BYTES_GZIP;
    }
    if (ends_in(path, len, ".zst")) {
        *stem_len = len - 4;
        return BYTES_ZSTD;
    }
    return BYTES_PLAIN;
}

static enum status start_unpacking(struct bytes *b)
{
    enum { GZIP_ONLY = 15 + 16 }; /* the largest window, a gzip header */
    if (b->packing == BYTES_GZIP && inflateInit2(&b->gzip, GZIP_ONLY) != Z_OK)
        return fail(E_NOMEM, "out of memory to unpack gzip data");
    if (b->packing == BYTES_ZSTD && !(b->zstd = ZSTD_createDStream()))
        return fail(E_NOMEM, "out of memory to unpack zstd data");
    return OK;
}

enum status bytes_open_stream(struct bytes **out, FILE *stream, enum bytes_packing packing)
{
    struct bytes *b = calloc(1, sizeof *b);
    if (!b) {
        fclose(stream);
        return fail(E_NOMEM, "out of memory to read a file");
    }
    b->stream = stream;
    b->between = true;
    b->packing = packing;
    const enum status s = start_unpacking(b);
    if (s != OK) {
        bytes_close(b);
        return s;
    }
    *out = b;
    return OK;
}

enum status bytes_open(struct bytes **out, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) return fail(E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(E_IO, "%s: is not a regular file", path);
    FILE *f = fopen(path, "rbe");
    if (!f) return fail(E_IO, "%s: %s", path, strerror(errno));
    setvbuf(f, NULL, _IONBF, 0); /* input is the buffer */
    size_t stem_len;
    return bytes_open_stream(out, f, bytes_packing_of(path, &stem_len));
}

void bytes_close(struct bytes *b)
{
    if (!b) return;
    if (b->packing == BYTES_GZIP) inflateEnd(&b->gzip);
    ZSTD_freeDStream(b->zstd);
    fclose(b->stream);
    free(b);
}

static enum status read_stream(struct bytes *b, void *to, size_t max, size_t *n)
{
    *n = fread(to, 1, max, b->stream);
    if (*n == 0 && ferror(b->stream)) return fail(E_IO, "%s", strerror(errno));
    return OK;
}

static enum status fill_input(struct bytes *b)
{
    b->at = 0;
    TRY(read_stream(b, b->input, sizeof b->input, &b->end));
    b->input_ended = b->end == 0;
    return OK;
}

static enum status unpack_gzip(struct bytes *b, void *to, size_t max, size_t *n)
{
    z_stream *z = &b->gzip;
    if (b->between && b->any && inflateReset(z) != Z_OK) return fail(E_FORMAT, "gzip data cannot be read on");
    b->between = false;
    z->next_in = b->input + b->at;
    z->avail_in = (uInt)(b->end - b->at);
    z->next_out = to;
    z->avail_out = max > INPUT_BYTES ? INPUT_BYTES : (uInt)max;
    const uInt room = z->avail_out;
    const int result = inflate(z, Z_NO_FLUSH);
    *n = room - z->avail_out;
    b->at = b->end - z->avail_in;
    if (result == Z_MEM_ERROR) return fail(E_NOMEM, "out of memory to unpack gzip data");
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return fail(E_FORMAT, "%s: %s", b->any ? "damaged gzip data, or something else after it" : "damaged gzip data",
                    z->msg ? z->msg : "it needs a dictionary");
    if (result == Z_STREAM_END) b->between = b->any = true;
    return OK;
}

static enum status unpack_zstd(struct bytes *b, void *to, size_t max, size_t *n)
{
    ZSTD_inBuffer in = {b->input, b->end, b->at};
    ZSTD_outBuffer out = {to, max, 0};
    const size_t result = ZSTD_decompressStream(b->zstd, &out, &in);
    *n = out.pos;
    b->at = in.pos;
    if (ZSTD_isError(result)) return fail(E_FORMAT, "damaged zstd data: %s", ZSTD_getErrorName(result));
    b->between = result == 0;
    if (result == 0) b->any = true;
    return OK;
}

/* Input that has ended may leave output inside the unpacker, so it is asked once more. */
static enum status unpack(struct bytes *b, void *to, size_t max, size_t *n)
{
    *n = 0;
    while (*n == 0) {
        if (b->at == b->end && !b->input_ended) TRY(fill_input(b));
        if (b->input_ended && b->between) {
            if (b->any) return OK;
            return fail(E_FORMAT, "an empty file, not %s data", b->packing == BYTES_GZIP ? "gzip" : "zstd");
        }
        const size_t before = b->at;
        TRY(b->packing == BYTES_GZIP ? unpack_gzip(b, to, max, n) : unpack_zstd(b, to, max, n));
        if (b->input_ended && *n == 0 && before == b->at && !b->between)
            return fail(E_FORMAT, "the %s data is cut short", b->packing == BYTES_GZIP ? "gzip" : "zstd");
    }
    return OK;
}

enum status bytes_read(struct bytes *b, void *to, size_t max, size_t *n)
{
    assert(max > 0);
    return b->packing == BYTES_PLAIN ? read_stream(b, to, max, n) : unpack(b, to, max, n);
}

enum status bytes_skip(struct bytes *b, uint64_t n)
{
    if (b->packing == BYTES_PLAIN && n > INPUT_BYTES) { /* all but the last byte, which shows whether it is there */
        if (n - 1 > INT64_MAX || fseeko(b->stream, (off_t)(n - 1), SEEK_CUR) < 0)
            return fail(E_IO, "cannot go to byte %" PRIu64 ": %s", n, strerror(errno));
        n = 1;
    }
    while (n) {
        char scratch[16384];
        size_t got;
        TRY(bytes_read(b, scratch, n < sizeof scratch ? (size_t)n : sizeof scratch, &got));
        if (!got) return fail(E_FORMAT, "ends %" PRIu64 " bytes before the place to go on from", n);
        n -= got;
    }
    return OK;
}

uint64_t bytes_position(const struct bytes *b)
{
    const off_t at = ftello(b->stream);
    return at < 0 ? 0 : (uint64_t)at;
}

enum status bytes_read_rest(struct bytes *b, struct buf *out, size_t max_bytes)
{
    for (;;) {
        char block[16384];
        size_t n;
        TRY(bytes_read(b, block, sizeof block, &n));
        if (!n) return OK;
        if (n > max_bytes - out->len) return fail(E_LIMIT, "more than %zu bytes", max_bytes);
        buf_append(out, block, n);
        TRY(buf_status(out));
    }
}

enum status bytes_read_file(struct buf *out, const char *path, size_t max_bytes)
{
    struct bytes *b;
    TRY(bytes_open(&b, path));
    enum status s = bytes_read_rest(b, out, max_bytes);
    if (s != OK) s = fail(s, "%s: %s", path, status_message());
    bytes_close(b);
    return s;
}
