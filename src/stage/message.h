// SPDX-License-Identifier: Apache-2.0
/* What a head tells its stages: a head of fixed size, and behind FORM and STEP a body. */
#ifndef GPTJT_STAGE_MESSAGE_H
#define GPTJT_STAGE_MESSAGE_H

#include <stdint.h>

enum stage_order_kind { STAGE_FORM, STAGE_OPEN_LANE, STAGE_CLOSE_LANE, STAGE_STEP, STAGE_LEAVE };

/* The body of a step is int32: token, position, lo, hi, sequence [T] each; of every sequence its number of pages and
 * these; of every copy the pages to and from. */
struct stage_order {
    uint64_t kind, bytes; /* bytes: of the body */
    int32_t lane;
    int32_t n_pages, max_rows;                      /* OPEN_LANE */
    int32_t T, first_wanted, n_sequences, n_copies; /* STEP */
    int32_t unused;
};

enum { STAGE_ORDER_TAG = 80, STAGE_BODY_TAG, STAGE_READY_TAG, STAGE_ROWS_TAG };

#endif
