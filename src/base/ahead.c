// SPDX-License-Identifier: Apache-2.0
/* A ring of slots under one mutex: making an item takes far longer than finding the next one to make. */
#include "base/ahead.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum slot_state { SLOT_WAITING, SLOT_MAKING, SLOT_MADE };

struct slot {
    void *item; /* borrowed */
    int lane;
    enum slot_state state;
    enum status status;
    char message[1024]; /* of a failed make: status_message() is the maker's thread's */
};

struct ahead {
    struct ahead_work work;
    struct slot *slots; /* [n_slots]; item index lies in slot index % n_slots */
    int n_slots;
    uint64_t begin, end; /* items in the ring: begin was handed out last, or comes next at first */
    bool handed_out;     /* begin is in the caller's hands */
    bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t to_make, made;
    pthread_t *threads; /* [n_threads] */
    int n_threads;
};

static struct slot *slot_of(struct ahead *a, uint64_t index)
{
    return &a->slots[index % (uint64_t)a->n_slots];
}

/* Fills the ring with items to make, under the mutex. */
static void extend(struct ahead *a)
{
    while (a->end - a->begin < (uint64_t)a->n_slots) {
        struct slot *s = slot_of(a, a->end);
        s->lane = a->work.lane(a->work.user, a->end);
        s->state = SLOT_WAITING;
        a->end++;
    }
}

/* The first item that waits and has no unmade one of its lane before it: its index, or end. An item that failed stays
 * before its lane for ever. */
static uint64_t find_work(struct ahead *a)
{
    for (uint64_t i = a->begin; i < a->end; i++) {
        const struct slot *s = slot_of(a, i);
        if (s->state != SLOT_WAITING) continue;
        bool blocked = false;
        for (uint64_t k = a->begin; k < i && !blocked; k++) {
            const struct slot *before = slot_of(a, k);
            blocked = before->lane == s->lane && (before->state != SLOT_MADE || before->status != OK);
        }
        if (!blocked) return i;
    }
    return a->end;
}

static void *maker_main(void *user)
{
    struct ahead *a = user;
    pthread_mutex_lock(&a->mutex);
    while (!a->stop) {
        const uint64_t index = find_work(a);
        if (index == a->end) {
            pthread_cond_wait(&a->to_make, &a->mutex);
            continue;
        }
        struct slot *s = slot_of(a, index);
        s->state = SLOT_MAKING;
        pthread_mutex_unlock(&a->mutex);
        const enum status status = a->work.make(a->work.user, index, s->item);
        pthread_mutex_lock(&a->mutex);
        s->status = status;
        snprintf(s->message, sizeof s->message, "%s", status == OK ? "" : status_message());
        s->state = SLOT_MADE;
        pthread_cond_broadcast(&a->made);
        pthread_cond_broadcast(&a->to_make); /* the next of this lane may begin */
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

static void stop_threads(struct ahead *a)
{
    pthread_mutex_lock(&a->mutex);
    a->stop = true;
    pthread_cond_broadcast(&a->to_make);
    pthread_mutex_unlock(&a->mutex);
    for (int i = 0; i < a->n_threads; i++)
        pthread_join(a->threads[i], NULL);
}

/* Signals stay with the program's own threads. */
static enum status start_threads(struct ahead *a, int n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    enum status s = OK;
    while (s == OK && a->n_threads < n) {
        const int error = pthread_create(&a->threads[a->n_threads], NULL, maker_main, a);
        if (error)
            s = fail(E_IO, "cannot start thread %d of %d to read ahead: %s", a->n_threads + 1, n, strerror(error));
        else
            a->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s;
}

enum status ahead_create(struct ahead **out, const struct ahead_work *work, uint64_t first, int n_threads,
                         void *const *items, int n_items)
{
    assert(n_threads >= 1 && n_items >= 1);
    struct ahead *a = calloc(1, sizeof *a);
    struct slot *slots = calloc((size_t)n_items, sizeof *slots);
    pthread_t *threads = calloc((size_t)n_threads, sizeof *threads);
    if (!a || !slots || !threads) {
        free(threads);
        free(slots);
        free(a);
        return fail(E_NOMEM, "out of memory to read %d items ahead", n_items);
    }
    *a = (struct ahead){.work = *work, .slots = slots, .n_slots = n_items, .begin = first, .end = first};
    a->threads = threads;
    for (int i = 0; i < n_items; i++)
        slots[i].item = items[i];
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->to_make, NULL);
    pthread_cond_init(&a->made, NULL);
    extend(a);
    const enum status s = start_threads(a, n_threads);
    if (s != OK) {
        ahead_free(a);
        return s;
    }
    *out = a;
    return OK;
}

void ahead_free(struct ahead *a)
{
    if (!a) return;
    stop_threads(a);
    pthread_cond_destroy(&a->made);
    pthread_cond_destroy(&a->to_make);
    pthread_mutex_destroy(&a->mutex);
    free(a->threads);
    free(a->slots);
    free(a);
}

enum status ahead_next(struct ahead *a, void **item)
{
    pthread_mutex_lock(&a->mutex);
    if (a->handed_out) {
        a->begin++;
        a->handed_out = false;
        extend(a);
        pthread_cond_broadcast(&a->to_make);
    }
    struct slot *s = slot_of(a, a->begin);
    while (s->state != SLOT_MADE)
        pthread_cond_wait(&a->made, &a->mutex);
    a->handed_out = s->status == OK;
    pthread_mutex_unlock(&a->mutex);
    if (s->status != OK) return fail(s->status, "%s", s->message);
    *item = s->item;
    return OK;
}
