/* SPDX-License-Identifier: ISC */
/* See tar.h. Folders are walked by descriptors, so that what is renamed meanwhile does no harm. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "common/fd.h"
#include "common/tar.h"
#include "common/tar_extents.h"
#include "common/tar_head.h"

enum { PIECE = 64 * 1024, DEPTH_MAX = 200, OCTAL_7 = 07777777 };

#define OCTAL_11 077777777777ULL

struct pack {
	const struct bg_tar_packing *p;
	unsigned depth;
	uint8_t buf[PIECE];
};

static int put(struct pack *k, const void *p, size_t len, struct bg_err **err)
{
	int r = bg_write_all(k->p->out_fd, p, len);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "send the copy") : 0;
}

static int put_zeros(struct pack *k, uint64_t len, struct bg_err **err)
{
	static const uint8_t zeros[TAR_BLOCK * 8];
	int r = 0;

	while (len > 0 && r >= 0) {
		size_t n = (size_t)BG_MIN(len, (uint64_t)sizeof(zeros));

		r = put(k, zeros, n, err);
		len -= n;
	}
	return r;
}

static int put_padded(struct pack *k, const void *p, size_t len, struct bg_err **err)
{
	int r = put(k, p, len, err);

	return r < 0 ? r : put_zeros(k, tar_padding(len), err);
}

static size_t add_number(char *at, size_t room, const char *key, uint64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return tar_pax_put(at, room, key, text);
}

/* As a decimal number: of -1.25 s the file system tells -2 and 750,000,000 ns. */
static size_t add_time(char *at, size_t room, const struct tar_entry *e)
{
	bool before = e->mtime < 0 && e->mtime_ns;
	long long s = (long long)e->mtime + before;
	uint32_t ns = before ? 1000 * 1000 * 1000 - e->mtime_ns : e->mtime_ns;
	char text[48];

	(void)snprintf(
		text, sizeof(text), "%s%lld.%09u", before && s == 0 ? "-" : "", s, (unsigned)ns);
	return tar_pax_put(at, room, "mtime", text);
}

/* What a head has no room for. */
static int put_pax(struct pack *k, const struct tar_entry *e, struct bg_err **err)
{
	struct tar_entry x = {.type = 'x', .path = (char[]){"PaxHeader"}, .mode = 0644};
	size_t room = strlen(e->path) * 2 + (e->link ? strlen(e->link) : 0) + 512, n = 0;
	_free_ char *text = malloc(room);
	struct tar_head h;
	int r;

	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (e->sparse) {
		n += tar_pax_put(text + n, room - n, "GNU.sparse.major", "1");
		n += tar_pax_put(text + n, room - n, "GNU.sparse.minor", "0");
		n += tar_pax_put(text + n, room - n, "GNU.sparse.name", e->path);
		n += add_number(text + n, room - n, "GNU.sparse.realsize", e->real_size);
	} else if (strlen(e->path) > sizeof(h.name)) {
		n += tar_pax_put(text + n, room - n, "path", e->path);
	}
	if (e->link && strlen(e->link) > sizeof(h.link))
		n += tar_pax_put(text + n, room - n, "linkpath", e->link);
	if (e->size > OCTAL_11)
		n += add_number(text + n, room - n, "size", e->size);
	if (e->uid > OCTAL_7)
		n += add_number(text + n, room - n, "uid", e->uid);
	if (e->gid > OCTAL_7)
		n += add_number(text + n, room - n, "gid", e->gid);
	if (e->mtime_ns || e->mtime < 0 || (uint64_t)e->mtime > OCTAL_11)
		n += add_time(text + n, room - n, e);
	if (n == 0)
		return 0;
	x.size = n;
	tar_head_make(&h, &x);
	r = put(k, &h, sizeof(h), err);
	return r < 0 ? r : put_padded(k, text, n, err);
}

static int put_head(struct pack *k, const struct tar_entry *e, struct bg_err **err)
{
	struct tar_head h;
	int r = put_pax(k, e, err);

	tar_head_make(&h, e);
	return r < 0 ? r : put(k, &h, sizeof(h), err);
}

