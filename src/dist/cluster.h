// SPDX-License-Identifier: Apache-2.0
/* Cluster files: which machines there are, what they can compute, and the links between them. A file for a planner, and
 * for a simulation of the same machines (net/shaped.h).
 *
 *     machine: {tflops: 35, memory_gb: 24}            # what every machine has that does not say otherwise
 *     link: {gbps: 0.1, latency_ms: 25}               # and every pair of machines
 *     machines:
 *       - {name: attic, region: home, devices: 2}
 *       - {name: cellar, region: home, tflops: 82}
 *       - {name: node, region: office, count: 8}      # node1 ... node8
 *     links:
 *       - {within: [home, office], gbps: 1, latency_ms: 0.3}
 *       - {between: [attic, office], gbps: 0.5}       # the latency stays
 *       - {from: office, to: home, gbps: 0.02}        # one way
 *
 * An entry of "machines" is one machine or, with "count", several alike. A link's ends are regions or names of entries;
 * a machine that names no region is in one of its entry's name. Links are read in order: what a later one says replaces
 * what an earlier one said. "within" means each pair of different machines of each of those; devices of one machine
 * have its "inside_gbps" and "inside_latency_ms". Every pair of machines must end up with both numbers.
 *
 * A device is what one rank computes on; devices are numbered machine by machine in the file's order. 1 Gbps is 10^9
 * bits, 1 GB 10^9 bytes. Host names have only letters, digits, '.', '_' and '-', so that they can be written into a
 * hostfile as they are. */
#ifndef GPTJT_DIST_CLUSTER_H
#define GPTJT_DIST_CLUSTER_H

#include <stddef.h>

#include "base/json.h"
#include "base/options.h"
#include "net/shaped.h"

enum { CLUSTER_MAX_DEVICES = 4096, CLUSTER_MAX_ENTRIES = 1024, CLUSTER_HOST_BYTES = 80 };

struct cluster_machine {
    char host[CLUSTER_HOST_BYTES];
    int entry, region;                           /* of the file's "machines"; of regions */
    int first_device, n_devices;                 /* devices first_device .. first_device + n_devices - 1 */
    int cores;                                   /* of the whole machine; 0: the file does not say */
    double flops_per_s, memory_bytes;            /* of each device */
    double nic_bytes_per_s;                      /* of its network card, each way; INFINITY: no limit but the links' */
    double inside_latency_s, inside_bytes_per_s; /* between its devices */
};

struct cluster {
    const char *name; /* what the file calls itself, or its path's last part; borrowed from file or static */
    int n_devices, n_machines, n_regions, n_entries;
    struct cluster_machine *machines; /* [n_machines]                                            */
    int *hosts;                       /* [n_devices]: the machine of each                        */
    const char **regions;             /* [n_regions], borrowed from file                         */
    struct shaped_link *links; /* [n_entries][n_entries]: from a machine of one to another machine of the other */
    json_t *file;              /* owned: holds the strings                                */
};

/* The settings of a machine and of a link, for help and documentation: keys as in the file, with dashes. */
extern const struct option cluster_machine_options[], cluster_link_options[];

/* Reads a file; name is used in errors. E_ARG names the file, the key, and the machine or link where there is one; also
 * E_FORMAT where it is not YAML, E_LIMIT beyond the maxima above, E_IO. *out is written on success only;
 * cluster_free().
 */
enum status cluster_read(struct cluster *out, const char *path);
enum status cluster_read_text(struct cluster *out, const char *text, size_t len, const char *name);
void cluster_free(struct cluster *c); /* accepts a zeroed one */

/* The link from a device to another. To itself: no latency, no limit. */
struct shaped_link cluster_link(const struct cluster *c, int from, int to);

/* The same as a network to simulate: rank i is device ranks[i], or i where ranks is NULL; n ranks. E_NOMEM. What it
 * points at is owned: cluster_net_free(). */
enum status cluster_net(struct shaped_net *out, const struct cluster *c, const int *ranks, int n);
void cluster_net_free(struct shaped_net *net);

#endif
