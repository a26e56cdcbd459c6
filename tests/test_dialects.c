// SPDX-License-Identifier: Apache-2.0
/* The dialects against literal JSON: what clients send, what they are told when it is wrong, and what they get. A token
 * is a byte here (fake_gptjt.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "fake_gptjt.h"
#include "server/api_classify.h"
#include "server/api_openai.h"
#include "server/api_tgi.h"

static const struct ask_limits limits = {
    .window = 2048, .vocab_size = 256, .most_prompts = 4, .most_n = 8, .most_stops = 2};

static struct gptjt_engine *engine;
static struct render render = {.eos = 4, .model = "the-model", .id = "i", .created = 17};

static int set_up(void **state)
{
    (void)state;
    engine = fake_engine(2048);
    render.tokenizer = gptjt_engine_tokenizer(engine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_engine_free(engine);
    return 0;
}

static enum status parse(struct ask *a, const struct dialect *d, const char *body)
{
    return d->parse(a, body, strlen(body), &limits);
}

static struct ask parsed(const struct dialect *d, const char *body)
{
    struct ask a;
    if (parse(&a, d, body) != OK) fail_msg("%s: %s", body, status_message());
    return a;
}

/* ---- What is asked ---- */

static void tgi_defaults(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_tgi, "{\"inputs\": \"x\\u0000y\"}");
    assert_int_equal(a.n_prompts, 1);
    assert_int_equal(a.prompts[0].text_len, 3); /* a NUL is a character */
    assert_memory_equal(a.prompts[0].text, "x\0y", 3);
    assert_false(a.many || a.do_sample || a.full_text || a.details || a.stream || a.seeded || a.score_prompt);
    assert_int_equal(a.max_new_tokens, ASK_ROOM);
    assert_int_equal(a.most_new_tokens, 1024);
    assert_true(a.temperature == 1 && a.top_p == 1 && a.typical_p == 1 && a.repetition_penalty == 1);
    assert_true(a.top_k == 0 && a.frequency_penalty == 0 && a.presence_penalty == 0 && a.n == 1 && a.best_of == 1);
    assert_int_equal(a.prompt_mask, GPTJT_MASK_AUTO);
    ask_free(&a);
}

/* What huggingface_hub's InferenceClient.text_generation() sends for all of its arguments. */
static void tgi_parameters(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_hf,
                          "{\"inputs\": \"x\", \"parameters\": {\"adapter_id\": null, \"best_of\": 2, "
                          "\"decoder_input_details\": true, \"details\": true, \"do_sample\": true, "
                          "\"frequency_penalty\": 0.5, \"grammar\": null, \"max_new_tokens\": 7, "
                          "\"repetition_penalty\": 1.25, \"return_full_text\": false, \"seed\": 9, \"stop\": [\"a\", "
                          "\"b\"], \"temperature\": 0.5, \"top_k\": 3, \"top_n_tokens\": 5, \"top_p\": 0.75, "
                          "\"truncate\": 11, \"typical_p\": 0.5, \"watermark\": false}, \"stream\": false}");
    assert_true(a.best_of == 2 && a.n == 1 && a.score_prompt && a.details && a.do_sample && !a.full_text);
    assert_true(a.frequency_penalty == 0.5 && a.repetition_penalty == 1.25 && a.temperature == 0.5);
    assert_true(a.top_p == 0.75 && a.typical_p == 0.5 && a.top_k == 3 && a.n_top == 5);
    assert_true(a.seeded && a.seed == 9 && a.max_new_tokens == 7 && a.truncate == 11 && !a.stream);
    assert_int_equal(a.stop.n, 2);
    assert_string_equal(a.stop.items[1], "b");
    ask_free(&a);
    a = parsed(&dialect_tgi, "{\"inputs\": \"x\", \"parameters\": {\"prompt_mask\": \"causal\", \"prefix_tokens\": 3, "
                             "\"decoder_input_details\": true}}");
    assert_int_equal(a.prompt_mask, GPTJT_MASK_CAUSAL);
    assert_int_equal(a.prefix_tokens, 3);
    ask_free(&a);
}

static void who_changes_the_distribution_samples(void **state)
{
    (void)state;
    static const struct {
        const char *parameters;
        bool samples;
    } cases[] = {
        {"", false},
        {"\"temperature\": 1.0", false},
        {"\"temperature\": 0.7", true},
        {"\"top_k\": 5", true},
        {"\"top_p\": 0.9", true},
        {"\"typical_p\": 0.9", true},
        {"\"repetition_penalty\": 1.2", false},
        {"\"do_sample\": false, \"top_k\": 5", false},
        {"\"do_sample\": true", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"inputs\": \"x\", \"stream\": true, \"parameters\": {%s}}", cases[i].parameters);
        struct ask a = parsed(&dialect_hf, body);
        assert_int_equal(a.do_sample, cases[i].samples);
        assert_true(a.stream);
        ask_free(&a);
        a = parsed(&dialect_tgi, body);
        assert_int_equal(a.do_sample, cases[i].samples);
        ask_free(&a);
    }
}

static void the_inference_api_has_defaults_of_its_own(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_hf, "{\"inputs\": \"x\"}");
    assert_true(a.do_sample && a.full_text && !a.stream && !a.many && a.most_new_tokens == 20);
    ask_free(&a);
    a = parsed(&dialect_hf, "{\"inputs\": \"x\", \"stream\": false}"); /* a client of TGI */
    assert_true(!a.do_sample && a.full_text && !a.stream && a.most_new_tokens == 1024);
    ask_free(&a);
    a = parsed(
        &dialect_hf,
        "{\"model\": \"m\", \"inputs\": [\"x\", \"y\"], \"parameters\": {\"num_return_sequences\": 3, "
        "\"max_time\": 2.5, \"return_full_text\": false}, \"options\": {\"use_cache\": false, \"wait_for_model\": "
        "true, \"retry_on_error\": true}}");
    assert_true(a.many && a.n_prompts == 2 && a.n == 3 && a.best_of == 3 && a.max_time == 2.5 && !a.full_text);
    assert_string_equal(a.model, "m");
    ask_free(&a);
    a = parsed(&dialect_hf, "{\"inputs\": \"x\", \"parameters\": {\"temperature\": 0}}");
    assert_false(a.do_sample);
    ask_free(&a);
}

