// SPDX-License-Identifier: Apache-2.0
/* Ranks as processes that mpirun or srun has started. Messages move while the rank computes, by a thread of its own.
 *
 * A rank that fails tells the others, so that their waits name it, and ends the job when it closes its handle
 * (MPI_Abort); mpirun ends who does not notice with SIGTERM. Such ranks say what went wrong before they close. Sends
 * under way when a rank fails may still be read until its process ends. */
#ifndef GPTJT_NET_MPI_H
#define GPTJT_NET_MPI_H

#include "net/transport.h"

/* Whether this program was built with MPI. */
bool net_mpi_built(void);

/* This process's rank; to be called once, by the thread that begins. Without MPI: E_UNSUPPORTED. Alone, without mpirun,
 * a process is rank 0 of 1. */
enum status net_mpi_open(struct transport **out);

#endif
