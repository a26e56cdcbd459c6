// SPDX-License-Identifier: Apache-2.0
/* GPT-2's byte alphabet: the files write every byte of a token as one printable character, so that a vocabulary can be
 * JSON and merges can be split at spaces. Printable bytes of Latin-1 stand for themselves; the other 68, in order, are
 * the characters from U+0100 on, which is why a space is written U+0120. */
#ifndef GPTJT_TOKENIZER_ALPHABET_H
#define GPTJT_TOKENIZER_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends the bytes that text stands for. False, with out as it was, when a character is not of the alphabet. */
bool alphabet_decode(struct buf *out, const char *text, size_t len);

/* Appends what stands for bytes [len]. */
void alphabet_encode(struct buf *out, const char *bytes, size_t len);

#endif
