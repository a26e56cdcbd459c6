// SPDX-License-Identifier: Apache-2.0
/* Reads and checks HELM's scenario_state.json; see helm.h. */
#include "eval/helm.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "eval/helm_json.h"

/* The second is for HELM's website, and has only the first tokens of answers. */
static const char *const state_files[] = {"scenario_state.json", "scenario_state_slim.json"};

/* The first of them that is in dir; false when none is. */
static bool find_state(char path[HELM_PATH_MAX], const char *dir)
{
    for (size_t i = 0; i < COUNT_OF(state_files); i++)
        if (file_join(path, HELM_PATH_MAX, dir, state_files[i]) == OK && file_exists(path)) return true;
    return false;
}

struct reading {
    struct helm_run *run;
    json_t *instances; /* split and id of an instance -> its number */
    struct helm_filter filter;
    const char *file; /* its own name */
    char where[160];  /* the file and the request at hand, for messages */
};

struct helm_text helm_text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_object(v)) v = json_object_get(v, "text");
    if (!json_is_string(v)) return (struct helm_text){0};
    return (struct helm_text){json_string_value(v), json_string_length(v)};
}

/* ---- Results ---- */

static enum status check_tokens(const json_t *tokens, const char *where)
{
    size_t i;
    const json_t *token;
    if (!json_is_array(tokens)) return fail(E_FORMAT, "%s: a completion without an array \"tokens\"", where);
    json_array_foreach (tokens, i, token)
        if (!json_is_object(token) || !json_is_string(json_object_get(token, "text")))
            return fail(E_FORMAT, "%s: token %zu has no \"text\"", where, i);
    return OK;
}

enum status helm_check_result(const json_t *result, const char *where)
{
    const json_t *completions = json_object_get(result, "completions"), *c;
    if (!json_is_array(completions)) return fail(E_FORMAT, "%s: \"result\" has no array \"completions\"", where);
    size_t i;
    json_array_foreach (completions, i, c) {
        if (!json_is_object(c) || !json_is_string(json_object_get(c, "text")))
            return fail(E_FORMAT, "%s: completion %zu has no \"text\"", where, i);
        TRY(check_tokens(json_object_get(c, "tokens"), where));
    }
    return OK;
}

/* A result of null, or of a request that failed and has none, is no answer. */
static enum status take_result(struct reading *r, struct helm_request *q)
{
    const json_t *result = json_object_get(q->state, "result");
    if (!result || json_is_null(result)) return OK;
    const json_t *completions = json_object_get(result, "completions");
    if (json_is_object(result) && (!completions || json_is_null(completions))) return OK;
    TRY(helm_check_result(result, r->where));
    if (json_array_size(completions)) q->result = result;
    return OK;
}

/* ---- Requests ---- */

static enum status take_stop(struct reading *r, struct helm_request *q, const json_t *request)
{
    const json_t *stop = json_object_get(request, "stop_sequences");
    if (!stop || json_is_null(stop)) return OK;
    if (!json_is_array(stop)) return fail(E_FORMAT, "%s: \"stop_sequences\" is not an array", r->where);
    const size_t n = json_array_size(stop);
    if (!n) return OK;
    q->stop = calloc(n, sizeof *q->stop);
    if (!q->stop) return fail(E_NOMEM, "%s: out of memory", r->where);
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_array_get(stop, i);
        if (!json_is_string(s) || !json_string_length(s) || strlen(json_string_value(s)) != json_string_length(s))
            return fail(E_FORMAT, "%s: stop sequence %zu is no text that can be looked for", r->where, i);
        q->stop[q->n_stop++] = json_string_value(s);
    }
    return OK;
}

