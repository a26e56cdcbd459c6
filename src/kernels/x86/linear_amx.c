#include "kernels/kernels.h"
void kernels_init_amx_linear(struct kernels *k)
{
    (void)k;
}
