// SPDX-License-Identifier: Apache-2.0
/* The only file that knows PCRE2.
 *
 * White space is spelled out as Unicode's White_Space property: PCRE2's own \s also takes U+180E, which Hugging Face's
 * does not. Letters and numbers follow the Unicode version of the PCRE2 in use; characters that an older one does not
 * know are "other". Quantifiers are possessive where nothing could match after giving back, so that no run, however
 * long, is remembered for backtracking. */
#include "tokenizer/pretok.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#define SPACES                                                                                                         \
    "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const char pattern[] = "'s|'t|'re|'ve|'m|'ll|'d"
                              "| ?\\p{L}++"
                              "| ?\\p{N}++"
                              "| ?[^" SPACES "\\p{L}\\p{N}]++"
                              "|[" SPACES "]+(?![^" SPACES "])" /* leaves the last space to the word after it */
                              "|[" SPACES "]++";

struct pretok {
    pcre2_code *code;
};

enum status pretok_create(struct pretok **out, bool jit)
{
    struct pretok *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "tokenizer: out of memory");
    int error;
    PCRE2_SIZE where;
    p->code = pcre2_compile((PCRE2_SPTR)pattern, sizeof pattern - 1, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error,
                            &where, NULL);
    if (!p->code) {
        free(p);
        return fail(E_UNSUPPORTED, "tokenizer: this PCRE2 refuses the pattern at %zu (error %d)", where, error);
    }
    if (jit) (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it the interpreter matches the same */
    *out = p;
    return OK;
}

void pretok_free(struct pretok *p)
{
    if (!p) return;
    pcre2_code_free(p->code);
    free(p);
}

enum status pretok_scan_begin(struct pretok_scan *scan, const struct pretok *p)
{
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match) return fail(E_NOMEM, "tokenizer: out of memory");
    *scan = (struct pretok_scan){.pretok = p, .match = match};
    return OK;
}

void pretok_scan_end(struct pretok_scan *scan)
{
    pcre2_match_data_free(scan->match);
    *scan = (struct pretok_scan){0};
}

enum status pretok_next(struct pretok_scan *scan, const char *text, size_t len, size_t at, size_t *end)
{
    const pcre2_code *code = scan->pretok->code;
    int rc = pcre2_match(code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, scan->match, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scan->match, NULL);
    if (rc < 0) return fail(E_NOMEM, "tokenizer: PCRE2 gives up at byte %zu of %zu (error %d)", at, len, rc);
    *end = pcre2_get_ovector_pointer(scan->match)[1];
    return OK;
}
