// SPDX-License-Identifier: Apache-2.0
#include "train/report.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "html/chart.h"
#include "html/page.h"
#include "train/report_metrics.h"

enum { MAX_RECIPE_BYTES = 1 << 20, MAX_LINES = 64, MAX_PATH = 4096 };

struct run {
    const char *name; /* the directory's last part, borrowed */
    struct report_metrics metrics;
    json_t *recipe;  /* or NULL */
    long checkpoint; /* the last one's step, -1: none */
};

/* ---- Reading ---- */

static long last_checkpoint(const char *dir)
{
    long last = -1;
    DIR *d = opendir(dir);
    if (!d) return -1;
    for (const struct dirent *e; (e = readdir(d));) {
        static const char name[] = "checkpoint-";
        char *end;
        if (strncmp(e->d_name, name, strlen(name))) continue;
        const long step = strtol(e->d_name + strlen(name), &end, 10);
        if (!*end && step > last) last = step;
    }
    closedir(d);
    return last;
}

static const char *last_part(const char *path)
{
    const char *part = path;
    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1]) part = c + 1;
    return part;
}

static enum status read_run(struct run *r, const char *dir)
{
    char path[MAX_PATH];
    r->name = last_part(dir);
    if (!file_is_dir(dir)) return fail(E_IO, "%s: is not a run's directory", dir);
    TRY(file_join(path, sizeof path, dir, "metrics.jsonl"));
    TRY(report_metrics_read(&r->metrics, path));
    TRY(file_join(path, sizeof path, dir, "recipe.json"));
    r->checkpoint = last_checkpoint(dir);
    if (!file_exists(path)) return OK;
    TRY(json_read_file(&r->recipe, path, MAX_RECIPE_BYTES));
    return json_is_object(r->recipe) ? OK : fail(E_FORMAT, "%s: is not a JSON object", path);
}

static void free_run(struct run *r)
{
    report_metrics_free(&r->metrics);
    json_decref(r->recipe);
}

/* ---- Numbers of a run ---- */

static double last_of(const struct report_curve *c)
{
    return c && c->n ? c->y[c->n - 1] : NAN;
}

/* Seconds of the run, and tokens in them: a line tells of its own step and stands for those since the one before. */
static double whole_time(double *tokens, const struct report_metrics *m)
{
    const struct report_curve *seconds = report_metrics_find(m, "seconds"),
                              *rate = report_metrics_find(m, "tokens_per_s");
    double sum = 0;
    *tokens = 0;
    for (size_t i = 0; seconds && i < seconds->n; i++) {
        const double time = seconds->y[i] * (seconds->x[i] - (i ? seconds->x[i - 1] : 0));
        sum += time;
        *tokens += rate && rate->n == seconds->n ? time * rate->y[i] : NAN;
    }
    return seconds ? sum : NAN;
}

static double last_step(const struct report_metrics *m)
{
    double last = 0;
    for (int i = 0; i < m->n_curves; i++)
        if (m->curves[i].n) last = fmax(last, m->curves[i].x[m->curves[i].n - 1]);
    return last;
}

static double first_step(const struct report_metrics *m)
{
    double first = INFINITY;
    for (int i = 0; i < m->n_curves; i++)
        if (m->curves[i].n) first = fmin(first, m->curves[i].x[0]);
    return first;
}

static void cell(struct buf *out, double x)
{
    buf_puts(out, "<td>");
    if (isfinite(x))
        html_number(out, x);
    else
        buf_puts(out, "&ndash;");
    buf_puts(out, "</td>");
}

/* ---- What has come out ---- */

static void step_cell(struct buf *out, const struct run *r)
{
    const json_t *steps = json_object_get(r->recipe, "steps");
    buf_puts(out, "<td>");
    html_number(out, last_step(&r->metrics));
    if (json_is_integer(steps)) buf_printf(out, " of %s", amount_count(json_integer_value(steps)).text);
    buf_puts(out, "</td>");
}

static void loss_cell(struct buf *out, const struct run *r)
{
    cell(out, last_of(report_metrics_find(&r->metrics, "loss")));
}

/* The least validation loss, and when. */
static void validation_cell(struct buf *out, const struct run *r)
{
    const struct report_curve *c = report_metrics_find(&r->metrics, "validation_loss");
    size_t best = 0;
    for (size_t i = 1; c && i < c->n; i++)
        if (c->y[i] < c->y[best]) best = i;
    if (!c || !c->n) {
        cell(out, NAN);
        return;
    }
    buf_puts(out, "<td>");
    html_number(out, c->y[best]);
    buf_puts(out, " at step ");
    html_number(out, c->x[best]);
    buf_puts(out, "</td>");
}

