// SPDX-License-Identifier: Apache-2.0
/* gptjt: GPT-J class models (GPT-JT-6B and relatives) on the CPU, with the prompt mask the checkpoint was trained for.
 *
 *     engine      weights and tokenizer, read-only, shared by threads
 *     session     one thread's KV cache and working memory on an engine
 *     generate    prompt -> continuations, streamed
 *     score       prompt + continuations -> log-likelihoods
 *     ..._many    several different requests through the model together
 *     batch       the same without an end: requests come and go while it runs
 *     classify    texts -> probabilities of labels, by few-shot prompts
 *     logits      one row of tokens -> the logits at every position
 *     tokenizer   text <-> token ids; also usable without a model
 *
 * Every function that can fail returns a status; gptjt_error() then has one line for people. Outputs are written only
 * on success. Memory handed out is said to be owned (release it with the function named) or borrowed (until when is
 * said). An engine may be used by many threads at once, a session by one at a time. */
#ifndef GPTJT_H
#define GPTJT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GPTJT_API __attribute__((visibility("default")))
#else
#define GPTJT_API
#endif

enum gptjt_status {
    GPTJT_OK = 0,
    GPTJT_E_ARG,         /* an argument is not acceptable                              */
    GPTJT_E_IO,          /* the operating system refused                               */
    GPTJT_E_FORMAT,      /* a file is not what it claims to be                         */
    GPTJT_E_NOMEM,       /* out of memory                                              */
    GPTJT_E_LIMIT,       /* a stated limit is exceeded: prompt longer than the window  */
    GPTJT_E_UNSUPPORTED, /* well-formed, but not something this library does           */
    GPTJT_E_NUMERIC,     /* the model produced NaN or infinity                         */
    GPTJT_E_CANCELLED,   /* a callback asked to stop                                   */
};

GPTJT_API const char *gptjt_version(void); /* "0.1.0"; static */

/* The message of this thread's last failure. Borrowed until its next one. */
GPTJT_API const char *gptjt_error(void);

/* Notices (which mask is on and why, ...) go to sink, once a line; without one the library is silent. Call before
 * threads start. level: 0 error, 1 warning, 2 info, 3 debug. */
typedef void gptjt_log_fn(void *user, int level, const char *line);
GPTJT_API void gptjt_set_log(gptjt_log_fn *sink, void *user, int max_level);

/* ---- Tokenizer: GPT-2's byte-level BPE ------------------------------------------------------------------------- */

struct gptjt_tokenizer;

/* Reads vocab.json + merges.txt (+ added_tokens.json) or tokenizer.json from dir. Owned: gptjt_tokenizer_close(). */
GPTJT_API enum gptjt_status gptjt_tokenizer_open(struct gptjt_tokenizer **out, const char *dir);
GPTJT_API void gptjt_tokenizer_close(struct gptjt_tokenizer *t);

/* *ids: [*n_ids], owned: gptjt_free(). added_tokens: match tokens such as <|endoftext|> in the text, as Hugging Face
 * does by default; otherwise they are ordinary text. Bytes that are not UTF-8 are encoded as they are. */
GPTJT_API enum gptjt_status gptjt_encode(const struct gptjt_tokenizer *t, const char *text, size_t text_len,
                                         bool added_tokens, int32_t **ids, size_t *n_ids);

/* *text: the exact bytes, *text_len of them and a NUL, owned: gptjt_free(). May be invalid UTF-8. */
GPTJT_API enum gptjt_status gptjt_decode(const struct gptjt_tokenizer *t, const int32_t *ids, size_t n_ids, char **text,
                                         size_t *text_len);

/* One more than the largest id, and the id of an added token or a whole entry of the vocabulary by its bytes
 * ("<|endoftext|>", " the"), -1 if there is none. */
GPTJT_API int32_t gptjt_tokenizer_size(const struct gptjt_tokenizer *t);
GPTJT_API int32_t gptjt_tokenizer_find(const struct gptjt_tokenizer *t, const char *token);

GPTJT_API void gptjt_free(void *p);

