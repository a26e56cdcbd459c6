// SPDX-License-Identifier: Apache-2.0
/* How an exchange goes through libmicrohttpd (MHD):
 *
 *     MHD calls on_request(): head, each piece of the body, its end -> our handler
 *     no answer yet: the connection is suspended                       (HTTP thread)
 *     exchange_answer() or exchange_write() resume it                  (any thread)
 *     MHD calls on_request() again: the response is queued             (HTTP thread)
 *     of a stream it asks read_stream() for more: suspended again while there is nothing
 *     on_completed(): MHD knows the connection no more
 *
 * An exchange has a mutex of its own; under it x->connection is either NULL or a connection that MHD has not let go.
 * Lock order: a link's before an exchange's; and nothing of links.h but link_deadline() is called under the latter. */
#include "server/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/links.h"

enum { BACKLOG = 256, STREAM_BLOCK = 16 << 10, MOST_HEADERS = 16, ADDRESS_MAX = 80, SLOWEST_BYTES_PER_S = 16 << 10 };

/* A body beyond the limit is read and thrown away up to here, so that its sender hears of the limit and not of a broken
 * pipe; beyond that the answer comes at once and the connection is closed. */
enum { MOST_THROWN_AWAY = 64 << 20 };

static const char too_slow[] =
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 35\r\n"
    "Connection: close\r\n\r\n{\"error\":\"the request came slowly\"}";

struct header {
    char *name, *value;
};

struct exchange {
    struct http *http;
    _Atomic int n_holders;
    pthread_mutex_t mutex;

    /* The request; written by the HTTP thread only, before the handler is called. */
    char *method, *path;
    char address[ADDRESS_MAX];
    struct buf body;
    uint64_t body_bytes; /* that came, kept or not */
    bool too_large;
    int64_t began_ns;

    /* Guarded by the mutex from here on. */
    struct MHD_Connection *connection; /* NULL: MHD is through with it */
    struct link *link;                 /* of the same life */
    bool handled;                      /* the handler has been called */
    bool suspended, gone;
    bool answered; /* status and head are known; a stream may go on */
    bool streaming, ended;
    int status;
    const char *type; /* static */
    struct header headers[MOST_HEADERS];
    int n_headers;
    struct buf out; /* not yet given to MHD, from out_at on */
    size_t out_at;
    uint64_t sent;
    exchange_gone_fn *on_gone;
    void *gone_user;

    void *data;
    void (*release_data)(void *data);
};

struct http {
    struct http_options options;
    char address[ADDRESS_MAX + 8];
    int port;
    struct MHD_Daemon *daemon;
    struct links *links;
    http_handler_fn *handler;
    http_done_fn *done;
    void *user;
    _Atomic int n_connections;

    pthread_mutex_t mutex;  /* of the list */
    struct exchange **open; /* [n_open] between on_request() and on_completed() */
    size_t n_open, open_cap;
    bool closing;
};

/* ---- Life ---- */

void exchange_hold(struct exchange *x)
{
    atomic_fetch_add(&x->n_holders, 1);
}

void exchange_release(struct exchange *x)
{
    if (!x || atomic_fetch_sub(&x->n_holders, 1) != 1) return;
    if (x->release_data) x->release_data(x->data);
    for (int i = 0; i < x->n_headers; i++) {
        free(x->headers[i].name);
        free(x->headers[i].value);
    }
    buf_free(&x->body);
    buf_free(&x->out);
    free(x->method);
    free(x->path);
    pthread_mutex_destroy(&x->mutex);
    free(x);
}

/* The list of open exchanges is what http_close() wakes. */
static bool list_add(struct http *h, struct exchange *x)
{
    pthread_mutex_lock(&h->mutex);
    bool ok = !h->closing;
    if (ok && h->n_open == h->open_cap) {
        const size_t cap = h->open_cap ? 2 * h->open_cap : 64;
        struct exchange **more = realloc(h->open, cap * sizeof *more);
        ok = more != NULL;
        if (ok) {
            h->open = more;
            h->open_cap = cap;
        }
    }
    if (ok) h->open[h->n_open++] = x;
    pthread_mutex_unlock(&h->mutex);
    return ok;
}

