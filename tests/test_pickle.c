// SPDX-License-Identifier: Apache-2.0
/* The pickle machine on pickles written out by hand: what it understands, and that all else is refused by name. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

#include "base/buf.h"
#include "formats/pickle.h"

#define BYTES(literal) literal, sizeof(literal) - 1

struct text {
    const char *data;
    size_t bytes;
};

static enum status read_text(struct pickle *p, const char *data, size_t bytes)
{
    return pickle_read(p, (const uint8_t *)data, bytes, "x.bin");
}

static const struct pickle_node *read_root(struct pickle *p, const char *data, size_t bytes)
{
    if (read_text(p, data, bytes) != OK) fail_msg("%s", status_message());
    return &p->nodes[p->root];
}

static void integers_of_every_width_are_read(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        int64_t value;
    } cases[] = {
        {{BYTES("\x80\2K\xff.")}, 255},
        {{BYTES("\x80\2M\xff\xff.")}, 65535},
        {{BYTES("\x80\2J\xfe\xff\xff\xff.")}, -2},
        {{BYTES("\x80\2J\0\0\0\x40.")}, 1 << 30},
        {{BYTES("\x80\2\x8a\0.")}, 0},
        {{BYTES("\x80\2\x8a\1\x80.")}, -128},
        {{BYTES("\x80\2\x8a\5\0\0\0\0\1.")}, (int64_t)1 << 32},
        {{BYTES("\x80\2\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f.")}, INT64_MAX},
        {{BYTES("\x80\2\x8a\10\0\0\0\0\0\0\0\x80.")}, INT64_MIN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pickle p;
        const struct pickle_node *v = read_root(&p, cases[i].pickle.data, cases[i].pickle.bytes);
        assert_int_equal(v->kind, PICKLE_INT);
        assert_true(v->integer == cases[i].value);
        assert_int_equal(p.used_bytes, cases[i].pickle.bytes);
        pickle_free(&p);
    }
}

static void text_is_read_in_every_spelling(void **state)
{
    (void)state;
    static const struct text cases[] = {
        {BYTES("\x80\2X\3\0\0\0abc.")},
        {BYTES("\x80\4\x95\6\0\0\0\0\0\0\0\x8c\3abc.")},
        {BYTES("\x80\4\x8d\3\0\0\0\0\0\0\0abc.")},
        {BYTES("\x80\2X\3\0\0\0abcq\0"
               "0h\0.")},
        {BYTES("\x80\2X\3\0\0\0abcr\1\0\0\0"
               "0j\1\0\0\0.")},
        {BYTES("\x80\4\x8c\3abc\x94"
               "0h\0.")},
        {BYTES("(KKKKKKX\3\0\0\0abc.")},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pickle p;
        const struct pickle_node *v = read_root(&p, cases[i].data, cases[i].bytes);
        assert_true(pickle_text_is(v, "abc"));
        assert_false(pickle_text_is(v, "ab"));
        assert_false(pickle_text_is(v, "abcd"));
        pickle_free(&p);
    }
}

static int64_t item(const struct pickle *p, const struct pickle_node *container, int i)
{
    uint32_t at = container->items.first;
    while (i--)
        at = p->nodes[at].link.next;
    assert_int_equal(p->nodes[p->nodes[at].link.value].kind, PICKLE_INT);
    return p->nodes[p->nodes[at].link.value].integer;
}

static void containers_keep_their_items_in_order(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        enum pickle_kind kind;
        uint32_t n;
    } cases[] = {
        {{BYTES(").")}, PICKLE_TUPLE, 0},
        {{BYTES("K\0\x85.")}, PICKLE_TUPLE, 1},
        {{BYTES("K\0K\1\x86.")}, PICKLE_TUPLE, 2},
        {{BYTES("K\0K\1K\2\x87.")}, PICKLE_TUPLE, 3},
        {{BYTES("(K\0K\1K\2K\3t.")}, PICKLE_TUPLE, 4},
        {{BYTES("(t.")}, PICKLE_TUPLE, 0},
        {{BYTES("].")}, PICKLE_LIST, 0},
        {{BYTES("]K\0a(K\1K\2e.")}, PICKLE_LIST, 3},
        {{BYTES("}.")}, PICKLE_DICT, 0},
        {{BYTES("}NK\0s(NK\1NK\2u.")}, PICKLE_DICT, 3},
        {{BYTES("ccollections\nOrderedDict\n)R(NK\0u.")}, PICKLE_DICT, 1},
        {{BYTES("ccollections\nOrderedDict\n)R}NNsb.")}, PICKLE_DICT, 0},
        {{BYTES("\x8c\13collections\x8c\13OrderedDict\x93)R.")}, PICKLE_DICT, 0},
        {{BYTES("ctorch\nSize\nK\0K\1\x86\x85R.")}, PICKLE_TUPLE, 2},
        {{BYTES("(K\7K\10"
                "1K\0\x85.")},
         PICKLE_TUPLE,
         1},
        {{BYTES("]q\0h\0"
                "0h\0K\0a.")},
         PICKLE_LIST,
         1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pickle p;
        const struct pickle_node *v = read_root(&p, cases[i].pickle.data, cases[i].pickle.bytes);
        assert_int_equal(v->kind, cases[i].kind);
        assert_int_equal(v->n, cases[i].n);
        for (uint32_t k = 0; k < v->n; k++)
            assert_int_equal(item(&p, v, (int)k), k);
        pickle_free(&p);
    }
}

#define STORAGE "(X\7\0\0\0storagectorch\nHalfStorage\nX\1\0\0\0007X\3\0\0\0cpuK\x40tQ"

static void tensors_and_parameters_are_what_torch_means(void **state)
{
    (void)state;
    static const struct text cases[] = {
        {BYTES("ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE "K\0K\x40\x85K\1\x85\x89NtR.")},
        {BYTES("ctorch._utils\n_rebuild_parameter\nctorch._utils\n_rebuild_tensor_v2\n(" STORAGE
               "K\0K\x40\x85K\1\x85\x89NtR\x88N\x87R.")},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pickle p;
        const struct pickle_node *v = read_root(&p, cases[i].data, cases[i].bytes);
        assert_int_equal(v->kind, PICKLE_TENSOR);
        const struct pickle_node *storage = &p.nodes[v->tensor.storage];
        assert_int_equal(storage->kind, PICKLE_STORAGE);
        assert_int_equal(storage->dtype, DTYPE_F16);
        assert_true(pickle_text_is(&p.nodes[storage->storage.key], "7"));
        assert_int_equal(p.nodes[storage->storage.elements].integer, 64);
        assert_int_equal(p.nodes[v->tensor.offset].integer, 0);
        assert_int_equal(item(&p, &p.nodes[v->tensor.shape], 0), 64);
        assert_int_equal(item(&p, &p.nodes[v->tensor.strides], 0), 1);
        pickle_free(&p);
    }
}

static void bad_pickles_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        enum status status;
        const char *message;
    } cases[] = {
        {{BYTES("")}, E_FORMAT, "byte 0: the pickle ends before its STOP: truncated?"},
        {{BYTES("\x80\2")}, E_FORMAT, "byte 2: the pickle ends"},
        {{BYTES("\x80\6.")}, E_UNSUPPORTED, "pickle protocol 6"},
        {{BYTES("\x80\2cos\nsystem\nX\4\0\0\0exit\x85R.")},
         E_UNSUPPORTED,
         "x.bin: pickle names foreign global os.system"},
        {{BYTES("\x80\4\x8c\5posix\x8c\6system\x93.")}, E_UNSUPPORTED, "foreign global posix.system"},
        {{BYTES("ctorch\nUntypedStorage\n.")}, E_UNSUPPORTED, "foreign global torch.UntypedStorage"},
        {{BYTES("cos\nsys")}, E_FORMAT, "truncated?"},
        {{BYTES("cos")}, E_FORMAT, "truncated?"},
        {{BYTES("\x80\2\x81.")}, E_UNSUPPORTED, "pickle byte 2: opcode 0x81 is not supported"},
        {{BYTES("\xff")}, E_UNSUPPORTED, "pickle byte 0: opcode 0xff"},
        {{BYTES("ios\nsystem\n.")}, E_UNSUPPORTED, "opcode 0x69"},
        {{BYTES(".")}, E_FORMAT, "stack underflow"},
        {{BYTES("(.")}, E_FORMAT, "stack underflow"},
        {{BYTES("0")}, E_FORMAT, "stack underflow"},
        {{BYTES("1")}, E_FORMAT, "no mark"},
        {{BYTES("Nt")}, E_FORMAT, "no mark"},
        {{BYTES("N\x86")}, E_FORMAT, "stack underflow"},
        {{BYTES("N(N\x86")}, E_FORMAT, "stack underflow"},
        {{BYTES("}Ns")}, E_FORMAT, "stack underflow"},
        {{BYTES("}N(s")}, E_FORMAT, "stack underflow"},
        {{BYTES("(u")}, E_FORMAT, "stack underflow"},
        {{BYTES("((u")}, E_FORMAT, "items for what is not a dict"},
        {{BYTES("R")}, E_FORMAT, "stack underflow"},
        {{BYTES("q\0")}, E_FORMAT, "stack underflow"},
        {{BYTES("b")}, E_FORMAT, "stack underflow"},
        {{BYTES("h\0.")}, E_FORMAT, "memo 0 is not set"},
        {{BYTES("Nq\1h\0.")}, E_FORMAT, "memo 0 is not set"},
        {{BYTES("j\xff\xff\xff\xff.")}, E_FORMAT, "memo 4294967295 is not set"},
        {{BYTES("Nr\xff\xff\xff\xff.")}, E_FORMAT, "memo index 4294967295 in a pickle of 7 bytes"},
        {{BYTES("]NNs.")}, E_FORMAT, "items for what is not a dict"},
        {{BYTES("}Na.")}, E_FORMAT, "items for what is not a list"},
        {{BYTES("}(NNNu.")}, E_FORMAT, "a key without a value"},
        {{BYTES("X\xff\xff\xff\xff"
                "abc.")},
         E_FORMAT,
         "truncated?"},
        {{BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                "abc.")},
         E_FORMAT,
         "truncated?"},
        {{BYTES("\x8a\xff"
                "abc.")},
         E_FORMAT,
         "truncated?"},
        {{BYTES("NN\x93.")}, E_FORMAT, "a global whose name is not text"},
        {{BYTES("N)R.")}, E_FORMAT, "a call of what is not a global"},
        {{BYTES("ccollections\nOrderedDict\nNR.")}, E_FORMAT, "arguments are not a tuple"},
        {{BYTES("ccollections\nOrderedDict\nN\x85R.")}, E_FORMAT, "OrderedDict called with arguments"},
        {{BYTES("ctorch\nHalfStorage\n)R.")}, E_FORMAT, "a call of a storage type"},
        {{BYTES("ctorch\nSize\n)R.")}, E_FORMAT, "torch.Size of what is not a tuple"},
        {{BYTES("ctorch._utils\n_rebuild_tensor_v2\n)R.")}, E_FORMAT, "_rebuild_tensor_v2 with arguments"},
        {{BYTES("ctorch._utils\n_rebuild_parameter\nN\x85R.")}, E_FORMAT, "_rebuild_parameter of what is not"},
        {{BYTES("NQ.")}, E_FORMAT, "a persistent id that is not a storage's"},
        {{BYTES("(X\6\0\0\0modulectorch\nHalfStorage\nX\1\0\0\0007X\3\0\0\0cpuK\x40tQ.")},
         E_FORMAT,
         "a persistent id that is not a storage's"},
        {{BYTES("(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0007X\3\0\0\0cpuK\x40tQ.")},
         E_FORMAT,
         "a persistent id that is not a storage's"},
        {{BYTES("(X\7\0\0\0storagectorch\nHalfStorage\nX\1\0\0\0007X\3\0\0\0cpuK\x40)tQ.")},
         E_UNSUPPORTED,
         "a storage that is a view of another"},
        {{BYTES("NNb.")}, E_FORMAT, "attributes set on what is not a dict"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pickle p;
        const enum status s = read_text(&p, cases[i].pickle.data, cases[i].pickle.bytes);
        if (s != cases[i].status || !strstr(status_message(), cases[i].message))
            fail_msg("case %zu: status %d, \"%s\" should have \"%s\"", i, (int)s, status_message(), cases[i].message);
    }
}

/* Every opcode that can pile up values, as often as fits. */
static void memory_is_bounded_by_the_pickle(void **state)
{
    (void)state;
    static const char *const units[] = {"]", "(", "N", ")\x85", "]q\1", "(t"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct buf b = {0};
        struct pickle p;
        for (int k = 0; k < 100000; k++)
            buf_puts(&b, units[i]);
        buf_puts(&b, "N.");
        assert_int_equal(read_text(&p, b.data, b.len), OK);
        assert_true(p.n_nodes <= 2 * b.len + 8);
        pickle_free(&p);
        buf_free(&b);
    }
}

static void a_pickle_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    struct pickle p;
    const uint32_t n = PICKLE_MAX_BYTES;
    buf_append(&b, "X", 1);
    buf_append(&b, &n, 4);
    while (b.len < (size_t)n + 5)
        buf_puts(&b, "................................................................");
    assert_int_equal(read_text(&p, b.data, b.len), E_LIMIT);
    assert_non_null(strstr(status_message(), "larger than 16777216 bytes"));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width_are_read),
        cmocka_unit_test(text_is_read_in_every_spelling),
        cmocka_unit_test(containers_keep_their_items_in_order),
        cmocka_unit_test(tensors_and_parameters_are_what_torch_means),
        cmocka_unit_test(bad_pickles_are_refused_by_name),
        cmocka_unit_test(memory_is_bounded_by_the_pickle),
        cmocka_unit_test(a_pickle_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
