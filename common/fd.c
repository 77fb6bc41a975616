/* SPDX-License-Identifier: ISC */
/* fd.c: Short reads and EINTR are dealt with here, so that no caller has to. */
#include "common/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

int bg_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int bg_read_exact(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n == 0)
			return -EPIPE;
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int bg_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
	_free_ char *buf = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= room) {
			size_t next = room ? room * 2 : 4096;
			char *p = realloc(buf, next);

			if (!p)
				return -ENOMEM;
			buf = p;
			room = next;
		}
		n = read(fd, buf + len, room - len - 1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = '\0';
	*ret = TAKE_PTR(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int bg_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
	_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return bg_read_fd(fd, max, ret, ret_len);
}

static int write_file(
	int dirfd, const char *path, const void *buf, size_t len, mode_t mode, bool flush)
{
	char tmp[PATH_MAX];
	_close_ int fd = -1;
	int r;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return -ENAMETOOLONG;
	if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = bg_write_all(fd, buf, len);
	if (r >= 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r >= 0 && flush && fsync(fd) < 0)
		r = -errno;
	if (r >= 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, tmp, 0);
	return r;
}

int bg_put_file_at(int dirfd, const char *path, const void *buf, size_t len, mode_t mode)
{
	return write_file(dirfd, path, buf, len, mode, false);
}

int bg_write_file_at(int dirfd, const char *path, const void *buf, size_t len, mode_t mode)
{
	return write_file(dirfd, path, buf, len, mode, true);
}

int bg_mkdir_p(const char *path, mode_t mode)
{
	_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		if (c == '\0')
			return 0;
		*p = c;
	}
}

int bg_dir_each(int fd, int (*fn)(int dirfd, const char *name, void *userdata), void *userdata)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *de;
	int r = 0;

	if (!dir) {
		r = -errno;
		bg_close(fd);
		return r;
	}
	while (r >= 0 && (errno = 0, de = readdir(dir)))
		if (!bg_streq(de->d_name, ".") && !bg_streq(de->d_name, ".."))
			r = fn(fd, de->d_name, userdata);
	if (r >= 0 && errno)
		r = -errno;
	closedir(dir);
	return r;
}

static int rm_child(int dirfd, const char *name, void *userdata)
{
	(void)userdata;
	return bg_rm_rf_at(dirfd, name);
}

int bg_rm_rf_at(int dirfd, const char *name)
{
	int fd, r;

	if (unlinkat(dirfd, name, 0) >= 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = bg_dir_each(fd, rm_child, NULL);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int bg_unlink_small(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int bg_rmdir_at(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int bg_grow_file(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > size)
		return -EINVAL;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int bg_cut_head(int fd, uint64_t bytes)
{
	if (bytes > 0 &&
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) == 0)
		return 0;
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}

static int set_flag(int fd, int get, int set, int bit, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -errno;
	flags = on ? flags | bit : flags & ~bit;
	return fcntl(fd, set, flags) < 0 ? -errno : 0;
}

/* The lowest free number is what open() gives. */
int bg_std_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

int bg_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int bg_set_nonblock(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}
