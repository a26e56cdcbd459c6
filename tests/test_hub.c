// SPDX-License-Identifier: Apache-2.0
/* The parts of src/hub that need no network: names that may become paths, the Hub's list of files, which of them are
 * wanted, heads of responses, what refusals mean, and the cache's layout. What goes over a network is
 * tests/cli/pull.sh's and tests/hub/compare.py's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "base/compiler.h"
#include "base/file.h"
#include "hub/answer.h"
#include "hub/cache.h"
#include "hub/choose.h"
#include "hub/digest.h"

#define SHA1   "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- Names ---- */

static void models_and_revisions_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *revision;
    } cases[] = {
        {"EleutherAI/gpt-j-6b", "EleutherAI/gpt-j-6b", "main"},
        {"EleutherAI/gpt-j-6b@float16", "EleutherAI/gpt-j-6b", "float16"},
        {"a/b@feat/x", "a/b", "feat/x"},
        {"a/b@refs/pr/1", "a/b", "refs/pr/1"},
        {"a/b@v1.0@home", "a/b", "v1.0@home"},
        {"a.b_c-d/E.f", "a.b_c-d/E.f", "main"},
        {"a/b@" SHA1, "a/b", SHA1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hub_model m;
        assert_true(hub_name_looks_like_model(cases[i].text));
        assert_int_equal(hub_name_parse(&m, cases[i].text), OK);
        assert_string_equal(m.name, cases[i].name);
        assert_string_equal(m.revision, cases[i].revision);
    }
}

static void what_is_no_model_or_revision_is_refused(void **state)
{
    (void)state;
    static const char *const models[] = {"",        "a",     "/a",    "a/",   "a/b/c", "./a",    "../a",
                                         "a/..",    "a/b.",  "a/-b",  "-a/b", "a--/b", "a/b--c", "a/b..c",
                                         "a/b.git", "a b/c", "a/b\n", "ä/b",  "a/b ",  "@a/b",   "a@b/c"};
    static const char *const revisions[] = {
        "a/b@",     "a/b@.",   "a/b@..",  "a/b@a..b", "a/b@/a",   "a/b@a/",  "a/b@a//b",   "a/b@.a",
        "a/b@a/.b", "a/b@-a",  "a/b@a.",  "a/b@a b",  "a/b@a\tb", "a/b@a~b", "a/b@a^b",    "a/b@a:b",
        "a/b@a?b",  "a/b@a*b", "a/b@a[b", "a/b@a\\b", "a/b@@{1}", "a/b@ä",   "a/b@x.lock", "a/b@a.lock/b"};
    struct hub_model m;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        assert_false(hub_name_looks_like_model(models[i]));
        assert_int_equal(hub_name_parse(&m, models[i]), E_ARG);
    }
    for (size_t i = 0; i < COUNT_OF(revisions); i++)
        assert_int_equal(hub_name_parse(&m, revisions[i]), E_ARG);
    char text[400];
    snprintf(text, sizeof text, "a/%0*d", HUB_NAME_MAX - 2, 0); /* as long as can be */
    assert_int_equal(hub_name_parse(&m, text), OK);
    strcat(text, "0");
    assert_int_equal(hub_name_parse(&m, text), E_ARG);
    snprintf(text, sizeof text, "a/b@%0*d", HUB_REVISION_MAX, 0);
    assert_int_equal(hub_name_parse(&m, text), OK);
    strcat(text, "0");
    assert_int_equal(hub_name_parse(&m, text), E_ARG);
}

static void file_names_stay_in_their_directory(void **state)
{
    (void)state;
    static const char *const good[] = {"a", ".gitattributes", "a/b/c.json", "a b%#?&", "..a", "a..", "...",
                                       "-", "é/ü.txt",        "\xc2\xa0"};
    static const char *const bad[] = {"",       ".",        "..",   "/a",       "a/",          "a//b",    "../a",
                                      "a/../b", "a/..",     "./a",  "a/.",      "a\nb",        "\x1b[2J", "a\x7f",
                                      "a\\b",   "\xc2\x9b", "\xff", "\xc0\xaf", "\xed\xa0\x80"};
    char name[HUB_FILE_MAX + 2] = "";
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(hub_name_is_file(good[i]));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(hub_name_is_file(bad[i]));
    for (int i = 0; i < HUB_FILE_MAX / 2; i++)
        strcat(name, "a/");
    name[HUB_FILE_MAX - 1] = 'b';
    assert_true(hub_name_is_file(name));
    strcat(name, "b");
    assert_false(hub_name_is_file(name));
    snprintf(name, sizeof name, "a/%0255d/b", 0);
    assert_true(hub_name_is_file(name));
    snprintf(name, sizeof name, "a/%0256d/b", 0);
    assert_false(hub_name_is_file(name));
}

