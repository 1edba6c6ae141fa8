/*
 * The driver's control device: what the redirector says to it before requests flow through the ring.
 * SPDX-License-Identifier: Apache-2.0
 *
 * \Device\Inlay, linked as \\.\Inlay, opened by administrators only. One handle is one redirector: its ring, its filter
 * directories. When the handle is closed, or its process dies, every request under way ends with an error, the directories
 * are NTFS's alone again, and nothing of the registration is left. All structures are copied before they are checked.
 * A process that has it open sees what lies in a directory whose redirector has gone as NTFS has it, and may clear it away.
 */
#ifndef INLAY_RING_CONTROL_H
#define INLAY_RING_CONTROL_H

#include <stdint.h>

#define INLAY_CONTROL_VERSION 1u
#define INLAY_CONTROL_DEVICE "\\\\.\\Inlay"
#define INLAY_CONTROL_DIRECTORIES_MAX 64u /* of one handle */
#define INLAY_CONTROL_PATH_MAX 65534u     /* bytes of one path */

/* CTL_CODE(FILE_DEVICE_UNKNOWN 0x22, function, METHOD_BUFFERED 0, FILE_READ_DATA | FILE_WRITE_DATA 3) */
#define INLAY_CONTROL_CODE(function) ((0x22u << 16) | (3u << 14) | ((function) << 2))

/* In: nothing. Out: struct inlay_control_version. */
#define INLAY_CONTROL_VERSION_GET INLAY_CONTROL_CODE(0x800u)
/* In: struct inlay_control_ring. Once per handle. The section and events are those of the method's synchronisation object. */
#define INLAY_CONTROL_RING_SET INLAY_CONTROL_CODE(0x801u)
/* In: struct inlay_control_directory with its path behind it. STATUS_OBJECT_NAME_COLLISION: within or above one registered. */
#define INLAY_CONTROL_DIRECTORY_ADD INLAY_CONTROL_CODE(0x802u)
/* In: struct inlay_control_number. From then on NTFS serves the directory; requests under way end with an error. */
#define INLAY_CONTROL_DIRECTORY_REMOVE INLAY_CONTROL_CODE(0x803u)
/* In: struct inlay_control_number. Out: struct inlay_control_usage. */
#define INLAY_CONTROL_DIRECTORY_USAGE INLAY_CONTROL_CODE(0x804u)

struct inlay_control_version {
	uint32_t control; /* INLAY_CONTROL_VERSION */
	uint32_t ring;    /* INLAY_RING_VERSION */
};

struct inlay_control_ring {
	uint32_t version;    /* INLAY_CONTROL_VERSION */
	uint32_t timeout_ms; /* a request unanswered for so long ends with STATUS_IO_TIMEOUT; 0 = never */
	uint64_t section;    /* handle, readable and writable */
	uint64_t requests;   /* handle of an auto-reset event: set by the driver when there are requests */
	uint64_t completions; /* handle of an auto-reset event: set by the redirector when there are completions */
	uint64_t size;       /* bytes of the section */
};

struct inlay_control_directory {
	uint32_t version;  /* INLAY_CONTROL_VERSION */
	uint32_t number;   /* the redirector's choice, unique on this handle */
	uint32_t volume_length; /* bytes; the volume's device name, "\Device\HarddiskVolume3" */
	uint32_t path_length;   /* bytes; the directory's final path on it, "\Users\x\disks" */
	/* volume, then path: UTF-16LE, no NUL */
};

struct inlay_control_number {
	uint32_t version;
	uint32_t number;
};

struct inlay_control_usage {
	uint32_t version;
	uint32_t open_files;  /* remote files that programs hold open now */
	uint64_t outstanding; /* requests under way */
	uint64_t passed;      /* opens beneath the directory that were judged local */
};

_Static_assert(sizeof(struct inlay_control_ring) == 40, "the layout is fixed");
_Static_assert(sizeof(struct inlay_control_directory) == 16, "the layout is fixed");
_Static_assert(sizeof(struct inlay_control_usage) == 24, "the layout is fixed");

#endif
