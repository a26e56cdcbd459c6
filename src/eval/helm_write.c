// SPDX-License-Identifier: Apache-2.0
/* Writes a HELM run; see helm_write.h. */
#include "eval/helm_write.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/helm_json.h"

enum status helm_output_dir(char dir[HELM_PATH_MAX], const char *out, const struct helm_run *run)
{
    char path[HELM_PATH_MAX], plain[PATH_MAX];
    TRY(file_join(dir, HELM_PATH_MAX, out, run->name));
    TRY(file_make_dirs(dir));
    TRY(file_join(path, sizeof path, dir, "scenario_state.json"));
    if (realpath(path, plain) && !strcmp(plain, run->path))
        return fail(E_ARG, "-o %s: %s would be replaced; give another directory", out, run->path);
    return OK;
}

static enum status write_json(const char *dir, const char *name, const json_t *value)
{
    char path[HELM_PATH_MAX];
    struct file_writer w;
    TRY(file_join(path, sizeof path, dir, name));
    if (!value) return fail(E_NOMEM, "%s: no memory for it", path);
    TRY(file_writer_open(&w, path));
    const enum status s = json_write_stream_digits(value, w.stream, true, 17);
    if (s == OK) return file_writer_commit(&w);
    file_writer_abort(&w);
    return s;
}

/* A shallow copy of object with another member key. Takes the reference to value; new reference. */
static json_t *with(const json_t *object, const char *key, json_t *value)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)object);
    if (copy) json_object_set(copy, key, value);
    json_decref(value);
    return copy;
}

static json_t *named(const json_t *object, const char *model)
{
    return with(object, "model", model ? json_string(model) : json_incref(json_object_get(object, "model")));
}

static json_t *request_state(const struct helm_request *q, const struct helm_answer *a, const char *model)
{
    const json_t *state = a->state ? a->state : q->state;
    json_t *copy = with(state, "request", named(json_object_get(state, "request"), model));
    if (copy) json_object_set(copy, "result", (json_t *)(uintptr_t)a->result);
    return copy;
}

static enum status write_state(const char *dir, const struct helm_run *run, const struct helm_answer *answers,
                               const char *model)
{
    json_t *states = json_array();
    for (int i = 0; i < run->n_requests; i++)
        if (json_array_append_new(states, request_state(&run->requests[i], &answers[i], model))) {
            json_decref(states);
            return fail(E_NOMEM, "%s: no memory for its results", run->path);
        }
    json_t *root = json_pack("{so so}", "adapter_spec", named(run->adapter, model), "request_states", states);
    const enum status s = write_json(dir, "scenario_state.json", root);
    json_decref(root);
    return s;
}

/* The run's run_spec.json, with the model that was run. */
static enum status copy_spec(const char *dir, const struct helm_run *run, const char *model)
{
    char path[HELM_PATH_MAX];
    const int parent = (int)(strrchr(run->path, '/') - run->path);
    snprintf(path, sizeof path, "%.*s/run_spec.json", parent, run->path);
    if (!file_exists(path)) return OK;
    json_t *spec;
    TRY(helm_json_read_file(&spec, path));
    const json_t *adapter = json_object_get(spec, "adapter_spec");
    if (json_is_object(adapter)) json_object_set_new(spec, "adapter_spec", named(adapter, model));
    const enum status s = write_json(dir, "run_spec.json", spec);
    json_decref(spec);
    return s;
}

enum status helm_write(const char *dir, const struct helm_run *run, const struct helm_answer *answers,
                       const json_t *rows, const char *model)
{
    if (answers) TRY(write_state(dir, run, answers, model));
    TRY(copy_spec(dir, run, model));
    return write_json(dir, "stats.json", rows);
}
