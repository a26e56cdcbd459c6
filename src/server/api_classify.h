// SPDX-License-Identifier: Apache-2.0
/* POST /classify, our own: which of some labels does the model expect for a text? The names are those of the options of
 * `gptjt classify`, the arithmetic is eval/classify.h's.
 *
 *     {"inputs": TEXT | {FIELD: TEXT, ...} | [either, ...], "labels": [TEXT, ...], "instruction": TEXT, "list_labels":
 * true, "text_name": "Text", "label_name": "Label", "shots": [{"text": TEXT | {FIELD: TEXT, ...}, "label": TEXT}, ...],
 *      "normalize": "none" | "length", "calibrate": false, "content_free": "N/A", "prompt_mask": ..., "details": false}
 *     -> {"results": [{"label", "score", "probabilities": {LABEL: P}, "log_likelihoods": {LABEL: L}, "prompt_tokens",
 *         "n_shots", "n_dropped", "prompt"?}], "prompt_mask"}
 *
 * A text is one line "Text: ..." of the prompt, an object one such line a field; all inputs and shots have the same
 * fields. Without "labels" they are those of the shots. */
#ifndef GPTJT_SERVER_API_CLASSIFY_H
#define GPTJT_SERVER_API_CLASSIFY_H

#include "eval/classify.h"
#include "server/dialect.h"

struct classify_ask {
    json_t *body;             /* owned; texts borrow from it */
    struct fewshot_spec spec; /* its arrays are the ask's */
    const char **labels, **names, **values, **shot_values;
    struct fewshot_shot *shots;
    int n_inputs;  /* values: [n_inputs][spec.n_fields] */
    int normalize; /* enum classify_normalize */
    bool calibrate, details;
    const char *content_free;
    int prompt_mask;
};

/* Zeroes *out first: classify_ask_free() it also after a failure. */
enum status classify_ask_parse(struct classify_ask *out, const char *body, size_t len, const struct ask_limits *limits);
void classify_ask_free(struct classify_ask *a);

/* One entry of "results". prompt: NULL unless it is shown. */
json_t *classify_result_json(const struct classify_ask *a, const struct classify_result *r, const struct buf *prompt);

/* The whole body; takes the reference. prefix: which mask it was. */
void classify_put(struct buf *out, json_t *results, bool prefix);

#endif