static void openai_defaults(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_openai, "{\"model\": \"m\", \"prompt\": \"x\"}");
    assert_true(a.max_new_tokens == 16 && a.do_sample && a.temperature == 1 && a.top_p == 1 && a.n == 1);
    assert_true(!a.details && !a.full_text && !a.score_prompt && !a.stream && !a.usage && !a.many);
    ask_free(&a);
}

static void openai_parameters(void **state)
{
    (void)state;
    struct ask a = parsed(
        &dialect_openai,
        "{\"model\": \"m\", \"prompt\": [\"x\", \"y\"], \"max_tokens\": 5, \"temperature\": 0, \"top_p\": "
        "0.5, \"n\": 2, \"stream\": true, \"stream_options\": {\"include_usage\": true}, \"logprobs\": "
        "3, \"echo\": true, \"stop\": \"z\", \"seed\": 4, \"presence_penalty\": 0.5, "
        "\"frequency_penalty\": -0.5, \"logit_bias\": {\"7\": -100, \"8\": 1.5}, \"user\": \"u\", "
        "\"suffix\": null, \"best_of\": 2, \"top_k\": 6, \"prompt_mask\": \"prefix\"}");
    assert_true(a.n_prompts == 2 && a.many && a.max_new_tokens == 5 && !a.do_sample && a.top_p == 0.5 && a.n == 2);
    assert_true(a.stream && a.usage && a.details && a.n_top == 3 && a.full_text && a.score_prompt && a.top_k == 6);
    assert_true(a.stop.n == 1 && a.seed == 4 && a.presence_penalty == 0.5 && a.frequency_penalty == -0.5);
    assert_int_equal(a.n_logit_bias, 2);
    assert_true(a.logit_bias[0].id == 7 && a.logit_bias[0].bias == -100 && a.logit_bias[1].bias == 1.5f);
    assert_int_equal(a.prompt_mask, GPTJT_MASK_PREFIX);
    ask_free(&a);
}

/* As @huggingface/inference 4 rewrites a request for text generation. */
static void hugging_faces_newer_client_asks_here(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_openai,
                          "{\"model\": \"http://localhost:8080\", \"stream\": true, \"max_tokens\": 7, \"do_sample\": "
                          "false, \"return_full_text\": true, \"top_k\": 5, \"top_p\": 0.5, \"repetition_penalty\": "
                          "1.5, \"truncate\": 9, \"watermark\": false, \"details\": false, \"stop\": [\"x\"], "
                          "\"prompt\": \"p\"}");
    assert_true(!a.do_sample && a.full_text && a.truncate == 9 && a.top_k == 5 && a.repetition_penalty == 1.5);
    assert_true(a.stream && a.max_new_tokens == 7 && a.stop.n == 1);
    ask_free(&a);
}

/* As lm-evaluation-harness asks. */
static void prompts_may_be_token_ids(void **state)
{
    (void)state;
    struct ask a = parsed(&dialect_openai, "{\"prompt\": [[1, 2, 3], [4]], \"max_tokens\": 1, \"temperature\": 0, "
                                           "\"logprobs\": 1, \"echo\": true, \"seed\": 1234}");
    assert_true(a.n_prompts == 2 && a.many && !a.prompts[0].text && a.prompts[0].n_ids == 3);
    assert_true(a.prompts[0].ids[2] == 3 && a.prompts[1].ids[0] == 4);
    ask_free(&a);
    a = parsed(&dialect_openai, "{\"prompt\": [1, 2, 255]}");
    assert_true(a.n_prompts == 1 && !a.many && a.prompts[0].n_ids == 3);
    ask_free(&a);
    a = parsed(&dialect_openai, "{\"prompt\": [\"a\", [1]]}");
    assert_true(a.prompts[0].text && !a.prompts[1].text);
    ask_free(&a);
    a = parsed(&dialect_openai, "{\"prompt\": \"x\", \"echo\": true, \"max_tokens\": 0, \"logprobs\": 0}");
    assert_true(a.max_new_tokens == 0 && a.details && a.score_prompt && a.n_top == 0);
    ask_free(&a);
}

#define IN "{\"inputs\": \"x\", \"parameters\": {"

