// SPDX-License-Identifier: Apache-2.0
/* One temporary directory for a whole group of tests: group set-up and tear-down for cmocka. */
#ifndef GPTJT_TESTS_SCRATCH_DIRECTORY_H
#define GPTJT_TESTS_SCRATCH_DIRECTORY_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[] = P_tmpdir "/gptjt-test-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory); /* fails if a test has left a file behind */
}

#endif