/* A file that shrinks meanwhile is filled up with zeros: its size was told already. */
static int put_range(
	struct pack *k, int fd, const char *path, off_t at, uint64_t len, struct bg_err **err)
{
	while (len > 0) {
		size_t want = (size_t)BG_MIN(len, (uint64_t)sizeof(k->buf));
		ssize_t n = pread(fd, k->buf, want, at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bg_err_sys(err, BG_ERR_IO, errno, "read %s", path);
		if (n == 0)
			return put_zeros(k, len, err);
		r = put(k, k->buf, (size_t)n, err);
		if (r < 0)
			return r;
		at += n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int put_sparse(struct pack *k, int fd, struct tar_entry *e, const struct tar_extents *x,
	struct bg_err **err)
{
	size_t len = 0;
	_free_ char *map = tar_extents_map(x, &len);
	int r;

	if (!map)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	e->sparse = true;
	e->real_size = e->size;
	e->size = len + tar_padding(len) + x->data;
	r = put_head(k, e, err);
	if (r >= 0)
		r = put_padded(k, map, len, err);
	for (size_t i = 0; i < x->count && r >= 0; i++)
		r = put_range(k, fd, e->path, x->list[i].at, (uint64_t)x->list[i].len, err);
	return r < 0 ? r : put_zeros(k, tar_padding(x->data), err);
}

/* Fills k->buf as far as there is something; *n of PIECE is less at the end of the file only. */
static int read_first(struct pack *k, int fd, const char *path, size_t *n, struct bg_err **err)
{
	for (*n = 0; *n < PIECE;) {
		ssize_t got = read(fd, k->buf + *n, PIECE - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return bg_err_sys(err, BG_ERR_IO, errno, "read %s", path);
		if (got == 0)
			break;
		*n += (size_t)got;
	}
	return 0;
}

static int open_spool(void)
{
	const char *tmp = getenv("TMPDIR");
	int fd = open(bg_isempty(tmp) ? "/tmp" : tmp, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("spool", MFD_CLOEXEC);
}

/* A head tells the size first: what does not tell its own is kept until its end came. n bytes are
 * in k->buf. */
static int put_spooled(struct pack *k, int fd, size_t n, struct tar_entry *e, struct bg_err **err)
{
	_close_ int spool = open_spool();
	uint64_t size = 0;
	int r = 0;

	if (spool < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "keep what %s gives", e->path);
	while (r >= 0 && n > 0) {
		r = bg_write_all(spool, k->buf, n);
		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "keep what %s gives", e->path);
		size += n;
		r = read_first(k, fd, e->path, &n, err);
	}
	e->size = size;
	if (r >= 0)
		r = put_head(k, e, err);
	if (r >= 0)
		r = put_range(k, spool, e->path, 0, size, err);
	return r < 0 ? r : put_zeros(k, tar_padding(size), err);
}

/* What stat says is not believed where reading is as cheap. */
static int put_short(struct pack *k, int fd, struct tar_entry *e, struct bg_err **err)
{
	size_t n = 0;
	int r = read_first(k, fd, e->path, &n, err);

	if (r < 0 || n == PIECE)
		return r < 0 ? r : put_spooled(k, fd, n, e, err);
	e->size = n;
	r = put_head(k, e, err);
	return r < 0 ? r : put_padded(k, k->buf, n, err);
}

static int put_file(
	struct pack *k, int fd, const struct stat *st, struct tar_entry *e, struct bg_err **err)
{
	struct tar_extents x = {0};
	int r;

	if (st->st_size <= PIECE)
		return put_short(k, fd, e, err);
	e->size = (uint64_t)st->st_size;
	if (tar_extents_find(fd, st, &x)) {
		r = put_sparse(k, fd, e, &x, err);
	} else {
		r = put_head(k, e, err);
		if (r >= 0)
			r = put_range(k, fd, e->path, 0, e->size, err);
		if (r >= 0)
			r = put_zeros(k, tar_padding(e->size), err);
	}
	free(x.list);
	return r;
}

static int pack_one(struct pack *k, int dirfd, const char *name, const char *path, bool top,
	struct bg_err **err);

static int put_folder(struct pack *k, int fd, const struct tar_entry *e, struct bg_err **err)
{
	struct dirent *d;
	DIR *dir;
	int r = put_head(k, e, err);

	if (r < 0)
		return r;
	if (k->depth >= DEPTH_MAX)
		return bg_err_set(
			err, BG_ERR_IO, ELOOP, "%s: more than %d folders deep", e->path, DEPTH_MAX);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return bg_err_sys(err, BG_ERR_IO, errno, "read %s", e->path);
	k->depth++;
	while (r >= 0 && (d = readdir(dir))) {
		_free_ char *path = NULL;

		if (bg_streq(d->d_name, ".") || bg_streq(d->d_name, ".."))
			continue;
		if (asprintf(&path, "%s%s", e->path, d->d_name) < 0)
			r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		else
			r = pack_one(k, dirfd(dir), d->d_name, path, false, err);
	}
	k->depth--;
	(void)closedir(dir);
	return r;
}

static int put_link(
	struct pack *k, int dirfd, const char *name, struct tar_entry *e, struct bg_err **err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
	int r;

	if (n < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "read the link %s", e->path);
	target[n] = '\0';
	e->type = '2';
	e->link = target;
	r = put_head(k, e, err);
	e->link = NULL;
	return r;
}

static void fill_entry(const struct pack *k, const struct stat *st, struct tar_entry *e)
{
	bool mine = k->p->map_owner && st->st_uid == k->p->uid;

	e->mode = st->st_mode & 07777;
	e->uid = mine ? 0 : st->st_uid;
	e->gid = mine ? 0 : st->st_gid;
	e->mtime = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	e->type = S_ISDIR(st->st_mode)	  ? '5'
		  : S_ISFIFO(st->st_mode) ? '6'
		  : S_ISCHR(st->st_mode)  ? '3'
		  : S_ISBLK(st->st_mode)  ? '4'
					  : '0';
	if (e->type == '3' || e->type == '4') {
		e->major = major(st->st_rdev);
		e->minor = minor(st->st_rdev);
	}
}

static int pack_opened(struct pack *k, int dirfd, const char *name, bool top, struct tar_entry *e,
	struct bg_err **err)
{
	int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (top ? 0 : O_NOFOLLOW);
	_close_ int fd = openat(dirfd, name, flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "read %s", e->path);
	fill_entry(k, &st, e);
	if (S_ISREG(st.st_mode))
		return put_file(k, fd, &st, e, err);
	if (!S_ISDIR(st.st_mode))
		return bg_err_set(
			err, BG_ERR_IO, EINVAL, "%s changed while it was copied", e->path);
	return put_folder(k, fd, e, err);
}

/* What was named itself: what comes out of a pipe or device, as a file of now. */
static int put_content(struct pack *k, const char *path, struct tar_entry *e, struct bg_err **err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	off_t size = fd < 0 || e->type != '4' ? 0 : lseek(fd, 0, SEEK_END);
	int r;

	if (fd < 0 || size < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "read %s", path);
	*e = (struct tar_entry){.type = '0', .path = e->path, .mode = 0644, .mtime = time(NULL)};
	if (size == 0)
		return put_short(k, fd, e, err);
	e->size = (uint64_t)size;
	r = put_head(k, e, err);
	if (r >= 0)
		r = put_range(k, fd, path, 0, e->size, err);
	return r < 0 ? r : put_zeros(k, tar_padding(e->size), err);
}

static int pack_one(struct pack *k, int dirfd, const char *name, const char *path, bool top,
	struct bg_err **err)
{
	struct tar_entry e = {0};
	_free_ char *slashed = NULL;
	struct stat st;

	if (fstatat(dirfd, name, &st, top ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "read %s", top ? name : path);
	if (asprintf(&slashed, "%s%s", path, S_ISDIR(st.st_mode) ? "/" : "") < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	e.path = slashed;
	fill_entry(k, &st, &e);
	if (S_ISSOCK(st.st_mode))
		return top ? bg_err_set(err, BG_ERR_IO, EINVAL, "%s is a socket", name) : 0;
	if (S_ISLNK(st.st_mode))
		return put_link(k, dirfd, name, &e, err);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return pack_opened(k, dirfd, name, top, &e, err);
	return top ? put_content(k, name, &e, err) : put_head(k, &e, err);
}

int bg_tar_pack(const struct bg_tar_packing *p, const char *path, struct bg_err **err)
{
	_free_ struct pack *k = malloc(sizeof(*k));
	_free_ char *trimmed = strdup(path), *real = NULL;
	const char *base;
	int r;

	if (!k || !trimmed)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	k->p = p;
	k->depth = 0;
	for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--)
		trimmed[n - 1] = '\0';
	base = strrchr(trimmed, '/') ? strrchr(trimmed, '/') + 1 : trimmed;
	if (bg_streq(base, ".") || bg_streq(base, "..")) {
		real = realpath(trimmed, NULL);
		if (!real)
			return bg_err_sys(err, BG_ERR_IO, errno, "read %s", path);
		base = strrchr(real, '/') + 1;
	}
	r = pack_one(k, AT_FDCWD, path, *base ? base : "root", true, err);
	return r < 0 ? r : put_zeros(k, (uint64_t)2 * TAR_BLOCK, err);
}