static void what_cannot_be_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const struct dialect *dialect;
        const char *body, *message;
    } cases[] = {
        {&dialect_tgi, "", "request: line 1: unexpected token near end of file"},
        {&dialect_tgi, "[]", "request: is not a JSON object"},
        {&dialect_tgi, "{}", "request: \"inputs\" is missing"},
        {&dialect_tgi, "{\"inputs\": null}", "request: \"inputs\" is missing"},
        {&dialect_tgi, "{\"inputs\": [\"x\"]}", "request: \"inputs\" is not a text"},
        {&dialect_tgi, "{\"input\": \"x\"}", "request: unknown field \"input\"; did you mean \"inputs\"?"},
        {&dialect_tgi, "{\"inputs\": \"x\", \"inputs\": \"y\"}",
         "request: line 1: duplicate object key near '\"inputs\"'"},
        {&dialect_tgi, "{\"inputs\": \"\xff\"}", "request: line 1: unable to decode byte 0xff near '\"'"},
        {&dialect_tgi, "{\"inputs\": \"\\ud800\"}", "request: line 1: invalid Unicode '\\uD800' near '\"\\ud800\"'"},
        {&dialect_tgi, "{\"inputs\": \"x\", \"parameters\": []}", "parameters: is not a JSON object"},
        {&dialect_tgi, IN "\"temperature\": 0}}", "parameters: \"temperature\" is 0, not above 0"},
        {&dialect_tgi, IN "\"temperature\": NaN}}", "request: line 1: invalid token near 'NaN'"},
        {&dialect_tgi, IN "\"temperature\": 1e999}}", "request: line 1: real number overflow near '1e999'"},
        {&dialect_tgi, IN "\"top_k\": 99999999999999999999}}",
         "request: line 1: too big integer near '99999999999999999999'"},
        {&dialect_tgi, IN "\"top_k\": 0}}", "parameters: \"top_k\" is 0, not within 1..2147483647"},
        {&dialect_tgi, IN "\"top_k\": true}}", "parameters: \"top_k\" is true, not a whole number"},
        {&dialect_tgi, IN "\"top_p\": 0}}", "parameters: \"top_p\" is 0, not above 0"},
        {&dialect_tgi, IN "\"top_p\": 1.01}}", "parameters: \"top_p\" is 1.01, not within 0..1"},
        {&dialect_tgi, IN "\"repetition_penalty\": 0}}", "parameters: \"repetition_penalty\" is 0, not above 0"},
        {&dialect_tgi, IN "\"frequency_penalty\": -2.5}}",
         "parameters: \"frequency_penalty\" is -2.5, not within -2..2"},
        {&dialect_tgi, IN "\"max_new_tokens\": 0}}", "parameters: \"max_new_tokens\" is 0, not within 1..2147483647"},
        {&dialect_tgi, IN "\"max_new_token\": 3}}",
         "parameters: unknown field \"max_new_token\"; did you mean \"max_new_tokens\"?"},
        {&dialect_tgi, IN "\"watermark\": true}}", "parameters: \"watermark\" is refused: texts are not marked"},
        {&dialect_tgi, IN "\"grammar\": {\"type\": \"json\"}}}",
         "parameters: \"grammar\" is refused: answers are not constrained by a grammar"},
        {&dialect_tgi, IN "\"adapter_id\": \"a\"}}",
         "parameters: \"adapter_id\" is refused: the server has the one adapter it was started with"},
        {&dialect_tgi, IN "\"best_of\": 2}}",
         "parameters: \"best_of\" is 2, but greedy answers are all the same; give \"do_sample\""},
        {&dialect_tgi, IN "\"best_of\": 9, \"do_sample\": true}}", "parameters: 9 answers to a prompt, more than 8"},
        {&dialect_tgi, "{\"inputs\": \"x\", \"stream\": true, \"parameters\": {\"best_of\": 2, \"do_sample\": true}}",
         "parameters: \"best_of\" is known only at the end; it does not go with \"stream\""},
        {&dialect_tgi, "{\"inputs\": \"x\", \"stream\": true, \"parameters\": {\"decoder_input_details\": true}}",
         "parameters: \"decoder_input_details\" does not go with a stream"},
        {&dialect_tgi, IN "\"stop\": [\"a\", \"b\", \"c\"]}}", "parameters: \"stop\" has 3 strings, more than 2"},
        {&dialect_tgi, IN "\"stop\": [\"\"]}}",
         "parameters: \"stop\" holds an empty string, which would stop everything"},
        {&dialect_tgi, IN "\"stop\": [\"a\\u0000\"]}}", "parameters: \"stop\" has a NUL character in it"},
        {&dialect_tgi, IN "\"stop\": [1]}}", "parameters: \"stop\" is [1], not an array of strings"},
        {&dialect_tgi, IN "\"prefix_tokens\": 3}}",
         "parameters: \"prefix_tokens\" is about scores of the prompt's tokens, which are not asked for"},
        {&dialect_tgi, IN "\"prompt_mask\": \"both\"}}",
         "parameters: \"prompt_mask\" is both, not one of auto|prefix|causal"},
        {&dialect_hf, "{\"inputs\": []}", "request: \"inputs\" is an empty list"},
        {&dialect_hf, "{\"inputs\": [\"a\", 1]}", "request: \"inputs\" holds something that is not text"},
        {&dialect_hf, "{\"inputs\": [\"a\", \"b\", \"c\", \"d\", \"e\"]}",
         "request: \"inputs\" has 5 prompts, more than 4"},
        {&dialect_hf, "{\"inputs\": [\"a\", \"b\"], \"stream\": true}",
         "request: \"stream\" goes with one text and one answer"},
        {&dialect_hf, IN "\"do_sample\": false, \"num_return_sequences\": 2}}",
         "parameters: \"num_return_sequences\" is 2, but greedy answers are all the same; give \"do_sample\""},
        {&dialect_hf, IN "\"max_length\": 20}}",
         "parameters: \"max_length\" is refused: it counts the prompt in; use \"max_new_tokens\""},
        {&dialect_hf, IN "\"num_beams\": 4}}",
         "parameters: \"num_beams\" is refused: there is no beam search; decoding is greedy or sampled"},
        {&dialect_hf, "{\"inputs\": \"x\", \"options\": {\"use_cash\": true}}",
         "options: unknown field \"use_cash\"; did you mean \"use_cache\"?"},
        {&dialect_openai, "{\"model\": \"m\"}", "request: \"prompt\" is missing"},
        {&dialect_openai, "{\"prompt\": 3}", "request: \"prompt\" is not a text or a list of texts"},
        {&dialect_openai, "{\"prompt\": [1, \"a\"]}",
         "request: \"prompt\" holds something that is neither text nor a token id"},
        {&dialect_openai, "{\"prompt\": [256]}", "request: \"prompt\": token 256 is not in the vocabulary (0..255)"},
        {&dialect_openai, "{\"prompt\": [[-1]]}", "request: \"prompt\": token -1 is not in the vocabulary (0..255)"},
        {&dialect_openai, "{\"prompt\": [{}]}",
         "request: \"prompt\" holds something that is not text or a list of token ids"},
        {&dialect_openai, "{\"prompt\": \"x\", \"temperature\": 2.5}",
         "request: \"temperature\" is 2.5, not within 0..2"},
        {&dialect_openai, "{\"prompt\": \"x\", \"logprobs\": 21}", "request: \"logprobs\" is 21, not within 0..20"},
        {&dialect_openai, "{\"prompt\": \"x\", \"n\": 3, \"best_of\": 2}",
         "request: \"best_of\" is 2, less than the 3 answers wanted"},
        {&dialect_openai, "{\"prompt\": \"x\", \"suffix\": \"y\"}",
         "request: \"suffix\" is refused: the model only goes on at the end"},
        {&dialect_openai, "{\"prompt\": \"x\", \"logit_bias\": {\"256\": 1}}",
         "request: \"logit_bias\": \"256\" is not a token id (0..255)"},
        {&dialect_openai, "{\"prompt\": \"x\", \"logit_bias\": {\"1\": 101}}",
         "request: \"logit_bias\": the bias of token 1 is not within -100..100"},
        {&dialect_openai, "{\"prompt\": \"x\", \"logit_bias\": {\"\": 1}}",
         "request: \"logit_bias\": \"\" is not a token id (0..255)"},
        {&dialect_openai, "{\"prompt\": \"x\", \"max_tokens\": 0}",
         "request: \"max_tokens\" is 0, which goes with \"echo\" and without \"stream\" only"},
        {&dialect_openai, "{\"prompt\": \"x\", \"stream_options\": {}}",
         "request: \"stream_options\" goes with \"stream\""},
        {&dialect_openai, "{\"prompt\": \"x\", \"messages\": []}",
         "request: \"messages\" is refused: chats need a chat template, which this model has not; use \"prompt\""},
        {&dialect_openai, "{\"prompt\": \"x\", \"details\": true}",
         "request: \"details\" are not of this dialect; use \"logprobs\" and \"echo\""},
        {&dialect_openai, "{\"prompt\": \"x\", \"max_token\": 1}",
         "request: unknown field \"max_token\"; did you mean \"max_tokens\"?"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ask a;
        if (parse(&a, cases[i].dialect, cases[i].body) == OK) fail_msg("%s: is accepted", cases[i].body);
        assert_string_equal(status_message(), cases[i].message);
        ask_free(&a);
    }
}

