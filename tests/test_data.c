// SPDX-License-Identifier: Apache-2.0
/* Sequences as the trainer gets them: mixture, packing, prefixes, resuming, reading ahead. */
#include "data_rows.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "data/data.h"
#include "data/ul2.h"

/* ---- Mixture ---- */

static void sources_come_in_the_shares_of_their_weights(void **state)
{
    (void)state;
    enum { N = 3000 };
    int counts[COUNT_OF(card)] = {0};
    double sum = 0;
    struct data *d = open_data(&plain, 0, 1, 0);
    struct row r;
    for (int i = 0; i < N; i++) {
        next(d, &r);
        counts[r.source]++;
    }
    for (size_t i = 0; i < COUNT_OF(card); i++)
        sum += card[i].weight;
    for (size_t i = 0; i < COUNT_OF(card); i++)
        assert_share(counts[i], N, card[i].weight / sum);
    data_close(d);
}

static void a_source_of_weight_0_never_comes(void **state)
{
    (void)state;
    struct data_source sources[] = {card[0], card[3], card[4]};
    sources[0].weight = sources[2].weight = 0;
    struct data_settings set = plain;
    set.sources = sources;
    set.n_sources = COUNT_OF(sources);
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    for (int i = 0; i < 100; i++) {
        next(d, &r);
        assert_int_equal(r.source, 1);
    }
    data_close(d);
}

/* ---- Intervals and targets ---- */

/* Every row of the contract in data.h, and that nothing it should predict can be seen. */
static void check_row(const struct row *r, int n, bool join)
{
    int n_targets = 0;
    for (int t = 0; t < n; t++) {
        assert_true(0 <= r->lo[t] && r->lo[t] <= t && t < r->hi[t] && r->hi[t] <= n);
        if (t) assert_true(r->lo[t] >= r->lo[t - 1] && r->hi[t] >= r->hi[t - 1]);
        assert_in_range(r->token[t], 0, tokenizer_size(tokenizer) - 1);
        if (r->lo[t] == t && r->hi[t] == t + 1 && t && r->hi[t - 1] <= t)
            join = false; /* padding or a segment of one */
        if (join) assert_int_equal(r->lo[t], 0);
        if (r->target[t] == DATA_NO_TARGET) continue;
        n_targets++;
        assert_true(t + 1 < n);
        assert_int_equal(r->target[t], r->token[t + 1]);
        assert_int_equal(r->hi[t], t + 1);
        assert_true(r->lo[t + 1] <= t); /* the same document */
    }
    assert_int_equal(n_targets, r->n_targets);
}

static void intervals_and_targets_are_valid(void **state)
{
    (void)state;
    for (int objective = OBJECTIVE_CAUSAL; objective <= OBJECTIVE_UL2R; objective++)
        for (int documents = DOCUMENTS_ISOLATE; documents <= DOCUMENTS_JOIN; documents++)
            for (int seq_len = 15; seq_len <= 300; seq_len += 57) {
                struct data_settings set = plain;
                set.objective = objective;
                set.documents = documents;
                set.seq_len = seq_len;
                struct data *d = open_data(&set, 0, 1, 0);
                struct row r;
                for (int i = 0; i < 60; i++) {
                    next(d, &r);
                    check_row(&r, seq_len, documents == DOCUMENTS_JOIN);
                }
                data_close(d);
            }
}

static void a_joined_causal_row_predicts_all_but_its_first_token(void **state)
{
    (void)state;
    const struct data_settings set = one_source(&card[3], DOCUMENTS_JOIN, OBJECTIVE_CAUSAL);
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    for (int i = 0; i < 20; i++) {
        next(d, &r);
        assert_int_equal(r.n_targets, set.seq_len - 1);
        for (int t = 0; t < set.seq_len; t++)
            assert_true(r.lo[t] == 0 && r.hi[t] == t + 1);
    }
    data_close(d);
}

