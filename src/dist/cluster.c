// SPDX-License-Identifier: Apache-2.0
/* Cluster files: entries first, each with the defaults under it, then machines out of entries, then links between
 * entries, for machines of one entry differ in nothing. So a file of 64 machines in eight cities needs a table of 8 x 8
 * and not of 64 x 64. */
#include "dist/cluster.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/yaml.h"

enum { MAX_WHERE = 512, MAX_NAME = 64, DEFAULT_INSIDE_GBPS = 100 };

static const double bytes_per_gbit = 1e9 / 8;

/* ---- What the file says ---- */

struct entry {
    const char *name, *region;
    int64_t count, devices, cores;
    double tflops, memory_gb, nic_gbps, inside_gbps, inside_latency_ms; /* NAN: not said */
};

#define FIELD(name) offsetof(struct entry, name)

const struct option cluster_machine_options[] = {
    {"name", 0, OPTION_STRING, FIELD(name), 0, 0, NULL, "HOST",
     "the host, or what hosts begin with where there are several"},
    {"region", 0, OPTION_STRING, FIELD(region), 0, 0, NULL, "NAME", "where it stands; default: a place of its own"},
    {"count", 0, OPTION_INT, FIELD(count), 1, CLUSTER_MAX_DEVICES, NULL, "N", "so many machines alike, name1 to nameN"},
    {"devices", 0, OPTION_INT, FIELD(devices), 1, CLUSTER_MAX_DEVICES, NULL, "N", "ranks on each machine"},
    {"cores", 0, OPTION_INT, FIELD(cores), 1, 1 << 16, NULL, "N",
     "cores that its ranks share; default: nobody is bound to more than one"},
    {"tflops", 0, OPTION_NUMBER, FIELD(tflops), 1e-6, 1e6, NULL, "X",
     "10^12 operations a second that a device reaches in training"},
    {"memory-gb", 0, OPTION_NUMBER, FIELD(memory_gb), 1e-3, 1e6, NULL, "X", "memory of a device, GB"},
    {"nic-gbps", 0, OPTION_NUMBER, FIELD(nic_gbps), 1e-6, 1e6, NULL, "X",
     "what its network card carries each way; default: no limit but the links'"},
    {"inside-gbps", 0, OPTION_NUMBER, FIELD(inside_gbps), 1e-6, 1e6, NULL, "X", "between devices of one machine"},
    {"inside-latency-ms", 0, OPTION_NUMBER, FIELD(inside_latency_ms), 0, 1e5, NULL, "X",
     "between devices of one machine"},
    {0},
};

#undef FIELD

struct link {
    struct option_strings between, within, from, to;
    double gbps, latency_ms;
};

#define FIELD(name) offsetof(struct link, name)

const struct option cluster_link_options[] = {
    {"between", 0, OPTION_STRINGS, FIELD(between), 0, 0, NULL, "NAMES",
     "regions or machines, each with each, both ways"},
    {"within", 0, OPTION_STRINGS, FIELD(within), 0, 0, NULL, "NAMES", "regions or machines, each within itself"},
    {"from", 0, OPTION_STRINGS, FIELD(from), 0, 0, NULL, "NAMES", "one way: from these"},
    {"to", 0, OPTION_STRINGS, FIELD(to), 0, 0, NULL, "NAMES", "one way: to these"},
    {"gbps", 0, OPTION_NUMBER, FIELD(gbps), 1e-6, 1e6, NULL, "X", "10^9 bits a second between two machines"},
    {"latency-ms", 0, OPTION_NUMBER, FIELD(latency_ms), 0, 1e5, NULL, "X", "one way, milliseconds"},
    {0},
};

#undef FIELD

/* What reading needs besides its result. */
struct reader {
    const char *path;
    const json_t *file;
    struct entry *entries;
    int n_entries;
    int *entry_region; /* [n_entries] */
    struct cluster c;
};

/* ---- Entries ---- */

