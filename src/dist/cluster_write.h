// SPDX-License-Identifier: Apache-2.0
/* A cluster file of machines that were measured, as cluster.h reads it. */
#ifndef GPTJT_DIST_CLUSTER_WRITE_H
#define GPTJT_DIST_CLUSTER_WRITE_H

#include "base/buf.h"
#include "net/measure.h"

enum { CLUSTER_NAME_BYTES = 65 };

struct measured_machine {
    char name[CLUSTER_NAME_BYTES];    /* of the host; what may not stand in a file becomes '_' */
    int devices, cores;               /* ranks; cores of the whole machine */
    double flops_per_s, memory_bytes; /* of each device */
};

/* links and cards as net_measure() has them. Six digits of everything; what is outside of the file's ranges becomes
 * their ends. Appends to out; what fails is memory, which buf_status() tells. */
void cluster_write(struct buf *out, const struct measured_machine *machines, int n,
                   const struct net_measured_link *links, const double *cards);

#endif