/* Uniform over 0 .. n - 1: the mean over N rows is within five of its standard deviations. */
static void prefixes_are_split_anywhere(void **state)
{
    (void)state;
    enum { N = 2000 };
    const struct data_settings set = one_source(&card[3], DOCUMENTS_JOIN, OBJECTIVE_PREFIX);
    const int n = (int)set.seq_len;
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    int counts[SEQ_MAX] = {0};
    for (int i = 0; i < N; i++) {
        next(d, &r);
        const int prefix = r.hi[0] == 1 ? n - 1 - r.n_targets : r.hi[0]; /* 0 and 1 look alike but for nothing */
        assert_int_equal(r.n_targets, prefix ? n - prefix : n - 1);
        counts[prefix]++;
    }
    for (int prefix = 2; prefix < n; prefix++)
        assert_share(counts[prefix], N, 1. / n);
    assert_share(counts[0] + counts[1], N, 2. / n);
    data_close(d);
}

/* ---- Packing ---- */

struct stream {
    int32_t ids[1 << 16];
    int n;
};

/* All tokens of rows, without padding, until n of them are end of text. */
static void read_until(struct stream *out, struct data *d, int seq_len, int n_documents)
{
    struct row r;
    out->n = 0;
    for (int seen = 0; seen < n_documents;) {
        next(d, &r);
        for (int t = 0; t < seq_len; t++) {
            const bool padding = r.token[t] == end_of_text && r.lo[t] == t && r.target[t] == DATA_NO_TARGET && t &&
                                 r.token[t - 1] == end_of_text;
            if (padding) continue;
            assert_true(out->n < (int)COUNT_OF(out->ids));
            out->ids[out->n++] = r.token[t];
            seen += r.token[t] == end_of_text;
        }
    }
}

static char *texts[64];
static int n_texts;

static void load_texts(void)
{
    FILE *f = fopen(HERE "documents.jsonl", "r");
    char line[4096];
    assert_non_null(f);
    n_texts = 0;
    while (fgets(line, sizeof line, f)) {
        json_t *object;
        if (line[0] == '\n') continue;
        assert_int_equal(json_read_text(&object, line, strlen(line), "line"), OK);
        const char *text = json_string_value(json_object_get(object, "text"));
        if (*text) texts[n_texts++] = strdup(text);
        json_decref(object);
    }
    fclose(f);
}

static void free_texts(void)
{
    while (n_texts)
        free(texts[--n_texts]);
}

/* Which text ids [n] are, or -1. */
static int which_text(const int32_t *ids, int n)
{
    struct buf text = {0};
    assert_int_equal(tokenizer_decode(tokenizer, &text, ids, (size_t)n), OK);
    int found = -1;
    for (int i = 0; i < n_texts; i++)
        if (text.len == strlen(texts[i]) && !memcmp(text.data, texts[i], text.len)) found = i;
    buf_free(&text);
    return found;
}

/* The stream is every document whole, each once an epoch, and not in the same order twice. */
static void check_stream(const struct stream *s, int n_epochs)
{
    int at = 0, order[2][64];
    for (int epoch = 0; epoch < n_epochs; epoch++) {
        int count[64] = {0};
        for (int i = 0; i < n_texts; i++) {
            int end = at;
            while (end < s->n && s->ids[end] != end_of_text)
                end++;
            assert_true(end < s->n);
            const int text = which_text(s->ids + at, end - at);
            if (text < 0) fail_msg("epoch %d: tokens %d to %d are no document", epoch, at, end);
            order[epoch % 2][i] = text;
            count[text]++;
            at = end + 1;
        }
        for (int i = 0; i < n_texts; i++)
            assert_int_equal(count[i], 1);
        if (epoch) assert_true(memcmp(order[0], order[1], (size_t)n_texts * sizeof(int)));
    }
}

