// SPDX-License-Identifier: Apache-2.0
/* Heads of a hostile server's responses, line by line, from the Hub and from elsewhere; and names as users and servers
 * give them: what is accepted as one leads nowhere else. */
#include <stdlib.h>
#include <string.h>

#include "hub/answer.h"

static void require(bool promise)
{
    if (!promise) abort();
}

static void check(const struct hub_response *r)
{
    static const struct hub_model model = {.name = "o/n", .revision = "main"};
    const struct hub_subject x = {.model = &model, .endpoint = "http://hub", .token_file = "token"};
    bool broken;
    require(!r->etag[0] || hub_name_is_hash(r->etag, HUB_SHA256) || hub_name_is_hash(r->etag, HUB_COMMIT));
    require(!r->ranged || (r->first <= r->last && r->last < r->total));
    require(hub_answer_check(r, &x, &broken) != OK && !strchr(status_message(), '\n'));
}

static void read_head(const char *data, size_t size, bool from_hub, int code)
{
    struct hub_response r = {.from_hub = from_hub, .code = code};
    while (size) {
        const char *end = memchr(data, '\n', size);
        const size_t len = end ? (size_t)(end - data) + 1 : size;
        hub_response_header(&r, data, len);
        data += len;
        size -= len;
    }
    check(&r);
}

static void read_name(const char *text)
{
    struct hub_model m;
    if (hub_name_parse(&m, text) == OK) {
        require(hub_name_looks_like_model(text) && strlen(m.name) <= HUB_NAME_MAX && strchr(m.name, '/'));
        require(!strstr(m.name, "..") && !strstr(m.revision, "..") && m.revision[0] != '/' && m.revision[0] != '-');
    }
    if (hub_name_is_file(text)) require(text[0] != '/' && strcmp(text, "..") && strncmp(text, "../", 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_head((const char *)data, size, true, 401);
    read_head((const char *)data, size, false, 503);
    char *text = strndup((const char *)data, size);
    if (text) read_name(text);
    free(text);
    return 0;
}
