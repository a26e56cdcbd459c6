// SPDX-License-Identifier: Apache-2.0
/* Ranks that share the work of one: the requests of its gptjt_score_many() and gptjt_generate_many() calls.
 *
 *     leader       everything that a program does, as if it were alone; and part of the work
 *     helpers      the same model, and nothing but requests that come and results that go
 *
 * So whoever reads the input, writes results, shows progress and goes on after an interruption is one rank, needs no
 * file that another rank has, and does not know that there are others. A request has the bits that it has alone
 * whatever runs beside it (scheduler.h), and therefore wherever it runs: when a crew forms, its ranks compare what they
 * compute with, and the bits of a few scores.
 *
 * A call is cut into chunks, longest requests first (Graham 1969, LPT), which ranks take one after the other as they
 * finish: a machine that is half as fast takes half as many, and the shortest, at the end, level the rest out. A chunk
 * is a third of the rank's share of what is left then (guided self-scheduling, Polychronopoulos and Kuck 1987), but no
 * less than CREW_CHUNK_TOKENS (a step's rows, for each of its stages), or than a quarter of its share of the call if
 * that is less. A helper has its next chunk before it is through with one. Requests that generate are dealt out at once
 * instead, one chunk a rank: a step with half of the sequences takes nearly as long as one with all, since it has to
 * read the same weights.
 *
 * Messages are NET_CONTROL. Helpers say how far they are after every block of a pass, so that a leader who waits can
 * tell a slow rank from one that hangs: the transport's timeout is for the latter. Helpers wait for work without bound.
 */
#ifndef GPTJT_ENGINE_CREW_H
#define GPTJT_ENGINE_CREW_H

#include "engine/engine.h"
#include "net/transport.h"

enum { CREW_CHUNK_TOKENS = 512 };

struct crew;

/* On rank 0 of t, while ranks stride, 2 stride, ... are in crew_help(): stride > 1 where those between are stages of
 * their models (stage/stage.h). Owned: crew_close(). t is borrowed. */
enum status crew_open(struct crew **out, struct transport *t, int stride);

/* Calls of e's sessions are shared from here on, until crew_close(), as soon as all helpers have opened their model.
 * n_here: of the crew's ranks those on this machine, who share its memory. A helper that cannot or has another model
 * fails, and with it the transport. */
enum status crew_equip(struct crew *c, struct gptjt_engine *e, int n_here);

/* Sends the helpers home; with a failure if that is not possible. Accepts NULL. */
enum status crew_close(struct crew *c);

/* How a helper gets its engine, when the leader has one. *out is owned by crew_help(). */
typedef enum status crew_open_fn(struct gptjt_engine **out, void *user);

/* On the other ranks: works until it is sent home. OK also if there was never anything to do. */
enum status crew_help(struct transport *t, crew_open_fn *open, void *user);

/* The calls of a session whose engine has a crew, requests checked; as in gptjt.h. */
enum status crew_score(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                       struct gptjt_score *scores);
enum status crew_generate(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                          struct gptjt_generation *out);

/* Requests as chunks, for the test: order [n] lists them, chunk i being order[chunks[i].first] .. , n of them; chunks
 * has room for n. tokens: of a chunk at least, as above; 0: one chunk a rank. Returns how many, 0 without memory. */
struct crew_chunk {
    size_t first, n, work;
};
size_t crew_cut(size_t *order, struct crew_chunk *chunks, const size_t *work, size_t n, int n_ranks, size_t tokens);

#endif