static void packing_neither_loses_nor_repeats_a_token(void **state)
{
    (void)state;
    static struct stream s;
    struct data_source source = card[3];
    source.end_of_text = true;
    load_texts();
    for (int objective = OBJECTIVE_CAUSAL; objective <= OBJECTIVE_PREFIX; objective++)
        for (int documents = DOCUMENTS_ISOLATE; documents <= DOCUMENTS_JOIN; documents++)
            for (int seq_len = 2; seq_len <= 400; seq_len += seq_len < 9 ? 1 : 61) {
                struct data_settings set = one_source(&source, documents, objective);
                set.seq_len = seq_len;
                struct data *d = open_data(&set, 0, 1, 0);
                read_until(&s, d, seq_len, 3 * n_texts);
                check_stream(&s, 3);
                assert_in_range(data_skipped(d, 0), 2, 4); /* one of the records is empty */
                data_close(d);
            }
    free_texts();
}

/* Takes apart what R and X have written, segment by segment. */
static void undo_row(struct stream *out, const struct row *r, int n, int32_t first, int n_mode)
{
    for (int begin = 0; begin < n;) {
        int end = begin + 1;
        while (end < n && r->lo[end] == begin)
            end++;
        int input = begin;
        while (input < end && r->hi[input] > input + 1 && r->hi[input] == r->hi[begin])
            input++;
        if (input > begin) { /* the last token of the prefix sees no further than itself, but it is one */
            const int32_t *target = r->token + r->hi[begin];
            for (int t = begin + n_mode; t < r->hi[begin]; t++) {
                if (r->token[t] < first) {
                    out->ids[out->n++] = r->token[t];
                    continue;
                }
                const int32_t *at = target;
                while (*at != r->token[t])
                    at++;
                for (at++; *at < first; at++)
                    out->ids[out->n++] = *at;
            }
        } else if (end - begin == 1 && r->token[begin] != end_of_text) {
            out->ids[out->n++] = r->token[begin]; /* too short to hide anything */
        }
        begin = end;
    }
}

/* Only sentinels tell R and X from S; rows of S are read as they are. */
static void ul2_rows_hold_the_documents_too(void **state)
{
    (void)state;
    static struct stream s, seen;
    struct data_settings set = one_source(&card[3], DOCUMENTS_ISOLATE, OBJECTIVE_UL2R);
    const int32_t first = tokenizer_find(tokenizer, "<|extratoken_1|>");
    struct row r;
    set.mode_tokens = false;
    struct data *d = open_data(&set, 0, 1, 0);
    load_texts();
    int denoised = 0;
    s.n = 0;
    for (int i = 0; i < 400; i++) {
        next(d, &r);
        bool sentinels = false;
        for (int t = 0; t < set.seq_len; t++)
            sentinels = sentinels || r.token[t] >= first;
        denoised += sentinels;
        if (sentinels) {
            undo_row(&s, &r, (int)set.seq_len, first, 0);
            continue;
        }
        for (int t = 0; t < set.seq_len; t++)
            if (r.token[t] != end_of_text) s.ids[s.n++] = r.token[t];
    }
    assert_share(denoised, 400, 0.5);

    /* The same documents in the same order, as the causal objective has them. */
    struct data_settings causal = one_source(&card[3], DOCUMENTS_ISOLATE, OBJECTIVE_CAUSAL);
    struct data *c = open_data(&causal, 0, 1, 0);
    for (seen.n = 0; seen.n < s.n;) {
        next(c, &r);
        for (int t = 0; t < causal.seq_len; t++)
            if (r.token[t] != end_of_text) seen.ids[seen.n++] = r.token[t];
    }
    assert_true(s.n > 5000);
    assert_memory_equal(s.ids, seen.ids, (size_t)s.n * sizeof *s.ids);
    data_close(c);
    data_close(d);
    free_texts();
}