/* ---- Models by name --------------------------------------------------------------------------------------------- */

/* The directory of what people call a model: a directory as it is; OWNER/NAME or OWNER/NAME@REVISION from the Hugging
 * Face cache (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME); NULL: $GPTJT_MODEL, else the small model that ships with gptjt,
 * if it lies beside this library. Nothing is downloaded. *dir: owned, gptjt_free(). */
GPTJT_API enum gptjt_status gptjt_find_model(char **dir, const char *model);

/* ---- Engine ---------------------------------------------------------------------------------------------------- */

/* Which prompt positions see which: PREFIX, every prompt token sees the whole prompt (what GPT-JT was trained for);
 * CAUSAL, each sees only what is before it. Generated tokens see all that is before them in both. */
enum gptjt_mask { GPTJT_MASK_AUTO, GPTJT_MASK_PREFIX, GPTJT_MASK_CAUSAL };

enum gptjt_weights {
    GPTJT_WEIGHTS_AUTO,
    GPTJT_WEIGHTS_FP32,
    GPTJT_WEIGHTS_FP16,
    GPTJT_WEIGHTS_BF16,
    GPTJT_WEIGHTS_Q8, /* 8.25 bits a weight: int8 and a scale for 64 */
    GPTJT_WEIGHTS_Q4, /* 4.5 bits a weight: 4 bits and a scale for 32; embedding and head q8 */
};

/* What the factors of matrix products are: fp32; rounded to bf16; or int8, which is for q8 and q4 weights only and
 * quantises activations in groups. Sums are fp32. AUTO: int8 for q8 and q4, bf16 where the processor has a unit for it,
 * else fp32. */
enum gptjt_compute { GPTJT_COMPUTE_AUTO, GPTJT_COMPUTE_FP32, GPTJT_COMPUTE_BF16, GPTJT_COMPUTE_INT8 };

struct gptjt_engine_options {
    enum gptjt_mask prompt_mask; /* AUTO: as the checkpoint says                                   */
    enum gptjt_weights weights;  /* how matrices are held; AUTO: as stored, mapped, not copied     */
    enum gptjt_compute compute;  /* what matrix products are computed in                           */
    int threads;                 /* 0: what affinity mask and cgroup quota allow                   */
    const char *cpu;     /* instruction set: NULL or "auto", or "ref", "avx2", "avx512", "avx512bf16", "amx"; E_ARG if
                            unknown or missing */
    const char *adapter; /* directory of a LoRA adapter in PEFT's layout; NULL: none */
    const char *device;  /* what computes: NULL or "cpu", or "cuda" */
};

GPTJT_API void gptjt_engine_options_init(struct gptjt_engine_options *o); /* the defaults: all AUTO */

struct gptjt_engine;

/* dir: a Hugging Face directory of a gptj checkpoint; tokenizer files are optional. options NULL: defaults.
 * Owned: gptjt_engine_close(), after its sessions. */
GPTJT_API enum gptjt_status gptjt_engine_open(struct gptjt_engine **out, const char *dir,
                                              const struct gptjt_engine_options *options);
GPTJT_API void gptjt_engine_close(struct gptjt_engine *e);

/* Borrowed; NULL when dir has no tokenizer files or they cannot be used, which gptjt_error() then tells: a model can be
 * run by token ids without. */
GPTJT_API const struct gptjt_tokenizer *gptjt_engine_tokenizer(const struct gptjt_engine *e);

/* What generation_config.json, or else config.json's task_specific_params, asks for. */
struct gptjt_hf_defaults {
    bool present;
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    int top_k;
    int max_length, max_new_tokens; /* 0: not given */
};

