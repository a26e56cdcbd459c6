// SPDX-License-Identifier: Apache-2.0
#include "hub/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

enum { MAX_REDIRECTS = 10, CONNECT_S = 30, BUFFER_BYTES = 512 << 10, MAX_HEAD = 256 << 10, MAX_DROPPED = 64 << 10 };

struct hub_http {
    struct hub_http_options o;
    CURL *curl;
    struct curl_slist *headers, *headers_with_token;
    char *origin; /* of the endpoint, as origin_of() has it */
    char error[CURL_ERROR_SIZE];
    bool worked; /* the endpoint has answered once: it exists */
};

/* One request. */
struct get {
    struct hub_http *http;
    struct hub_response *response;
    hub_body_fn *body;
    void *user;
    size_t head, dropped; /* bytes of headers, and of a body that nobody wants */
    enum status status;   /* of what ended it from here */
};

/* "scheme://host:port" of a URL, owned; NULL if it is none for us. */
static char *origin_of(const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
    if (u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
        !curl_url_get(u, CURLUPART_HOST, &host, 0) && !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
        (!strcmp(scheme, "http") || !strcmp(scheme, "https"))) {
        if (asprintf(&origin, "%s://%s:%s", scheme, host, port) < 0) origin = NULL;
        for (char *c = origin; c && *c; c++)
            *c = (char)tolower((unsigned char)*c);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return origin;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    struct get *g = user;
    g->head += size * n;
    if (g->head > MAX_HEAD) {
        g->status = fail(E_LIMIT, "%s: the headers of an answer have no end", g->http->o.endpoint);
        return 0;
    }
    hub_response_header(g->response, data, size * n);
    return size * n;
}

/* What curl knows by now about the response whose body comes. */
static void take_info(const struct get *g)
{
    long code = 0;
    curl_off_t length = -1, after = 0;
    curl_easy_getinfo(g->http->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(g->http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(g->http->curl, CURLINFO_RETRY_AFTER, &after);
    g->response->code = (int)code;
    g->response->length = length;
    if (after <= 0) after = code == 429 && g->response->reset_s < INT32_MAX ? (curl_off_t)g->response->reset_s : 0;
    g->response->retry_after_s = after;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct get *g = user;
    const size_t len = size * n;
    take_info(g);
    if (g->response->code != 200 && g->response->code != 206) {
        g->dropped += len;
        return g->dropped > MAX_DROPPED ? CURL_WRITEFUNC_ERROR : len;
    }
    g->status = g->body(g->user, g->response, data, len);
    return g->status == OK ? len : CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)total, (void)now, (void)up_total, (void)up_now;
    const struct get *g = user;
    const struct hub_http_options *o = &g->http->o;
    return o->stop && o->stop(o->user);
}

static enum status set_up(struct hub_http *h)
{
    CURL *c = h->curl;
    int failed = 0;
    failed |= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_USERAGENT, h->o.agent) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)h->o.silence_s) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) != CURLE_OK;
    if (h->o.ca_file) failed |= curl_easy_setopt(c, CURLOPT_CAINFO, h->o.ca_file) != CURLE_OK;
    return failed ? fail(E_NOMEM, "libcurl refuses its options, or there is no memory for them") : OK;
}

/* A header must not hold the end of its line. */
static enum status check_token(const char *token)
{
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c > '~') return fail(E_ARG, "the token has a character that no token has");
    return OK;
}

static bool append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) *list = longer;
    return longer != NULL;
}

static enum status make_headers(struct hub_http *h)
{
    char *bearer = NULL;
    bool made = append(&h->headers, "Accept-Encoding: identity") &&
                append(&h->headers_with_token, "Accept-Encoding: identity");
    if (made && h->o.token) {
        made = asprintf(&bearer, "Authorization: Bearer %s", h->o.token) >= 0 && append(&h->headers_with_token, bearer);
        free(bearer);
    }
    return made ? OK : fail(E_NOMEM, "out of memory");
}

enum status hub_http_open(struct hub_http **out, const struct hub_http_options *o)
{
    if (o->token) TRY(check_token(o->token));
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return fail(E_NOMEM, "libcurl cannot be initialised");
    struct hub_http *h = calloc(1, sizeof *h);
    enum status s = fail(E_NOMEM, "out of memory");
    if (!h) {
        curl_global_cleanup();
        return s;
    }
    h->o = *o;
    h->curl = curl_easy_init();
    h->origin = origin_of(o->endpoint);
    if (!h->origin)
        s = fail(E_ARG, "%s: is not the http or https URL of a Hub (HF_ENDPOINT)", o->endpoint);
    else if (h->curl)
        s = set_up(h);
    if (s == OK) s = make_headers(h);
    if (s == OK)
        *out = h;
    else
        hub_http_close(h);
    return s;
}

