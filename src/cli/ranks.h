// SPDX-License-Identifier: Apache-2.0
/* A command on several ranks: processes that mpirun or srun has started, or threads of this one. */
#ifndef GPTJT_CLI_RANKS_H
#define GPTJT_CLI_RANKS_H

#include "net/local.h"

/* Runs fn on as many ranks as there are, with t NULL where this process is alone. n_threads: ranks as threads of this
 * process, 0 unless they are asked for; E_ARG together with mpirun. Returns what fn did, of threads the first failure;
 * under mpirun a rank that failed says so itself, with its host, as the others' end may come before that of main().
 * E_CANCELLED of all ranks is no failure. */
enum status ranks_run(int n_threads, local_rank_fn *fn, void *user);

/* Ranks that share this machine's CPUs. */
int ranks_on_this_machine(int n_threads);

/* Threads for each of them to compute with, if nothing is said about it. */
int ranks_default_threads(int n_threads);

#endif