static void deep_json_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *body = malloc(DEPTH + 20);
    strcpy(body, "{\"inputs\": ");
    memset(body + 11, '[', DEPTH);
    body[11 + DEPTH] = 0;
    struct ask a;
    assert_int_equal(parse(&a, &dialect_tgi, body), E_FORMAT);
    assert_non_null(strstr(status_message(), "maximum parsing depth reached"));
    ask_free(&a);
    free(body);
}

/* ---- What is answered ---- */

/* "ab" -> "c", a broken character, end of text; scores from -0.5 down. */
static int32_t prompt_ids[] = {'a', 'b'}, text_ids[] = {'c', 0xe2, 4};
static float prompt_logprobs[] = {-0.25f}, text_logprobs[] = {-0.5f, -1, -1.5f};
static struct gptjt_top prompt_top[] = {{'z', -0.125f}}, text_top[] = {{'c', -0.5f}, {'d', -0.75f}, {4, -1.5f}};

struct sample {
    struct answer_text texts[2];
    struct answer_prompt prompts[2];
    struct answer answer;
};

static void make_sample(struct sample *s, int n_top)
{
    *s = (struct sample){0};
    for (int i = 0; i < 2; i++) {
        s->texts[i] = (struct answer_text){.ids = text_ids,
                                           .logprobs = text_logprobs,
                                           .top = n_top ? text_top : NULL,
                                           .n = 3,
                                           .ended = true,
                                           .finish = GPTJT_FINISH_EOS};
        buf_puts(&s->texts[i].text, "c\xef\xbf\xbd");
    }
    s->texts[1].n = 1;
    s->texts[1].finish = GPTJT_FINISH_LENGTH;
    s->prompts[0] = (struct answer_prompt){.ids = prompt_ids,
                                           .n_ids = 2,
                                           .logprobs = prompt_logprobs,
                                           .top = n_top ? prompt_top : NULL,
                                           .n_scored = 1,
                                           .seed = 5,
                                           .texts = s->texts,
                                           .n_texts = 1};
    s->answer = (struct answer){.prompts = s->prompts, .n = 1, .n_top = n_top};
}

static void free_sample(struct sample *s)
{
    buf_free(&s->texts[0].text);
    buf_free(&s->texts[1].text);
}

static void assert_whole(const struct dialect *d, const char *body, const struct sample *s, const char *expected)
{
    struct ask a = parsed(d, body);
    struct buf out = {0};
    d->whole(&out, &a, &s->answer, &render);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    buf_free(&out);
    ask_free(&a);
}

#define BROKEN "\xef\xbf\xbd"

