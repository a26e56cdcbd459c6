// SPDX-License-Identifier: Apache-2.0
/* The only place that names compiler extensions. */
#ifndef GPTJT_BASE_COMPILER_H
#define GPTJT_BASE_COMPILER_H

#define FMT(string, first) __attribute__((format(printf, string, first)))
#define ALIGNED(bytes)     __attribute__((aligned(bytes)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
