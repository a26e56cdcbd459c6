// SPDX-License-Identifier: Apache-2.0
/* Hostile task files: what is accepted has all that a run relies on, what is refused says so in one line. */
#include <stdlib.h>
#include <string.h>

#include "eval/classify.h"
#include "eval/task.h"

static void require(bool promise)
{
    if (!promise) abort();
}

static void check(const struct task *t)
{
    require(t->name && t->label && t->label_name && t->test_path);
    require(t->fields.n >= 1);
    for (int i = 0; i < t->fields.n; i++)
        require(t->fields.items[i] && t->names[i] && strcmp(t->fields.items[i], t->label));
    require(t->shots >= 0 && t->shots <= TASK_MAX_SHOTS && t->trials >= 1 && t->max_tokens >= 1);
    require(!t->shots || t->train_path);
    require(t->answer != TASK_FREE || !t->labels.n);
    require(t->answer == TASK_FREE || t->labels.n || t->train_path);
    require(!t->labels.n || classify_check_labels(t->labels.items, t->labels.n) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct task t;
    if (task_read_text(&t, (const char *)data, size, "dir/fuzz.yaml") == OK) {
        check(&t);
        task_free(&t);
    } else {
        require(!strncmp(status_message(), "dir/fuzz.yaml", 13) && !strchr(status_message(), '\n'));
    }
    return 0;
}
