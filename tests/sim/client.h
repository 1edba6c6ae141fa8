/*
 * A client's process in the simulation: a redirector without a kernel, and programs that use it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_SIM_CLIENT_H
#define INLAY_TESTS_SIM_CLIENT_H

#include "sim.h"

#include "cmd/link.h"
#include "redirect/redirect.h"

#define CLIENTS_MAX 4u
#define PROGS_MAX 6u
#define FILES_MAX 3u
#define SENT_MAX 16u

struct sim_client;
struct sim_prog;

/* An open file of a program. */
struct sim_file {
	struct inlay_file *file; /* NULL: free */
	struct inlay_node *node; /* looked up, as a kernel does while it is open; NULL: a directory's that another has: prog->dir, or a file */
	uint64_t fh;               /* the kernel's number for it */
	uint64_t ino;
	struct inlay_uuid session; /* in which it was opened */
	uint32_t number;           /* of the operation that opened it */
	uint64_t opened, crashes;  /* of the server's host: when it was opened; that the program was told of */
	uint64_t told_at;          /* when it was told of a crash last */
	unsigned lost;             /* writes that had been answered, taken by a crash and not sent again: the next COMMIT must say so */
	bool whole;                /* until now everything had been kept that a crash could take */
	bool is_dir, writes, locked; /* locked: a lock was asked for through it */
};

/* Where its request stood in a session, which its first bytes tell. */
struct sim_sent {
	uint32_t session, slot, seq;
};

/* What the kernel asked for, in its numbers: a successor is asked for it again. */
struct sim_request {
	uint64_t node, to, file; /* 0: none */
	uint64_t handle;         /* the file's, on the server */
	__typeof__(((struct inlay_op *)NULL)->in) in;
	struct inlay_str name, to_name;
	uint32_t data_len;
};

/* An operation under way. */
struct sim_op {
	struct inlay_op op;
	struct inlay_list link; /* client->ops */
	struct sim_client *client;
	struct sim_prog *prog;
	uint32_t number;        /* of the ledger */
	uint16_t type;
	bool ended, interrupted;
	bool parted;            /* its process was killed: it is to be asked for again */
	bool resent;            /* it was */
	struct sim_request request;
	uint64_t found_number;  /* of found, while parted */
	uint64_t began;
	struct inlay_uuid session; /* the client's when it began */
	struct sim_file *on;    /* of prog->files: what it works on, or a free one that it opens */
	int name, to_name;
	uint64_t dir, to_dir;   /* inodes */
	struct sim_sent sent[SENT_MAX]; /* the last ones */
	unsigned sents;
	void (*then)(struct sim_op *o, int status);
	struct inlay_node *found; /* looked up for this operation */
	uint8_t *data;
};

struct sim_lock {
	struct sim_file *on; /* NULL: none */
	uint64_t ino, owner, start, end;
	uint32_t kind, type;
};

/* One thing after another, with pauses. */
struct sim_prog {
	struct sim_client *client;
	unsigned number;
	struct sim_event next;
	struct sim_file files[FILES_MAX];
	struct sim_lock lock;   /* held, or asked for */
	bool holds;
	struct sim_op *busy;
	struct inlay_node *dir; /* where it works; NULL: the root */
	bool closing;           /* no new work: gives back what it has */
	bool resting;           /* no new work: keeps what it has, and waits for nothing */
};

/* What stays when a process is killed. */
struct sim_heir {
	bool guarded;                /* another takes over */
	bool killed;                 /* its process is dead, and the other isn't there yet */
	unsigned doom;               /* steps until it is killed; 0: it isn't to be */
	bool undoing;                /* one was killed while it undid a lock that was given up: nobody goes on with that */
	unsigned takeovers;
	void *memory;                /* the estate's */
	struct inlay_estate *estate;
	void *left;                  /* the same as it was when the process was killed */
	struct sim_event event;
	struct {
		uint64_t dir;            /* numbers; 0: none */
		uint64_t node[FILES_MAX]; /* of its files */
	} prog[PROGS_MAX];
};

struct sim_client {
	unsigned number, life;
	struct sim_heir heir;
	struct sim_proc proc;
	bool up;
	unsigned timeout_ms, loops, progs;
	struct inlay_redirect redirect;
	struct inlay_link *link;
	struct inlay_node *root;
	struct inlay_side_port no_local;
	struct inlay_list ops;
	struct inlay_list reposted; /* by op->call.link */
	struct sim_event repost, attach;
	struct sim_prog prog[PROGS_MAX];
	uint64_t lost_at;  /* when the server last gave up a session of it; 0: never */
	uint64_t done, failed;
};

extern struct sim_client sim_clients[CLIENTS_MAX];
extern unsigned sim_client_count;
extern unsigned sim_client_slots; /* wanted of each lane; 0: as the product does */
extern size_t sim_client_room;    /* for what is kept until it is durable, in bytes; 0: the product's */

void client_begin(unsigned number, unsigned loops, unsigned progs, unsigned timeout_ms);
/* Later, and again until it works. */
void client_attach_at(struct sim_client *c, uint64_t at);
/* Nothing is under way: then every lane is open, and its slots are free. */
void client_check_idle(struct sim_client *c);
/* As `inlay detach` does it. */
void client_detach(struct sim_client *c);
/* kill -9; mute: its whole host. */
void client_kill(struct sim_client *c, bool mute);
/* An operation of that program, to be filled in and started. */
struct sim_op *client_op(struct sim_prog *g, uint16_t type, void (*then)(struct sim_op *o, int status));
void client_start(struct sim_op *o);
void client_interrupt(struct sim_op *o);
/* Whether it went out as this. */
bool client_has_sent(const struct sim_op *o, const struct sim_sent *as);
/* A node that was looked up is known no more; NULL is fine. */
void client_forget(struct sim_client *c, unsigned lane, struct inlay_node *n);
/* What the server says of its sessions. */
struct sim_client *client_of(const char *host);
const struct inlay_uuid *client_session(const struct sim_client *c);

/* ---- client.c, for heir.c ---- */
struct inlay_link_config client_link_config(struct sim_client *c);
/* Sides, nodes, root: the link is there. */
void client_join(struct sim_client *c);
/* On that lane, from o->request. */
void client_start_again(struct sim_op *o, unsigned lane);
/* Ends all that is under way; then, when nothing of it is held any more, frees what the process had. */
void client_stop(struct sim_client *c);
void client_bury(struct sim_client *c);

/* ---- heir.c: a redirector is killed, and another takes over ---- */

/* Memory for the estate of a process that begins; nothing if it isn't guarded. */
void heir_begin(struct sim_client *c);
void heir_free(struct sim_client *c);
/* The process could be killed here as well as anywhere. */
void heir_step(void);
void heir_kill(struct sim_client *c);
bool heir_is_asked(void *client, uint64_t origin);

/* ---- work.c ---- */

void work_begin(struct sim_prog *g);
/* The client is going: what the program has is gone. */
void work_lost(struct sim_prog *g);
/* Its operation is over. */
void work_on(struct sim_prog *g);
/* If it is about a lock, it is given up soon. */
void work_startle(struct sim_prog *g);
bool work_idle(const struct sim_prog *g);

#endif
