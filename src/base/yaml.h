// SPDX-License-Identifier: Apache-2.0
/* YAML as people write settings in it, read into the same tree that JSON becomes (base/json.h), so that a recipe and a
 * request are checked by the same code.
 *
 * Plain scalars mean what YAML 1.2's core schema says, as in JSON: true, false, null, whole numbers, 1e-5; a word such
 * as yes or on is a string. Anything quoted is a string. One document a file; anchors, aliases and tags, which can make
 * a short file huge or mean something that nobody sees, are refused, as are duplicate keys. */
#ifndef GPTJT_BASE_YAML_H
#define GPTJT_BASE_YAML_H

#include <stddef.h>

#include "base/json.h"
#include "base/status.h"

enum { YAML_MAX_DEPTH = 64, YAML_MAX_BYTES = 1 << 20 };

/* Errors are E_FORMAT "name:line:column: what", E_LIMIT beyond YAML_MAX_BYTES. A text without a document is null.
 * *out is owned: json_decref(). */
enum status yaml_read_text(json_t **out, const char *text, size_t len, const char *name);
enum status yaml_read_file(json_t **out, const char *path);

#endif
