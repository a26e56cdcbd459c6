// SPDX-License-Identifier: Apache-2.0
/* The ground everything stands on: messages, buffers, files, JSON members, half floats, UTF-8, random numbers,
 * progress lines. */
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch_directory.h"
#include "test.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/utf8.h"

struct bytes {
    const char *data;
    size_t len;
};

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static void messages_are_one_printable_line(void **state)
{
    (void)state;
    assert_int_equal(fail(E_LIMIT, "%s: %d\n\x1b[31m\x7f", "name", 3), E_LIMIT);
    assert_string_equal(status_message(), "name: 3??[31m?");
    assert_int_equal(fail(E_IO, "outer: %s", status_message()), E_IO);
    assert_string_equal(status_message(), "outer: name: 3??[31m?");
    fail(E_IO, "%5000d", 1);
    assert_in_range(strlen(status_message()), 500, 5000);
}

static enum status through_try(enum status s, int *after)
{
    TRY(s);
    *after = 1;
    return OK;
}

static void try_returns_failures_only(void **state)
{
    (void)state;
    int after = 0;
    assert_int_equal(through_try(E_NOMEM, &after), E_NOMEM);
    assert_int_equal(after, 0);
    assert_int_equal(through_try(OK, &after), OK);
    assert_int_equal(after, 1);
}

static void buffers_hold_what_was_appended(void **state)
{
    (void)state;
    struct buf b = {0};
    char expected[4000];
    for (size_t n = 0; n < 1000; n++) {
        memcpy(expected + 4 * n, "ab\0d", 4);
        buf_append(&b, "ab\0d", 4);
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, sizeof expected);
    assert_memory_equal(b.data, expected, sizeof expected);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    buf_printf(&b, "%d-%s", 42, "x");
    buf_puts(&b, "!");
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "42-x!");
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "%*d", i, i);
    assert_int_equal(b.len, strlen(b.data));
    assert_int_equal(buf_status(&b), OK);
    buf_free(&b);
    assert_null(b.data);
}

static void an_append_without_memory_is_reported_once_at_the_end(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_puts(&b, "kept");
    buf_append(&b, "", SIZE_MAX - 8);
    buf_puts(&b, "ignored");
    assert_int_equal(buf_status(&b), E_NOMEM);
    assert_string_equal(b.data, "kept");
    buf_free(&b);
}

static void path_to(char path[static 256], const char *name)
{
    assert_int_equal(file_join(path, 256, directory, name), OK);
}

static void put(const char *path, const char *text)
{
    struct file_writer w;
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, text, strlen(text)), OK);
    assert_int_equal(file_writer_commit(&w), OK);
}

static void assert_content(const char *path, const char *text)
{
    struct buf b = {0};
    assert_int_equal(file_read(&b, path, 1000), OK);
    assert_string_equal(b.data ? b.data : "", text);
    buf_free(&b);
}

static void a_file_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    char path[256];
    struct file_writer w;
    path_to(path, "out");
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, "half", 4), OK);
    assert_int_equal(fflush(w.stream), 0);
    assert_false(file_exists(path));
    file_writer_abort(&w);
    file_writer_abort(&w);
    assert_false(file_exists(path));

    put(path, "old");
    assert_content(path, "old");
    assert_int_equal(file_writer_open(&w, path), OK);
    fputs("new", w.stream);
    fflush(w.stream);
    assert_content(path, "old");
    file_writer_abort(&w);
    assert_content(path, "old");
    put(path, "");
    assert_content(path, "");
    put(path, "newer");
    assert_content(path, "newer");
    assert_int_equal(unlink(path), 0);
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
    (void)state;
    char path[256], inner[300];
    struct file_writer w;
    path_to(path, "sub");
    assert_int_equal(file_join(inner, sizeof inner, path, "out"), OK);
    assert_int_equal(file_writer_open(&w, inner), E_IO);
    file_writer_abort(&w);
    assert_int_equal(file_writer_open(&w, "/dev/null"), E_IO); /* a device is not replaced by a file */
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(mkdir(path, 0700), 0); /* comes in between: only the rename finds out */
    assert_int_equal(file_writer_write(&w, "x", 1), OK);
    assert_int_equal(file_writer_commit(&w), E_IO);
    assert_non_null(strstr(status_message(), path));
    file_writer_abort(&w);
    assert_int_equal(rmdir(path), 0);

    static const char block[8192];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit then fails, as on a full disk */
    path_to(path, "full");
    assert_int_equal(file_writer_open(&w, path), OK);
    setvbuf(w.stream, NULL, _IONBF, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, before.rlim_max}), 0);
    const enum status written = file_writer_write(&w, block, sizeof block);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(written, E_IO);
    assert_int_equal(file_writer_commit(&w), E_IO); /* although nothing fails any more */
    assert_false(file_exists(path));
}

