/*
 * Event handles on a loop: the host's waiter thread posts to the completion port.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/windows/wait.h"

#include "base/status.h"
#include "net/windows/completion.h"
#include "os/windows/error.h"

#include <stdlib.h>

struct inlay_wait {
	struct inlay_completion completion; /* begun for as long as the wait lasts */
	HANDLE wait;
	void (*ready)(void *arg);
	void *arg;
	bool ended;      /* owner's */
	uint32_t posted; /* atomic: the completion is on its way */
};

/* The waiter's thread. */
static void CALLBACK event_set(void *arg, BOOLEAN timed_out)
{
	struct inlay_wait *w = arg;

	(void)timed_out;
	if (!__atomic_exchange_n(&w->posted, 1, __ATOMIC_ACQ_REL))
		inlay_completion_post(&w->completion);
}

static void completed(struct inlay_completion *c, int64_t result)
{
	struct inlay_wait *w = inlay_container(c, struct inlay_wait, completion);

	(void)result;
	if (w->ended) {
		free(w);
		return;
	}
	inlay_completion_begin(c->loop, c);
	/* From here on it is posted anew: what ready() looks at afterwards is not lost. */
	__atomic_store_n(&w->posted, 0, __ATOMIC_RELEASE);
	w->ready(w->arg);
}

int inlay_loop_wait_handle(struct inlay_loop *l, HANDLE event, void (*ready)(void *arg), void *arg, struct inlay_wait **ret)
{
	struct inlay_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return -INLAY_ENOMEM;
	w->ready = ready;
	w->arg = arg;
	w->completion.done = completed;
	inlay_completion_begin(l, &w->completion);
	/* In the waiter's own thread: all that it does is to post. */
	if (!RegisterWaitForSingleObject(&w->wait, event, event_set, w, INFINITE, WT_EXECUTEINWAITTHREAD)) {
		int status = inlay_status_from_win32(GetLastError());

		inlay_completion_forget(&w->completion);
		free(w);
		return status;
	}
	*ret = w;
	return 0;
}

void inlay_wait_end(struct inlay_wait *w)
{
	if (!w)
		return;
	UnregisterWaitEx(w->wait, INVALID_HANDLE_VALUE); /* the waiter's call is over then */
	w->ended = true;
	if (__atomic_load_n(&w->posted, __ATOMIC_ACQUIRE))
		return; /* freed when it comes */
	inlay_completion_forget(&w->completion);
	free(w);
}