struct gptjt_info {
    const char *name; /* of the model directory; borrowed from the engine, like all strings here */
    int vocab_size;   /* V: logits a position                            */
    int n_positions;  /* the window: prompt and continuation together    */
    int n_layers, n_embd, n_heads;
    int32_t eos_token_id;        /* -1: none                                        */
    enum gptjt_mask prompt_mask; /* PREFIX or CAUSAL                                */
    const char *prompt_mask_reason;
    bool prompt_mask_guessed;            /* from the name, for want of anything better: tell the user how to choose */
    const char *weights, *compute, *cpu; /* "fp16", "fp32", "avx2"                */
    const char *device;                  /* "cpu" or "cuda"                        */
    int threads;
    int n_ranks, n_ranks_here; /* that share the work of ..._many calls, and of them those on this machine; else 1 */
    int64_t parameters, weight_bytes;
    struct gptjt_hf_defaults hf_defaults;
};
GPTJT_API void gptjt_engine_info(const struct gptjt_engine *e, struct gptjt_info *out);

/* ---- Session ---------------------------------------------------------------------------------------------------- */

struct gptjt_session;

/* max_tokens: K/V rows held at once, over all sequences of one call; see gptjt_tokens_needed(), whose sum over as many
 * requests as shall run side by side is what the ..._many calls want. 0: one window. All working memory is allocated
 * here. Owned: gptjt_session_close().
 *
 * A session remembers its last prompt: a causal call whose prompt begins the same way computes only what is new; in
 * prefix mode a changed prompt is a different prompt everywhere, so only an identical one is reused. */
GPTJT_API enum gptjt_status gptjt_session_create(struct gptjt_session **out, struct gptjt_engine *e, size_t max_tokens);
GPTJT_API void gptjt_session_close(struct gptjt_session *s);

/* Called every few milliseconds to seconds while prompts (or the tokens to be scored) go through the layers: done of
 * total tokens' worth of work, over all requests of the call. Return false to stop: the call then returns
 * GPTJT_E_CANCELLED. */
typedef bool gptjt_progress_fn(void *user, size_t done, size_t total);
GPTJT_API void gptjt_session_set_progress(struct gptjt_session *s, gptjt_progress_fn *fn, void *user); /* NULL: none */

/* max_tokens for a prompt that n_sequences continuations of up to n_new tokens share. */
GPTJT_API size_t gptjt_tokens_needed(size_t n_prompt, size_t n_sequences, size_t n_new);

/* max_tokens for ..._many calls whose largest request needs `most` by itself: room for others beside it as far as that
 * is small against the memory that is free. */
GPTJT_API size_t gptjt_tokens_for_many(const struct gptjt_engine *e, size_t most);
GPTJT_API size_t gptjt_session_bytes(const struct gptjt_session *s); /* memory it allocated */

/* ---- Generate --------------------------------------------------------------------------------------------------- */

enum gptjt_finish { GPTJT_FINISH_LENGTH, GPTJT_FINISH_EOS, GPTJT_FINISH_STOP };
GPTJT_API const char *gptjt_finish_name(enum gptjt_finish f); /* "length", "eos_token", "stop_sequence" */

/* One of the most likely tokens at a place, with the natural log of the model's own probability of it. */
struct gptjt_top {
    int32_t id;
    float logprob;
};

/* A new token. Pointers are borrowed until the callback returns. */
struct gptjt_token {
    int sequence; /* 0 .. num_return_sequences - 1                                        */
    size_t index; /* 0 .. : which of its sequence's new tokens it is                      */
    int32_t id;
    float logprob;               /* as in struct gptjt_completion                                        */
    const struct gptjt_top *top; /* [n_top] what was most likely at its place; NULL when n_top is 0      */
    int n_top;
    const char *text; /* what became printable with it: whole UTF-8 characters, possibly none, never part
                         of a stop string; not terminated; NULL without a tokenizer           */
    size_t text_len;
    bool last;                /* the sequence ends with it ...                                        */
    enum gptjt_finish finish; /* ... because of this                                                  */
};

/* Called for every new token, in order within a sequence. Return false to stop: the call then returns
 * GPTJT_E_CANCELLED; of a batch, this request alone ends so. */
typedef bool gptjt_token_fn(void *user, const struct gptjt_token *t);

/* Called once, when the prompt has been computed and before the first token: logprobs [n_scored] and top
 * [n_scored][n_top] as in struct gptjt_generation, borrowed until it returns. The result as with gptjt_token_fn. */
