// SPDX-License-Identifier: Apache-2.0
#include "data/paths.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
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

/* In order, each once. */
static void sort(struct paths *p)
{
    qsort(p->items, (size_t)p->n, sizeof *p->items, by_bytes);
    int n = p->n ? 1 : 0;
    for (int i = 1; i < p->n; i++) {
        if (!strcmp(p->items[i], p->items[n - 1]))
            free(p->items[i]);
        else
            p->items[n++] = p->items[i];
    }
    p->n = n;
}

enum status paths_find(struct paths *out, const struct option_strings *paths, bool (*wanted)(const char *path))
{
    *out = (struct paths){0};
    for (int i = 0; i < paths->n; i++)
        TRY(add_path(out, paths->items[i], wanted));
    if (!out->n) return fail(E_ARG, "no paths are given");
    sort(out);
    return OK;
}

static enum status add_listed(struct paths *p, const char *list, int line, const char *name)
{
    static const char *const places[] = {"", "../../tasks/"};
    const char *slash = strrchr(list, '/');
    const int dir = slash ? (int)(slash - list) + 1 : 0;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char path[PATH_MAX];
        const int n = snprintf(path, sizeof path, "%.*s%s%s.json", dir, list, places[i], name);
        if (n > 0 && n < PATH_MAX && file_exists(path)) return add(p, path);
    }
    return fail(E_IO, "%s: line %d: there is no %.100s.json beside this list or in ../../tasks", list, line, name);
}

static enum status add_list(struct paths *p, const char *list)
{
    enum { MOST = 16 << 20 };
    struct buf text = {0};
    enum status s = file_read(&text, list, MOST);
    char *at = text.data;
    for (int line = 1; s == OK && at && *at; line++) {
        char *name = strsep(&at, "\n");
        name[strcspn(name, " \t\r")] = 0;
        if (*name) s = add_listed(p, list, line, name);
    }
    buf_free(&text);
    return s;
}

static bool is_list(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".txt");
}

enum status paths_read_lists(struct paths *p)
{
    struct paths all = {0};
    enum status s = OK;
    for (int i = 0; s == OK && i < p->n; i++)
        s = is_list(p->items[i]) ? add_list(&all, p->items[i]) : add(&all, p->items[i]);
    if (s == OK && !all.n) s = fail(E_FORMAT, "%s: lists nothing", p->items[0]);
    if (s != OK) {
        paths_free(&all);
        return s;
    }
    sort(&all);
    paths_free(p);
    *p = all;
    return OK;
}

void paths_free(struct paths *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->items[i]);
    free(p->items);
    *p = (struct paths){0};
}