static void hashes_and_commits_are_lower_case_hexadecimal(void **state)
{
    (void)state;
    assert_true(hub_name_is_commit(SHA1));
    assert_false(hub_name_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(hub_name_is_commit("main"));
    assert_false(hub_name_is_commit(SHA1 "8"));
    assert_true(hub_name_is_hash(SHA256, HUB_SHA256));
    assert_false(hub_name_is_hash(SHA1, HUB_SHA256));
}

static void quoting_is_that_of_python(void **state)
{
    (void)state;
    struct buf b = {0};
    hub_name_quote(&b, "aZ09-_.~/ %+?&#\xc3\xa9", true);
    assert_string_equal(b.data, "aZ09-_.~/%20%25%2B%3F%26%23%C3%A9");
    buf_clear(&b);
    hub_name_quote(&b, "refs/pr/1", false);
    assert_string_equal(b.data, "refs%2Fpr%2F1");
    buf_free(&b);
}

/* ---- The list of files ---- */

static enum status parse(struct hub_listing *l, const char *siblings)
{
    char text[4096];
    const int n = snprintf(text, sizeof text, "{\"sha\": \"" SHA1 "\", \"siblings\": [%s]}", siblings);
    return hub_listing_parse(l, text, (size_t)n, "a/b");
}

static void a_list_is_read_and_sorted(void **state)
{
    (void)state;
    struct hub_listing l;
    assert_int_equal(parse(&l,
                           "{\"rfilename\": \"z\", \"size\": 7, \"blobId\": \"" SHA1 "\"},"
                           "{\"rfilename\": \"b/c\", \"size\": 9007199254740991, \"blobId\": \"" SHA1
                           "\", \"lfs\": {\"sha256\": \"" SHA256 "\", \"size\": 1}},"
                           "{\"rfilename\": \"a\", \"size\": 0, \"blobId\": \"" SHA1 "\", \"lfs\": null, \"x\": 1e99}"),
                     OK);
    assert_string_equal(l.commit, SHA1);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.files[0].name, "a");
    assert_string_equal(l.files[1].name, "b/c");
    assert_string_equal(l.files[1].hash, SHA256);
    assert_true(l.files[1].bytes == 9007199254740991);
    assert_string_equal(l.files[2].hash, SHA1);
    assert_ptr_equal(hub_listing_find(&l, "z"), &l.files[2]);
    assert_null(hub_listing_find(&l, "b"));
    hub_listing_free(&l);
    assert_int_equal(parse(&l, ""), OK);
    assert_null(hub_listing_find(&l, "z"));
    hub_listing_free(&l);
}

/* tests/cli/pull.sh has the hostile ones that a server can send. */
static void a_sum_that_overflows_is_refused(void **state)
{
    (void)state;
    enum { N = 1025 }; /* times 2^53 - 1 is more than 2^63 */
    struct buf b = {0};
    struct hub_listing l;
    buf_puts(&b, "{\"sha\": \"" SHA1 "\", \"siblings\": [");
    for (int i = 0; i < N; i++)
        buf_printf(&b, "%s{\"rfilename\": \"%d\", \"size\": 9007199254740991, \"blobId\": \"" SHA1 "\"}", i ? "," : "",
                   i);
    buf_puts(&b, "]}");
    assert_int_equal(hub_listing_parse(&l, b.data, b.len, "a/b"), E_FORMAT);
    assert_string_equal(status_message(), "a/b: more bytes than can be counted");
    buf_free(&b);
}

/* ---- Choosing ---- */

