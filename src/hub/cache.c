// SPDX-License-Identifier: Apache-2.0
#include "hub/cache.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                          "# This file is a cache directory tag created by gptjt.\n"
                          "# For information about cache directory tags, see:\n"
                          "#\thttps://bford.info/cachedir/\n";

/* ---- Paths ---- */

enum status hub_cache_init(struct hub_cache *out, const char *root, const struct hub_model *m)
{
    char folder[HUB_NAME_MAX + 16], locks[HUB_NAME_MAX + 32];
    const int owner = (int)strcspn(m->name, "/");
    snprintf(folder, sizeof folder, "models--%.*s--%s", owner, m->name, m->name + owner + 1);
    snprintf(locks, sizeof locks, ".locks/%s", folder);
    if (strlen(root) >= sizeof out->root) return fail(E_LIMIT, "%.100s...: path is too long", root);
    strcpy(out->root, root);
    TRY(file_join(out->repository, sizeof out->repository, root, folder));
    return file_join(out->locks, sizeof out->locks, root, locks);
}

enum status hub_cache_blob(char out[HUB_PATH_MAX], const struct hub_cache *c, const char *hash, const char *suffix)
{
    char name[HUB_SHA256 + 32];
    snprintf(name, sizeof name, "blobs/%s%s", hash, suffix);
    return file_join(out, HUB_PATH_MAX, c->repository, name);
}

enum status hub_cache_snapshot(char out[HUB_PATH_MAX], const struct hub_cache *c, const char *commit)
{
    char name[HUB_REVISION_MAX + 16];
    snprintf(name, sizeof name, "snapshots/%s", commit);
    return file_join(out, HUB_PATH_MAX, c->repository, name);
}

static enum status ref_path(char out[HUB_PATH_MAX], const struct hub_cache *c, const char *revision)
{
    char name[HUB_REVISION_MAX + 16];
    snprintf(name, sizeof name, "refs/%s", revision);
    return file_join(out, HUB_PATH_MAX, c->repository, name);
}

/* ---- Finding ---- */

/* What a reference may hold: huggingface_hub makes a path of it unseen. */
static bool is_plain(const char *text)
{
    if (!*text || strlen(text) > HUB_REVISION_MAX || strchr(".-", *text)) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("-_.", *text)) return false;
    return true;
}

static enum status read_ref(char commit[HUB_REVISION_MAX + 1], const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, HUB_REVISION_MAX + 1);
    while (s == OK && text.len && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = 0;
    if (s == OK && (!text.len || strlen(text.data) != text.len || !is_plain(text.data)))
        s = fail(E_FORMAT, "%s: does not hold the name of a commit", path);
    if (s == OK) snprintf(commit, HUB_REVISION_MAX + 1, "%s", text.data);
    buf_free(&text);
    return s;
}

enum status hub_cache_resolve(char commit[HUB_REVISION_MAX + 1], bool *found, const struct hub_cache *c,
                              const char *revision)
{
    char path[HUB_PATH_MAX];
    if (hub_name_is_commit(revision)) {
        *found = true;
        strcpy(commit, revision);
        return OK;
    }
    TRY(ref_path(path, c, revision));
    *found = file_exists(path);
    return *found ? read_ref(commit, path) : OK;
}

enum status hub_cache_find(char dir[HUB_PATH_MAX], const char *root, const struct hub_model *m)
{
    struct hub_cache c;
    char commit[HUB_REVISION_MAX + 1];
    bool found;
    const bool latest = !strcmp(m->revision, "main");
    const char *at = latest ? "" : "@", *revision = latest ? "" : m->revision;
    TRY(hub_cache_init(&c, root, m));
    TRY(hub_cache_resolve(commit, &found, &c, m->revision));
    if (found) TRY(hub_cache_snapshot(dir, &c, commit));
    if (found && file_is_dir(dir)) return OK;
    return fail(E_IO,
                "%s%s%s: no such directory, and not in the Hugging Face cache (%s); 'gptjt pull %s%s%s' downloads it",
                m->name, at, revision, root, m->name, at, revision);
}

/* ---- What is there ---- */

static bool size_of(uint64_t *bytes, const char *path)
{
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return false;
    *bytes = (uint64_t)st.st_size;
    return true;
}

