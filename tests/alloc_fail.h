// SPDX-License-Identifier: Apache-2.0
/* Makes an allocation fail on purpose. The linker turns the library's calls of malloc() and its kin, of anonymous
 * mmap() and of pthread_create() into calls of the functions behind this header (--wrap, see meson.build). */
#ifndef GPTJT_TESTS_ALLOC_FAIL_H
#define GPTJT_TESTS_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

enum alloc_scope {
    ALLOC_OURS,     /* the library's own calls */
    ALLOC_AND_JSON, /* jansson's too, of which there are thousands */
};

/* From now on the n-th (from 1) allocation fails; for_good: all after it, too. n 0: none. */
void alloc_fail_at(long n, bool for_good, enum alloc_scope scope);

/* How many allocations there were since, and of how many bytes in all; and whether the n-th came. */
long alloc_count(void);
size_t alloc_bytes(void);
bool alloc_failed(void);

#endif