/* The wanted ones of the files named, as "a b c". */
static enum status choose(char *out, const char *names, const struct hub_choice *c)
{
    struct hub_listing l;
    char siblings[4096] = "", copy[1024], *rest = copy;
    snprintf(copy, sizeof copy, "%s", names);
    for (const char *name; (name = strsep(&rest, " "));)
        snprintf(siblings + strlen(siblings), sizeof siblings - strlen(siblings),
                 "%s{\"rfilename\": \"%s\", \"size\": 1, \"blobId\": \"" SHA1 "\"}", *siblings ? "," : "", name);
    assert_int_equal(parse(&l, siblings), OK);
    const enum status s = hub_choose(&l, c, "a/b");
    *out = 0;
    for (size_t i = 0; s == OK && i < l.n; i++)
        if (l.files[i].wanted) sprintf(out + strlen(out), "%s%s", *out ? " " : "", l.files[i].name);
    hub_listing_free(&l);
    return s;
}

static void what_is_needed_is_one_set_of_weights_and_the_small_files(void **state)
{
    (void)state;
    static const struct {
        const char *names, *wanted;
    } cases[] = {
        {"config.json generation_config.json vocab.json merges.txt added_tokens.json tokenizer.json "
         "tokenizer_config.json special_tokens_map.json pytorch_model.bin README.md .gitattributes tf_model.h5",
         "added_tokens.json config.json generation_config.json merges.txt pytorch_model.bin special_tokens_map.json "
         "tokenizer.json tokenizer_config.json vocab.json"},
        {"model.safetensors model.safetensors.index.json model-1-of-1.safetensors pytorch_model.bin",
         "model.safetensors"},
        {"model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
         "model.fp16-00001-of-00002.safetensors x/model-00001-of-00002.safetensors pytorch_model.bin",
         "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json"},
        {"pytorch_model.bin pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin", "pytorch_model.bin"},
        {"pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin flax_model.msgpack",
         "pytorch_model-00001-of-00001.bin pytorch_model.bin.index.json"},
        {"adapter_config.json adapter_model.bin adapter_model.safetensors config.json",
         "adapter_config.json adapter_model.safetensors config.json"},
        {"adapter_config.json adapter_model.bin", "adapter_config.json adapter_model.bin"},
        {"model-00001-of-00002.safetensors config.json", NULL},
        {"onnx/model.safetensors config.json", NULL},
        {"adapter_config.json", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char wanted[1024];
        const enum status s = choose(wanted, cases[i].names, &(struct hub_choice){0});
        assert_int_equal(s, cases[i].wanted ? OK : E_UNSUPPORTED);
        assert_string_equal(wanted, cases[i].wanted ? cases[i].wanted : "");
    }
}

static void patterns_are_those_of_fnmatch(void **state)
{
    (void)state;
    static const char names[] = "a.json b/c.json b/d.txt b\xc3\xa9 model.safetensors x[1]";
    static const struct {
        const char *include, *exclude, *wanted;
    } cases[] = {
        {"*.json", NULL, "a.json b/c.json"},
        {"b/", NULL, "b/c.json b/d.txt"},
        {"*", "*.json", "b/d.txt b\xc3\xa9 model.safetensors x[1]"},
        {"?.json", NULL, "a.json"},
        {"x[[]1]", NULL, "x[1]"},
        {"[!a].json", NULL, NULL},
        {"b/c.json", "b/", NULL},
        {NULL, "*.bin", "model.safetensors"},
        {NULL, "model*", NULL},
        {"", NULL, NULL},
        {"A.JSON", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char wanted[1024];
        const struct hub_choice c = {.include = &cases[i].include,
                                     .n_include = cases[i].include != NULL,
                                     .exclude = &cases[i].exclude,
                                     .n_exclude = cases[i].exclude != NULL};
        assert_int_equal(choose(wanted, names, &c), cases[i].wanted ? OK : E_ARG);
        assert_string_equal(wanted, cases[i].wanted ? cases[i].wanted : "");
    }
    char wanted[1024];
    assert_int_equal(choose(wanted, names, &(struct hub_choice){.all = true}), OK);
    assert_string_equal(wanted, "a.json b/c.json b/d.txt b\xc3\xa9 model.safetensors x[1]");
}

/* ---- Responses ---- */

static void content_ranges_are_read_strictly(void **state)
{
    (void)state;
    uint64_t a = 1, b = 1, n = 1;
    assert_true(hub_response_range(&a, &b, &n, "bytes 10-19/20"));
    assert_true(a == 10 && b == 19 && n == 20);
    assert_true(hub_response_range(&a, &b, &n, "Bytes 0-18446744073709551613/18446744073709551615"));
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes */20",
                                      "bytes 0-19/*",
                                      "bytes 10-9/20",
                                      "bytes 10-20/20",
                                      "bytes -1-19/20",
                                      "bytes 10-19/20 ",
                                      "bytes 10-19/20x",
                                      "bytes +1-19/20",
                                      "bytes 10- 19/20",
                                      "bytes 0-1/18446744073709551616",
                                      "items 10-19/20"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(hub_response_range(&a, &b, &n, bad[i]));
}

static void rate_limits_count_when_nothing_is_left(void **state)
{
    (void)state;
    assert_true(hub_response_reset("\"api\";r=0;t=55") == 55);
    assert_true(hub_response_reset("\"api\";r=10;t=55") == 0);
    assert_true(hub_response_reset("\"api\";r=01;t=55") == 0);
    assert_true(hub_response_reset("\"api\";t=55") == 0);
    assert_true(hub_response_reset("\"api\";r=0;t=") == 0);
    assert_true(hub_response_reset("\"api\";r=0;t=18446744073709551616") == 0);
}

static void an_etag_is_a_hash_or_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *value, *hash;
    } cases[] = {
        {"\"" SHA1 "\"", SHA1},
        {"W/\"" SHA256 "\"", SHA256},
        {SHA1, SHA1},
        {"", ""},
        {"\"", ""},
        {"\"\"", ""},
        {"\"abc\"", ""},
        {"\"" SHA256 "-2\"", ""},
        {"\"" SHA1 SHA1 "\"", ""},
        {"\"../../../etc\"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char hash[HUB_SHA256 + 1];
        hub_response_etag(hash, cases[i].value);
        assert_string_equal(hash, cases[i].hash);
    }
}

static void take(struct hub_response *r, const char *line)
{
    hub_response_header(r, line, strlen(line));
}

static void headers_count_from_where_they_may_come(void **state)
{
    (void)state;
    struct hub_response r = {.from_hub = true};
    take(&r, "x-linked-ETAG: \"" SHA256 "\"\r\n");
    take(&r, "ETag: \"" SHA1 "\"\r\n");
    assert_string_equal(r.etag, SHA256); /* the linked one, whatever comes after it */
    take(&r, "Content-Range:bytes 1-2/3\r\n");
    assert_true(r.ranged && r.first == 1 && r.last == 2 && r.total == 3);
    take(&r, "X-Error-Code:  GatedRepo \r\n");
    assert_string_equal(r.error_code, "GatedRepo");
    take(&r, "X-Error-Message: no\r\n");
    assert_string_equal(r.error, "no");
    r = (struct hub_response){.from_hub = false};
    take(&r, "ETag: \"" SHA1 "\"\r\n");
    assert_string_equal(r.etag, ""); /* a CDN's own */
    char line[2000];
    memset(line, 'x', sizeof line);
    hub_response_header(&r, line, sizeof line);
    line[10] = ':';
    hub_response_header(&r, line, sizeof line);
    memcpy(line, "X-Error-Code:", 13);
    hub_response_header(&r, line, 400);
    assert_int_equal(strlen(r.error_code), sizeof r.error_code - 1);
}

static void refusals_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        struct hub_response r;
        const char *file;
        bool token, broken;
        const char *message;
    } cases[] = {
        {{.code = 401, .from_hub = true, .error_code = "GatedRepo"},
         "f",
         false,
         false,
         "a/b is gated: accept its conditions at https://hub/a/b, then give a token of your account "
         "(https://hub/settings/tokens) in HF_TOKEN or in /token"},
        {{.code = 403, .from_hub = true, .error_code = "GatedRepo"},
         "f",
         true,
         false,
         "a/b is gated, and the account of the token that was sent has no access: accept its conditions at "
         "https://hub/a/b"},
        {{.code = 401, .from_hub = true},
         NULL,
         false,
         false,
         "a/b: there is no such model on https://hub, or it is private or gated and needs a token: in HF_TOKEN, or in "
         "/token"},
        {{.code = 401, .from_hub = true, .error = "no"},
         NULL,
         true,
         false,
         "a/b: there is no such model on https://hub, or the token that was sent (HF_TOKEN, /token) may not read it; "
         "the Hub says: no"},
        {{.code = 403, .from_hub = true, .error = "no"},
         "f",
         true,
         false,
         "a/b: f: the Hub refuses access (HTTP 403): no"},
        {{.code = 404, .from_hub = true, .error_code = "RevisionNotFound"},
         NULL,
         false,
         false,
         "a/b: has no revision v1"},
        {{.code = 404, .from_hub = true}, NULL, false, false, "a/b: there is no such model on https://hub"},
        {{.code = 404, .from_hub = true}, "f", false, false, "a/b: f: is listed but not there (HTTP 404)"},
        {{.code = 429, .from_hub = true}, NULL, false, true, "a/b: too many requests (HTTP 429)"},
        {{.code = 503, .from_hub = true}, "f", false, true, "a/b: f: HTTP 503"},
        {{.code = 403}, "f", false, true, "a/b: f: HTTP 403"}, /* a signed address of a CDN that has expired */
        {{.code = 418, .from_hub = true}, NULL, false, false, "a/b: HTTP 418"},
        {{.code = 204, .from_hub = true}, NULL, false, false, "a/b: HTTP 204"},
    };
    const struct hub_model model = {.name = "a/b", .revision = "v1"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct hub_subject x = {.model = &model,
                                      .file = cases[i].file,
                                      .endpoint = "https://hub",
                                      .token_file = "/token",
                                      .token = cases[i].token};
        bool broken = !cases[i].broken;
        assert_int_equal(hub_answer_check(&cases[i].r, &x, &broken), E_IO);
        assert_int_equal(broken, cases[i].broken);
        assert_string_equal(status_message(), cases[i].message);
    }
    bool broken;
    assert_int_equal(hub_answer_check(&(struct hub_response){.code = 206}, NULL, &broken), OK);
}

