// SPDX-License-Identifier: Apache-2.0
/* The option table at work. A value arrives as text (command line) or as JSON; both ways end in the same checks, and
 * the messages differ only in how they spell the name: --top-k or "top_k". */
#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

enum { MAX_OPTIONS = 128, MAX_NAME = 64 };

/* Where a value came from and goes to. */
struct place {
    const struct option *option;
    void *field;
    const char *where;        /* command, request or file */
    char label[MAX_NAME + 4]; /* --top-k or "top_k" */
};

/* settings may be NULL where only the label is wanted. */
static struct place place_of(const struct option *o, void *settings, const char *where, bool json)
{
    struct place p = {.option = o, .where = where};
    if (settings && o->type != OPTION_REFUSED) p.field = (char *)settings + o->offset;
    snprintf(p.label, sizeof p.label, json ? "\"%s\"" : "--%s", o->name);
    for (char *c = p.label; json && *c; c++)
        if (*c == '-') *c = '_';
    return p;
}

static char fold(char c)
{
    return c == '_' ? '-' : c;
}

static bool same_name(const char *name, const char *word, size_t len)
{
    size_t i = 0;
    while (i < len && name[i] && fold(name[i]) == fold(word[i]))
        i++;
    return i == len && !name[i];
}

static const struct option *find(const struct option *table, const char *word, size_t len)
{
    for (const struct option *o = table; o->name; o++)
        if (same_name(o->name, word, len)) return o;
    return NULL;
}

static option_given bit_of(const struct option *table, const struct option *o)
{
    assert(o - table < MAX_OPTIONS);
    return (option_given)1 << (o - table);
}

bool options_given(const struct option *table, option_given given, const char *name)
{
    const struct option *o = find(table, name, strlen(name));
    assert(o);
    return (given & bit_of(table, o)) != 0;
}

/* Levenshtein distance, one row of the table at a time; both words at most MAX_NAME long. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[MAX_NAME + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 0; i < a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_len; j++) {
            const bool same = fold((char)tolower((unsigned char)a[i])) == fold((char)tolower((unsigned char)b[j]));
            size_t best = diagonal + !same;
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[b_len];
}

static const char *nearest(const char *word, size_t len, const char *const *names, int n)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    if (len > MAX_NAME) return NULL;
    for (int i = 0; i < n; i++) {
        const size_t name_len = strlen(names[i]), longer = name_len > len ? name_len : len;
        if (name_len > MAX_NAME) continue;
        const size_t distance = edit_distance(word, len, names[i], name_len);
        if (distance > (longer + 2) / 3 || distance >= best_distance) continue; /* a third may be wrong */
        best = names[i];
        best_distance = distance;
    }
    return best;
}

const char *options_nearest(const char *word, const char *const *names, int n)
{
    return nearest(word, strlen(word), names, n);
}

static enum status fail_unknown(const struct option *table, const char *where, bool json, const char *word, size_t len)
{
    const char *names[MAX_OPTIONS];
    int n = 0;
    for (const struct option *o = table; o->name; o++)
        if (o->type != OPTION_REFUSED) names[n++] = o->name;
    const char *name = nearest(word, len, names, n);
    const int shown = len < 60 ? (int)len : 60;
    const char *before = json ? "field \"" : "option --", *after = json ? "\"" : "";
    if (!name) return fail(E_ARG, "%s: unknown %s%.*s%s", where, before, shown, word, after);
    const struct place p = place_of(find(table, name, strlen(name)), NULL, where, json);
    return fail(E_ARG, "%s: unknown %s%.*s%s; did you mean %s?", where, before, shown, word, after, p.label);
}

static enum status fail_refused(const struct place *p)
{
    return fail(E_ARG, "%s: %s is refused: %s", p->where, p->label, p->option->help);
}

static enum status fail_value(const struct place *p, const char *shown, const char *expected)
{
    return fail(E_ARG, "%s: %s is %.60s, not %s", p->where, p->label, shown, expected);
}

static enum status fail_range(const struct place *p, const char *shown)
{
    return fail(E_ARG, "%s: %s is %.60s, not within %.15g..%.15g", p->where, p->label, shown, p->option->min,
                p->option->max);
}

