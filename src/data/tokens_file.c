// SPDX-License-Identifier: Apache-2.0
#include "data/tokens_file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "data/example.h"

/* Little-endian, as all machines this runs on. */
struct header {
    char magic[8];
    uint32_t version, id_bytes, flags, n_ids;
    uint64_t vocab_hash, n_documents, n_tokens, reserved[2];
};
_Static_assert(sizeof(struct header) == 64, "docs/FORMATS.md says 64 bytes");

static const char magic[8] = "GPTJTTOK";
enum { VERSION = 1, FLAG_PREFIXES = 1 };

/* With each token's length, so that moving a byte from one to the next is seen. */
struct tokens_file_vocab tokens_file_vocab_of(const struct tokenizer *t)
{
    uint64_t hash = HASH_BEGIN;
    const int32_t n = tokenizer_size(t);
    for (int32_t id = 0; id < n; id++) {
        size_t len = 0;
        const char *bytes = tokenizer_token(t, id, &len);
        hash = hash_value(hash, len);
        if (bytes) hash = hash_bytes(hash, bytes, len);
    }
    return (struct tokens_file_vocab){(uint32_t)n, hash};
}

static size_t id_bytes_of(const struct tokens_file_vocab *vocab)
{
    return vocab->n_ids <= 65536 ? 2 : 4;
}

/* ---- Reading ---- */

/* Sizes of the parts in bytes; false where they are more than a file can have. */
static bool layout(const struct header *h, size_t file_bytes, size_t *ends_at, size_t *prefixes_at)
{
    const uint64_t most = file_bytes;
    if (h->n_tokens > most / h->id_bytes || h->n_documents > most / 8) return false;
    const uint64_t ids = (h->n_tokens * h->id_bytes + 7) / 8 * 8, ends = h->n_documents * 8;
    const uint64_t prefixes = h->flags & FLAG_PREFIXES ? h->n_documents * 4 : 0;
    *ends_at = sizeof *h + ids;
    *prefixes_at = *ends_at + ends;
    return sizeof *h + ids + ends + prefixes == most; /* each is at most twice the file: no overflow */
}

static enum status read_header(struct tokens_file *f, const struct tokens_file_vocab *vocab)
{
    struct header h;
    if (f->map.bytes < sizeof h) return fail(E_FORMAT, "%s: %zu bytes are no tokens file", f->path, f->map.bytes);
    memcpy(&h, f->map.data, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic)) return fail(E_FORMAT, "%s: is no tokens file", f->path);
    if (h.version != VERSION)
        return fail(E_UNSUPPORTED, "%s: tokens file of version %" PRIu32 ", not %d", f->path, h.version, VERSION);
    if ((h.id_bytes != 2 && h.id_bytes != 4) || h.flags > FLAG_PREFIXES || h.reserved[0] || h.reserved[1])
        return fail(E_FORMAT, "%s: the header says %" PRIu32 " bytes an id, flags %" PRIu32, f->path, h.id_bytes,
                    h.flags);
    size_t ends_at, prefixes_at;
    if (!layout(&h, f->map.bytes, &ends_at, &prefixes_at))
        return fail(E_FORMAT, "%s: %zu bytes do not hold the %" PRIu64 " tokens in %" PRIu64 " documents of its header",
                    f->path, f->map.bytes, h.n_tokens, h.n_documents);
    if (h.n_ids != vocab->n_ids || h.vocab_hash != vocab->hash)
        return fail(E_FORMAT, "%s: was written with another tokenizer (%" PRIu32 " ids, the model's has %" PRIu32 ")",
                    f->path, h.n_ids, vocab->n_ids);
    f->vocab = *vocab;
    f->n_documents = h.n_documents;
    f->n_tokens = h.n_tokens;
    f->id_bytes = h.id_bytes;
    f->ids = f->map.data + sizeof h;
    f->ends = f->map.data + ends_at;
    f->prefixes = h.flags & FLAG_PREFIXES ? f->map.data + prefixes_at : NULL;
    return OK;
}

enum status tokens_file_open(struct tokens_file *out, const char *path, const struct tokens_file_vocab *vocab)
{
    struct tokens_file f = {.path = strdup(path)};
    if (!f.path) return fail(E_NOMEM, "%s: out of memory", path);
    enum status s = file_map(&f.map, path);
    if (s == OK) s = read_header(&f, vocab);
    if (s == OK)
        *out = f;
    else
        tokens_file_close(&f);
    return s;
}

void tokens_file_close(struct tokens_file *f)
{
    file_unmap(&f->map);
    free(f->path);
    *f = (struct tokens_file){0};
}

static uint64_t end_of(const struct tokens_file *f, uint64_t i)
{
    uint64_t end;
    memcpy(&end, f->ends + i * 8, sizeof end);
    return end;
}

static uint32_t id_at(const struct tokens_file *f, uint64_t i)
{
    uint32_t wide;
    uint16_t narrow;
    if (f->id_bytes == 4) {
        memcpy(&wide, f->ids + i * 4, sizeof wide);
        return wide;
    }
    memcpy(&narrow, f->ids + i * 2, sizeof narrow);
    return narrow;
}

