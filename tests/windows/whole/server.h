/*
 * The product's server in this process: a folder of its own beneath /tmp, served over a Unix socket by a thread. It can be made to stop
 * answering for a while.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WHOLE_SERVER_H
#define INLAY_WHOLE_SERVER_H

#include "server/server.h"

#include <pthread.h>

#define SERVER_EXPORT "whole"

struct server {
	char home[64];    /* holds the socket and the served folder */
	char files[80];   /* the served folder */
	char address[96]; /* "unix:" and the socket */
	struct inlay_crew *crew;
	struct inlay_server *server;
	int listener, stop[2]; /* stop: closing the writing end ends the thread */
	pthread_t accepting;
	struct inlay_task hold;
	pthread_mutex_t lock;  /* covers held */
	pthread_cond_t changed;
	bool held, holding;    /* asked for; its loop stands still */
};

/* Ends the test program when it can't be. */
void server_start(struct server *s);
/* Its one loop stands still, so that nothing is answered; until the release. */
void server_hold(struct server *s);
void server_release(struct server *s);
/* And removes the folder. */
void server_stop(struct server *s);
/* That alone, when there is no proper end. */
void server_remove_files(struct server *s);

/* A served file as it lies on the disk. len bytes, from `from` or to `to`; false: there are not so many. */
bool server_write(const struct server *s, const char *name, const void *from, size_t len);
bool server_read(const struct server *s, const char *name, void *to, size_t len);
/* Its size, or -1: there is none. */
int64_t server_size(const struct server *s, const char *name);

#endif
