// SPDX-License-Identifier: Apache-2.0
/* The zip format of torch 1.6 and later: FOLDER/data.pkl is the pickled state dict, FOLDER/data/KEY the raw bytes of a
 * storage. torch.save stores entries uncompressed, so their bytes are used where they lie in the mapping. */
#include "formats/torchbin.h"

#include <string.h>

#include "formats/torchstate.h"
#include "formats/zipdir.h"

static const struct source_ops zip_ops = {"pytorch zip", source_file_close};

struct span {
    const uint8_t *data; /* NULL: not there */
    size_t bytes;
};

struct archive {
    const char *file; /* for errors */
    char folder[256]; /* with its '/' */
    struct span pickle, byteorder;
    bool has_code; /* a TorchScript archive */
    struct torchstate_set storages;
};

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

static enum status add_entry(struct archive *a, const struct zipdir *d, const struct zipdir_entry *e)
{
    char name[512];
    if (e->name_bytes >= sizeof name || memchr(e->name, 0, e->name_bytes))
        return fail(E_FORMAT, "%s: a zip entry has an impossible name of %zu bytes", a->file, e->name_bytes);
    memcpy(name, e->name, e->name_bytes);
    name[e->name_bytes] = 0;
    if (!a->folder[0]) TRY(set_folder(a, name));

    const size_t folder = strlen(a->folder);
    if (strncmp(name, a->folder, folder)) return OK; /* torch does not look there */
    const char *rest = name + folder;
    const bool storage = !strncmp(rest, "data/", 5), pickle = !strcmp(rest, "data.pkl");
    if (!strcmp(rest, "constants.pkl")) a->has_code = true;
    if (!storage && !pickle && strcmp(rest, "byteorder")) return OK;

    struct span span = {.bytes = (size_t)e->bytes};
    TRY(zipdir_locate(d, e, &span.data));
    if (storage) return torchstate_add(&a->storages, rest + 5, strlen(rest + 5), span.data, span.bytes, a->file);
    *(pickle ? &a->pickle : &a->byteorder) = span;
    return OK;
}

static enum status read_directory(struct archive *a, const uint8_t *data, size_t bytes)
{
    struct zipdir d;
    TRY(zipdir_open(&d, data, bytes, a->file));
    while (d.left) {
        struct zipdir_entry e;
        TRY(zipdir_next(&d, &e));
        TRY(add_entry(a, &d, &e));
    }
    return torchstate_sort(&a->storages, a->file);
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
    struct archive a = {.file = name};
    struct pickle p = {0};
    enum status s = read_directory(&a, data, bytes);
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
