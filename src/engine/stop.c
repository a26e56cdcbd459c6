// SPDX-License-Identifier: Apache-2.0
#include "engine/stop.h"

#include <string.h>

size_t stop_longest(const struct stop_list *l)
{
    size_t most = 0;
    for (int i = 0; i < l->n; i++)
        if (strlen(l->strings[i]) > most) most = strlen(l->strings[i]);
    return most;
}

size_t stop_find(const struct stop_list *l, const char *text, size_t len, size_t from)
{
    size_t first = len;
    for (int i = 0; i < l->n; i++) {
        const char *at = from < len ? memmem(text + from, len - from, l->strings[i], strlen(l->strings[i])) : NULL;
        if (at && (size_t)(at - text) < first) first = (size_t)(at - text);
    }
    return first;
}

size_t stop_safe(const struct stop_list *l, const char *text, size_t len)
{
    size_t safe = len;
    for (int i = 0; i < l->n; i++) {
        const size_t n = strlen(l->strings[i]);
        for (size_t held = n - 1 < len ? n - 1 : len; held > 0; held--) {
            if (memcmp(text + len - held, l->strings[i], held)) continue;
            if (len - held < safe) safe = len - held;
            break;
        }
    }
    return safe;
}
