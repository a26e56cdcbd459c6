// SPDX-License-Identifier: Apache-2.0
/* One handler for each opcode, found in a table: what is not in the table is refused by its number. A handler reads
 * its argument from the bytes and works on the stack of node numbers. Opcodes are named as in Python's pickletools,
 * where their meaning is written down. */
#include "formats/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct machine {
    const char *name;
    const uint8_t *data;
    size_t bytes, at; /* at: the next byte to read */
    size_t opcode_at; /* of the opcode that runs now, for errors */
    bool clipped;     /* more bytes follow than a pickle may have */
    bool stopped;
    struct pickle out;
    uint32_t *stack, n_stack, cap_stack;
    uint32_t *memo, n_memo, cap_memo, n_remembered; /* [n_memo], 0: not set */
};

/* Nodes that every pickle has, so that constants and the stack's marks need none of their own. */
enum { NODE_END, NODE_NONE, NODE_TRUE, NODE_FALSE, NODE_FLOAT, NODE_MARK, N_FIXED };

static const struct pickle_node fixed_nodes[N_FIXED] = {
    [NODE_END] = {.kind = PICKLE_END},
    [NODE_NONE] = {.kind = PICKLE_NONE},
    [NODE_TRUE] = {.kind = PICKLE_BOOL, .integer = 1},
    [NODE_FALSE] = {.kind = PICKLE_BOOL, .integer = 0},
    [NODE_FLOAT] = {.kind = PICKLE_FLOAT},
    [NODE_MARK] = {.kind = PICKLE_MARK},
};

static const struct {
    const char *module, *name;
    enum pickle_global global;
    enum dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", PICKLE_ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", PICKLE_REBUILD_PARAMETER, 0},
    {"torch", "Size", PICKLE_SIZE, 0},
    {"torch", "FloatStorage", PICKLE_STORAGE_TYPE, DTYPE_F32},
    {"torch", "DoubleStorage", PICKLE_STORAGE_TYPE, DTYPE_F64},
    {"torch", "HalfStorage", PICKLE_STORAGE_TYPE, DTYPE_F16},
    {"torch", "BFloat16Storage", PICKLE_STORAGE_TYPE, DTYPE_BF16},
    {"torch", "ByteStorage", PICKLE_STORAGE_TYPE, DTYPE_U8},
    {"torch", "BoolStorage", PICKLE_STORAGE_TYPE, DTYPE_BOOL},
    {"torch", "CharStorage", PICKLE_STORAGE_TYPE, DTYPE_I8},
    {"torch", "ShortStorage", PICKLE_STORAGE_TYPE, DTYPE_I16},
    {"torch", "IntStorage", PICKLE_STORAGE_TYPE, DTYPE_I32},
    {"torch", "LongStorage", PICKLE_STORAGE_TYPE, DTYPE_I64},
};

static enum status bad(const struct machine *m, const char *what)
{
    return fail(E_FORMAT, "%s: pickle byte %zu: %s", m->name, m->opcode_at, what);
}

static enum status take(struct machine *m, const uint8_t **out, uint64_t n)
{
    if (n > m->bytes - m->at) {
        if (m->clipped) return fail(E_LIMIT, "%s: the pickle is larger than %d bytes", m->name, PICKLE_MAX_BYTES);
        return bad(m, "the pickle ends before its STOP: truncated?");
    }
    *out = m->data + m->at;
    m->at += (size_t)n;
    return OK;
}

static enum status take_uint(struct machine *m, uint64_t *out, unsigned width)
{
    const uint8_t *p = NULL;
    uint64_t u = 0;
    TRY(take(m, &p, width));
    for (unsigned i = 0; i < width; i++)
        u |= (uint64_t)p[i] << 8 * i;
    *out = u;
    return OK;
}

static enum status grow(const struct machine *m, void **array, uint32_t *cap, uint32_t need, size_t item_bytes)
{
    if (need <= *cap) return OK;
    uint32_t more = *cap ? *cap : 64; /* cannot overflow: need is at most a few times PICKLE_MAX_BYTES */
    while (more < need)
        more *= 2;
    void *p = realloc(*array, more * item_bytes);
    if (!p) return fail(E_NOMEM, "%s: out of memory in a pickle of %zu bytes", m->name, m->bytes);
    *array = p;
    *cap = more;
    return OK;
}

static enum status add_node(struct machine *m, uint32_t *out, const struct pickle_node *node)
{
    struct pickle *p = &m->out;
    void *nodes = p->nodes;
    TRY(grow(m, &nodes, &p->cap_nodes, p->n_nodes + 1, sizeof p->nodes[0]));
    p->nodes = nodes;
    p->nodes[p->n_nodes] = *node;
    *out = p->n_nodes++;
    return OK;
}

