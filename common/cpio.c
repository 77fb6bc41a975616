/* SPDX-License-Identifier: ISC */
/* See cpio.h. */
#include "common/cpio.h"

#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "common/fd.h"

enum { HEADER = 110, PATH_MAX_BYTES = 255, BLOCK = 512 };

void bg_cpio_init(struct bg_cpio *c, int fd)
{
	*c = (struct bg_cpio){.fd = fd};
}

static int put(struct bg_cpio *c, const void *p, size_t n)
{
	int r = bg_write_all(c->fd, p, n);

	if (r == 0)
		c->size += n;
	return r;
}

static int pad(struct bg_cpio *c, size_t to)
{
	static const char zeros[BLOCK];

	return put(c, zeros, (to - c->size % to) % to);
}

static int put_head(struct bg_cpio *c, const char *path, mode_t mode, unsigned links, uint32_t size)
{
	const size_t name = strlen(path) + 1;
	char head[HEADER + PATH_MAX_BYTES + 1];
	int r;

	if (name > PATH_MAX_BYTES)
		return -ENAMETOOLONG;
	/* magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor
	 * namesize check */
	(void)snprintf(head, sizeof(head),
		"070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s", ++c->ino,
		(unsigned)mode, 0u, 0u, links, 0u, size, 0u, 0u, 0u, 0u, (unsigned)name, 0u, path);
	r = put(c, head, HEADER + name);
	return r < 0 ? r : pad(c, 4);
}

int bg_cpio_dir(struct bg_cpio *c, const char *path, mode_t mode)
{
	return put_head(c, path, S_IFDIR | mode, 2, 0);
}

int bg_cpio_file(struct bg_cpio *c, const char *path, mode_t mode, const void *buf, size_t len)
{
	int r;

	if (len > UINT32_MAX)
		return -EFBIG;
	r = put_head(c, path, S_IFREG | mode, 1, (uint32_t)len);
	if (r == 0)
		r = put(c, buf, len);
	return r < 0 ? r : pad(c, 4);
}

/* sendfile goes between any two files; the source's own offset is not touched. */
static int copy_whole(struct bg_cpio *c, int src_fd, off_t size)
{
	off_t at = 0;

	while (at < size) {
		ssize_t n = sendfile(c->fd, src_fd, &at, (size_t)(size - at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* it shrank meanwhile */
		c->size += (uint64_t)n;
	}
	return 0;
}

static int size_of(int fd, off_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = st.st_size;
	return 0;
}

int bg_cpio_file_fd(struct bg_cpio *c, const char *path, mode_t mode, int src_fd)
{
	off_t size;
	int r = size_of(src_fd, &size);

	if (r < 0)
		return r;
	if (size > UINT32_MAX)
		return -EFBIG;
	r = put_head(c, path, S_IFREG | mode, 1, (uint32_t)size);
	if (r == 0)
		r = copy_whole(c, src_fd, size);
	return r < 0 ? r : pad(c, 4);
}

int bg_cpio_end(struct bg_cpio *c)
{
	int r = put_head(c, "TRAILER!!!", 0, 1, 0);

	return r < 0 ? r : pad(c, BLOCK);
}

int bg_cpio_append(struct bg_cpio *c, int archive_fd)
{
	off_t size;
	int r = size_of(archive_fd, &size);

	if (r == 0)
		r = copy_whole(c, archive_fd, size);
	return r < 0 ? r : pad(c, BLOCK);
}
