/* SPDX-License-Identifier: ISC */
/* See cow.h. Tables: the kernel's Documentation/admin-guide/device-mapper/snapshot.rst and
 * linear.rst. */
#include "guest/cow.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cow_store.h"
#include "common/dm_request.h"
#include "common/fd.h"
#include "guest/ext4_super.h"
#include "guest/log.h"

#define CONTROL "/dev/mapper/control"
#define NAME	"root"
#define UUID	"banger-root"

enum { SECTOR = 512, PARAMS = 128, MAPPER_MINOR = 236 };

static struct cow {
	char own[CONF_DEV_MAX + 1], dev[CONF_DEV_MAX + 1];
	dev_t base_dev, own_dev;
	uint64_t base, store; /* sectors */
	unsigned chunk;	      /* sectors */
	bool whole_chunks;    /* a block of its ext4 is one or more */
} cow;

static int open_disk(const char *name, int flags, dev_t *ret_dev, uint64_t *ret_sectors)
{
	_close_ int fd = -1;
	char path[64];
	uint64_t bytes;
	struct stat st;

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	*ret_dev = st.st_rdev;
	*ret_sectors = bytes / SECTOR;
	return TAKE_FD(fd);
}

static unsigned long long mib(uint64_t sectors)
{
	return sectors * SECTOR / MIB;
}

/*
 * Everything before a failed write is whole (data before exceptions before answers), and nothing
 * was answered after it: it is as if the power had gone at that moment. Only one word in the header
 * keeps the kernel from using it.
 */
static int repair(int fd, const char *name, struct bg_err **err)
{
	const uint32_t valid = htole32(1);

	if (pwrite(fd, &valid, sizeof(valid), offsetof(struct bg_cow_head, valid)) !=
			(ssize_t)sizeof(valid) ||
		fsync(fd) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write to %s", name);
	log_line("%s could not be written once: what was not synced then is lost", name);
	return 0;
}

static int check_store(int fd, const struct conf *c, bool *ret_repaired, struct bg_err **err)
{
	struct bg_cow_head head;

	*ret_repaired = false;
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return bg_err_sys(err, BG_ERR_IO, errno, "read %s", c->own);
	switch (bg_cow_state_of(&head, c->chunk)) {
	case BG_COW_NEW:
	case BG_COW_VALID:
		return 0;
	case BG_COW_INVALID:
		*ret_repaired = true;
		return repair(fd, c->own, err);
	case BG_COW_FOREIGN:
		break;
	}
	return bg_err_set(err, BG_ERR_IO, EMEDIUMTYPE,
		"%s does not begin with a snapshot store of %u KiB chunks", c->own,
		c->chunk * SECTOR / 1024);
}

/* The disk has room for the store, and is never smaller than the image. */
static int check_sizes(const struct conf *c, uint64_t own, struct bg_err **err)
{
	if (cow.base == 0)
		return bg_err_set(err, BG_ERR_IO, EINVAL, "%s is too small for an image", c->base);
	if (own < c->store)
		return bg_err_set(err, BG_ERR_IO, ENOSPC,
			"%s has %llu MiB, and its snapshot store alone needs %llu", c->own,
			mib(own), mib(c->store));
	return 0;
}

static int look_at_disks(
	const struct conf *c, uint64_t *ret_own, bool *ret_repaired, struct bg_err **err)
{
	_close_ int base = open_disk(c->base, O_RDONLY, &cow.base_dev, &cow.base);
	_close_ int own = -1;
	struct ext4_super super;
	int r;

	if (base < 0)
		return bg_err_sys(err, BG_ERR_IO, -base, "open %s", c->base);
	cow.whole_chunks =
		ext4_super_read(base, &super) == 0 && super.block_size % (c->chunk * SECTOR) == 0;
	own = open_disk(c->own, O_RDWR, &cow.own_dev, ret_own);
	if (own < 0)
		return bg_err_sys(err, BG_ERR_IO, -own, "open %s", c->own);
	/* What is behind its last whole chunk begins the tail. */
	cow.base = cow.base / c->chunk * c->chunk;
	r = check_sizes(c, *ret_own, err);
	if (r >= 0)
		r = check_store(own, c, ret_repaired, err);
	if (r < 0)
		return r;
	strcpy(cow.own, c->own);
	cow.store = c->store;
	cow.chunk = c->chunk;
	return 0;
}

/* devtmpfs makes it; else it is where it always is. */
static int open_control(struct bg_err **err)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		(void)mkdir("/dev/mapper", 0755);
		(void)mknod(CONTROL, S_IFCHR | 0600, makedev(10, MAPPER_MINOR));
		fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	}
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return bg_err_set(err, BG_ERR_IO, errno,
			"this kernel has no device-mapper, which this VM's disk needs");
	return bg_err_sys(err, BG_ERR_IO, errno, "open %s", CONTROL);
}

/*
 * Whether a discard may go to the snapshot. Without it on the own disk the kernel would write
 * zeroes into the store for each. And dm-snapshot cuts discards to the length of a chunk, but not
 * at its borders: one that begins inside a chunk is zeroed on into the store's next one, where
 * another chunk's data or the list of all is. So only where every extent of ext4 is of whole
 * chunks.
 */
static bool can_discard(dev_t dev)
{
	_free_ char *text = NULL;
	char path[96];

	if (!cow.whole_chunks)
		return false;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/discard_max_bytes",
		major(dev), minor(dev));
	return bg_read_file_at(AT_FDCWD, path, 64, &text, NULL) >= 0 && strtoull(text, NULL, 10);
}

