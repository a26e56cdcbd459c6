// SPDX-License-Identifier: Apache-2.0
/* Files in a test's temporary directory. */
#ifndef GPTJT_TESTS_SCRATCH_H
#define GPTJT_TESTS_SCRATCH_H

#include <string.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"

static inline void scratch_put(const char *dir, const char *name, const char *text)
{
    char path[512];
    struct file_writer w;
    assert_int_equal(file_join(path, sizeof path, dir, name), OK);
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, text, strlen(text)), OK);
    assert_int_equal(file_writer_commit(&w), OK);
}

static inline void scratch_drop(const char *dir, const char *name)
{
    char path[512];
    assert_int_equal(file_join(path, sizeof path, dir, name), OK);
    unlink(path);
}

#endif
