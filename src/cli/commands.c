// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "cli/command.h"

const struct command *const commands[] = {
    &command_generate,  &command_serve,      &command_classify,
    &command_eval,      &command_score,      &command_tokenize,
    &command_tokenizer, &command_logits,     &command_inspect,
    &command_quantize,  &command_export,     &command_data,
    &command_train,     &command_report,     &command_plan,
    &command_grads,     &command_synth,      &command_bench,
    &command_pull,      &command_completion, NULL,
};
