// SPDX-License-Identifier: Apache-2.0
/* pytorch_model.bin: a zip of stored entries (data.pkl, data/0, data/1, ...), or the format before torch 1.6 (a run of
 * pickles, then raw storages). The pickle is interpreted by a whitelist machine that builds tensor views and nothing
 * else; it never imports, calls or allocates what a file asks for. */
#ifndef GPTJT_FORMATS_TORCHBIN_H
#define GPTJT_FORMATS_TORCHBIN_H

#include <stdbool.h>

#include "formats/source.h"

/* Maps the file; every tensor is a view into the mapping. *out is owned: source_close(). */
enum status torchbin_open(struct source **out, const char *path);

/* The same over bytes in memory (borrowed until close); name is for errors. */
enum status torchbin_open_memory(struct source **out, const void *data, size_t bytes, const char *name);

#endif
