// SPDX-License-Identifier: Apache-2.0
/* Answers to a task: every row of its test file, under one or two masks, with every trial's draw of shots. The shots of
 * a trial are the same under both masks, so that answers can be compared in pairs.
 *
 * With out_path every answer is a line of JSON there (part_file.h says how it is resumed):
 *     {"mask", "trial", "instance", "gold", "answer", "correct", "probability", "prompt_tokens", "shots", "cut"}
 * "probability" where there are labels to choose from, and then "log_likelihoods" by label. */
#ifndef GPTJT_EVAL_TASK_RUN_H
#define GPTJT_EVAL_TASK_RUN_H

#include <locale.h>

#include "eval/part_file.h"
#include "eval/task.h"

struct task_answer {
    char *text;         /* a label, or what the model said; owned */
    int label;          /* its index, -1: none of the labels */
    bool exact, quasi;  /* the right answer so; see helm_text.h */
    bool correct;       /* what counts: quasi for generate, else exact */
    double probability; /* choice: of the label among all */
    size_t prompt_tokens;
    int n_shots;      /* that the prompt had room for */
    size_t n_dropped; /* tokens cut from the end of the text */
};

struct task_run {
    const struct task *task; /* to be filled in, and borrowed */
    const struct task_data *data;
    enum gptjt_mask masks[2];
    int n_masks;
    const char *out_path; /* NULL: answers are kept in memory only */
    const char *settings; /* text that is different whenever the model's numbers could be; for the fingerprint */

    struct task_answer *answers; /* [n_masks][trials][n instances]; see task_run_answer() */
    size_t n, n_done, n_resumed; /* of answers: in all, there, found in the part file */
    struct part_file part;
    locale_t locale; /* says what letters are */
};

/* Called now and then with the run's n_done. Return false to stop: the call then returns E_CANCELLED, the answers so
 * far are safe. */
typedef bool task_progress_fn(void *user, size_t n_done);

/* Takes up what an earlier run has left in the part file. Owned: task_run_free(), also after an error. */
enum status task_run_open(struct task_run *r);
enum status task_run_all(struct task_run *r, struct gptjt_engine *engine, task_progress_fn *progress, void *user);
enum status task_run_finish(struct task_run *r); /* gives the part file its name */
void task_run_free(struct task_run *r);

const struct task_answer *task_run_answer(const struct task_run *r, int mask, int trial, int instance);

#endif