static enum status store_int(const struct place *p, int64_t value, const char *shown)
{
    if ((double)value < p->option->min || (double)value > p->option->max) return fail_range(p, shown);
    *(int64_t *)p->field = value;
    return OK;
}

static enum status store_number(const struct place *p, double value, const char *shown)
{
    if (!isfinite(value)) return fail_value(p, shown, "a finite number");
    if (value < p->option->min || value > p->option->max) return fail_range(p, shown);
    *(double *)p->field = value;
    return OK;
}

static enum status store_choice(const struct place *p, const char *word)
{
    const size_t len = strlen(word);
    const char *at = p->option->choices;
    for (int i = 0; *at; i++) {
        const size_t n = strcspn(at, "|");
        if (n == len && !memcmp(at, word, n)) {
            *(int *)p->field = i;
            return OK;
        }
        at += n;
        if (*at) at++;
    }
    return fail(E_ARG, "%s: %s is %.60s, not one of %s", p->where, p->label, word, p->option->choices);
}

static enum status store_another(const struct place *p, const char *item)
{
    struct option_strings *list = p->field;
    const char **items = reallocarray(list->items, (size_t)list->n + 1, sizeof *items);
    if (!items) return fail(E_NOMEM, "%s: %s: out of memory at %d values", p->where, p->label, list->n);
    items[list->n] = item;
    *list = (struct option_strings){items, list->n + 1};
    return OK;
}

static void clear_strings(const struct option *o, void *settings)
{
    struct option_strings *list = (void *)((char *)settings + o->offset);
    free(list->items);
    *list = (struct option_strings){0};
}

static size_t field_bytes(enum option_type type)
{
    switch (type) {
    case OPTION_FLAG: return sizeof(bool);
    case OPTION_INT: return sizeof(int64_t);
    case OPTION_SEED: return sizeof(uint64_t);
    case OPTION_NUMBER: return sizeof(double);
    case OPTION_STRING: return sizeof(const char *);
    case OPTION_CHOICE: return sizeof(int);
    case OPTION_STRINGS: return sizeof(struct option_strings);
    case OPTION_JSON: return sizeof(const json_t *);
    case OPTION_REFUSED: break;
    }
    return 0;
}

void options_move(const struct option *table, option_given given, void *to, void *from)
{
    for (int i = 0; table[i].name; i++) {
        if (!(given >> i & 1)) continue;
        void *old = (char *)to + table[i].offset, *new = (char *)from + table[i].offset;
        const size_t bytes = field_bytes(table[i].type);
        if (table[i].type == OPTION_STRINGS) free(((struct option_strings *)old)->items);
        memcpy(old, new, bytes);
        if (table[i].type == OPTION_STRINGS) memset(new, 0, bytes);
    }
}

void options_free(const struct option *table, void *settings)
{
    for (const struct option *o = table; o->name; o++)
        if (o->type == OPTION_STRINGS) clear_strings(o, settings);
}

/* The C library skips white space before a number; we do not. */
static bool starts_a_number(const char *text)
{
    return *text && !isspace((unsigned char)*text);
}

static enum status store_int_text(const struct place *p, const char *text)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (!starts_a_number(text) || *end) return fail_value(p, text, "a whole number");
    return errno == ERANGE ? fail_range(p, text) : store_int(p, value, text);
}

static enum status store_seed_text(const struct place *p, const char *text)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno == ERANGE)
        return fail_value(p, text, "a whole number from 0 to 18446744073709551615");
    *(uint64_t *)p->field = value;
    return OK;
}

static enum status store_number_text(const struct place *p, const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    if (!starts_a_number(text) || *end) return fail_value(p, text, "a number");
    return store_number(p, value, text);
}

static enum status store_text(const struct place *p, const char *text)
{
    switch (p->option->type) {
    case OPTION_INT: return store_int_text(p, text);
    case OPTION_SEED: return store_seed_text(p, text);
    case OPTION_NUMBER: return store_number_text(p, text);
    case OPTION_CHOICE: return store_choice(p, text);
    case OPTION_STRINGS: return store_another(p, text);
    case OPTION_STRING: *(const char **)p->field = text; return OK;
    case OPTION_FLAG:
    case OPTION_JSON:
    case OPTION_REFUSED: break;
    }
    assert(0 && "option without a value");
    return OK;
}