static enum status push(struct machine *m, uint32_t value)
{
    void *stack = m->stack;
    TRY(grow(m, &stack, &m->cap_stack, m->n_stack + 1, sizeof m->stack[0]));
    m->stack = stack;
    m->stack[m->n_stack++] = value;
    return OK;
}

static enum status push_node(struct machine *m, const struct pickle_node *node)
{
    uint32_t at = 0;
    TRY(add_node(m, &at, node));
    return push(m, at);
}

static enum status peek(const struct machine *m, uint32_t *out)
{
    if (!m->n_stack || m->stack[m->n_stack - 1] == NODE_MARK) return bad(m, "stack underflow");
    *out = m->stack[m->n_stack - 1];
    return OK;
}

static enum status pop(struct machine *m, uint32_t *out)
{
    TRY(peek(m, out));
    m->n_stack--;
    return OK;
}

/* The place on the stack just above the topmost mark. */
static enum status find_mark(const struct machine *m, uint32_t *from)
{
    uint32_t i = m->n_stack;
    while (i && m->stack[i - 1] != NODE_MARK)
        i--;
    if (!i) return bad(m, "stack underflow: no mark");
    *from = i;
    return OK;
}

static const struct pickle_node *node_of(const struct machine *m, uint32_t value)
{
    return &m->out.nodes[value];
}

static enum status add_item(struct machine *m, uint32_t container, uint32_t key, uint32_t value)
{
    uint32_t at = 0;
    const struct pickle_node link = {.kind = PICKLE_LINK, .link = {.value = value, .key = key}};
    TRY(add_node(m, &at, &link));
    struct pickle_node *c = &m->out.nodes[container];
    if (c->n)
        m->out.nodes[c->items.last].link.next = at;
    else
        c->items.first = at;
    c->items.last = at;
    c->n++;
    return OK;
}

static enum status op_proto(struct machine *m, uint8_t op)
{
    (void)op;
    uint64_t version = 0;
    TRY(take_uint(m, &version, 1));
    if (version > 5) return fail(E_UNSUPPORTED, "%s: pickle protocol %" PRIu64 " is not supported", m->name, version);
    return OK;
}

static enum status op_frame(struct machine *m, uint8_t op)
{
    (void)op;
    uint64_t bytes = 0; /* a hint for buffering only */
    return take_uint(m, &bytes, 8);
}

static enum status op_stop(struct machine *m, uint8_t op)
{
    (void)op;
    TRY(pop(m, &m->out.root));
    m->stopped = true;
    return OK;
}

static enum status op_constant(struct machine *m, uint8_t op)
{
    const uint8_t *value = NULL;
    switch (op) {
    case '(': return push(m, NODE_MARK);
    case 'N': return push(m, NODE_NONE);
    case 0x88: return push(m, NODE_TRUE);
    case 0x89: return push(m, NODE_FALSE);
    default: TRY(take(m, &value, 8)); return push(m, NODE_FLOAT);
    }
}

static enum status op_pop(struct machine *m, uint8_t op)
{
    uint32_t at = 0;
    if (op == '0') return pop(m, &at);
    TRY(find_mark(m, &at));
    m->n_stack = at - 1;
    return OK;
}

static enum status op_int(struct machine *m, uint8_t op)
{
    uint64_t u = 0;
    TRY(take_uint(m, &u, op == 'K' ? 1 : op == 'M' ? 2 : 4));
    const int64_t i = op == 'J' ? (int32_t)(uint32_t)u : (int64_t)u;
    return push_node(m, &(struct pickle_node){.kind = PICKLE_INT, .integer = i});
}

/* LONG1: two's complement of any length. */
static enum status op_long(struct machine *m, uint8_t op)
{
    (void)op;
    uint64_t n = 0, u = 0;
    const uint8_t *p = NULL;
    TRY(take_uint(m, &n, 1));
    TRY(take(m, &p, n));
    if (n > 8) return push_node(m, &(struct pickle_node){.kind = PICKLE_BIG, .n = (uint32_t)n, .text = p});
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t sign = n && p[n - 1] & 0x80 ? 0xff : 0;
        u |= (i < n ? p[i] : sign) << 8 * i;
    }
    return push_node(m, &(struct pickle_node){.kind = PICKLE_INT, .integer = (int64_t)u});
}

