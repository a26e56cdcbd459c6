// SPDX-License-Identifier: Apache-2.0
#include "cli/sequence_view.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/common.h"

/* ---- Segments ---- */

static bool sees_itself_only(const struct data_sequence *s, int t)
{
    return s->lo[t] == t && s->hi[t] == t + 1 && s->target[t] == DATA_NO_TARGET;
}

/* Where padding begins: the rows at the end that see themselves only. */
static int filled(const struct data_sequence *s, int seq_len)
{
    int n = seq_len;
    while (n > 0 && sees_itself_only(s, n - 1))
        n--;
    return n;
}

/* The last row of a segment predicts nothing and sees no further than itself; within a prefix rows see further, and its
 * last one predicts. */
bool sequence_segment(struct segment *out, const struct data_sequence *s, int seq_len, int *at)
{
    const int begin = *at, n = filled(s, seq_len);
    if (begin >= n) return false;
    int end = begin + 1;
    while (end < n && !(s->target[end - 1] == DATA_NO_TARGET && s->hi[end - 1] == end))
        end++;
    const int prefix = s->hi[begin] - begin;
    *out = (struct segment){begin, end, prefix > 1 ? prefix : 0};
    *at = end;
    return true;
}

void sequence_count(struct sequence_stats *stats, const struct data_sequence *s, int seq_len)
{
    const int n = filled(s, seq_len);
    struct segment g;
    stats->sequences++;
    stats->tokens += n;
    stats->padding += seq_len - n;
    stats->targets += s->n_targets;
    for (int at = 0; sequence_segment(&g, s, seq_len, &at);) {
        stats->segments++;
        stats->prefix_tokens += g.prefix;
    }
}

/* ---- Text ---- */

static enum status decode(struct buf *out, const struct sequence_view *v, const int32_t *ids, int n)
{
    struct buf bytes = {0};
    enum status s = tokenizer_decode(v->tokenizer, &bytes, ids, (size_t)n);
    if (s == OK) utf8_append_replaced(out, bytes.data ? bytes.data : "", bytes.len);
    buf_free(&bytes);
    return s == OK ? buf_status(out) : s;
}

/* Data may hold anything, terminals obey some of it: control characters become '?'. Lines stay under each other. */
static void print_lines(const char *text, size_t len, const char *indent)
{
    for (size_t i = 0; i < len;) {
        const int n = utf8_char(text + i, len - i);
        const unsigned char c = (unsigned char)text[i];
        const bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0);
        if (c == '\n')
            printf("\n%s", indent);
        else if (control && c != '\t')
            putchar('?');
        else
            fwrite(text + i, 1, (size_t)n, stdout);
        i += (size_t)n;
    }
}

static size_t character_at(const char *text, size_t at)
{
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static enum status print_part(const struct sequence_view *v, const char *label, const char *colour, const int32_t *ids,
                              int n)
{
    enum { HEAD = 400, TAIL = 200 };
    static const char indent[] = "          ";
    if (!n) return OK;
    struct buf text = {0};
    const enum status s = decode(&text, v, ids, n);
    if (s == OK) {
        printf("  %-6s  %s", label, v->colours ? colour : "");
        if (v->full || text.len <= HEAD + TAIL + 50) {
            print_lines(text.data, text.len, indent);
        } else {
            const size_t head = character_at(text.data, HEAD), tail = character_at(text.data, text.len - TAIL);
            print_lines(text.data, head, indent);
            printf("\n%s... %zu bytes more ...\n%s", indent, tail - head, indent);
            print_lines(text.data + tail, text.len - tail, indent);
        }
        puts(v->colours ? "\x1b[0m" : "");
    }
    buf_free(&text);
    return s;
}

/* ---- The mask ---- */

static int overlap(int a_begin, int a_end, int b_begin, int b_end)
{
    const int begin = a_begin > b_begin ? a_begin : b_begin, end = a_end < b_end ? a_end : b_end;
    return end > begin ? end - begin : 0;
}

/* One character for a block of rows and columns: all, some or nothing of it is seen. */
static char cell(const struct data_sequence *s, int t0, int t1, int s0, int s1)
{
    int64_t seen = 0;
    for (int t = t0; t < t1; t++)
        seen += overlap(s->lo[t], s->hi[t], s0, s1);
    return seen == (int64_t)(t1 - t0) * (s1 - s0) ? '#' : seen ? '+' : '.';
}

/* Characters are about twice as high as wide. */
static void print_mask(const struct data_sequence *s, int n)
{
    const int columns = n < 48 ? n : 48, lines = n < 24 ? n : 24;
    printf("  mask    rows see columns: # all, + some, . none; at the right the part of a row's tokens that are "
           "targets\n");
    for (int i = 0; i < lines; i++) {
        const int t0 = (int)((int64_t)i * n / lines), t1 = (int)((int64_t)(i + 1) * n / lines);
        int targets = 0;
        for (int t = t0; t < t1; t++)
            targets += s->target[t] != DATA_NO_TARGET;
        printf("          ");
        for (int k = 0; k < columns; k++)
            putchar(cell(s, t0, t1, (int)((int64_t)k * n / columns), (int)((int64_t)(k + 1) * n / columns)));
        printf("  %3d %%\n", 100 * targets / (t1 - t0));
    }
}

enum status sequence_print(const struct sequence_view *v, const struct data_sequence *s)
{
    static const char blue[] = "\x1b[36m", green[] = "\x1b[1;32m";
    struct segment g;
    for (int at = 0; sequence_segment(&g, s, v->seq_len, &at);) {
        TRY(print_part(v, "prefix", blue, s->token + g.begin, g.prefix));
        TRY(print_part(v, "target", green, s->token + g.begin + g.prefix, g.end - g.begin - g.prefix));
    }
    print_mask(s, v->seq_len);
    return OK;
}

/* ---- JSON ---- */

static json_t *segment_json(const struct sequence_view *v, const struct data_sequence *s, const struct segment *g)
{
    struct buf prefix = {0}, target = {0};
    json_t *out = NULL;
    if (decode(&prefix, v, s->token + g->begin, g->prefix) == OK &&
        decode(&target, v, s->token + g->begin + g->prefix, g->end - g->begin - g->prefix) == OK)
        out = json_pack("{s:i, s:i, s:i, s:o, s:o}", "begin", g->begin, "end", g->end, "prefix", g->prefix,
                        "prefix_text", cli_json_text(prefix.data ? prefix.data : "", prefix.len), "target_text",
                        cli_json_text(target.data ? target.data : "", target.len));
    buf_free(&prefix);
    buf_free(&target);
    return out;
}

json_t *sequence_json(const struct sequence_view *v, const struct data_sequence *s)
{
    const size_t n = (size_t)v->seq_len;
    json_t *segments = json_array();
    struct segment g;
    for (int at = 0; segments && sequence_segment(&g, s, v->seq_len, &at);) {
        if (json_array_append_new(segments, segment_json(v, s, &g)) == 0) continue;
        json_decref(segments);
        segments = NULL;
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "n_targets", s->n_targets, "segments", segments, "token",
                     cli_json_ids(s->token, n), "lo", cli_json_ids(s->lo, n), "hi", cli_json_ids(s->hi, n), "target",
                     cli_json_ids(s->target, n));
}
