// SPDX-License-Identifier: Apache-2.0
/* Clusters are read as written or refused by name, can be simulated, and what is measured of a network is what it is.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "dist/cluster.h"
#include "dist/cluster_write.h"
#include "planner.h"

static void assert_link(const struct cluster *c, int from, int to, double gbps, double latency_ms)
{
    const struct shaped_link l = cluster_link(c, from, to);
    assert_near(l.bytes_per_s, gbps * 1.25e8, 4 * DBL_EPSILON);
    assert_near(l.latency_s, latency_ms * 1e-3, 4 * DBL_EPSILON);
}

/* ---- Cluster files ---- */

static void clusters_are_read_as_written(void **state)
{
    (void)state;
    struct cluster c;
    read_text(&c, homes);
    assert_int_equal(c.n_devices, 11);
    assert_int_equal(c.n_machines, 10);
    assert_int_equal(c.n_regions, 2);
    assert_string_equal(c.machines[0].host, "attic");
    assert_string_equal(c.machines[2].host, "node1");
    assert_string_equal(c.machines[9].host, "node8");
    assert_string_equal(c.regions[c.machines[9].region], "office");
    assert_int_equal(c.hosts[1], 0);
    assert_int_equal(c.hosts[2], 1);
    assert_int_equal(c.machines[9].first_device, 10);
    assert_near(c.machines[0].flops_per_s, 35e12, DBL_EPSILON);
    assert_near(c.machines[1].flops_per_s, 82e12, DBL_EPSILON);
    assert_near(c.machines[1].memory_bytes, 24e9, DBL_EPSILON);
    assert_link(&c, 0, 1, 100, 0);   /* inside of one machine */
    assert_link(&c, 0, 2, 1, 0.3);   /* within home */
    assert_link(&c, 4, 10, 1, 0.3);  /* machines of one entry */
    assert_link(&c, 2, 3, 0.1, 25);  /* nobody said more */
    assert_link(&c, 1, 7, 0.5, 25);  /* only the bandwidth */
    assert_link(&c, 7, 1, 0.02, 25); /* one way; the last word */
    assert_true(isinf(cluster_link(&c, 3, 3).bytes_per_s));
    cluster_free(&c);
}

static void regions_default_to_entries(void **state)
{
    (void)state;
    struct cluster c;
    read_text(&c, "machine: {tflops: 1, memory_gb: 1, region: x}\n"
                  "link: {gbps: 1, latency_ms: 0}\n"
                  "machines: [{name: a}, {name: b, region: y}]\n");
    assert_int_equal(c.n_regions, 2);
    cluster_free(&c);
    read_text(&c, "machines: [{name: a, tflops: 1, memory_gb: 1}]"); /* one machine needs no link */
    assert_int_equal(c.n_regions, 1);
    assert_string_equal(c.regions[0], "a");
    cluster_free(&c);
}

