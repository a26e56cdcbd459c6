// SPDX-License-Identifier: Apache-2.0
/* What the AMX linear maps share: switching the tiles on and off, and what gcc 12's intrinsics leave out. */
#ifndef GPTJT_KERNELS_X86_TILES_AMX_H
#define GPTJT_KERNELS_X86_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>

enum { TILE_ROWS = 16, TILE_BYTES = 1024, TILE_ROW_BYTES = 64 };

/* The 64 bytes of LDTILECFG. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* gcc 12 takes LDTILECFG for a read of 8 bytes, and TILELOADD for no read at all: without this it may store later what
 * they are to read. */
#define MEMORY_IS_READ() __asm__ volatile("" ::: "memory")

#define TILES_ON(config)                                                                                               \
    do {                                                                                                               \
        MEMORY_IS_READ();                                                                                              \
        _tile_loadconfig(config);                                                                                      \
    } while (0)

/* Tiles that hold something are saved at every task switch. */
#define TILES_OFF() _tile_release()

#endif
