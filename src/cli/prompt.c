// SPDX-License-Identifier: Apache-2.0
#include "cli/prompt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum status prompt_parse_ids(const char *text, const char *what, int32_t **ids, size_t *n_ids)
{
    int32_t *list = malloc((strlen(text) / 2 + 1) * sizeof *list); /* an id and its separator are two characters */
    if (!list) return fail(E_NOMEM, "%s: out of memory", what);
    size_t n = 0;
    bool more = false;
    for (;;) {
        text += strspn(text, " \t\r\n");
        if (!*text && !more) break;
        char *end;
        const long id = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : -1;
        const size_t len = strcspn(text, ", \t\r\n");
        if (id < 0 || id > INT32_MAX || end != text + len) {
            free(list);
            if (!len) return fail(E_ARG, "%s: a token id is missing beside a comma", what);
            return fail(E_ARG, "%s: '%.*s' is not a token id", what, len < 40 ? (int)len : 40, text);
        }
        list[n++] = (int32_t)id;
        text = end + strspn(end, " \t\r\n");
        more = *text == ',';
        if (more) text++;
    }
    if (!n) {
        free(list);
        return fail(E_ARG, "%s: no token ids", what);
    }
    *ids = list;
    *n_ids = n;
    return OK;
}

static enum status read_text(struct buf *out, const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, PROMPT_MAX_BYTES);
    if (s != OK) {
        buf_free(&text);
        return s;
    }
    if (text.len && text.data[text.len - 1] == '\n') text.data[--text.len] = 0;
    *out = text;
    return OK;
}

enum status prompt_read(struct prompt *out, const struct prompt_options *o)
{
    if (!!o->text + !!o->file + !!o->ids > 1) return fail(E_ARG, "give one of -p, -f and --ids, not several");
    struct prompt p = {.is_ids = o->ids};
    if (o->ids) {
        TRY(prompt_parse_ids(o->ids, "--ids", &p.ids, &p.n_ids));
    } else if (o->text) {
        buf_puts(&p.text, o->text);
        TRY(buf_status(&p.text));
    } else if (!o->file && isatty(STDIN_FILENO)) {
        return fail(E_ARG, "no input: give -p TEXT, -f FILE or --ids, or pipe text in");
    } else {
        TRY(read_text(&p.text, o->file ? o->file : "-"));
    }
    *out = p;
    return OK;
}

void prompt_free(struct prompt *p)
{
    buf_free(&p->text);
    if (p->is_ids)
        free(p->ids);
    else
        gptjt_free(p->ids);
    *p = (struct prompt){0};
}

enum status prompt_encode(struct prompt *p, const struct cli_model *m, bool added_tokens)
{
    if (p->is_ids) return cli_check_ids(m, "--ids", p->ids, p->n_ids);
    if (!p->text.len) return fail(E_ARG, "the prompt is empty");
    const struct gptjt_tokenizer *t;
    TRY(cli_tokenizer(&t, m, "--ids"));
    TRY(cli_status(gptjt_encode(t, p->text.data, p->text.len, added_tokens, &p->ids, &p->n_ids)));
    return cli_check_ids(m, "the prompt", p->ids, p->n_ids);
}