/* ---- The cache ---- */

static char root[] = P_tmpdir "/gptjt-test-XXXXXX";

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void put_blob(const struct hub_cache *c, const char *hash, const char *suffix, const char *text)
{
    char path[HUB_PATH_MAX];
    assert_int_equal(hub_cache_blob(path, c, hash, suffix), OK);
    put(path, text);
}

static void assert_link(const char *dir, const char *name, const char *target)
{
    char path[HUB_PATH_MAX], to[200] = "";
    assert_int_equal(file_join(path, sizeof path, dir, name), OK);
    assert_true(readlink(path, to, sizeof to - 1) > 0);
    assert_string_equal(to, target);
}

static void a_snapshot_is_links_and_a_reference(void **state)
{
    (void)state;
    const struct hub_model m = {.name = "o/n", .revision = "feat/x"};
    struct hub_cache c;
    struct hub_listing l;
    char path[HUB_PATH_MAX], expected[HUB_PATH_MAX];
    assert_int_equal(hub_cache_init(&c, root, &m), OK);
    assert_int_equal(hub_cache_find(path, root, &m), E_IO);
    assert_non_null(strstr(status_message(), "'gptjt pull o/n@feat/x' downloads it"));
    assert_int_equal(hub_cache_make(&c), OK);
    assert_int_equal(parse(&l, "{\"rfilename\": \"a\", \"size\": 5, \"blobId\": \"" SHA1 "\"},"
                               "{\"rfilename\": \"d/e/b\", \"size\": 9, \"lfs\": {\"sha256\": \"" SHA256 "\"}}"),
                     OK);
    l.files[0].wanted = l.files[1].wanted = true;
    put_blob(&c, SHA1, "", "hello");
    put_blob(&c, SHA256, ".incomplete", "half");
    assert_int_equal(hub_cache_survey(&l, &c), OK);
    assert_true(l.files[0].there && l.files[0].have == 5);
    assert_true(!l.files[1].there && l.files[1].have == 4);
    put_blob(&c, SHA256, ".incomplete", "more than nine");
    put_blob(&c, SHA1, "", "hell");
    assert_int_equal(hub_cache_survey(&l, &c), OK);
    assert_true(!l.files[0].there && !l.files[0].have); /* of another size: not it */
    assert_true(!l.files[1].there && !l.files[1].have);

    put_blob(&c, SHA1, "", "hello");
    put_blob(&c, SHA256, "", "nine char");
    assert_int_equal(hub_cache_publish(&c, &l, m.revision), OK);
    assert_int_equal(hub_cache_publish(&c, &l, m.revision), OK);
    assert_int_equal(hub_cache_find(path, root, &m), OK);
    snprintf(expected, sizeof expected, "%s/models--o--n/snapshots/" SHA1, root);
    assert_string_equal(path, expected);
    assert_link(path, "a", "../../blobs/" SHA1);
    assert_link(path, "d/e/b", "../../../../blobs/" SHA256);
    assert_int_equal(hub_cache_find(path, root, &(struct hub_model){"o/n", SHA1}), OK);
    assert_int_equal(hub_cache_find(path, root, &(struct hub_model){"o/n", "main"}), E_IO);

    assert_int_equal(file_join(path, sizeof path, c.repository, "refs/feat/x"), OK);
    put(path, "../../../../etc");
    assert_int_equal(hub_cache_find(path, root, &m), E_FORMAT);
    hub_listing_free(&l);
}