static void tgi_answers(void **state)
{
    (void)state;
    struct sample s;
    make_sample(&s, 0);
    assert_whole(&dialect_tgi, "{\"inputs\": \"ab\"}", &s, "{\"generated_text\":\"c" BROKEN "\"}");
    assert_whole(&dialect_tgi, IN "\"return_full_text\": true}}", &s, "{\"generated_text\":\"xc" BROKEN "\"}");
    assert_whole(&dialect_hf, "{\"inputs\": \"ab\"}", &s, "[{\"generated_text\":\"abc" BROKEN "\"}]");
    assert_whole(&dialect_hf, "{\"inputs\": [\"ab\"]}", &s, "[[{\"generated_text\":\"abc" BROKEN "\"}]]");
    assert_whole(&dialect_tgi, IN "\"details\": true}}", &s,
                 "{\"generated_text\":\"c" BROKEN
                 "\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":3,"
                 "\"seed\":null,\"prefill\":[],\"tokens\":["
                 "{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false},"
                 "{\"id\":226,\"text\":\"\",\"logprob\":-1.0,\"special\":false},"
                 "{\"id\":4,\"text\":\"" BROKEN "\\u0004\",\"logprob\":-1.5,\"special\":true}]}}");
    free_sample(&s);
    make_sample(&s, 1);
    assert_whole(
        &dialect_tgi,
        IN "\"decoder_input_details\": true, \"details\": true, \"top_n_tokens\": 1, \"do_sample\": true}}", &s,
        "{\"generated_text\":\"c" BROKEN "\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":3,"
        "\"seed\":5,\"prefill\":[{\"id\":97,\"text\":\"a\",\"logprob\":null},"
        "{\"id\":98,\"text\":\"b\",\"logprob\":-0.25}],\"tokens\":["
        "{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false},"
        "{\"id\":226,\"text\":\"\",\"logprob\":-1.0,\"special\":false},"
        "{\"id\":4,\"text\":\"" BROKEN "\\u0004\",\"logprob\":-1.5,\"special\":true}],\"top_tokens\":["
        "[{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false}],"
        "[{\"id\":100,\"text\":\"d\",\"logprob\":-0.75,\"special\":false}],"
        "[{\"id\":4,\"text\":\"\\u0004\",\"logprob\":-1.5,\"special\":true}]]}}");
    free_sample(&s);
}

static void the_best_of_several_is_shown(void **state)
{
    (void)state;
    struct sample s;
    make_sample(&s, 0);
    s.prompts[0].n_texts = 2;
    s.texts[1].text.len = 0; /* mean -0.5 against -1: the second is better */
    assert_whole(&dialect_tgi, IN "\"best_of\": 2, \"do_sample\": true}}", &s, "{\"generated_text\":\"\"}");
    assert_whole(&dialect_tgi, IN "\"best_of\": 2, \"do_sample\": true, \"details\": true}}", &s,
                 "{\"generated_text\":\"\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":1,\"seed\":5,"
                 "\"prefill\":[],\"tokens\":[{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false}],"
                 "\"best_of_sequences\":[{\"generated_text\":\"c" BROKEN "\",\"finish_reason\":\"eos_token\","
                 "\"generated_tokens\":3,\"seed\":5,\"prefill\":[],\"tokens\":["
                 "{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false},"
                 "{\"id\":226,\"text\":\"\",\"logprob\":-1.0,\"special\":false},"
                 "{\"id\":4,\"text\":\"" BROKEN "\\u0004\",\"logprob\":-1.5,\"special\":true}]}]}}");
    assert_whole(&dialect_hf, IN "\"num_return_sequences\": 2, \"return_full_text\": false}}", &s,
                 "[{\"generated_text\":\"c" BROKEN "\"},{\"generated_text\":\"\"}]");
    int chosen[3];
    answer_choose(&s.prompts[0], 1, chosen);
    assert_int_equal(chosen[0], 1);
    s.prompts[0].n_texts = 1;
    answer_choose(&s.prompts[0], 3, chosen);
    assert_true(chosen[0] == 0 && chosen[1] == 0 && chosen[2] == 0);
    free_sample(&s);
}

#define HEAD "{\"id\":\"cmpl-i\",\"object\":\"text_completion\",\"created\":17,\"model\":\"the-model\",\"choices\":["
#define USAGE(prompt, made, all)                                                                                       \
    "\"usage\":{\"prompt_tokens\":" prompt ",\"completion_tokens\":" made ",\"total_tokens\":" all "}"

static void openai_answers(void **state)
{
    (void)state;
    struct sample s;
    make_sample(&s, 0);
    assert_whole(&dialect_openai, "{\"prompt\": \"ab\"}", &s,
                 HEAD "{\"text\":\"c" BROKEN
                      "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE("2", "3", "5") "}");
    assert_whole(&dialect_openai, "{\"prompt\": \"ab\", \"n\": 2, \"temperature\": 0, \"echo\": true}", &s,
                 HEAD "{\"text\":\"abc" BROKEN "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"},"
                      "{\"text\":\"abc" BROKEN
                      "\",\"index\":1,\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE("2", "3", "5") "}");
    free_sample(&s);
    make_sample(&s, 1);
    /* With echo the first token has none; a token that is not the likeliest stands beside the one that is. */
    assert_whole(&dialect_openai, "{\"prompt\": \"ab\", \"echo\": true, \"logprobs\": 1}", &s,
                 HEAD "{\"text\":\"abc" BROKEN "\",\"index\":0,\"logprobs\":{"
                      "\"tokens\":[\"a\",\"b\",\"c\",\"bytes:\\\\xe2\",\"\\u0004\"],"
                      "\"token_logprobs\":[null,-0.25,-0.5,-1.0,-1.5],"
                      "\"top_logprobs\":[null,{\"z\":-0.125,\"b\":-0.25},{\"c\":-0.5},"
                      "{\"d\":-0.75,\"bytes:\\\\xe2\":-1.0},{\"\\u0004\":-1.5}],"
                      "\"text_offset\":[0,1,2,3,3]},\"finish_reason\":\"stop\"}]," USAGE("2", "3", "5") "}");
    s.prompts[1] = s.prompts[0]; /* given as token ids, two of them */
    s.answer.n = 2;
    s.answer.n_top = 0;
    assert_whole(&dialect_openai, "{\"prompt\": [[97, 98], [97, 98]], \"echo\": true}", &s,
                 HEAD "{\"text\":\"abc" BROKEN "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"},"
                      "{\"text\":\"abc" BROKEN
                      "\",\"index\":1,\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE("4", "6", "10") "}");
    free_sample(&s);
}

