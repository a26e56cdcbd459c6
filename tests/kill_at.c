// SPDX-License-Identifier: Apache-2.0
/* Preloaded into the program, kills it with SIGKILL in front of the N-th call (GPTJT_KILL_AT=N) that makes something
 * durable or gives it its name: so every state that a crash can leave behind is reached, one after the other. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void count(void)
{
    static int calls;
    const char *at = getenv("GPTJT_KILL_AT");
    if (at && __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == atoi(at)) kill(getpid(), SIGKILL);
}

/* What is wrapped, by the name of the real one. */
static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) abort();
    return f;
}

int fsync(int fd)
{
    count();
    return ((int (*)(int))next("fsync"))(fd);
}

int rename(const char *from, const char *to)
{
    count();
    return ((int (*)(const char *, const char *))next("rename"))(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    count();
    return ((int (*)(const char *, mode_t))next("mkdir"))(path, mode);
}

int rmdir(const char *path)
{
    count();
    return ((int (*)(const char *))next("rmdir"))(path);
}

int unlinkat(int directory, const char *path, int flags)
{
    count();
    return ((int (*)(int, const char *, int))next("unlinkat"))(directory, path, flags);
}