typedef bool gptjt_prompt_fn(void *user, size_t n_scored, const float *logprobs, const struct gptjt_top *top);

struct gptjt_bias {
    int32_t id;
    float bias; /* finite */
};

enum { GPTJT_MOST_TOP = 20 };

/* The next token is chosen from the model's logits by these, in this order (which is transformers', and vLLM's):
 *
 *     logit_bias            l += bias
 *     repetition_penalty    of tokens in prompt and text so far: l = l > 0 ? l / penalty : l * penalty
 *     frequency_, presence_ of tokens in the text so far, each c times: l -= c * frequency + presence     (OpenAI)
 *     temperature           l /= temperature
 *     top_k                 the k largest; equals of the k-th stay
 *     top_p                 the fewest most likely whose probabilities sum to p at least
 *     typical_p             those whose -log p is nearest to the entropy of what is left, until their probabilities sum
 *                           to typical_p; equals of the last stay                              (Meister et al. 2022)
 *
 * Greedy decoding takes the largest after the first three, the lowest id of equals. */
struct gptjt_generate_request {
    const int32_t *prompt; /* [n_prompt], n_prompt >= 1                                                        */
    size_t n_prompt;
    enum gptjt_mask prompt_mask; /* AUTO: the engine's                                                               */
    int max_new_tokens;          /* >= 0; prompt and these must fit in the window                                    */
    int num_return_sequences;    /* >= 1; more than one only when sampling                                           */
    bool do_sample;              /* false: greedy                                                                    */
    double temperature;          /* >= 0; 0 is greedy                                                                */
    int top_k;                   /* 0: off                                                                           */
    double top_p;                /* (0, 1]; 1: off                                                                   */
    double typical_p;            /* (0, 1]; 1: off                                                                   */
    double repetition_penalty;   /* > 0; 1: off                                                                      */
    double presence_penalty;     /* 0: off; below: repeating is made more likely                                     */
    double frequency_penalty;    /* 0: off; likewise                                                                 */
    const struct gptjt_bias *logit_bias; /* [n_logit_bias]; a token's that come twice are added                      */
    int n_logit_bias;
    uint64_t seed;           /* same seed, same request: same tokens, whatever else runs                             */
    const char *const *stop; /* [n_stop] strings, none empty; the text ends before the first one that appears        */
    int n_stop;
    int n_top; /* 0 .. GPTJT_MOST_TOP: how many of the most likely tokens are reported at each place                  */
    /* The last n_scored < n_prompt tokens of the prompt get log-probabilities, too, as a continuation would: the prompt
     * proper, which prompt_mask is about, ends before them, and each of them sees only what is before it. */
    size_t n_scored;
    gptjt_prompt_fn *on_prompt; /* may be NULL                                                                       */
    gptjt_token_fn *on_token;   /* may be NULL                                                                       */
    void *user;
};

GPTJT_API void
gptjt_generate_init(struct gptjt_generate_request *r); /* greedy, 1 sequence, 20 new tokens, all else off */

struct gptjt_completion {
    int32_t *tokens;       /* [n_tokens] new tokens, a final end-of-text included                           */
    float *logprobs;       /* [n_tokens] natural log of the model's own probability, before any processing  */
    struct gptjt_top *top; /* [n_tokens][n_top] most likely first, of equals the lower id; NULL when n_top is 0 */
    size_t n_tokens;
    int n_top;
    char *text; /* without the stop string and end-of-text, broken UTF-8 replaced; NULL without a tokenizer */
    size_t text_len;
    enum gptjt_finish finish;
};

struct gptjt_generation {
    struct gptjt_completion *completions; /* [n] */
    int n;
    float *prompt_logprobs;       /* [n_scored] of the prompt's last tokens; NULL when n_scored is 0 */
    struct gptjt_top *prompt_top; /* [n_scored][n_top] at their places; NULL when either is 0 */
    size_t n_scored;
    int n_top;
    size_t n_reused;            /* prompt tokens that had been computed already */
    double prefill_s, decode_s; /* from when it joined to its first token, and from there to its last */
};