static void list_remove(struct http *h, const struct exchange *x)
{
    pthread_mutex_lock(&h->mutex);
    for (size_t i = 0; i < h->n_open; i++)
        if (h->open[i] == x) h->open[i] = h->open[--h->n_open];
    pthread_mutex_unlock(&h->mutex);
}

static void find_address(char out[ADDRESS_MAX], struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    out[0] = 0;
    if (!info || !info->client_addr) return;
    const struct sockaddr *a = info->client_addr;
    const socklen_t len = a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo(a, len, out, ADDRESS_MAX, NULL, 0, NI_NUMERICHOST)) out[0] = 0;
}

static struct link *link_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static struct exchange *exchange_open(struct http *h, struct MHD_Connection *c, const char *method, const char *path)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    pthread_mutex_init(&x->mutex, NULL);
    atomic_init(&x->n_holders, 1);
    x->http = h;
    x->connection = c;
    x->link = link_of(c);
    x->began_ns = clock_ns();
    x->method = strdup(strcmp(method, MHD_HTTP_METHOD_HEAD) ? method : MHD_HTTP_METHOD_GET);
    x->path = strdup(path);
    find_address(x->address, c);
    buf_append(&x->body, "", 0); /* a text also when empty */
    if (x->link && x->method && x->path && !x->body.failed && list_add(h, x)) return x;
    exchange_release(x);
    return NULL;
}

/* ---- The answer ---- */

/* MHD looks at the connection again. Under the mutex. */
static void wake(struct exchange *x)
{
    if (!x->connection || !x->suspended) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

/* Whether the client was there until now; then *fn is to be called, after unlocking. Under the mutex. */
static bool mark_gone(struct exchange *x, exchange_gone_fn **fn, void **user)
{
    if (x->gone) return false;
    x->gone = true;
    *fn = x->on_gone;
    *user = x->gone_user;
    x->on_gone = NULL;
    wake(x);
    return *fn != NULL;
}

static void client_gone(void *user)
{
    struct exchange *x = user;
    exchange_gone_fn *fn;
    void *fn_user;
    pthread_mutex_lock(&x->mutex);
    const bool tell = mark_gone(x, &fn, &fn_user);
    pthread_mutex_unlock(&x->mutex);
    if (tell) fn(fn_user);
}

void exchange_on_gone(struct exchange *x, exchange_gone_fn *fn, void *user)
{
    pthread_mutex_lock(&x->mutex);
    const bool late = x->gone;
    x->on_gone = late ? NULL : fn;
    x->gone_user = user;
    pthread_mutex_unlock(&x->mutex);
    if (late && fn) fn(user);
}

bool exchange_gone(const struct exchange *x)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&x->mutex;
    pthread_mutex_lock(mutex);
    const bool gone = x->gone;
    pthread_mutex_unlock(mutex);
    return gone;
}

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
    char *n = strdup(name), *v = strdup(value);
    pthread_mutex_lock(&x->mutex);
    const bool takes = n && v && x->n_headers < MOST_HEADERS && !x->answered;
    if (takes) x->headers[x->n_headers++] = (struct header){n, v};
    pthread_mutex_unlock(&x->mutex);
    if (takes) return;
    free(n);
    free(v);
}

void exchange_answer(struct exchange *x, int status, const char *type, struct buf *body)
{
    pthread_mutex_lock(&x->mutex);
    if (!x->answered && !x->gone) {
        x->answered = x->ended = true;
        x->status = body->failed ? MHD_HTTP_SERVICE_UNAVAILABLE : status;
        x->type = type;
        if (!body->failed) {
            x->out = *body;
            *body = (struct buf){0};
        }
        wake(x);
    }
    pthread_mutex_unlock(&x->mutex);
    buf_free(body);
}

