// SPDX-License-Identifier: Apache-2.0
/* safetensors: u64 little-endian header length, a JSON object name -> {dtype, shape, data_offsets}, then the bytes.
 * https://huggingface.co/docs/safetensors: offsets are relative to the end of the header, ranges neither overlap nor
 * leave holes, the header is at most 100 MB. */
#ifndef GPTJT_FORMATS_SAFETENSORS_H
#define GPTJT_FORMATS_SAFETENSORS_H

#include "base/file.h"
#include "formats/source.h"

/* Maps the file; every tensor is a view into the mapping. *out is owned: source_close(). */
enum status safetensors_open(struct source **out, const char *path);

/* The same over bytes in memory (borrowed until close); name is for errors. */
enum status safetensors_open_memory(struct source **out, const void *data, size_t bytes, const char *name);

/* Writing: declare every tensor, then stream the data of each in the order declared. The header is padded so that data
 * starts 64-byte aligned. Nothing is visible under path before commit. */
struct safetensors_writer;
enum status safetensors_writer_open(struct safetensors_writer **out, const char *path);
enum status safetensors_writer_declare(struct safetensors_writer *w, const char *name, const struct tensor *like);
enum status safetensors_writer_metadata(struct safetensors_writer *w, const char *key, const char *value);
enum status safetensors_writer_data(struct safetensors_writer *w, const void *data, size_t bytes);
enum status
safetensors_writer_commit(struct safetensors_writer *w);     /* frees w whatever happens; E_ARG if data is missing */
void safetensors_writer_abort(struct safetensors_writer *w); /* accepts NULL */

#endif
