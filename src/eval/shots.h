// SPDX-License-Identifier: Apache-2.0
/* Labelled examples, of a prompt or of a test, read from a csv or jsonl file into memory. */
#ifndef GPTJT_EVAL_SHOTS_H
#define GPTJT_EVAL_SHOTS_H

#include "eval/fewshot.h"
#include "eval/rows.h"

struct shots_query {
    const char *const *fields; /* [n_fields] columns that make up the text; NULL: one, see rows_text_column() */
    int n_fields;
    const char *text_field;  /* NULL: found; only without fields */
    const char *label_field; /* NULL: the field named like label_name, whatever its case */
    const char *label_name;  /* "Label" */
    bool any_label;          /* labels are free text: no list is made of them */
};

struct shots {
    struct fewshot_shot *items; /* [n], each with the values of fields, or of the one text column */
    int n;
    const char **labels; /* [n_labels] distinct, in order of first appearance */
    int n_labels;
};

/* labels [n_labels]: those a shot may have; n_labels 0: any, up to SHOTS_MAX_LABELS different ones unless any_label.
 * At most SHOTS_MAX rows. Owned: shots_free(). */
enum { SHOTS_MAX = 1000000, SHOTS_MAX_LABELS = 10000 };
enum status shots_load(struct shots *out, const char *path, const struct shots_query *query, const char *const *labels,
                       int n_labels);
void shots_free(struct shots *shots);

/* Keeps the first n. */
void shots_keep(struct shots *shots, int n);

/* The place of label among labels[n], or -1. */
int shots_label_index(const char *label, const char *const *labels, int n);

/* The field of row named like name, whatever its case, NULL without one; borrowed from the row. */
const char *shots_label_field(const struct row *row, const char *name);

#endif
