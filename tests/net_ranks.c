// SPDX-License-Identifier: Apache-2.0
/* net_ranks local N | built | mpi | away | fails | hangs: the scenario on threads or, under mpirun, on processes, its
 * results to stdout; or messages move while nobody calls the transport; or rank 1 fails, or does not answer, and the
 * others say so. Without MPI: exit status 77. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/local.h"
#include "net/mpi.h"
#include "net_scenario.h"

static enum status scenario(struct transport *t, void *user)
{
    (void)user;
    struct buf out = {0};
    const enum status s = net_scenario(t, &out);
    if (s == OK && t->rank == 0) fputs(out.data, stdout);
    buf_free(&out);
    return s;
}

/* All wait for rank 1, which does not come. */
static enum status disturbed(struct transport *t, bool fails)
{
    if (t->rank == 1 && fails) return fail(E_FORMAT, "shard 7 is cut off");
    while (t->rank == 1)
        pause();
    struct net_request r = {0};
    int data;
    t->timeout_s = fails ? 60 : 0.5;
    TRY(net_recv(t, &r, 1, NET_SYNC, 5, &data, sizeof data));
    return net_wait(t, &r);
}

/* From each rank to the next, more than sockets and shared memory hold; both must end without a call from here. */
static enum status away(struct transport *t)
{
    enum { BYTES = 32 << 20, TRIES = 30000 };
    static uint8_t out[BYTES], in[BYTES];
    struct net_request r[2] = {0};
    const int next = (t->rank + 1) % t->size, previous = (t->rank + t->size - 1) % t->size;
    memset(out, t->rank + 1, sizeof out);
    TRY(net_recv(t, &r[0], previous, NET_SYNC, 5, in, sizeof in));
    TRY(net_send(t, &r[1], next, NET_SYNC, 5, out, sizeof out));
    for (int i = 0; i < TRIES && (atomic_load(&r[0].state) == NET_PENDING || atomic_load(&r[1].state) == NET_PENDING);
         i++)
        usleep(1000);
    if (atomic_load(&r[0].state) != NET_DONE || atomic_load(&r[1].state) != NET_DONE)
        return fail(E_IO, "nothing moves while rank %d is away", t->rank);
    TRY(net_wait_all(t, r, 2));
    for (size_t i = 0; i < sizeof in; i++)
        if (in[i] != previous + 1) return fail(E_FORMAT, "byte %zu of rank %d is another", i, previous);
    return OK;
}

static enum status do_it(struct transport *t, const char *what)
{
    if (!strcmp(what, "mpi")) return scenario(t, NULL);
    if (!strcmp(what, "away")) return away(t);
    return disturbed(t, !strcmp(what, "fails"));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 3 && !strcmp(what, "local")) {
        if (local_run(atoi(argv[2]), scenario, NULL) == OK) return 0;
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    if (!net_mpi_built()) return 77;
    if (!strcmp(what, "built")) return 0;
    struct transport *t;
    if (net_mpi_open(&t) != OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    const enum status s = do_it(t, what);
    if (s != OK) {
        net_fail(t, s);
        fprintf(stderr, "rank %d says: %s\n", t->rank, status_message());
    }
    net_close(t);
    return s == OK ? 0 : 1;
}