static void an_open_pipe_can_be_read_by_its_path(void **state)
{
    (void)state;
    int ends[2];
    char path[64];
    struct buf b = {0};
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "piped", 5), 5);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(file_read(&b, path, 5), OK);
    assert_string_equal(b.data, "piped");
    buf_free(&b);
    close(ends[0]);
}

static void reads_are_bounded_and_of_regular_files(void **state)
{
    (void)state;
    char path[256];
    struct buf b = {0};
    struct mapping map;
    path_to(path, "in");
    put(path, "0123456789");
    assert_int_equal(file_read(&b, path, 9), E_LIMIT);
    buf_free(&b);
    assert_int_equal(file_read(&b, path, 10), OK);
    assert_string_equal(b.data, "0123456789");
    buf_free(&b);
    assert_int_equal(file_map(&map, path), OK);
    assert_int_equal(map.bytes, 10);
    assert_memory_equal(map.data, "0123456789", 10);
    file_unmap(&map);
    assert_null(map.data);
    file_unmap(&map);
    put(path, "");
    assert_int_equal(file_map(&map, path), OK);
    assert_null(map.data);
    assert_int_equal(map.bytes, 0);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(file_map(&map, path), E_IO);
    assert_int_equal(file_read(&b, path, 10), E_IO);
    assert_int_equal(file_map(&map, directory), E_IO);
    assert_true(file_is_dir(directory));
    assert_false(file_is_dir(path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_map(&map, path), E_IO); /* and does not wait for a writer */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_join(path, 5, "abc", "d"), E_LIMIT);
    assert_int_equal(file_join(path, 6, "abc", "d"), OK);
    assert_string_equal(path, "abc/d");
}

/* Every pair of neighbours: the numbers themselves, the point half way (even wins) and its neighbours on both sides.
 * to_float must be right for this, which the first assertions check against the definition of the format. */
struct format {
    uint16_t (*narrow)(float);
    float (*widen)(uint16_t);
    int mantissa_bits, bias, infinity;
};

static void check_neighbours(const struct format *f, uint16_t h, uint16_t sign)
{
    const double low = (double)f->widen(h);
    const double high = h + 1 == f->infinity ? 2 * (double)f->widen((uint16_t)(f->infinity - (1 << f->mantissa_bits)))
                                             : (double)f->widen((uint16_t)(h + 1));
    const float middle = (float)((low + high) / 2), s = sign ? -1.0f : 1.0f;
    assert_true((double)middle == (low + high) / 2);
    assert_int_equal(f->narrow(s * (float)low), h | sign);
    assert_int_equal(f->narrow(s * middle), (h + (h & 1)) | sign);
    assert_int_equal(f->narrow(s * nextafterf(middle, 0)), h | sign);
    assert_int_equal(f->narrow(s * nextafterf(middle, INFINITY)), (h + 1) | sign);
}

static void check_format(const struct format *f)
{
    const uint16_t mask = (uint16_t)((1 << f->mantissa_bits) - 1);
    for (int i = 0; i < 65536; i++) {
        const uint16_t h = (uint16_t)(i & 0x7fff), sign = (uint16_t)(i & 0x8000);
        const int exponent = h >> f->mantissa_bits, mantissa = h & mask;
        const float x = f->widen((uint16_t)i);
        assert_int_equal(signbit(x) != 0, sign != 0);
        if (h > f->infinity) {
            assert_true(isnan(x));
            assert_true((f->narrow(x) & 0x7fff) > f->infinity);
            continue;
        }
        if (h == f->infinity) {
            assert_true(isinf(x));
            assert_int_equal(f->narrow(x), i);
            continue;
        }
        const double value = exponent ? ldexp(mantissa + mask + 1, exponent - f->bias - f->mantissa_bits)
                                      : ldexp(mantissa, 1 - f->bias - f->mantissa_bits);
        assert_true(fabs((double)x) == value);
        check_neighbours(f, h, sign);
    }
    assert_int_equal(f->narrow(FLT_MAX), f->infinity);
    assert_int_equal(f->narrow(0x1p-149f), 0);
    assert_int_equal(f->narrow(half_float_of(0x7f800001)) & 0x7fff & ~f->infinity ? 1 : 0, 1);
    assert_int_equal(f->narrow(half_float_of(0xffffffff)) >> 15, 1);
}