static enum status take_request(struct reading *r, struct helm_request *q)
{
    const json_t *request = json_object_get(q->state, "request"), *prompt = json_object_get(request, "prompt");
    if (!json_is_object(request)) return fail(E_FORMAT, "%s: has no \"request\"", r->where);
    if (!json_is_string(prompt)) return fail(E_FORMAT, "%s: \"prompt\" is not a string", r->where);
    q->prompt = (struct helm_text){json_string_value(prompt), json_string_length(prompt)};
    int64_t max_tokens = 100, completions = 1, top_k = 1; /* HELM's own defaults */
    q->temperature = q->top_p = 1;
    TRY(json_get_int(request, r->where, "max_tokens", 0, HELM_MAX_TOKENS, &max_tokens));
    TRY(json_get_int(request, r->where, "num_completions", 1, 1024, &completions));
    TRY(json_get_int(request, r->where, "top_k_per_token", 0, INT_MAX, &top_k));
    TRY(json_get_number(request, r->where, "temperature", &q->temperature));
    TRY(json_get_number(request, r->where, "top_p", &q->top_p));
    if (q->temperature < 0) return fail(E_FORMAT, "%s: \"temperature\" is %g", r->where, q->temperature);
    if (q->top_p <= 0 || q->top_p > 1) return fail(E_FORMAT, "%s: \"top_p\" is %g", r->where, q->top_p);
    q->max_tokens = (int)max_tokens;
    q->num_completions = (int)completions;
    q->top_k = (int)top_k;
    return take_stop(r, q, request);
}

/* ---- Instances ---- */

/* The place of value in array, where it is put if it is not there; splits and perturbations are few. */
static enum status place(struct reading *r, json_t *array, json_t *value, int *at)
{
    enum { MAX_KINDS = 256 };
    const size_t n = json_array_size(array);
    size_t i = 0;
    while (i < n && !json_equal(json_array_get(array, i), value))
        i++;
    if (i == MAX_KINDS) return fail(E_LIMIT, "%s: more than %d splits or perturbations", r->where, MAX_KINDS);
    if (i == n && json_array_append(array, value)) return fail(E_NOMEM, "%s: out of memory", r->where);
    *at = (int)i;
    return OK;
}

static enum status take_split(struct reading *r, struct helm_request *q, const json_t *instance)
{
    json_t *split = json_object();
    if (!split) return fail(E_NOMEM, "%s: out of memory", r->where);
    static const char *const keys[] = {"split", "sub_split"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        json_t *v = json_object_get(instance, keys[i]);
        if (json_is_string(v)) json_object_set(split, keys[i], v);
    }
    const enum status s = place(r, r->run->splits, split, &q->split);
    json_decref(split);
    return s;
}

static enum status take_perturbation(struct reading *r, struct helm_request *q, const json_t *instance)
{
    json_t *p = json_object_get(instance, "perturbation");
    q->perturbation = -1;
    if (!p || json_is_null(p)) return OK;
    if (!json_is_object(p)) return fail(E_FORMAT, "%s: \"perturbation\" is not an object", r->where);
    return place(r, r->run->perturbations, p, &q->perturbation);
}

/* Copies of one instance have its id; without ids every request is an instance of its own. */
static enum status number_instance(struct reading *r, struct helm_request *q, const json_t *instance, int index)
{
    const char *id = NULL;
    char key[256];
    TRY(json_get_string(instance, r->where, "id", &id));
    const int n = id ? snprintf(key, sizeof key, "%d %s", q->split, id) : snprintf(key, sizeof key, "- %d", index);
    if (n < 0 || (size_t)n >= sizeof key) return fail(E_LIMIT, "%s: \"id\" of %d bytes", r->where, n);
    const json_t *known = json_object_get(r->instances, key);
    if (known) {
        q->instance = (int)json_integer_value(known);
        return OK;
    }
    q->instance = (int)json_object_size(r->instances);
    if (json_object_set_new(r->instances, key, json_integer(q->instance)))
        return fail(E_NOMEM, "%s: out of memory", r->where);
    return OK;
}

