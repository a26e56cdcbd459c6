// SPDX-License-Identifier: Apache-2.0
/* The C API in 40 lines: complete a prompt, streamed.
 *     cc complete.c $(pkg-config --cflags --libs gptjt) -o complete && ./complete MODEL_DIR "Hello"  */
#include <gptjt.h>
#include <stdio.h>
#include <string.h>

static bool print(void *user, const struct gptjt_token *t)
{
    (void)user;
    fwrite(t->text, 1, t->text_len, stdout);
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    struct gptjt_engine *engine = NULL;
    struct gptjt_session *session = NULL;
    struct gptjt_generate_request request;
    struct gptjt_generation result;
    int32_t *ids = NULL;
    size_t n = 0;
    if (argc != 3) return fprintf(stderr, "usage: %s MODEL_DIR PROMPT\n", argv[0]), 2;

    bool ok = gptjt_engine_open(&engine, argv[1], NULL) == GPTJT_OK &&
              gptjt_encode(gptjt_engine_tokenizer(engine), argv[2], strlen(argv[2]), true, &ids, &n) == GPTJT_OK &&
              gptjt_session_create(&session, engine, 0) == GPTJT_OK;
    if (ok) {
        gptjt_generate_init(&request); /* greedy, 20 new tokens, the checkpoint's mask */
        request.prompt = ids;
        request.n_prompt = n;
        request.on_token = print;
        ok = gptjt_generate(session, &request, &result) == GPTJT_OK;
        if (ok) gptjt_generation_free(&result);
    }
    puts("");
    if (!ok) fprintf(stderr, "%s\n", gptjt_error());
    gptjt_session_close(session);
    gptjt_free(ids);
    gptjt_engine_close(engine);
    return !ok;
}