void exchange_begin(struct exchange *x, int status, const char *type)
{
    pthread_mutex_lock(&x->mutex);
    if (!x->answered && !x->gone) {
        x->answered = x->streaming = true;
        x->status = status;
        x->type = type;
        wake(x);
    }
    pthread_mutex_unlock(&x->mutex);
}

void exchange_write(struct exchange *x, const void *data, size_t len)
{
    exchange_gone_fn *fn;
    void *user;
    bool tell = false;
    pthread_mutex_lock(&x->mutex);
    if (x->streaming && !x->ended && !x->gone && len) {
        const size_t pending = x->out.len - x->out_at;
        if (!pending && x->link) link_deadline(x->link, x->http->options.write_s, NULL);
        if (pending + len <= x->http->options.max_pending_bytes) buf_append(&x->out, data, len);
        if (pending + len > x->http->options.max_pending_bytes || x->out.failed) {
            tell = mark_gone(x, &fn, &user);
            if (x->link) link_deadline(x->link, 1e-9, NULL);
        }
        wake(x);
    }
    pthread_mutex_unlock(&x->mutex);
    if (tell) fn(user);
}

void exchange_end(struct exchange *x)
{
    pthread_mutex_lock(&x->mutex);
    x->ended = true;
    wake(x);
    pthread_mutex_unlock(&x->mutex);
}

/* MHD asks for more of a stream. */
static ssize_t read_stream(void *user, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct exchange *x = user;
    ssize_t n = 0;
    pthread_mutex_lock(&x->mutex);
    const size_t pending = x->out.len - x->out_at;
    if (x->gone) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (pending) {
        const size_t taken = pending < max ? pending : max;
        memcpy(out, x->out.data + x->out_at, taken);
        x->out_at += taken;
        x->sent += taken;
        if (x->out_at == x->out.len) {
            buf_clear(&x->out);
            x->out_at = 0;
        }
        link_deadline(x->link, taken < pending || x->ended ? x->http->options.write_s : 0, NULL);
        n = (ssize_t)taken;
    } else if (x->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
        link_deadline(x->link, x->http->options.write_s, NULL);
    } else {
        link_deadline(x->link, 0, NULL);
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->mutex);
    return n;
}

static void stream_freed(void *user)
{
    exchange_release(user);
}

static struct MHD_Response *make_response(struct exchange *x)
{
    if (x->streaming) {
        struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x,
                                                                   stream_freed);
        if (r) exchange_hold(x);
        return r;
    }
    const size_t len = x->out.len;
    x->sent = len;
    char *data = x->out.data;
    x->out = (struct buf){0};
    if (!data) return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *r = MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
    if (!r) free(data);
    return r;
}

/* In the HTTP thread. Not under the mutex: MHD holds a response's own when it calls read_stream(), which takes ours.
 * What is read here does not change any more once there is an answer. */
static enum MHD_Result queue_answer(struct exchange *x)
{
    const size_t len = x->streaming ? 0 : x->out.len;
    struct MHD_Response *r = make_response(x);
    if (!r) return MHD_NO;
    if (x->type) MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, x->type);
    for (int i = 0; i < x->n_headers; i++)
        MHD_add_response_header(r, x->headers[i].name, x->headers[i].value);
    link_deadline(x->link, x->http->options.write_s + (double)len / SLOWEST_BYTES_PER_S, NULL);
    const enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* Answers if there is something, else waits for it. */
static enum MHD_Result go_on(struct exchange *x)
{
    pthread_mutex_lock(&x->mutex);
    const bool over = x->gone || (x->ended && !x->answered), answered = x->answered;
    if (!over && !answered) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->mutex);
    if (over) return MHD_NO;
    return answered ? queue_answer(x) : MHD_YES;
}

/* ---- The request ---- */