/* The command line being read: what one word does may depend on the next. */
struct reader {
    const struct option *table;
    void *settings;
    const char *where;
    int argc, at;
    char **argv;
    struct option_args *args;
    option_given given; /* in this call: args->given may hold more from an earlier one */
};

static void note_given(struct reader *r, const struct option *o)
{
    const option_given bit = bit_of(r->table, o);
    if (o->type == OPTION_STRINGS && !(r->given & bit)) clear_strings(o, r->settings);
    r->given |= bit;
}

/* value: what stood in the same word ("--name=value", "-nVALUE"), or NULL. */
static enum status read_option(struct reader *r, const struct option *o, bool negated, const char *value)
{
    const struct place p = place_of(o, r->settings, r->where, false);
    if (o->type == OPTION_REFUSED) return fail_refused(&p);
    note_given(r, o);
    if (o->type == OPTION_FLAG) {
        if (value) return fail(E_ARG, "%s: %s takes no value; there is also --no-%s", r->where, p.label, o->name);
        *(bool *)p.field = !negated;
        return OK;
    }
    if (!value && r->at + 1 == r->argc) return fail(E_ARG, "%s: %s needs a value", r->where, p.label);
    return store_text(&p, value ? value : r->argv[++r->at]);
}

static enum status read_long(struct reader *r, const char *word)
{
    const size_t len = strcspn(word, "=");
    const char *value = word[len] ? word + len + 1 : NULL;
    const struct option *o = find(r->table, word, len);
    if (o) return read_option(r, o, false, value);
    if (len > 3 && same_name("no-", word, 3)) {
        o = find(r->table, word + 3, len - 3);
        if (o && o->type == OPTION_FLAG) return read_option(r, o, true, value);
    }
    return fail_unknown(r->table, r->where, false, word, len);
}

static enum status read_letter(struct reader *r, const char *word)
{
    for (const struct option *o = r->table; o->name; o++)
        if (o->letter == word[0]) return read_option(r, o, false, word[1] ? word + 1 : NULL);
    return fail(E_ARG, "%s: unknown option -%.60s", r->where, word);
}

static enum status read_positional(struct reader *r, const char *word)
{
    struct option_args *args = r->args;
    if (args->n_positional == args->max_positional)
        return fail(E_ARG, "%s: unexpected argument '%.60s'", r->where, word);
    args->positional[args->n_positional++] = word;
    return OK;
}

enum status options_parse_args(const struct option *table, void *settings, const char *where, int argc, char **argv,
                               struct option_args *args)
{
    struct reader r = {.table = table, .settings = settings, .where = where, .argc = argc, .argv = argv, .args = args};
    args->n_positional = 0;
    args->help = false;
    bool options_ended = false;
    for (; r.at < argc; r.at++) {
        const char *word = argv[r.at];
        if (options_ended || word[0] != '-' || !word[1]) {
            TRY(read_positional(&r, word));
        } else if (!strcmp(word, "--")) {
            options_ended = true;
        } else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            args->help = true;
            break;
        } else {
            TRY(word[1] == '-' ? read_long(&r, word + 2) : read_letter(&r, word + 1));
        }
    }
    args->given |= r.given;
    return OK;
}

/* Strings go into const char * fields; one with a NUL inside would lose its end unnoticed. */
static enum status store_json_text(const struct place *p, const json_t *value)
{
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value))
        return fail(E_ARG, "%s: %s has a NUL character in it", p->where, p->label);
    return store_text(p, text);
}

static enum status store_json_strings(const struct place *p, const json_t *value, const char *shown)
{
    static const char expected[] = "an array of strings";
    if (json_is_string(value)) return store_json_text(p, value);
    if (!json_is_array(value)) return fail_value(p, shown, expected);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item)) return fail_value(p, shown, expected);
        TRY(store_json_text(p, item));
    }
    return OK;
}

static enum status store_json_int(const struct place *p, const json_t *value, const char *shown)
{
    if (json_is_integer(value)) return store_int(p, json_integer_value(value), shown);
    const double real = json_is_real(value) ? json_real_value(value) : 0.5; /* 20.0 is whole, too */
    if (real != floor(real)) return fail_value(p, shown, "a whole number");
    return fabs(real) > 0x1p53 ? fail_range(p, shown) : store_int(p, (int64_t)real, shown);
}

