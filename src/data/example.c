// SPDX-License-Identifier: Apache-2.0
#include "data/example.h"

#include <string.h>

#include "base/compiler.h"
#include "base/json.h"
#include "base/utf8.h"

/* As the authors of GPT-JT drew them; what stands twice is twice as likely. P3's answers may also follow on one line.
 */
struct example_style example_draw_style(struct draws *d, int format)
{
    static const char *const separators[] = {"\n", "\n\n", "\n\n", "\n\n\n", "\n###\n", "\n---\n"};
    static const char *const ni_answers[] = {"\n", "\n", "\n\n"}, *const p3_answers[] = {"\n", "\n", "\n\n", " "};
    static const char *const inputs[] = {
        "Input: ", "Given: ", "Context: ", "Example: ", "Question: ", "", "", "", "", ""};
    static const char *const outputs[] = {"Output: ", "Output: ", "Ans: ", "A: ", "Answer: ", "Label: ", "Label: "};
    struct example_style s;
    s.separator = separators[draws_below(d, COUNT_OF(separators))];
    s.answer_separator = format == DATA_P3 ? p3_answers[draws_below(d, COUNT_OF(p3_answers))]
                                           : ni_answers[draws_below(d, COUNT_OF(ni_answers))];
    s.input_prefix = inputs[draws_below(d, COUNT_OF(inputs))];
    s.output_prefix = outputs[draws_below(d, COUNT_OF(outputs))];
    return s;
}

enum status example_end_of_text(int32_t *out, const struct data_source *source, const struct tokenizer *t)
{
    *out = source->end_of_text ? tokenizer_find(t, "<|endoftext|>") : -1;
    if (!source->end_of_text || *out >= 0) return OK;
    return fail(E_ARG, "source %s: end_of_text: the tokenizer has no <|endoftext|>", data_source_name(source));
}

/* A record while it is being read. */
struct reader {
    const struct example_settings *set;
    char where[512];
    json_t *value; /* owned */
    struct buf text;
    struct token_list *out;
};

struct span {
    const char *text;
    size_t len;
};

static enum status encode(struct reader *r, const char *text, size_t len)
{
    const enum status s = tokenizer_encode(r->set->tokenizer, r->out, text, len, true);
    return s == OK ? OK : fail(s, "%s: %s", r->where, status_message());
}

/* member of the record: required text. alternative: another name that it goes by, or NULL. */
static enum status get_text(struct span *out, const struct reader *r, const char *member, const char *alternative)
{
    const json_t *v = json_object_get(r->value, member);
    if (!v && alternative) v = json_object_get(r->value, alternative);
    if (!json_is_string(v))
        return fail(E_FORMAT, "%s: %s \"%s\"%s", r->where, v ? "not a string:" : "there is no", member,
                    json_is_object(r->value) ? "" : "; this is no object");
    *out = (struct span){json_string_value(v), json_string_length(v)};
    return OK;
}

static struct span strip_end(struct span s)
{
    while (s.len && strchr(" \t\r\n\v\f", s.text[s.len - 1]) && s.text[s.len - 1])
        s.len--;
    return s;
}

/* A whole document: text as it is, a JSON string, or a member of an object. */
static enum status get_document(struct span *out, const struct reader *r, const struct record *record)
{
    if (!record->is_json) {
        *out = (struct span){record->data, record->len};
        return OK;
    }
    if (json_is_string(r->value)) {
        *out = (struct span){json_string_value(r->value), json_string_length(r->value)};
        return OK;
    }
    return get_text(out, r, r->set->source->field, NULL);
}

static enum status read_pile(struct reader *r, const struct record *record)
{
    struct span text;
    TRY(get_document(&text, r, record));
    return encode(r, text.text, text.len);
}

/* Blank lines between two, as in one long few-shot prompt; alone, a line break says that it is at its end. */
static enum status read_cot(struct reader *r, const struct record *record)
{
    struct span text;
    TRY(get_document(&text, r, record));
    text = strip_end(text);
    if (!text.len) return OK;
    if (r->set->join) buf_puts(&r->text, "\n\n");
    buf_append(&r->text, text.text, text.len);
    if (!r->set->join) buf_puts(&r->text, "\n");
    TRY(buf_status(&r->text));
    return encode(r, r->text.data, r->text.len);
}