GPTJT_API enum gptjt_status gptjt_generate(struct gptjt_session *s, const struct gptjt_generate_request *r,
                                           struct gptjt_generation *out); /* owned: gptjt_generation_free() */
GPTJT_API void gptjt_generation_free(struct gptjt_generation *g);

/* n requests, as different as they like, through the model together: prompts in common steps, then a token a step for
 * every sequence that still goes on. Each result has the bits that gptjt_generate() gives the request alone.
 *
 * Requests begin in their order, as many as there is room for in the session; one that ends early leaves and makes
 * room for the next. Only a request that would not fit alone is refused, E_LIMIT, before any begins. All or nothing:
 * when one fails, or a callback stops, the call returns that status, with the request's index in the message if n > 1,
 * and no outputs. on_token calls of different requests are interleaved.
 * out: [n], each owned: gptjt_generation_free(). */
GPTJT_API enum gptjt_status gptjt_generate_many(struct gptjt_session *s, const struct gptjt_generate_request *requests,
                                                size_t n, struct gptjt_generation *out);

/* ---- Score ------------------------------------------------------------------------------------------------------ */

struct gptjt_span {
    const int32_t *ids; /* [n] */
    size_t n;
};

struct gptjt_score {
    float *logprobs;       /* [n] natural log p(token i | prompt, tokens before i), n as in the continuation */
    struct gptjt_top *top; /* [n][n_top] the most likely tokens at these places; NULL when n_top is 0 */
    size_t n;
    int n_top;
    double total; /* their sum */
    bool greedy;  /* every token is the most likely one at its place */
};

/* Scores each continuation after prompt, which only sees itself: no continuation leaks into its K/V. The prompt is
 * computed once, all continuations go through the model together. scores: [n], each owned: gptjt_scores_free(). */
GPTJT_API enum gptjt_status gptjt_score(struct gptjt_session *s, struct gptjt_span prompt, enum gptjt_mask prompt_mask,
                                        const struct gptjt_span *continuations, size_t n, struct gptjt_score *scores);
GPTJT_API void gptjt_scores_free(struct gptjt_score *scores, size_t n);

struct gptjt_score_request {
    struct gptjt_span prompt;
    enum gptjt_mask prompt_mask;            /* AUTO: the engine's */
    const struct gptjt_span *continuations; /* [n] */
    size_t n;                               /* 0: nothing is done for this prompt */
    int n_top;                              /* 0 .. GPTJT_MOST_TOP: as with generation */
};

/* n requests at once, each with the bits that gptjt_score() gives it alone: prompts in common steps, continuations in
 * common steps with each other and with the prompts of later requests. Order, room and failure are as with
 * gptjt_generate_many(). scores: one for every continuation of every request, those of requests[0] first. */
GPTJT_API enum gptjt_status gptjt_score_many(struct gptjt_session *s, const struct gptjt_score_request *requests,
                                             size_t n, struct gptjt_score *scores);

/* ---- Classify --------------------------------------------------------------------------------------------------- */

/* Which of n labels does the model expect after a few-shot prompt? The prompt is that of HELM's RAFT tasks, which is
 * the form GPT-JT was tuned on, and what `gptjt classify --show-prompt` shows; each label is scored as the continuation
 * " label\n", and probabilities are the softmax over the labels. A prompt too long for the window loses its last shots
 * first, then the end of its text. */
struct gptjt_classifier;

struct gptjt_shot {
    const char *const *values; /* [n_fields], or the one text */
    const char *label;         /* one of the labels, where those are given */
};

enum gptjt_normalize { GPTJT_NORMALIZE_NONE, GPTJT_NORMALIZE_LENGTH };

/* done of total texts; called often. Return false to stop: the call then returns GPTJT_E_CANCELLED. */
typedef bool gptjt_classify_fn(void *user, size_t done, size_t total);