static void ranks_see_different_documents_and_together_all(void **state)
{
    (void)state;
    static struct stream s;
    struct data_source source = card[3];
    source.end_of_text = true;
    struct data_settings set = one_source(&source, DOCUMENTS_JOIN, OBJECTIVE_CAUSAL);
    set.seq_len = 2; /* so that hardly more is read than is looked at */
    load_texts();
    int count[64] = {0}, seen = 0;
    for (int rank = 0; rank < 4; rank++) {
        struct data *d = open_data(&set, rank, 4, 0);
        read_until(&s, d, 2, 2);
        for (int at = 0, i = 0; i < 2; i++) {
            int end = at;
            while (s.ids[end] != end_of_text)
                end++;
            const int text = which_text(s.ids + at, end - at);
            assert_true(text >= 0);
            count[text]++;
            seen++;
            at = end + 1;
        }
        data_close(d);
    }
    for (int i = 0; i < n_texts; i++)
        assert_in_range(count[i], 0, 1);
    assert_int_equal(seen, 8); /* of 12 and an empty one: a rank has three or four in an epoch */
    free_texts();
}

static void more_ranks_than_documents_is_no_problem(void **state)
{
    (void)state;
    const struct data_settings set = one_source(&card[0], DOCUMENTS_JOIN, OBJECTIVE_CAUSAL); /* three of them */
    for (int rank = 0; rank < 8; rank++) {
        struct data *d = open_data(&set, rank, 8, 0);
        struct row r;
        for (int i = 0; i < 10; i++)
            next(d, &r);
        data_close(d);
    }
}

/* ---- Resuming, and threads ---- */

static void assert_same_row(const struct row *a, const struct row *b, int n)
{
    assert_int_equal(a->source, b->source);
    assert_int_equal(a->n_targets, b->n_targets);
    assert_memory_equal(a->token, b->token, (size_t)n * sizeof *a->token);
    assert_memory_equal(a->lo, b->lo, (size_t)n * sizeof *a->lo);
    assert_memory_equal(a->hi, b->hi, (size_t)n * sizeof *a->hi);
    assert_memory_equal(a->target, b->target, (size_t)n * sizeof *a->target);
}

enum { N_ROWS = 60 };

static void read_rows(struct row *rows, const struct data_settings *set, int n_workers)
{
    struct data *d = open_data(set, 1, 3, n_workers);
    for (int i = 0; i < N_ROWS; i++)
        next(d, &rows[i]);
    data_close(d);
}

/* Stops after `stop` sequences with some workers, goes on with others, through the state as text. */
static void check_resume(const struct row *rows, const struct data_settings *set, int stop, int n_workers)
{
    struct data *d = open_data(set, 1, 3, n_workers);
    struct row r;
    for (int i = 0; i < stop; i++)
        next(d, &r);
    json_t *state = data_state(d);
    assert_non_null(state);
    data_close(d);

    char *text = json_dumps(state, 0);
    json_decref(state);
    assert_int_equal(json_read_text(&state, text, strlen(text), "state"), OK);
    free(text);
    d = open_data(set, 1, 3, 3 - n_workers);
    if (data_restore(d, state) != OK) fail_msg("%s", status_message());
    json_t *again = data_state(d);
    assert_true(json_equal(state, again));
    for (int i = stop; i < N_ROWS && i < stop + 25; i++) {
        next(d, &r);
        assert_same_row(&r, &rows[i], (int)set->seq_len);
    }
    json_decref(again);
    json_decref(state);
    data_close(d);
}

static void a_run_goes_on_where_it_stopped(void **state)
{
    (void)state;
    static struct row rows[N_ROWS];
    for (int objective = OBJECTIVE_CAUSAL; objective <= OBJECTIVE_UL2R; objective++)
        for (int documents = DOCUMENTS_ISOLATE; documents <= DOCUMENTS_JOIN; documents++) {
            struct data_settings set = plain;
            set.objective = objective;
            set.documents = documents;
            read_rows(rows, &set, 0);
            for (int stop = 0; stop < N_ROWS; stop += stop < 12 ? 1 : 5)
                check_resume(rows, &set, stop, stop % 3);
        }
}

