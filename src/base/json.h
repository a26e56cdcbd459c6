// SPDX-License-Identifier: Apache-2.0
/* JSON through jansson, with our errors: bounded files, duplicate keys refused, depth limited (jansson: 2048). The
 * rest of the project includes this header and never jansson's own. */
#ifndef GPTJT_BASE_JSON_H
#define GPTJT_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Parse a whole text; name is used in errors ("config.json", "request"). *out is owned: json_decref(). */
enum status json_read_text(json_t **out, const char *text, size_t len, const char *name);

/* The same where integers may be beyond 64 bits, as transformers' model_max_length of 10^30 is: all become reals. */
enum status json_read_text_big(json_t **out, const char *text, size_t len, const char *name);
enum status json_read_file(json_t **out, const char *path, size_t max_bytes);

/* Optional members of an object: a missing key or null leaves *out as it was; a wrong type or a value outside
 * [min, max] is E_FORMAT naming where (a file or request) and key. */
enum status json_get_int(const json_t *object, const char *where, const char *key, int64_t min, int64_t max,
                         int64_t *out);
enum status json_get_number(const json_t *object, const char *where, const char *key, double *out);
enum status json_get_bool(const json_t *object, const char *where, const char *key, bool *out);
enum status json_get_string(const json_t *object, const char *where, const char *key, const char **out); /* borrowed */

/* Writes value and a newline to a C stream, keys in insertion order, compact or indented by two. */
enum status json_write_stream(const json_t *value, void *stdio_stream, bool indented);

/* The same with that many significant digits of a number, at most 17, where the one above has 9. */
enum status json_write_stream_digits(const json_t *value, void *stdio_stream, bool indented, int digits);

/* As json_write_stream(), indented, to a file that appears whole or not at all. */
enum status json_write_file(const json_t *value, const char *path);

/* Puts a new value into *object, or behind *array, or gives both up: *object is NULL then, so that memory is checked
 * once, when all is built. */
void json_put(json_t **object, const char *key, json_t *value);
void json_append(json_t **array, json_t *value);

#endif
