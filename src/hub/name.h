// SPDX-License-Identifier: Apache-2.0
/* What things are called on a Hub: models (OWNER/NAME), revisions (a branch, a tag, a commit), files, and the hashes
 * that name contents. All of it may come from a stranger, and all of it becomes parts of paths here: whatever passes
 * these checks stays below the directory that it is put in. */
#ifndef GPTJT_HUB_NAME_H
#define GPTJT_HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/status.h"

enum {
    HUB_NAME_MAX = 96, /* huggingface_hub's limit */
    HUB_REVISION_MAX = 255,
    HUB_FILE_MAX = 1024, /* bytes of a file's name with its directories; 255 for each of them */
    HUB_COMMIT = 40,     /* hexadecimal digits of a commit and of a blob of git: SHA-1 */
    HUB_SHA256 = 64,
};

struct hub_model {
    char name[HUB_NAME_MAX + 1]; /* OWNER/NAME */
    char revision[HUB_REVISION_MAX + 1];
};

/* Whether text may be meant as OWNER/NAME or OWNER/NAME@REVISION, and not as a path. */
bool hub_name_looks_like_model(const char *text);

/* Takes OWNER/NAME[@REVISION] apart; without a revision it is "main". E_ARG says what is wrong with it. */
enum status hub_name_parse(struct hub_model *out, const char *text);

/* Exactly so many hexadecimal digits, in lower case as the Hub writes them. */
bool hub_name_is_hash(const char *text, size_t digits);

/* A revision that is no branch or tag but the commit itself. */
bool hub_name_is_commit(const char *text);

/* What git allows as the name of a branch or a tag, which never leads out of a directory. */
bool hub_name_is_revision(const char *text);

/* A file's name in a repository, with '/' between directories: no empty, "." or ".." part, nothing absolute, no control
 * characters or backslashes, valid UTF-8. */
bool hub_name_is_file(const char *text);

/* Appends text as a part of a URL, as Python's quote() does; '/' stays if slashes. */
void hub_name_quote(struct buf *out, const char *text, bool slashes);

#endif
