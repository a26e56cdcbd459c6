// SPDX-License-Identifier: Apache-2.0
#include "http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

enum { PATIENCE_MS = 10000 };

int client_connect(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void client_send(int fd, const char *bytes, size_t len)
{
    while (len) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes += n;
        len -= (size_t)n;
    }
}

static int receive_some(int fd, struct buf *out)
{
    char piece[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) <= 0) return -1;
    const ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n <= 0) return 0;
    buf_append(out, piece, (size_t)n);
    return 1;
}

void client_receive(int fd, struct buf *out, int *closed)
{
    int more;
    while ((more = receive_some(fd, out)) > 0)
        continue;
    *closed = more == 0;
}

void client_receive_until(int fd, struct buf *out, const char *text)
{
    while (!out->len || !memmem(out->data, out->len, text, strlen(text)))
        if (receive_some(fd, out) <= 0) return;
}

void client_exchange(int port, const char *bytes, size_t len, struct buf *out)
{
    const int fd = client_connect(port);
    int closed;
    client_send(fd, bytes, len);
    client_receive(fd, out, &closed);
    assert_true(closed);
    close(fd);
}

static void dechunk(struct buf *out, const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        char *line;
        const size_t n = strtoul(text, &line, 16);
        line = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (!n || !line || (size_t)(end - line) < n + 2) return;
        buf_append(out, line + 2, n);
        text = line + 2 + n + 2;
    }
}

int client_request(int port, const char *method, const char *path, const char *body, struct buf *out)
{
    struct buf request = {0}, answer = {0};
    const size_t len = body ? strlen(body) : 0;
    buf_printf(&request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, path);
    if (body) buf_printf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n", len);
    buf_puts(&request, "\r\n");
    if (body) buf_append(&request, body, len);
    client_exchange(port, request.data, request.len, &answer);
    buf_clear(out);
    int status = 0;
    if (answer.len && sscanf(answer.data, "HTTP/1.1 %d", &status) == 1) {
        const char *head_end = strstr(answer.data, "\r\n\r\n");
        const char *chunked = strcasestr(answer.data, "Transfer-Encoding: chunked");
        if (head_end) {
            const char *from = head_end + 4;
            const size_t n = answer.len - (size_t)(from - answer.data);
            if (chunked && chunked < head_end)
                dechunk(out, from, n);
            else
                buf_append(out, from, n);
        }
    }
    buf_append(out, "", 0);
    buf_free(&request);
    buf_free(&answer);
    return status;
}
