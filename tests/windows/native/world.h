/*
 * What most tests start from: a volume with \work, the driver loaded, the model attached to \work; and short ways to use it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_WORLD_H
#define INLAY_NATIVE_WORLD_H

#include "model.h"

struct world {
	struct sim_volume *volume;
	PDRIVER_OBJECT driver;
	struct model model;
	bool attached;
};

extern DRIVER_INITIALIZE DriverEntry;

/* seed 0: threads run freely. Ends the test program when something of the frame fails. */
void world_new(struct world *world, uint64_t seed);
void world_attach(struct world *world);
void world_detach(struct world *world, bool crash);
/* Unloads the driver and checks that nothing is left of anything. True: no violation since world_new. */
bool world_free(struct world *world);

struct world_open {
	const WCHAR *path;
	ACCESS_MASK access;   /* 0: GENERIC_READ | GENERIC_WRITE | DELETE */
	ULONG share;          /* 0: all; WORLD_SHARE_NONE */
	ULONG disposition;    /* 0: FILE_OPEN; WORLD_SUPERSEDE */
	ULONG options, attributes, process;
};
#define WORLD_SHARE_NONE 0x80000000u
#define WORLD_SUPERSEDE 0x80000000u

NTSTATUS world_create(struct world *world, const struct world_open *how, struct sim_file **ret_file, ULONG_PTR *ret_information);
#define world_open(world, file, ...) world_create(world, &(struct world_open){ __VA_ARGS__ }, file, NULL)
#define world_open_info(world, file, info, ...) world_create(world, &(struct world_open){ __VA_ARGS__ }, file, info)

/* Bytes, or -status. */
int64_t world_read(struct sim_file *file, uint64_t offset, void *buffer, ULONG length);
int64_t world_write(struct sim_file *file, uint64_t offset, const void *buffer, ULONG length);
NTSTATUS world_delete(struct world *world, const WCHAR *path);
NTSTATUS world_rename(struct world *world, const WCHAR *from, const WCHAR *to, bool replace);
NTSTATUS world_rename_file(struct sim_file *file, const WCHAR *to, bool replace);
/* How many names a listing shows, without the dots; found: whether `name` is one. */
int world_list(struct world *world, const WCHAR *path, const WCHAR *pattern, const WCHAR *name, bool *ret_found);
uint64_t world_size(struct sim_file *file);
/* A pattern that tells where it came from. */
void world_fill(void *buffer, uint64_t offset, ULONG length, uint32_t key);
bool world_check(const void *buffer, uint64_t offset, ULONG length, uint32_t key);

#endif