static void the_number_of_threads_changes_nothing(void **state)
{
    (void)state;
    static struct row rows[N_ROWS], others[N_ROWS];
    struct data_settings set = plain;
    set.objective = OBJECTIVE_UL2R;
    read_rows(rows, &set, 0);
    for (int n_workers = 1; n_workers <= 5; n_workers += 2) {
        read_rows(others, &set, n_workers);
        for (int i = 0; i < N_ROWS; i++)
            assert_same_row(&rows[i], &others[i], (int)set.seq_len);
    }
}

static void seeds_and_ranks_differ(void **state)
{
    (void)state;
    static struct row a, b, c;
    struct data_settings other = plain;
    other.seed++;
    struct data *d = open_data(&plain, 0, 2, 0), *e = open_data(&other, 0, 2, 0), *f = open_data(&plain, 1, 2, 0);
    int same_seed = 0, same_rank = 0;
    for (int i = 0; i < 20; i++) {
        next(d, &a);
        next(e, &b);
        next(f, &c);
        same_seed += !memcmp(a.token, b.token, 48 * sizeof *a.token);
        same_rank += !memcmp(a.token, c.token, 48 * sizeof *a.token);
    }
    assert_true(same_seed < 3 && same_rank < 3);
    data_close(d);
    data_close(e);
    data_close(f);
}

static void states_of_other_runs_are_refused(void **state)
{
    (void)state;
    struct data *d = open_data(&plain, 0, 2, 0), *e;
    struct row r;
    for (int i = 0; i < 20; i++)
        next(d, &r);
    json_t *good = data_state(d);
    data_close(d);

    struct data_settings other = plain;
    other.seed++;
    e = open_data(&other, 0, 2, 0);
    assert_int_equal(data_restore(e, good), E_FORMAT);
    assert_non_null(strstr(status_message(), "another seed"));
    data_close(e);
    e = open_data(&plain, 1, 2, 0);
    assert_int_equal(data_restore(e, good), E_FORMAT);
    assert_non_null(strstr(status_message(), "\"rank\" is 0, but here it is 1"));
    struct data_sequence s = {r.token, r.lo, r.hi, r.target, 0, 0};
    assert_int_equal(data_next(e, &s), E_FORMAT); /* it stands nowhere now */
    data_close(e);
    other = plain;
    other.n_sources--;
    e = open_data(&other, 0, 2, 0);
    assert_int_equal(data_restore(e, good), E_FORMAT);
    data_close(e);

    static const struct {
        const char *key;
        json_int_t value;
    } broken[] = {{"epoch", -1},    {"epoch", (json_int_t)1 << 60}, {"file", 99}, {"offset", 1 << 20}, {"next", 99999},
                  {"token", 99999}, {"rows", (json_int_t)1 << 62}};
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        json_t *copy = json_deep_copy(good);
        json_object_set_new(json_array_get(json_object_get(copy, "sources"), 3), broken[i].key,
                            json_integer(broken[i].value));
        e = open_data(&plain, 0, 2, 0);
        if (data_restore(e, copy) == OK) fail_msg("%s of %lld is accepted", broken[i].key, broken[i].value);
        data_close(e);
        json_decref(copy);
    }
    json_decref(good);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_come_in_the_shares_of_their_weights),
        cmocka_unit_test(a_source_of_weight_0_never_comes),
        cmocka_unit_test(intervals_and_targets_are_valid),
        cmocka_unit_test(a_joined_causal_row_predicts_all_but_its_first_token),
        cmocka_unit_test(prefixes_are_split_anywhere),
        cmocka_unit_test(packing_neither_loses_nor_repeats_a_token),
        cmocka_unit_test(ul2_rows_hold_the_documents_too),
        cmocka_unit_test(ranks_see_different_documents_and_together_all),
        cmocka_unit_test(more_ranks_than_documents_is_no_problem),
        cmocka_unit_test(a_run_goes_on_where_it_stopped),
        cmocka_unit_test(the_number_of_threads_changes_nothing),
        cmocka_unit_test(seeds_and_ranks_differ),
        cmocka_unit_test(states_of_other_runs_are_refused),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
