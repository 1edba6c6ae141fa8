/*
 * Attachments that run, found in the registry and asked through their pipes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/commands.h"

#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/windows/directory.h"

#include <stdlib.h>
#include <windows.h>

#define OPEN_MS 1000u

static void peer_done(struct inlay_peer *p)
{
	inlay_talk_done(&p->talk);
	if (p->process)
		CloseHandle(p->process);
}

static void peer_open(struct inlay_peer *p, const struct inlay_running *r)
{
	wchar_t name[INLAY_PIPE_NAME];

	*p = (struct inlay_peer){.running = r};
	p->process = OpenProcess(SYNCHRONIZE | PROCESS_TERMINATE, FALSE, r->pid);
	inlay_running_pipe(r->pid, name);
	p->status = inlay_talk_open(name, OPEN_MS, &p->talk);
}

int inlay_peers_find(struct inlay_peers *ret)
{
	struct inlay_peers p = {0};
	size_t listed;
	int status = inlay_running_list(&p.running, &listed);

	if (status < 0)
		return status;
	p.peer = calloc(listed + 1, sizeof(*p.peer));
	if (!p.peer) {
		inlay_running_free(p.running, listed);
		return -INLAY_ENOMEM;
	}
	for (size_t i = 0; i < listed; i++) {
		struct inlay_peer *peer = &p.peer[p.count];

		peer_open(peer, &p.running[i]);
		if (peer->status != -INLAY_ENOENT) {
			p.count++;
			continue;
		}
		/* No pipe: it is gone. Only administrators can clean up; others just don't see it. */
		peer_done(peer);
		inlay_running_remove(p.running[i].pid);
	}
	/* All texts are freed by the list's own length. */
	p.listed = listed;
	*ret = p;
	return 0;
}

void inlay_peers_done(struct inlay_peers *p)
{
	for (size_t i = 0; i < p->count; i++)
		peer_done(&p->peer[i]);
	free(p->peer);
	inlay_running_free(p->running, p->listed);
	*p = (struct inlay_peers){0};
}

struct inlay_peer *inlay_peers_at(struct inlay_peers *p, const char *path, const char **ret_rest)
{
	for (size_t i = 0; i < p->count; i++) {
		const char *rest = inlay_directory_rest(p->peer[i].running->dir, path);

		if (rest) {
			*ret_rest = rest;
			return &p->peer[i];
		}
	}
	return NULL;
}

int inlay_peer_again(const struct inlay_peer *p, struct inlay_talk *ret)
{
	wchar_t name[INLAY_PIPE_NAME];

	inlay_running_pipe(p->running->pid, name);
	return inlay_talk_open(name, OPEN_MS, ret);
}

bool inlay_peer_wait_end(const struct inlay_peer *p, unsigned timeout_ms)
{
	return !p->process || WaitForSingleObject(p->process, timeout_ms) != WAIT_TIMEOUT;
}

int inlay_talk_ask(struct inlay_talk *t, const char *request, unsigned timeout_ms)
{
	int status = inlay_talk_send(t, request);

	return status < 0 ? status : inlay_talk_receive(t, inlay_clock_ms() + timeout_ms);
}
