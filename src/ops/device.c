// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "ops/ops.h"

const char *ops_device_name(enum ops_device d)
{
    return d == DEVICE_CUDA ? "cuda" : "cpu";
}

enum status ops_choose_device(enum ops_device *out, const char *asked)
{
    *out = asked && !strcmp(asked, "cuda") ? DEVICE_CUDA : DEVICE_CPU;
    if (!asked || !strcmp(asked, ops_device_name(*out))) return OK;
    return fail(E_ARG, "device \"%.40s\" is not known: cpu or cuda", asked);
}
