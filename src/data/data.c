// SPDX-License-Identifier: Apache-2.0
/* The mixture: which source the next sequence is of, reading ahead, and where everything stands.
 *
 * Sequence i of a rank is of the source that a random number of (seed, rank, i) chooses, and is the next row of that
 * source's feed. Each source is a lane of the reader ahead: its rows are made in order, by one thread at a time. With
 * each row comes the feed's cursor behind it, so that the state after what was handed out is known, however far ahead
 * the threads have read. */
#include "data/data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ahead.h"
#include "base/compiler.h"
#include "data/feed.h"
#include "data/pack.h"

static const char *const format_names[DATA_FORMATS] = {"pile", "ni", "p3", "cot", "prompt", "tokens"};

const char *data_source_name(const struct data_source *s)
{
    return s->name ? s->name : s->format >= 0 && s->format < DATA_FORMATS ? format_names[s->format] : "?";
}

/* A sequence that was read ahead. */
struct slot {
    struct data_sequence sequence;
    struct feed_cursor after; /* of its source */
};

struct lane {
    struct feed *feed;
    struct pack_scratch scratch;
    struct feed_cursor cursor; /* behind the last sequence that was handed out */
};

struct data {
    struct data_settings set;
    int rank, n_ranks, n_workers;
    struct packer packer;
    double *thresholds; /* [n_sources] cumulative shares */
    struct lane *lanes; /* [n_sources] */
    uint64_t sequence;  /* the next one to hand out */

    struct slot *slots; /* [n_slots] */
    int n_slots;
    struct ahead *ahead;
    enum status status; /* of the first failure: there is nothing behind it */
    char message[1024];
};

/* ---- Opening ---- */

static enum status check_settings(const struct data_settings *set, int rank, int n_ranks)
{
    double sum = 0;
    if (set->n_sources < 1) return fail(E_ARG, "no sources are given");
    if (set->seq_len < 2 || set->seq_len > 1 << 24)
        return fail(E_ARG, "seq_len is %" PRId64 ", not within 2..%d", set->seq_len, 1 << 24);
    if (set->n_sources > 1 << 16) return fail(E_ARG, "%d sources are more than %d", set->n_sources, 1 << 16);
    if (rank < 0 || rank >= n_ranks) return fail(E_ARG, "rank %d of %d", rank, n_ranks);
    for (int i = 0; i < set->n_sources; i++) {
        const struct data_source *s = &set->sources[i];
        if (s->format < 0 || s->format >= DATA_FORMATS)
            return fail(E_ARG, "source %d has no format, which is one of " DATA_FORMAT_NAMES, i + 1);
        if (!(s->weight >= 0) || !isfinite(s->weight))
            return fail(E_ARG, "source %s: weight %g is not a finite number of at least 0", data_source_name(s),
                        s->weight);
        sum += s->weight;
    }
    return sum > 0 ? OK : fail(E_ARG, "the weights of all sources are 0");
}

/* The last source with a weight ends at 1 exactly, whatever rounding did to the sum. */
static void set_thresholds(struct data *d)
{
    double sum = 0, so_far = 0;
    int last = 0;
    for (int i = 0; i < d->set.n_sources; i++)
        sum += d->set.sources[i].weight;
    for (int i = 0; i < d->set.n_sources; i++) {
        so_far += d->set.sources[i].weight;
        d->thresholds[i] = so_far / sum;
        if (d->set.sources[i].weight > 0) last = i;
    }
    for (int i = last; i < d->set.n_sources; i++)
        d->thresholds[i] = 1;
}

static enum status open_lane(struct data *d, int i, const struct tokenizer *tokenizer)
{
    const struct data_source *source = &d->set.sources[i];
    const struct feed_settings feed = {.name = data_source_name(source),
                                       .source = source,
                                       .tokenizer = tokenizer,
                                       .seed = d->set.seed,
                                       .index = i,
                                       .rank = d->rank,
                                       .n_ranks = d->n_ranks,
                                       .join = d->packer.join,
                                       .row_tokens = (size_t)d->set.seq_len};
    TRY(pack_scratch_open(&d->lanes[i].scratch, d->packer.seq_len));
    return feed_open(&d->lanes[i].feed, &feed);
}

static enum status open_slot(struct slot *s, int64_t seq_len)
{
    int32_t *rows = calloc((size_t)seq_len * 4, sizeof *rows);
    if (!rows) return fail(E_NOMEM, "out of memory for sequences of %" PRId64 " tokens", seq_len);
    s->sequence = (struct data_sequence){
        .token = rows, .lo = rows + seq_len, .hi = rows + 2 * seq_len, .target = rows + 3 * seq_len};
    return OK;
}

