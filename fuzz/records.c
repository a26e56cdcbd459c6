// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a file of training data, packed or not, of any format: every record that is read makes tokens or an
 * error, and reading on from where it begins gives the same record again. The first byte chooses. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "byte_tokenizer.h"
#include "data/example.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 20, LONG = 1 << 12 }; /* records and their bytes: a packed file may have any number */

static const char *const names[] = {"a.jsonl",   "a.jsonl.gz", "a.jsonl.zst", "a.txt",
                                    "a.txt.zst", "a.json",     "a.json.gz"};

static struct stream *open_bytes(const uint8_t *data, size_t size, const char *name, const struct stream_place *from)
{
    const struct stream_options options = {.members = true};
    FILE *f = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : fopen("/dev/null", "rb");
    struct stream *s;
    if (!f || stream_open_file(&s, f, name, &options, from) != OK) return NULL;
    return s;
}

static void make_tokens(const struct tokenizer *t, const struct stream_record *record, int format, const char *name)
{
    const struct data_source source = {.format = format, .field = "text"};
    const struct example_settings set = {.source = &source, .tokenizer = t, .join = format % 2, .end_of_text = -1};
    const struct example_style style = {"\n", " ", "", "A: "};
    const struct record r = {record->data, record->len, record->is_json, name, record->place.number};
    struct token_list ids = {0};
    int64_t prefix;
    if (example_tokens(&ids, &prefix, &set, &r, &style, true) == OK && prefix > (int64_t)ids.n) abort();
    token_list_free(&ids);
}

static void read_again(const uint8_t *data, size_t size, const char *name, const struct stream_record *record)
{
    struct stream *s = open_bytes(data, size, name, &record->place);
    struct stream_record again;
    bool got;
    if (!s || stream_next(s, true, &again, &got) != OK || !got) abort();
    if (again.len != record->len || (again.len && memcmp(again.data, record->data, again.len))) abort();
    if (again.place.number != record->place.number) abort();
    stream_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct stream_place start = {0};
    if (!size) return 0;
    static struct tokenizer *t; /* once: it takes longer than most inputs */
    if (!t) t = byte_tokenizer();
    const char *name = names[data[0] % COUNT_OF(names)];
    static const int formats[] = {DATA_PILE, DATA_P3, DATA_COT, DATA_PROMPT};
    struct stream *s = open_bytes(data + 1, size - 1, name, &start);
    for (int i = 0; s && i < MOST; i++) {
        struct stream_record record;
        bool got;
        if (stream_next(s, true, &record, &got) != OK || !got) break;
        if (record.len <= LONG) make_tokens(t, &record, formats[data[0] / COUNT_OF(names) % COUNT_OF(formats)], name);
        if (i % 7 == 0) read_again(data + 1, size - 1, name, &record);
    }
    stream_close(s);
    return 0;
}
