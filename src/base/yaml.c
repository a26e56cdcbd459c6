// SPDX-License-Identifier: Apache-2.0
/* libyaml's events become jansson's values. libyaml splits the text and knows nothing of types (it speaks of YAML 1.1,
 * whose 1e-5 is a string and whose "no" is false); what a plain scalar means is decided here. */
#include "base/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/compiler.h"
#include "base/file.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    const char *name, *text;
    size_t len;
    int depth;
};

static enum status fail_at(const struct reader *r, yaml_mark_t at, const char *what)
{
    return fail(E_FORMAT, "%s:%zu:%zu: %s", r->name, at.line + 1, at.column + 1, what);
}

static enum status fail_here(const struct reader *r, const char *what)
{
    return fail_at(r, r->event.start_mark, what);
}

/* An error in the encoding has an offset in bytes and no line. */
static yaml_mark_t mark_of_byte(const struct reader *r, size_t offset)
{
    yaml_mark_t at = {0};
    for (size_t i = 0; i < offset && i < r->len; i++) {
        at.column++;
        if (r->text[i] != '\n') continue;
        at.line++;
        at.column = 0;
    }
    return at;
}

static enum status fail_parser(const struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "is not YAML";
    if (p->error == YAML_MEMORY_ERROR) return fail(E_NOMEM, "%s: out of memory", r->name);
    if (p->error == YAML_READER_ERROR) return fail_at(r, mark_of_byte(r, p->problem_offset), problem);
    if (!p->context) return fail_at(r, p->problem_mark, problem);
    return fail(E_FORMAT, "%s:%zu:%zu: %s %s", r->name, p->problem_mark.line + 1, p->problem_mark.column + 1, problem,
                p->context);
}

static enum status next(struct reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? OK : fail_parser(r);
}

static bool is_one_of(const char *text, const char *const words[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(text, words[i])) return true;
    return false;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return is_one_of(text, words, COUNT_OF(words));
}

static bool is_true(const char *text)
{
    static const char *const words[] = {"true", "True", "TRUE"};
    return is_one_of(text, words, COUNT_OF(words));
}

static bool is_false(const char *text)
{
    static const char *const words[] = {"false", "False", "FALSE"};
    return is_one_of(text, words, COUNT_OF(words));
}

static bool is_not_finite(const char *text)
{
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    return is_one_of(text + strspn(text, "+-"), words, COUNT_OF(words));
}

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

static const char *skip_sign(const char *text)
{
    return text + (*text == '+' || *text == '-');
}

/* [-+]? [0-9]+, or 0x and 0o with digits of that base; 0 if text is none of them, else the base. */
static int base_of_integer(const char *text)
{
    static const char hex[] = "0123456789abcdefABCDEF", octal[] = "01234567";
    if (!strncmp(text, "0x", 2) && text[2] && !text[2 + strspn(text + 2, hex)]) return 16;
    if (!strncmp(text, "0o", 2) && text[2] && !text[2 + strspn(text + 2, octal)]) return 8;
    const char *digits = skip_sign(text), *end = skip_digits(digits);
    return end > digits && !*end ? 10 : 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *text)
{
    const char *whole = skip_sign(text), *at = skip_digits(whole);
    const bool has_whole = at > whole;
    if (*at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction);
        if (!has_whole && at == fraction) return false;
    } else if (!has_whole) {
        return false;
    }
    if (*at != 'e' && *at != 'E') return !*at;
    const char *exponent = skip_sign(at + 1);
    at = skip_digits(exponent);
    return at > exponent && !*at;
}

static enum status read_integer(struct reader *r, const char *text, int base, json_t **out)
{
    errno = 0;
    const long long value = strtoll(base == 10 ? text : text + 2, NULL, base);
    if (errno == ERANGE) return fail_here(r, "a whole number beyond 64 bits");
    *out = json_integer(value);
    return OK;
}

static enum status read_plain(struct reader *r, const char *text, size_t len, json_t **out)
{
    const int base = base_of_integer(text);
    if (is_null(text)) {
        *out = json_null();
    } else if (is_true(text)) {
        *out = json_true();
    } else if (is_false(text)) {
        *out = json_false();
    } else if (base) {
        return read_integer(r, text, base, out);
    } else if (is_not_finite(text)) {
        return fail_here(r, "infinity and NaN are not numbers here");
    } else if (is_real(text)) {
        *out = json_real(strtod(text, NULL)); /* none for one beyond the range of double */
        if (!*out) return fail_here(r, "a number too large");
    } else {
        *out = json_stringn(text, len);
    }
    return OK;
}

