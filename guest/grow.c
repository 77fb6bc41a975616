/* SPDX-License-Identifier: ISC */
/* See grow.h. Request number: the kernel's Documentation/filesystems/ext4. */
#include "guest/grow.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "guest/cow.h"
#include "guest/ext4_super.h"
#include "guest/log.h"

#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

#define LAZY_FACTOR "1000000"

enum { GROW_WAIT_MS = 10000, GROW_LOOK_MS = 20 };

/*
 * Whether the kernel's ext4lazyinit may write zeroes over inode tables that are not known to be
 * zero. Ours are holes or trimmed blocks, which read as zero anyway. A resize without it zeroes
 * them at once, inside the request, so it is on for the length of one. The thread begins between
 * at once and five seconds later, and turning it off may take longer than that on a slow machine:
 * LAZY_FACTOR, how many times as long as for one table it rests before the next, keeps it to one.
 */
static int let_zero_tables(const char *where, bool let)
{
	_close_ int ctx = fspick(AT_FDCWD, where, FSPICK_CLOEXEC);
	enum fsconfig_command how = let ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	if (ctx < 0 ||
		fsconfig(ctx, how, let ? "init_itable" : "noinit_itable", let ? LAZY_FACTOR : NULL,
			0) < 0 ||
		fsconfig(ctx, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return -errno;
	return 0;
}

static int resize(const char *where, int fs_fd, uint64_t blocks)
{
	int r = let_zero_tables(where, true);

	if (r < 0)
		return r;
	return ioctl(fs_fd, EXT4_IOC_RESIZE_FS, &blocks) < 0 ? -errno : 0;
}

static int grow_to_device(const char *dev, const char *where)
{
	struct ext4_super s = {0};
	uint64_t bytes = 0, want;
	_close_ int dev_fd = open(dev, O_RDONLY | O_CLOEXEC);
	_close_ int fs_fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dev_fd < 0 || fs_fd < 0)
		return -errno;
	if (ioctl(dev_fd, BLKGETSIZE64, &bytes) < 0)
		return -errno;
	r = ext4_super_read(dev_fd, &s);
	if (r < 0)
		return r;
	want = bytes / s.block_size;
	if (want <= s.blocks)
		return 0;
	r = resize(where, fs_fd, want);
	if (r < 0)
		return r;
	log_line("%s grown from %llu to %llu MiB", dev,
		(unsigned long long)(s.blocks * s.block_size / MIB),
		(unsigned long long)(bytes / MIB));
	return 0;
}

int grow_ext4(const char *dev, const char *where)
{
	int r = grow_to_device(dev, where);
	int off = let_zero_tables(where, false);

	return r < 0 ? r : off;
}

/* The kernel learns of it by an interrupt, a moment after the VMM has said that it is done. */
static int wait_size(const char *dev, uint64_t want)
{
	for (int waited = 0; waited < GROW_WAIT_MS; waited += GROW_LOOK_MS) {
		_close_ int fd = open(dev, O_RDONLY | O_CLOEXEC);
		uint64_t have = 0;

		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &have) < 0)
			return -errno;
		if (have >= want)
			return 0;
		(void)usleep(GROW_LOOK_MS * 1000);
	}
	return -ETIMEDOUT;
}

/* What is mounted there is what is on the device: an image may have put something else in its
 * place. */
static int check_mount(const char *dev, const char *where)
{
	struct stat d, w;

	if (stat(dev, &d) < 0 || stat(where, &w) < 0)
		return -errno;
	return S_ISBLK(d.st_mode) && d.st_rdev == w.st_dev ? 0 : -ENODEV;
}

/* disk is what grows; what is mounted is that, or the device that it is the own part of. */
static int grow_one(const char *disk, const char *where, uint64_t bytes)
{
	const char *joined = cow_root_of(disk);
	char path[64], dev[64];
	int r;

	(void)snprintf(path, sizeof(path), "/dev/%s", disk);
	(void)snprintf(dev, sizeof(dev), "/dev/%s", joined ? joined : disk);
	r = check_mount(dev, where);
	if (r >= 0)
		r = wait_size(path, bytes);
	if (r >= 0 && joined)
		r = cow_lengthen();
	return r < 0 ? r : grow_ext4(dev, where);
}

int grow_live(const char *const *argv)
{
	for (; argv[0] && argv[1] && argv[2]; argv += 3) {
		int r = grow_one(argv[0], argv[1], strtoull(argv[2], NULL, 10));

		if (r < 0) {
			(void)dprintf(STDERR_FILENO, "/dev/%s at %s: %s\n", argv[0], argv[1],
				strerror(-r));
			return 1;
		}
	}
	return 0;
}
