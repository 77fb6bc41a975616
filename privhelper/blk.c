/* SPDX-License-Identifier: ISC */
/* See blk.h: opening, loop devices and nodes. Device-mapper is in blk_dm.c. */
#include "privhelper/blk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/disk_layout.h"
#include "privhelper/trusted.h"

enum {
	MISC_LOOP_CONTROL = 237, /* minors of the kernel's miscdevice.h */
	MISC_DM_CONTROL = 236,
	LOOP_TRIES = 16, /* for a free loop that somebody else takes before us */
};

/*
 * A file system that is in no mount tree, so that nobody but us can name what is in it, with
 * device nodes allowed. Its root belongs to our uid, which is the user's: that is why it must not
 * be reachable (we are not dumpable, so /proc/PID/fd leads nobody here).
 */
static int private_fs(void)
{
	_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Opens a device by its number, whatever /dev says and whoever owns it there. */
static int open_device(const struct blk_host *h, mode_t kind, unsigned major, unsigned minor)
{
	int fd, r = 0;

	if (unlinkat(h->private, "d", 0) < 0 && errno != ENOENT)
		return -errno;
	if (mknodat(h->private, "d", kind | 0600, makedev(major, minor)) < 0)
		return -errno;
	fd = openat(h->private, "d", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		r = -errno;
	(void)unlinkat(h->private, "d", 0);
	return r < 0 ? r : fd;
}

/* How many bits of a loop's minor are for partitions: a module parameter, 0 almost everywhere. */
static unsigned read_part_shift(void)
{
	_close_ int fd = open("/sys/module/loop/parameters/max_part", O_RDONLY | O_CLOEXEC);
	char text[16] = "";
	unsigned long n;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	n = strtoul(text, NULL, 10);
	return n == 0 ? 0 : 8 * sizeof(n) - (unsigned)__builtin_clzl(n);
}

/* "254 device-mapper": the major is given out by the kernel when the driver comes up. */
static unsigned read_dm_major(void)
{
	static char text[8192];
	_close_ int fd = open("/proc/devices", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;
	char *at;

	if (fd < 0)
		return 0;
	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	at = strstr(text, " device-mapper\n");
	if (!at)
		return 0;
	while (at > text && at[-1] != '\n')
		at--;
	return (unsigned)strtoul(at, NULL, 10);
}

int blk_open(struct blk_host *h)
{
	*h = (struct blk_host){
		.private = -1, .nodes = -1, .loop_control = -1, .dm_control = -1, .uid = getuid()};
	h->nodes = trusted_open(BG_DISK_NODE_DIR, TRUSTED_DIR_GROUP);
	if (h->nodes < 0)
		return h->nodes == -ENOENT ? -ENOENT : -EPERM;
	h->private = private_fs();
	if (h->private < 0)
		return -ENODEV;
	h->loop_control = open_device(h, S_IFCHR, MISC_MAJOR, MISC_LOOP_CONTROL);
	h->dm_control = open_device(h, S_IFCHR, MISC_MAJOR, MISC_DM_CONTROL);
	h->dm_major = read_dm_major();
	h->part_shift = read_part_shift();
	if (h->loop_control < 0 || h->dm_control < 0 || h->dm_major == 0)
		return -ENODEV;
	return blk_dm_has_target(h, "snapshot") && blk_dm_has_target(h, "linear") ? 0 : -ENODEV;
}

static int configure(int fd, const struct blk_part *part)
{
	struct loop_config config = {.fd = (uint32_t)part->file,
		.info = {.lo_offset = part->offset,
			.lo_sizelimit = part->size,
			/* Never PARTSCAN: a guest's partition table is none of the host's.
			 */
			.lo_flags = LO_FLAGS_AUTOCLEAR}};

	if (!part->writable)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (part->direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	(void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "banger");
	return ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

int blk_loop_make(const struct blk_host *h, const struct blk_part *part, struct blk_loop *ret)
{
	int r = -EBUSY;

	for (int i = 0; i < LOOP_TRIES && r == -EBUSY; i++) {
		int n = ioctl(h->loop_control, LOOP_CTL_GET_FREE);
		_close_ int fd = -1;
		unsigned minor;

		if (n < 0)
			return -errno;
		minor = (unsigned)n << h->part_shift;
		fd = open_device(h, S_IFBLK, LOOP_MAJOR, minor);
		if (fd < 0)
			return fd;
		r = configure(fd, part);
		if (r >= 0)
			*ret = (struct blk_loop){TAKE_FD(fd), minor};
	}
	return r;
}

int blk_node_make(const struct blk_host *h, const char *name, unsigned minor)
{
	/* The owner is our uid, the mode is cut by nothing: umask was set at the start. */
	return mknodat(h->nodes, name, S_IFBLK | 0600, makedev(h->dm_major, minor)) < 0 ? -errno
											: 0;
}

bool blk_node_is(const struct blk_host *h, const char *name, unsigned minor)
{
	struct stat st;

	return fstatat(h->nodes, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISBLK(st.st_mode) &&
	       st.st_rdev == makedev(h->dm_major, minor) && st.st_uid == h->uid;
}

int blk_node_unlink(const struct blk_host *h, const char *name)
{
	return unlinkat(h->nodes, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
