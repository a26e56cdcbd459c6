// SPDX-License-Identifier: Apache-2.0
/* One mutex, one thread, one epoll instance that waits for nothing but the end of connections. Deadlines are looked at
 * a few times a second; there are at most some hundred links, so they are simply all looked at. */
#include "server/links.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { TICK_MS = 100, MOST_EVENTS = 64 };

struct link {
    struct links *all;
    struct link *next, **at; /* *at points here */
    int fd;
    uint64_t serial;             /* tells a late event for an earlier link from one for this */
    _Atomic int64_t deadline_ns; /* 0: none */
    _Atomic(const char *) last_words;
    link_gone_fn *gone; /* NULL: nobody wants to know */
    void *user;
    bool cut;
};

struct links {
    pthread_mutex_t mutex; /* guards the list and everything in it that is not atomic */
    pthread_t thread;
    int epoll;
    _Atomic bool stopping;
    struct link *first;
    uint64_t n_serials;
};

static void tell_gone(struct link *k)
{
    link_gone_fn *fn = k->gone;
    k->gone = NULL;
    if (fn) fn(k->user);
}

/* What the client has sent meanwhile is of no interest; what it is told fits into any socket buffer. */
static void cut(struct link *k)
{
    const char *words = atomic_load(&k->last_words);
    if (words) send(k->fd, words, strlen(words), MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(k->fd, SHUT_RDWR);
    k->cut = true;
    tell_gone(k);
}

static void cut_late(struct links *l)
{
    const int64_t now = clock_ns();
    for (struct link *k = l->first; k; k = k->next) {
        const int64_t deadline = atomic_load(&k->deadline_ns);
        if (deadline && deadline <= now && !k->cut) cut(k);
    }
}

static void take_event(struct links *l, const struct epoll_event *e)
{
    for (struct link *k = l->first; k; k = k->next)
        if (k->serial == e->data.u64) {
            tell_gone(k);
            return;
        }
}

static void *watch(void *user)
{
    struct links *l = user;
    struct epoll_event events[MOST_EVENTS];
    while (!atomic_load(&l->stopping)) {
        const int n = epoll_wait(l->epoll, events, MOST_EVENTS, TICK_MS);
        pthread_mutex_lock(&l->mutex);
        for (int i = 0; i < n; i++)
            take_event(l, &events[i]);
        cut_late(l);
        pthread_mutex_unlock(&l->mutex);
    }
    return NULL;
}

enum status links_open(struct links **out)
{
    struct links *l = calloc(1, sizeof *l);
    if (!l) return fail(E_NOMEM, "server: out of memory");
    pthread_mutex_init(&l->mutex, NULL);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    int error = l->epoll < 0 ? errno : pthread_create(&l->thread, NULL, watch, l);
    if (error) {
        if (l->epoll >= 0) close(l->epoll);
        pthread_mutex_destroy(&l->mutex);
        free(l);
        return fail(E_IO, "server: cannot watch connections: %s", strerror(error));
    }
    *out = l;
    return OK;
}

void links_close(struct links *l)
{
    if (!l) return;
    atomic_store(&l->stopping, true);
    pthread_join(l->thread, NULL);
    close(l->epoll);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

struct link *links_add(struct links *l, int fd)
{
    struct link *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->all = l;
    k->fd = fd;
    pthread_mutex_lock(&l->mutex);
    k->serial = ++l->n_serials;
    k->next = l->first;
    k->at = &l->first;
    if (k->next) k->next->at = &k->next;
    l->first = k;
    pthread_mutex_unlock(&l->mutex);
    return k;
}

void links_remove(struct link *k)
{
    struct links *l = k->all;
    pthread_mutex_lock(&l->mutex);
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, k->fd, NULL); /* fails where it never was watched */
    *k->at = k->next;
    if (k->next) k->next->at = k->at;
    pthread_mutex_unlock(&l->mutex);
    free(k);
}

void link_deadline(struct link *k, double seconds, const char *last_words)
{
    atomic_store(&k->deadline_ns, 0); /* never this deadline with other words */
    atomic_store(&k->last_words, last_words);
    if (seconds > 0) atomic_store(&k->deadline_ns, clock_ns() + (int64_t)(seconds * 1e9));
}

void link_watch(struct link *k, link_gone_fn *fn, void *user)
{
    struct links *l = k->all;
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = k->serial};
    pthread_mutex_lock(&l->mutex);
    k->gone = fn;
    k->user = user;
    if (fn && epoll_ctl(l->epoll, EPOLL_CTL_MOD, k->fd, &e) && errno == ENOENT)
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, k->fd, &e); /* without memory for it: then its deadlines have to do */
    pthread_mutex_unlock(&l->mutex);
}
