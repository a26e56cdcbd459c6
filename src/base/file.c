// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* pipe_ok: a pipe will do too. Otherwise the open does not block, so that a FIFO in a folder cannot hang us. */
static enum status open_regular(int *fd, size_t *bytes, const char *path, bool pipe_ok)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | (pipe_ok ? 0 : O_NONBLOCK));
    if (*fd < 0) return fail(E_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    enum status s = OK;
    if (fstat(*fd, &st) < 0) {
        s = fail(E_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) && !(pipe_ok && S_ISFIFO(st.st_mode))) {
        s = fail(E_IO, "%s: is not a regular file", path);
    }
    if (s != OK) {
        close(*fd);
        return s;
    }
    *bytes = (size_t)st.st_size;
    return OK;
}

enum status file_map(struct mapping *out, const char *path)
{
    int fd;
    struct mapping map = {0};
    TRY(open_regular(&fd, &map.bytes, path, false));
    if (map.bytes) {
        void *data = mmap(NULL, map.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            enum status s = fail(E_IO, "%s: cannot map %zu bytes: %s", path, map.bytes, strerror(errno));
            close(fd);
            return s;
        }
        map.data = data;
    }
    close(fd);
    *out = map;
    return OK;
}

void file_unmap(struct mapping *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct mapping){0};
}

enum status file_read(struct buf *out, const char *path, size_t max_bytes)
{
    FILE *f = stdin;
    const bool standard_input = !strcmp(path, "-");
    if (!standard_input) {
        int fd;
        size_t bytes;
        /* A descriptor somebody opened for us, as a shell does for <(command), has its writer already. */
        TRY(open_regular(&fd, &bytes, path, !strncmp(path, "/dev/fd/", 8)));
        f = fdopen(fd, "rb");
        if (!f) {
            close(fd);
            return fail(E_NOMEM, "%s: out of memory", path);
        }
    }
    enum status s = OK;
    char block[65536];
    size_t total = 0, n;
    while (s == OK && (n = fread(block, 1, sizeof block, f)) > 0) {
        total += n;
        if (total > max_bytes) {
            s = fail(E_LIMIT, "%s: more than %zu bytes", path, max_bytes);
        } else {
            buf_append(out, block, n);
            s = buf_status(out);
        }
    }
    if (s == OK && ferror(f)) s = fail(E_IO, "%s: %s", path, strerror(errno));
    if (!standard_input) fclose(f);
    return s;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum status file_make_dirs(const char *path)
{
    char *part = strdup(path);
    if (!part) return fail(E_NOMEM, "%s: out of memory", path);
    enum status s = OK;
    for (char *slash = part + 1; s == OK && *part; slash++) {
        slash = strchrnul(slash, '/');
        const char end = *slash;
        *slash = 0;
        if (mkdir(part, 0777) && errno != EEXIST) s = fail(E_IO, "%s: %s", part, strerror(errno));
        *slash = end;
        if (!end) break;
    }
    free(part);
    if (s == OK && !file_is_dir(path)) s = fail(E_IO, "%s: exists and is not a directory", path);
    return s;
}

enum status file_lock_dir(int *lock, const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail(E_IO, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        const bool taken = errno == EWOULDBLOCK;
        const char *why = taken ? "another process is at work in it" : strerror(errno);
        close(fd);
        return fail(E_IO, "%s: %s", path, why);
    }
    *lock = fd;
    return OK;
}

enum status file_remove_dir(const char *path)
{
    DIR *d = opendir(path);
    if (!d) return errno == ENOENT ? OK : fail(E_IO, "%s: %s", path, strerror(errno));
    enum status s = OK;
    for (const struct dirent *e; s == OK && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (unlinkat(dirfd(d), e->d_name, 0)) s = fail(E_IO, "%s/%s: %s", path, e->d_name, strerror(errno));
    }
    closedir(d);
    if (s == OK && rmdir(path)) s = fail(E_IO, "%s: %s", path, strerror(errno));
    return s;
}

enum status file_join(char *out, size_t out_bytes, const char *dir, const char *name)
{
    const int n = snprintf(out, out_bytes, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= out_bytes)
        return fail(E_LIMIT, "path of more than %zu bytes: %.100s...", out_bytes - 1, dir);
    return OK;
}

enum status file_writer_open(struct file_writer *w, const char *path)
{
    struct stat st; /* rename() would put a file in the place of a device or a pipe */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return fail(E_IO, "%s: exists and is not a regular file", path);
    *w = (struct file_writer){.path = strdup(path)};
    if (!w->path || asprintf(&w->temporary, "%s.tmp.%ld", path, (long)getpid()) < 0) {
        free(w->path);
        *w = (struct file_writer){0};
        return fail(E_NOMEM, "%s: out of memory", path);
    }
    w->stream = fopen(w->temporary, "wbe");
    if (!w->stream) {
        const enum status s = fail(E_IO, "%s: cannot write beside it: %s", path, strerror(errno));
        free(w->temporary);
        free(w->path);
        *w = (struct file_writer){0};
        return s;
    }
    return OK;
}

enum status file_writer_write(struct file_writer *w, const void *data, size_t bytes)
{
    if (bytes && fwrite(data, 1, bytes, w->stream) != bytes) return fail(E_IO, "%s: %s", w->temporary, strerror(errno));
    return OK;
}

void file_sync_dir(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return; /* not every file system lets us; the data itself is safe */
    fsync(fd);
    close(fd);
}

enum status file_writer_commit(struct file_writer *w)
{
    enum status s = OK;
    if (fflush(w->stream) || ferror(w->stream) || fsync(fileno(w->stream)))
        s = fail(E_IO, "%s: %s", w->temporary, strerror(errno));
    if (fclose(w->stream) && s == OK) s = fail(E_IO, "%s: %s", w->temporary, strerror(errno));
    w->stream = NULL;
    if (s == OK && rename(w->temporary, w->path)) s = fail(E_IO, "%s: %s", w->path, strerror(errno));
    if (s == OK)
        file_sync_dir(dirname(w->temporary)); /* dirname() cuts the string, which nobody needs any more */
    else
        unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    *w = (struct file_writer){0};
    return s;
}

void file_writer_abort(struct file_writer *w)
{
    if (w->stream) {
        fclose(w->stream);
        unlink(w->temporary);
    }
    free(w->temporary);
    free(w->path);
    *w = (struct file_writer){0};
}

enum status file_copy(const char *to, const char *from, size_t max_bytes)
{
    struct buf data = {0};
    struct file_writer w;
    enum status s = file_read(&data, from, max_bytes);
    if (s == OK) s = file_writer_open(&w, to);
    if (s != OK) goto free_data;
    s = file_writer_write(&w, data.data, data.len);
    if (s == OK)
        s = file_writer_commit(&w);
    else
        file_writer_abort(&w);
free_data:
    buf_free(&data);
    return s;
}
