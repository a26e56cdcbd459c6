// SPDX-License-Identifier: Apache-2.0
/* The HTTP server over real sockets on loopback: what clients may do, and what they must not. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

#include "base/clock.h"
#include "http_client.h"
#include "server/http.h"

enum { MAX_BODY = 64 << 10, MAX_PENDING = 64 << 10, MAX_HEADERS = 8 << 10 };

static struct http *http;
static int port;
static _Atomic int n_waiting, n_gone, n_done, n_flooded;

/* Until *counter reaches n, 10 s at most. */
static void wait_for(_Atomic int *counter, int n)
{
    const int64_t until = clock_ns() + (int64_t)10e9;
    while (atomic_load(counter) < n && clock_ns() < until)
        poll(NULL, 0, 5);
    assert_true(atomic_load(counter) >= n);
}

static void answer_text(struct exchange *x, int status, const char *text)
{
    struct buf body = {0};
    buf_puts(&body, text);
    exchange_answer(x, status, "text/plain", &body);
}

static void echo(struct exchange *x)
{
    struct buf body = {0};
    size_t len;
    const char *text = exchange_body(x, &len);
    const char *name = exchange_header(x, "X-Name");
    buf_printf(&body, "%s %s %s ", exchange_method(x), exchange_path(x), name ? name : "-");
    buf_append(&body, text, len);
    exchange_set_header(x, "X-Answer", "yes");
    exchange_answer(x, 200, "text/plain", &body);
}

static void *stream(void *user)
{
    struct exchange *x = user;
    exchange_begin(x, 200, "text/event-stream");
    for (int i = 0; i < 1000; i++) {
        char line[32];
        exchange_write(x, line, (size_t)snprintf(line, sizeof line, "line %d\n", i));
        if (i % 100 == 0) poll(NULL, 0, 1); /* lets the connection fall asleep in between */
    }
    exchange_end(x);
    exchange_release(x);
    return NULL;
}

/* Writes for as long as anybody is there. */
static void *flood(void *user)
{
    struct exchange *x = user;
    char block[1024];
    memset(block, 'x', sizeof block);
    exchange_begin(x, 200, "text/plain");
    while (!exchange_gone(x))
        exchange_write(x, block, sizeof block);
    exchange_release(x);
    atomic_fetch_add(&n_flooded, 1);
    return NULL;
}

static void in_thread(struct exchange *x, void *(*fn)(void *))
{
    pthread_t thread;
    exchange_hold(x);
    assert_int_equal(pthread_create(&thread, NULL, fn, x), 0);
    pthread_detach(thread);
}

static void *late_answer(void *user)
{
    struct exchange *x = user;
    poll(NULL, 0, 20);
    answer_text(x, 201, "late");
    exchange_release(x);
    return NULL;
}

static void count_gone(void *user)
{
    (void)user;
    atomic_fetch_add(&n_gone, 1);
}

static void wait_until_gone(struct exchange *x)
{
    exchange_on_gone(x, count_gone, NULL);
    atomic_fetch_add(&n_waiting, 1);
}

static void begin(struct exchange *x)
{
    exchange_on_gone(x, count_gone, NULL);
    exchange_begin(x, 200, "text/event-stream");
    exchange_write(x, "begun\n", 6);
}

static void on_exchange(void *user, struct exchange *x)
{
    (void)user;
    const char *path = exchange_path(x);
    if (exchange_too_large(x))
        answer_text(x, 413, "too large");
    else if (!strcmp(path, "/stream"))
        in_thread(x, stream);
    else if (!strcmp(path, "/late"))
        in_thread(x, late_answer);
    else if (!strcmp(path, "/flood"))
        in_thread(x, flood);
    else if (!strcmp(path, "/wait"))
        wait_until_gone(x);
    else if (!strcmp(path, "/open"))
        begin(x);
    else
        echo(x);
}

static void on_done(void *user, struct exchange *x)
{
    (void)user;
    (void)x;
    atomic_fetch_add(&n_done, 1);
}

static const struct http_options limits = {.host = "127.0.0.1",
                                           .threads = 2,
                                           .max_connections = 200,
                                           .max_header_bytes = MAX_HEADERS,
                                           .max_body_bytes = MAX_BODY,
                                           .max_pending_bytes = MAX_PENDING,
                                           .header_s = 0.4,
                                           .idle_s = 0.4,
                                           .body_s = 0.4,
                                           .write_s = 0.4};

static int open_server(void **state)
{
    (void)state;
    if (http_open(&http, &limits, on_exchange, on_done, NULL) != OK) return -1;
    port = http_port(http);
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    http_close(http);
    return 0;
}

static void receive_all(const char *request, struct buf *answer)
{
    client_exchange(port, request, strlen(request), answer);
}

static bool begins(const struct buf *b, const char *text)
{
    return b->len >= strlen(text) && !memcmp(b->data, text, strlen(text));
}

