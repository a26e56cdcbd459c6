// SPDX-License-Identifier: Apache-2.0
/* Simulations of tasks have the times of ranks that do the same over a simulated network (net/shaped.h), whatever they
 * share; and simulated steps those of ranks that carry out the schedule and then talk to each other. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "dist/placement_step.h"
#include "dist/simulation.h"
#include "model/params.h"

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

/* relative: of the larger one. */
static void assert_near(double a, double b, double relative)
{
    if (!(fabs(a - b) <= relative * fmax(fabs(a), fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

/* Both sides add up a few hundred times in much the same order. */
static const double rounded = 1e-12;

/* ---- Tasks ---- */

enum { RANKS = 6, ROUNDS = 5, MAX_BYTES = 1 << 16 };

/* In a round each rank computes, and then sends to some others, from whom it waits for as much in the next round. */
struct program {
    double seconds[ROUNDS][RANKS];
    size_t bytes[ROUNDS][RANKS][RANKS]; /* from, to; 0: nothing */
};

static void draw(struct program *p, uint64_t seed)
{
    *p = (struct program){0};
    for (int t = 0; t < ROUNDS; t++)
        for (int i = 0; i < RANKS; i++) {
            const uint64_t stream = (uint64_t)(t * RANKS + i);
            p->seconds[t][i] = rng_uniform(seed, stream, 0) * 0.01;
            for (int k = 0; k < RANKS; k++)
                if (k != i && rng_u64(seed, stream, (uint64_t)k + 1) % 3 == 0)
                    p->bytes[t][i][k] = 1 + rng_u64(seed, stream, (uint64_t)k + 100) % MAX_BYTES;
        }
}

/* Sends are not waited for; a message's room stays until all have ended. */
static enum status do_program(struct transport *t, void *user)
{
    const struct program *p = user;
    enum { ROOM = (RANKS + 1) * MAX_BYTES };
    char *room = calloc(1, ROOM);
    struct net_request(*requests)[2][RANKS] = calloc(ROUNDS, sizeof *requests);
    if (!room || !requests) return fail(E_NOMEM, "out of memory");
    enum status s = OK;
    for (int round = 0; s == OK && round < ROUNDS; round++) {
        struct net_request *in = requests[round][0], *out = requests[round][1];
        for (int k = 0; s == OK && k < RANKS; k++)
            if (p->bytes[round][k][t->rank])
                s = net_recv(t, &in[k], k, NET_SYNC, round, room + k * MAX_BYTES, p->bytes[round][k][t->rank]);
        net_compute(t, p->seconds[round][t->rank]);
        for (int k = 0; s == OK && k < RANKS; k++)
            if (p->bytes[round][t->rank][k])
                s = net_send(t, &out[k], k, NET_SYNC, round, room + RANKS * MAX_BYTES, p->bytes[round][t->rank][k]);
        if (s == OK) s = net_wait_all(t, in, RANKS);
    }
    for (int round = 0; s == OK && round < ROUNDS; round++)
        s = net_wait_all(t, requests[round][1], RANKS);
    if (s != OK) net_fail(t, s);
    free(requests);
    free(room);
    return s;
}

static double simulate_program(const struct program *p, const struct shaped_net *net)
{
    struct simulation *s;
    int computed[ROUNDS][RANKS];
    must(simulation_create(&s, net));
    for (int t = 0; t < ROUNDS; t++)
        for (int i = 0; i < RANKS; i++) {
            computed[t][i] = simulation_compute(s, i, p->seconds[t][i]);
            if (t) simulation_after(s, computed[t][i], computed[t - 1][i]);
        }
    for (int t = 0; t < ROUNDS; t++)
        for (int i = 0; i < RANKS; i++)
            for (int k = 0; k < RANKS; k++) {
                if (!p->bytes[t][i][k]) continue;
                const int message = simulation_message(s, i, k, (double)p->bytes[t][i][k], 1);
                simulation_after(s, message, computed[t][i]);
                if (t + 1 < ROUNDS) simulation_after(s, computed[t + 1][k], message);
            }
    must(simulation_run(s));
    const double seconds = simulation_makespan(s);
    simulation_free(s);
    return seconds;
}

static void tasks_take_as_long_as_ranks_that_do_them(void **state)
{
    (void)state;
    static const int hosts[RANKS] = {0, 0, 1, 1, 2, 2};
    static const double cards[RANKS] = {5e6, 2e6, INFINITY, 0, 0, 0};
    struct shaped_link links[RANKS * RANKS];
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct program p;
        double seconds = 0;
        draw(&p, seed);
        for (int i = 0; i < RANKS * RANKS; i++) /* no two alike, and not the same both ways */
            links[i] = (struct shaped_link){rng_uniform(seed, 1000, (uint64_t)i) * 0.02,
                                            1e6 * (1 + 9 * rng_uniform(seed, 1001, (uint64_t)i)), INFINITY};
        for (int shared = 0; shared < 2; shared++) {
            const struct shaped_net net = {RANKS, links, shared ? hosts : NULL, shared ? cards : NULL};
            must(shaped_run(&net, do_program, &p, &seconds));
            assert_near(simulate_program(&p, &net), seconds, rounded);
        }
    }
}

static void tasks_wait_for_each_other(void **state)
{
    (void)state;
    struct shaped_link links[4];
    shaped_fill(links, 2, 0.5, 100);
    const struct shaped_net net = {2, links, NULL, NULL};
    struct simulation *s;
    must(simulation_create(&s, &net));
    const int a = simulation_compute(s, 0, 1), b = simulation_compute(s, 1, 4);
    const int first = simulation_message(s, 0, 1, 200, 1), second = simulation_message(s, 0, 1, 100, 3);
    const int last = simulation_compute(s, 1, 0);
    simulation_after(s, first, a);
    simulation_after(s, second, a);
    simulation_after(s, last, second);
    simulation_after(s, last, b);
    simulation_after(s, last, -1);
    must(simulation_run(s));
    assert_near(simulation_end(s, first), 1 + 2 + 0.5, DBL_EPSILON);
    assert_near(simulation_start(s, second), 1, DBL_EPSILON);
    assert_near(simulation_end(s, second), 1 + 2 + 1 + 3 * 0.5, DBL_EPSILON);
    assert_near(simulation_start(s, last), 5.5, DBL_EPSILON);
    assert_near(simulation_makespan(s), 5.5, DBL_EPSILON);
    simulation_free(s);
}

/* ---- Steps ---- */

static const struct gptj_config model = {
    .V = 700, .P = 64, .D = 32, .L = 6, .H = 4, .K = 8, .R = 8, .F = 96, .eps = 1e-5, .bos = -1, .eos = -1};

static struct recipe recipe_of(enum train_sync sync)
{
    return (struct recipe){.steps = 1,
                           .batch_size = 24,
                           .micro_batch_size = 2,
                           .data = {.seq_len = 50},
                           .wire_activations = TRAIN_WIRE_FP32,
                           .wire_gradients = TRAIN_WIRE_BF16,
                           .sync = (int)sync,
                           .sync_steps = 1,
                           .sync_probability = 1};
}

/* Two replicas of three stages on three machines, whose cards their stages share; and slow ways back. */
static const char shared_cards[] = "machine: {tflops: 1.0e-3, memory_gb: 1, devices: 2, nic_gbps: 0.05}\n"
                                   "link: {gbps: 0.08, latency_ms: 2}\n"
                                   "machines: [{name: a}, {name: b, tflops: 0.7e-3}, {name: c, nic_gbps: 0.02}]\n"
                                   "links: [{from: b, to: a, gbps: 0.01, latency_ms: 5}]\n";

enum { STAGES = 3, REPLICAS = 2, STEP_RANKS = STAGES * REPLICAS };

struct step {
    const struct cluster *cluster;
    enum schedule_kind kind;
    double seconds[STEP_RANKS][PASSES];
    size_t exchanged[STAGES];
    char *room; /* as large as any message; what is in it nobody looks at */
};

/* From the sizes of matrices: a product of [rows][I] and [I][O] is 2 rows I O operations, in F, in I and in W. */
static void fill_seconds(struct step *s)
{
    const double rows = 2 * 50, pairs = 2 * (50 * 51 / 2.0), D = 32, F = 96;
    for (int rank = 0; rank < STEP_RANKS; rank++) {
        const double speed = s->cluster->machines[s->cluster->hosts[rank]].flops_per_s;
        const double head = rank % STAGES == STAGES - 1 ? 2 * rows * D * 700 : 0;
        const double products = 2 * 2 * rows * (4 * D * D + 2 * D * F) + head, attention = 2 * 2 * 2 * pairs * D;
        const double forward = products + attention, inputs = products + 2 * attention, weights = products;
        s->seconds[rank][PASS_FORWARD] = forward / speed;
        s->seconds[rank][PASS_INPUTS] = inputs / speed;
        s->seconds[rank][PASS_WEIGHTS] = weights / speed;
        s->seconds[rank][PASS_BACKWARD] = (inputs + weights) / speed;
    }
}

enum { MICRO_BATCHES = 6, ACTIVATION_BYTES = 2 * 50 * 32 * 4, GRADIENT_BYTES = 2 * 50 * 32 * 2 };

struct mailbox {
    struct net_request in[2][MICRO_BATCHES], out[2][MICRO_BATCHES];
};

static enum status expect_messages(struct transport *t, const struct step *s, struct mailbox *box)
{
    const int stage = t->rank % STAGES;
    for (int i = 0; i < MICRO_BATCHES; i++) {
        if (stage > 0) TRY(net_recv(t, &box->in[0][i], t->rank - 1, NET_ACTIVATIONS, i, s->room, ACTIVATION_BYTES));
        if (stage + 1 < STAGES)
            TRY(net_recv(t, &box->in[1][i], t->rank + 1, NET_GRADIENTS, i, s->room, GRADIENT_BYTES));
    }
    return OK;
}

static enum status do_list(struct transport *t, const struct step *s, struct mailbox *box)
{
    struct schedule_action actions[3 * MICRO_BATCHES];
    const int stage = t->rank % STAGES, n = schedule_length(s->kind, MICRO_BATCHES);
    schedule_fill(actions, s->kind, STAGES, MICRO_BATCHES, stage);
    TRY(expect_messages(t, s, box));
    for (int i = 0; i < n; i++) {
        const struct schedule_action a = actions[i];
        const int back = a.pass != PASS_FORWARD, to = schedule_sends(a, stage, STAGES);
        if (a.pass != PASS_WEIGHTS) TRY(net_wait(t, &box->in[back][a.micro_batch]));
        net_compute(t, s->seconds[t->rank][a.pass]);
        if (to >= 0)
            TRY(net_send(t, &box->out[back][a.micro_batch], t->rank - stage + to,
                         back ? NET_GRADIENTS : NET_ACTIVATIONS, a.micro_batch, s->room,
                         back ? GRADIENT_BYTES : ACTIVATION_BYTES));
    }
    return OK;
}

/* Of two replicas a ring and direct messages are the same: one there and one back, each when the other's has come. */
static enum status exchange(struct transport *t, const struct step *s)
{
    const int stage = t->rank % STAGES, other = (t->rank + STAGES) % STEP_RANKS;
    struct net_request in[2] = {{0}}, out[2] = {{0}};
    const size_t bytes = s->exchanged[stage] / 2;
    for (int i = 0; i < 2; i++)
        TRY(net_recv(t, &in[i], other, NET_SYNC, i, s->room, bytes));
    for (int i = 0; i < 2; i++) {
        TRY(net_send(t, &out[i], other, NET_SYNC, i, s->room, bytes));
        TRY(net_wait(t, &in[i]));
    }
    return net_wait_all(t, out, 2);
}

static enum status do_step(struct transport *t, void *user)
{
    const struct step *s = user;
    struct mailbox *box = calloc(1, sizeof *box);
    if (!box) return fail(E_NOMEM, "out of memory");
    enum status status = do_list(t, s, box);
    if (status == OK && s->exchanged[0]) status = exchange(t, s);
    if (status == OK) status = net_wait_all(t, box->out[0], 2 * MICRO_BATCHES);
    if (status != OK) net_fail(t, status);
    free(box);
    return status;
}

static double do_it(struct step *s, const struct shaped_net *net)
{
    double seconds = 0;
    must(shaped_run(net, do_step, s, &seconds));
    return seconds;
}

static void compare_step(const struct cluster *c, enum train_sync sync, int wire, enum schedule_kind kind)
{
    struct recipe r = recipe_of(sync);
    struct step s = {.cluster = c, .kind = kind, .room = calloc(1, 1 << 20)};
    struct placement_step_model *m;
    struct placement_step found;
    struct placement p;
    struct shaped_net net;
    assert_non_null(s.room);
    r.sync_wire = wire;
    fill_seconds(&s);
    must(placement_create(&p, &(struct placement_task){STAGES, REPLICAS, 1, 1}, c->n_devices));
    must(placement_step_model_create(&m, &(struct step_task){&model, &r}, STAGES, REPLICAS, kind, c));
    must(placement_step_simulate(&found, m, &p));
    must(cluster_net(&net, c, NULL, c->n_devices));
    assert_non_null(net.hosts);
    assert_near(found.pipeline_s, do_it(&s, &net), rounded);
    for (int stage = 0; stage < STAGES; stage++) { /* of two replicas: the vector, once */
        const size_t values = params_values(&model, 2 * stage, 2 * stage + 2);
        s.exchanged[stage] = values * (wire == TRAIN_WIRE_FP16 ? 2 : 4);
        assert_true(s.exchanged[stage] / 2 < 1 << 20);
    }
    assert_near(found.step_s, do_it(&s, &net), rounded);
    assert_true(found.step_s > found.pipeline_s);
    cluster_net_free(&net);
    placement_step_model_free(m);
    placement_free(&p);
    free(s.room);
}

static void steps_take_as_long_as_ranks_that_do_them(void **state)
{
    (void)state;
    struct cluster c;
    must(cluster_read_text(&c, shared_cards, strlen(shared_cards), "t.yaml"));
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++) {
        compare_step(&c, SYNC_SHARDED, 0, (enum schedule_kind)kind);
        compare_step(&c, SYNC_PROXSKIP, 0, (enum schedule_kind)kind);
        compare_step(&c, SYNC_DILOCO, TRAIN_WIRE_FP16, (enum schedule_kind)kind);
    }
    cluster_free(&c);
}

static struct placement_step step_of(const struct step_task *task, int stages, int replicas, const char *text)
{
    struct cluster c;
    struct placement p;
    struct placement_step_model *m;
    struct placement_step s;
    must(cluster_read_text(&c, text, strlen(text), "t.yaml"));
    must(placement_create(&p, &(struct placement_task){stages, replicas, 1, 1}, c.n_devices));
    must(placement_step_model_create(&m, task, stages, replicas, SCHEDULE_GPIPE, &c));
    must(placement_step_simulate(&s, m, &p));
    placement_step_model_free(m);
    placement_free(&p);
    cluster_free(&c);
    return s;
}

static const char fast[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\nlink: {gbps: 8, latency_ms: 0.001}\n"
                           "machines: [{name: a}, {name: b}]\n";
static const char slow[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\nlink: {gbps: 0.008, latency_ms: 0.001}\n"
                           "machines: [{name: a}, {name: b}]\n";

/* Six layers, whose rings take as long as each other, behind the six parts of the last backward pass. */
static void sums_of_gradients_overlap_with_the_last_pass(void **state)
{
    (void)state;
    struct recipe r = recipe_of(SYNC_ALLREDUCE);
    const double rows = 2 * 50, pairs = 2 * (50 * 51 / 2.0), D = 32, F = 96, speed = 1e9;
    const double products = 6 * 2 * rows * (4 * D * D + 2 * D * F) + 2 * rows * D * 700;
    const double attention = 6 * 2 * 2 * pairs * D;
    const double backward = (2 * products + 2 * attention) / speed, layer = backward / 6;
    const double bytes = 4.0 * (double)params_values(&model, 0, 6) / 6;
    const double quick = 2 * (1e-6 / 6 + bytes / 2 / 1e9), long_one = 2 * (1e-6 / 6 + bytes / 2 / 1e6);
    assert_true(quick < layer && long_one > layer);
    struct placement_step s = step_of(&(struct step_task){&model, &r, false}, 1, 2, fast);
    assert_near(s.step_s, s.pipeline_s + quick, rounded); /* only the last layer's is seen */
    s = step_of(&(struct step_task){&model, &r, false}, 1, 2, slow);
    assert_near(s.step_s, s.pipeline_s - 5 * layer + 6 * long_one, rounded);
}

/* What travels beside the passes takes its part of the network from them. Two replicas of two stages, four machines
 * with a card each. */
static void exchanges_beside_passes_slow_their_messages(void **state)
{
    (void)state;
    static const char cards[] = "machine: {tflops: 1.0e-3, memory_gb: 1, nic_gbps: 0.01}\n"
                                "link: {gbps: 1, latency_ms: 0}\nmachines: [{name: m, count: 4}]\n";
    struct recipe r = recipe_of(SYNC_COCKTAIL);
    r.cocktail_sample = r.cocktail_keep = 1;
    r.cocktail_bits = 32;
    const struct placement_step s = step_of(&(struct step_task){&model, &r, false}, 2, 2, cards);
    const double alone = 4.0 * (double)params_values(&model, 0, 3) / (0.01e9 / 8);
    assert_true(s.step_s > s.pipeline_s * 1.01 && s.step_s > alone * 1.01);
    assert_true(s.step_s < s.pipeline_s + alone); /* a card that is shared is never idle meanwhile */
    assert_near(s.busy * s.step_s, (1 - s.bubble) * s.pipeline_s, rounded);
}

/* Rings of unequal links: a step of one waits for the others only in turn, so the estimate is too much. */
static void estimates_are_not_less_where_nothing_is_shared(void **state)
{
    (void)state;
    static const char uneven[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\nlink: {gbps: 0.08, latency_ms: 2}\n"
                                 "machines: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
                                 "links: [{between: [a, b], latency_ms: 200}, {from: c, to: d, gbps: 0.02}]\n";
    struct recipe r = recipe_of(SYNC_SHARDED);
    struct cluster c;
    struct placement p;
    struct placement_step_model *m;
    struct placement_step s;
    must(cluster_read_text(&c, uneven, strlen(uneven), "t.yaml"));
    must(placement_create(&p, &(struct placement_task){1, 4, 1, 1}, c.n_devices));
    must(placement_step_model_create(&m, &(struct step_task){&model, &r}, 1, 4, SCHEDULE_1F1B, &c));
    must(placement_step_simulate(&s, m, &p));
    const struct placement_step estimate = placement_step_estimate(m, &p);
    assert_true(s.step_s < estimate.step_s);
    assert_near(s.pipeline_s, estimate.pipeline_s, rounded);
    /* Every chunk passes every link but one or two of the ring, twice; the slowest link carries six chunks. */
    const double chunk = (double)params_values(&model, 0, 6);
    assert_true(s.sync_s > 6 * chunk / (0.02e9 / 8) && s.sync_s > 0.2 + 2e-3);
    placement_step_model_free(m);
    placement_free(&p);
    cluster_free(&c);
}

/* Two micro-batches through two stages, all messages on their way for a minute and a half: four of them one after the
 * other where ranks wait for what they send, else two. */
static void blocking_ranks_wait_for_what_they_send(void **state)
{
    (void)state;
    static const char far[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\nlink: {gbps: 1000, latency_ms: 90000}\n"
                              "machines: [{name: a}, {name: b}]\n";
    struct recipe r = recipe_of(SYNC_ALLREDUCE);
    r.batch_size = 4;
    const double rows = 2 * 50, pairs = 2 * (50 * 51 / 2.0), D = 32, F = 96, speed = 1e9, delay = 90;
    const double blocks = 3 * 2 * rows * (4 * D * D + 2 * D * F), attention = 3 * 2 * 2 * pairs * D;
    const double first = (blocks + attention) / speed, last = first + 2 * rows * D * 700 / speed;
    const double first_back = (2 * blocks + 2 * attention) / speed, last_back = first_back + 2 * (last - first);
    const double up = delay + ACTIVATION_BYTES / 1.25e11, down = delay + GRADIENT_BYTES / 1.25e11;
    const struct placement_step waits = step_of(&(struct step_task){&model, &r, true}, 2, 1, far);
    assert_near(waits.step_s, 2 * first + 2 * up + last + 2 * last_back + 2 * down + first_back, rounded);
    const struct placement_step goes_on = step_of(&(struct step_task){&model, &r, false}, 2, 1, far);
    assert_near(goes_on.step_s, first + up + 2 * last + 2 * last_back + down + first_back, rounded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_wait_for_each_other),
        cmocka_unit_test(tasks_take_as_long_as_ranks_that_do_them),
        cmocka_unit_test(steps_take_as_long_as_ranks_that_do_them),
        cmocka_unit_test(sums_of_gradients_overlap_with_the_last_pass),
        cmocka_unit_test(exchanges_beside_passes_slow_their_messages),
        cmocka_unit_test(blocking_ranks_wait_for_what_they_send),
        cmocka_unit_test(estimates_are_not_less_where_nothing_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
