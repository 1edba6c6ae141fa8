/*
 * The product's redirector beneath the driver in the simulation.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirector.h"

#include "base/status.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SPIN_US 50u

static void must(bool fine, const char *what, const char *why)
{
	if (!fine) {
		fprintf(stderr, "the redirector: %s: %s\n", what, why);
		abort();
	}
}

static void must_do(int status, const char *what)
{
	must(status >= 0, what, inlay_status_text(status));
}

/* ---- the events ---- */

/* On home's thread. */
static void requests_came(struct inlay_task *t)
{
	struct redirector *r = inlay_container(t, struct redirector, ready);

	atomic_store(&r->told, false);
	inlay_winfilter_ready(r->filter);
}

static void wait_for_requests(void *arg)
{
	struct redirector *r = arg;

	for (;;) {
		KeWaitForSingleObject(r->at.requests.event, Executive, KernelMode, FALSE, NULL);
		if (atomic_load(&r->ending))
			return;
		if (!atomic_exchange(&r->told, true))
			inlay_loop_post(inlay_crew_loop(r->crew, 0), &r->ready);
	}
}

static void wake_driver(void *arg)
{
	KeSetEvent(((struct redirector *)arg)->at.completions.event, 0, FALSE);
}

static void broken(void *arg, int status)
{
	(void)arg;
	sim_violate("the driver broke the ring's rules", inlay_status_text(status), 0);
}

/* ---- life ---- */

static void local_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct inlay_reply reply = { .status = -INLAY_ENOSYS };

	(void)port, (void)lane;
	call->done(call, &reply);
}

static void open_server(struct redirector *r, const struct redirector_config *config)
{
	struct inlay_crew_config crew = { .loops = config->lanes, .spares_max = 16, .spin_us = SPIN_US };
	struct inlay_link_config link = { .export_name = config->export_name, .redirect = &r->redirect, .host = "tests" };
	const struct inlay_node_id *roots[INLAY_SIDES] = { NULL, NULL };
	const struct inlay_hash_key seed = { { 3, 4 } };
	char why[256] = "out of memory";
	const char *bad = "";

	must_do(inlay_crew_new(&crew, &r->crew), "its threads");
	must_do(inlay_redirect_init(&r->redirect, config->lanes), "its state");
	r->redirect.judge = inlay_judge_new();
	must(r->redirect.judge, "its judge", "no memory");
	must(inlay_addr_parse(config->server, &link.addr, &bad) == 0, config->server, bad);
	link.crew = r->crew;
	must(inlay_link_open(&link, why, sizeof(why), &r->link) == 0, config->server, why);
	roots[INLAY_REMOTE] = &inlay_link_client(r->link)->root;
	r->nothing = (struct inlay_side_port){ .submit = local_submit };
	r->redirect.port[INLAY_LOCAL] = &r->nothing;
	r->redirect.port[INLAY_REMOTE] = inlay_link_port(r->link);
	r->redirect.repost = inlay_winfilter_repost;
	must_do(inlay_nodes_new(&seed, roots, &r->redirect.nodes), "its nodes");
}

static void make_root(const struct redirector_config *config)
{
	struct sim_create how = { .access = FILE_LIST_DIRECTORY, .share = FILE_SHARE_VALID_FLAGS, .disposition = FILE_OPEN_IF,
		.options = FILE_DIRECTORY_FILE, .process = REDIRECTOR };
	struct sim_file *directory;

	RtlInitUnicodeString(&how.path, config->root);
	must(NT_SUCCESS(sim_create(config->volume, &how, &directory, NULL)), "its directory", "can't be made");
	sim_close(directory);
}

static void open_filter(struct redirector *r, const struct redirector_config *config)
{
	struct inlay_loop *loops[INLAY_LANES_MAX];
	struct inlay_winfilter_config filter = { .redirect = &r->redirect, .loop = loops, .directory = config->number,
		.placeholders = &whole_placeholders_ops, .placeholders_arg = &r->placeholders, .wake_driver = wake_driver, .broken = broken,
		.arg = r, .umask = 022 };

	filter.cred = (struct inlay_cred){ .uid = getuid(), .gid = getgid() };
	r->placeholders = (struct whole_placeholders){ .volume = config->volume, .root = config->root, .process = REDIRECTOR,
		.attachment = { { 1, 2, 3 } } };
	filter.attachment = r->placeholders.attachment;
	must_do(inlay_ring_layout(&filter.geometry, config->entries, config->slots, INLAY_RING_SLOT_MIN), "its ring");
	registration_make(&r->at, filter.geometry.size);
	filter.section = r->at.section.memory;
	for (unsigned i = 0; i < config->lanes; i++)
		loops[i] = inlay_crew_loop(r->crew, i);
	must_do(inlay_winfilter_new(&filter, &r->filter), "its filter");
}

void redirector_start(struct redirector *r, const struct redirector_config *config)
{
	memset(r, 0, sizeof(*r));
	open_server(r, config);
	make_root(config);
	open_filter(r, config);
	inlay_link_start(r->link);
	must_do(inlay_crew_start(r->crew), "its threads' start");
	r->ready.done = requests_came;
	r->waiter = native_thread_new(wait_for_requests, r, REDIRECTOR);
	must(NT_SUCCESS(registration_tell(&r->at, 0, config->root, config->number)), "its registration", "refused");
	KeSetEvent(r->at.requests.event, 0, FALSE); /* what the driver asked before anybody listened */
}

void redirector_stop(struct redirector *r)
{
	native_control_close(r->at.control, true);
	inlay_link_stop(r->link);
	inlay_redirect_stop_waiting(&r->redirect);
	atomic_store(&r->ending, true);
	KeSetEvent(r->at.requests.event, 0, FALSE);
	native_thread_join(r->waiter);
	inlay_crew_stop(r->crew);
	must(!inlay_crew_is_stuck(r->crew), "its threads", "one is stuck");
	inlay_winfilter_stop(r->filter);
	inlay_winfilter_free(r->filter);
	inlay_link_free(r->link);
	inlay_redirect_done(&r->redirect);
	inlay_crew_free(r->crew);
	registration_release(&r->at);
}
