// SPDX-License-Identifier: Apache-2.0
/* Which ranks see the same output directory: those on one machine, all of them on a shared file system, or whatever
 * somebody has mounted. Nobody is asked; every rank leaves a file there and looks whose it sees. */
#ifndef GPTJT_DIST_OUTPUT_OWNER_H
#define GPTJT_DIST_OUTPUT_OWNER_H

#include "net/collectives.h"
#include "train/team.h"

/* Makes the directory and sets team->owns_output and ->writes_stage. all: every rank. */
enum status output_owner_find(struct team *team, struct group *all, const char *dir);

#endif
