// SPDX-License-Identifier: Apache-2.0
/* Progress lines. The state is the caller's; time decides what is shown, so that callers update as often as they like.
 */
#include "base/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/clock.h"

static const int64_t SECOND = 1000000000;

static void format_amount(char *text, size_t bytes, double amount, const char *unit)
{
    if (strcmp(unit, "B"))
        snprintf(text, bytes, amount < 10 ? "%.2f %s" : "%.0f %s", amount, unit);
    else
        snprintf(text, bytes, "%s", amount_bytes((uint64_t)amount).text);
}

/* "12.3 MB/s, 0:41 left, note" */
static void format_rate(char *text, size_t bytes, const struct progress *p, double seconds)
{
    const double rate = seconds > 0 && p->done > p->before ? (double)(p->done - p->before) / seconds : 0;
    char amount[48];
    format_amount(amount, sizeof amount, rate, p->unit);
    const double left = rate > 0 && p->total > p->done ? (double)(p->total - p->done) / rate : 0;
    const char *comma = p->note[0] ? ", " : "";
    if (left > 0 && left < 1e8)
        snprintf(text, bytes, "%s/s, %ld:%02ld left%s%s", amount, (long)left / 60, (long)left % 60, comma, p->note);
    else
        snprintf(text, bytes, "%s/s%s%s", amount, comma, p->note);
}

static double fraction(const struct progress *p)
{
    return p->done < p->total ? (double)p->done / (double)p->total : 1;
}

static void draw_bar(const struct progress *p, const char *rate)
{
    enum { WIDTH = 20 };
    char bar[WIDTH + 1] = "";
    if (!p->total) {
        char done[48];
        format_amount(done, sizeof done, (double)p->done, p->unit);
        fprintf(stderr, "\r%.24s  %s, %s\x1b[K", p->label, done, rate);
        return;
    }
    const int full = (int)(fraction(p) * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    fprintf(stderr, "\r%.24s [%s] %3.0f %%  %s\x1b[K", p->label, bar, 100 * fraction(p), rate);
}

static void print_plain(const struct progress *p, const char *rate)
{
    char done[48], total[48];
    format_amount(done, sizeof done, (double)p->done, p->unit);
    if (!p->total) {
        fprintf(stderr, "%s: %s, %s\n", p->label, done, rate);
        return;
    }
    format_amount(total, sizeof total, (double)p->total, p->unit);
    fprintf(stderr, "%s: %.0f %%, %s of %s, %s\n", p->label, 100 * fraction(p), done, total, rate);
}

static void show(struct progress *p, int64_t now)
{
    char rate[96 + sizeof p->note];
    format_rate(rate, sizeof rate, p, clock_seconds(p->started_ns, now));
    if (p->terminal)
        draw_bar(p, rate);
    else
        print_plain(p, rate);
    p->visible = true;
    p->shown_ns = now;
}

void progress_begin(struct progress *p, const char *label, const char *unit, uint64_t total, bool quiet)
{
    const int64_t now = clock_ns();
    *p = (struct progress){.label = label,
                           .unit = unit,
                           .total = total,
                           .started_ns = now,
                           .shown_ns = now,
                           .quiet = quiet,
                           .terminal = isatty(STDERR_FILENO)};
}

void progress_update(struct progress *p, uint64_t done)
{
    p->done = done;
    if (p->quiet) return;
    const int64_t now = clock_ns(), interval = p->terminal ? SECOND / 10 : 10 * SECOND;
    if (now - p->started_ns < 2 * SECOND) return;
    if (!p->visible || now - p->shown_ns >= interval) show(p, now);
}

void progress_end(struct progress *p)
{
    if (!p->visible) return;
    if (p->terminal) {
        fputs("\r\x1b[K", stderr);
    } else {
        char done[48];
        format_amount(done, sizeof done, (double)p->done, p->unit);
        fprintf(stderr, "%s: %s in %.1f s\n", p->label, done, clock_seconds(p->started_ns, clock_ns()));
    }
    p->visible = false;
}
