// SPDX-License-Identifier: Apache-2.0
/* The zip format of torch 1.6 and later: FOLDER/data.pkl is the pickled state dict, FOLDER/data/KEY the raw bytes of a
 * storage. minizip reads the directory through functions that read from memory; the entries are stored, not
 * compressed, so their bytes are used where they lie in the mapping. */
#include "formats/torchbin.h"

#include <inttypes.h>
#include <minizip/unzip.h>
#include <stdlib.h>
#include <string.h>

#include "formats/torchstate.h"

static const struct source_ops zip_ops = {"pytorch zip", source_file_close};

/* minizip's file: bytes and a position. */
struct memory {
    const uint8_t *data;
    size_t bytes, at;
};

static voidpf memory_open(voidpf opaque, const void *name, int mode)
{
    (void)name;
    (void)mode;
    return opaque;
}

static uLong memory_read(voidpf opaque, voidpf stream, void *to, uLong n)
{
    (void)opaque;
    struct memory *m = stream;
    if (n > m->bytes - m->at) n = m->bytes - m->at;
    if (n) memcpy(to, m->data + m->at, n);
    m->at += n;
    return n;
}

static ZPOS64_T memory_tell(voidpf opaque, voidpf stream)
{
    (void)opaque;
    return ((struct memory *)stream)->at;
}

static long memory_seek(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin)
{
    (void)opaque;
    struct memory *m = stream;
    const size_t from = origin == ZLIB_FILEFUNC_SEEK_SET ? 0 : origin == ZLIB_FILEFUNC_SEEK_CUR ? m->at : m->bytes;
    if (offset > m->bytes - from) return -1;
    m->at = from + offset;
    return 0;
}

static int memory_close(voidpf opaque, voidpf stream)
{
    (void)opaque;
    (void)stream;
    return 0;
}

struct span {
    const uint8_t *data; /* NULL: not there */
    size_t bytes;
};

struct archive {
    const char *file; /* for errors */
    const uint8_t *data;
    size_t bytes;
    char folder[256]; /* with its '/' */
    struct span pickle, byteorder;
    bool has_code; /* a TorchScript archive */
    struct torchstate_set storages;
};

static enum status entry_span(struct span *out, const struct archive *a, unzFile zip, const char *name,
                              const unz_file_info64 *info)
{
    if (info->flag & 1) return fail(E_UNSUPPORTED, "%s: entry %s is encrypted", a->file, name);
    if (info->compression_method)
        return fail(E_UNSUPPORTED, "%s: entry %s is compressed (method %lu); torch.save stores", a->file, name,
                    info->compression_method);
    int method, level;
    if (unzOpenCurrentFile2(zip, &method, &level, 1) != UNZ_OK)
        return fail(E_FORMAT, "%s: entry %s is damaged: truncated?", a->file, name);
    const ZPOS64_T at = unzGetCurrentFileZStreamPos64(zip);
    unzCloseCurrentFile(zip);
    if (info->compressed_size != info->uncompressed_size || at > a->bytes || info->uncompressed_size > a->bytes - at)
        return fail(E_FORMAT, "%s: entry %s of %" PRIu64 " bytes reaches beyond the file: truncated?", a->file, name,
                    (uint64_t)info->uncompressed_size);
    *out = (struct span){a->data + at, (size_t)info->uncompressed_size};
    return OK;
}

/* torch takes the first entry's folder for that of all. */
static enum status set_folder(struct archive *a, const char *name)
{
    const char *slash = strchr(name, '/');
    const size_t n = slash ? (size_t)(slash - name) + 1 : 0;
    if (!n || n >= sizeof a->folder)
        return fail(E_FORMAT, "%s: zip entry %.200s is not in a folder: not a pytorch file", a->file, name);
    memcpy(a->folder, name, n);
    return OK;
}

