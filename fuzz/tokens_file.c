// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a tokens file: what is accepted holds ids of the vocabulary and prompts no longer than their documents.
 */
#include "data/tokens_file.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct tokens_file *f)
{
    struct token_list ids = {0};
    const uint64_t most = f->n_documents < 100 ? f->n_documents : 100;
    for (uint64_t i = 0; i < most; i++) {
        int64_t prefix;
        if (tokens_file_document(f, i, &ids, &prefix) != OK) continue;
        if (prefix > (int64_t)ids.n) abort();
        for (size_t k = 0; k < ids.n; k++)
            if (ids.ids[k] < 0 || (uint32_t)ids.ids[k] >= f->vocab.n_ids) abort();
    }
    token_list_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tokens_file_vocab vocab = {300, 5};
    char path[64];
    struct tokens_file f;
    const int fd = memory_file(path, data, size);
    if (tokens_file_open(&f, path, &vocab) == OK) {
        read_all(&f);
        tokens_file_close(&f);
    }
    close(fd);
    return 0;
}
