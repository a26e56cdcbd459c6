// SPDX-License-Identifier: Apache-2.0
#include "data/paths.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static enum status add(struct paths *p, const char *path)
{
    if (p->n == INT_MAX) return fail(E_LIMIT, "more than %d files", INT_MAX);
    if ((p->n & (p->n - 1)) == 0) { /* a power of two: double it */
        char **items = reallocarray(p->items, p->n ? (size_t)p->n * 2 : 1, sizeof *items);
        if (!items) return fail(E_NOMEM, "out of memory at %d files", p->n);
        p->items = items;
    }
    char *copy = strdup(path);
    if (!copy) return fail(E_NOMEM, "out of memory at %d files", p->n);
    p->items[p->n++] = copy;
    return OK;
}

static enum status add_directory(struct paths *p, const char *dir, bool (*wanted)(const char *path))
{
    DIR *d = opendir(dir);
    if (!d) return fail(E_IO, "%s: %s", dir, strerror(errno));
    enum status s = OK;
    for (struct dirent *e; s == OK && (e = readdir(d));) {
        char path[PATH_MAX];
        if (e->d_name[0] == '.' || !wanted(e->d_name)) continue;
        s = file_join(path, sizeof path, dir, e->d_name);
        if (s == OK && !file_is_dir(path)) s = add(p, path);
    }
    closedir(d);
    return s;
}

static enum status add_glob(struct paths *p, const char *pattern, bool (*wanted)(const char *path))
{
    glob_t g = {0};
    const int error = glob(pattern, GLOB_NOSORT, NULL, &g);
    enum status s = OK;
    if (error == GLOB_NOSPACE) s = fail(E_NOMEM, "%s: out of memory", pattern);
    for (size_t i = 0; s == OK && i < g.gl_pathc; i++)
        if (wanted(g.gl_pathv[i]) && !file_is_dir(g.gl_pathv[i])) s = add(p, g.gl_pathv[i]);
    globfree(&g);
    return s;
}

static enum status add_path(struct paths *p, const char *path, bool (*wanted)(const char *path))
{
    const int before = p->n;
    if (file_exists(path) && !file_is_dir(path)) return add(p, path);
    if (file_is_dir(path)) {
        TRY(add_directory(p, path, wanted));
        if (p->n == before) return fail(E_IO, "%s: no file in this directory can be read by its name", path);
        return OK;
    }
    if (!strpbrk(path, "*?[")) return fail(E_IO, "%s: %s", path, strerror(ENOENT));
    TRY(add_glob(p, path, wanted));
    if (p->n == before) return fail(E_IO, "%s: matches no file that can be read by its name", path);
    return OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status paths_find(struct paths *out, const struct option_strings *paths, bool (*wanted)(const char *path))
{
    *out = (struct paths){0};
    for (int i = 0; i < paths->n; i++)
        TRY(add_path(out, paths->items[i], wanted));
    if (!out->n) return fail(E_ARG, "no paths are given");
    qsort(out->items, (size_t)out->n, sizeof *out->items, by_bytes);
    int n = 1;
    for (int i = 1; i < out->n; i++) {
        if (!strcmp(out->items[i], out->items[n - 1]))
            free(out->items[i]);
        else
            out->items[n++] = out->items[i];
    }
    out->n = n;
    return OK;
}

void paths_free(struct paths *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->items[i]);
    free(p->items);
    *p = (struct paths){0};
}
