// SPDX-License-Identifier: Apache-2.0
/* Small parts of the server: keys of a file, metrics as Prometheus reads them. */
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "server/keys.h"
#include "server/metrics.h"

static struct keys *parsed(const char *text)
{
    struct keys *k;
    if (keys_parse(&k, text, strlen(text), "keys.txt") != OK) fail_msg("%s", status_message());
    return k;
}

static void keys_open_and_nothing_else_does(void **state)
{
    (void)state;
    struct keys *k = parsed("# ours\r\nsk-0123456789 alice of sales \r\n\nsk-abcdefghij\n  ");
    static const struct {
        const char *header, *name;
    } cases[] = {
        {"Bearer sk-0123456789", "alice of sales"},
        {"bearer   sk-abcdefghij", "key 2"},
        {"Bearer sk-abcdefghi", NULL},
        {"Bearer sk-abcdefghijk", NULL},
        {"Bearer sk-0123456780", NULL},
        {"Bearer sk-0123456789 ", NULL},
        {"Bearer ", NULL},
        {"Bearer", NULL},
        {"Basic sk-0123456789", NULL},
        {"sk-0123456789", NULL},
        {"Bearer # ours", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *name = keys_find(k, cases[i].header);
        assert_string_equal(name ? name : "none", cases[i].name ? cases[i].name : "none");
    }
    char longest[300] = "Bearer ";
    memset(longest + 7, 'x', 257);
    assert_null(keys_find(k, longest));
    keys_free(k);
}

static void files_of_keys_that_are_wrong_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "keys.txt: no keys in it"},
        {"# sk-0123456789\n", "keys.txt: no keys in it"},
        {"sk-0123456789\nshort\n", "keys.txt: line 2: a key has 8 to 256 characters"},
        {" sk-0123456789\n", "keys.txt: line 1: a key has 8 to 256 characters"},
        {"sk-0123456789 a\nsk-0123456789 b\n", "keys.txt: line 2: this key was there already"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct keys *k;
        assert_int_equal(keys_parse(&k, cases[i].text, strlen(cases[i].text), "keys.txt"), E_FORMAT);
        assert_string_equal(status_message(), cases[i].message);
    }
    struct keys *k;
    assert_int_equal(keys_parse(&k,
                                "sk-01234\0"
                                "56789",
                                14, "keys.txt"),
                     E_FORMAT);
    assert_string_equal(status_message(), "keys.txt: line 1: a NUL byte");
}

static void assert_line(const struct buf *text, const char *line)
{
    const char *at = strstr(text->data, line);
    if (!at || (at > text->data && at[-1] != '\n') || at[strlen(line)] != '\n') fail_msg("no line: %s", line);
}

static void metrics_are_counted(void **state)
{
    (void)state;
    struct metrics *m = metrics_create();
    const struct desk_state desk = {
        .jobs = 3, .waiting = 4, .batch = {.n_waiting = 1, .n_running = 2, .new_tokens = 9}};
    struct metrics_now now = {.connections = 5, .version = "1", .model = "a\"b\\c"};
    struct buf out = {0};
    metrics_put(&out, m, &now);
    assert_line(&out, "gptjt_up 0");
    assert_line(&out, "gptjt_info{version=\"1\",model=\"a\\\"b\\\\c\"} 1");
    assert_null(strstr(out.data, "gptjt_queue_requests"));
    metrics_request(m, "/generate", 200, 0.25); /* a bound belongs to its class */
    metrics_request(m, "/generate", 200, 0.26);
    metrics_request(m, "/generate", 422, 1000);
    metrics_first_token(m, 0.5);
    metrics_next_token(m, 0.002);
    now.desk = &desk;
    buf_clear(&out);
    metrics_put(&out, m, &now);
    assert_line(&out, "gptjt_up 1");
    assert_line(&out, "gptjt_connections 5");
    assert_line(&out, "gptjt_queue_requests 5");
    assert_line(&out, "gptjt_batch_requests 2");
    assert_line(&out, "gptjt_new_tokens_total 9");
    assert_line(&out, "gptjt_requests_total{path=\"/generate\",status=\"200\"} 2");
    assert_line(&out, "gptjt_requests_total{path=\"/generate\",status=\"422\"} 1");
    assert_line(&out, "gptjt_request_seconds_bucket{le=\"0.1\"} 0");
    assert_line(&out, "gptjt_request_seconds_bucket{le=\"0.25\"} 1");
    assert_line(&out, "gptjt_request_seconds_bucket{le=\"0.5\"} 2");
    assert_line(&out, "gptjt_request_seconds_bucket{le=\"+Inf\"} 3");
    assert_line(&out, "gptjt_request_seconds_count 3");
    assert_line(&out, "gptjt_request_seconds_sum 1000.51");
    assert_line(&out, "gptjt_time_to_first_token_seconds_count 1");
    assert_line(&out, "gptjt_inter_token_seconds_bucket{le=\"0.0025\"} 1");
    buf_free(&out);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_open_and_nothing_else_does),
        cmocka_unit_test(files_of_keys_that_are_wrong_are_refused),
        cmocka_unit_test(metrics_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