static void checkpoint_cell(struct buf *out, const struct run *r)
{
    cell(out, r->checkpoint < 0 ? NAN : (double)r->checkpoint);
}

static void tokens_cell(struct buf *out, const struct run *r)
{
    cell(out, last_of(report_metrics_find(&r->metrics, "tokens")));
}

static void duration_cell(struct buf *out, const struct run *r)
{
    double tokens;
    const double seconds = whole_time(&tokens, &r->metrics);
    if (!(seconds < 1e12)) {
        cell(out, NAN);
        return;
    }
    const long long s = llround(seconds);
    buf_puts(out, "<td>");
    if (s >= 86400) buf_printf(out, "%lld d ", s / 86400);
    buf_printf(out, "%lld:%02lld:%02lld</td>", s / 3600 % 24, s / 60 % 60, s % 60);
}

static void speed_cell(struct buf *out, const struct run *r)
{
    double tokens;
    const double seconds = whole_time(&tokens, &r->metrics);
    cell(out, tokens / seconds);
}

static void skipped_cell(struct buf *out, const struct run *r)
{
    const struct report_curve *c = report_metrics_find(&r->metrics, "skipped");
    cell(out, c ? (double)c->n : 0);
}

static void draw_runs_head(struct buf *out, const struct run *runs, int n)
{
    if (n == 1) return;
    buf_puts(out, "<tr class=\"runs\"><th></th>");
    for (int i = 0; i < n; i++) {
        buf_printf(out, "<th><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"line c%d\" d=\"M1 4h20\"/></svg>",
                   i);
        html_escape(out, runs[i].name);
        buf_puts(out, "</th>");
    }
    buf_puts(out, "</tr>\n");
}

static void draw_summary(struct buf *out, const struct run *runs, int n)
{
    static const struct {
        const char *label;
        void (*draw)(struct buf *out, const struct run *r);
    } rows[] = {
        {"step", step_cell},
        {"loss", loss_cell},
        {"best validation loss", validation_cell},
        {"last checkpoint", checkpoint_cell},
        {"tokens", tokens_cell},
        {"duration", duration_cell},
        {"tokens/s on average", speed_cell},
        {"skipped steps", skipped_cell},
    };
    buf_puts(out, "<div class=\"wide\"><table class=\"numbers\">\n");
    draw_runs_head(out, runs, n);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        buf_printf(out, "<tr><th>%s</th>", rows[i].label);
        for (int k = 0; k < n; k++)
            rows[i].draw(out, &runs[k]);
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</table></div>\n");
}

/* ---- Charts ---- */

struct page {
    struct buf *out;
    const struct run *runs;
    int n;
    double first, last; /* steps: all charts are drawn over the same ones */
};

/* Lines being collected; their labels live as long. */
struct lines {
    struct html_curve all[MAX_LINES];
    char labels[MAX_LINES][160];
    int n;
};

static void add_line(struct lines *l, const struct report_curve *c, const char *label, const char *run, int colour,
                     int dash, bool dots)
{
    if (!c || !c->n || l->n == MAX_LINES) return;
    char *text = l->labels[l->n];
    snprintf(text, sizeof l->labels[0], "%s%s%s", label, run && *label ? ", " : "", run ? run : "");
    l->all[l->n++] = (struct html_curve){text, c->x, c->y, c->n, colour, dash, dots};
}

/* A number of every run, in the run's colour. */
static void add_number(struct lines *l, const struct page *p, const char *name, const char *label)
{
    for (int i = 0; i < p->n; i++)
        add_line(l, report_metrics_find(&p->runs[i].metrics, name), label, p->n > 1 ? p->runs[i].name : NULL, i, 0,
                 false);
}

/* Training in the run's colour; validation in another, or, where colours tell runs apart, dashed. */
static void add_losses(struct lines *l, const struct page *p)
{
    add_number(l, p, "loss", "training");
    for (int i = 0; i < p->n; i++)
        add_line(l, report_metrics_find(&p->runs[i].metrics, "validation_loss"), "validation",
                 p->n > 1 ? p->runs[i].name : NULL, p->n > 1 ? i : 1, p->n > 1, true);
}

/* Colours say the source, dashes the run. */
static void add_sources(struct lines *l, const struct page *p, const char *group, bool dots)
{
    const char *seen[MAX_LINES];
    int n_seen = 0;
    for (int i = 0; i < p->n; i++) {
        const struct report_metrics *m = &p->runs[i].metrics;
        for (int k = 0; k < m->n_curves; k++) {
            const char *source = report_metrics_member(&m->curves[k], group);
            int colour = 0;
            if (!source) continue;
            while (colour < n_seen && strcmp(seen[colour], source))
                colour++;
            if (colour == MAX_LINES) continue;
            if (colour == n_seen) seen[n_seen++] = source;
            add_line(l, &m->curves[k], source, p->n > 1 ? p->runs[i].name : NULL, colour, i, dots);
        }
    }
}