static void broken_clusters_are_refused_by_name(void **state)
{
    (void)state;
    static const char head[] = "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1, latency_ms: 0}\n";
    static const char two[] = "machines: [{name: a}, {name: b, count: 2}]\n";
    static const struct {
        const char *head, *text, *message;
    } broken[] = {
        {"", "[]", "t.yaml: is not a cluster"},
        {"", "machine", "t.yaml: is not a cluster"},
        {head, "mashines: []", "unknown field \"mashines\"; did you mean \"machines\"?"},
        {head, "machines: []", "has no list of \"machines\""},
        {head, "machines: [{tflops: 1}]", "machines[0]: has no \"name\""},
        {head, "machines: [{name: a, tflop: 1}]", "machines[0] (a): unknown field \"tflop\"; did you mean \"tflops\"?"},
        {head, "machines: [{name: a, tflops: -1}]", "machines[0] (a): \"tflops\" is -1"},
        {head, "machines: [{name: a, tflops: 0}]", "machines[0] (a): \"tflops\" is 0"},
        {head, "machines: [{name: a}, {name: b, memory_gb: .nan}]", "infinity and NaN are not numbers here"},
        {head, "machines: [{name: a, devices: 0}]", "machines[0] (a): \"devices\" is 0"},
        {head, "machines: [{name: a, nic_gbps: 0}]", "\"nic_gbps\" is 0"},
        {head, "machines: [{name: a, devices: 4, cores: 2}]", "\"cores\" is 2, below \"devices\", 4"},
        {head, "machines: [{name: a b}]", "\"name\" is \"a b\", not"},
        {head, "machines: [{name: -a}]", "\"name\" is \"-a\", not"},
        {head, "machines: [{name: a, region: \"x\\ny\"}]", "\"region\" is \"x?y\", not"},
        {head, "machines: [{name: a}, {name: a}]", "machines[1] (a): machines[0] has this name already"},
        {head, "machines: [{name: a1}, {name: a, count: 2}]", "two machines are called \"a1\""},
        {head, "machines: [{name: a}, {name: b, region: a}]", "\"a\" is a machine, and the region of \"b\""},
        {head, "machines: [{name: a, count: 4097}]", "machines[0] (a): \"count\" is 4097"},
        {head, "machines: [{name: a, count: 4096, devices: 2}]", "8192 devices, more than 4096"},
        {head, "machines: [7]", "machines[0]: is not a mapping"},
        {"", "machines: [{name: a, memory_gb: 1}]", "machines[0] (a): has no \"tflops\""},
        {"", "machines: [{name: a, tflops: 1}]", "machines[0] (a): has no \"memory_gb\""},
        {"", "machine: {name: a}\nmachines: [{name: a}]", "machine: \"name\" is for one of \"machines\""},
        {"", "machine: {tflops: 1, memory_gb: 1}\nmachines: [{name: a}, {name: b}]", "no \"gbps\" from \"a\" to \"b\""},
        {"", "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1}\nmachines: [{name: a, count: 2}]",
         "no \"latency_ms\" from \"a\" to \"a\""},
        {"", "link: {gbps: 0, latency_ms: 0}\nmachines: [{name: a, tflops: 1, memory_gb: 1}]", "link: \"gbps\" is 0"},
        {"", "link: {gbps: 1, latency_ms: 0, from: a}\nmachines: [{name: a, tflops: 1, memory_gb: 1}]",
         "link: is for every pair"},
        {head, "machines: [{name: a}]\nlinks: {}", "\"links\" is not a list"},
    };
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        char text[1024];
        struct cluster c = {0};
        snprintf(text, sizeof text, "%s%s", broken[i].head, broken[i].text);
        if (cluster_read_text(&c, text, strlen(text), "t.yaml") == OK) fail_msg("%s: was read", text);
        if (!strstr(status_message(), broken[i].message)) fail_msg("%s: %s", text, status_message());
        assert_null(c.machines);
    }
    static const char *const links[][2] = {
        {"[{between: [a, c], gbps: 1}]", "links[0]: no region and no machine is called \"c\""},
        {"[{between: [a, b], gbsp: 1}]", "links[0]: unknown field \"gbsp\"; did you mean \"gbps\"?"},
        {"[{between: [a, b], gbps: -1}]", "links[0]: \"gbps\" is -1"},
        {"[{between: [a, b], latency_ms: -1}]", "links[0]: \"latency_ms\" is -1"},
        {"[{between: [a, b]}]", "links[0]: has neither"},
        {"[{between: [a], gbps: 1}]", "links[0]: \"between\" needs two names"},
        {"[{between: [a, a], gbps: 1}]", "links[0]: \"a\" is in both"},
        {"[{between: [a, b], within: a, gbps: 1}]", "links[0]: needs one of"},
        {"[{gbps: 1}]", "links[0]: needs one of"},
        {"[{gbps: 1, within: b}, {from: a, gbps: 1}]", "links[1]: \"from\" and \"to\" need each other"},
        {"[{within: [b, b, b, b, b], gbps: 1}]", "links[0]: names something twice"},
        {"[3]", "links[0]: is not a mapping"},
    };
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        char text[1024];
        struct cluster c = {0};
        snprintf(text, sizeof text, "%s%slinks: %s\n", head, two, links[i][0]);
        if (cluster_read_text(&c, text, strlen(text), "t.yaml") == OK) fail_msg("%s: was read", text);
        if (!strstr(status_message(), links[i][1])) fail_msg("%s: %s", text, status_message());
    }
}

/* A message a -> b in a simulation of the file. */
static enum status send_one(struct transport *t, void *user)
{
    enum { BYTES = 1000000 };
    char *bytes = calloc(1, BYTES);
    struct net_request r = {0};
    (void)user;
    if (!bytes) return fail(E_NOMEM, "out of memory");
    enum status s = OK;
    if (t->rank == 0) s = net_send(t, &r, 1, NET_SYNC, 0, bytes, BYTES);
    if (t->rank == 1) s = net_recv(t, &r, 0, NET_SYNC, 0, bytes, BYTES);
    if (s == OK) s = net_wait(t, &r);
    free(bytes);
    return s;
}