static enum status check_references(const struct reading *r, const json_t *instance)
{
    const json_t *references = json_object_get(instance, "references"), *one;
    if (!references || json_is_null(references)) return OK;
    if (!json_is_array(references)) return fail(E_FORMAT, "%s: \"references\" is not an array", r->where);
    size_t i;
    json_array_foreach (references, i, one)
        if (!helm_text_of(one, "output").data || !json_is_array(json_object_get(one, "tags")))
            return fail(E_FORMAT, "%s: reference %zu lacks \"output\" or \"tags\"", r->where, i);
    return OK;
}

static enum status take_instance(struct reading *r, struct helm_request *q, int index)
{
    const json_t *instance = json_object_get(q->state, "instance");
    if (!json_is_object(instance)) return fail(E_FORMAT, "%s: has no \"instance\"", r->where);
    int64_t trial = 0;
    TRY(json_get_int(q->state, r->where, "train_trial_index", 0, 1 << 16, &trial));
    q->trial = (int)trial;
    TRY(check_references(r, instance));
    TRY(take_split(r, q, instance));
    TRY(take_perturbation(r, q, instance));
    return number_instance(r, q, instance, index);
}

/* ---- The file ---- */

/* Adds request index of the file, unless it is about an instance that is not wanted. */
static enum status add_request(struct reading *r, const json_t *state, size_t index)
{
    struct helm_run *run = r->run;
    struct helm_request *q = &run->requests[run->n_requests];
    snprintf(r->where, sizeof r->where, "%.80s/%.30s: request %zu", run->name, r->file, index);
    if (!json_is_object(state)) return fail(E_FORMAT, "%s: is not an object", r->where);
    const json_t *reference = json_object_get(state, "reference_index");
    if (reference && !json_is_null(reference))
        return fail(E_UNSUPPORTED, "%s: scores a given answer; only answers that a model writes are evaluated",
                    r->where);
    *q = (struct helm_request){.state = state};
    TRY(take_instance(r, q, (int)index));
    if (r->filter.n_instances && q->instance >= r->filter.n_instances) return OK;
    if (r->filter.original && q->perturbation >= 0) return OK;
    run->n_requests++; /* from here on its list of stops is freed with the run */
    TRY(take_request(r, q));
    TRY(take_result(r, q));
    if (q->trial >= run->n_trials) run->n_trials = q->trial + 1;
    if (q->instance >= run->n_instances) run->n_instances = q->instance + 1;
    return OK;
}

static enum status take_adapter(struct reading *r)
{
    struct helm_run *run = r->run;
    run->adapter = json_object_get(run->root, "adapter_spec");
    if (!json_is_object(run->adapter)) return fail(E_FORMAT, "%s: has no \"adapter_spec\"", run->path);
    const char *method = "generation";
    int64_t outputs = 1;
    TRY(json_get_string(run->adapter, run->path, "method", &method));
    TRY(json_get_int(run->adapter, run->path, "num_outputs", 1, 1024, &outputs));
    run->num_outputs = (int)outputs;
    if (strcmp(method, "generation") && strcmp(method, "multiple_choice_joint"))
        return fail(E_UNSUPPORTED, "%s: made by the method \"%.40s\"; generation and multiple_choice_joint are known",
                    run->path, method);
    return OK;
}

static enum status take_all(struct reading *r)
{
    struct helm_run *run = r->run;
    TRY(take_adapter(r));
    const json_t *states = json_object_get(run->root, "request_states"), *state;
    const size_t n = json_array_size(states);
    if (!n) return fail(E_FORMAT, "%s: has no \"request_states\"", run->path);
    if (n > HELM_MAX_REQUESTS) return fail(E_LIMIT, "%s: %zu requests, more than %d", run->path, n, HELM_MAX_REQUESTS);
    run->requests = calloc(n, sizeof *run->requests);
    run->splits = json_array();
    run->perturbations = json_array();
    r->instances = json_object();
    if (!run->requests || !run->splits || !run->perturbations || !r->instances)
        return fail(E_NOMEM, "%s: out of memory", run->path);
    size_t i;
    json_array_foreach (states, i, state)
        TRY(add_request(r, state, i));
    return run->n_requests ? OK : fail(E_FORMAT, "%s: every request is about a perturbed copy", run->path);
}

