// SPDX-License-Identifier: Apache-2.0
#include "cli/output_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/interrupt.h"

static enum status check_empty(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return fail(E_IO, "%s: %s", dir, strerror(errno));
    enum status s = OK;
    for (const struct dirent *e; s == OK && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            s = fail(E_ARG, "%s: is not empty (it has %s); give another directory or --force", dir, e->d_name);
    closedir(d);
    return s;
}

enum status output_dir_make(bool *created, const char *dir, bool force)
{
    *created = mkdir(dir, 0777) == 0;
    if (*created) return OK;
    if (errno != EEXIST) return fail(E_IO, "%s: %s", dir, strerror(errno));
    if (!file_is_dir(dir)) return fail(E_IO, "%s: exists and is not a directory", dir);
    return force ? OK : check_empty(dir);
}

static enum status check_space(const char *dir, uint64_t weight_bytes)
{
    const uint64_t need = weight_bytes + 10000000; /* the file's header, config.json, tokenizer files */
    struct statvfs v;
    if (statvfs(dir, &v)) return fail(E_IO, "%s: %s", dir, strerror(errno));
    const uint64_t have = (uint64_t)v.f_bavail * v.f_frsize;
    if (have < need)
        return fail(E_IO, "%s: the model needs %s and the disk has %s free", dir, amount_bytes(need).text,
                    amount_bytes(have).text);
    return OK;
}

static bool on_progress(void *user, uint64_t bytes)
{
    progress_update(user, bytes);
    return !interrupt_seen();
}

static enum status write_watched(const struct output_model *o, const struct common *common)
{
    struct pool *pool = NULL;
    TRY(pool_create(&pool, common->threads ? (int)common->threads : pool_default_threads()));
    const int64_t start = clock_ns();
    struct progress bar;
    interrupt_catch();
    progress_begin(&bar, o->label, "B", o->weight_bytes, common->quiet);
    const enum status s = o->write(o->what, o->dir, pool, on_progress, &bar);
    progress_end(&bar);
    pool_free(pool);
    if (s == OK && !common->quiet)
        fprintf(stderr, "%s: %s, in %.1f s\n", o->dir, o->summary, clock_seconds(start, clock_ns()));
    return s;
}

enum status output_model(const struct output_model *o, const struct common *common)
{
    bool created;
    TRY(output_dir_make(&created, o->dir, o->force));
    enum status s = check_space(o->dir, o->weight_bytes);
    if (s == OK) s = write_watched(o, common);
    if (s != OK && created) rmdir(o->dir); /* stays if there is anything in it */
    return s;
}
