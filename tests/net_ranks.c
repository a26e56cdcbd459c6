// SPDX-License-Identifier: Apache-2.0
/* net_ranks local N | built | mpi | fails | hangs: the scenario on threads or, under mpirun, on processes, its results
 * to stdout; or rank 1 fails, or does not answer, and the others say so. Without MPI: exit status 77. */
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
    const enum status s = strcmp(what, "mpi") ? disturbed(t, !strcmp(what, "fails")) : scenario(t, NULL);
    if (s != OK) {
        net_fail(t, s);
        fprintf(stderr, "rank %d says: %s\n", t->rank, status_message());
    }
    net_close(t);
    return s == OK ? 0 : 1;
}
