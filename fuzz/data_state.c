// SPDX-License-Identifier: Apache-2.0
/* Any JSON as the state of a run: it is refused, or some sequences more come as they should. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "byte_tokenizer.h"
#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEQ_LEN = 24 };

static char directory[] = P_tmpdir "/gptjt-fuzz-XXXXXX", file[64];

static void remove_file(void)
{
    unlink(file);
    rmdir(directory);
}

/* Eleven documents of letters, so that the state in the corpus is one of theirs. */
static void make_file(void)
{
    if (!mkdtemp(directory)) abort();
    snprintf(file, sizeof file, "%s/a.jsonl", directory);
    FILE *f = fopen(file, "w");
    if (!f) abort();
    for (int i = 0; i < 11; i++)
        fprintf(f, "{\"text\": \"%.*s\"}\n", 5 * i, "aabbabababcdabaabbabababcdabaabbabababcdabaabbabababcdab");
    fclose(f);
    atexit(remove_file);
}

static void check_sequence(const struct data_sequence *s)
{
    for (int t = 0; t < SEQ_LEN; t++) {
        if (s->lo[t] < 0 || s->lo[t] > t || s->hi[t] <= t || s->hi[t] > SEQ_LEN) abort();
        if (s->target[t] != DATA_NO_TARGET && s->target[t] != s->token[t + 1]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t;
    if (!file[0]) make_file();
    if (!t) t = byte_tokenizer();
    const char *path = file;
    const struct data_source sources[] = {
        {.name = "a", .format = DATA_PILE, .paths = {&path, 1}, .weight = 1, .field = "text"},
        {.name = "b", .format = DATA_COT, .paths = {&path, 1}, .weight = 1, .field = "text"},
    };
    const struct data_settings set = {
        .seq_len = SEQ_LEN, .seed = 1, .sources = sources, .n_sources = COUNT_OF(sources)};
    json_t *state;
    struct data *d;
    if (json_read_text(&state, (const char *)data, size, "state") != OK) return 0;
    if (data_open(&d, &set, t, 0, 1, 0) != OK) abort();
    enum status s = data_restore(d, state);
    int32_t token[SEQ_LEN], lo[SEQ_LEN], hi[SEQ_LEN], target[SEQ_LEN];
    for (int i = 0; s == OK && i < 5; i++) {
        struct data_sequence sequence = {token, lo, hi, target, 0, 0};
        s = data_next(d, &sequence);
        if (s == OK) check_sequence(&sequence);
    }
    json_t *again = data_state(d);
    if (!again) abort();
    json_decref(again);
    json_decref(state);
    data_close(d);
    return 0;
}