static void half_rounds_to_nearest_even_everywhere(void **state)
{
    (void)state;
    check_format(&(struct format){f16_from_f32, f16_to_f32, 10, 15, 0x7c00});
}

static void bfloat16_rounds_to_nearest_even_everywhere(void **state)
{
    (void)state;
    check_format(&(struct format){bf16_from_f32, bf16_to_f32, 7, 127, 0x7f80});
}

/* Expected values: bytes.decode("utf-8", "replace") of Python 3.11. */
static const struct {
    struct bytes in, out;
} utf8_cases[] = {
    {BYTES(""), BYTES("")},
    {BYTES("plain"), BYTES("plain")},
    {BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")},
    {BYTES("\x80"), BYTES("\xef\xbf\xbd")},
    {BYTES("a\x80\xbf"
           "b"),
     BYTES("a\xef\xbf\xbd\xef\xbf\xbd"
           "b")},
    {BYTES("\xc0\xaf"), BYTES("\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xc1\x81"), BYTES("\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xc2"), BYTES("\xef\xbf\xbd")},
    {BYTES("\xc2"
           "A"),
     BYTES("\xef\xbf\xbd"
           "A")},
    {BYTES("\xe2\x82"), BYTES("\xef\xbf\xbd")},
    {BYTES("\xe2\x82"
           "A"),
     BYTES("\xef\xbf\xbd"
           "A")},
    {BYTES("\xe2"
           "A\x82"),
     BYTES("\xef\xbf\xbd"
           "A\xef\xbf\xbd")},
    {BYTES("\xe0\x80\xaf"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xe0\x9f\xbf"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xed\xa0\x80"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xed\xbf\xbf\xed\x9f\xbf"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xed\x9f\xbf")},
    {BYTES("\xf0\x80\x80\x80"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xf0\x8f\xbf\xbf"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xf0\x9f\x98"), BYTES("\xef\xbf\xbd")},
    {BYTES("\xf0\x9f\x98x"), BYTES("\xef\xbf\xbdx")},
    {BYTES("\xf0\x9fx"), BYTES("\xef\xbf\xbdx")},
    {BYTES("\xf4\x90\x80\x80"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xf4\x8f\xbf\xbf"), BYTES("\xf4\x8f\xbf\xbf")},
    {BYTES("\xf5\x80\x80\x80"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xff\xfe"), BYTES("\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xe2\x82\xe2\x82\xac"), BYTES("\xef\xbf\xbd\xe2\x82\xac")},
    {BYTES("\xf0\xf0\x9f\x98\x80"), BYTES("\xef\xbf\xbd\xf0\x9f\x98\x80")},
    {BYTES("\xe1\x80\xc3\xa9"), BYTES("\xef\xbf\xbd\xc3\xa9")},
    {BYTES("a\x00\xff"
           "b"),
     BYTES("a\x00\xef\xbf\xbd"
           "b")},
    {BYTES("\xfc\x84\x80\x80\x80\x80"),
     BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {BYTES("\xef\xbf\xbd\xef\xbf\xbe"), BYTES("\xef\xbf\xbd\xef\xbf\xbe")},
    {BYTES("\xf1\x80\x80"), BYTES("\xef\xbf\xbd")},
    {BYTES("\xf1\x80\xe1\x80\xc2"), BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
};

static void replacement_is_pythons(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(utf8_cases); i++) {
        const struct bytes in = utf8_cases[i].in, out = utf8_cases[i].out;
        struct buf b = {0};
        utf8_append_replaced(&b, in.data, in.len);
        assert_int_equal(b.len, out.len);
        if (out.len) assert_memory_equal(b.data, out.data, out.len);
        assert_int_equal(utf8_valid(in.data, in.len), in.len == out.len && !memcmp(in.data, out.data, in.len));
        assert_true(utf8_valid(out.data, out.len));
        buf_free(&b);
    }
}

/* Length of c in UTF-8, 0 for what has none. */
static size_t encode(char out[4], uint32_t c)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    for (uint32_t i = 0; i < 2; i++)
        out[3 - i] = (char)(0x80 | (c >> 6 * i & 63));
    if (c < 0x10000) {
        out[1] = out[2], out[2] = out[3], out[0] = (char)(0xe0 | c >> 12);
        return c >= 0xd800 && c < 0xe000 ? 0 : 3;
    }
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63));
    return c < 0x110000 ? 4 : 0;
}

static void exactly_the_scalar_values_are_characters(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x140000; c++) {
        char text[4];
        const size_t n = encode(text, c);
        if (!n) {
            assert_int_equal(utf8_char(text, c < 0x10000 ? 3 : 4), 0);
            continue;
        }
        assert_int_equal(utf8_char(text, n), n);
        for (size_t cut = 1; cut < n; cut++)
            assert_int_equal(utf8_char(text, cut), -1);
    }
    assert_int_equal(utf8_invalid_at("ab\xc3\xa9\xff", 5), 4);
    assert_int_equal(utf8_invalid_at("ab\xc3", 3), 2);
    assert_int_equal(utf8_invalid_at("", 0), 0);
}

/* Known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void philox_gives_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t out[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t out[4];
        rng_block(out, cases[i].seed, cases[i].stream, cases[i].counter);
        assert_memory_equal(out, cases[i].out, sizeof out);
        assert_true(rng_u64(cases[i].seed, cases[i].stream, cases[i].counter) ==
                    ((uint64_t)cases[i].out[1] << 32 | cases[i].out[0]));
    }
}

static void uniform_numbers_fill_the_unit_interval(void **state)
{
    (void)state;
    enum { N = 20000 };
    double sum = 0;
    int tenths[10] = {0};
    for (uint64_t i = 0; i < N; i++) {
        const double x = rng_uniform(1, 2, i);
        assert_true(x >= 0 && x < 1);
        sum += x;
        tenths[(int)(10 * x)]++;
    }
    assert_true(fabs(sum / N - 0.5) < 0.01); /* five standard deviations: sqrt(1/12/N) = 0.002 */
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], N / 10 - 212, N / 10 + 212); /* sqrt(N/10*0.9) = 42 */
    assert_true(rng_fresh_seed() <= UINT32_MAX);
}