static void assert_takes(const struct cluster *c, int from, int to, double expected_s)
{
    const int ranks[] = {from, to};
    struct shaped_net net;
    double seconds = 0;
    assert_int_equal(cluster_net(&net, c, ranks, 2), OK);
    assert_int_equal(shaped_run(&net, send_one, NULL, &seconds), OK);
    assert_near(seconds, expected_s, 1e-12); /* virtual: a few roundings */
    cluster_net_free(&net);
}

static void a_cluster_can_be_simulated(void **state)
{
    (void)state;
    struct cluster c;
    read_text(&c, homes);
    assert_takes(&c, 1, 7, 25e-3 + 8e6 / 0.5e9);
    assert_takes(&c, 7, 1, 25e-3 + 8e6 / 0.02e9);
    assert_takes(&c, 0, 1, 8e6 / 100e9);
    struct shaped_net net;
    assert_int_equal(cluster_net(&net, &c, NULL, c.n_devices), OK);
    assert_int_equal(net.n, 11);
    assert_null(net.hosts); /* no card is limited */
    for (int i = 0; i < net.n * net.n; i++) {
        const struct shaped_link expected = cluster_link(&c, i / net.n, i % net.n);
        assert_memory_equal(&net.links[i], &expected, sizeof expected);
    }
    cluster_net_free(&net);
    cluster_free(&c);
    read_text(&c, "machine: {tflops: 1, memory_gb: 1, devices: 2}\nlink: {gbps: 8, latency_ms: 1}\n"
                  "machines: [{name: a}, {name: b, nic_gbps: 2}]\n");
    const int ranks[] = {3, 0, 2};
    assert_int_equal(cluster_net(&net, &c, ranks, 3), OK);
    assert_int_equal(net.hosts[0], 0);
    assert_int_equal(net.hosts[1], 1);
    assert_int_equal(net.hosts[2], 0);
    assert_near(net.nic_bytes_per_s[0], 2e9 / 8, DBL_EPSILON);
    assert_true(isinf(net.nic_bytes_per_s[1]));
    cluster_net_free(&net);
    assert_takes(&c, 3, 0, 1e-3 + 8e6 / 2e9);
    cluster_free(&c);
}

/* ---- Measured clusters ---- */

enum { HOSTS = 5, MEASURED_RANKS = 8 };

/* Three hosts with two ranks, two with one. */
static const int host_of[MEASURED_RANKS] = {0, 0, 1, 2, 2, 3, 4, 4};

struct measured {
    struct net_measured_link links[HOSTS * HOSTS];
    double cards[HOSTS];
};

static enum status measure_links(struct transport *t, void *user)
{
    struct measured *all = user;
    const struct net_measure how = {host_of, HOSTS, 0.2, 1 << 20};
    return net_measure(all[t->rank].links, all[t->rank].cards, t, &how);
}

/* limited: the last host's card carries one and a half of its links. */
static void fill_network(struct shaped_link *links, double *cards, bool limited)
{
    for (int i = 0; i < MEASURED_RANKS; i++)
        for (int k = 0; k < MEASURED_RANKS; k++) {
            const int a = host_of[i], b = host_of[k];
            const double rate = a == b ? 1e9 : limited ? 1e7 : 1e6 * (3 + 7 * a + 2 * b + a * b);
            links[i * MEASURED_RANKS + k] = (struct shaped_link){a == b ? 1e-5 : 1e-3 * (1 + 3 * (a > b) + a + b), rate,
                                                                 INFINITY};
        }
    for (int h = 0; h < MEASURED_RANKS; h++)
        cards[h] = limited && h == HOSTS - 1 ? 1.5e7 : INFINITY;
}

/* What was put into the network comes out of it: a time is the difference of two clocks below 1000 s, each rounded a
 * few times, and no message takes less than 65 us. */
