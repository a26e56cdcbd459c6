// SPDX-License-Identifier: Apache-2.0
/* Hostile runs of HELM: what is accepted gives statistics that are JSON and agree with themselves, a prompt's blocks
 * lie in it in order, and a comparison of the recorded answers with themselves finds no difference; what is refused
 * says why in one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eval/helm_compare.h"
#include "eval/helm_fit.h"
#include "eval/helm_stats.h"

static void require(bool promise)
{
    if (!promise) abort();
}

static void check_blocks(const struct helm_run *run)
{
    for (int i = 0; i < run->n_requests; i++) {
        struct helm_blocks b;
        if (!helm_blocks(&b, run, &run->requests[i])) continue;
        for (int k = 0; k < b.n_shots; k++)
            require(b.shots[k] <= b.shots[k + 1]);
        require(b.shots[b.n_shots] <= b.text && b.text <= b.text_end && b.text_end <= run->requests[i].prompt.len);
        free(b.shots);
    }
}

static void check_statistics(const struct helm_run *run, const struct helm_answer *answers)
{
    struct helm_stats *stats;
    json_t *rows, *different = json_array();
    struct helm_agreement a;
    require(helm_stats_compute(&stats, run, answers) == OK);
    if (helm_stats_json(&rows, stats) == OK) { /* sums of huge numbers may be infinite, which JSON has no word for */
        require(helm_stats_compare(&a, different, rows, rows) == OK);
        require(a.n_rows == a.n_computed);
        json_decref(rows);
    }
    json_decref(different);
    helm_stats_free(stats);
}

static void check_comparison(const struct helm_run *run, const struct helm_answer *answers)
{
    struct helm_comparison c;
    json_t **none = calloc((size_t)run->n_requests, sizeof *none);
    require(helm_compare(&c, run, answers, none) == OK);
    require(c.n_same_text == c.n_requests && c.n_same_tokens == c.n_requests && c.n_agreeing == c.n_tokens);
    free(none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct helm_run *run;
    const struct helm_filter all = {0};
    if (helm_run_read_text(&run, (const char *)data, size, "fuzz/run", all) != OK) {
        require(!strncmp(status_message(), "fuzz", 4) && !strchr(status_message(), '\n'));
        return 0;
    }
    struct helm_answer *answers = calloc((size_t)run->n_requests, sizeof *answers);
    for (int i = 0; i < run->n_requests; i++)
        answers[i] = (struct helm_answer){.result = run->requests[i].result, .prompt_tokens = i};
    check_blocks(run);
    check_statistics(run, answers);
    check_comparison(run, answers);
    free(answers);
    helm_run_close(run);
    return 0;
}
