#include "kernels/kernels.h"
void kernels_init_vnni_int8(struct kernels *k)
{
    (void)k;
}
