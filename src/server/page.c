// SPDX-License-Identifier: Apache-2.0
#include "server/page.h"

#include <string.h>

#include "server/page_bytes.h" /* PAGE_BYTES, PAGE_ETAG, PAGE_POLICY: made by the build, page/pack.sh */

static const unsigned char bytes[] = {PAGE_BYTES};

const struct page page_index = {
    .bytes = bytes,
    .n_bytes = sizeof bytes,
    .type = "text/html; charset=utf-8",
    .headers = {{"ETag", PAGE_ETAG},
                {"Cache-Control", "no-cache"}, /* keep it, but ask whether it is still this one: servers get updated */
                {"Content-Security-Policy", PAGE_POLICY},
                {"X-Content-Type-Options", "nosniff"},
                {"Referrer-Policy", "no-referrer"},
                {"Cross-Origin-Opener-Policy", "same-origin"},
                {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"}},
};

/* Tags are compared weakly, as If-None-Match wants it: W/"x" is "x". */
bool page_is_known(const char *if_none_match)
{
    static const char tag[] = PAGE_ETAG;
    for (const char *at = if_none_match; at && *at;) {
        at += strspn(at, " \t,");
        if (*at == '*') return true;
        if (!strncmp(at, "W/", 2)) at += 2;
        if (!strncmp(at, tag, sizeof tag - 1)) return true;
        if (*at == '"') {
            at++;
            at += strcspn(at, "\"");
        }
        at += strcspn(at, ",");
    }
    return false;
}
