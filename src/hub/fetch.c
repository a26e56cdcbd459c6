// SPDX-License-Identifier: Apache-2.0
/* A transfer is a sequence of attempts, each one GET from where the last one ended. Bytes are written and hashed as
 * they come, so `at` is where the file and the digest are, always. What makes an attempt begin anew is decided when its
 * first bytes are there: a server that sends all of the file although a part was asked for, or another file. */
#include "hub/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/buf.h"
#include "base/file.h"
#include "hub/digest.h"
#include "hub/lock.h"
#include "hub/retry.h"

struct transfer {
    struct hub_fetch *f;
    const struct hub_file *file;
    char blob[HUB_PATH_MAX], incomplete[HUB_PATH_MAX];
    int fd;
    struct hub_digest *digest;
    uint64_t at;
    bool in_one_go;  /* all bytes up to `at` came with one answer      */
    bool begun;      /* the first bytes of this attempt are there     */
    bool start_over; /* what is there is of no use                    */
    bool etag_seen;  /* has started over for an ETag: now only the hash counts */
};

static void say(const struct transfer *t, const char *what)
{
    char line[HUB_FILE_MAX + 200];
    snprintf(line, sizeof line, "%s: %s", t->file->name, what);
    t->f->watch->say(t->f->watch->user, line);
}

static void show(const struct transfer *t)
{
    t->f->watch->progress(t->f->watch->user, t->file->name, t->f->done + t->at);
}

static enum status restart(struct transfer *t)
{
    t->at = 0;
    t->start_over = false;
    t->in_one_go = true;
    if (ftruncate(t->fd, 0)) return fail(E_IO, "%s: %s", t->incomplete, strerror(errno));
    return hub_digest_restart(t->digest);
}

/* ---- What is there already ---- */

static enum status hash_beginning(struct transfer *t, uint64_t bytes)
{
    enum { BLOCK = 1 << 20 };
    char *block = malloc(BLOCK);
    enum status s = block ? OK : fail(E_NOMEM, "out of memory");
    while (s == OK && t->at < bytes) {
        const uint64_t left = bytes - t->at;
        const ssize_t n = pread(t->fd, block, left < BLOCK ? (size_t)left : BLOCK, (off_t)t->at);
        if (n <= 0) {
            s = fail(E_IO, "%s: %s", t->incomplete, n ? strerror(errno) : "has become shorter");
            break;
        }
        s = hub_digest_update(t->digest, block, (size_t)n);
        t->at += (uint64_t)n;
        if (s == OK && t->f->watch->stop(t->f->watch->user)) s = fail(E_CANCELLED, "interrupted");
    }
    free(block);
    return s;
}

