// SPDX-License-Identifier: Apache-2.0
/* Writes predictions beside the rows they belong to: the input row's fields, then
 *
 *   csv     label, probability and one column p(<label>) for each label
 *   jsonl   "label", "probability" and "probabilities": {"<label>": p, ...}; the input's object is kept byte for byte
 *
 * One of these names that the input already has (the gold column is often called label) gets "predicted_" before it. */
#ifndef GPTJT_EVAL_ROWS_WRITE_H
#define GPTJT_EVAL_ROWS_WRITE_H

#include "eval/rows.h"

struct rows_writer;

/* columns [n_columns]: every field name of the input; the csv header is made of them, and a csv row must have exactly
 * these. labels [n_labels], borrowed until rows_writer_free(). */
enum status rows_writer_create(struct rows_writer **out, enum rows_format format, const char *const *columns,
                               int n_columns, const char *const *labels, int n_labels);
void rows_writer_free(struct rows_writer *w);

const char *rows_writer_label_column(const struct rows_writer *w); /* borrowed */

/* Append to out the header line (csv only), and a row with its prediction: the index of a label and all [n_labels]
 * probabilities. where begins error messages. */
enum status rows_writer_header(const struct rows_writer *w, struct buf *out);
enum status rows_writer_row(const struct rows_writer *w, struct buf *out, const char *where, const struct row *row,
                            int best, const double *probabilities);

/* How much of a file is whole rows: their number, the csv header not counted, and the bytes up to the last one's end.
 * Knows only what rows_writer writes: rows end in LF, quotes are balanced within a row. A missing file has none. */
enum status rows_count_whole(const char *path, enum rows_format format, uint64_t *n_rows, uint64_t *bytes);

#endif