/* All strings are UTF-8. */
struct gptjt_classifier_options {
    const char *const *labels; /* [n_labels]; n_labels 0: those of the shots, in order of first appearance */
    int n_labels;              /* at least two; none empty, repeated, or with white space at an end        */
    const char *instruction;   /* says what the task is, first in the prompt; NULL or "": none             */
    bool list_labels;          /* list the possible labels in the prompt                                   */
    const char *label_name;    /* the prompt's word before a label: "Label"                                */
    const char *text_name;     /* its word before a text: "Text"                                          */
    const char *const *fields; /* [n_fields] its words before the parts of a text, instead; NULL, 0: none  */
    int n_fields;
    const struct gptjt_shot *shots; /* [n_shots] labelled examples                                              */
    int n_shots;
    const char *shots_file; /* instead of shots: csv or jsonl, with columns of these fields, else one of texts; and
                               one of labels, named like label_name or "label"; NULL: none */
    enum gptjt_normalize normalize; /* LENGTH: compare log-likelihoods per token                                */
    bool calibrate;                 /* divide by each label's probability for a text without content            */
    const char *content_free;       /* that text: "N/A"                                                         */
    enum gptjt_mask prompt_mask;    /* AUTO: the engine's                                                       */
    gptjt_classify_fn *progress;    /* may be NULL                                                              */
    void *user;
};

GPTJT_API void gptjt_classifier_options_init(struct gptjt_classifier_options *o); /* no labels, no shots */

/* One thread's, like a session, of which it holds one. With calibrate this already runs the model. What o points to is
 * borrowed until it is closed. E_UNSUPPORTED for an engine without a tokenizer.
 * Owned: gptjt_classifier_close(), before the engine. */
GPTJT_API enum gptjt_status gptjt_classifier_open(struct gptjt_classifier **out, struct gptjt_engine *e,
                                                  const struct gptjt_classifier_options *o);
GPTJT_API void gptjt_classifier_close(struct gptjt_classifier *c);

/* What it chooses from: *labels [the result], borrowed until it is closed. */
GPTJT_API int gptjt_classifier_labels(const struct gptjt_classifier *c, const char *const **labels);

/* The prompt for a text, values as in a shot, as it would be scored. *prompt: owned, gptjt_free(). */
GPTJT_API enum gptjt_status gptjt_classifier_prompt(struct gptjt_classifier *c, const char *const *values,
                                                    char **prompt, size_t *len);

struct gptjt_classification {
    int best;    /* the most probable label; the first of equals */
    int n_shots; /* that the prompt had room for         */
    size_t prompt_tokens;
    size_t n_dropped; /* tokens cut from the end of the text  */
};

/* n texts, values [n][n_fields] (or [n]), through the model together as many at a time as is quickest, each with the
 * bits that it has alone. out [n], probabilities and log_likelihoods [n][n_labels]; the latter two may be NULL. All or
 * nothing; the message names the text (from 1) that cannot be classified. */
GPTJT_API enum gptjt_status gptjt_classify(struct gptjt_classifier *c, const char *const *values, size_t n,
                                           struct gptjt_classification *out, double *probabilities,
                                           double *log_likelihoods);

/* ---- Batch ------------------------------------------------------------------------------------------------------ */

/* Requests that come and go while others run, for servers: one thread owns the batch, adds requests, and calls
 * gptjt_batch_step() as long as there is something to do. Each result has the bits that gptjt_generate() or
 * gptjt_score() gives the request alone, whatever runs beside it and whenever it came.
 *
 * Requests begin in the order in which they were added, each as soon as the session has K/V room for all it may ever
 * need; so one that has begun never runs out, and nobody is overtaken for ever. A prompt too long to go along with
 * the tokens of running answers is put down between the blocks of its pass (some hundred tokens through one layer), and
 * they go on meanwhile: others' work delays a running answer's next token by longest_stall_s and a block at most. */
struct gptjt_batch;

struct gptjt_batch_options {
    double longest_stall_s; /* > 0, up to 3600. Short: answers run evenly, long prompts take longer to begin */
};

