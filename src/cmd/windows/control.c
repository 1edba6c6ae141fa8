/*
 * The control channel of an attachment on Windows: a named pipe of this process.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/control.h"

#include "base/status.h"
#include "cmd/windows/pipe.h"
#include "cmd/windows/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

struct inlay_control {
	struct inlay_attachment *attachment;
	struct inlay_pipe_server *pipe;
};

static void answer(void *arg, char *request, struct inlay_json *j)
{
	inlay_control_answer(((struct inlay_control *)arg)->attachment, request, j);
}

int inlay_control_start(struct inlay_attachment *a, const char *dir, char *where, size_t where_len, struct inlay_control **ret)
{
	struct inlay_control *c = calloc(1, sizeof(*c));
	wchar_t name[INLAY_PIPE_NAME];
	struct inlay_pipe_server_config config = {.name = name, .answer = answer, .arg = c};
	int status;

	(void)dir;
	inlay_running_pipe(GetCurrentProcessId(), name);
	snprintf(where, where_len, "%ls", name);
	if (!c)
		return -INLAY_ENOMEM;
	c->attachment = a;
	status = inlay_pipe_serve(&config, &c->pipe);
	if (status < 0) {
		free(c);
		return status;
	}
	*ret = c;
	return 0;
}

bool inlay_control_stop(struct inlay_control *c)
{
	bool idle = inlay_pipe_stop(c->pipe);

	if (idle)
		free(c);
	return idle;
}
