// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t seen;
static size_t (*volatile tell)(char *text, size_t size);

static void on_interrupt(int number)
{
    (void)number;
    char text[512];
    size_t (*const what)(char *, size_t) = tell;
    seen = 1;
    size_t n = what ? what(text, sizeof text - 1) : 0;
    if (!n) return;
    text[n++] = '\n';
    const ssize_t written = write(STDERR_FILENO, text, n);
    (void)written; /* nobody is left to hear of it */
}

static void catch (int number)
{
    struct sigaction before;
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void interrupt_catch(void)
{
    catch (SIGINT);
    catch (SIGTERM);
}

bool interrupt_seen(void)
{
    return seen;
}

void interrupt_tell(size_t (*what)(char *text, size_t size))
{
    tell = what;
}
