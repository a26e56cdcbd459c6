// SPDX-License-Identifier: Apache-2.0
#include "dist/output_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"

enum { PATH_BYTES = 4096 };

static enum status name_of(char path[PATH_BYTES], const char *dir, uint64_t run, int rank)
{
    char name[64];
    snprintf(name, sizeof name, ".rank-%d-%016" PRIx64, rank, run);
    return file_join(path, PATH_BYTES, dir, name);
}

static enum status leave(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return fail(E_IO, "%s: %s", path, strerror(errno));
    return close(fd) ? fail(E_IO, "%s: %s", path, strerror(errno)) : OK;
}

static enum status look(struct team *team, const struct group *all, const char *dir, uint64_t run)
{
    team->owns_output = team->writes_stage = true;
    for (int rank = 0; rank < all->me; rank++) {
        char path[PATH_BYTES];
        TRY(name_of(path, dir, run, rank));
        if (access(path, F_OK)) continue;
        team->owns_output = false;
        if (rank % team->n_stages == team->stage) team->writes_stage = false;
    }
    return OK;
}

enum status output_owner_find(struct team *team, struct group *all, const char *dir)
{
    char path[PATH_BYTES];
    uint64_t run = rng_fresh_seed();
    TRY(group_broadcast(all, NET_CONTROL, 0, &run, sizeof run));
    TRY(file_make_dirs(dir));
    TRY(name_of(path, dir, run, all->me));
    TRY(leave(path));
    enum status s = group_barrier(all);
    if (s == OK) s = look(team, all, dir, run);
    if (s == OK) s = group_barrier(all);
    unlink(path);
    return s;
}
