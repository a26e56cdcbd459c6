// SPDX-License-Identifier: Apache-2.0
/* In the place of net/mpi.c where there is no MPI. */
#include "net/mpi.h"

bool net_mpi_built(void)
{
    return false;
}

enum status net_mpi_open(struct transport **out)
{
    (void)out;
    return fail(E_UNSUPPORTED, "this program was built without MPI");
}
