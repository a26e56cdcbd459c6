// SPDX-License-Identifier: Apache-2.0
#include "hub/environment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "base/file.h"

/* The first of them that is set, or NULL. */
static const char *first_set(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return value;
    }
    return NULL;
}

static const char *value_of(const char *name)
{
    return first_set(&name, 1);
}

static bool is_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *value = value_of(name);
    for (size_t i = 0; value && i < COUNT_OF(words); i++)
        if (!strcasecmp(value, words[i])) return true;
    return false;
}

/* ---- Paths ---- */

/* $NAME or ${NAME} at text: appends its value, or leaves it as it is where there is none, as Python's expandvars does.
 * Returns what is behind it. */
static const char *expand_variable(struct buf *out, const char *text)
{
    char name[128];
    const bool braces = text[1] == '{';
    const char *begin = text + 1 + braces, *end = begin;
    while (isalnum((unsigned char)*end) || *end == '_')
        end++;
    const size_t len = (size_t)(end - begin);
    snprintf(name, sizeof name, "%.*s", (int)len, begin);
    const char *value = len && len < sizeof name && (!braces || *end == '}') ? getenv(name) : NULL;
    if (!value) {
        buf_append(out, text, 1);
        return text + 1;
    }
    buf_puts(out, value);
    return end + braces;
}

/* path with "~" and variables expanded, and "/" and more behind it unless that is NULL. */
static enum status expand(char out[HUB_PATH_MAX], const char *path, const char *more)
{
    struct buf text = {0};
    const char *home = value_of("HOME");
    if (path[0] == '~' && (!path[1] || path[1] == '/')) {
        buf_puts(&text, home ? home : "");
        path++;
    }
    while (*path)
        if (*path == '$')
            path = expand_variable(&text, path);
        else
            buf_append(&text, path++, 1);
    if (more) buf_printf(&text, "/%s", more);
    enum status s = buf_status(&text);
    if (s == OK && text.len >= HUB_PATH_MAX)
        s = fail(E_LIMIT, "%.100s...: path of the Hugging Face cache is longer than %d", text.data, HUB_PATH_MAX);
    if (s == OK) snprintf(out, HUB_PATH_MAX, "%s", text.data ? text.data : "");
    buf_free(&text);
    return s;
}

/* A path below HF_HOME. */
static enum status below_home(char out[HUB_PATH_MAX], const char *name)
{
    const char *home = value_of("HF_HOME"), *caches = value_of("XDG_CACHE_HOME");
    char path[64];
    if (home) return expand(out, home, name);
    snprintf(path, sizeof path, "huggingface/%s", name);
    return expand(out, caches ? caches : "~/.cache", path);
}

enum status hub_environment_cache(char out[HUB_PATH_MAX])
{
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"};
    const char *cache = first_set(names, COUNT_OF(names));
    return cache ? expand(out, cache, NULL) : below_home(out, "hub");
}

/* ---- The token ---- */

/* Without the white space around it, which files and shells add. */
static void put_stripped(struct buf *out, const char *text)
{
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    const size_t skip = strspn(text, " \t\r\n");
    if (skip < len) buf_append(out, text + skip, len - skip);
}

static enum status read_token_file(struct buf *out, const char *path)
{
    struct buf text = {0};
    if (!file_exists(path)) return OK;
    const enum status s = file_read(&text, path, 4096);
    if (s == OK && text.len) put_stripped(out, text.data);
    buf_free(&text);
    return s;
}

static enum status read_token(struct hub_environment *e)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    const char *path = value_of("HF_TOKEN_PATH"), *token = first_set(names, COUNT_OF(names));
    TRY(path ? expand(e->token_file, path, NULL) : below_home(e->token_file, "token"));
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return OK;
    if (token)
        put_stripped(&e->token, token);
    else
        TRY(read_token_file(&e->token, e->token_file));
    return buf_status(&e->token);
}

/* ---- All ---- */

enum status hub_environment_read(struct hub_environment *out)
{
    static const char *const authorities[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    const char *endpoint = value_of("HF_ENDPOINT");
    *out = (struct hub_environment){
        .ca_file = first_set(authorities, COUNT_OF(authorities)),
        .offline = is_true(value_of("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE"),
    };
    put_stripped(&out->endpoint, endpoint ? endpoint : "https://huggingface.co");
    TRY(buf_status(&out->endpoint));
    while (out->endpoint.len && out->endpoint.data[out->endpoint.len - 1] == '/')
        out->endpoint.data[--out->endpoint.len] = 0;
    TRY(hub_environment_cache(out->cache));
    return read_token(out);
}

void hub_environment_free(struct hub_environment *e)
{
    buf_free(&e->endpoint);
    buf_free(&e->token);
}
