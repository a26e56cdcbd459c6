// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a pickle: refused, or a graph of nodes within the promised size whose every reference is sound. */
#include <stdint.h>
#include <stdlib.h>

#include "formats/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void require(int truth)
{
    if (!truth) abort();
}

static void check_items(const struct pickle *p, const struct pickle_node *c)
{
    uint32_t n = 0;
    for (uint32_t at = c->n ? c->items.first : 0; at; at = p->nodes[at].link.next, n++) {
        require(at < p->n_nodes && p->nodes[at].kind == PICKLE_LINK);
        require(p->nodes[at].link.value < p->n_nodes && p->nodes[at].link.key < p->n_nodes);
    }
    require(n == c->n);
}

static void check_node(const struct pickle *p, const struct pickle_node *node)
{
    if (node->kind == PICKLE_TEXT || node->kind == PICKLE_BIG) {
        for (uint32_t k = 0; k < node->n; k++)
            sink = node->text[k];
    } else if (node->kind == PICKLE_TUPLE || node->kind == PICKLE_LIST || node->kind == PICKLE_DICT) {
        check_items(p, node);
    } else if (node->kind == PICKLE_STORAGE) {
        require(p->nodes[node->storage.key].kind == PICKLE_TEXT);
        require(p->nodes[node->storage.elements].kind == PICKLE_INT);
    } else if (node->kind == PICKLE_TENSOR) {
        require(p->nodes[node->tensor.storage].kind == PICKLE_STORAGE);
        require(p->nodes[node->tensor.offset].kind == PICKLE_INT);
        require(p->nodes[node->tensor.shape].kind == PICKLE_TUPLE);
        require(p->nodes[node->tensor.strides].kind == PICKLE_TUPLE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pickle p;
    if (pickle_read(&p, data, size, "fuzz") != OK) return 0;
    require(p.used_bytes <= size && p.root < p.n_nodes && p.n_nodes <= 2 * size + 8);
    for (uint32_t i = 0; i < p.n_nodes; i++)
        check_node(&p, &p.nodes[i]);
    pickle_free(&p);
    return 0;
}