static enum status add_entry(struct archive *a, unzFile zip)
{
    unz_file_info64 info;
    struct span span;
    char name[512] = "";
    if (unzGetCurrentFileInfo64(zip, &info, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK)
        return fail(E_FORMAT, "%s: the zip directory is damaged: truncated?", a->file);
    if (info.size_filename >= sizeof name || strlen(name) != info.size_filename)
        return fail(E_FORMAT, "%s: a zip entry has an impossible name of %lu bytes", a->file, info.size_filename);
    TRY(entry_span(&span, a, zip, name, &info));
    if (!a->folder[0]) TRY(set_folder(a, name));

    const size_t folder = strlen(a->folder);
    if (strncmp(name, a->folder, folder)) return OK; /* torch does not look there */
    const char *rest = name + folder;
    if (!strncmp(rest, "data/", 5))
        return torchstate_add(&a->storages, rest + 5, strlen(rest + 5), span.data, span.bytes, a->file);
    if (!strcmp(rest, "data.pkl")) a->pickle = span;
    if (!strcmp(rest, "byteorder")) a->byteorder = span;
    if (!strcmp(rest, "constants.pkl")) a->has_code = true;
    return OK;
}

static enum status read_directory(struct archive *a)
{
    struct memory memory = {a->data, a->bytes, 0};
    zlib_filefunc64_def functions = {
        .zopen64_file = memory_open,
        .zread_file = memory_read,
        .ztell64_file = memory_tell,
        .zseek64_file = memory_seek,
        .zclose_file = memory_close,
        .zerror_file = memory_close, /* the same signature, and the same answer: no error */
        .opaque = &memory,
    };
    unzFile zip = unzOpen2_64(a->file, &functions);
    if (!zip)
        return fail(E_FORMAT, "%s: the zip directory at the end of the file is missing or damaged: truncated?",
                    a->file);
    enum status s = OK;
    int at = unzGoToFirstFile(zip);
    for (; s == OK && at == UNZ_OK; at = s == OK ? unzGoToNextFile(zip) : at)
        s = add_entry(a, zip);
    if (s == OK && at != UNZ_END_OF_LIST_OF_FILE)
        s = fail(E_FORMAT, "%s: the zip directory is damaged: truncated?", a->file);
    unzClose(zip);
    return s == OK ? torchstate_sort(&a->storages, a->file) : s;
}

static enum status check_archive(const struct archive *a)
{
    if (!a->pickle.data) return fail(E_FORMAT, "%s: a zip file without data.pkl: not a pytorch file", a->file);
    if (a->has_code) return fail(E_UNSUPPORTED, "%s: a TorchScript archive, not a state dict", a->file);
    if (a->byteorder.data && (a->byteorder.bytes != 6 || memcmp(a->byteorder.data, "little", 6)))
        return fail(E_UNSUPPORTED, "%s: byte order \"%.*s\" is not supported, only little", a->file,
                    a->byteorder.bytes < 20 ? (int)a->byteorder.bytes : 20, (const char *)a->byteorder.data);
    return OK;
}

static enum status read_zip(struct source_file **out, const uint8_t *data, size_t bytes, const char *name)
{
    struct archive a = {.file = name, .data = data, .bytes = bytes};
    struct pickle p = {0};
    enum status s = read_directory(&a);
    if (s == OK) s = check_archive(&a);
    if (s == OK) s = pickle_read(&p, a.pickle.data, a.pickle.bytes, name);
    if (s == OK) s = torchstate_read(out, &zip_ops, &p, &a.storages, bytes, name);
    pickle_free(&p);
    torchstate_free(&a.storages);
    return s;
}

static enum status read_bytes(struct source_file **out, const uint8_t *data, size_t bytes, const char *name)
{
    if (bytes >= 4 && !memcmp(data, "PK\3\4", 4)) return read_zip(out, data, bytes, name);
    if (bytes >= 2 && data[0] == 0x80) return torchlegacy_read(out, data, bytes, name);
    return fail(E_FORMAT, "%s: neither a zip nor a pickle: not a pytorch file", name);
}

enum status torchbin_open(struct source **out, const char *path)
{
    return source_file_open(out, path, read_bytes);
}

enum status torchbin_open_memory(struct source **out, const void *data, size_t bytes, const char *name)
{
    struct source_file *f;
    TRY(read_bytes(&f, data, bytes, name));
    *out = &f->base;
    return OK;
}
