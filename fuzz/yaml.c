// SPDX-License-Identifier: Apache-2.0
/* Hostile recipes: whatever is accepted as YAML must be a tree that JSON can hold, which read again as YAML (JSON is
 * YAML) is the same one; whatever is refused says where, in one line. */
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

static void require(bool promise)
{
    if (!promise) abort();
}

/* Where JSON is YAML: printable ASCII (YAML takes U+0085 for the end of a line and refuses DEL) and no key that may be
 * longer than the 1024 characters that YAML looks ahead. */
static bool is_yaml(const char *json)
{
    size_t n = 0;
    while (json[n] >= ' ' && json[n] <= '~')
        n++;
    return !json[n] && n < 1024;
}

static void check_round_trip(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    json_t *again = NULL;
    require(text != NULL);
    if (is_yaml(text)) {
        require(yaml_read_text(&again, text, strlen(text), "again") == OK);
        require(json_equal(value, again));
    }
    json_decref(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL;
    if (yaml_read_text(&value, (const char *)data, size, "fuzz") == OK)
        check_round_trip(value);
    else
        require(!strncmp(status_message(), "fuzz:", 5) && !strchr(status_message(), '\n'));
    json_decref(value);
    return 0;
}
