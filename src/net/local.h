// SPDX-License-Identifier: Apache-2.0
/* Ranks as threads of one process: what every distributed test runs on, and how one machine plays several.
 *
 * A message is one memcpy() from the sender's buffer to the receiver's, done by whoever comes second; a send is done
 * only then, so code that relies on buffering stops here and not first on a real network. When all ranks wait for each
 * other it is known at once: their waits fail and list who waits for whom. So does waiting for a rank that has
 * finished. */
#ifndef GPTJT_NET_LOCAL_H
#define GPTJT_NET_LOCAL_H

#include "net/transport.h"

/* What a rank does. t is borrowed: the runner opens and closes it. */
typedef enum status local_rank_fn(struct transport *t, void *user);

/* Runs fn(t, user) as n_ranks >= 1 ranks, rank 0 on this thread, and returns when all have. When one returns a failure
 * it is as if it had called net_fail(). Returns OK, or the failure that came first, with its message. */
enum status local_run(int n_ranks, local_rank_fn *fn, void *user);

#endif