/* The events of the sample's three tokens, and the end. */
static void assert_stream(const struct dialect *d, const char *body, const char *expected)
{
    struct ask a = parsed(d, body);
    struct answer_text text = {0};
    struct sample s;
    struct buf out = {0};
    make_sample(&s, (int)a.n_top);
    s.prompts[0].texts = &text;
    static const char *const texts[] = {"c", "", BROKEN};
    for (size_t i = 0; i < 3; i++) {
        const struct gptjt_token t = {.index = i,
                                      .id = text_ids[i],
                                      .logprob = text_logprobs[i],
                                      .top = &text_top[i],
                                      .n_top = (int)a.n_top,
                                      .text = texts[i],
                                      .text_len = strlen(texts[i]),
                                      .last = i == 2,
                                      .finish = GPTJT_FINISH_EOS};
        assert_int_equal(answer_add_token(&s.answer, 0, &t), OK);
        d->token(&out, &a, &s.answer, &render, 0, &t);
    }
    d->end(&out, &a, &s.answer, &render);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    buf_free(&out);
    buf_free(&text.text);
    free(text.ids);
    free(text.logprobs);
    free(text.top);
    free_sample(&s);
    ask_free(&a);
}

static void tgi_streams(void **state)
{
    (void)state;
    assert_stream(&dialect_tgi, "{\"inputs\": \"ab\", \"stream\": true}",
                  "data:{\"index\":1,\"token\":{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false},"
                  "\"generated_text\":null,\"details\":null}\n\n"
                  "data:{\"index\":2,\"token\":{\"id\":226,\"text\":\"\",\"logprob\":-1.0,\"special\":false},"
                  "\"generated_text\":null,\"details\":null}\n\n"
                  "data:{\"index\":3,\"token\":{\"id\":4,\"text\":\"\\u0004\",\"logprob\":-1.5,\"special\":true},"
                  "\"generated_text\":\"c" BROKEN "\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_"
                  "tokens\":3,\"input_length\":2,\"seed\":null}}\n\n");
    assert_stream(&dialect_hf,
                  "{\"inputs\": \"ab\", \"stream\": true, \"parameters\": {\"top_n_tokens\": 1, \"seed\": 5}}",
                  "data:{\"index\":1,\"token\":{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false},"
                  "\"top_tokens\":[{\"id\":99,\"text\":\"c\",\"logprob\":-0.5,\"special\":false}],"
                  "\"generated_text\":null,\"details\":null}\n\n"
                  "data:{\"index\":2,\"token\":{\"id\":226,\"text\":\"\",\"logprob\":-1.0,\"special\":false},"
                  "\"top_tokens\":[{\"id\":100,\"text\":\"d\",\"logprob\":-0.75,\"special\":false}],"
                  "\"generated_text\":null,\"details\":null}\n\n"
                  "data:{\"index\":3,\"token\":{\"id\":4,\"text\":\"\\u0004\",\"logprob\":-1.5,\"special\":true},"
                  "\"top_tokens\":[{\"id\":4,\"text\":\"\\u0004\",\"logprob\":-1.5,\"special\":true}],"
                  "\"generated_text\":\"abc" BROKEN "\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_"
                  "tokens\":3,\"input_length\":2,\"seed\":null}}\n\n");
}

