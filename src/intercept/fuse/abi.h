/*
 * The kernel's FUSE interface: <linux/fuse.h> and what newer kernels than its age know.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Source: the kernel's include/uapi/linux/fuse.h up to version 7.42 and Documentation/filesystems/fuse/. Everything
 * beyond 7.38 is negotiated at INIT and used only when the running kernel offers it.
 */
#ifndef INLAY_INTERCEPT_FUSE_ABI_H
#define INLAY_INTERCEPT_FUSE_ABI_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define INLAY_FUSE_MINOR 40u

#define INLAY_FUSE_DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36)
#define INLAY_FUSE_PASSTHROUGH (UINT64_C(1) << 37)
#define INLAY_FUSE_HAS_RESEND (UINT64_C(1) << 39)

/* A notification: every request that was read and not answered is to be read again, its number with this bit set. */
#define INLAY_FUSE_NOTIFY_RESEND 7
#define INLAY_FUSE_UNIQUE_RESEND (UINT64_C(1) << 63)

#define INLAY_FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define INLAY_FOPEN_PASSTHROUGH (1u << 7)

#define INLAY_FUSE_STATX 52u
#define INLAY_FUSE_COPY_FILE_RANGE_64 53u

/* file->f_flags of an execve(2): see __FMODE_EXEC in the kernel's fs.h. */
#define INLAY_FMODE_EXEC 0x20u

struct inlay_fuse_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
	uint16_t request_timeout, unused[11];
};
_Static_assert(sizeof(struct inlay_fuse_init_out) == 64, "as in the kernel's header");
_Static_assert(offsetof(struct inlay_fuse_init_out, max_stack_depth) == 36, "as in the kernel's header");

struct inlay_fuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};
_Static_assert(sizeof(struct inlay_fuse_open_out) == sizeof(struct fuse_open_out), "backing_id was padding");

struct inlay_fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
_Static_assert(sizeof(struct inlay_fuse_backing_map) == 16, "as in the kernel's header");
#define INLAY_FUSE_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct inlay_fuse_backing_map)
#define INLAY_FUSE_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)

struct inlay_fuse_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};
struct inlay_fuse_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, spare0[1];
	uint64_t ino, size, blocks, attributes_mask;
	struct inlay_fuse_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare2[14];
};
_Static_assert(sizeof(struct inlay_fuse_statx) == 256, "as in the kernel's header");
struct inlay_fuse_statx_in {
	uint32_t getattr_flags, reserved;
	uint64_t fh;
	uint32_t sx_flags, sx_mask;
};
_Static_assert(sizeof(struct inlay_fuse_statx_in) == 24, "as in the kernel's header");
struct inlay_fuse_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, flags;
	uint64_t spare[2];
	struct inlay_fuse_statx stat;
};
_Static_assert(sizeof(struct inlay_fuse_statx_out) == 288, "as in the kernel's header");

#endif