static enum status open_all(struct data *d, const struct tokenizer *tokenizer)
{
    const size_t n = (size_t)d->set.n_sources;
    TRY(pack_open(&d->packer, &d->set, tokenizer));
    d->thresholds = calloc(n, sizeof *d->thresholds);
    d->lanes = calloc(n, sizeof *d->lanes);
    d->n_slots = d->n_workers ? 2 * d->n_workers + 2 : 0;
    d->slots = calloc((size_t)d->n_slots + 1, sizeof *d->slots);
    if (!d->thresholds || !d->lanes || !d->slots) return fail(E_NOMEM, "out of memory for %zu sources", n);
    set_thresholds(d);
    for (int i = 0; i < d->set.n_sources; i++)
        TRY(open_lane(d, i, tokenizer));
    for (int i = 0; i < d->n_slots; i++)
        TRY(open_slot(&d->slots[i], d->set.seq_len));
    return OK;
}

enum status data_open(struct data **out, const struct data_settings *settings, const struct tokenizer *tokenizer,
                      int rank, int n_ranks, int n_workers)
{
    TRY(check_settings(settings, rank, n_ranks));
    struct data *d = calloc(1, sizeof *d);
    if (!d) return fail(E_NOMEM, "out of memory for the data");
    d->set = *settings;
    d->rank = rank;
    d->n_ranks = n_ranks;
    d->n_workers = n_workers;
    const enum status s = open_all(d, tokenizer);
    if (s == OK)
        *out = d;
    else
        data_close(d);
    return s;
}

void data_close(struct data *d)
{
    if (!d) return;
    ahead_free(d->ahead);
    for (int i = 0; d->lanes && i < d->set.n_sources; i++) {
        feed_close(d->lanes[i].feed);
        pack_scratch_close(&d->lanes[i].scratch);
    }
    for (int i = 0; d->slots && i < d->n_slots; i++)
        free(d->slots[i].sequence.token);
    free(d->slots);
    free(d->lanes);
    free(d->thresholds);
    pack_close(&d->packer);
    free(d);
}

/* ---- Sequences ---- */

static int source_of(void *user, uint64_t index)
{
    const struct data *d = user;
    struct draws draws = draws_begin(d->set.seed, DRAWS_MIXTURE, 0, d->rank, index);
    const double u = draws_uniform(&draws);
    int i = 0;
    while (u >= d->thresholds[i])
        i++;
    return i;
}

static enum status make(void *user, uint64_t index, void *item)
{
    struct data *d = user;
    struct slot *slot = item;
    const int source = source_of(d, index);
    struct lane *lane = &d->lanes[source];
    struct draws draws = draws_begin(d->set.seed, DRAWS_ROW, source, d->rank, index);
    slot->sequence.source = source;
    TRY(pack_row(&d->packer, &lane->scratch, lane->feed, &draws, &slot->sequence));
    slot->after = feed_at(lane->feed);
    return OK;
}

static enum status start_ahead(struct data *d)
{
    const struct ahead_work work = {.user = d, .lane = source_of, .make = make};
    void **items = calloc((size_t)d->n_slots, sizeof *items);
    if (!items) return fail(E_NOMEM, "out of memory to read ahead");
    for (int i = 0; i < d->n_slots; i++)
        items[i] = &d->slots[i];
    const enum status s = ahead_create(&d->ahead, &work, d->sequence, d->n_workers, items, d->n_slots);
    free(items);
    return s;
}

static enum status next_slot(struct data *d, struct slot **out)
{
    void *item;
    if (!d->ahead) TRY(start_ahead(d));
    TRY(ahead_next(d->ahead, &item));
    *out = item;
    return OK;
}

static void copy_sequence(struct data_sequence *to, const struct data_sequence *from, int64_t seq_len)
{
    const size_t bytes = (size_t)seq_len * sizeof *to->token;
    memcpy(to->token, from->token, bytes);
    memcpy(to->lo, from->lo, bytes);
    memcpy(to->hi, from->hi, bytes);
    memcpy(to->target, from->target, bytes);
    to->source = from->source;
    to->n_targets = from->n_targets;
}

static enum status next(struct data *d, struct data_sequence *out)
{
    struct slot *slot, direct = {.sequence = *out};
    if (d->n_workers) {
        TRY(next_slot(d, &slot));
        copy_sequence(out, &slot->sequence, d->set.seq_len);
    } else {
        slot = &direct;
        TRY(make(d, d->sequence, slot));
        *out = slot->sequence;
    }
    d->lanes[out->source].cursor = slot->after;
    d->sequence++;
    return OK;
}

enum status data_next(struct data *d, struct data_sequence *out)
{
    if (d->status == OK) {
        d->status = next(d, out);
        if (d->status != OK) snprintf(d->message, sizeof d->message, "%s", status_message());
    }
    return d->status == OK ? OK : fail(d->status, "%s", d->message);
}

int64_t data_skipped(const struct data *d, int source)
{
    return (int64_t)d->lanes[source].cursor.skipped;
}

/* ---- State ---- */

/* A number of the cursor under its name in the state. */
struct place_field {
    const char *name;
    size_t offset;
};
static const struct place_field place_fields[] = {
    {"epoch", offsetof(struct feed_cursor, block.epoch)},
    {"file", offsetof(struct feed_cursor, block.file)},
    {"offset", offsetof(struct feed_cursor, block.place.offset)},
    {"line", offsetof(struct feed_cursor, block.place.number)},
    {"record", offsetof(struct feed_cursor, block.record)},
    {"blocks", offsetof(struct feed_cursor, n_blocks)},
    {"next", offsetof(struct feed_cursor, next)},
    {"token", offsetof(struct feed_cursor, token)},
    {"rows", offsetof(struct feed_cursor, rows)},
    {"skipped", offsetof(struct feed_cursor, skipped)},
};

