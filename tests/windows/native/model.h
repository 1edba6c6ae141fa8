/*
 * A server in memory, and a redirector that speaks for it: the ring's other side, with placeholders made on the simulated
 * volume. It can be told to be slow, out of order, in error, hostile, or to die.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_MODEL_H
#define INLAY_NATIVE_MODEL_H

#include "native.h"
#include "register.h"
#include "ring/control.h"
#include "ring/ring.h"
#include "sim.h"

#define MODEL_DIRECTORY 7u /* the filter directory's number */
#define PROGRAM 300u
#define MODEL_FILES 64u
#define MODEL_NAME 96u  /* units of a path */
#define MODEL_SIZE (512u * 1024u)

/* A file of the server. Paths are relative to the filter directory; case is kept, and not looked at. */
struct model_file {
	bool used, directory;
	WCHAR path[MODEL_NAME];
	uint8_t *data;
	uint64_t size;
	uint32_t attributes, opens, removing, renaming;
	int64_t written;
	uint64_t index;
};

enum { GARBAGE_NONE, GARBAGE_TAG, GARBAGE_TWICE, GARBAGE_LENGTH, GARBAGE_TAIL, GARBAGE_VERDICT, GARBAGE_MANY, GARBAGE_KINDS };

/* What goes wrong. 0 everywhere: nothing. Counts are of requests with an answer. */
struct model_faults {
	uint32_t late;       /* one in so many answers waits for others to pass it */
	uint32_t error;      /* one in so many is an error */
	NTSTATUS status;     /* that one; 0: STATUS_UNEXPECTED_IO_ERROR */
	uint32_t kind;       /* only requests of this kind are in error; 0: any but CLOSE */
	uint32_t die_at;     /* the process ends before it answers this one */
	uint32_t silent_at;  /* from this one on it takes requests in, and answers none */
	uint32_t garbage_at; /* the answer to this one is garbage */
	uint32_t garbage;    /* of this kind */
	uint32_t slow_at, slow_ms; /* this answer comes so much later; by then perhaps nobody waits */
	uint32_t short_io;   /* one in so many reads or writes is answered short where that is legal */
};

struct model {
	struct sim_volume *volume;
	struct model_file files[MODEL_FILES];
	uint32_t file_count;
	const WCHAR *root;   /* "\work" */
	uint64_t next_index;
	uint64_t numbers[256]; /* open files: number - 1 -> index of files + 1; 0 = free */
	bool read_only;
	const WCHAR *local;  /* names that begin so are local */

	struct registration at;
	struct inlay_ring_responder ring;
	struct native_thread *thread;
	struct model_faults faults;
	bool stop, crash, stopped; /* asked to; asked to die; has */
	bool dead;           /* died by faults or was made to */
	uint32_t answered;
	uint32_t kinds[INLAY_RING_KIND_TOP]; /* requests seen */
	uint32_t cancels;
	struct inlay_ring_completion held[32]; /* late ones */
	uint32_t held_count;
	struct inlay_ring_completion slow; /* slow_at's, while slow_due is set */
	int64_t slow_due;
	WCHAR renaming[256][MODEL_NAME]; /* by number - 1: new names between BEGIN and END */
	bool is_renaming[256], is_removing[256]; /* by number - 1: between BEGIN and END */
	struct inlay_ring_request waiting[16]; /* OPENs of names that are held so */
	uint32_t waiting_count;
};

/* The server's tree; before the thread runs, or between operations. */
struct model_file *model_add(struct model *model, const WCHAR *path, bool directory, const void *data, uint64_t size);
struct model_file *model_find(struct model *model, const WCHAR *path);

/* Starts the redirector: its section, events, control handle, ring, filter directory and thread. */
NTSTATUS model_start(struct model *model, uint32_t entries, uint32_t slots, uint32_t timeout_ms);
/* Ends it properly (crash: as a killed process) and frees what it had. The tree stays. */
void model_stop(struct model *model, bool crash);
void model_done(struct model *model);
/* How many numbers are open, which must be none when everything is closed. */
uint32_t model_open_count(const struct model *model);

#endif
