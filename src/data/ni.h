// SPDX-License-Identifier: Apache-2.0
/* Natural-Instructions (Super-NI): one JSON file a task, with its "Definition" and many "Instances" of input and
 * possible outputs. A sequence is the few-shot prompt of one task: definition, sometimes the possible labels, and
 * examples until it is full.
 *
 * Nothing is read before it is needed, and one task is in memory at a time, so that thousands may be named. */
#ifndef GPTJT_DATA_NI_H
#define GPTJT_DATA_NI_H

#include "data/draws.h"
#include "data/paths.h"
#include "tokenizer/tokenizer.h"

enum { NI_MAX_LABELS = 10 }; /* a task whose first outputs are at most so many different ones is classification */
enum { NI_TASK_MAX_BYTES = 64 << 20 };

struct ni;

/* paths is borrowed. Owned: ni_close(). */
enum status ni_open(struct ni **out, const struct paths *paths);
void ni_close(struct ni *n); /* accepts NULL */

/* The beginning of a text of at least min_tokens tokens that d draws. Replaces out's ids. Errors name the file. */
enum status ni_text(struct ni *n, struct token_list *out, const struct tokenizer *t, size_t min_tokens,
                    struct draws *d);

#endif