/* P: the store outlives the device. */
static int load_table(int control, uint64_t own, bool discard)
{
	size_t at = sizeof(struct dm_ioctl);
	union bg_dm_request q;
	char params[PARAMS];

	bg_dm_prepare(&q, NAME, NULL, 0);
	(void)snprintf(params, sizeof(params), "%u:%u %u:%u P %u%s", major(cow.base_dev),
		minor(cow.base_dev), major(cow.own_dev), minor(cow.own_dev), cow.chunk,
		discard ? " 1 discard_zeroes_cow" : "");
	bg_dm_add_target(&q, &at, 0, cow.base, "snapshot", params);
	if (own > cow.store) {
		(void)snprintf(params, sizeof(params), "%u:%u %llu", major(cow.own_dev),
			minor(cow.own_dev), (unsigned long long)cow.store);
		bg_dm_add_target(&q, &at, cow.base, own - cow.store, "linear", params);
	}
	return bg_dm_call(control, DM_TABLE_LOAD, &q);
}

/* Kernels before 5.3 do not know how to give a discarded chunk back. */
static int load(int control, uint64_t own)
{
	bool discard = can_discard(cow.own_dev);
	int r = load_table(control, own, discard);

	return r == -EINVAL && discard ? load_table(control, own, false) : r;
}

static int simple(int control, unsigned long cmd, uint32_t flags)
{
	union bg_dm_request q;

	bg_dm_prepare(&q, NAME, NULL, flags);
	return bg_dm_call(control, cmd, &q);
}

static int create(int control, struct bg_err **err)
{
	union bg_dm_request q;
	int r;

	bg_dm_prepare(&q, NAME, UUID, 0);
	r = bg_dm_call(control, DM_DEV_CREATE, &q);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make a device-mapper device");
	(void)snprintf(cow.dev, sizeof(cow.dev), "dm-%u",
		(unsigned)((q.head.dev & 0xff) | (q.head.dev >> 12 & 0xfff00)));
	return 0;
}

static bool has_target(int control, const char *type)
{
	union bg_dm_request q;

	bg_dm_prepare(&q, type, NULL, 0);
	return bg_dm_call(control, DM_GET_TARGET_VERSION, &q) >= 0;
}

static int not_loaded(int control, int r, struct bg_err **err)
{
	if (!has_target(control, "snapshot"))
		return bg_err_set(err, BG_ERR_IO, -r,
			"this kernel has no dm-snapshot, which this VM's disk needs");
	return bg_err_sys(
		err, BG_ERR_IO, -r, "join the image on a read-only disk with %s", cow.own);
}

/* "Invalid" instead of counts: reading the store failed. */
static int check_status(int control, struct bg_err **err)
{
	struct dm_target_spec spec;
	union bg_dm_request q;
	const char *text = "";
	int r;

	bg_dm_prepare(&q, NAME, NULL, 0);
	r = bg_dm_call(control, DM_TABLE_STATUS, &q);
	if (r >= 0)
		r = bg_dm_first_target(&q, &spec, &text);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "look at the joined disk");
	if (strspn(text, "0123456789") == 0)
		return bg_err_set(err, BG_ERR_IO, EIO,
			"the snapshot store on %s cannot be used: the kernel says \"%s\"", cow.own,
			text);
	return 0;
}

int cow_join(const struct conf *c, char ret_dev[CONF_DEV_MAX + 1], bool *ret_repaired,
	struct bg_err **err)
{
	_close_ int control = -1;
	char link[CONF_DEV_MAX + 8];
	uint64_t own = 0;
	int r = look_at_disks(c, &own, ret_repaired, err);

	if (r >= 0)
		r = control = open_control(err);
	if (r >= 0)
		r = create(control, err);
	if (r < 0)
		return r;
	r = load(control, own);
	if (r < 0)
		return not_loaded(control, r, err);
	r = simple(control, DM_DEV_SUSPEND, 0); /* without the flag: resume */
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "start the joined disk");
	r = check_status(control, err);
	if (r < 0)
		return r;
	strcpy(ret_dev, cow.dev);
	(void)snprintf(link, sizeof(link), "../%s", cow.dev); /* lsblk looks for it by its name */
	if (symlink(link, "/dev/mapper/" NAME) < 0)
		log_line("link /dev/mapper/" NAME ": %s", strerror(errno));
	return 0;
}

const char *cow_root_of(const char *disk)
{
	return cow.dev[0] && bg_streq(disk, cow.own) ? cow.dev : NULL;
}

/* With the root suspended nothing may come from it, this program's own memory included. */
static int swap_table(int control)
{
	int r = mlockall(MCL_CURRENT) < 0 ? -errno
					  : simple(control, DM_DEV_SUSPEND, DM_SUSPEND_FLAG);

	if (r >= 0)
		r = simple(control, DM_DEV_SUSPEND, 0);
	if (r < 0) { /* the old table is still good */
		(void)simple(control, DM_TABLE_CLEAR, 0);
		(void)simple(control, DM_DEV_SUSPEND, 0);
	}
	(void)munlockall();
	return r;
}

int cow_lengthen(void)
{
	_close_ int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	_close_ int fd = -1;
	uint64_t own = 0;
	int r;

	if (control < 0)
		return -errno;
	fd = open_disk(cow.own, O_RDONLY, &cow.own_dev, &own);
	if (fd < 0)
		return fd;
	r = load(control, own);
	return r < 0 ? r : swap_table(control);
}