static void json_members_are_optional_typed_and_bounded(void **state)
{
    (void)state;
    static const char text[] = "{\"i\": 5, \"x\": 2.5, \"b\": true, \"s\": \"t\", \"n\": null, \"z\": \"a\\u0000b\"}";
    json_t *o = NULL;
    int64_t i = -1;
    double x = -1;
    bool b = false;
    const char *s = "before";
    assert_int_equal(json_read_text(&o, text, sizeof text - 1, "config.json"), OK);
    assert_int_equal(json_get_int(o, "config.json", "missing", 0, 9, &i), OK);
    assert_int_equal(json_get_int(o, "config.json", "n", 0, 9, &i), OK);
    assert_int_equal(json_get_string(o, "config.json", "n", &s), OK);
    assert_int_equal(i, -1);
    assert_string_equal(s, "before");
    assert_int_equal(json_get_int(o, "config.json", "i", 6, 9, &i), E_FORMAT);
    assert_string_equal(status_message(), "config.json: \"i\" is 5, not within 6..9");
    assert_int_equal(json_get_int(o, "config.json", "x", 0, 9, &i), E_FORMAT);
    assert_int_equal(json_get_int(o, "config.json", "s", 0, 9, &i), E_FORMAT);
    assert_int_equal(i, -1);
    assert_int_equal(json_get_int(o, "config.json", "i", 5, 5, &i), OK);
    assert_int_equal(i, 5);
    assert_int_equal(json_get_number(o, "config.json", "s", &x), E_FORMAT);
    assert_int_equal(json_get_number(o, "config.json", "x", &x), OK);
    assert_true(x == 2.5);
    assert_int_equal(json_get_number(o, "config.json", "i", &x), OK);
    assert_true(x == 5);
    assert_int_equal(json_get_bool(o, "config.json", "i", &b), E_FORMAT);
    assert_int_equal(json_get_bool(o, "config.json", "b", &b), OK);
    assert_true(b);
    assert_int_equal(json_get_string(o, "config.json", "i", &s), E_FORMAT);
    assert_int_equal(json_get_string(o, "config.json", "z", &s), E_FORMAT);
    assert_int_equal(json_get_string(o, "config.json", "s", &s), OK);
    assert_string_equal(s, "t");
    json_decref(o);
}

static void broken_json_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "{\"a\": 1, \"a\": 2}", "[1,]", "nan", "{\"a\": \"\xff\"}", "1 2"};
    json_t *o = NULL;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(json_read_text(&o, texts[i], strlen(texts[i]), "config.json"), E_FORMAT);
        assert_int_equal(strncmp(status_message(), "config.json: line ", 18), 0);
        assert_null(o);
    }
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_puts(&deep, "[");
    assert_int_equal(json_read_text(&o, deep.data, deep.len, "deep"), E_FORMAT);
    buf_free(&deep);
}

