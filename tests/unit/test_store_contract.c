/*
 * Runs the store's contract on every back end: each case on a fresh store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include <stdio.h>
#include <stdlib.h>

#define TESTS_MAX 400

struct run {
	const struct contract_backend *backend;
	const struct contract_case *test;
	struct contract contract;
	char name[80];
};

static struct run runs[TESTS_MAX];
static struct CMUnitTest tests[TESTS_MAX];
static unsigned count;

static int start(void **state)
{
	struct run *run = *state;

	contract_start(&run->contract, run->backend);
	return 0;
}

static int end(void **state)
{
	struct run *run = *state;

	contract_end(&run->contract);
	return 0;
}

static void run_case(void **state)
{
	struct run *run = *state;

	if (run->test->users && !run->contract.users)
		skip();
	run->test->run(&run->contract);
}

static void add(const struct contract_backend *backend, const struct contract_case *test)
{
	struct run *run = &runs[count];

	*run = (struct run){.backend = backend, .test = test};
	snprintf(run->name, sizeof(run->name), "%s: %s", backend->name, test->name);
	tests[count++] = (struct CMUnitTest){run->name, run_case, start, end, run};
}

int main(void)
{
	static const struct contract_backend *const backends[] = {&contract_memory, &contract_posix};
	static const struct contract_case *const groups[] = {contract_name_cases, contract_data_cases,
	                                                     contract_attr_cases};

	for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++)
		for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
			for (const struct contract_case *test = groups[g]; test->run && count < TESTS_MAX; test++)
				add(backends[b], test);
	return _cmocka_run_group_tests("store_contract", tests, count, NULL, NULL) ? 1 : 0;
}
