/*
 * Included first by each test program: cmocka, the frame, and asserts that show statuses.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_TEST_H
#define INLAY_NATIVE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

#define assert_status(got, wanted) assert_int_equal((uint32_t)(got), (uint32_t)(wanted))

/* Ends the world, which must have been without any violation. */
static inline void done(struct world *world)
{
	bool fine = world_free(world);

	for (uint32_t i = 0; i < sim_violations() && i < 8; i++)
		print_error("violation: %s\n", sim_violation(i));
	assert_true(fine);
}

#endif