static void requests_are_read_and_answered(void **state)
{
    (void)state;
    struct buf out = {0};
    receive_all(
        "POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-Name: n\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        &out);
    assert_true(begins(&out, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(out.data, "X-Answer: yes\r\n"));
    assert_non_null(strstr(out.data, "\r\n\r\nPOST /a b n hello"));
    buf_clear(&out);
    receive_all("HEAD /h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &out);
    assert_true(begins(&out, "HTTP/1.1 200 OK\r\n"));
    assert_null(strstr(out.data, "GET /h")); /* its length only */
    assert_non_null(strstr(out.data, "Content-Length: 9\r\n"));
    buf_clear(&out);
    receive_all("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
                &out);
    assert_non_null(strstr(out.data, "POST /c - abcdefg"));
    buf_free(&out);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct buf out = {0};
    receive_all("POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1"
                "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
                "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                &out);
    const char *first = strstr(out.data, "late"), *second = strstr(out.data, "GET /2"),
               *third = strstr(out.data, "GET /3");
    assert_true(first && second && third && first < second && second < third);
    assert_true(begins(&out, "HTTP/1.1 201"));
    buf_free(&out);
}

static void streams_arrive_whole_and_in_order(void **state)
{
    (void)state;
    struct buf out = {0}, expected = {0};
    for (int i = 0; i < 1000; i++)
        buf_printf(&expected, "line %d\n", i);
    assert_int_equal(client_request(port, "GET", "/stream", NULL, &out), 200);
    assert_string_equal(out.data, expected.data);
    buf_free(&out);
    buf_free(&expected);
}

static void http_1_0_gets_its_stream_without_chunks(void **state)
{
    (void)state;
    struct buf out = {0};
    receive_all("GET /stream HTTP/1.0\r\n\r\n", &out);
    assert_non_null(strstr(out.data, "\r\n\r\nline 0\nline 1\n"));
    assert_non_null(strstr(out.data, "line 999\n"));
    assert_null(strstr(out.data, "chunked"));
    buf_free(&out);
}

static void who_waits_and_goes_away_is_noticed(void **state)
{
    (void)state;
    const int before = atomic_load(&n_gone), done = atomic_load(&n_done), waiting = atomic_load(&n_waiting);
    static const char request[] = "POST /wait HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = client_connect(port);
        client_send(fds[i], request, sizeof request - 1);
    }
    wait_for(&n_waiting, waiting + 20); /* a reset takes what nobody has read with it */
    for (int i = 0; i < 20; i++) {
        if (i % 3 == 0) { /* a reset instead of an end */
            const struct linger l = {.l_onoff = 1};
            setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &l, sizeof l);
        }
        if (i % 3 == 1) { /* its sending side only */
            shutdown(fds[i], SHUT_WR);
            struct buf out = {0};
            int closed;
            client_receive(fds[i], &out, &closed);
            assert_true(closed && out.len == 0);
            buf_free(&out);
        }
        close(fds[i]);
    }
    wait_for(&n_gone, before + 20);
    wait_for(&n_done, done + 20);
    assert_int_equal(atomic_load(&n_gone), before + 20);
}

static void half_closed_clients_get_what_is_there_at_once(void **state)
{
    (void)state;
    struct buf out = {0};
    const int fd = client_connect(port);
    static const char request[] = "GET /half HTTP/1.1\r\nHost: h\r\n\r\n";
    client_send(fd, request, sizeof request - 1);
    shutdown(fd, SHUT_WR);
    int closed;
    client_receive(fd, &out, &closed);
    assert_true(closed);
    assert_non_null(strstr(out.data, "GET /half"));
    close(fd);
    buf_free(&out);
}

static void slow_heads_and_bodies_are_cut_off(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *drip;
        bool told;
    } cases[] = {
        {"", "", true},                                        /* says nothing */
        {"GET / HT", "", true},                                /* begins and stops */
        {"GET / HTTP/1.1\r\nHost: h\r\n", "X-A: b\r\n", true}, /* slow-loris */
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int fd = client_connect(port);
        struct buf out = {0};
        client_send(fd, cases[i].begin, strlen(cases[i].begin));
        const int64_t begun = clock_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        while (poll(&p, 1, 50) == 0 && clock_seconds(begun, clock_ns()) < 10)
            client_send(fd, cases[i].drip, strlen(cases[i].drip));
        int closed;
        client_receive(fd, &out, &closed);
        assert_true(closed);
        if (cases[i].told) assert_true(begins(&out, "HTTP/1.1 408 "));
        close(fd);
        buf_free(&out);
    }
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    const int fd = client_connect(port);
    struct buf out = {0};
    static const char request[] = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
    client_send(fd, request, sizeof request - 1);
    client_receive_until(fd, &out, "GET /1 - ");
    int closed;
    buf_clear(&out);
    client_receive(fd, &out, &closed);
    assert_true(closed);
    assert_int_equal(out.len, 0); /* nobody asked for anything: no 408 */
    close(fd);
    buf_free(&out);
}

static void send_body(const char *head, size_t bytes, struct buf *out)
{
    const int fd = client_connect(port);
    char *block = calloc(1, 1 << 20);
    client_send(fd, head, strlen(head));
    for (size_t sent = 0; sent < bytes; sent += 1 << 20)
        client_send(fd, block, bytes - sent < 1 << 20 ? bytes - sent : 1 << 20);
    int closed;
    client_receive(fd, out, &closed);
    close(fd);
    free(block);
}

static void bodies_too_large_are_refused(void **state)
{
    (void)state;
    struct buf out = {0};
    send_body("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 65537\r\n\r\n", 65537, &out);
    assert_true(begins(&out, "HTTP/1.1 413 "));
    buf_clear(&out);
    send_body("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20000000\r\n\r\n", 20000000, &out);
    assert_true(begins(&out, "HTTP/1.1 413 "));
    buf_clear(&out);
    send_body("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 104857600\r\n\r\n", 104857600, &out);
    if (out.len) assert_true(begins(&out, "HTTP/1.1 413 ")); /* a reset may have overtaken it */
    buf_clear(&out);
    receive_all("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n", &out);
    assert_true(begins(&out, "HTTP/1.1 413 "));
    buf_clear(&out);
    receive_all("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", &out);
    assert_true(!out.len || begins(&out, "HTTP/1.1 4"));
    assert_int_equal(client_request(port, "GET", "/lives", NULL, &out), 200);
    buf_free(&out);
}

static void head_floods_and_nonsense_are_refused(void **state)
{
    (void)state;
    struct buf request = {0}, out = {0};
    buf_puts(&request, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 10000; i++)
        buf_printf(&request, "X-%d: %d\r\n", i, i);
    client_exchange(port, request.data, request.len, &out);
    assert_true(!out.len || begins(&out, "HTTP/1.1 431 ") || begins(&out, "HTTP/1.1 4"));
    buf_clear(&out);
    buf_clear(&request);
    buf_puts(&request, "GET /");
    for (int i = 0; i < 10000; i++)
        buf_puts(&request, "aaaaaaaaaa");
    buf_puts(&request, " HTTP/1.1\r\nHost: h\r\n\r\n");
    client_exchange(port, request.data, request.len, &out);
    assert_true(!out.len || begins(&out, "HTTP/1.1 4"));
    static const char *const nonsense[] = {
        "GET / HTTP/1.1\r\n\r\n",               /* no host */
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03", /* TLS */
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
        "\r\n\r\n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        buf_clear(&out);
        receive_all(nonsense[i], &out);
        assert_false(out.len && begins(&out, "HTTP/1.1 2"));
    }
    assert_int_equal(client_request(port, "GET", "/lives", NULL, &out), 200);
    buf_free(&request);
    buf_free(&out);
}

static void who_does_not_read_is_cut_off(void **state)
{
    (void)state;
    const int before = atomic_load(&n_flooded), fd = client_connect(port);
    static const char request[] = "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n";
    client_send(fd, request, sizeof request - 1);
    wait_for(&n_flooded, before + 1);
    close(fd);
}

static void an_address_that_is_taken_is_named(void **state)
{
    (void)state;
    struct http_options o = limits;
    struct http *second;
    char expected[128];
    o.port = port;
    assert_int_equal(http_open(&second, &o, on_exchange, on_done, NULL), E_IO);
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1, port %d: Address already in use", port);
    assert_string_equal(status_message(), expected);
    o.host = "nowhere.invalid";
    assert_int_equal(http_open(&second, &o, on_exchange, on_done, NULL), E_IO);
    assert_non_null(strstr(status_message(), "cannot listen on nowhere.invalid: "));
}

static void closing_cuts_those_who_wait(void **state)
{
    (void)state;
    struct http *own;
    assert_int_equal(http_open(&own, &limits, on_exchange, on_done, NULL), OK);
    const int before = atomic_load(&n_gone);
    static const char request[] = "GET /open HTTP/1.1\r\nHost: h\r\n\r\n";
    const int fd = client_connect(http_port(own)), idle = client_connect(http_port(own));
    client_send(fd, request, sizeof request - 1);
    struct buf out = {0};
    client_receive_until(fd, &out, "begun\n");
    assert_true(out.len > 0);
    http_close(own);
    assert_int_equal(atomic_load(&n_gone), before + 1);
    close(fd);
    close(idle);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_and_answered),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(streams_arrive_whole_and_in_order),
        cmocka_unit_test(http_1_0_gets_its_stream_without_chunks),
        cmocka_unit_test(who_waits_and_goes_away_is_noticed),
        cmocka_unit_test(half_closed_clients_get_what_is_there_at_once),
        cmocka_unit_test(slow_heads_and_bodies_are_cut_off),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(bodies_too_large_are_refused),
        cmocka_unit_test(head_floods_and_nonsense_are_refused),
        cmocka_unit_test(who_does_not_read_is_cut_off),
        cmocka_unit_test(an_address_that_is_taken_is_named),
        cmocka_unit_test(closing_cuts_those_who_wait),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