/* A list in which a file is also a directory cannot be linked, and nothing outside the snapshot is touched. */
static void a_file_that_is_a_directory_too_is_an_error(void **state)
{
    (void)state;
    const struct hub_model m = {.name = "o/twice", .revision = "main"};
    struct hub_cache c;
    struct hub_listing l;
    assert_int_equal(hub_cache_init(&c, root, &m), OK);
    assert_int_equal(hub_cache_make(&c), OK);
    assert_int_equal(parse(&l, "{\"rfilename\": \"a\", \"size\": 5, \"blobId\": \"" SHA1 "\"},"
                               "{\"rfilename\": \"a/b\", \"size\": 5, \"blobId\": \"" SHA1 "\"}"),
                     OK);
    l.files[0].wanted = l.files[1].wanted = true;
    put_blob(&c, SHA1, "", "hello");
    assert_int_equal(hub_cache_publish(&c, &l, "main"), E_IO);
    assert_int_equal(hub_cache_find((char[HUB_PATH_MAX]){0}, root, &m), E_IO);
    hub_listing_free(&l);
}

/* ---- Hashes ---- */

#ifdef HUB_PULL_BUILT
/* FIPS 180-2's examples, and git hash-object. */
static void digests_are_sha256_and_that_of_gits_blobs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hash;
    } cases[] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
        {"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hub_digest *d;
        char hash[HUB_SHA256 + 1];
        const size_t n = strlen(cases[i].text);
        assert_int_equal(hub_digest_open(&d, cases[i].hash, n), OK);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(hub_digest_update(d, cases[i].text, n / 2), OK);
            assert_int_equal(hub_digest_update(d, cases[i].text + n / 2, n - n / 2), OK);
            assert_int_equal(hub_digest_finish(d, hash), OK);
            assert_string_equal(hash, cases[i].hash);
            assert_int_equal(hub_digest_restart(d), OK);
        }
        hub_digest_close(d);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_and_revisions_are_told_apart),
        cmocka_unit_test(what_is_no_model_or_revision_is_refused),
        cmocka_unit_test(file_names_stay_in_their_directory),
        cmocka_unit_test(hashes_and_commits_are_lower_case_hexadecimal),
        cmocka_unit_test(quoting_is_that_of_python),
        cmocka_unit_test(a_list_is_read_and_sorted),
        cmocka_unit_test(a_sum_that_overflows_is_refused),
        cmocka_unit_test(what_is_needed_is_one_set_of_weights_and_the_small_files),
        cmocka_unit_test(patterns_are_those_of_fnmatch),
        cmocka_unit_test(content_ranges_are_read_strictly),
        cmocka_unit_test(rate_limits_count_when_nothing_is_left),
        cmocka_unit_test(an_etag_is_a_hash_or_nothing),
        cmocka_unit_test(headers_count_from_where_they_may_come),
        cmocka_unit_test(refusals_say_what_to_do),
        cmocka_unit_test(a_snapshot_is_links_and_a_reference),
        cmocka_unit_test(a_file_that_is_a_directory_too_is_an_error),
#ifdef HUB_PULL_BUILT
        cmocka_unit_test(digests_are_sha256_and_that_of_gits_blobs),
#endif
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