/* The directory's own name, of the path of a file in it. */
static char *directory_name(const char *path)
{
    const char *end = strrchr(path, '/');
    if (!end) return strdup("run");
    while (end > path && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    return strndup(start, (size_t)(end - start));
}

enum status helm_run_read_text(struct helm_run **out, const char *text, size_t len, const char *path,
                               struct helm_filter filter)
{
    struct helm_run *run = calloc(1, sizeof *run);
    if (!run) return fail(E_NOMEM, "%s: out of memory", path);
    struct reading r = {.run = run, .filter = filter};
    run->path = strdup(path);
    run->name = directory_name(path);
    if (run->path) r.file = strrchr(path, '/') ? strrchr(run->path, '/') + 1 : run->path;
    enum status s = run->path && run->name ? OK : fail(E_NOMEM, "%s: out of memory", path);
    if (s == OK) s = helm_json_read_text(&run->root, text, len, path);
    if (s == OK) s = take_all(&r);
    json_decref(r.instances);
    if (s == OK)
        *out = run;
    else
        helm_run_close(run);
    return s;
}

enum status helm_run_open(struct helm_run **out, const char *dir, struct helm_filter filter)
{
    char path[HELM_PATH_MAX], plain[PATH_MAX];
    if (!realpath(dir, plain)) return fail(E_IO, "%s: %s", dir, strerror(errno)); /* "." has a name of its own */
    if (!find_state(path, plain)) return fail(E_IO, "%s: no %s in it", dir, state_files[0]);
    struct buf text = {0};
    enum status s = file_read(&text, path, HELM_JSON_MAX_BYTES);
    if (s == OK) s = helm_run_read_text(out, text.data ? text.data : "", text.len, path, filter);
    buf_free(&text);
    return s;
}

void helm_run_close(struct helm_run *run)
{
    if (!run) return;
    for (int i = 0; i < run->n_requests; i++)
        free(run->requests[i].stop);
    free(run->requests);
    json_decref(run->splits);
    json_decref(run->perturbations);
    json_decref(run->root);
    free(run->name);
    free(run->path);
    free(run);
}

/* ---- Directories ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void helm_free_list(char **list, int n)
{
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

/* Appends a copy of dir. */
static enum status add_dir(char ***list, int *n, const char *dir)
{
    char **grown = realloc(*list, (size_t)(*n + 1) * sizeof **list);
    if (grown) *list = grown;
    char *copy = grown ? strdup(dir) : NULL;
    if (!copy) return fail(E_NOMEM, "%s: out of memory", dir);
    grown[(*n)++] = copy;
    return OK;
}

static enum status list_subdirectories(char ***list, int *n, const char *path)
{
    DIR *d = opendir(path);
    if (!d) return fail(E_IO, "%s: %s", path, strerror(errno));
    enum status s = OK;
    for (const struct dirent *e; s == OK && (e = readdir(d));) {
        char dir[HELM_PATH_MAX], state[HELM_PATH_MAX];
        if (e->d_name[0] == '.') continue;
        s = file_join(dir, sizeof dir, path, e->d_name);
        if (s == OK && find_state(state, dir)) s = add_dir(list, n, dir);
    }
    closedir(d);
    return s;
}

enum status helm_find_runs(char ***out, int *n, const char *path)
{
    char **list = NULL, state[HELM_PATH_MAX];
    *n = 0;
    enum status s = find_state(state, path) ? add_dir(&list, n, path) : list_subdirectories(&list, n, path);
    if (s == OK && !*n) s = fail(E_IO, "%s: no %s in it, nor in a directory in it", path, state_files[0]);
    if (s != OK) {
        helm_free_list(list, *n);
        *n = 0;
        return s;
    }
    qsort(list, (size_t)*n, sizeof *list, by_name);
    *out = list;
    return OK;
}
