// SPDX-License-Identifier: Apache-2.0
/* What the files behind include/gptjt.h share: the engine (weights and tokenizer, read-only) and the session (one
 * caller's K/V cache, activations and step under construction). */
#ifndef GPTJT_ENGINE_ENGINE_H
#define GPTJT_ENGINE_ENGINE_H

#include <limits.h>

#include "engine/sampling.h"
#include "formats/gptj_config.h"
#include "formats/source.h"
#include "gptjt.h"
#include "kernels/kernels.h"
#include "model/forward.h"
#include "model/gptj.h"
#include "model/kvcache.h"
#include "stage/stage.h"
#include "tokenizer/tokenizer.h"

struct gptjt_tokenizer {
    struct tokenizer *bpe;
};

/* Which mask to run and why. */
struct mask_choice {
    enum gptjt_mask mask; /* PREFIX or CAUSAL */
    bool guessed;         /* the checkpoint itself does not say */
    char reason[160];
};

struct gptjt_engine {
    char name[256];
    struct checkpoint_config config;
    struct source *source;
    struct ops *ops;
    struct gptj *model;
    struct gptjt_tokenizer tokenizer; /* bpe NULL: none, because of ... */
    char no_tokenizer[512];           /* ... this */
    struct mask_choice mask;
    const char *weights, *compute, *cpu, *device; /* static */
    enum ops_device on;
    enum dtype kv_dtype;
    int threads;
    struct kernels host;       /* for what is on the host whatever the device: logits */
    struct crew *crew;         /* ranks that share the ..._many calls (crew.h); NULL: there are none. Borrowed */
    int n_ranks, n_ranks_here; /* that share the work; 0: this one is alone */
    struct stage_head *stages; /* the model has only the last stage's layers; NULL: it has all. Borrowed */
};

/* Finds the mask for a checkpoint (docs/MODEL.md has the order). name: the directory's or the hub's; asked: the
 * caller's. */
enum status engine_choose_mask(struct mask_choice *out, enum gptjt_mask asked, const struct checkpoint_config *config,
                               const struct source *src, const char *name);

/* The part of opening that touches no weights: the files' headers are read and checked against each other, and e's
 * name, config, source, tokenizer and mask are set. e is zeroed before; gptjt_engine_close() it also after
 * a failure. */
enum status engine_read_checkpoint(struct gptjt_engine *e, const char *dir, enum gptjt_mask asked);

/* The rest of opening: weights, kernels, threads. Of o, prompt_mask has been used already. The first part may also have
 * been done by hand, for a model that is not in a directory: e zeroed, then name, config, source, no_tokenizer, mask.
 */
enum status engine_load(struct gptjt_engine *e, const struct gptjt_engine_options *o);

/* gptjt_engine_open() on a rank of a pipeline: the layers of its stage only. r NULL: all. */
enum status engine_open_stage(struct gptjt_engine **out, const char *dir, const struct gptjt_engine_options *o,
                              const struct stage_ranks *r);

/* On the head: has the others open theirs. e's sessions then go through all of them; h is borrowed until e is closed.
 */
enum status engine_form_stages(struct gptjt_engine *e, struct stage_head *h);

/* The kernels' level for what --cpu takes; NULL is "auto". */
enum status engine_choose_cpu(enum cpu_level *out, const char *asked);

/* What --compute auto means for weights of a type, and how K/V are kept: in fp32 where everything is, else in fp16. */
enum compute_type engine_auto_compute(enum weight_type weights, enum cpu_level level);
enum dtype engine_kv_dtype(enum compute_type compute);

/* What a session for max_tokens (as gptjt_session_create() takes it, 1 .. 2^30) allocates. */
struct session_size {
    int n_pages, max_rows, rows_beside;
    size_t kv_bytes, work_bytes; /* work: activations and everything else that is not K/V */
    size_t beside_bytes;         /* and for the second step of a batch, once there is one */
};
struct session_size session_size_for(const struct gptj_config *c, size_t max_tokens, enum dtype kv_dtype,
                                     int block_rows);

/* What a row of a step predicts: a token of one of a job's sequences (scheduler.h). */
struct target {
    struct job *job;
    int sequence; /* TARGET_PROMPT: the row is one of the prompt's last */
    int token;    /* of the sequence; of the prompt's rows that are read */
};

enum { TARGET_PROMPT = -1 };

/* The rows of a step, under construction or on their way through the layers; arrays of max_rows. */
struct step {
    int max_rows;
    int T, first_wanted; /* as in struct batch */
    int32_t *token, *position, *lo, *hi, *sequence;
    const int32_t **pages; /* [max_rows]: no more sequences than rows */
    int n_sequences;
    struct target *targets; /* [max_rows] of those whose logits are read */
    struct workspace *workspace;
    struct batch rows; /* of the pass: what is above */
    struct forward pass;
};

/* A step's share of a call's work, in rows, for the progress callback. */
struct step_work {
    size_t before, now, all;
};