static enum status store_json_seed(const struct place *p, const json_t *value, const char *shown)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fail_value(p, shown, "a whole number of at least 0");
    *(uint64_t *)p->field = (uint64_t)json_integer_value(value);
    return OK;
}

static enum status store_json(const struct place *p, const json_t *value, const char *shown)
{
    switch (p->option->type) {
    case OPTION_FLAG:
        if (!json_is_boolean(value)) return fail_value(p, shown, "true or false");
        *(bool *)p->field = json_is_true(value);
        return OK;
    case OPTION_INT: return store_json_int(p, value, shown);
    case OPTION_SEED: return store_json_seed(p, value, shown);
    case OPTION_NUMBER:
        if (!json_is_number(value)) return fail_value(p, shown, "a number");
        return store_number(p, json_number_value(value), shown);
    case OPTION_STRING:
    case OPTION_CHOICE:
        if (!json_is_string(value)) return fail_value(p, shown, "a string");
        return store_json_text(p, value);
    case OPTION_STRINGS: return store_json_strings(p, value, shown);
    case OPTION_JSON: *(const json_t **)p->field = value; return OK;
    case OPTION_REFUSED: break;
    }
    return fail_refused(p);
}

enum status options_parse_json(const struct option *table, void *settings, const char *where, const json_t *object,
                               option_given *given)
{
    if (!json_is_object(object)) return fail(E_ARG, "%s: is not a JSON object", where);
    option_given now = 0;
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        const struct option *o = find(table, key, strlen(key));
        if (!o) return fail_unknown(table, where, true, key, strlen(key));
        if (json_is_null(value)) continue;
        const struct place p = place_of(o, settings, where, true);
        if (now & bit_of(table, o)) return fail(E_ARG, "%s: %s is given twice", where, p.label);
        now |= bit_of(table, o);
        if (o->type == OPTION_STRINGS) clear_strings(o, settings);
        const bool large = o->type == OPTION_JSON; /* and never shown */
        char *shown = large ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        const enum status s = store_json(&p, value, shown ? shown : "a value too large");
        free(shown);
        TRY(s);
    }
    *given |= now;
    return OK;
}

void options_choice(char *text, size_t bytes, const char *choices, int index)
{
    for (; index > 0 && *choices; index--) {
        choices += strcspn(choices, "|");
        if (*choices) choices++;
    }
    snprintf(text, bytes, "%.*s", (int)strcspn(choices, "|"), choices);
}

static json_t *strings_json(const struct option_strings *list)
{
    json_t *array = json_array();
    for (int i = 0; array && i < list->n; i++) {
        if (!json_array_append_new(array, json_string(list->items[i]))) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *value_json(const struct option *o, const void *field)
{
    char word[MAX_NAME];
    const char *string;
    const json_t *value;
    switch (o->type) {
    case OPTION_FLAG: return json_boolean(*(const bool *)field);
    case OPTION_INT: return json_integer(*(const int64_t *)field);
    case OPTION_SEED: return json_integer((json_int_t) * (const uint64_t *)field);
    case OPTION_NUMBER: return json_real(*(const double *)field);
    case OPTION_CHOICE:
        if (*(const int *)field < 0) break;
        options_choice(word, sizeof word, o->choices, *(const int *)field);
        return json_string(word);
    case OPTION_STRING: string = *(const char *const *)field; return string ? json_string(string) : json_null();
    case OPTION_STRINGS: return strings_json(field);
    case OPTION_JSON:
        value = *(const json_t *const *)field;
        return value ? json_incref((json_t *)(uintptr_t)value) : json_null();
    case OPTION_REFUSED: break;
    }
    return json_null();
}

json_t *options_json(const struct option *table, const void *settings)
{
    json_t *object = json_object();
    for (const struct option *o = table; object && o->name; o++) {
        if (o->type == OPTION_REFUSED) continue;
        char key[MAX_NAME + 1];
        snprintf(key, sizeof key, "%s", o->name);
        for (char *c = key; *c; c++)
            if (*c == '-') *c = '_';
        if (!json_object_set_new(object, key, value_json(o, (const char *)settings + o->offset))) continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}
