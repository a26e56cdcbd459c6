// SPDX-License-Identifier: Apache-2.0
/* JSON as Python writes it. HELM's files come from json.dumps(), whose output may hold what JSON does not: NaN and
 * Infinity for numbers, and half of a surrogate pair where a text was cut. */
#ifndef GPTJT_EVAL_HELM_JSON_H
#define GPTJT_EVAL_HELM_JSON_H

#include <stddef.h>

#include "base/buf.h"
#include "base/json.h"

enum { HELM_JSON_MAX_BYTES = 1 << 30 };

/* Appends text to out as strict JSON: NaN, Infinity and -Infinity become null, a lone surrogate U+FFFD. What was no
 * JSON to begin with stays none. */
void helm_json_strict(struct buf *out, const char *text, size_t len);

/* Reads a whole text or file so; name is used in errors. *out is owned: json_decref(). */
enum status helm_json_read_text(json_t **out, const char *text, size_t len, const char *name);
enum status helm_json_read_file(json_t **out, const char *path);

#endif
