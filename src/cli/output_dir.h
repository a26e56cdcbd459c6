// SPDX-License-Identifier: Apache-2.0
/* The directory a command writes a model into. */
#ifndef GPTJT_CLI_OUTPUT_DIR_H
#define GPTJT_CLI_OUTPUT_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Makes dir; *created says whether it is new. One that is there must be empty unless force. */
enum status output_dir_make(bool *created, const char *dir, bool force);

/* E_IO unless the disk has room for a model with that many bytes of weights. */
enum status output_dir_check_space(const char *dir, uint64_t weight_bytes);

#endif
