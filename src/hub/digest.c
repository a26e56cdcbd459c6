// SPDX-License-Identifier: Apache-2.0
#include "hub/digest.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hub_digest {
    EVP_MD_CTX *context;
    bool git;
    uint64_t bytes;
};

static enum status refused(void)
{
    return fail(E_UNSUPPORTED, "libcrypto does not compute SHA-256 or SHA-1 here");
}

enum status hub_digest_restart(struct hub_digest *d)
{
    char head[40];
    if (!EVP_DigestInit_ex(d->context, d->git ? EVP_sha1() : EVP_sha256(), NULL)) return refused();
    const int n = snprintf(head, sizeof head, "blob %" PRIu64, d->bytes);
    return d->git ? hub_digest_update(d, head, (size_t)n + 1) : OK; /* with the NUL */
}

enum status hub_digest_open(struct hub_digest **out, const char *expected, uint64_t bytes)
{
    struct hub_digest *d = calloc(1, sizeof *d);
    if (!d || !(d->context = EVP_MD_CTX_new())) {
        free(d);
        return fail(E_NOMEM, "out of memory");
    }
    d->git = strlen(expected) == HUB_COMMIT;
    d->bytes = bytes;
    const enum status s = hub_digest_restart(d);
    if (s == OK)
        *out = d;
    else
        hub_digest_close(d);
    return s;
}

enum status hub_digest_update(struct hub_digest *d, const void *data, size_t len)
{
    return EVP_DigestUpdate(d->context, data, len) ? OK : refused();
}

enum status hub_digest_finish(struct hub_digest *d, char out[HUB_SHA256 + 1])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!EVP_DigestFinal_ex(d->context, hash, &n)) return refused();
    for (unsigned i = 0; i < n; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", hash[i]);
    return OK;
}

void hub_digest_close(struct hub_digest *d)
{
    if (d) EVP_MD_CTX_free(d->context);
    free(d);
}
