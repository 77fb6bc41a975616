/* SPDX-License-Identifier: ISC */
/* disk_file.c: sizes, magic numbers and formats are compared; nothing is interpreted. */
#include "privhelper/disk_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/cow_store.h"
#include "common/disk_layout.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/*
 * Local file systems of the kernel's own that can fallocate. Not tmpfs (a disk in memory, in
 * nobody's quota), not FUSE (its server is the user's: it could hold kernel threads up for ever),
 * not overlayfs or a network's.
 */
bool disk_fs_ok(long type)
{
	return type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == XFS_SUPER_MAGIC;
}

/* nlink 1: a file that others have another name for is not this user's alone. */
static bool file_ok(int fd, uid_t uid, int access, struct stat *ret)
{
	int flags = fcntl(fd, F_GETFL);
	struct statfs fs;

	if (flags < 0 || (flags & O_ACCMODE) != access || (flags & (O_APPEND | O_PATH)))
		return false;
	if (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode) || ret->st_uid != uid ||
		ret->st_nlink != 1)
		return false;
	return fstatfs(fd, &fs) == 0 && disk_fs_ok((long)fs.f_type);
}

static enum priv_code sizes(uint64_t base, uint64_t overlay, struct disk_files *ret)
{
	if (!bg_disk_size_ok(base, BG_DISK_BASE_MAX))
		return PRIV_CODE_SIZE;
	ret->base_size = base;
	ret->store_size = bg_disk_store_size(base, BG_DISK_CHUNK);
	if (overlay < ret->store_size)
		return PRIV_CODE_SIZE;
	ret->tail_size = overlay - ret->store_size;
	if (ret->tail_size % BG_DISK_CHUNK || base + ret->tail_size > BG_DISK_MIB_MAX * MIB)
		return PRIV_CODE_SIZE;
	return PRIV_CODE_OK;
}

static bool header_ok(int overlay)
{
	struct bg_cow_head head;
	enum bg_cow_state state;

	if (pread(overlay, &head, sizeof(head), 0) != sizeof(head))
		return false;
	state = bg_cow_state_of(&head, BG_DISK_CHUNK / 512);
	return state == BG_COW_NEW || state == BG_COW_VALID;
}

enum priv_code disk_files_check(int base, int overlay, uid_t uid, struct disk_files *ret)
{
	struct stat b, o;
	enum priv_code code;

	*ret = (struct disk_files){.base = base, .overlay = overlay};
	if (!file_ok(base, uid, O_RDONLY, &b) || !file_ok(overlay, uid, O_RDWR, &o) ||
		(b.st_dev == o.st_dev && b.st_ino == o.st_ino))
		return PRIV_CODE_FILE;
	code = sizes((uint64_t)b.st_size, (uint64_t)o.st_size, ret);
	if (code != PRIV_CODE_OK)
		return code;
	return header_ok(overlay) ? PRIV_CODE_OK : PRIV_CODE_OVERLAY;
}

enum priv_code disk_image_check(int file, uid_t uid, uint64_t *ret_size)
{
	struct stat st;

	if (!file_ok(file, uid, O_RDONLY, &st))
		return PRIV_CODE_FILE;
	*ret_size = (uint64_t)st.st_size;
	return bg_disk_size_ok(*ret_size, BG_DISK_BASE_MAX) ? PRIV_CODE_OK : PRIV_CODE_SIZE;
}
