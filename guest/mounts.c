/* SPDX-License-Identifier: ISC */
/* See mounts.h. */
#include "guest/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <mntent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/fd.h"
#include "guest/grow.h"
#include "guest/log.h"
#include "guest/stay_mounted.h"

static const struct fs {
	const char *type, *where;
	unsigned long flags;
	const char *options;
} early[] = {
	{"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
	{"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
};

static const struct fs plain[] = {
	{"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
	{"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
	{"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate"},
};

static const struct {
	const char *path, *to;
} links[] = {
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
};

/* Directories that everybody may write to; what an image brings keeps its mode. */
static const char *const shared[] = {"/run/lock", "/tmp", "/var/tmp"};

static int mount_one(const struct fs *fs)
{
	(void)mkdir(fs->where, 0755);
	if (mount(fs->type, fs->where, fs->type, fs->flags, fs->options) < 0 && errno != EBUSY)
		return -errno;
	return 0;
}

int mounts_early(struct bg_err **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		int r = mount_one(&early[i]);

		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "mount %s", early[i].where);
	}
	return 0;
}

void mounts_no_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (mount_one(&plain[i]) < 0)
			log_line("mount %s: %s", plain[i].where, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i].to, links[i].path) < 0 && errno != EEXIST)
			log_line("link %s: %s", links[i].path, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (mkdir(shared[i], 01777) == 0)
			(void)chmod(shared[i], 01777); /* whatever the umask is */
}

int mounts_watch_devices(void)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(
		AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return bg_close(fd);
	return fd;
}

/* Which event it was does not matter: each is a reason to look again. */
void mounts_wait_event(int watch_fd, unsigned timeout_ms)
{
	enum { WITHOUT_EVENTS_MS = 20 };
	struct pollfd p = {.fd = watch_fd, .events = POLLIN};
	char buf[4096];

	if (watch_fd < 0)
		timeout_ms = BG_MIN(timeout_ms, (unsigned)WITHOUT_EVENTS_MS);
	if (poll(&p, 1, (int)timeout_ms) > 0)
		while (recv(watch_fd, buf, sizeof(buf), 0) > 0)
			;
}

int mounts_wait_device(int watch_fd, const char *name, unsigned timeout_ms, struct bg_err **err)
{
	const uint64_t until = uptime_ms() + timeout_ms;
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	for (;;) {
		uint64_t now = uptime_ms();

		if (access(path, F_OK) == 0)
			return 0;
		if (now >= until)
			break;
		mounts_wait_event(watch_fd, until - now);
	}
	return bg_err_set(err, BG_ERR_IO, ETIMEDOUT,
		"no %s after %u s: the VMM has no such disk or the kernel no driver for it", path,
		timeout_ms / 1000);
}

int mounts_disk(const char *name, const char *where, struct bg_err **err)
{
	char dev[64];
	int r;

	(void)snprintf(dev, sizeof(dev), "/dev/%s", name);
	r = bg_mkdir_p(where, 0755);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make %s", where);
	/* Times of reading would be a write for each file that the boot opens. */
	if (mount(dev, where, "ext4", MS_NOATIME, NULL) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "mount %s at %s", dev, where);
	/* A disk that stays small still boots. */
	r = grow_ext4(dev, where);
	if (r < 0)
		log_line("%s stays at its size: %s", dev, strerror(-r));
	return 0;
}

/* Removes a tree without leaving its file system: only initramfs memory is freed. */
static void empty_dir(int fd, dev_t dev)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		(void)close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		struct stat st;

		if (bg_streq(e->d_name, ".") || bg_streq(e->d_name, "..") ||
			fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (sub >= 0)
				empty_dir(sub, dev);
		}
		(void)unlinkat(fd, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
	}
	(void)closedir(dir);
}

/* Not a disk's root by mistake: that would be the user's files. */
static void free_initramfs(int fd)
{
	enum { RAMFS = 0x858458f6, TMPFS = 0x01021994 };
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) == 0 && fstat(fd, &st) == 0 &&
		((uint32_t)fs.f_type == RAMFS || (uint32_t)fs.f_type == TMPFS))
		empty_dir(fd, st.st_dev);
	else
		(void)close(fd);
}

int mounts_switch_root(const char *new_root, struct bg_err **err)
{
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		char to[64];

		(void)snprintf(to, sizeof(to), "%s%s", new_root, early[i].where);
		(void)mkdir(to, 0755);
		if (mount(early[i].where, to, NULL, MS_MOVE, NULL) < 0)
			goto fail;
	}
	if (chdir(new_root) < 0)
		goto fail;
	if (old >= 0)
		free_initramfs(old);
	old = -1;
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		goto fail;
	return 0;
fail:
	old = bg_close(old);
	return bg_err_sys(err, BG_ERR_IO, errno, "switch to the image's root");
}

int mounts_module_tree(const char *name, const char *release, bool *ret_shown, struct bg_err **err)
{
	char dev[64], dir[160], probe[192];
	_close_ int tree = -1;
	int r;

	(void)snprintf(dev, sizeof(dev), "/dev/%s", name);
	(void)snprintf(dir, sizeof(dir), "/lib/modules/%s", release);
	(void)snprintf(probe, sizeof(probe), "%s/modules.dep", dir);
	*ret_shown = false;
	if (access(probe, F_OK) == 0)
		return 0;
	r = bg_mkdir_p(dir, 0755);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make %s", dir);
	/* The disk covers /lib/modules for a moment; its one directory is what stays. */
	if (mount(dev, "/lib/modules", "ext4", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "mount %s", dev);
	tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	r = tree < 0 ? -errno : 0;
	if (umount2("/lib/modules", MNT_DETACH) < 0 && r == 0)
		r = -errno;
	if (r == 0 && move_mount(tree, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "show %s of %s", dir, dev);
	*ret_shown = true;
	(void)stay_mounted(dir);
	return 0;
}

enum { MOUNTS_MAX = 256 };

/* The kernel's own file systems hold nothing to lose; /dev is needed to the end. */
static bool is_api_fs(const char *type)
{
	static const char *const types[] = {"proc", "sysfs", "devtmpfs", "devpts", "rootfs"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (bg_streq(type, types[i]))
			return true;
	return false;
}

void mounts_end(void)
{
	char *where[MOUNTS_MAX];
	size_t n = 0;
	struct mntent *m;
	FILE *f = setmntent("/proc/self/mounts", "re");

	sync();
	while (f && n < MOUNTS_MAX && (m = getmntent(f)))
		if (!is_api_fs(m->mnt_type) && (where[n] = strdup(m->mnt_dir)))
			n++;
	if (f)
		(void)endmntent(f);
	while (n-- > 0) {
		if (bg_streq(where[n], "/") || umount2(where[n], 0) < 0)
			(void)mount(NULL, where[n], NULL, MS_REMOUNT | MS_RDONLY, NULL);
		free(where[n]);
	}
	sync();
}