GPTJT_API void gptjt_batch_options_init(struct gptjt_batch_options *o); /* half a second */

/* s is the batch's until it is closed: other calls on it fail, E_ARG. Its K/V room, and one activation buffer more, are
 * all the memory that requests share. options NULL: defaults. E_UNSUPPORTED where ranks share the work of a session.
 * Owned: gptjt_batch_close(). */
GPTJT_API enum gptjt_status gptjt_batch_open(struct gptjt_batch **out, struct gptjt_session *s,
                                             const struct gptjt_batch_options *options);

/* How a request ends; called once for each, from within gptjt_batch_step(), _cancel() or _close(). status is of this
 * request alone, and unless it is GPTJT_OK gptjt_error() says why. Callbacks, on_token's too, may add requests to the
 * batch and cancel any, but neither step nor close it.
 *
 * g: NULL unless OK; what it points to is the callback's, to be released with gptjt_generation_free(g), now or (after a
 * copy of *g) later. scores: [n], NULL unless OK; likewise, gptjt_scores_free(scores, n). */
typedef void gptjt_generated_fn(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g);
typedef void gptjt_scored_fn(void *user, uint64_t id, enum gptjt_status status, struct gptjt_score *scores, size_t n);

/* Adds a request: *r is copied, what it points to is borrowed until done has been called. user is done's, r->user the
 * other callbacks'. *id, unless id is NULL: its number in the batch, never 0. E_ARG, E_LIMIT, E_NOMEM as with
 * gptjt_generate(); done is not called then. */
GPTJT_API enum gptjt_status gptjt_batch_generate(struct gptjt_batch *b, const struct gptjt_generate_request *r,
                                                 gptjt_generated_fn *done, void *user, uint64_t *id);
GPTJT_API enum gptjt_status gptjt_batch_score(struct gptjt_batch *b, const struct gptjt_score_request *r,
                                              gptjt_scored_fn *done, void *user, uint64_t *id);

/* Ends a request, done being called with GPTJT_E_CANCELLED before this returns. False: there is no such request, or
 * done has been called. Its K/V room is free for others at once; from a callback, or when its prompt is in one pass
 * with others' prompts (no more than some hundred tokens together), after that step or pass. */
GPTJT_API bool gptjt_batch_cancel(struct gptjt_batch *b, uint64_t id);

/* A bounded amount of work: a token for every running answer, or up to longest_stall_s and a block of a prompt's pass.
 * False: nothing is left to do. */
GPTJT_API bool gptjt_batch_step(struct gptjt_batch *b);

struct gptjt_batch_state {
    size_t n_waiting, n_running;    /* requests: waiting for their turn or room; begun                                */
    size_t n_sequences;             /* answers to which a token is added each step                                    */
    size_t tokens_free, tokens_all; /* K/V room: neither taken nor promised to those that run; of the session         */
    uint64_t n_done;                /* requests that have ended, however                                              */
    uint64_t prompt_tokens;         /* computed since it was opened, ...                                              */
    uint64_t reused_tokens;         /* ... not computed, because an earlier prompt began the same way, ...            */
    uint64_t new_tokens;            /* ... generated                                                                  */
};

GPTJT_API void gptjt_batch_state(const struct gptjt_batch *b, struct gptjt_batch_state *out);

/* Requests that have not ended do, with GPTJT_E_CANCELLED; their callbacks may not add others. Accepts NULL. */
GPTJT_API void gptjt_batch_close(struct gptjt_batch *b);

/* ---- Logits ----------------------------------------------------------------------------------------------------- */

/* logits: [vocab_size], valid during the call. Return false to stop. */
typedef bool gptjt_logits_fn(void *user, size_t position, const float *logits);

/* The logits at every position of one row whose first n_prefix tokens see each other, the rest what is before them.
 * n_prefix SIZE_MAX: as the engine's mask says (all of them in prefix mode, none in causal mode). */
GPTJT_API enum gptjt_status gptjt_logits(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix,
                                         gptjt_logits_fn *each, void *user);

#ifdef __cplusplus
}
#endif

#endif