static void json_survives_a_file(void **state)
{
    (void)state;
    char path[256];
    struct file_writer w;
    json_t *o = NULL;
    path_to(path, "x.json");
    assert_int_equal(json_read_text(&o, "{\"b\":1,\"a\":[0.1,\"\\u0000\"]}", 26, "text"), OK);
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(json_write_stream(o, w.stream, false), OK);
    assert_int_equal(file_writer_commit(&w), OK);
    json_decref(o);
    assert_content(path, "{\"b\": 1, \"a\": [0.1, \"\\u0000\"]}\n");
    assert_int_equal(json_read_file(&o, path, 5), E_LIMIT);
    assert_int_equal(json_read_file(&o, path, 1000), OK);
    json_decref(o);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(json_read_file(&o, path, 1000), E_IO);
}

static void keep_line(void *user, int level, const char *line)
{
    snprintf(user, 100, "%d %s", (int)level, line);
}

static void log_lines_reach_the_sink_up_to_its_level(void **state)
{
    (void)state;
    char last[100] = "none";
    log_line(LOG_ERROR, "nobody listens");
    log_set_sink(keep_line, last, LOG_INFO);
    log_line(LOG_DEBUG, "too quiet");
    assert_string_equal(last, "none");
    log_line(LOG_INFO, "rank %d", 3);
    assert_string_equal(last, "2 rank 3");
    log_set_sink(NULL, NULL, LOG_ERROR);
    log_line(LOG_ERROR, "nobody listens");
    assert_string_equal(last, "2 rank 3");
}

/* What the progress line wrote to stderr for one update done `seconds` after the start. */
static void progress_text(char *text, size_t bytes, double seconds, bool quiet, bool terminal, uint64_t total)
{
    char path[256];
    path_to(path, "stderr");
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0 && dup2(file, STDERR_FILENO) >= 0);
    struct progress p;
    progress_begin(&p, "load", "B", total, quiet);
    p.terminal = terminal;
    p.started_ns -= (int64_t)(seconds * 1e9);
    progress_update(&p, 5000000);
    progress_update(&p, 5000001); /* at once: too early to be shown */
    progress_end(&p);
    progress_end(&p);
    dup2(before, STDERR_FILENO);
    close(before);
    const ssize_t n = pread(file, text, bytes - 1, 0);
    close(file);
    unlink(path);
    assert_true(n >= 0);
    text[n] = 0;
}

static void progress_is_shown_after_two_seconds(void **state)
{
    (void)state;
    char text[500];
    progress_text(text, sizeof text, 1, false, false, 10000000);
    assert_string_equal(text, "");
    progress_text(text, sizeof text, 50, true, false, 10000000);
    assert_string_equal(text, "");
    progress_text(text, sizeof text, 50, false, false, 10000000);
    assert_string_equal(text, "load: 50 %, 5.0 MB of 10.0 MB, 100.0 KB/s, 0:50 left\nload: 5.0 MB in 50.0 s\n");
    progress_text(text, sizeof text, 50, false, false, 0);
    assert_string_equal(text, "load: 5.0 MB, 100.0 KB/s\nload: 5.0 MB in 50.0 s\n");
    progress_text(text, sizeof text, 50, false, true, 10000000);
    assert_string_equal(text, "\rload [##########..........]  50 %  100.0 KB/s, 0:50 left\x1b[K\r\x1b[K");
}

static void time_does_not_go_back(void **state)
{
    (void)state;
    int64_t last = clock_ns();
    for (int i = 0; i < 1000; i++) {
        const int64_t now = clock_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_seconds(0, 1500000000) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_one_printable_line),
        cmocka_unit_test(try_returns_failures_only),
        cmocka_unit_test(buffers_hold_what_was_appended),
        cmocka_unit_test(an_append_without_memory_is_reported_once_at_the_end),
        cmocka_unit_test(a_file_appears_whole_or_not_at_all),
        cmocka_unit_test(a_failed_write_leaves_nothing_behind),
        cmocka_unit_test(an_open_pipe_can_be_read_by_its_path),
        cmocka_unit_test(reads_are_bounded_and_of_regular_files),
        cmocka_unit_test(half_rounds_to_nearest_even_everywhere),
        cmocka_unit_test(bfloat16_rounds_to_nearest_even_everywhere),
        cmocka_unit_test(replacement_is_pythons),
        cmocka_unit_test(exactly_the_scalar_values_are_characters),
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(uniform_numbers_fill_the_unit_interval),
        cmocka_unit_test(json_members_are_optional_typed_and_bounded),
        cmocka_unit_test(broken_json_is_refused_by_name),
        cmocka_unit_test(json_survives_a_file),
        cmocka_unit_test(log_lines_reach_the_sink_up_to_its_level),
        cmocka_unit_test(progress_is_shown_after_two_seconds),
        cmocka_unit_test(time_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