static enum status take_up(struct transfer *t)
{
    struct stat st;
    char line[100];
    if (fstat(t->fd, &st)) return fail(E_IO, "%s: %s", t->incomplete, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(E_IO, "%s: is not a regular file", t->incomplete);
    if (!st.st_size) return restart(t);
    if ((uint64_t)st.st_size > t->file->bytes) return restart(t);
    snprintf(line, sizeof line, "going on after the %s that are there", amount_bytes((uint64_t)st.st_size).text);
    say(t, line);
    t->in_one_go = false;
    return hash_beginning(t, (uint64_t)st.st_size);
}

/* ---- Attempts ---- */

static enum status write_piece(const struct transfer *t, const char *data, size_t len)
{
    for (uint64_t at = t->at; len;) {
        const ssize_t n = pwrite(t->fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail(E_IO, "%s: %s", t->incomplete, n ? strerror(errno) : "cannot write");
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return OK;
}

/* The head of the answer is there, before the first byte of its body. */
static enum status begin(struct transfer *t, const struct hub_response *r)
{
    const struct hub_file *file = t->file;
    const bool another = r->etag[0] && strcmp(r->etag, file->hash) && !t->etag_seen;
    if (r->code == 206) {
        if (!r->ranged || r->first != t->at || r->total != file->bytes)
            return fail(E_FORMAT, "%s: the server sends other bytes of it than those asked for", file->name);
        t->start_over = another;
        t->etag_seen = another || t->etag_seen;
        t->in_one_go = t->at == 0;
        return another ? fail(E_IO, "%s: is another one by now (ETag %s)", file->name, r->etag) : OK;
    }
    if (r->length >= 0 && (uint64_t)r->length != file->bytes)
        return fail(E_FORMAT, "%s: the server has %" PRId64 " bytes for it, the Hub's list says %" PRIu64, file->name,
                    r->length, file->bytes);
    if (t->at) say(t, "the server cannot go on in the middle: from the beginning again");
    return restart(t);
}

static enum status on_body(void *user, const struct hub_response *r, const void *data, size_t len)
{
    struct transfer *t = user;
    if (!t->begun) TRY(begin(t, r));
    t->begun = true;
    if (len > t->file->bytes - t->at)
        return fail(E_FORMAT, "%s: the server sends more than the %" PRIu64 " bytes of the Hub's list", t->file->name,
                    t->file->bytes);
    TRY(write_piece(t, data, len));
    TRY(hub_digest_update(t->digest, data, len));
    t->at += len;
    show(t);
    return OK;
}

static enum status attempt(struct transfer *t, const char *path, struct hub_response *r, bool *broken)
{
    t->begun = false;
    enum status s = hub_http_get(t->f->http, r, broken, path, t->at, on_body, t);
    if (t->start_over) *broken = true;
    if (s != OK)
        return *broken && !t->start_over
                   ? fail(s, "%s: broken off after %s: %s", t->file->name, amount_bytes(t->at).text, status_message())
                   : s;
    if (r->code == 416 && t->at) { /* there is no such part: what is there is not of this file */
        t->start_over = *broken = true;
        return fail(E_IO, "%s: the server has nothing after byte %" PRIu64, t->file->name, t->at);
    }
    TRY(hub_answer_check(r, &t->f->subject, broken));
    if (t->at == t->file->bytes) return OK;
    *broken = true;
    return fail(E_IO, "%s: ends at byte %" PRIu64 " of %" PRIu64, t->file->name, t->at, t->file->bytes);
}

/* Tries are counted since the file last became longer than it has ever been: a server that always breaks at the same
 * place, and cannot go on there, makes no progress. */
static enum status transfer(struct transfer *t, const char *path)
{
    struct hub_retry retry = {.watch = t->f->watch, .tries = t->f->tries};
    struct hub_response r;
    uint64_t best = t->at;
    while (t->at < t->file->bytes) {
        bool broken = false;
        const enum status s = attempt(t, path, &r, &broken);
        if (s == OK) break;
        if (t->at > best) retry.failed = 0;
        if (t->at > best) best = t->at;
        if (t->start_over) TRY(restart(t));
        TRY(hub_retry_after(&retry, s, broken, r.retry_after_s));
    }
    return OK;
}

/* ---- The end ---- */

static enum status commit(const struct transfer *t)
{
    char dir[HUB_PATH_MAX];
    if (fsync(t->fd)) return fail(E_IO, "%s: %s", t->incomplete, strerror(errno));
    if (rename(t->incomplete, t->blob)) return fail(E_IO, "%s: %s", t->blob, strerror(errno));
    TRY(file_join(dir, sizeof dir, t->f->cache->repository, "blobs"));
    file_sync_dir(dir);
    return OK;
}

/* What was there before this run, or came in pieces, may be to blame: then once more. */
static enum status transfer_and_check(struct transfer *t, const char *path)
{
    char hash[HUB_SHA256 + 1];
    for (int round = 0;; round++) {
        TRY(transfer(t, path));
        TRY(hub_digest_finish(t->digest, hash));
        if (!strcmp(hash, t->file->hash)) return commit(t);
        if (t->in_one_go || round) break;
        say(t, "its hash is wrong, so what was there is damaged: from the beginning again");
        TRY(restart(t));
    }
    unlink(t->incomplete);
    return fail(E_FORMAT, "%s: its hash is %s, the Hub's list says %s; nothing of it is kept", t->file->name, hash,
                t->file->hash);
}

static enum status put_path(struct buf *out, const struct hub_fetch *f, const char *file)
{
    buf_printf(out, "/%s/resolve/%s/", f->subject.model->name, f->commit);
    hub_name_quote(out, file, true);
    return buf_status(out);
}

static enum status download(struct transfer *t)
{
    struct buf path = {0};
    TRY(hub_digest_open(&t->digest, t->file->hash, t->file->bytes));
    t->fd = open(t->incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    enum status s = t->fd < 0 ? fail(E_IO, "%s: %s", t->incomplete, strerror(errno)) : OK;
    if (s == OK) s = take_up(t);
    if (s == OK) s = put_path(&path, t->f, t->file->name);
    if (s == OK) s = transfer_and_check(t, path.data);
    if (t->fd >= 0) close(t->fd);
    hub_digest_close(t->digest);
    buf_free(&path);
    return s;
}

static void waiting(void *user)
{
    const struct transfer *t = user;
    if (!t->f->waited) say(t, "another process is downloading it; waiting for that");
    t->f->waited = true;
}

static bool is_there(const struct transfer *t)
{
    struct stat st;
    return !stat(t->blob, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == t->file->bytes;
}

enum status hub_fetch_file(struct hub_fetch *f, const struct hub_file *file)
{
    struct transfer t = {.f = f, .file = file, .fd = -1};
    char name[HUB_SHA256 + 8], path[HUB_PATH_MAX];
    int lock;
    snprintf(name, sizeof name, "%s.lock", file->hash);
    TRY(hub_cache_blob(t.blob, f->cache, file->hash, ""));
    TRY(hub_cache_blob(t.incomplete, f->cache, file->hash, ".incomplete"));
    TRY(file_join(path, sizeof path, f->cache->locks, name));
    f->subject.file = file->name;
    TRY(hub_lock(&lock, path, f->watch, waiting, &t));
    const enum status s = is_there(&t) ? OK : download(&t);
    close(lock);
    return s;
}
