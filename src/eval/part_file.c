// SPDX-License-Identifier: Apache-2.0
#include "eval/part_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/hash.h"

uint64_t part_file_hash(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

enum status part_file_open(struct part_file *p, const char *out, uint64_t fingerprint)
{
    const int n = snprintf(p->path, sizeof p->path, "%s.part-%016" PRIx64, out, fingerprint);
    if (n < 0 || (size_t)n >= sizeof p->path) {
        p->path[0] = 0;
        return fail(E_LIMIT, "%.100s...: path too long", out);
    }
    p->stream = fopen(p->path, "abe");
    if (!p->stream) return fail(E_IO, "%s: %s", p->path, strerror(errno));
    if (flock(fileno(p->stream), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return fail(E_IO, "%s: another process is writing it", p->path);
    return OK;
}

enum status part_file_cut(struct part_file *p, uint64_t bytes)
{
    return ftruncate(fileno(p->stream), (off_t)bytes) ? fail(E_IO, "%s: %s", p->path, strerror(errno)) : OK;
}

static const ssize_t LINE_MAX_BYTES = 1 << 30;

static enum status each_line(FILE *f, const struct part_file *p, part_file_line_fn *each, void *user, size_t *n,
                             uint64_t *bytes)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    enum status s = OK;
    while (s == OK && (len = getline(&line, &cap, f)) > 0 && line[len - 1] == '\n') {
        s = len > LINE_MAX_BYTES ? fail(E_LIMIT, "%s: a line of more than 1 GiB", p->path)
                                 : each(user, line, (size_t)len);
        *bytes += (uint64_t)len;
        ++*n;
    }
    if (s == OK && ferror(f)) s = fail(E_IO, "%s: %s", p->path, strerror(errno));
    free(line);
    return s;
}

enum status part_file_resume(struct part_file *p, part_file_line_fn *each, void *user, size_t *n_lines)
{
    FILE *f = fopen(p->path, "re");
    if (!f) return fail(E_IO, "%s: %s", p->path, strerror(errno));
    uint64_t bytes = 0;
    *n_lines = 0;
    const enum status s = each_line(f, p, each, user, n_lines, &bytes);
    fclose(f);
    return s == OK ? part_file_cut(p, bytes) : s;
}

enum status part_file_write(struct part_file *p, struct buf *text)
{
    TRY(buf_status(text));
    const size_t n = text->len;
    if (n && (fwrite(text->data, 1, n, p->stream) != n || fflush(p->stream)))
        return fail(E_IO, "%s: %s", p->path, strerror(errno));
    buf_clear(text);
    return OK;
}

enum status part_file_finish(struct part_file *p, const char *out)
{
    if (fsync(fileno(p->stream))) return fail(E_IO, "%s: %s", p->path, strerror(errno));
    if (rename(p->path, out)) return fail(E_IO, "%s: cannot rename to %s: %s", p->path, out, strerror(errno));
    return OK;
}

enum status part_file_close(struct part_file *p)
{
    FILE *stream = p->stream;
    p->stream = NULL;
    return stream && fclose(stream) ? fail(E_IO, "%s: %s", p->path, strerror(errno)) : OK;
}
