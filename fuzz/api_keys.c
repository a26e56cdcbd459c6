// SPDX-License-Identifier: Apache-2.0
/* A file of keys, whose first line is also what a client gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "server/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keys *keys;
    struct buf header = {0};
    buf_puts(&header, "Bearer ");
    buf_append(&header, data, size);
    header.data[strcspn(header.data, "\n")] = 0;
    if (keys_parse(&keys, (const char *)data, size, "keys") == OK) {
        const char *name = keys_find(keys, header.data);
        if (name && strlen(header.data + 7) < 8) abort(); /* no key is that short */
        if (keys_find(keys, NULL) || keys_find(keys, "Bearer ")) abort();
        keys_free(keys);
    } else if (!*status_message()) {
        abort();
    }
    buf_free(&header);
    return 0;
}
