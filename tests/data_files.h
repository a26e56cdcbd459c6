// SPDX-License-Identifier: Apache-2.0
/* Files of training data that a test makes in a directory of its own: set_up() and tear_down() are cmocka's. */
#ifndef GPTJT_TESTS_DATA_FILES_H
#define GPTJT_TESTS_DATA_FILES_H

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include <stdio.h>

#include "data/data.h"
#include "tokenizer/tokenizer.h"

static struct tokenizer *tokenizer;

static inline int set_up(void **state)
{
    return make_directory(state) || tokenizer_open(&tokenizer, "models/gpt-jt-tiny") != OK;
}

static inline int tear_down(void **state)
{
    tokenizer_close(tokenizer);
    return remove_directory(state);
}

static inline const char *path_of(const char *name)
{
    static char path[8][512];
    static int at;
    char *p = path[at++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", directory, name);
    return p;
}

static inline void put_bytes(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static inline struct data_settings settings_of(const struct data_source *source)
{
    return (struct data_settings){
        .seq_len = 64, .seed = 1, .sentinel_first = -1, .sentinels = 8, .sources = source, .n_sources = 1};
}

#endif