void hub_http_close(struct hub_http *h)
{
    if (!h) return;
    curl_easy_cleanup(h->curl);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->headers_with_token);
    free(h->origin);
    free(h);
    curl_global_cleanup();
}

/* ---- Errors ---- */

static bool is_tls(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE;
}

/* What another try will not change. A host that cannot be found or reached may come back only if it has been there. */
static bool is_final(const struct hub_http *h, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: return !h->worked;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT: return true;
    default: return is_tls(code);
    }
}

static enum status explain(const struct get *g, CURLcode code, const char *url, bool *broken)
{
    const struct hub_http *h = g->http;
    const char *why = h->error[0] ? h->error : curl_easy_strerror(code);
    if (g->status != OK) return g->status;
    if (code == CURLE_ABORTED_BY_CALLBACK) return fail(E_CANCELLED, "interrupted");
    *broken = !is_final(h, code);
    const char *hint = is_tls(code) ? " (SSL_CERT_FILE names the authorities to trust)" : "";
    char *host = origin_of(url); /* what follows it may be a signature */
    const enum status s = fail(E_IO, "%s: %s%s", host ? host : h->o.endpoint, why, hint);
    free(host);
    return s;
}

/* ---- Requests ---- */

/* One request to where the last one led. *next is owned: where it leads, NULL if this was the answer. */
static enum status one_request(struct get *g, const char *url, uint64_t from, char **next, bool *broken)
{
    struct hub_http *h = g->http;
    char range[32], *origin = origin_of(url), *redirect = NULL;
    if (!origin) return fail(E_IO, "%.200s: the server redirects to what is not http or https", url);
    g->response->from_hub = !strcmp(origin, h->origin);
    g->response->ranged = false;
    g->response->reset_s = 0;
    g->head = g->dropped = 0;
    free(origin);
    snprintf(range, sizeof range, "%llu-", (unsigned long long)from);
    h->error[0] = 0;
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, g->response->from_hub ? h->headers_with_token : h->headers);
    curl_easy_setopt(h->curl, CURLOPT_RANGE, from ? range : NULL);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, g);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, g);
    curl_easy_setopt(h->curl, CURLOPT_XFERINFODATA, g);
    CURLcode code = curl_easy_perform(h->curl);
    take_info(g);
    if (code == CURLE_WRITE_ERROR && g->dropped > MAX_DROPPED) code = CURLE_OK; /* its head is all we wanted */
    if (code != CURLE_OK) return explain(g, code, url, broken);
    h->worked = true;
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &redirect);
    if (!redirect || g->response->code < 300 || g->response->code > 399) return OK;
    if (!strncasecmp(url, "https:", 6) && strncasecmp(redirect, "https:", 6))
        return fail(E_IO, "%.200s: the server redirects from https to another protocol", url);
    *next = strdup(redirect);
    return *next ? OK : fail(E_NOMEM, "out of memory");
}

static enum status follow(struct get *g, struct buf *url, uint64_t from, bool *broken)
{
    for (int i = 0; i <= MAX_REDIRECTS; i++) {
        char *next = NULL;
        TRY(one_request(g, url->data, from, &next, broken));
        if (!next) return OK;
        buf_clear(url);
        buf_puts(url, next);
        free(next);
        TRY(buf_status(url));
    }
    return fail(E_IO, "%s: more than %d redirects", g->http->o.endpoint, MAX_REDIRECTS);
}

enum status hub_http_get(struct hub_http *h, struct hub_response *r, bool *broken, const char *path, uint64_t from,
                         hub_body_fn *body, void *user)
{
    struct get g = {.http = h, .response = r, .body = body, .user = user};
    struct buf url = {0};
    *r = (struct hub_response){.length = -1};
    *broken = false;
    buf_puts(&url, h->o.endpoint);
    buf_puts(&url, path);
    enum status s = buf_status(&url);
    if (s == OK) s = follow(&g, &url, from, broken);
    buf_free(&url);
    return s;
}