static enum status op_text(struct machine *m, uint8_t op)
{
    uint64_t n = 0;
    const uint8_t *p = NULL;
    TRY(take_uint(m, &n, op == 'X' ? 4 : op == 0x8c ? 1 : 8));
    TRY(take(m, &p, n));
    return push_node(m, &(struct pickle_node){.kind = PICKLE_TEXT, .n = (uint32_t)n, .text = p});
}

static enum status push_tuple(struct machine *m, uint32_t from)
{
    uint32_t at = 0;
    TRY(add_node(m, &at, &(struct pickle_node){.kind = PICKLE_TUPLE}));
    for (uint32_t i = from; i < m->n_stack; i++)
        TRY(add_item(m, at, 0, m->stack[i]));
    m->n_stack = from;
    return push(m, at);
}

static enum status op_tuple(struct machine *m, uint8_t op)
{
    uint32_t from = 0;
    TRY(find_mark(m, &from));
    TRY(push_tuple(m, from));
    m->stack[from - 1] = m->stack[from]; /* the tuple takes the place of the mark */
    m->n_stack--;
    (void)op;
    return OK;
}

/* EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3 */
static enum status op_small_tuple(struct machine *m, uint8_t op)
{
    const uint32_t n = op == ')' ? 0 : (uint32_t)op - 0x84;
    if (n > m->n_stack) return bad(m, "stack underflow");
    for (uint32_t i = m->n_stack - n; i < m->n_stack; i++) {
        if (m->stack[i] == NODE_MARK) return bad(m, "stack underflow");
    }
    return push_tuple(m, m->n_stack - n);
}

static enum status op_empty(struct machine *m, uint8_t op)
{
    return push_node(m, &(struct pickle_node){.kind = op == ']' ? PICKLE_LIST : PICKLE_DICT});
}

/* Puts the values from stack[from] on into the list or dict at stack[at] and cuts the stack above it. */
static enum status collect(struct machine *m, uint32_t at, uint32_t from, enum pickle_kind kind)
{
    const uint32_t step = kind == PICKLE_DICT ? 2 : 1, container = m->stack[at];
    if (node_of(m, container)->kind != kind)
        return bad(m, kind == PICKLE_DICT ? "items for what is not a dict" : "items for what is not a list");
    if ((m->n_stack - from) % step) return bad(m, "a key without a value");
    for (uint32_t i = from; i < m->n_stack; i += step)
        TRY(add_item(m, container, step == 2 ? m->stack[i] : 0, m->stack[i + step - 1]));
    m->n_stack = at + 1;
    return OK;
}

/* APPEND, SETITEM */
static enum status op_add_one(struct machine *m, uint8_t op)
{
    const uint32_t n = op == 's' ? 2 : 1;
    if (m->n_stack < n + 1) return bad(m, "stack underflow");
    const uint32_t from = m->n_stack - n;
    for (uint32_t i = from; i < m->n_stack; i++) {
        if (m->stack[i] == NODE_MARK) return bad(m, "stack underflow");
    }
    return collect(m, from - 1, from, op == 's' ? PICKLE_DICT : PICKLE_LIST);
}

/* APPENDS, SETITEMS */
static enum status op_add_many(struct machine *m, uint8_t op)
{
    uint32_t from = 0;
    TRY(find_mark(m, &from));
    if (from < 2) return bad(m, "stack underflow");
    return collect(m, from - 2, from, op == 'u' ? PICKLE_DICT : PICKLE_LIST);
}

/* BINPUT, LONG_BINPUT, MEMOIZE */
static enum status op_put(struct machine *m, uint8_t op)
{
    uint32_t value = 0;
    uint64_t index = m->n_remembered;
    if (op != 0x94) TRY(take_uint(m, &index, op == 'q' ? 1 : 4));
    TRY(peek(m, &value));
    if (index >= m->bytes) /* a writer counts them from 0 and each takes a byte at least */
        return fail(E_FORMAT, "%s: pickle byte %zu: memo index %" PRIu64 " in a pickle of %zu bytes", m->name,
                    m->opcode_at, index, m->bytes);
    void *memo = m->memo;
    TRY(grow(m, &memo, &m->cap_memo, (uint32_t)index + 1, sizeof m->memo[0]));
    m->memo = memo;
    while (m->n_memo <= index)
        m->memo[m->n_memo++] = 0;
    m->n_remembered += !m->memo[index];
    m->memo[index] = value;
    return OK;
}

static enum status op_get(struct machine *m, uint8_t op)
{
    uint64_t index = 0;
    TRY(take_uint(m, &index, op == 'h' ? 1 : 4));
    if (index >= m->n_memo || !m->memo[index])
        return fail(E_FORMAT, "%s: pickle byte %zu: memo %" PRIu64 " is not set", m->name, m->opcode_at, index);
    return push(m, m->memo[index]);
}

