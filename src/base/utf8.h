// SPDX-License-Identifier: Apache-2.0
/* UTF-8 as Unicode defines it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef GPTJT_BASE_UTF8_H
#define GPTJT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Length in bytes (1..4) of the well-formed character at text[0..len), 0 if the bytes there cannot start one, or -1 if
 * they are the beginning of one that len cuts off. len >= 1. */
int utf8_char(const char *text, size_t len);

bool utf8_valid(const char *text, size_t len);
size_t utf8_invalid_at(const char *text, size_t len); /* offset of the first bad byte, or len */

size_t utf8_characters(const char *text, size_t len); /* of valid UTF-8: how many it has */

/* Appends text with every maximal ill-formed part replaced by U+FFFD, as Python's errors="replace" does. */
void utf8_append_replaced(struct buf *out, const char *text, size_t len);

#endif