static enum status refuse_tricks(const struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor) return fail_here(r, "anchors (&name) are not read");
    if (tag) return fail_here(r, "tags (!name) are not read");
    return OK;
}

static enum status read_scalar(struct reader *r, json_t **out)
{
    const char *text = (const char *)r->event.data.scalar.value;
    const size_t len = r->event.data.scalar.length;
    TRY(refuse_tricks(r, r->event.data.scalar.anchor, r->event.data.scalar.tag));
    json_t *value = NULL;
    if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        TRY(read_plain(r, text, len, &value));
    else
        value = json_stringn(text, len);
    if (!value) return fail(E_NOMEM, "%s: out of memory", r->name);
    *out = value;
    return next(r);
}

static enum status read_value(struct reader *r, json_t **out);

static enum status read_items(struct reader *r, json_t *array)
{
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        json_t *item = NULL;
        const enum status s = read_value(r, &item);
        if (json_array_append_new(array, item) && s == OK) return fail(E_NOMEM, "%s: out of memory", r->name);
        TRY(s);
    }
    return next(r);
}

/* The key goes into *out, owned: malloc'd. */
static enum status read_key(struct reader *r, const json_t *object, char **out)
{
    if (r->event.type != YAML_SCALAR_EVENT) return fail_here(r, "a key that is not a word");
    TRY(refuse_tricks(r, r->event.data.scalar.anchor, r->event.data.scalar.tag));
    const char *key = (const char *)r->event.data.scalar.value;
    if (strlen(key) != r->event.data.scalar.length) return fail_here(r, "a key with a NUL character in it");
    if (json_object_get(object, key)) {
        const yaml_mark_t at = r->event.start_mark;
        return fail(E_FORMAT, "%s:%zu:%zu: \"%.60s\" is given twice", r->name, at.line + 1, at.column + 1, key);
    }
    char *copy = strdup(key);
    if (!copy) return fail(E_NOMEM, "%s: out of memory", r->name);
    const enum status s = next(r);
    if (s == OK)
        *out = copy;
    else
        free(copy);
    return s;
}

static enum status read_members(struct reader *r, json_t *object)
{
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        char *key = NULL;
        json_t *value = NULL;
        TRY(read_key(r, object, &key));
        enum status s = read_value(r, &value);
        if (json_object_set_new(object, key, value) && s == OK) s = fail(E_NOMEM, "%s: out of memory", r->name);
        free(key);
        TRY(s);
    }
    return next(r);
}

static enum status read_collection(struct reader *r, bool mapping, json_t **out)
{
    TRY(mapping ? refuse_tricks(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag)
                : refuse_tricks(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag));
    if (r->depth == YAML_MAX_DEPTH) return fail_here(r, "nested too deep");
    json_t *value = mapping ? json_object() : json_array();
    if (!value) return fail(E_NOMEM, "%s: out of memory", r->name);
    r->depth++;
    enum status s = next(r);
    if (s == OK) s = mapping ? read_members(r, value) : read_items(r, value);
    r->depth--;
    if (s == OK)
        *out = value;
    else
        json_decref(value);
    return s;
}

/* The value that begins with the current event; afterwards the current event is the one behind it. */
static enum status read_value(struct reader *r, json_t **out)
{
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: return read_scalar(r, out);
    case YAML_SEQUENCE_START_EVENT: return read_collection(r, false, out);
    case YAML_MAPPING_START_EVENT: return read_collection(r, true, out);
    default: return fail_here(r, "aliases (*name) are not read");
    }
}

static enum status read_document(struct reader *r, json_t **out)
{
    TRY(next(r)); /* the start of the stream */
    TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        *out = json_null();
        return OK;
    }
    TRY(next(r));
    TRY(read_value(r, out));
    TRY(next(r)); /* the value was followed by the end of the document */
    if (r->event.type != YAML_STREAM_END_EVENT) return fail_here(r, "a second document");
    return OK;
}

enum status yaml_read_text(json_t **out, const char *text, size_t len, const char *name)
{
    if (len > YAML_MAX_BYTES) return fail(E_LIMIT, "%s: more than %d bytes", name, YAML_MAX_BYTES);
    struct reader r = {.name = name, .text = text, .len = len};
    if (!yaml_parser_initialize(&r.parser)) return fail(E_NOMEM, "%s: out of memory", name);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    json_t *value = NULL;
    const enum status s = read_document(&r, &value);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (s == OK)
        *out = value;
    else
        json_decref(value);
    return s;
}

enum status yaml_read_file(json_t **out, const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, YAML_MAX_BYTES);
    if (s == OK) s = yaml_read_text(out, text.data ? text.data : "", text.len, path);
    buf_free(&text);
    return s;
}
