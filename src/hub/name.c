// SPDX-License-Identifier: Apache-2.0
#include "hub/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* One half of OWNER/NAME. */
static bool is_part(const char *text, size_t len)
{
    if (!len || strchr("-.", text[0]) || strchr("-.", text[len - 1])) return false;
    for (size_t i = 0; i < len; i++)
        if (!is_word(text[i])) return false;
    return true;
}

/* The rules of huggingface_hub's validate_repo_id(); "--" is what stands for '/' in the cache's directory names. */
static bool is_model(const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    if (!slash || len > HUB_NAME_MAX || memmem(text, len, "--", 2) || memmem(text, len, "..", 2)) return false;
    if (len > 4 && !memcmp(text + len - 4, ".git", 4)) return false;
    const size_t owner = (size_t)(slash - text);
    return is_part(text, owner) && is_part(slash + 1, len - owner - 1);
}

bool hub_name_looks_like_model(const char *text)
{
    return is_model(text, strcspn(text, "@"));
}

enum status hub_name_parse(struct hub_model *out, const char *text)
{
    struct hub_model m;
    const size_t len = strcspn(text, "@");
    if (!is_model(text, len))
        return fail(E_ARG, "%.200s: is not the name of a model, OWNER/NAME or OWNER/NAME@REVISION", text);
    snprintf(m.name, sizeof m.name, "%.*s", (int)len, text);
    const char *revision = text[len] ? text + len + 1 : "main";
    if (!hub_name_is_revision(revision))
        return fail(E_ARG, "%s: \"%.200s\" is not the name of a revision", m.name, revision);
    snprintf(m.revision, sizeof m.revision, "%s", revision);
    *out = m;
    return OK;
}

bool hub_name_is_hash(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool hub_name_is_commit(const char *text)
{
    return hub_name_is_hash(text, HUB_COMMIT);
}

/* Calls for each part between slashes; false as soon as it is. */
static bool each_part(const char *text, bool (*is_good)(const char *part, size_t len))
{
    for (;;) {
        const size_t len = strcspn(text, "/");
        if (!len || len > 255 || !is_good(text, len)) return false;
        if (!text[len]) return true;
        text += len + 1;
    }
}

static bool is_revision_part(const char *part, size_t len)
{
    return part[0] != '.' && !(len >= 5 && !memcmp(part + len - 5, ".lock", 5));
}

/* git check-ref-format, and ASCII only. */
bool hub_name_is_revision(const char *text)
{
    const size_t len = strlen(text);
    if (!len || len > HUB_REVISION_MAX || text[0] == '-' || text[len - 1] == '.') return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("~^:?*[\\", text[i])) return false;
    return !strstr(text, "..") && !strstr(text, "@{") && each_part(text, is_revision_part);
}

static bool is_file_part(const char *part, size_t len)
{
    return !(part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')));
}

bool hub_name_is_file(const char *text)
{
    const size_t len = strlen(text);
    if (len > HUB_FILE_MAX || !utf8_valid(text, len)) return false;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        if (c < ' ' || c == 0x7f || c == '\\' || (c == 0xc2 && next < 0xa0)) return false; /* U+0080..9F: C1 */
    }
    return each_part(text, is_file_part);
}

void hub_name_quote(struct buf *out, const char *text, bool slashes)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if ((c < 0x80 && isalnum(c)) || strchr("-_.~", c) || (c == '/' && slashes))
            buf_append(out, text, 1);
        else
            buf_printf(out, "%%%02X", c);
    }
}