static enum status check_keys(const struct reader *r)
{
    static const char *const keys[] = {"name", "machine", "link", "machines", "links"};
    for (void *at = json_object_iter((json_t *)(uintptr_t)r->file); at;
         at = json_object_iter_next((json_t *)(uintptr_t)r->file, at)) {
        const char *key = json_object_iter_key(at);
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            known |= !strcmp(key, keys[i]);
        if (known) continue;
        const char *near = options_nearest(key, keys, COUNT_OF(keys));
        if (!near) return fail(E_ARG, "%s: unknown field \"%.60s\"", r->path, key);
        return fail(E_ARG, "%s: unknown field \"%.60s\"; did you mean \"%s\"?", r->path, key, near);
    }
    return OK;
}

static bool is_given(const json_t *value)
{
    return value && !json_is_null(value);
}

static enum status check_name(const char *where, const char *key, const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = strlen(name);
    if (n && n <= MAX_NAME && strspn(name, allowed) == n && *name != '-') return OK;
    return fail(E_ARG, "%s: \"%s\" is \"%.80s\", not 1 to %d letters, digits, '.', '_' or '-' that begin with no '-'",
                where, key, name, MAX_NAME);
}

static enum status check_entry(const char *where, const struct entry *e)
{
    if (!e->name) return fail(E_ARG, "%s: has no \"name\"", where);
    TRY(check_name(where, "name", e->name));
    if (e->region) TRY(check_name(where, "region", e->region));
    if (isnan(e->tflops)) return fail(E_ARG, "%s: has no \"tflops\", and neither has \"machine\" for all", where);
    if (isnan(e->memory_gb)) return fail(E_ARG, "%s: has no \"memory_gb\", and neither has \"machine\" for all", where);
    if (e->cores && e->cores < e->devices)
        return fail(E_ARG, "%s: \"cores\" is %" PRId64 ", below \"devices\", %" PRId64, where, e->cores, e->devices);
    return OK;
}

/* "file: machines[3] (attic)", so that whoever has many machines need not count. */
static void name_entry(char where[MAX_WHERE], const struct reader *r, const char *key, size_t i, const json_t *entry)
{
    const json_t *name = json_object_get(entry, "name");
    if (json_is_string(name))
        snprintf(where, MAX_WHERE, "%.200s: %s[%zu] (%.80s)", r->path, key, i, json_string_value(name));
    else
        snprintf(where, MAX_WHERE, "%.200s: %s[%zu]", r->path, key, i);
}

static enum status read_machine_defaults(struct entry *out, const struct reader *r)
{
    char where[MAX_WHERE];
    option_given given = 0;
    const json_t *machine = json_object_get(r->file, "machine");
    *out = (struct entry){.count = 1,
                          .devices = 1,
                          .tflops = NAN,
                          .memory_gb = NAN,
                          .nic_gbps = INFINITY,
                          .inside_gbps = DEFAULT_INSIDE_GBPS};
    if (!is_given(machine)) return OK;
    snprintf(where, sizeof where, "%.200s: machine", r->path);
    if (!json_is_object(machine)) return fail(E_ARG, "%s: is not a mapping of settings", where);
    TRY(options_parse_json(cluster_machine_options, out, where, machine, &given));
    static const char *const own[] = {"name", "count"};
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (options_given(cluster_machine_options, given, own[i]))
            return fail(E_ARG, "%s: \"%s\" is for one of \"machines\", not for all", where, own[i]);
    return OK;
}