enum { SESSION_MOST_LANES = 16 };

struct gptjt_session {
    struct gptjt_engine *engine;
    struct kvcache *kv;
    struct step step;
    struct step beside; /* for a batch: runs while the other one is put down; else without rows */
    bool has_batch;     /* it is a batch's to use, and nobody else's */
    float *logits;      /* [LOGITS_BLOCK][V] on the host */
    struct sampling_room sampling;
    gptjt_progress_fn *progress; /* may be NULL */
    void *progress_user;

    /* Through a pipeline of stages steps of several sessions go at a time: of this one and of these, its own. */
    struct gptjt_session *others[SESSION_MOST_LANES - 1];
    int n_others;
    int lane;          /* of engine->stages, -1: none */
    struct buf copies; /* of pages, since the last step; only with a lane */

    struct kv_sequence prompt; /* remembered: K/V of the first n_cached of cached[] ... */
    int32_t *cached;           /* [P] */
    size_t n_cached;
    size_t cached_prefix; /* ... computed with this many of them seeing each other (0 or >= 2) */
};

/* Checks ids against the vocabulary; what names them in errors ("prompt"). */
enum status session_check_ids(const struct gptjt_session *s, const int32_t *ids, size_t n, const char *what);

/* E_ARG unless n_top is 0 .. GPTJT_MOST_TOP and no more than the vocabulary. */
enum status session_check_top(const struct gptjt_session *s, int n_top);

/* What a row's logits say about token id, which is also returned unrounded, and the n_top tokens most likely there. */
double session_read_token(const struct gptjt_session *s, const float *logits, int32_t id, float *logprob,
                          struct gptjt_top *top, int n_top);

/* E_ARG if a batch has the session. */
enum status session_check_free(const struct gptjt_session *s);

/* The second step, for a batch; session_close() drops it if that has not been done. */
enum status session_open_beside(struct gptjt_session *s);
void session_close_beside(struct gptjt_session *s);

/* Remembers the prompt that kv holds, instead of what was remembered before; forgets it. */
void session_remember(struct gptjt_session *s, const struct kv_sequence *kv, struct gptjt_span prompt, size_t n_prefix);
void session_forget(struct gptjt_session *s);

/* Computes the K/V of row's tokens, whose first n_prefix see each other, in s->prompt (which is not remembered), and
 * nothing else in one step: row p of it is position p. Logits of all rows can be read, or else of the last only. */
enum status session_prefill(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, bool every_row);

/* Building and running a step: rows of one sequence together, positions ascending, its K/V extended beforehand. */
void step_begin(struct step *t);
int step_add_sequence(struct step *t, const struct kv_sequence *kv);
void step_add_row(struct step *t, int sequence, int32_t token, size_t position, size_t lo, size_t hi);

/* Positions from .. to of a prompt whose first n_prefix tokens see each other, as a sequence of their own. */
void step_add_prompt(struct step *t, const struct kv_sequence *kv, const int32_t *ids, size_t from, size_t to,
                     size_t n_prefix);

/* Through the layers a block at a time: step_block() is false when the last one was done before. The step has to stay
 * as it is meanwhile, and the pages of its rows theirs. */
void step_enter(const struct gptjt_session *s, struct step *t);
bool step_block(struct step *t);

/* The session's step as a whole. E_CANCELLED when the progress callback says so. work NULL: this step is all of it. */
enum status step_run(struct gptjt_session *s, const struct step_work *work);

/* step_run() in two halves: between them the step, which has to stay as it is, is with the stages before this one, and
 * the steps of other lanes can be started, or ended if they were started earlier. Without stages all is done in the
 * second. step_drop() instead of it: nobody wants to know any more. */
enum status step_start(struct gptjt_session *s);
enum status step_end(struct gptjt_session *s, const struct step_work *work);
enum status step_drop(struct gptjt_session *s);

/* Logits of n <= LOGITS_BLOCK rows, from row first on, of a step that is through into s->logits. */
void step_logits(const struct gptjt_session *s, const struct step *t, int first, int n);

/* E_NUMERIC if one of the logits of a row is not finite. */
enum status step_check(const struct gptjt_session *s, const struct step *t, int row, const float *logits);

/* E_LIMIT unless n_prompt tokens and n_sequences continuations of n_new fit the window and the session. */
enum status session_admit(const struct gptjt_session *s, size_t n_prompt, size_t n_sequences, size_t n_new);

/* What gptjt_score_many() and gptjt_generate_many() do for requests that have been checked, on this rank. index [n], or
 * NULL for 0 .. n-1: which of its call's `of` requests each one is, for messages. */
enum status score_here(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                       const uint64_t *index, size_t of, struct gptjt_score *scores);
enum status generate_here(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                          const uint64_t *index, size_t of, struct gptjt_generation *out);

/* PREFIX or CAUSAL for a request. */
enum gptjt_mask session_mask(const struct gptjt_session *s, enum gptjt_mask asked);

#endif
