// SPDX-License-Identifier: Apache-2.0
/* The pickle machine. A pickle is a program for a stack machine that can import and call anything; this machine knows
 * the opcodes that torch.save writes for a state dict, a whitelist of names to import, and what calling those means as
 * data. It runs no code, never recurses, and everything it builds is a node of one array.
 *
 * Memory is proportional to the pickle: an opcode pushes one value at most, makes one node for it and one for each
 * value it takes from the stack, and a memo index must be below the pickle's size. Text is not copied. */
#ifndef GPTJT_FORMATS_PICKLE_H
#define GPTJT_FORMATS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "tensor/tensor.h"

/* 100,000 tensors take about this; a bigger pickle is E_LIMIT. */
enum { PICKLE_MAX_BYTES = 16 << 20 };

enum pickle_kind {
    PICKLE_END, /* node 0 only: no node */
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_BIG,   /* an integer beyond 64 bits: its little-endian bytes */
    PICKLE_FLOAT, /* the value is of no use to us and not kept */
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_LINK, /* one item of a tuple, list or dict; never a value */
    PICKLE_GLOBAL,
    PICKLE_STORAGE, /* ("storage", type, key, device, elements): what a persistent id stands for */
    PICKLE_TENSOR,  /* torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...) */
    PICKLE_MARK,    /* never a value */
};

enum pickle_global {
    PICKLE_ORDERED_DICT,
    PICKLE_REBUILD_TENSOR,
    PICKLE_REBUILD_PARAMETER,
    PICKLE_SIZE,
    PICKLE_STORAGE_TYPE, /* with a dtype */
};

/* Other nodes are named by their index. */
struct pickle_node {
    uint8_t kind;
    uint8_t global; /* GLOBAL: an enum pickle_global */
    uint8_t dtype;  /* STORAGE and GLOBAL of a storage type: an enum dtype */
    uint32_t n;     /* TEXT, BIG: bytes; TUPLE, LIST, DICT: items */
    union {
        int64_t integer;     /* INT, BOOL */
        const uint8_t *text; /* TEXT, BIG: borrowed from the pickle, not terminated */
        struct {
            uint32_t first, last; /* LINKs */
        } items;
        struct {
            uint32_t value, key, next; /* key is 0 in tuples and lists; next is 0 at the end */
        } link;
        struct {
            uint32_t key, elements; /* TEXT, INT */
        } storage;
        struct {
            uint32_t storage, offset, shape, strides; /* STORAGE, INT, TUPLE, TUPLE */
        } tensor;
    };
};

struct pickle {
    struct pickle_node *nodes; /* [n_nodes] */
    uint32_t n_nodes, cap_nodes;
    uint32_t root;     /* the value the pickle stands for */
    size_t used_bytes; /* up to and with the opcode STOP; pickles may follow each other */
};

/* Runs the pickle at the start of data, which must outlive out. name is for errors. out is owned: pickle_free(). */
enum status pickle_read(struct pickle *out, const uint8_t *data, size_t bytes, const char *name);
void pickle_free(struct pickle *p);

bool pickle_text_is(const struct pickle_node *node, const char *text);

#endif
