// SPDX-License-Identifier: Apache-2.0
#include "alloc_fail.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Only the test's own thread asks for memory: workers of a pool never do. */
static struct {
    long count, at;
    size_t bytes;
    bool for_good, failed;
    enum alloc_scope scope;
} state;

static bool refuse(size_t bytes)
{
    state.count++;
    state.bytes += bytes;
    if (!state.at || state.count < state.at || (state.count > state.at && !state.for_good)) return false;
    state.failed = true;
    errno = ENOMEM;
    return true;
}

/* The linker's names: __real_f() is the f() that was meant, __wrap_f() is what is called. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user);

static void *json_alloc(size_t bytes)
{
    return state.scope == ALLOC_AND_JSON && refuse(bytes) ? NULL : __real_malloc(bytes);
}

void alloc_fail_at(long n, bool for_good, enum alloc_scope scope)
{
    state.at = n;
    state.for_good = for_good;
    state.scope = scope;
    state.count = 0;
    state.bytes = 0;
    state.failed = false;
    json_set_alloc_funcs(json_alloc, free);
}

long alloc_count(void)
{
    return state.count;
}

size_t alloc_bytes(void)
{
    return state.bytes;
}

bool alloc_failed(void)
{
    return state.failed;
}

void *__wrap_malloc(size_t bytes)
{
    return refuse(bytes) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return refuse(n * bytes) ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
    return refuse(bytes) ? NULL : __real_realloc(p, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return refuse(bytes) ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text)
{
    return refuse(strlen(text) + 1) ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return refuse(strnlen(text, n) + 1) ? NULL : __real_strndup(text, n);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return flags & MAP_ANONYMOUS && refuse(bytes) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, fd, offset);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user)
{
    return refuse(0) ? EAGAIN : __real_pthread_create(thread, attributes, run, user);
}