static void openai_streams(void **state)
{
    (void)state;
    assert_stream(&dialect_openai, "{\"prompt\": \"ab\", \"stream\": true}",
                  "data: " HEAD "{\"text\":\"c\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
                  "data: " HEAD "{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
                  "data: " HEAD "{\"text\":\"" BROKEN
                  "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
                  "data: [DONE]\n\n");
    assert_stream(
        &dialect_openai,
        "{\"prompt\": \"ab\", \"stream\": true, \"echo\": true, \"logprobs\": 1, \"stream_options\": "
        "{\"include_usage\": "
        "true}}",
        "data: " HEAD
        "{\"text\":\"ab\",\"index\":0,\"logprobs\":{\"tokens\":[\"a\",\"b\"],\"token_logprobs\":[null,-0.25],"
        "\"top_logprobs\":[null,{\"z\":-0.125,\"b\":-0.25}],\"text_offset\":[0,1]},\"finish_reason\":null}],"
        "\"usage\":null}\n\n"
        "data: " HEAD "{\"text\":\"c\",\"index\":0,\"logprobs\":{\"tokens\":[\"c\"],\"token_logprobs\":[-0.5],"
        "\"top_logprobs\":[{\"c\":-0.5}],\"text_offset\":[2]},\"finish_reason\":null}],\"usage\":null}\n\n"
        "data: " HEAD
        "{\"text\":\"\",\"index\":0,\"logprobs\":{\"tokens\":[\"bytes:\\\\xe2\"],\"token_logprobs\":[-1.0],"
        "\"top_logprobs\":[{\"d\":-0.75,\"bytes:\\\\xe2\":-1.0}],\"text_offset\":[3]},\"finish_reason\":null}],"
        "\"usage\":null}\n\n"
        "data: " HEAD "{\"text\":\"" BROKEN
        "\",\"index\":0,\"logprobs\":{\"tokens\":[\"\\u0004\"],\"token_logprobs\":[-1.5],"
        "\"top_logprobs\":[{\"\\u0004\":-1.5}],\"text_offset\":[3]},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
        "data: " HEAD "]," USAGE("2", "3", "5") "}\n\n"
                                                "data: [DONE]\n\n");
    assert_stream(
        &dialect_openai, "{\"prompt\": \"ab\", \"stream\": true, \"n\": 2, \"temperature\": 0}",
        "data: " HEAD "{\"text\":\"c\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        "data: " HEAD "{\"text\":\"c\",\"index\":1,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        "data: " HEAD "{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        "data: " HEAD "{\"text\":\"\",\"index\":1,\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        "data: " HEAD "{\"text\":\"" BROKEN "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
        "data: " HEAD "{\"text\":\"" BROKEN "\",\"index\":1,\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
        "data: [DONE]\n\n");
}

static void errors_have_their_dialects_shape(void **state)
{
    (void)state;
    static const struct {
        const struct dialect *dialect;
        enum trouble what;
        int status;
        const char *message, *body;
    } cases[] = {
        {&dialect_tgi, TROUBLE_REQUEST, 422, "parameters: \"top_k\" is bad",
         "{\"error\":\"parameters: \\\"top_k\\\" is bad\",\"error_type\":\"validation\"}"},
        {&dialect_tgi, TROUBLE_OVERLOADED, 429, "m", "{\"error\":\"m\",\"error_type\":\"overloaded\"}"},
        {&dialect_tgi, TROUBLE_GENERATION, 424, "m\xff", "{\"error\":\"m" BROKEN "\",\"error_type\":\"generation\"}"},
        {&dialect_tgi, TROUBLE_INCOMPLETE, 500, "m", "{\"error\":\"m\",\"error_type\":\"incomplete_generation\"}"},
        {&dialect_tgi, TROUBLE_UNAUTHORIZED, 401, "m", "{\"error\":\"m\"}"},
        {&dialect_hf, TROUBLE_LOADING, 503, "m", "{\"error\":\"m\",\"estimated_time\":20.0}"},
        {&dialect_hf, TROUBLE_TOO_LARGE, 413, "m", "{\"error\":\"m\",\"error_type\":\"validation\"}"},
        {&dialect_openai, TROUBLE_REQUEST, 400, "request: \"n\" is bad",
         "{\"error\":{\"message\":\"request: \\\"n\\\" is bad\",\"type\":\"invalid_request_error\",\"param\":\"n\","
         "\"code\":null}}"},
        {&dialect_openai, TROUBLE_NOT_FOUND, 404, "the model \"x\" is not served",
         "{\"error\":{\"message\":\"the model \\\"x\\\" is not "
         "served\",\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":\"model_not_found\"}}"},
        {&dialect_openai, TROUBLE_UNAUTHORIZED, 401, "m",
         "{\"error\":{\"message\":\"m\",\"type\":\"authentication_error\",\"param\":null,\"code\":\"invalid_api_key\"}"
         "}"},
        {&dialect_openai, TROUBLE_OVERLOADED, 429, "m",
         "{\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}"
         "}"},
        {&dialect_openai, TROUBLE_GENERATION, 500, "m",
         "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = {0};
        assert_int_equal(cases[i].dialect->status(cases[i].what), cases[i].status);
        cases[i].dialect->trouble(&out, cases[i].what, cases[i].message);
        assert_string_equal(out.data, cases[i].body);
        buf_free(&out);
    }
}

static void tokens_have_their_places_in_characters(void **state)
{
    (void)state;
    static const int32_t ids[] = {'a', 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 'b', 0xff, 0xe2, 0x82};
    struct buf out = {0};
    tgi_put_tokens(&out, &render, ids, COUNT_OF(ids));
    assert_string_equal(out.data, "[{\"id\":97,\"text\":\"a\",\"start\":0,\"stop\":1},"
                                  "{\"id\":195,\"text\":\"\",\"start\":1,\"stop\":1},"
                                  "{\"id\":169,\"text\":\"\xc3\xa9\",\"start\":1,\"stop\":2},"
                                  "{\"id\":240,\"text\":\"\",\"start\":2,\"stop\":2},"
                                  "{\"id\":159,\"text\":\"\",\"start\":2,\"stop\":2},"
                                  "{\"id\":152,\"text\":\"\",\"start\":2,\"stop\":2},"
                                  "{\"id\":128,\"text\":\"\xf0\x9f\x98\x80\",\"start\":2,\"stop\":3},"
                                  "{\"id\":98,\"text\":\"b\",\"start\":3,\"stop\":4},"
                                  "{\"id\":255,\"text\":\"" BROKEN "\",\"start\":4,\"stop\":5},"
                                  "{\"id\":226,\"text\":\"\",\"start\":5,\"stop\":5},"
                                  "{\"id\":130,\"text\":\"" BROKEN "\",\"start\":5,\"stop\":6}]");
    buf_free(&out);
}

static void models_are_listed(void **state)
{
    (void)state;
    static const char *const names[] = {"a/b"};
    struct buf out = {0};
    openai_put_models(&out, names, 1, 3);
    assert_string_equal(out.data, "{\"object\":\"list\",\"data\":[{\"id\":\"a/b\",\"object\":\"model\",\"created\":3,"
                                  "\"owned_by\":\"gptjt\"}]}");
    buf_free(&out);
}

/* ---- /classify ---- */

static void classification_is_read(void **state)
{
    (void)state;
    static const char body[] =
        "{\"inputs\": [{\"Tweet\": \"t\", \"By\": \"b\"}, {\"By\": \"c\", \"Tweet\": \"u\"}], \"labels\": [\"yes\", "
        "\"no\"], \"instruction\": \"Well?\", \"shots\": [{\"text\": {\"Tweet\": \"s\", \"By\": \"d\"}, \"label\": "
        "\"no\"}], \"normalize\": \"length\", \"calibrate\": true, \"details\": true, \"list_labels\": false, "
        "\"label_name\": \"Answer\", \"prompt_mask\": \"causal\"}";
    struct classify_ask a;
    struct buf prompt = {0};
    assert_int_equal(classify_ask_parse(&a, body, strlen(body), &limits), OK);
    assert_true(a.n_inputs == 2 && a.calibrate && a.details && a.normalize == CLASSIFY_NORMALIZE_LENGTH);
    assert_int_equal(a.prompt_mask, GPTJT_MASK_CAUSAL);
    assert_int_equal(fewshot_build(&prompt, &a.spec, 1, a.values + 2), OK);
    assert_string_equal(prompt.data, "Well?\n\nTweet: s\nBy: d\nAnswer: no\n\nTweet: u\nBy: c\nAnswer:");
    buf_free(&prompt);
    classify_ask_free(&a);
    static const char simple[] =
        "{\"inputs\": \"t\", \"shots\": [{\"text\": \"s\", \"label\": \"b\"}, {\"text\": \"r\", "
        "\"label\": \"a\"}]}";
    assert_int_equal(classify_ask_parse(&a, simple, strlen(simple), &limits), OK);
    assert_int_equal(fewshot_build(&prompt, &a.spec, 2, a.values), OK);
    assert_string_equal(prompt.data,
                        "Possible labels:\n1. b\n2. a\n\nText: s\nLabel: b\n\nText: r\nLabel: a\n\nText: t\nLabel:");
    buf_free(&prompt);
    classify_ask_free(&a);
}

static void classifications_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"{\"labels\": [\"a\", \"b\"]}", "request: \"inputs\" is missing"},
        {"{\"inputs\": \"x\"}", "request: which labels? give \"labels\" or \"shots\""},
        {"{\"inputs\": \"x\", \"labels\": [\"a\"]}", "labels: 1 given, two or more are needed"},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", \"a\"]}", "labels: \"a\" is given twice"},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", 3]}", "request: a label is not a text"},
        {"{\"inputs\": \"x\", \"labels\": \"a,b\"}", "request: \"labels\" is not a list of texts"},
        {"{\"inputs\": [], \"labels\": [\"a\", \"b\"]}", "request: \"inputs\" has 0 texts, not 1 to 4"},
        {"{\"inputs\": [1], \"labels\": [\"a\", \"b\"]}",
         "request: an input is not a text or an object of texts like the others"},
        {"{\"inputs\": \"a\\u0000b\", \"labels\": [\"a\", \"b\"]}", "request: an input has a NUL character in it"},
        {"{\"inputs\": {}, \"labels\": [\"a\", \"b\"]}", "request: an input has 0 fields, not 1 to 100"},
        {"{\"inputs\": [{\"f\": \"x\"}, {\"g\": \"x\"}], \"labels\": [\"a\", \"b\"]}",
         "request: an input has no field \"f\""},
        {"{\"inputs\": [{\"f\": \"x\"}, {\"f\": \"x\", \"g\": \"x\"}], \"labels\": [\"a\", \"b\"]}",
         "request: an input has other fields than the first input"},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", \"b\"], \"shots\": [{\"text\": \"y\"}]}",
         "request: a shot needs \"text\" and \"label\""},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", \"b\"], \"shots\": [{\"text\": \"y\", \"label\": \"c\"}]}",
         "request: a shot has the label \"c\", which is not in \"labels\""},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", \"b\"], \"shots\": [{\"text\": \"y\", \"lable\": \"a\"}]}",
         "shots: unknown field \"lable\"; did you mean \"label\"?"},
        {"{\"inputs\": \"x\", \"label\": [\"a\", \"b\"]}",
         "request: unknown field \"label\"; did you mean \"labels\"?"},
        {"{\"inputs\": \"x\", \"labels\": [\"a\", \"b\"], \"normalize\": \"len\"}",
         "request: \"normalize\" is len, not one of none|length"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct classify_ask a;
        if (classify_ask_parse(&a, cases[i].body, strlen(cases[i].body), &limits) == OK)
            fail_msg("%s: is accepted", cases[i].body);
        assert_string_equal(status_message(), cases[i].message);
        classify_ask_free(&a);
    }
}

