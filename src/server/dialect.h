// SPDX-License-Identifier: Apache-2.0
/* What a dialect is: pure functions from a request's body to an ask, and from what came of it to bytes. So each can be
 * tested with literals, and none knows of sockets, threads or the model. */
#ifndef GPTJT_SERVER_DIALECT_H
#define GPTJT_SERVER_DIALECT_H

#include "server/answer.h"
#include "server/ask.h"

/* What may go wrong, whoever notices it. */
enum trouble {
    TROUBLE_REQUEST,      /* it asks for what is not possible: a parameter, its length */
    TROUBLE_TOO_LARGE,    /* its body is */
    TROUBLE_UNAUTHORIZED, /* no key, or an unknown one */
    TROUBLE_NOT_FOUND,    /* no such model or path */
    TROUBLE_METHOD,       /* the path is there, but not for this method */
    TROUBLE_OVERLOADED,   /* too many requests are waiting */
    TROUBLE_LOADING,      /* the model is not there yet */
    TROUBLE_DRAINING,     /* the server is about to end */
    TROUBLE_LATE,         /* the time limit passed before the first token */
    TROUBLE_GENERATION,   /* the model failed: memory, a number that is none */
    TROUBLE_INCOMPLETE,   /* the same after a part of the answer has been sent */
};

/* What answers show that is not in an answer. All borrowed. */
struct render {
    const struct gptjt_tokenizer *tokenizer; /* NULL: none */
    int32_t eos;                             /* end of text, -1: none */
    const char *model;                       /* its name */
    const char *id;                          /* of the request */
    int64_t created;                         /* Unix time */
};

struct dialect {
    /* The message of a failure begins with the part of the body that it is about. Zeroes *out first: ask_free() it also
     * after a failure. */
    enum status (*parse)(struct ask *out, const char *body, size_t len, const struct ask_limits *limits);

    /* The body of a whole answer. */
    void (*whole)(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r);

    /* Events of a stream: for a token that has been added to the answer, and after the last of all. */
    void (*token)(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r,
                  int prompt, const struct gptjt_token *t);
    void (*end)(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r);

    int (*status)(enum trouble what);                                         /* of HTTP */
    void (*trouble)(struct buf *out, enum trouble what, const char *message); /* the body; also an event's data */
};

/* Appends a JSON value, or nothing but the buffer's failure for NULL; takes the reference. */
void dialect_put_json(struct buf *out, json_t *value);

/* The same as an event: "data:" or "data: ", the value, an empty line. */
void dialect_put_event(struct buf *out, const char *data, json_t *value);

/* New references; text gets its broken UTF-8 replaced. Numbers that JSON has not are null. */
json_t *dialect_text(const char *text, size_t len);
json_t *dialect_buf(const struct buf *text); /* NULL if that failed */
json_t *dialect_number(double number);

/* {"error": message} */
void dialect_plain_trouble(struct buf *out, enum trouble what, const char *message);
int dialect_plain_status(enum trouble what);

/* The text of a prompt as it was run: what was sent, or tokens decoded. */
void dialect_prompt_text(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r,
                         int prompt);

extern const struct dialect dialect_tgi, dialect_hf, dialect_openai;

#endif
