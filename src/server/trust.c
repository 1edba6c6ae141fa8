/*
 * Whose word counts: who connects from this host is asked of the host, and only root may speak for others.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"
#include "os/peer_identity.h"
#include "server/internal.h"

#include <stdlib.h>
#include <unistd.h>

static bool may_speak_for_others(const struct inlay_cred *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

static void say_unknown(struct inlay_server *s, const char *peer, int status)
{
	if (status == -INLAY_ENOTCONN)
		inlay_debug("%s was gone before the host could tell whose connection it was", peer);
	else if (!__atomic_exchange_n(&s->unknown_said, true, __ATOMIC_RELAXED))
		inlay_warning("%s: the host doesn't tell whose connection this is: %s; such clients are served as nobody (uid %u). "
			"Does the kernel have inet_diag, and may this service use AF_NETLINK?", peer, inlay_status_text(status),
			INLAY_NOBODY);
}

int trust_judge(struct inlay_server *s, int fd, const char *peer, struct inlay_cred **ret)
{
	struct inlay_cred who = {0};
	int r = s->identify ? s->identify(fd, &who) : 0;

	if (r == 0 || (r > 0 && may_speak_for_others(&who))) {
		*ret = NULL;
		return 0;
	}
	if (r == -INLAY_ENOMEM || r == -INLAY_EMFILE || r == -INLAY_ENFILE)
		return r; /* passes: the client comes again */
	if (r < 0) {
		say_unknown(s, peer, r);
		who = (struct inlay_cred){.uid = INLAY_NOBODY, .gid = INLAY_NOBODY};
	}
	*ret = cred_copy(&who);
	return *ret ? 0 : -INLAY_ENOMEM;
}

bool trust_same(const struct inlay_cred *a, const struct inlay_cred *b)
{
	return a && b ? a->uid == b->uid : a == b;
}
