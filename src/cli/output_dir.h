// SPDX-License-Identifier: Apache-2.0
/* The directory a command writes a model into. */
#ifndef GPTJT_CLI_OUTPUT_DIR_H
#define GPTJT_CLI_OUTPUT_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "base/status.h"
#include "cli/common.h"

/* Makes dir; *created says whether it is new. One that is there must be empty unless force. */
enum status output_dir_make(bool *created, const char *dir, bool force);

/* A model to write and how: write() is given `what`. */
struct output_model {
    const char *dir;
    bool force; /* dir need not be empty */
    const char *label;
    uint64_t weight_bytes;
    char summary[160]; /* for the line that says it is done */
    enum status (*write)(const void *what, const char *dir, struct pool *pool, progress_bytes_fn *progress, void *user);
    const void *what;
};

/* The directory, a look at the disk, a progress bar, Ctrl-C, and a line when it is done. After a failure dir is not
 * there unless it was before. */
enum status output_model(const struct output_model *o, const struct common *common);

#endif