static void measured_links_are_those_of_the_network(void **state)
{
    (void)state;
    struct shaped_link links[MEASURED_RANKS * MEASURED_RANKS];
    struct measured *all = calloc(MEASURED_RANKS, sizeof *all);
    double cards[MEASURED_RANKS], seconds;
    const double rounding = 8 * 1000 * DBL_EPSILON / 65e-6;
    assert_non_null(all);
    for (int limited = 0; limited < 2; limited++) {
        fill_network(links, cards, limited);
        const struct shaped_net net = {MEASURED_RANKS, links, host_of, cards};
        if (shaped_run(&net, measure_links, all, &seconds) != OK) fail_msg("%s", status_message());
        assert_true(seconds < 1000);
        for (int rank = 1; rank < MEASURED_RANKS; rank++)
            assert_memory_equal(&all[rank], &all[0], sizeof *all);
        static const int first[HOSTS] = {0, 2, 3, 5, 6};
        for (int a = 0; a < HOSTS; a++) {
            for (int b = 0; b < HOSTS; b++) {
                const struct net_measured_link *found = &all[0].links[a * HOSTS + b];
                const bool alone = a == b && (a == 1 || a == 3);
                const int to = a == b ? first[b] + 1 : first[b];
                if (alone) {
                    assert_true(isinf(found->bytes_per_s) && found->latency_s == 0);
                    continue;
                }
                const struct shaped_link *up = &links[first[a] * MEASURED_RANKS + to];
                const struct shaped_link *down = &links[to * MEASURED_RANKS + first[a]];
                assert_near(found->bytes_per_s, up->bytes_per_s, rounding);
                assert_near(found->latency_s, (up->latency_s + down->latency_s) / 2, rounding);
            }
            if (limited && a == HOSTS - 1)
                assert_near(all[0].cards[a], 1.5e7, 2e-5); /* messages of 10^5 bytes differ by one at most */
            else
                assert_true(isinf(all[0].cards[a]));
        }
    }
    free(all);
}

static void what_was_measured_is_read_back(void **state)
{
    (void)state;
    static const struct measured_machine machines[] = {
        {"attic.home", 2, 8, 1.234567e12, 24e9}, {"-x y", 1, 0, 5e11, 8.5e9}, {"office", 4, 2, 3e13, 80e9}};
    static const struct net_measured_link links[] = {{1e-5, 1e9},    {25e-3, 1e7},       {2e-3, 1.25e8},
                                                     {25e-3, 2e7},   {0, INFINITY},      {7.654321e-3, 3.3333333e6},
                                                     {2e-3, 1.25e8}, {7.654321e-3, 1e5}, {0, 1e15}};
    static const double cards[] = {INFINITY, 2.5e7, INFINITY};
    const double digits = 5e-6; /* six of them */
    struct cluster c;
    struct buf text = {0};
    cluster_write(&text, machines, 3, links, cards);
    assert_int_equal(buf_status(&text), OK);
    read_text(&c, text.data);
    assert_int_equal(c.n_devices, 7);
    assert_int_equal(c.n_machines, 3);
    assert_string_equal(c.machines[0].host, "attic.home");
    assert_string_equal(c.machines[1].host, "_x_y");
    assert_int_equal(c.machines[0].cores, 8);
    assert_int_equal(c.machines[2].cores, 0); /* fewer than ranks: not said */
    assert_near(c.machines[1].nic_bytes_per_s, 2.5e7, digits);
    assert_true(isinf(c.machines[0].nic_bytes_per_s));
    assert_near(c.machines[2].inside_bytes_per_s, 1.25e14, digits); /* the most that a file may say */
    static const int first[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) {
        assert_near(c.machines[i].flops_per_s, machines[i].flops_per_s, digits);
        assert_near(c.machines[i].memory_bytes, machines[i].memory_bytes, digits);
        for (int k = 0; k < 3; k++) {
            const struct shaped_link l = cluster_link(&c, first[i], first[k]);
            if (i == k) continue;
            assert_near(l.bytes_per_s, links[i * 3 + k].bytes_per_s, digits);
            assert_near(l.latency_s, links[i * 3 + k].latency_s, digits);
        }
    }
    const struct shaped_link inside = cluster_link(&c, 0, 1);
    assert_near(inside.bytes_per_s, 1e9, digits);
    assert_near(inside.latency_s, 1e-5, digits);
    cluster_free(&c);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_read_as_written),
        cmocka_unit_test(regions_default_to_entries),
        cmocka_unit_test(broken_clusters_are_refused_by_name),
        cmocka_unit_test(a_cluster_can_be_simulated),
        cmocka_unit_test(measured_links_are_those_of_the_network),
        cmocka_unit_test(what_was_measured_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