static enum status read_entries(struct reader *r)
{
    struct entry defaults;
    TRY(read_machine_defaults(&defaults, r));
    const json_t *list = json_object_get(r->file, "machines");
    if (!json_is_array(list) || !json_array_size(list)) return fail(E_ARG, "%s: has no list of \"machines\"", r->path);
    const size_t n = json_array_size(list);
    if (n > CLUSTER_MAX_ENTRIES)
        return fail(E_LIMIT, "%s: more than %d \"machines\"; \"count\" makes many of one", r->path,
                    CLUSTER_MAX_ENTRIES);
    r->entries = calloc(n, sizeof *r->entries);
    r->entry_region = calloc(n, sizeof *r->entry_region);
    if (!r->entries || !r->entry_region) return fail(E_NOMEM, "%s: out of memory", r->path);
    for (size_t i = 0; i < n; i++) {
        char where[MAX_WHERE];
        option_given given = 0;
        const json_t *entry = json_array_get(list, i);
        name_entry(where, r, "machines", i, entry);
        if (!json_is_object(entry)) return fail(E_ARG, "%s: is not a mapping of settings", where);
        r->entries[i] = defaults;
        TRY(options_parse_json(cluster_machine_options, &r->entries[i], where, entry, &given));
        TRY(check_entry(where, &r->entries[i]));
        for (size_t k = 0; k < i; k++)
            if (!strcmp(r->entries[k].name, r->entries[i].name))
                return fail(E_ARG, "%s: machines[%zu] has this name already", where, k);
    }
    r->n_entries = (int)n;
    return OK;
}

/* ---- Regions ---- */

static int find_region(const struct cluster *c, const char *name)
{
    for (int i = 0; i < c->n_regions; i++)
        if (!strcmp(c->regions[i], name)) return i;
    return -1;
}

static enum status read_regions(struct reader *r)
{
    struct cluster *c = &r->c;
    c->regions = calloc((size_t)r->n_entries, sizeof *c->regions);
    if (!c->regions) return fail(E_NOMEM, "%s: out of memory", r->path);
    for (int i = 0; i < r->n_entries; i++) {
        const struct entry *e = &r->entries[i];
        const char *name = e->region ? e->region : e->name;
        int region = find_region(c, name);
        if (region < 0) c->regions[region = c->n_regions++] = name;
        r->entry_region[i] = region;
    }
    for (int i = 0; i < r->n_entries; i++) { /* a link's end must mean one thing */
        const int region = find_region(c, r->entries[i].name);
        if (region < 0) continue;
        for (int k = 0; k < r->n_entries; k++)
            if (k != i && r->entry_region[k] == region)
                return fail(E_ARG, "%s: \"%s\" is a machine, and the region of \"%s\"; rename one", r->path,
                            r->entries[i].name, r->entries[k].name);
    }
    return OK;
}

/* ---- Machines ---- */

static enum status count_machines(struct reader *r)
{
    int64_t devices = 0, machines = 0; /* at most 1024 times 4096 times 4096 */
    for (int i = 0; i < r->n_entries; i++) {
        machines += r->entries[i].count;
        devices += r->entries[i].count * r->entries[i].devices;
    }
    if (devices > CLUSTER_MAX_DEVICES)
        return fail(E_LIMIT, "%s: %" PRId64 " devices, more than %d", r->path, devices, CLUSTER_MAX_DEVICES);
    r->c.n_machines = (int)machines;
    r->c.n_devices = (int)devices;
    r->c.n_entries = r->n_entries;
    return OK;
}

static void fill_machine(struct cluster_machine *m, const struct reader *r, int entry, int64_t number)
{
    const struct entry *e = &r->entries[entry];
    *m = (struct cluster_machine){.entry = entry,
                                  .region = r->entry_region[entry],
                                  .n_devices = (int)e->devices,
                                  .cores = (int)e->cores,
                                  .flops_per_s = e->tflops * 1e12,
                                  .memory_bytes = e->memory_gb * 1e9,
                                  .nic_bytes_per_s = e->nic_gbps * bytes_per_gbit,
                                  .inside_latency_s = e->inside_latency_ms / 1e3,
                                  .inside_bytes_per_s = e->inside_gbps * bytes_per_gbit};
    if (e->count > 1)
        snprintf(m->host, sizeof m->host, "%s%" PRId64, e->name, number);
    else
        snprintf(m->host, sizeof m->host, "%s", e->name);
}

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status check_hosts_differ(const struct reader *r)
{
    const struct cluster *c = &r->c;
    const char **hosts = calloc((size_t)c->n_machines, sizeof *hosts);
    if (!hosts) return fail(E_NOMEM, "%s: out of memory", r->path);
    for (int i = 0; i < c->n_machines; i++)
        hosts[i] = c->machines[i].host;
    qsort(hosts, (size_t)c->n_machines, sizeof *hosts, compare_hosts);
    enum status s = OK;
    for (int i = 1; i < c->n_machines && s == OK; i++)
        if (!strcmp(hosts[i - 1], hosts[i])) s = fail(E_ARG, "%s: two machines are called \"%s\"", r->path, hosts[i]);
    free(hosts);
    return s;
}

