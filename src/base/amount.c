// SPDX-License-Identifier: Apache-2.0
#include "base/amount.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct amount amount_bytes(uint64_t bytes)
{
    static const char prefixes[] = " KMGTPE";
    struct amount a;
    double n = (double)bytes;
    int i = 0;
    for (; n >= 999.95; i++) /* which "%.1f" would show as 1000.0 */
        n /= 1000;
    if (i)
        snprintf(a.text, sizeof a.text, "%.1f %cB", n, prefixes[i]);
    else
        snprintf(a.text, sizeof a.text, "%.0f B", n);
    return a;
}

struct amount amount_count(int64_t n)
{
    struct amount a;
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, n);
    size_t out = 0;
    for (size_t i = 0, len = strlen(digits); i < len; i++) {
        a.text[out++] = digits[i];
        if ((len - 1 - i) % 3 == 0 && i + 1 < len && digits[i] != '-') a.text[out++] = ',';
    }
    a.text[out] = 0;
    return a;
}
