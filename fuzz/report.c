// SPDX-License-Identifier: Apache-2.0
/* Hostile metrics.jsonl: curves stay what the header promises, and drawing them ends in finite coordinates and escaped
 * names. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "html/chart.h"
#include "train/report_metrics.h"

static void require(bool promise)
{
    if (!promise) abort();
}

static void check_curve(const struct report_curve *c)
{
    for (size_t i = 0; i < c->n; i++) {
        require(isfinite(c->y[i]) && c->x[i] >= 0);
        require(!i || c->x[i - 1] < c->x[i]);
    }
}

static void draw(const struct report_curve *c, bool logarithmic)
{
    struct buf page = {0};
    const struct html_curve line = {.label = c->name, .x = c->x, .y = c->y, .n = c->n, .dots = true};
    html_curves(&page, &(struct html_curves){.title = "fuzz",
                                             .unit = "",
                                             .first = c->n ? c->x[0] : 0,
                                             .last = c->n ? c->x[c->n - 1] : 0,
                                             .logarithmic = logarithmic,
                                             .lines = &line,
                                             .n_lines = 1,
                                             .marks = c->x,
                                             .n_marks = c->n,
                                             .mark_label = "marks"});
    require(!page.len || !strstr(page.data, "=\"nan") || strstr(c->name, "nan"));
    require(!page.len || !strstr(page.data, "<script"));
    buf_free(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report_metrics m = {0};
    if (report_metrics_parse(&m, (const char *)data, size, "fuzz") != OK)
        require(*status_message() && !strchr(status_message(), '\n'));
    for (int i = 0; i < m.n_curves; i++) {
        check_curve(&m.curves[i]);
        draw(&m.curves[i], false);
        draw(&m.curves[i], true);
    }
    report_metrics_free(&m);
    return 0;
}
