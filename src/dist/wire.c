// SPDX-License-Identifier: Apache-2.0
#include "dist/wire.h"

enum { GROUP = 128 };

static struct dense plain(enum train_wire wire)
{
    static const enum dense_kind kinds[] = {
        [TRAIN_WIRE_FP32] = DENSE_F32,   [TRAIN_WIRE_FP16] = DENSE_F16,  [TRAIN_WIRE_BF16] = DENSE_BF16,
        [TRAIN_WIRE_INT8] = DENSE_ZERO,  [TRAIN_WIRE_INT4] = DENSE_ZERO, [TRAIN_WIRE_AQ_INT8] = DENSE_F16,
        [TRAIN_WIRE_AQ_INT4] = DENSE_F16};
    return (struct dense){.kind = kinds[wire],
                          .bits = wire == TRAIN_WIRE_INT8   ? 8
                                  : wire == TRAIN_WIRE_INT4 ? 4
                                                            : 0,
                          .scale = DENSE_SCALE_BF16};
}

struct dense wire_of_rows(enum train_wire wire)
{
    return plain(wire);
}

bool wire_is_remembered(enum train_wire wire)
{
    return wire == TRAIN_WIRE_AQ_INT8 || wire == TRAIN_WIRE_AQ_INT4;
}

struct dense wire_of_moves(enum train_wire wire)
{
    return plain(wire == TRAIN_WIRE_AQ_INT8 ? TRAIN_WIRE_INT8 : TRAIN_WIRE_INT4);
}

struct dense wire_of_deltas(enum train_wire wire)
{
    struct dense d = plain(wire);
    if (!d.bits) return d;
    d.kind = DENSE_ODD;
    d.group = GROUP;
    d.fitted = true;
    return d;
}