static uint64_t announced_bytes(struct MHD_Connection *c)
{
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

/* The head is there. A body too large to be thrown away is never waited for, nor one whose sender asks first. */
static enum MHD_Result head_came(struct exchange *x, struct MHD_Connection *c)
{
    const struct http_options *o = &x->http->options;
    const uint64_t announced = announced_bytes(c);
    link_deadline(x->link, o->body_s, too_slow);
    x->too_large = announced > o->max_body_bytes;
    const bool asks = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) != NULL;
    if (!x->too_large || (announced <= MOST_THROWN_AWAY && !asks)) return MHD_YES;
    x->handled = true;
    exchange_set_header(x, MHD_HTTP_HEADER_CONNECTION, "close");
    x->http->handler(x->http->user, x);
    return go_on(x);
}

static enum MHD_Result body_came(struct exchange *x, const char *data, size_t len)
{
    x->body_bytes += len;
    if (x->body_bytes > x->http->options.max_body_bytes) {
        x->too_large = true;
        buf_free(&x->body);
        return x->body_bytes > MOST_THROWN_AWAY ? MHD_NO : MHD_YES;
    }
    buf_append(&x->body, data, len);
    return x->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result all_came(struct exchange *x)
{
    x->handled = true;
    if (!x->body.data) buf_append(&x->body, "", 0); /* one that was thrown away */
    link_deadline(x->link, 0, NULL);
    x->http->handler(x->http->user, x);
    pthread_mutex_lock(&x->mutex);
    const bool ended = x->ended;
    pthread_mutex_unlock(&x->mutex);
    if (!ended) link_watch(x->link, client_gone, x); /* who half-closes still gets what is there at once */
    return go_on(x);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **request)
{
    (void)version;
    struct exchange *x = *request;
    if (!x) {
        *request = x = exchange_open(user, c, method, url);
        return x ? head_came(x, c) : MHD_NO;
    }
    if (*data_len) {
        const enum MHD_Result ok = body_came(x, data, *data_len);
        *data_len = 0;
        return ok;
    }
    return x->handled ? go_on(x) : all_came(x);
}

static void on_completed(void *user, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode why)
{
    (void)c;
    struct http *h = user;
    struct exchange *x = *request;
    if (!x) return;
    *request = NULL;
    link_watch(x->link, NULL, NULL);
    link_deadline(x->link, h->options.idle_s, NULL);
    exchange_gone_fn *fn = NULL;
    void *fn_user;
    pthread_mutex_lock(&x->mutex);
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK) mark_gone(x, &fn, &fn_user);
    x->connection = NULL;
    x->link = NULL;
    x->on_gone = NULL;
    pthread_mutex_unlock(&x->mutex);
    list_remove(h, x);
    if (fn) fn(fn_user);
    h->done(h->user, x);
    exchange_release(x);
}

static void on_connection(void *user, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *h = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct link *k = links_add(h->links, info->connect_fd);
        *context = k; /* without memory for one, its requests are refused */
        if (k) link_deadline(k, h->options.header_s, too_slow);
        atomic_fetch_add(&h->n_connections, 1);
    } else {
        if (*context) links_remove(*context);
        *context = NULL;
        atomic_fetch_sub(&h->n_connections, 1);
    }
}

/* ---- Access ---- */

const char *exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *exchange_body(const struct exchange *x, size_t *len)
{
    *len = x->body.len;
    return x->body.data;
}

const char *exchange_address(const struct exchange *x)
{
    return x->address;
}

bool exchange_too_large(const struct exchange *x)
{
    return x->too_large;
}

int64_t exchange_began_ns(const struct exchange *x)
{
    return x->began_ns;
}

void exchange_set_data(struct exchange *x, void *data, void (*release)(void *data))
{
    x->data = data;
    x->release_data = release;
}

void *exchange_data(const struct exchange *x)
{
    return x->data;
}

int exchange_status(const struct exchange *x)
{
    return x->status;
}

uint64_t exchange_sent(const struct exchange *x)
{
    return x->sent;
}

