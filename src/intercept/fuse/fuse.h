/*
 * The filter on Linux: the kernel's FUSE over the filter directory, spoken directly to /dev/fuse.
 * SPDX-License-Identifier: Apache-2.0
 *
 * One channel per event loop: a request is read, judged, sent, answered and completed by one thread.
 */
#ifndef INLAY_INTERCEPT_FUSE_FUSE_H
#define INLAY_INTERCEPT_FUSE_FUSE_H

#include "net/loop.h"
#include "redirect/redirect.h"

#include <stdbool.h>
#include <stddef.h>

struct inlay_fuse;

struct inlay_fuse_mount_options {
	const char *dir;    /* absolute */
	const char *source; /* shown in /proc/mounts */
	bool readonly;
	bool allow_other;
};
/*
 * Mounts over dir: mount(2) with the right to, else through fusermount3. Returns /dev/fuse's descriptor, or a status with one
 * line for the user in why.
 */
int inlay_fuse_mount(const struct inlay_fuse_mount_options *o, char *why, size_t why_len);
/*
 * Unmounts in the ordinary way: 0, -INLAY_EBUSY, or another status. lazy: detaches at once and can't be busy; where the
 * right to mount is ours, all requests under way end, too.
 */
int inlay_fuse_unmount(const char *dir, bool lazy);

struct inlay_fuse_config {
	struct inlay_redirect *redirect;
	struct inlay_crew *crew;       /* as many loops as redirect has lanes */
	bool readonly;
	unsigned connection;           /* the mount's device minor number, 0 if unknown: for abort */
	/* A descriptor (the caller's to close) of a local open handle, for passthrough; NULL or a status: not offered. */
	int (*local_fd)(void *arg, uint64_t handle);
	void (*over)(void *arg);       /* the mount is gone; any loop's thread, once */
	void *arg;
};
/*
 * Takes the descriptor of a fresh mount, answers the kernel's INIT (blocking) and prepares one channel per loop. No thread of the
 * crew runs yet. The descriptor is taken over in every case.
 */
int inlay_fuse_new(const struct inlay_fuse_config *config, int fd, struct inlay_fuse **ret);

/* ---- a successor in another process takes the mount over ---- */

/* What it must know of INIT, besides the descriptors. */
struct inlay_fuse_past {
	uint64_t flags;       /* negotiated */
	uint32_t passthrough;
	char passthrough_why[128];
};
void inlay_fuse_leave(const struct inlay_fuse *f, struct inlay_fuse_past *ret);
/* The channels' descriptors, which stay ours: the mount lives while any of their duplicates does. Returns how many there are. */
unsigned inlay_fuse_fds(const struct inlay_fuse *f, int *ret, unsigned most);
/* Whether the kernel can ask again for what its last answerer left (Linux 6.9); else there can be no successor. */
bool inlay_fuse_can_inherit(const struct inlay_fuse *f);
/*
 * Instead of inlay_fuse_new(): takes over duplicates of all channels (as many as loops) in every case, and has the kernel ask again.
 * -INLAY_ENOTCONN: the mount is gone.
 */
int inlay_fuse_inherit(const struct inlay_fuse_config *config, const struct inlay_fuse_past *past, const int *fds, unsigned nfds,
                       struct inlay_fuse **ret);
/* Whether a request with this number (struct inlay_call's origin) is asked again. Before inlay_fuse_start(). */
bool inlay_fuse_is_asked(const struct inlay_fuse *f, uint64_t origin);
/* Has each such request begun on the lane that lane_of says, on any for -1. Before inlay_fuse_start(). */
void inlay_fuse_route(struct inlay_fuse *f, int (*lane_of)(void *arg, uint64_t origin), void *arg);

/* Puts the channels on their loops: call before the crew starts. */
int inlay_fuse_start(struct inlay_fuse *f);
/* After the crew has stopped. */
void inlay_fuse_free(struct inlay_fuse *f);
/* Fails everything the kernel has under way: for a forced detach. Any thread. */
void inlay_fuse_abort(struct inlay_fuse *f);

/* The kernel has let go of the mount. Any thread. */
bool inlay_fuse_is_over(const struct inlay_fuse *f);
bool inlay_fuse_passthrough(const struct inlay_fuse *f);
/* Why local files don't pass through the kernel alone, "" when they do. */
const char *inlay_fuse_passthrough_why(const struct inlay_fuse *f);
/* redirect->repost for operations that came from here. */
void inlay_fuse_repost(struct inlay_redirect *r, struct inlay_op *op);

#endif
