// SPDX-License-Identifier: Apache-2.0
/* gptjt plan without a cluster: what each stage of a pipeline does when. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/plan.h"
#include "dist/schedule_picture.h"

struct picture {
    const struct plan_settings *set;
    enum schedule_kind kind;
    struct schedule schedule;
    struct schedule_timeline timeline;
};

static enum status open_picture(struct picture *p)
{
    const struct plan_settings *set = p->set;
    const struct schedule_message_time message = {set->latency_s, set->transfer_s};
    const struct schedule_times times = {.stage = {set->forward_s, set->backward_s / 2, set->backward_s / 2},
                                         .boundary = {message, message}};
    TRY(schedule_create(&p->schedule, p->kind, (int)set->stages, (int)set->micro_batches));
    TRY(schedule_timeline_create(&p->timeline, &p->schedule));
    schedule_simulate(&p->timeline, &p->schedule, &times);
    return OK;
}

static void close_picture(struct picture *p)
{
    schedule_timeline_free(&p->timeline);
    schedule_free(&p->schedule);
}

/* ---- Text ---- */

static int columns(void)
{
    enum { NO_TERMINAL = 160, BESIDE = 20 }; /* names of stages and how busy they are */
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col <= 2 * BESIDE) return NO_TERMINAL;
    return size.ws_col - BESIDE;
}

static void put_held(struct buf *out, const struct schedule *s)
{
    bool split = false;
    buf_puts(out, "micro-batches held at most, stage by stage:");
    for (int i = 0; i < s->n_stages; i++) {
        const struct schedule_memory m = schedule_memory(&s->lists[i]);
        buf_printf(out, " %d", m.activations);
        split |= m.whole != m.activations;
    }
    if (split) buf_puts(out, "; whole, not only what W needs:");
    for (int i = 0; split && i < s->n_stages; i++)
        buf_printf(out, " %d", schedule_memory(&s->lists[i]).whole);
    buf_puts(out, "\n");
}

static void put_text(struct buf *out, const struct picture *p)
{
    const struct plan_settings *set = p->set;
    if (out->len) buf_puts(out, "\n");
    buf_printf(out, "%s: %d stages, %d micro-batches\n", schedule_name(p->kind), (int)set->stages,
               (int)set->micro_batches);
    schedule_text(out, &p->schedule, &p->timeline, columns(), cli_wants_colours());
    put_held(out, &p->schedule);
}

/* ---- JSON ---- */

static json_t *stage_json(const struct picture *p, int stage)
{
    const struct schedule_list *list = &p->schedule.lists[stage];
    const struct schedule_memory held = schedule_memory(list);
    const struct schedule_stage_run *run = &p->timeline.stages[stage];
    json_t *actions = json_array();
    for (int i = 0; i < list->n; i++)
        json_append(&actions, json_pack("[s, o, o]", schedule_action_text(list->actions[i]).text,
                                        cli_json_number(run->spans[i].start_s), cli_json_number(run->spans[i].end_s)));
    return json_pack("{s:o, s:i, s:i, s:i, s:o}", "busy", cli_json_number(run->busy), "activations", held.activations,
                     "whole", held.whole, "waiting", held.waiting, "actions", actions);
}

static json_t *picture_json(const struct picture *p)
{
    json_t *stages = json_array();
    for (int i = 0; i < p->schedule.n_stages; i++)
        json_append(&stages, stage_json(p, i));
    return json_pack("{s:s, s:i, s:o, s:o, s:o}", "schedule", schedule_name(p->kind), "micro_batches",
                     p->schedule.n_micro_batches, "makespan_s", cli_json_number(p->timeline.makespan_s), "bubble",
                     cli_json_number(p->timeline.bubble), "stages", stages);
}

/* ---- Running ---- */

static enum status write_svg(const struct picture *p)
{
    char title[96];
    struct buf page = {0};
    snprintf(title, sizeof title, "%s, %d stages, %d micro-batches", schedule_name(p->kind), p->schedule.n_stages,
             p->schedule.n_micro_batches);
    schedule_svg(&page, &p->schedule, &p->timeline, title);
    enum status s = buf_status(&page);
    if (s == OK) s = cli_write_page(&p->set->common, p->set->svg, &page);
    buf_free(&page);
    return s;
}

static enum status add_picture(struct picture *p, struct buf *text, json_t **list)
{
    TRY(open_picture(p));
    if (p->set->json)
        json_append(list, picture_json(p));
    else
        put_text(text, p);
    return p->set->svg ? write_svg(p) : OK;
}

enum status plan_schedules(const struct plan_settings *set)
{
    struct buf text = {0};
    json_t *list = json_array();
    enum status s = OK;
    for (int k = 0; s == OK && k < SCHEDULE_KINDS; k++) {
        struct picture p = {.set = set, .kind = (enum schedule_kind)k};
        if (!plan_wants(set, p.kind)) continue;
        s = add_picture(&p, &text, &list);
        close_picture(&p);
    }
    if (s == OK) s = buf_status(&text);
    if (s == OK && !set->json) fwrite(text.data, 1, text.len, stdout);
    if (s == OK && set->json)
        s = cli_json_print(json_pack("{s:o}", "schedules", list));
    else
        json_decref(list);
    buf_free(&text);
    return s;
}