static enum status read_prefix(const struct tokens_file *f, uint64_t i, uint64_t n, int64_t *prefix)
{
    *prefix = EXAMPLE_NO_PREFIX;
    if (!f->prefixes) return OK;
    uint32_t p;
    memcpy(&p, f->prefixes + i * 4, sizeof p);
    if (p > n)
        return fail(E_FORMAT, "%s: document %" PRIu64 " has a prompt of %" PRIu32 " of its %" PRIu64 " tokens", f->path,
                    i, p, n);
    *prefix = p;
    return OK;
}

enum status tokens_file_document(const struct tokens_file *f, uint64_t i, struct token_list *out, int64_t *prefix)
{
    assert(i < f->n_documents);
    const uint64_t begin = i ? end_of(f, i - 1) : 0, end = end_of(f, i);
    if (begin > end || end > f->n_tokens)
        return fail(E_FORMAT, "%s: document %" PRIu64 " is said to be tokens %" PRIu64 " to %" PRIu64 " of %" PRIu64,
                    f->path, i, begin, end, f->n_tokens);
    out->n = 0;
    for (uint64_t k = begin; k < end; k++) {
        const uint32_t id = id_at(f, k);
        if (id >= f->vocab.n_ids)
            return fail(E_FORMAT, "%s: token %" PRIu64 " is %" PRIu32 ", not below %" PRIu32, f->path, k, id,
                        f->vocab.n_ids);
        TRY(token_list_append(out, (int32_t)id));
    }
    return read_prefix(f, i, end - begin, prefix);
}

/* ---- Writing ---- */

static enum status open_beside(struct file_writer *w, const char *path, const char *extension)
{
    struct buf name = {0};
    buf_printf(&name, "%s%s", path, extension);
    enum status s = buf_status(&name);
    if (s == OK) s = file_writer_open(w, name.data);
    buf_free(&name);
    return s;
}

static enum status write_header(struct tokens_writer *w)
{
    struct header h = {.version = VERSION,
                       .id_bytes = (uint32_t)id_bytes_of(&w->vocab),
                       .flags = w->with_prefixes ? FLAG_PREFIXES : 0,
                       .n_ids = w->vocab.n_ids,
                       .vocab_hash = w->vocab.hash,
                       .n_documents = w->n_documents,
                       .n_tokens = w->n_tokens};
    memcpy(h.magic, magic, sizeof magic);
    return file_writer_write(&w->ids, &h, sizeof h);
}

enum status tokens_writer_open(struct tokens_writer *w, const char *path, const struct tokens_file_vocab *vocab,
                               bool with_prefixes)
{
    *w = (struct tokens_writer){.vocab = *vocab, .with_prefixes = with_prefixes};
    enum status s = file_writer_open(&w->ids, path);
    if (s == OK) s = open_beside(&w->ends, path, ".ends");
    if (s == OK && with_prefixes) s = open_beside(&w->prefixes, path, ".prefixes");
    if (s == OK) s = write_header(w); /* its place; the numbers come at the end */
    if (s != OK) tokens_writer_abort(w);
    return s;
}

enum status tokens_writer_add(struct tokens_writer *w, const int32_t *ids, size_t n, int64_t prefix)
{
    const size_t id_bytes = id_bytes_of(&w->vocab);
    for (size_t i = 0; i < n; i++)
        TRY(file_writer_write(&w->ids, &ids[i], id_bytes)); /* the low bytes come first */
    w->n_tokens += n;
    w->n_documents++;
    TRY(file_writer_write(&w->ends, &w->n_tokens, sizeof w->n_tokens));
    if (!w->with_prefixes) return OK;
    const uint32_t p = prefix < 0 ? 0 : (uint32_t)prefix;
    return file_writer_write(&w->prefixes, &p, sizeof p);
}

/* What waited in another file, behind what is there. */
static enum status append_from(struct file_writer *to, struct file_writer *from)
{
    if (fflush(from->stream)) return fail(E_IO, "%s: %s", from->temporary, strerror(errno));
    FILE *f = fopen(from->temporary, "rbe");
    if (!f) return fail(E_IO, "%s: %s", from->temporary, strerror(errno));
    enum status s = OK;
    char block[16384];
    for (size_t n; s == OK && (n = fread(block, 1, sizeof block, f)) > 0;)
        s = file_writer_write(to, block, n);
    if (s == OK && ferror(f)) s = fail(E_IO, "%s: %s", from->temporary, strerror(errno));
    fclose(f);
    return s;
}

static enum status complete(struct tokens_writer *w)
{
    static const char zeros[8];
    const uint64_t bytes = w->n_tokens * id_bytes_of(&w->vocab);
    TRY(file_writer_write(&w->ids, zeros, (8 - bytes % 8) % 8));
    TRY(append_from(&w->ids, &w->ends));
    if (w->with_prefixes) TRY(append_from(&w->ids, &w->prefixes));
    if (fseeko(w->ids.stream, 0, SEEK_SET)) return fail(E_IO, "%s: %s", w->ids.temporary, strerror(errno));
    return write_header(w);
}

enum status tokens_writer_commit(struct tokens_writer *w)
{
    enum status s = complete(w);
    if (s == OK) s = file_writer_commit(&w->ids);
    tokens_writer_abort(w);
    return s;
}

void tokens_writer_abort(struct tokens_writer *w)
{
    file_writer_abort(&w->ids);
    file_writer_abort(&w->ends);
    file_writer_abort(&w->prefixes);
}
