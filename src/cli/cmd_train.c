// SPDX-License-Identifier: Apache-2.0
/* gptjt train: a recipe, from its first step or from its last checkpoint; or what it would take. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/pool.h"
#include "bench/machine.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "engine/engine.h"
#include "train/trainer.h"

struct settings {
    struct common common; /* of it threads, cpu, log and quiet */
    struct recipe recipe;
    bool resume, dry_run;
};