static enum status read_p3(struct reader *r, const struct example_style *style, bool first)
{
    struct span inputs, targets;
    TRY(get_text(&inputs, r, "inputs", "inputs_pretokenized"));
    TRY(get_text(&targets, r, "targets", "targets_pretokenized"));
    inputs = strip_end(inputs);
    if (!inputs.len || !targets.len) return OK;
    if (r->set->join && !first) buf_puts(&r->text, style->separator);
    buf_append(&r->text, inputs.text, inputs.len);
    if (inputs.text[inputs.len - 1] == ':') {
        buf_puts(&r->text, " ");
    } else {
        buf_puts(&r->text, style->answer_separator);
        buf_puts(&r->text, style->output_prefix);
    }
    buf_append(&r->text, targets.text, targets.len);
    if (!r->set->join) buf_puts(&r->text, "\n");
    TRY(buf_status(&r->text));
    return encode(r, r->text.data, r->text.len);
}

/* The template with each {member} replaced by the record's; "{{" is a brace. */
static enum status fill(struct reader *r, const char *template)
{
    buf_clear(&r->text);
    for (const char *at = template; *at;) {
        const char *end = at[0] == '{' && at[1] != '{' ? strchr(at, '}') : NULL;
        char name[128];
        if (!end) {
            buf_append(&r->text, at, 1);
            at += at[0] == '{' && at[1] == '{' ? 2 : 1;
            continue;
        }
        struct span value;
        snprintf(name, sizeof name, "%.*s", (int)(end - at - 1), at + 1);
        TRY(get_text(&value, r, name, NULL));
        buf_append(&r->text, value.text, value.len);
        at = end + 1;
    }
    return buf_status(&r->text);
}

/* A side of the example: from its template, or the member of that name. */
static enum status encode_side(struct reader *r, const char *template, const char *member)
{
    struct span text;
    if (template) {
        TRY(fill(r, template));
        return encode(r, r->text.data ? r->text.data : "", r->text.len);
    }
    TRY(get_text(&text, r, member, NULL));
    return encode(r, text.text, text.len);
}

/* Encoded apart, as they are when a prompt is given and its continuation generated. */
static enum status read_prompt(struct reader *r, int64_t *prefix)
{
    const struct data_source *source = r->set->source;
    TRY(encode_side(r, source->prompt, "prompt"));
    const size_t n = r->out->n;
    TRY(encode_side(r, source->completion, "completion"));
    if (r->out->n == n)
        r->out->n = 0; /* nothing to learn */
    else
        *prefix = (int64_t)n;
    return OK;
}

/* Numbers of any size will do: nobody reads them. A record is one line, so the line in jansson's message says nothing;
 * what is no UTF-8 is said in these words. */
static enum status parse(struct reader *r, const struct record *record)
{
    static const char name[] = "record", line[] = ": line 1: ";
    const enum status s = json_read_text_big(&r->value, record->data, record->len, name);
    if (s != E_FORMAT) return s;
    const size_t bad = utf8_invalid_at(record->data, record->len);
    if (bad < record->len)
        return fail(E_FORMAT, "%s: byte %zu (0x%02x) is no UTF-8", r->where, bad + 1, (unsigned char)record->data[bad]);
    const char *message = status_message() + strlen(name);
    const bool in_line_1 = !strncmp(message, line, strlen(line));
    return fail(E_FORMAT, "%s: %s", r->where, message + (in_line_1 ? strlen(line) : 2));
}

static enum status read_record(struct reader *r, int64_t *prefix, const struct record *record,
                               const struct example_style *style, bool first)
{
    const int format = r->set->source->format;
    stream_where(r->where, sizeof r->where, record->path, record->number);
    if (!record->is_json && format != DATA_PILE && format != DATA_COT)
        return fail(E_FORMAT, "%s: this format takes JSON records, not plain text", r->where);
    if (record->is_json) TRY(parse(r, record));
    switch (format) {
    case DATA_COT: TRY(read_cot(r, record)); break;
    case DATA_P3: TRY(read_p3(r, style, first)); break;
    case DATA_PROMPT: TRY(read_prompt(r, prefix)); break;
    default: TRY(read_pile(r, record)); break;
    }
    if (r->out->n && r->set->end_of_text >= 0) TRY(token_list_append(r->out, r->set->end_of_text));
    return OK;
}

enum status example_tokens(struct token_list *out, int64_t *prefix, const struct example_settings *set,
                           const struct record *record, const struct example_style *style, bool first)
{
    struct reader r = {.set = set, .out = out};
    out->n = 0;
    *prefix = EXAMPLE_NO_PREFIX;
    const enum status s = read_record(&r, prefix, record, style, first);
    json_decref(r.value);
    buf_free(&r.text);
    return s;
}
