// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/amount.h"
#include "base/buf.h"
#include "base/file.h"
#include "hub/answer.h"
#include "hub/fetch.h"
#include "hub/http.h"
#include "hub/retry.h"

enum { MAX_ANSWER_BYTES = 16 << 20, SILENCE_S = 30 };

/* ---- Asking ---- */

static enum status on_answer(void *user, const struct hub_response *r, const void *data, size_t len)
{
    struct buf *text = user;
    (void)r;
    if (len > MAX_ANSWER_BYTES - text->len)
        return fail(E_LIMIT, "the Hub's answer has more than %d MB", MAX_ANSWER_BYTES >> 20);
    buf_append(text, data, len);
    return buf_status(text);
}

static struct hub_subject subject(const struct hub_pull *p)
{
    return (struct hub_subject){
        .model = &p->model,
        .endpoint = p->set.endpoint,
        .token = p->set.token != NULL,
        .token_file = p->set.token_file,
    };
}

/* The answer's text, with retries. */
static enum status get_answer(struct buf *text, const struct hub_pull *p, const char *path)
{
    struct hub_retry retry = {.watch = &p->watch, .tries = p->set.tries};
    const struct hub_subject x = subject(p);
    for (;;) {
        struct hub_response r;
        bool broken;
        buf_clear(text);
        enum status s = hub_http_get(p->http, &r, &broken, path, 0, on_answer, text);
        if (s == OK) s = hub_answer_check(&r, &x, &broken);
        if (s == OK) return OK;
        TRY(hub_retry_after(&retry, s, broken, r.retry_after_s));
    }
}

static enum status ask(struct hub_pull *p)
{
    struct buf path = {0}, text = {0};
    buf_printf(&path, "/api/models/%s/revision/", p->model.name);
    hub_name_quote(&path, p->model.revision, false);
    buf_puts(&path, "?blobs=true");
    enum status s = buf_status(&path);
    if (s == OK) s = get_answer(&text, p, path.data);
    if (s == OK) s = hub_listing_parse(&p->listing, text.data ? text.data : "", text.len, p->model.name);
    if (s == OK) s = hub_cache_snapshot(p->snapshot, &p->cache, p->listing.commit);
    buf_free(&path);
    buf_free(&text);
    return s;
}

enum status hub_pull_open(struct hub_pull *p, const struct hub_settings *set, const struct hub_model *m,
                          const struct hub_watch *watch)
{
    *p = (struct hub_pull){.set = *set, .model = *m, .watch = *watch};
    const struct hub_http_options o = {
        .endpoint = set->endpoint,
        .token = set->token,
        .ca_file = set->ca_file,
        .agent = "gptjt/" GPTJT_VERSION,
        .silence_s = SILENCE_S,
        .stop = watch->stop,
        .user = watch->user,
    };
    TRY(hub_cache_init(&p->cache, set->cache, m));
    TRY(hub_http_open(&p->http, &o));
    const enum status s = ask(p);
    if (s != OK) hub_pull_close(p);
    return s;
}

void hub_pull_close(struct hub_pull *p)
{
    hub_http_close(p->http);
    hub_listing_free(&p->listing);
}

/* ---- Choosing ---- */

enum status hub_pull_choose(struct hub_pull *p, const struct hub_choice *c)
{
    TRY(hub_choose(&p->listing, c, p->model.name));
    TRY(hub_cache_survey(&p->listing, &p->cache));
    p->n_wanted = p->n_missing = 0;
    p->bytes = p->have = 0;
    for (size_t i = 0; i < p->listing.n; i++) {
        const struct hub_file *f = &p->listing.files[i];
        if (!f->wanted) continue;
        p->n_wanted++;
        p->n_missing += !f->there;
        p->bytes += f->bytes;
        p->have += f->have;
    }
    return OK;
}

/* ---- Downloading ---- */

static enum status check_space(const struct hub_pull *p)
{
    struct statvfs v;
    if (statvfs(p->cache.repository, &v)) return fail(E_IO, "%s: %s", p->cache.repository, strerror(errno));
    const uint64_t need = p->bytes - p->have, have = (uint64_t)v.f_bavail * v.f_frsize;
    if (have >= need) return OK;
    return fail(E_IO, "%s: %s are to be downloaded, and the disk has %s free; HF_HUB_CACHE names a directory elsewhere",
                p->cache.root, amount_bytes(need).text, amount_bytes(have).text);
}

static enum status fetch_all(const struct hub_pull *p)
{
    struct hub_fetch fetch = {
        .http = p->http,
        .watch = &p->watch,
        .cache = &p->cache,
        .subject = subject(p),
        .commit = p->listing.commit,
        .tries = p->set.tries,
        .done = p->have,
    };
    for (size_t i = 0; i < p->listing.n; i++) {
        const struct hub_file *f = &p->listing.files[i];
        if (!f->wanted || f->there) continue;
        fetch.done -= f->have;
        TRY(hub_fetch_file(&fetch, f));
        fetch.done += f->bytes;
    }
    return OK;
}

/* Nothing is written where everything is there: the cache may be somebody else's. */
enum status hub_pull_run(struct hub_pull *p)
{
    if (p->n_missing) {
        TRY(hub_cache_make(&p->cache));
        TRY(check_space(p));
        TRY(fetch_all(p));
    }
    return hub_cache_publish(&p->cache, &p->listing, p->model.revision);
}
