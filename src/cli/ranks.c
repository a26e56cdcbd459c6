// SPDX-License-Identifier: Apache-2.0
#include "cli/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"
#include "cli/interrupt.h"
#include "net/mpi.h"

/* A number above 1 that a launcher has put into the environment: Open MPI's, and PMI's, which srun and MPICH have. */
static int from_environment(const char *const names[])
{
    for (int i = 0; names[i]; i++) {
        const char *text = getenv(names[i]);
        if (text && atoi(text) > 0) return atoi(text);
    }
    return 0;
}

enum { END_SECONDS = 300 };

static bool launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", NULL};
    return from_environment(names) > 0;
}

int ranks_on_this_machine(int n_threads)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE", NULL};
    if (n_threads) return n_threads;
    const int n = launched() ? from_environment(names) : 1;
    return n ? n : 1;
}

int ranks_default_threads(int n_threads)
{
    const int all = pool_default_threads(), ranks = ranks_on_this_machine(n_threads);
    return all > ranks ? all / ranks : 1;
}

/* Of this process, for its signal handler. */
static struct transport *own;
static char host[256];

/* "gptjt: HOST: rank 0 has waited 812 ms for 64 bytes from rank 1 (activations, tag 3)" */
static size_t pending_wait(char *text, size_t size)
{
    const char *const parts[] = {"gptjt: ", host, ": "};
    size_t n = 0;
    for (int i = 0; i < 3; i++)
        for (const char *at = parts[i]; *at && n + 1 < size; at++)
            text[n++] = *at;
    const size_t waiting = net_waiting_text(text + n, size - n, own);
    return waiting ? n + waiting : 0;
}

static enum status run_processes(local_rank_fn *fn, void *user)
{
    gethostname(host, sizeof host - 1);
    TRY(net_mpi_open(&own));
    interrupt_tell(pending_wait);
    const enum status s = fn(own, user);
    if (s != OK && s != E_CANCELLED) {
        net_fail(own, s);
        fprintf(stderr, "gptjt: rank %d on %s: %s\n", own->rank, host, status_message());
        fflush(NULL);
    }
    interrupt_tell(NULL);
    alarm(END_SECONDS); /* a rank that does not come to its end must not hold the others */
    net_close(own);
    alarm(0);
    return s;
}

/* E_CANCELLED, which all ranks end with or none, is kept beside them: they would take it for a failure. */
struct threads {
    local_rank_fn *fn;
    void *user;
    bool cancelled;
    char message[512];
};

static enum status one_thread(struct transport *t, void *user)
{
    struct threads *all = user;
    const enum status s = all->fn(t, all->user);
    if (s != E_CANCELLED) return s;
    if (t->rank == 0) {
        all->cancelled = true;
        snprintf(all->message, sizeof all->message, "%s", status_message());
    }
    return OK;
}

static enum status run_threads(int n, local_rank_fn *fn, void *user)
{
    struct threads all = {.fn = fn, .user = user};
    TRY(local_run(n, one_thread, &all));
    return all.cancelled ? fail(E_CANCELLED, "%s", all.message) : OK;
}

enum status ranks_run(int n_threads, local_rank_fn *fn, void *user)
{
    if (n_threads && launched()) return fail(E_ARG, "--ranks is for threads of one process, not under mpirun");
    if (n_threads) return run_threads(n_threads, fn, user);
    return launched() ? run_processes(fn, user) : fn(NULL, user);
}