static int shown(uint32_t n)
{
    return n < 100 ? (int)n : 100;
}

static enum status import(struct machine *m, const struct pickle_node *module, const struct pickle_node *name)
{
    for (size_t i = 0; i < COUNT_OF(globals); i++) {
        if (!pickle_text_is(module, globals[i].module) || !pickle_text_is(name, globals[i].name)) continue;
        return push_node(m, &(struct pickle_node){.kind = PICKLE_GLOBAL,
                                                  .global = (uint8_t)globals[i].global,
                                                  .dtype = (uint8_t)globals[i].dtype});
    }
    return fail(E_UNSUPPORTED, "%s: pickle names foreign global %.*s.%.*s", m->name, shown(module->n),
                (const char *)module->text, shown(name->n), (const char *)name->text);
}

static enum status take_line(struct machine *m, struct pickle_node *out)
{
    const uint8_t *from = m->data + m->at, *text = NULL;
    const uint8_t *end = m->at < m->bytes ? memchr(from, '\n', m->bytes - m->at) : NULL;
    TRY(take(m, &text, end ? (uint64_t)(end - from) + 1 : UINT64_MAX));
    *out = (struct pickle_node){.kind = PICKLE_TEXT, .n = (uint32_t)(end - from), .text = text};
    return OK;
}

static enum status op_global(struct machine *m, uint8_t op)
{
    (void)op;
    struct pickle_node module = {0}, name = {0};
    TRY(take_line(m, &module));
    TRY(take_line(m, &name));
    return import(m, &module, &name);
}

static enum status op_stack_global(struct machine *m, uint8_t op)
{
    (void)op;
    uint32_t name = 0, module = 0;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    const struct pickle_node a = *node_of(m, module), b = *node_of(m, name); /* copies: importing moves the nodes */
    if (a.kind != PICKLE_TEXT || b.kind != PICKLE_TEXT) return bad(m, "a global whose name is not text");
    return import(m, &a, &b);
}

/* Copies the first n items of a tuple; false if it is no tuple or has fewer. */
static bool unpack(const struct machine *m, uint32_t tuple, uint32_t *items, uint32_t n)
{
    const struct pickle_node *t = node_of(m, tuple);
    if (t->kind != PICKLE_TUPLE || t->n < n) return false;
    uint32_t at = t->items.first;
    for (uint32_t i = 0; i < n; i++, at = node_of(m, at)->link.next)
        items[i] = node_of(m, at)->link.value;
    return true;
}

static bool is(const struct machine *m, uint32_t value, enum pickle_kind kind)
{
    return node_of(m, value)->kind == kind;
}

static enum status call_rebuild_tensor(struct machine *m, uint32_t arguments)
{
    uint32_t a[4]; /* what follows, requires_grad and hooks, is about training */
    if (!unpack(m, arguments, a, 4) || !is(m, a[0], PICKLE_STORAGE) || !is(m, a[1], PICKLE_INT) ||
        !is(m, a[2], PICKLE_TUPLE) || !is(m, a[3], PICKLE_TUPLE))
        return bad(m, "_rebuild_tensor_v2 with arguments that are not storage, offset, shape and strides");
    return push_node(
        m, &(struct pickle_node){.kind = PICKLE_TENSOR,
                                 .tensor = {.storage = a[0], .offset = a[1], .shape = a[2], .strides = a[3]}});
}

static enum status op_reduce(struct machine *m, uint8_t op)
{
    (void)op;
    uint32_t arguments = 0, callee = 0, first = 0;
    TRY(pop(m, &arguments));
    TRY(pop(m, &callee));
    if (!is(m, callee, PICKLE_GLOBAL)) return bad(m, "a call of what is not a global");
    if (!is(m, arguments, PICKLE_TUPLE)) return bad(m, "a call whose arguments are not a tuple");
    switch ((enum pickle_global)node_of(m, callee)->global) {
    case PICKLE_ORDERED_DICT:
        if (node_of(m, arguments)->n) return bad(m, "OrderedDict called with arguments");
        return push_node(m, &(struct pickle_node){.kind = PICKLE_DICT});
    case PICKLE_REBUILD_TENSOR: return call_rebuild_tensor(m, arguments);
    case PICKLE_REBUILD_PARAMETER:
        if (!unpack(m, arguments, &first, 1) || !is(m, first, PICKLE_TENSOR))
            return bad(m, "_rebuild_parameter of what is not a tensor");
        return push(m, first);
    case PICKLE_SIZE:
        if (!unpack(m, arguments, &first, 1) || !is(m, first, PICKLE_TUPLE))
            return bad(m, "torch.Size of what is not a tuple");
        return push(m, first);
    case PICKLE_STORAGE_TYPE: break;
    }
    return bad(m, "a call of a storage type");
}