static struct html_curves chart(const struct page *p, const struct lines *l, const char *title, const char *unit)
{
    return (struct html_curves){
        .title = title, .unit = unit, .first = p->first, .last = p->last, .lines = l->all, .n_lines = l->n};
}

static void draw_losses(const struct page *p)
{
    static const char unit[] = "nats a target";
    struct lines loss = {.n = 0}, sources = {.n = 0}, validation = {.n = 0};
    add_losses(&loss, p);
    add_sources(&sources, p, "loss_by_source", false);
    add_sources(&validation, p, "validation_loss_by_source", true);
    const struct html_curves charts[] = {chart(p, &loss, "Loss", unit), chart(p, &sources, "Loss by source", unit),
                                         chart(p, &validation, "Validation loss by source", unit)};
    for (size_t i = 0; i < COUNT_OF(charts); i++)
        html_curves(p->out, &charts[i]);
}

/* A norm that jumps by orders of magnitude is seen only on a logarithmic scale. */
static bool spans_much(const struct lines *l)
{
    double least = INFINITY, most = 0;
    for (int i = 0; i < l->n; i++) {
        for (size_t k = 0; k < l->all[i].n; k++) {
            if (l->all[i].y[k] > 0) least = fmin(least, l->all[i].y[k]);
            most = fmax(most, l->all[i].y[k]);
        }
    }
    return most > 30 * least;
}

static void draw_optimizer(const struct page *p)
{
    struct lines rate = {.n = 0}, norm = {.n = 0}, scale = {.n = 0};
    add_number(&rate, p, "learning_rate", "");
    add_number(&norm, p, "grad_norm", "");
    add_number(&scale, p, "loss_scale", p->n > 1 ? "" : "loss scale");
    struct html_curves c = chart(p, &rate, "Learning rate", "");
    html_curves(p->out, &c);
    c = chart(p, &norm, "Gradient norm", "before clipping");
    c.logarithmic = spans_much(&norm);
    html_curves(p->out, &c);
    c = chart(p, &scale, "Loss scale", "");
    c.logarithmic = true;
    const struct report_curve *skipped = p->n == 1 ? report_metrics_find(&p->runs[0].metrics, "skipped") : NULL;
    if (skipped) { /* marks have no colour that could say whose they are, so only one run has them */
        c.marks = skipped->x;
        c.n_marks = skipped->n;
        c.mark_label = "skipped steps";
    }
    html_curves(p->out, &c);
}

static void draw_speed(const struct page *p)
{
    struct lines tokens = {.n = 0}, flops = {.n = 0};
    add_number(&tokens, p, "tokens_per_s", "");
    add_number(&flops, p, "tflops", "");
    struct html_curves c = chart(p, &tokens, "Throughput", "tokens/s");
    html_curves(p->out, &c);
    c = chart(p, &flops, "Throughput", "TFLOP/s");
    html_curves(p->out, &c);
}

static void draw_charts(struct buf *out, const struct run *runs, int n)
{
    struct page p = {out, runs, n, INFINITY, 0};
    for (int i = 0; i < n; i++) {
        p.first = fmin(p.first, first_step(&runs[i].metrics));
        p.last = fmax(p.last, last_step(&runs[i].metrics));
    }
    buf_puts(out, "<div class=\"charts\">\n");
    draw_losses(&p);
    draw_optimizer(&p);
    draw_speed(&p);
    buf_puts(out, "</div>\n");
}

/* ---- Settings ---- */

/* A source: its name, then what else it says. */
static void draw_sources(struct buf *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *source = json_array_get(list, i);
        buf_puts(out, "<p>");
        for (void *at = json_object_iter((json_t *)(uintptr_t)source); at;
             at = json_object_iter_next((json_t *)(uintptr_t)source, at)) {
            const json_t *v = json_object_iter_value(at);
            if (json_is_null(v)) continue;
            html_escape(out, json_object_iter_key(at));
            buf_puts(out, " <b>");
            html_json(out, v);
            buf_puts(out, "</b> ");
        }
        buf_puts(out, "</p>");
    }
}

static bool differs(const struct run *runs, int n, const char *key)
{
    for (int i = 1; i < n; i++) {
        const json_t *a = json_object_get(runs[0].recipe, key), *b = json_object_get(runs[i].recipe, key);
        if (a != b && !json_equal(a, b)) return true;
    }
    return false;
}

