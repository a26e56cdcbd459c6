// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a csv and as a jsonl file: every row that is accepted is written in both formats, and what was written
 * must be read back as the same number of whole rows. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/rows.h"
#include "eval/rows_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rows *open_bytes(const void *data, size_t size, enum rows_format format)
{
    FILE *f = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : fopen("/dev/null", "rb");
    struct rows *r;
    if (!f || rows_open_stream(&r, f, "input", format) != OK) return NULL;
    return r;
}

static void read_back(const struct buf *text, enum rows_format format, uint64_t n_written)
{
    struct rows *r = open_bytes(text->data, text->len, format);
    const struct row *row;
    uint64_t n = 0;
    if (!r) abort();
    for (;;) {
        if (rows_next(r, &row) != OK) abort();
        if (!row) break;
        n++;
    }
    rows_close(r);
    if (n != n_written) abort();
}

static void convert(const uint8_t *data, size_t size, enum rows_format in, enum rows_format out)
{
    static const char *const labels[] = {"a", "b"};
    static const double p[] = {0.5, 0.5};
    struct rows *r = open_bytes(data, size, in);
    if (!r) return;
    struct rows_writer *w = NULL;
    struct buf text = {0};
    const struct row *row;
    uint64_t n = 0;
    while (rows_next(r, &row) == OK && row) {
        if (out == ROWS_JSONL) { /* names are chosen against one row's fields, as a survey would against all */
            rows_writer_free(w);
            w = NULL;
        }
        if (!w && rows_writer_create(&w, out, row->names, row->n, labels, 2) != OK) break;
        if (!n && rows_writer_header(w, &text) != OK) abort();
        const size_t before = text.len;
        if (rows_writer_row(w, &text, "row", row, 1, p) == OK)
            n++;
        else
            text.len = before; /* fields that the first row does not have */
    }
    if (w && text.len) read_back(&text, out, n);
    rows_writer_free(w);
    buf_free(&text);
    rows_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int in = ROWS_CSV; in <= ROWS_JSONL; in++)
        for (int out = ROWS_CSV; out <= ROWS_JSONL; out++)
            convert(data, size, (enum rows_format)in, (enum rows_format)out);
    return 0;
}