static enum status build_machines(struct reader *r)
{
    struct cluster *c = &r->c;
    TRY(count_machines(r));
    c->machines = calloc((size_t)c->n_machines, sizeof *c->machines);
    c->hosts = calloc((size_t)c->n_devices, sizeof *c->hosts);
    if (!c->machines || !c->hosts) return fail(E_NOMEM, "%s: out of memory", r->path);
    int machine = 0, device = 0;
    for (int i = 0; i < r->n_entries; i++) {
        for (int64_t k = 0; k < r->entries[i].count; k++, machine++) {
            struct cluster_machine *m = &c->machines[machine];
            fill_machine(m, r, i, k + 1);
            m->first_device = device;
            for (int d = 0; d < m->n_devices; d++)
                c->hosts[device++] = machine;
        }
    }
    return check_hosts_differ(r);
}

/* ---- Links ---- */

static struct shaped_link *link_at(const struct reader *r, int from, int to)
{
    return &r->c.links[(size_t)from * (size_t)r->n_entries + (size_t)to];
}

/* What is not given stays as it was. */
static void set_link(const struct reader *r, int from, int to, const struct link *l)
{
    struct shaped_link *at = link_at(r, from, to);
    if (!isnan(l->gbps)) at->bytes_per_s = l->gbps * bytes_per_gbit;
    if (!isnan(l->latency_ms)) at->latency_s = l->latency_ms / 1e3;
}

static bool is_in(const struct reader *r, int entry, const char *name)
{
    return !strcmp(r->entries[entry].name, name) || !strcmp(r->c.regions[r->entry_region[entry]], name);
}