static void draw_setting(struct buf *out, const struct run *runs, int n, const char *key)
{
    buf_puts(out, n > 1 && differs(runs, n, key) ? "<tr class=\"differs\"><th>" : "<tr><th>");
    html_escape(out, key);
    buf_puts(out, "</th>");
    for (int i = 0; i < n; i++) {
        const json_t *v = json_object_get(runs[i].recipe, key);
        buf_puts(out, "<td>");
        if (json_is_array(v) && json_is_object(json_array_get(v, 0)))
            draw_sources(out, v);
        else
            html_json(out, v);
        buf_puts(out, "</td>");
    }
    buf_puts(out, "</tr>\n");
}

/* Every key once, in the order of the run that has it first. */
static void draw_settings(struct buf *out, const struct run *runs, int n)
{
    buf_puts(out, "<h2>Settings</h2>\n<div class=\"wide\"><table>\n");
    draw_runs_head(out, runs, n);
    for (int i = 0; i < n; i++) {
        for (void *at = json_object_iter(runs[i].recipe); at; at = json_object_iter_next(runs[i].recipe, at)) {
            bool seen = false;
            for (int k = 0; k < i; k++)
                seen |= json_object_get(runs[k].recipe, json_object_iter_key(at)) != NULL;
            if (!seen) draw_setting(out, runs, n, json_object_iter_key(at));
        }
        if (!runs[i].recipe) {
            buf_puts(out, "<tr><th>");
            html_escape(out, runs[i].name);
            buf_puts(out, "</th><td>has no recipe.json</td></tr>\n");
        }
    }
    buf_puts(out, "</table></div>\n");
}

/* ---- The page ---- */

/* Values under the pointer, read back from the curves as they are drawn: the page does not hold its numbers twice. */
static const char script[] =
    "for(const svg of document.querySelectorAll('svg.chart')){\n"
    "const [l,r,t,b]=svg.dataset.box.split(' ').map(Number),[x0,x1,y0,y1,log]=svg.dataset.range.split(' "
    "').map(Number);\n"
    "const lines=[...svg.querySelectorAll('polyline')].map(p=>({label:p.dataset.label,at:[...p.points]}));\n"
    "const tip=document.createElement('div'),cur=document.createElementNS(svg.namespaceURI,'path');\n"
    "tip.className='tip';tip.hidden=true;svg.parentNode.append(tip);cur.setAttribute('class','cursor');svg.append(cur);"
    "\n"
    "const num=v=>Math.abs(v)>=1000?Math.round(v).toLocaleString('en'):String(+v.toPrecision(4));\n"
    "svg.onpointermove=e=>{const box=svg.getBoundingClientRect();\n"
    "const x=(e.clientX-box.left)/box.width*svg.viewBox.baseVal.width;let best=null;\n"
    "for(const k of lines)for(const p of k.at)if(best===null||Math.abs(p.x-x)<Math.abs(best-x))best=p.x;\n"
    "if(best===null)return;const out=['step '+num(Math.round(x0+(best-l)/(r-l)*(x1-x0)))];\n"
    "for(const k of lines){let p=null;for(const q of k.at)if(!p||Math.abs(q.x-best)<Math.abs(p.x-best))p=q;\n"
    "if(!p||Math.abs(p.x-best)>12)continue;const h=y0+(b-p.y)/(b-t)*(y1-y0);out.push((k.label?k.label+' "
    "':'')+num(log?2**h:h));}\n"
    "tip.textContent=out.join('\\n');tip.hidden=false;cur.setAttribute('d','M'+best+' '+t+'V'+b);};\n"
    "svg.onpointerleave=()=>{tip.hidden=true;cur.removeAttribute('d');};}\n";

static void draw_title(struct buf *out, const struct run *runs, int n)
{
    for (int i = 0; i < n; i++) {
        buf_puts(out, i ? ", " : "");
        buf_puts(out, runs[i].name);
    }
}

static void draw_page(struct buf *out, const struct run *runs, int n)
{
    struct buf title = {0};
    draw_title(&title, runs, n);
    html_page_begin(out, title.len ? title.data : "");
    draw_summary(out, runs, n);
    draw_charts(out, runs, n);
    draw_settings(out, runs, n);
    html_page_end(out, script);
    out->failed |= title.failed;
    buf_free(&title);
}

enum status report_html(struct buf *out, const char *const *dirs, int n_dirs)
{
    struct run *runs = calloc((size_t)n_dirs, sizeof *runs);
    if (!runs) return fail(E_NOMEM, "report: out of memory");
    enum status s = OK;
    for (int i = 0; s == OK && i < n_dirs; i++)
        s = read_run(&runs[i], dirs[i]);
    if (s == OK) {
        draw_page(out, runs, n_dirs);
        s = buf_status(out);
    }
    for (int i = 0; i < n_dirs; i++)
        free_run(&runs[i]);
    free(runs);
    return s;
}