int http_port(const struct http *h)
{
    return h->port;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

int http_connections(struct http *h)
{
    return atomic_load(&h->n_connections);
}

size_t http_exchanges(struct http *h)
{
    pthread_mutex_lock(&h->mutex);
    const size_t n = h->n_open;
    pthread_mutex_unlock(&h->mutex);
    return n;
}

/* ---- Listening ---- */

static int listen_on(const struct addrinfo *a)
{
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), on = 1;
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart need not wait for old connections */
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG)) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The first of the host's addresses that can be had. */
static enum status open_socket(int *out, const struct http_options *o)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[16];
    snprintf(port, sizeof port, "%d", o->port);
    const int error = getaddrinfo(o->host, port, &hints, &found);
    if (error) return fail(E_IO, "cannot listen on %s: %s", o->host, gai_strerror(error));
    int fd = -1;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = listen_on(a);
    freeaddrinfo(found);
    if (fd < 0) return fail(E_IO, "cannot listen on %s, port %d: %s", o->host, o->port, strerror(errno));
    *out = fd;
    return OK;
}

static void find_own_address(struct http *h, int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[ADDRESS_MAX], port[16];
    if (getsockname(fd, (struct sockaddr *)&a, &len) ||
        getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    h->port = atoi(port);
    snprintf(h->address, sizeof h->address, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void log_mhd(void *user, const char *format, va_list args)
{
    (void)user;
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = 0;
    log_line(LOG_DEBUG, "http: %s", line);
}

static struct MHD_Daemon *start_daemon(struct http *h, int fd)
{
    const struct http_options *o = &h->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (o->tls_certificate) flags |= MHD_USE_TLS;
    const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_certificate},
                                         {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key},
                                         {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, o->threads, NULL}, {MHD_OPTION_END, 0, NULL}};
    static const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)o->max_connections_per_address,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, o->max_header_bytes, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                            h, MHD_OPTION_ARRAY, o->threads > 1 ? pool : none, MHD_OPTION_ARRAY,
                            o->tls_certificate ? tls : none, MHD_OPTION_END);
}

static enum status start(struct http *h)
{
    int fd = -1;
    TRY(open_socket(&fd, &h->options));
    find_own_address(h, fd);
    enum status s = links_open(&h->links);
    if (s == OK) {
        h->daemon = start_daemon(h, fd);
        if (h->daemon) return OK;
        return fail(E_IO, "cannot start the HTTP server on %s%s", h->address, /* fd is MHD's, also then */
                    h->options.tls_certificate ? "; are certificate and key PEM files that belong together?" : "");
    }
    close(fd);
    return s;
}

enum status http_open(struct http **out, const struct http_options *o, http_handler_fn *handler, http_done_fn *done,
                      void *user)
{
    if (o->tls_certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return fail(E_UNSUPPORTED, "this build of libmicrohttpd has no TLS");
    struct http *h = calloc(1, sizeof *h);
    if (!h) return fail(E_NOMEM, "server: out of memory");
    h->options = *o;
    h->handler = handler;
    h->done = done;
    h->user = user;
    pthread_mutex_init(&h->mutex, NULL);
    *out = h; /* before the first request comes */
    const enum status s = start(h);
    if (s == OK) return OK;
    *out = NULL;
    http_close(h);
    return s;
}

/* MHD must not be stopped while a connection is suspended; none is from here on. */
static void wake_all(struct http *h)
{
    pthread_mutex_lock(&h->mutex);
    h->closing = true;
    const size_t n = h->n_open;
    struct exchange **all = h->open;
    for (size_t i = 0; i < n; i++)
        exchange_hold(all[i]);
    h->open = NULL; /* those that complete meanwhile look for themselves in vain */
    h->n_open = h->open_cap = 0;
    pthread_mutex_unlock(&h->mutex);
    for (size_t i = 0; i < n; i++) {
        client_gone(all[i]);
        exchange_release(all[i]);
    }
    free(all);
}

void http_close(struct http *h)
{
    if (!h) return;
    if (h->daemon) {
        wake_all(h);
        MHD_stop_daemon(h->daemon);
    }
    links_close(h->links);
    pthread_mutex_destroy(&h->mutex);
    free(h->open);
    free(h);
}