/* Numbers of 64 bits do not fit JSON's. */
static json_t *hex(uint64_t x)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, x);
    return json_string(text);
}

static json_t *source_state(const struct data *d, int i)
{
    const struct lane *lane = &d->lanes[i];
    json_t *state = json_pack("{s:s, s:o}", "name", data_source_name(&d->set.sources[i]), "files",
                              hex(feed_fingerprint(lane->feed)));
    for (size_t k = 0; state && k < COUNT_OF(place_fields); k++) {
        const uint64_t *value = (const void *)((const char *)&lane->cursor + place_fields[k].offset);
        if (json_object_set_new(state, place_fields[k].name, json_integer((json_int_t)*value)) == 0) continue;
        json_decref(state);
        state = NULL;
    }
    return state;
}

json_t *data_state(const struct data *d)
{
    json_t *sources = json_array();
    for (int i = 0; sources && i < d->set.n_sources; i++) {
        if (json_array_append_new(sources, source_state(d, i)) == 0) continue;
        json_decref(sources);
        sources = NULL;
    }
    return json_pack("{s:i, s:o, s:i, s:i, s:I, s:o}", "version", 1, "seed", hex(d->set.seed), "rank", d->rank,
                     "n_ranks", d->n_ranks, "sequence", (json_int_t)d->sequence, "sources", sources);
}

static enum status expect_int(const json_t *state, const char *key, int64_t expected)
{
    int64_t found = -1;
    TRY(json_get_int(state, "data state", key, 0, INT64_MAX, &found));
    if (found == expected) return OK;
    return fail(E_FORMAT, "data state: \"%s\" is %" PRId64 ", but here it is %" PRId64, key, found, expected);
}

static enum status expect_hex(const json_t *state, const char *where, const char *key, uint64_t expected)
{
    const char *found = "";
    char text[24];
    TRY(json_get_string(state, where, key, &found));
    snprintf(text, sizeof text, "%016" PRIx64, expected);
    if (!strcmp(found, text)) return OK;
    return fail(E_FORMAT, "%s: \"%s\" is \"%.40s\", but here it is \"%s\": another %s", where, key, found, text, key);
}

static enum status read_source(struct feed_cursor *out, const struct data *d, int i, const json_t *state)
{
    char where[128];
    snprintf(where, sizeof where, "data state: source %d (%.60s)", i, data_source_name(&d->set.sources[i]));
    if (!json_is_object(state)) return fail(E_FORMAT, "%s: is not an object", where);
    TRY(expect_hex(state, where, "files", feed_fingerprint(d->lanes[i].feed)));
    *out = (struct feed_cursor){0};
    for (size_t k = 0; k < COUNT_OF(place_fields); k++) {
        int64_t value = -1;
        TRY(json_get_int(state, where, place_fields[k].name, 0, INT64_MAX, &value));
        if (value < 0) return fail(E_FORMAT, "%s: there is no \"%s\"", where, place_fields[k].name);
        *(uint64_t *)((char *)out + place_fields[k].offset) = (uint64_t)value;
    }
    return OK;
}

static enum status restore(struct data *d, const json_t *state)
{
    const json_t *sources = json_object_get(state, "sources");
    if (!json_is_object(state)) return fail(E_FORMAT, "data state: is not an object");
    TRY(expect_int(state, "version", 1));
    TRY(expect_hex(state, "data state", "seed", d->set.seed));
    TRY(expect_int(state, "rank", d->rank));
    TRY(expect_int(state, "n_ranks", d->n_ranks));
    if (json_array_size(sources) != (size_t)d->set.n_sources)
        return fail(E_FORMAT, "data state: it is of %zu sources, here are %d", json_array_size(sources),
                    d->set.n_sources);
    int64_t sequence = -1;
    TRY(json_get_int(state, "data state", "sequence", 0, (int64_t)1 << 39, &sequence));
    if (sequence < 0) return fail(E_FORMAT, "data state: there is no \"sequence\"");
    for (int i = 0; i < d->set.n_sources; i++) {
        struct lane *lane = &d->lanes[i];
        struct feed_cursor cursor;
        TRY(read_source(&cursor, d, i, json_array_get(sources, (size_t)i)));
        TRY(feed_restore(lane->feed, &cursor));
        lane->cursor = cursor;
    }
    d->sequence = (uint64_t)sequence;
    return OK;
}

/* After a failure the feeds stand anywhere: no sequence is handed out until a state fits. */
enum status data_restore(struct data *d, const json_t *state)
{
    ahead_free(d->ahead);
    d->ahead = NULL;
    d->status = restore(d, state);
    if (d->status != OK) snprintf(d->message, sizeof d->message, "%s", status_message());
    return d->status;
}
