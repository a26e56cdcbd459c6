// SPDX-License-Identifier: Apache-2.0
/* Classifies every row of a file, in order, and can be interrupted at any moment.
 *
 * The input is read once to check it and count it (nothing is computed for a file that is broken at its end), then row
 * by row. Results go to OUT.part-FINGERPRINT, flushed with every row; when all are there the file is made durable and
 * renamed to OUT, so OUT is never half a result. The fingerprint is a hash of everything that decides the bytes of the
 * output and of the input's size and time: the same command finds the part file again, drops a last row that was cut
 * off, and goes on after the whole ones; another command does not touch it. */
#ifndef GPTJT_EVAL_CLASSIFY_FILE_H
#define GPTJT_EVAL_CLASSIFY_FILE_H

#include "eval/classify.h"
#include "eval/rows.h"

/* What a look at the whole input found. */
struct classify_survey {
    uint64_t n_rows;
    uint64_t odd_line;    /* the first row whose fields are not those of the first row, 0 without one */
    const char **columns; /* [n_columns] every field name, in order of first appearance; owned */
    int n_columns;
    const char **fields; /* [n_fields] the columns that make up the text; owned */
    int n_fields;
    char *gold;     /* the column with the right labels, NULL without one; owned */
    uint64_t bytes; /* of the file */
    int64_t modified_ns;
    void *names; /* what columns borrows from */
};

struct classify_input {
    const char *path;
    enum rows_format format;
    const char *const *fields; /* [n_fields] columns of the text; n_fields 0: one, see rows_text_column() */
    int n_fields;
    const char *text_field; /* NULL: found */
    const char *gold;       /* NULL: the field named label_name or "label" whatever its case, if every row has one
                             * of the labels there; when it is given, an empty gold text means unknown and any other
                             * that is no label is an error */
    const char *label_name;
    const char *const *labels; /* [n_labels] */
    int n_labels;
};

/* Reads all of the input. Owned: classify_survey_free(). E_FORMAT when it has no rows or one lacks a field. */
enum status classify_survey(struct classify_survey *out, const struct classify_input *in);
void classify_survey_free(struct classify_survey *s);

struct classify_report {
    uint64_t n_rows, n_resumed; /* n_resumed: found in the part file */
    uint64_t n_gold, n_correct;
    uint64_t n_fewer_shots; /* rows whose prompt had no room for all shots */
    uint64_t n_cut;         /* rows whose text was cut */
    char part[4096];        /* name of the part file, "" for standard output */
};

/* Called after every row. Return false to stop: the call then returns E_CANCELLED, the rows so far are safe. */
typedef bool classify_progress_fn(void *user, uint64_t done, uint64_t total);

struct classify_job {
    const struct classify_input *input;
    const struct classify_survey *survey;
    const char *out_path; /* "-": standard output, which cannot be resumed */
    enum rows_format out_format;
    const char *settings; /* text that is different whenever results could be; hashed into the fingerprint */
    int n_shots;          /* of the spec, to count prompts that had room for fewer */
    classify_progress_fn *progress;
    void *user;
};

/* report is filled in as far as it went, also on failure. E_IO when another process is writing the same part file. */
enum status classify_file(struct classify *c, const struct classify_job *job, struct classify_report *report);

#endif
