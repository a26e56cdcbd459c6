// SPDX-License-Identifier: Apache-2.0
/* A task of one's own: a small YAML file that says what is asked, and csv or jsonl files with questions and answers.
 *
 *     name: emotion                   # of the report (default: the file's name)
 *     instruction: "Label the post's emotion as sadness, joy or anger."
 *     fields: [text: Input]           # columns that make up the text; "column: name" shows it under another name
 *     label: emotion                  # the column with the right answer (default: label)
 *     label_name: Output              # the prompt's word before the answer (default: Label)
 *     labels: [sadness, joy, anger]   # default: the labels of the train file
 *     answer: choice                  # choice: the likeliest label; generate: what the model says, matched with the
 *                                     # labels as HELM does it; free: what it says, compared with the right answer
 *     shots: 5                        # examples in the prompt, from the train file
 *     trials: 3                       # so many draws of them; 1 without shots
 *     train: train.csv                # relative to the task file
 *     test: test.csv
 *     group: family                   # a column: results also for each of its values
 *
 * task_options describes all of it. The prompt is that of eval/fewshot.h. */
#ifndef GPTJT_EVAL_TASK_H
#define GPTJT_EVAL_TASK_H

#include "base/json.h"
#include "base/options.h"
#include "eval/shots.h"

enum { TASK_MAX_SHOTS = 1000, TASK_MAX_GROUPS = 1000 };
enum task_answer_kind { TASK_CHOICE, TASK_GENERATE, TASK_FREE };
#define TASK_ANSWER_NAMES "choice|generate|free"

struct task {
    const char *name, *instruction, *label, *label_name, *group; /* group NULL: none */
    struct option_strings fields, labels;                        /* columns; labels n 0: those of train */
    const char **names;                                          /* [fields.n] as the prompt shows the columns */
    int answer;                                                  /* enum task_answer_kind */
    int normalize;                                               /* enum classify_normalize, for choice */
    bool calibrate, list_labels;
    int64_t max_tokens, shots, trials;
    uint64_t seed;
    const char *train, *test;     /* as the file has them */
    char *train_path, *test_path; /* relative to where the program runs; train_path NULL: none */
    json_t *file, *fields_list;   /* strings point into them */
    char *own_name;               /* from the file's name */
};

extern const struct option task_options[]; /* offsets are into struct task */

/* E_ARG for unknown keys, with the nearest name, and for what does not go together. Owned: task_free(). */
enum status task_read(struct task *out, const char *path);
enum status task_read_text(struct task *out, const char *text, size_t len, const char *path); /* the same from memory */
void task_free(struct task *t);

/* Another number of examples than the file says. E_ARG where there are none. */
enum status task_set_shots(struct task *t, int64_t shots);

/* The rows of its files. The values of a row are those of the fields, and in test then the group if there is one. */
struct task_data {
    struct shots train, test;
    const char *const *labels; /* [n_labels], borrowed from the task or train; 0 for free answers */
    int n_labels;
    const char **groups; /* [n_groups], in order of first appearance in test, borrowed from there; 0 without groups */
    int n_groups;
    int *group_of; /* [rows of test] */
};

/* limit: rows of test to keep, 0: all. Owned: task_data_free(). */
enum status task_load(struct task_data *out, const struct task *t, int64_t limit);
void task_data_free(struct task_data *d);

/* The examples of a trial: shots [t->shots], borrowed from d, of which *n_shots are there: fewer where train has fewer.
 *
 * With labels as HELM draws them: one at random of the most frequent label in train, one of the second, and so on, then
 * the same again; labels of equal frequency in random order. Free answers: at random. Never the same row twice. */
enum status task_draw(struct fewshot_shot *shots, int *n_shots, const struct task *t, const struct task_data *d,
                      int trial);

#endif
