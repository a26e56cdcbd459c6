// SPDX-License-Identifier: Apache-2.0
/* Puts the requests of a HELM run to a model: each prompt with its own number of new tokens, stop sequences and
 * sampling settings, several at a time. Every answer has the form in which HELM keeps one, and with out_path it is a
 * line of a part file (part_file.h) before the next batch begins, so that a run goes on where it was stopped. */
#ifndef GPTJT_EVAL_HELM_RUN_H
#define GPTJT_EVAL_HELM_RUN_H

#include "eval/batching.h"
#include "eval/helm_fit.h"
#include "eval/helm_stats.h"
#include "eval/part_file.h"

/* The work that a run is. */
struct helm_plan {
    size_t *prompt_tokens;                  /* [n_requests] that fit the window; owned */
    uint64_t n_prompt_tokens, n_new_tokens; /* sums; of new tokens at most */
    size_t session_tokens;                  /* what the largest request needs of a session */
    int n_cut[HELM_CUT_LEFT + 1];           /* prompts by enum helm_cut */
};

/* E_UNSUPPORTED for a request that asks for what we do not do, E_LIMIT for one that leaves no room for a prompt; both
 * name it. Owned: helm_plan_free(). */
enum status helm_plan(struct helm_plan *out, const struct helm_run *run, const struct gptjt_tokenizer *tokenizer,
                      int n_positions);
void helm_plan_free(struct helm_plan *p);

/* Seconds that work took. */
struct helm_pace {
    int n_batches;
    uint64_t n_requests, n_prompt_tokens, n_new_tokens;
    double prompt_s, new_s, score_s;
};

/* Seconds for so much work at that pace: with answers as long as they were (NaN before there are any), and with all of
 * them as long as they may be. */
struct helm_estimate {
    double likely_s, longest_s;
};
struct helm_estimate helm_pace_estimate(const struct helm_pace *p, uint64_t n_requests, uint64_t n_prompt_tokens,
                                        uint64_t n_new_tokens);

/* Called every few milliseconds to seconds with the prompt tokens that are done, those found in the part file included.
 * Return false to stop: helm_runner_run() then returns E_CANCELLED, and what was answered is safe. */
typedef bool helm_progress_fn(void *user, uint64_t n_prompt_tokens);

struct helm_runner {
    const struct helm_run *run; /* to be filled in, and borrowed */
    const struct helm_plan *plan;
    struct gptjt_engine *engine;
    struct gptjt_session *session;
    bool compare;         /* also score the recorded answers */
    const char *out_path; /* of the scenario_state.json to come; NULL: answers are kept in memory only */
    const char *settings; /* text that is different whenever the model's numbers could be; for the fingerprint */
    helm_progress_fn *progress;
    void *user;

    struct helm_answer *answers; /* [n_requests]; what they point to is owned */
    json_t **recorded;           /* [n_requests] log-probabilities of the recorded tokens, NULL: not scored; owned */
    int n_done;
    size_t n_resumed;     /* of them, found in the part file */
    uint64_t tokens_done; /* of prompts */
    struct part_file part;
    struct batching batching;
    struct helm_pace pace; /* of what was asked */
};

/* Takes up what an earlier run has left in the part file. Owned: helm_runner_free(), also after an error. */
enum status helm_runner_open(struct helm_runner *r);

/* Asks the next n_requests that have no answer, or all that are left when they are fewer. */
enum status helm_runner_run(struct helm_runner *r, int n_requests);
void helm_runner_free(struct helm_runner *r);

#endif
