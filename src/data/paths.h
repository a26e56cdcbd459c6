// SPDX-License-Identifier: Apache-2.0
/* The files that a source's paths name: files as they are, the files of a directory (not of those in it), globs. */
#ifndef GPTJT_DATA_PATHS_H
#define GPTJT_DATA_PATHS_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"

struct paths {
    char **items; /* [n], each owned, sorted by bytes, none twice */
    int n;
};

/* wanted(path): whether a file that a directory or glob offers is taken; a file that is named is always. Every path
 * must give something. Owned: paths_free(), also after an error. */
enum status paths_find(struct paths *out, const struct option_strings *paths, bool (*wanted)(const char *path));
void paths_free(struct paths *p);

/* Puts in the place of each .txt file the files it lists, a name a line without its .json: beside the list, or where
 * Natural-Instructions has them for its splits/default/train_tasks.txt, in ../../tasks. */
enum status paths_read_lists(struct paths *p);

#endif