/* BINPERSID. An old torch adds a view into another storage as sixth item, or None. */
static enum status op_persistent_id(struct machine *m, uint8_t op)
{
    (void)op;
    uint32_t id = 0, a[6] = {0};
    TRY(pop(m, &id));
    if (!unpack(m, id, a, 5) || !is(m, a[0], PICKLE_TEXT) || !pickle_text_is(node_of(m, a[0]), "storage") ||
        !is(m, a[1], PICKLE_GLOBAL) || node_of(m, a[1])->global != PICKLE_STORAGE_TYPE || !is(m, a[2], PICKLE_TEXT) ||
        !is(m, a[4], PICKLE_INT))
        return bad(m, "a persistent id that is not a storage's");
    if (unpack(m, id, a, 6) && !is(m, a[5], PICKLE_NONE))
        return fail(E_UNSUPPORTED, "%s: pickle byte %zu: a storage that is a view of another is not supported", m->name,
                    m->opcode_at);
    return push_node(m, &(struct pickle_node){.kind = PICKLE_STORAGE,
                                              .dtype = node_of(m, a[1])->dtype,
                                              .storage = {.key = a[2], .elements = a[4]}});
}

/* BUILD sets attributes; a state dict's _metadata is one, and of no use here. */
static enum status op_build(struct machine *m, uint8_t op)
{
    (void)op;
    uint32_t state = 0, object = 0;
    TRY(pop(m, &state));
    TRY(peek(m, &object));
    return is(m, object, PICKLE_DICT) ? OK : bad(m, "attributes set on what is not a dict");
}

typedef enum status opcode_fn(struct machine *m, uint8_t op);

static opcode_fn *const opcodes[256] = {
    [0x80] = op_proto,        [0x95] = op_frame,       ['.'] = op_stop,          ['('] = op_constant,
    ['N'] = op_constant,      [0x88] = op_constant,    [0x89] = op_constant,     ['G'] = op_constant,
    ['0'] = op_pop,           ['1'] = op_pop,          ['K'] = op_int,           ['M'] = op_int,
    ['J'] = op_int,           [0x8a] = op_long,        ['X'] = op_text,          [0x8c] = op_text,
    [0x8d] = op_text,         ['t'] = op_tuple,        [')'] = op_small_tuple,   [0x85] = op_small_tuple,
    [0x86] = op_small_tuple,  [0x87] = op_small_tuple, [']'] = op_empty,         ['}'] = op_empty,
    ['a'] = op_add_one,       ['s'] = op_add_one,      ['e'] = op_add_many,      ['u'] = op_add_many,
    ['q'] = op_put,           ['r'] = op_put,          [0x94] = op_put,          ['h'] = op_get,
    ['j'] = op_get,           ['c'] = op_global,       [0x93] = op_stack_global, ['R'] = op_reduce,
    ['Q'] = op_persistent_id, ['b'] = op_build,
};

static enum status run(struct machine *m)
{
    uint32_t at = 0;
    for (int i = 0; i < N_FIXED; i++)
        TRY(add_node(m, &at, &fixed_nodes[i]));
    while (!m->stopped) {
        const uint8_t *op = NULL;
        m->opcode_at = m->at;
        TRY(take(m, &op, 1));
        if (!opcodes[*op])
            return fail(E_UNSUPPORTED, "%s: pickle byte %zu: opcode 0x%02x is not supported", m->name, m->opcode_at,
                        *op);
        TRY(opcodes[*op](m, *op));
    }
    return OK;
}

enum status pickle_read(struct pickle *out, const uint8_t *data, size_t bytes, const char *name)
{
    const bool clipped = bytes > PICKLE_MAX_BYTES;
    struct machine m = {.name = name, .data = data, .bytes = clipped ? PICKLE_MAX_BYTES : bytes, .clipped = clipped};
    const enum status s = run(&m);
    free(m.stack);
    free(m.memo);
    if (s != OK) {
        pickle_free(&m.out);
        return s;
    }
    m.out.used_bytes = m.at;
    *out = m.out;
    return OK;
}

void pickle_free(struct pickle *p)
{
    free(p->nodes);
    *p = (struct pickle){0};
}

bool pickle_text_is(const struct pickle_node *node, const char *text)
{
    return node->kind == PICKLE_TEXT && node->n == strlen(text) && !memcmp(node->text, text, node->n);
}
