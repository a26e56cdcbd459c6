// SPDX-License-Identifier: Apache-2.0
#include "hub/response.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A decimal number at *text, which is moved behind it; strtoull() alone would take signs and white space. */
static bool take_number(uint64_t *out, const char **text)
{
    char *end;
    if (!isdigit((unsigned char)**text)) return false;
    errno = 0;
    *out = strtoull(*text, &end, 10);
    *text = end;
    return !errno;
}

static bool take_word(const char *word, const char **text)
{
    const size_t len = strlen(word);
    if (strncasecmp(*text, word, len)) return false;
    *text += len;
    return true;
}

bool hub_response_range(uint64_t *first, uint64_t *last, uint64_t *total, const char *value)
{
    uint64_t a, b, n;
    if (!take_word("bytes ", &value) || !take_number(&a, &value) || !take_word("-", &value)) return false;
    if (!take_number(&b, &value) || !take_word("/", &value) || !take_number(&n, &value) || *value) return false;
    if (a > b || b >= n) return false;
    *first = a;
    *last = b;
    *total = n;
    return true;
}

uint64_t hub_response_reset(const char *value)
{
    const char *left = strstr(value, ";r="), *after = strstr(value, ";t=");
    uint64_t n, seconds;
    if (!left || !after) return 0;
    left += 3;
    after += 3;
    return take_number(&n, &left) && !n && take_number(&seconds, &after) ? seconds : 0;
}

void hub_response_etag(char out[HUB_SHA256 + 1], const char *value)
{
    out[0] = 0;
    if (!strncmp(value, "W/", 2)) value += 2;
    const bool quoted = *value == '"';
    value += quoted;
    const size_t len = strlen(value), quotes = quoted && len && value[len - 1] == '"';
    if (len - quotes > HUB_SHA256) return;
    char hash[HUB_SHA256 + 1];
    snprintf(hash, sizeof hash, "%.*s", (int)(len - quotes), value);
    if (hub_name_is_hash(hash, HUB_SHA256) || hub_name_is_hash(hash, HUB_COMMIT)) strcpy(out, hash);
}

/* The Hub redirects to where a file is stored, whose own ETag may be anything: the linked one is the file's. */
static void take_etag(struct hub_response *r, const char *value, bool linked)
{
    if (!r->from_hub || (r->linked && !linked)) return;
    hub_response_etag(r->etag, value);
    r->linked = linked;
}

static void take_header(struct hub_response *r, const char *name, const char *value)
{
    if (!strcasecmp(name, "ETag"))
        take_etag(r, value, false);
    else if (!strcasecmp(name, "X-Linked-Etag"))
        take_etag(r, value, true);
    else if (!strcasecmp(name, "Content-Range"))
        r->ranged = hub_response_range(&r->first, &r->last, &r->total, value);
    else if (!strcasecmp(name, "RateLimit"))
        r->reset_s = hub_response_reset(value);
    else if (!strcasecmp(name, "X-Error-Code"))
        snprintf(r->error_code, sizeof r->error_code, "%.63s", value);
    else if (!strcasecmp(name, "X-Error-Message"))
        snprintf(r->error, sizeof r->error, "%.255s", value);
}

void hub_response_header(struct hub_response *r, const char *line, size_t len)
{
    char name[32], value[512];
    const char *colon = memchr(line, ':', len);
    if (!colon || (size_t)(colon - line) >= sizeof name) return;
    snprintf(name, sizeof name, "%.*s", (int)(colon - line), line);
    const char *from = colon + 1, *end = line + len;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && isspace((unsigned char)end[-1]))
        end--;
    if ((size_t)(end - from) >= sizeof value) return;
    memcpy(value, from, (size_t)(end - from));
    value[end - from] = 0;
    take_header(r, name, value);
}