static enum status check_ends(const struct reader *r, const char *where, const struct option_strings *names)
{
    if (names->n > r->n_entries + r->c.n_regions) return fail(E_ARG, "%s: names something twice", where);
    for (int i = 0; i < names->n; i++) {
        int members = 0;
        for (int k = 0; k < r->n_entries; k++)
            members += is_in(r, k, names->items[i]);
        if (members) continue;
        const char *known[2 * CLUSTER_MAX_ENTRIES];
        int n = 0;
        for (int k = 0; k < r->c.n_regions; k++)
            known[n++] = r->c.regions[k];
        for (int k = 0; k < r->n_entries; k++)
            known[n++] = r->entries[k].name;
        const char *near = options_nearest(names->items[i], known, n);
        return fail(E_ARG, "%s: no region and no machine is called \"%.80s\"%s%s%s", where, names->items[i],
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return OK;
}

/* Sets every link from a member of one to a member of the other; a machine in both is somebody's mistake. */
static enum status connect(const struct reader *r, const char *where, const struct link *l, const char *from,
                           const char *to)
{
    for (int a = 0; a < r->n_entries; a++) {
        if (!is_in(r, a, from)) continue;
        if (is_in(r, a, to))
            return fail(E_ARG, "%s: \"%s\" is in both \"%s\" and \"%s\"; \"within\" is for links inside of one", where,
                        r->entries[a].name, from, to);
        for (int b = 0; b < r->n_entries; b++)
            if (is_in(r, b, to)) set_link(r, a, b, l);
    }
    return OK;
}

static enum status apply_between(const struct reader *r, const char *where, const struct link *l)
{
    const struct option_strings *names = &l->between;
    if (names->n < 2) return fail(E_ARG, "%s: \"between\" needs two names or more", where);
    for (int i = 0; i < names->n; i++)
        for (int k = 0; k < names->n; k++)
            if (i != k) TRY(connect(r, where, l, names->items[i], names->items[k]));
    return OK;
}

static void apply_within(const struct reader *r, const struct link *l)
{
    for (int i = 0; i < l->within.n; i++)
        for (int a = 0; a < r->n_entries; a++)
            for (int b = 0; is_in(r, a, l->within.items[i]) && b < r->n_entries; b++)
                if (is_in(r, b, l->within.items[i])) set_link(r, a, b, l);
}

static enum status apply_link(const struct reader *r, const char *where, const struct link *l)
{
    const bool one_way = l->from.n && l->to.n;
    if ((l->from.n > 0) != (l->to.n > 0)) return fail(E_ARG, "%s: \"from\" and \"to\" need each other", where);
    if ((l->between.n > 0) + (l->within.n > 0) + one_way != 1)
        return fail(E_ARG, "%s: needs one of \"between\", \"within\", and \"from\" with \"to\"", where);
    if (isnan(l->gbps) && isnan(l->latency_ms))
        return fail(E_ARG, "%s: has neither \"gbps\" nor \"latency_ms\"", where);
    TRY(check_ends(r, where, &l->between));
    TRY(check_ends(r, where, &l->within));
    TRY(check_ends(r, where, &l->from));
    TRY(check_ends(r, where, &l->to));
    if (l->between.n) return apply_between(r, where, l);
    apply_within(r, l);
    for (int i = 0; i < l->from.n; i++)
        for (int k = 0; k < l->to.n; k++)
            TRY(connect(r, where, l, l->from.items[i], l->to.items[k]));
    return OK;
}

static enum status parse_link(struct link *out, const char *where, const json_t *value)
{
    option_given given = 0;
    *out = (struct link){.gbps = NAN, .latency_ms = NAN};
    if (!json_is_object(value)) return fail(E_ARG, "%s: is not a mapping of settings", where);
    return options_parse_json(cluster_link_options, out, where, value, &given);
}

static enum status read_default_link(const struct reader *r)
{
    char where[MAX_WHERE];
    struct link l;
    const json_t *value = json_object_get(r->file, "link");
    for (int i = 0; i < r->n_entries * r->n_entries; i++)
        r->c.links[i] = (struct shaped_link){NAN, NAN, INFINITY};
    if (!is_given(value)) return OK;
    snprintf(where, sizeof where, "%.200s: link", r->path);
    enum status s = parse_link(&l, where, value);
    if (s == OK && (l.between.n || l.within.n || l.from.n || l.to.n))
        s = fail(E_ARG, "%s: is for every pair of machines; those between some belong under \"links\"", where);
    for (int a = 0; s == OK && a < r->n_entries; a++)
        for (int b = 0; b < r->n_entries; b++)
            set_link(r, a, b, &l);
    options_free(cluster_link_options, &l);
    return s;
}

static enum status check_links_are_complete(const struct reader *r)
{
    for (int a = 0; a < r->n_entries; a++) {
        for (int b = 0; b < r->n_entries; b++) {
            const struct shaped_link *l = link_at(r, a, b);
            if (a == b && r->entries[a].count == 1) continue;
            if (!isnan(l->latency_s) && !isnan(l->bytes_per_s)) continue;
            return fail(E_ARG,
                        "%s: no \"%s\" from \"%s\" to \"%s\"; one for all pairs of machines belongs into \"link\"",
                        r->path, isnan(l->bytes_per_s) ? "gbps" : "latency_ms", r->entries[a].name, r->entries[b].name);
        }
    }
    return OK;
}

static enum status read_links(struct reader *r)
{
    const json_t *list = json_object_get(r->file, "links");
    r->c.links = calloc((size_t)r->n_entries * (size_t)r->n_entries, sizeof *r->c.links);
    if (!r->c.links) return fail(E_NOMEM, "%s: out of memory", r->path);
    TRY(read_default_link(r));
    if (is_given(list) && !json_is_array(list)) return fail(E_ARG, "%s: \"links\" is not a list", r->path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char where[MAX_WHERE];
        struct link l;
        snprintf(where, sizeof where, "%.200s: links[%zu]", r->path, i);
        enum status s = parse_link(&l, where, json_array_get(list, i));
        if (s == OK) s = apply_link(r, where, &l);
        options_free(cluster_link_options, &l);
        TRY(s);
    }
    return check_links_are_complete(r);
}

/* ---- Whole files ---- */

static enum status read_name(struct reader *r)
{
    const json_t *name = json_object_get(r->file, "name");
    if (is_given(name) && !json_is_string(name)) return fail(E_ARG, "%s: \"name\" is not a string", r->path);
    r->c.name = is_given(name) ? json_string_value(name) : "";
    return OK;
}

static enum status read_tree(struct cluster *out, json_t *file, const char *path)
{
    struct reader r = {.path = path, .file = file, .c = {.file = file}};
    enum status s = OK;
    if (!json_is_object(file)) s = fail(E_ARG, "%s: is not a cluster, a mapping with \"machines\"", path);
    if (s == OK) s = check_keys(&r);
    if (s == OK) s = read_name(&r);
    if (s == OK) s = read_entries(&r);
    if (s == OK) s = read_regions(&r);
    if (s == OK) s = build_machines(&r);
    if (s == OK) s = read_links(&r);
    free(r.entries);
    free(r.entry_region);
    if (s == OK)
        *out = r.c;
    else
        cluster_free(&r.c);
    return s;
}

enum status cluster_read(struct cluster *out, const char *path)
{
    json_t *file = NULL;
    TRY(yaml_read_file(&file, path));
    return read_tree(out, file, path);
}

enum status cluster_read_text(struct cluster *out, const char *text, size_t len, const char *name)
{
    json_t *file = NULL;
    TRY(yaml_read_text(&file, text, len, name));
    return read_tree(out, file, name);
}

void cluster_free(struct cluster *c)
{
    free(c->machines);
    free(c->hosts);
    free(c->regions);
    free(c->links);
    json_decref(c->file);
    *c = (struct cluster){0};
}

/* ---- Links of devices ---- */

struct shaped_link cluster_link(const struct cluster *c, int from, int to)
{
    if (from == to) return (struct shaped_link){0, INFINITY, INFINITY};
    const struct cluster_machine *a = &c->machines[c->hosts[from]], *b = &c->machines[c->hosts[to]];
    if (a == b) return (struct shaped_link){a->inside_latency_s, a->inside_bytes_per_s, INFINITY};
    return c->links[(size_t)a->entry * (size_t)c->n_entries + (size_t)b->entry];
}

enum status cluster_net(struct shaped_net *out, const struct cluster *c, const int *ranks, int n)
{
    const size_t count = (size_t)n;
    struct shaped_link *links = calloc(count * count, sizeof *links);
    int *hosts = calloc(count, sizeof *hosts), *numbers = calloc((size_t)c->n_machines, sizeof *numbers);
    double *nics = calloc(count, sizeof *nics);
    if (!links || !hosts || !numbers || !nics) {
        free(links);
        free(hosts);
        free(numbers);
        free(nics);
        return fail(E_NOMEM, "out of memory for a network of %d ranks", n);
    }
    int n_hosts = 0;
    bool limited = false;
    for (int i = 0; i < n; i++) {
        const int machine = c->hosts[ranks ? ranks[i] : i];
        if (!numbers[machine]) { /* hosts are numbered as ranks come, from 1 here */
            nics[n_hosts] = c->machines[machine].nic_bytes_per_s;
            limited |= isfinite(nics[n_hosts]);
            numbers[machine] = ++n_hosts;
        }
        hosts[i] = numbers[machine] - 1;
        for (int k = 0; k < n; k++)
            links[(size_t)i * count + (size_t)k] = cluster_link(c, ranks ? ranks[i] : i, ranks ? ranks[k] : k);
    }
    free(numbers);
    if (!limited) { /* nothing is shared */
        free(hosts);
        free(nics);
        hosts = NULL;
        nics = NULL;
    }
    *out = (struct shaped_net){n, links, hosts, nics};
    return OK;
}

void cluster_net_free(struct shaped_net *net)
{
    free((void *)(uintptr_t)net->links);
    free((void *)(uintptr_t)net->hosts);
    free((void *)(uintptr_t)net->nic_bytes_per_s);
    *net = (struct shaped_net){0};
}
