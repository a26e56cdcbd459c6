// SPDX-License-Identifier: Apache-2.0
/* cmocka with what it needs included first, and without its fail() macro, which is a name of ours (base/status.h). */
#ifndef GPTJT_TESTS_TEST_H
#define GPTJT_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#undef fail
#undef fail_msg /* it calls fail() */
#define fail_msg(...) (print_error("ERROR: " __VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#endif