static void classifications_are_answered(void **state)
{
    (void)state;
    static const char body[] = "{\"inputs\": \"x\", \"labels\": [\"a\", \"b\"]}";
    static const double p[] = {0.25, 0.75}, l[] = {-3, -2};
    const struct classify_result r = {
        .best = 1, .probabilities = p, .log_likelihoods = l, .prompt_tokens = 9, .n_shots = 2, .n_dropped = 1};
    struct classify_ask a;
    assert_int_equal(classify_ask_parse(&a, body, strlen(body), &limits), OK);
    struct buf out = {0}, prompt = {0};
    buf_puts(&prompt, "P");
    json_t *results = json_array();
    json_append(&results, classify_result_json(&a, &r, &prompt));
    classify_put(&out, results, true);
    assert_string_equal(out.data,
                        "{\"results\":[{\"label\":\"b\",\"score\":0.75,\"probabilities\":{\"a\":0.25,\"b\":0.75},"
                        "\"log_likelihoods\":{\"a\":-3.0,\"b\":-2.0},\"prompt_tokens\":9,\"n_shots\":2,"
                        "\"n_dropped\":1,\"prompt\":\"P\"}],\"prompt_mask\":\"prefix\"}");
    buf_free(&out);
    buf_free(&prompt);
    classify_ask_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tgi_defaults),
        cmocka_unit_test(tgi_parameters),
        cmocka_unit_test(who_changes_the_distribution_samples),
        cmocka_unit_test(the_inference_api_has_defaults_of_its_own),
        cmocka_unit_test(openai_defaults),
        cmocka_unit_test(openai_parameters),
        cmocka_unit_test(hugging_faces_newer_client_asks_here),
        cmocka_unit_test(prompts_may_be_token_ids),
        cmocka_unit_test(what_cannot_be_is_refused_by_name),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(tgi_answers),
        cmocka_unit_test(the_best_of_several_is_shown),
        cmocka_unit_test(openai_answers),
        cmocka_unit_test(tgi_streams),
        cmocka_unit_test(openai_streams),
        cmocka_unit_test(errors_have_their_dialects_shape),
        cmocka_unit_test(tokens_have_their_places_in_characters),
        cmocka_unit_test(models_are_listed),
        cmocka_unit_test(classification_is_read),
        cmocka_unit_test(classifications_that_cannot_be_are_refused),
        cmocka_unit_test(classifications_are_answered),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