static bool has(const char *path, uint64_t bytes)
{
    uint64_t there;
    return size_of(&there, path) && there == bytes;
}

static enum status survey(struct hub_file *f, const struct hub_cache *c, const char *snapshot)
{
    char pointer[HUB_PATH_MAX], blob[HUB_PATH_MAX], incomplete[HUB_PATH_MAX];
    TRY(file_join(pointer, sizeof pointer, snapshot, f->name));
    TRY(hub_cache_blob(blob, c, f->hash, ""));
    TRY(hub_cache_blob(incomplete, c, f->hash, ".incomplete"));
    f->there = has(pointer, f->bytes) || has(blob, f->bytes);
    f->have = f->bytes;
    if (!f->there && (!size_of(&f->have, incomplete) || f->have > f->bytes)) f->have = 0;
    return OK;
}

enum status hub_cache_survey(struct hub_listing *l, const struct hub_cache *c)
{
    char snapshot[HUB_PATH_MAX];
    TRY(hub_cache_snapshot(snapshot, c, l->commit));
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].wanted) TRY(survey(&l->files[i], c, snapshot));
    return OK;
}

/* ---- Writing ---- */

static enum status write_text(const char *path, const char *text)
{
    struct file_writer w;
    TRY(file_writer_open(&w, path));
    const enum status s = file_writer_write(&w, text, strlen(text));
    if (s == OK) return file_writer_commit(&w);
    file_writer_abort(&w);
    return s;
}

enum status hub_cache_make(const struct hub_cache *c)
{
    static const char *const dirs[] = {"blobs", "snapshots", "refs"};
    char path[HUB_PATH_MAX];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        TRY(file_join(path, sizeof path, c->repository, dirs[i]));
        TRY(file_make_dirs(path));
    }
    TRY(file_make_dirs(c->locks));
    TRY(file_join(path, sizeof path, c->root, "CACHEDIR.TAG"));
    return file_exists(path) ? OK : write_text(path, tag);
}

static enum status make_parent(const char *path)
{
    char copy[HUB_PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    return file_make_dirs(dirname(copy));
}

/* A link replaces what is there at once, from a name outside the snapshot, which nobody takes for a file of it. */
static enum status link_file(const struct hub_cache *c, const char *snapshot, const struct hub_file *f)
{
    char path[HUB_PATH_MAX], temporary[HUB_PATH_MAX], name[32];
    char target[HUB_FILE_MAX / 2 * 3 + HUB_SHA256 + 32] = "../../"; /* a directory takes two bytes of a name */
    TRY(file_join(path, sizeof path, snapshot, f->name));
    if (has(path, f->bytes)) return OK;
    for (const char *slash = f->name; (slash = strchr(slash, '/')); slash++)
        strcat(target, "../");
    strcat(target, "blobs/");
    strcat(target, f->hash);
    snprintf(name, sizeof name, "link.tmp.%ld", (long)getpid());
    TRY(file_join(temporary, sizeof temporary, c->repository, name));
    TRY(make_parent(path));
    unlink(temporary);
    if (symlink(target, temporary)) return fail(E_IO, "%s: cannot make a link: %s", temporary, strerror(errno));
    if (!rename(temporary, path)) return OK;
    const enum status s = fail(E_IO, "%s: %s", path, strerror(errno));
    unlink(temporary);
    return s;
}

static enum status write_ref(const struct hub_cache *c, const char *revision, const char *commit)
{
    char path[HUB_PATH_MAX], now[HUB_REVISION_MAX + 1];
    if (!strcmp(revision, commit)) return OK;
    TRY(ref_path(path, c, revision));
    if (file_exists(path) && read_ref(now, path) == OK && !strcmp(now, commit)) return OK;
    TRY(make_parent(path));
    return write_text(path, commit);
}

enum status hub_cache_publish(const struct hub_cache *c, const struct hub_listing *l, const char *revision)
{
    char snapshot[HUB_PATH_MAX];
    TRY(hub_cache_snapshot(snapshot, c, l->commit));
    TRY(file_make_dirs(snapshot));
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].wanted) TRY(link_file(c, snapshot, &l->files[i]));
    return write_ref(c, revision, l->commit);
}
