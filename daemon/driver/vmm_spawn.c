/* SPDX-License-Identifier: ISC */
/* What the VMM drivers need to put a process up; see vmm_impl.h. Blocks for no longer than an open
 * or an unlink. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "daemon/driver/vmm_impl.h"

int vmm_socket_path(const char *run_dir, const char *name, char **ret, struct bg_err **err)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", run_dir, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (strlen(path) > BG_SUN_PATH_MAX) {
		bg_err_set(err, BG_ERR_VMM_FAILED, ENAMETOOLONG,
			"socket path \"%s\" is longer than %d bytes", path, BG_SUN_PATH_MAX);
		bg_err_hint(err, "let XDG_STATE_HOME name a shorter directory");
		free(path);
		return -ENAMETOOLONG;
	}
	*ret = path;
	return 0;
}

int vmm_clear_socket(const char *run_dir, const char *name, struct bg_err **err)
{
	_free_ char *path = NULL;
	int r = vmm_socket_path(run_dir, name, &path, err);

	if (r < 0)
		return r;
	r = bg_unlink_small(AT_FDCWD, path);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "remove old socket %s", path) : 0;
}

int vmm_open_log(const char *path, struct bg_err **err)
{
	int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	return fd < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "open log %s", path) : fd;
}

static int check_disk(const char *path, int fd, bool write, struct bg_err **err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open disk %s", path);
	if (S_ISBLK(st.st_mode) || (S_ISREG(st.st_mode) && !write))
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_uid != getuid() || st.st_nlink != 1)
		return bg_err_set(err, BG_ERR_VMM_FAILED, EPERM,
			"disk %s is not a file of yours with one name", path);
	return 0;
}

int vmm_open_disk(const char *path, bool write, uint64_t *ret_bytes, struct bg_err **err)
{
	_close_ int fd = open(
		path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	off_t size;
	int r;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open disk %s", path);
	r = check_disk(path, fd, write, err);
	if (r < 0)
		return r;
	size = lseek(fd, 0, SEEK_END);
	if (size < 0 || bg_set_nonblock(fd, false) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open disk %s", path);
	*ret_bytes = BG_MAX(*ret_bytes, (uint64_t)size);
	return TAKE_FD(fd);
}

int vmm_listen(const char *run_dir, const char *name, struct bg_err **err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_close_ int fd = -1;
	_free_ char *path = NULL;
	int r = vmm_socket_path(run_dir, name, &path, err);

	if (r >= 0)
		r = vmm_clear_socket(run_dir, name, err);
	if (r < 0)
		return r;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "listen at %s", path);
	return TAKE_FD(fd);
}

int vmm_make_memory(uint64_t mib, struct bg_err **err)
{
	_close_ int fd = memfd_create("guest memory", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : bg_grow_file(fd, mib * MIB);

	return r < 0 ? bg_err_sys(err, BG_ERR_VMM_FAILED, -r, "make memory for the guest")
		     : TAKE_FD(fd);
}

int vmm_open_tap(const char *name, struct bg_err **err)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_VMM_FAILED, errno, "open /dev/net/tun");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return bg_err_sys(err, BG_ERR_VMM_FAILED, errno, "open tap %s", name);
	return TAKE_FD(fd);
}

static int argv_grow(struct argv *argv)
{
	size_t room = argv->room ? argv->room * 2 : 32;
	char **v = reallocarray(argv->v, room, sizeof(*v));

	if (!v)
		return -ENOMEM;
	argv->v = v;
	argv->room = room;
	return 0;
}

void argv_add(struct argv *argv, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	/* One place is kept for the NULL at the end. */
	if (argv->n + 1 >= argv->room && argv_grow(argv) < 0) {
		argv->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		argv->failed = true;
	}
	va_end(ap);
	if (!text)
		return;
	argv->v[argv->n++] = text;
	argv->v[argv->n] = NULL;
}

const char *const *argv_finish(struct argv *argv)
{
	return argv->failed ? NULL : (const char *const *)argv->v;
}

void argv_clear(struct argv *argv)
{
	for (size_t i = 0; i < argv->n; i++)
		free(argv->v[i]);
	free(argv->v);
	*argv = (struct argv){0};
}
