/* SPDX-License-Identifier: ISC */
/*
 * See tar.h. Every name is walked from the destination, one component at a time, without following
 * links; a file that is there is removed, never written into. So nothing outside can be reached.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/fd.h"
#include "common/tar.h"
#include "common/tar_in.h"

enum { FOLDERS_MAX = 1000 * 1000, TEMPORARY_MAX = 40 };

/* Mode and time of a folder come last: it may forbid what goes into it. */
struct folder {
	char *path;
	unsigned mode;
	uint64_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
};

struct unpack {
	struct bg_tar_unpacking *u;
	int base;
	char *rename; /* of the first component; NULL: it stays; "": it goes */
	char *top;    /* with u->top: what the stream calls it; NULL: not known yet */
	char *parent; /* the folder that parent_fd is; NULL: none yet */
	int parent_fd;
	struct folder *folders;
	size_t n_folders;
	struct tar_in in; /* last: large */
};

static int no_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int failed(struct bg_err **err, const char *what, const char *path)
{
	return bg_err_sys(err, BG_ERR_IO, errno, "%s %s", what, path);
}

/* Of one tree that was asked for every name begins with the same component. */
static int check_top(struct unpack *k, const char *name, size_t len, struct bg_err **err)
{
	if (!k->u->top)
		return 0;
	if (!k->top)
		k->top = strndup(name, len);
	if (!k->top)
		return no_memory(err);
	if (strlen(k->top) == len && memcmp(k->top, name, len) == 0)
		return 0;
	return bg_err_set(err, BG_ERR_IO, EPROTO, "the copy has names that were not asked for");
}

/* The names of path below the destination, "a/b"; "" for the destination itself. */
static int clean(struct unpack *k, const char *path, char **ret, struct bg_err **err)
{
	_free_ char *out = malloc(strlen(path) + (k->rename ? strlen(k->rename) : 0) + 2);
	char *end = out;
	bool first = true;
	int r;

	if (!out)
		return no_memory(err);
	for (size_t n; *path; path += n) {
		while (*path == '/')
			path++;
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && path[0] == '.'))
			continue;
		if (n == 2 && path[0] == '.' && path[1] == '.')
			return tar_in_bad(err, "a name in it has \"..\"");
		r = first ? check_top(k, path, n, err) : 0;
		if (r < 0)
			return r;
		if (end > out)
			*end++ = '/';
		if (first && k->rename)
			end = stpcpy(end, k->rename);
		else
			end = (char *)memcpy(end, path, n) + n;
		first = false;
	}
	*end = '\0';
	*ret = TAKE_PTR(out);
	return 0;
}

/* One component further; it is made when it is missing. Takes *fd. */
static int step(int *fd, const char *name)
{
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int next = openat(*fd, name, flags);

	if (next < 0 && errno == ENOENT) {
		if (mkdirat(*fd, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		next = openat(*fd, name, flags);
	}
	if (next < 0)
		return -errno;
	bg_close(*fd);
	*fd = next;
	return 0;
}

static int walk(const struct unpack *k, const char *path, int *ret, struct bg_err **err)
{
	_close_ int fd = fcntl(k->base, F_DUPFD_CLOEXEC, 0);
	int r = fd < 0 ? -errno : 0;

	for (size_t n; r >= 0 && *path; path += n + (path[n] == '/')) {
		_free_ char *name = NULL;

		n = strcspn(path, "/");
		name = strndup(path, n);
		r = name ? step(&fd, name) : -ENOMEM;
		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "folder %s", name ? name : path);
	}
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "destination");
	*ret = TAKE_FD(fd);
	return 0;
}

/* The folder of path, kept for the next; *name is the last component, in path. */
static int enter(struct unpack *k, const char *path, const char **name, struct bg_err **err)
{
	const char *slash = strrchr(path, '/');
	_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
	int fd = -1, r;

	if (!parent)
		return no_memory(err);
	*name = slash ? slash + 1 : path;
	if (k->parent && bg_streq(k->parent, parent))
		return 0;
	r = walk(k, parent, &fd, err);
	if (r < 0)
		return r;
	bg_close(k->parent_fd);
	free(k->parent);
	k->parent_fd = fd;
	k->parent = TAKE_PTR(parent);
	return 0;
}

/* What may be replaced: a file or a link. A device is not taken for one: root would lose it. */
static int check_place(
	const struct unpack *k, const char *name, const char *path, struct bg_err **err)
{
	struct stat st;

	if (fstatat(k->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return bg_err_set(
			err, BG_ERR_IO, EISDIR, "%s is a folder there, and none in the copy", path);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return bg_err_set(err, BG_ERR_IO, EEXIST, "%s is a device there", path);
	return 0;
}

static int clear_place(struct unpack *k, const char *name, const char *path, struct bg_err **err)
{
	if (unlinkat(k->parent_fd, name, 0) < 0 && errno != ENOENT)
		return errno == EISDIR || errno == EPERM
			       ? bg_err_set(err, BG_ERR_IO, EISDIR,
					 "%s is a folder there, and none in the copy", path)
			       : failed(err, "replace", path);
	return 0;
}

static int set_meta(const struct unpack *k, int fd, const struct folder *f)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)f->mtime, .tv_nsec = (long)f->mtime_ns}};

	if (k->u->as_root && fchown(fd, (uid_t)f->uid, (gid_t)f->gid) < 0)
		return -errno;
	if (fchmod(fd, f->mode & (k->u->as_root ? 07777u : 0777u & ~k->u->umask)) < 0)
		return -errno;
	return !k->u->arrival && futimens(fd, times) < 0 ? -errno : 0;
}

static int write_range(
	struct unpack *k, int fd, const char *path, uint64_t at, uint64_t len, struct bg_err **err)
{
	while (len > 0) {
		const uint8_t *p;
		ssize_t n = tar_in_some(&k->in, &p, len);

		if (n < 0)
			return bg_err_sys(err, BG_ERR_IO, (int)-n, "read the copy");
		if (n == 0)
			return tar_in_bad(err, "it ends too early");
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(fd, p + done, (size_t)(n - done), (off_t)at);

			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return failed(err, "write", path);
			done += w;
			at += (uint64_t)w;
		}
		len -= (uint64_t)n;
	}
	return 0;
}

static int write_sparse(
	struct unpack *k, int fd, const struct tar_entry *e, const char *path, struct bg_err **err)
{
	_free_ uint64_t *map = NULL;
	uint64_t count = 0, used = 0;
	int r = tar_in_map(&k->in, e, &map, &count, &used, err);

	if (r >= 0 && ftruncate(fd, (off_t)e->real_size) < 0)
		return failed(err, "write", path);
	for (uint64_t i = 0; i < count && r >= 0; i++)
		r = write_range(k, fd, path, map[2 * i], map[2 * i + 1], err);
	return r;
}

static struct folder meta_of(const struct tar_entry *e)
{
	return (struct folder){.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.mtime = e->mtime,
		.mtime_ns = e->mtime_ns};
}

static int fill_file(
	struct unpack *k, int fd, const struct tar_entry *e, const char *path, struct bg_err **err)
{
	const struct folder meta = meta_of(e);
	int r = e->sparse ? write_sparse(k, fd, e, path, err)
			  : write_range(k, fd, path, 0, e->size, err);

	if (r < 0)
		return r;
	r = set_meta(k, fd, &meta);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "owner and mode of %s", path) : 0;
}

/* Nothing guesses it: what is there under such a name is nobody's but ours, or the making fails. */
static int temporary_name(char out[TEMPORARY_MAX])
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return -errno;
	(void)snprintf(out, TEMPORARY_MAX, ".banger-part-%016llx", (unsigned long long)n);
	return 0;
}

/* Under another name until it is whole. */
static int make_file(struct unpack *k, const struct tar_entry *e, const char *path,
	const char *name, struct bg_err **err)
{
	char part[TEMPORARY_MAX];
	_close_ int fd = -1;
	int r = check_place(k, name, path, err);

	if (r < 0)
		return r;
	if (temporary_name(part) < 0)
		return failed(err, "make", path);
	fd = openat(k->parent_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(err, "make", path);
	r = fill_file(k, fd, e, path, err);
	if (r >= 0 && renameat(k->parent_fd, part, k->parent_fd, name) < 0)
		r = failed(err, "make", path);
	if (r < 0)
		(void)unlinkat(k->parent_fd, part, 0);
	return r < 0 ? r : tar_in_skip(&k->in, tar_padding(e->size), err);
}

static int make_folder(struct unpack *k, const struct tar_entry *e, const char *path,
	const char *name, struct bg_err **err)
{
	struct folder *f;
	struct stat st;

	if (*name && mkdirat(k->parent_fd, name, 0700) < 0 && errno != EEXIST)
		return failed(err, "make the folder", path);
	if (*name &&
		(fstatat(k->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)))
		return bg_err_set(err, BG_ERR_IO, ENOTDIR,
			"%s is there and no folder, but one in the copy", path);
	if (!*name)
		return 0; /* the destination itself stays as it is */
	if (k->n_folders == FOLDERS_MAX)
		return tar_in_bad(err, "it has too many folders");
	if ((k->n_folders & (k->n_folders - 1)) == 0) {
		f = realloc(k->folders, (k->n_folders ? 2 * k->n_folders : 1) * sizeof(*f));
		if (!f)
			return no_memory(err);
		k->folders = f;
	}
	f = &k->folders[k->n_folders];
	*f = meta_of(e);
	f->path = strdup(path);
	if (!f->path)
		return no_memory(err);
	k->n_folders++;
	return 0;
}

static int make_symlink(struct unpack *k, const struct tar_entry *e, const char *path,
	const char *name, struct bg_err **err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)e->mtime, .tv_nsec = (long)e->mtime_ns}};
	int r = clear_place(k, name, path, err);

	if (r < 0)
		return r;
	if (symlinkat(e->link, k->parent_fd, name) < 0)
		return failed(err, "make the link", path);
	if (k->u->as_root &&
		fchownat(k->parent_fd, name, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, "owner of", path);
	if (!k->u->arrival)
		(void)utimensat(k->parent_fd, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* To what this stream, or an earlier one, put below the destination. */
static int make_hard_link(struct unpack *k, const struct tar_entry *e, const char *path,
	const char *name, struct bg_err **err)
{
	_free_ char *target = NULL;
	_close_ int fd = -1;
	char *slash;
	int r = clean(k, e->link, &target, err);

	if (r < 0)
		return r;
	if (bg_streq(target, path))
		return 0;
	slash = strrchr(target, '/');
	if (slash)
		*slash = '\0';
	r = walk(k, slash ? target : "", &fd, err);
	if (r >= 0)
		r = clear_place(k, name, path, err);
	if (r < 0)
		return r;
	return linkat(fd, slash ? slash + 1 : target, k->parent_fd, name, 0) < 0
		       ? failed(err, "make the hard link", path)
		       : 0;
}

static int make_special(struct unpack *k, const struct tar_entry *e, const char *path,
	const char *name, struct bg_err **err)
{
	mode_t type = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
	int r;

	if (!k->u->as_root) {
		k->u->left_out++;
		return 0;
	}
	r = clear_place(k, name, path, err);
	if (r < 0)
		return r;
	if (mknodat(k->parent_fd, name, type | e->mode, makedev(e->major, e->minor)) < 0 ||
		fchownat(k->parent_fd, name, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, "make", path);
	return 0;
}

static int make_entry(struct unpack *k, const struct tar_entry *e, struct bg_err **err)
{
	_free_ char *path = NULL;
	const char *name = NULL;
	int r = clean(k, e->path, &path, err);

	if (r >= 0)
		r = enter(k, path, &name, err);
	if (r < 0)
		return r;
	if (!*name && e->type != '5')
		return tar_in_bad(err, "a file in it has no name");
	if (k->u->top && e->type != '0' && e->type != '5' && bg_streq(path, k->rename))
		return bg_err_set(err, BG_ERR_IO, EPROTO,
			"what was sent is a link or a device, and none was asked for");
	switch (e->type) {
	case '0':
		return make_file(k, e, path, name, err);
	case '1':
		r = make_hard_link(k, e, path, name, err);
		break;
	case '2':
		r = make_symlink(k, e, path, name, err);
		break;
	case '3':
	case '4':
	case '6':
		r = make_special(k, e, path, name, err);
		break;
	case '5':
		r = make_folder(k, e, path, name, err);
		break;
	default:
		return bg_err_set(err, BG_ERR_IO, ENOTSUP,
			"%s has type '%c', which is none of POSIX tar's", path, e->type);
	}
	return r < 0 ? r : tar_in_skip(&k->in, e->size + tar_padding(e->size), err);
}

/* What describes the next entry: pax records, GNU's long names. */
static int take_extra(
	struct unpack *k, char type, uint64_t size, struct tar_entry *e, struct bg_err **err)
{
	_free_ char *text = NULL;
	int r;

	if (size > TAR_EXTRA_MAX)
		return tar_in_bad(err, "a name in it is too long");
	text = calloc(1, (size_t)size + 1);
	if (!text)
		return no_memory(err);
	r = tar_in_exactly(&k->in, text, (size_t)size, err);
	if (r >= 0)
		r = tar_in_skip(&k->in, tar_padding(size), err);
	if (r < 0 || type == 'g')
		return r;
	if (type == 'x') {
		r = tar_pax_read(text, (size_t)size, e);
		return r < 0 ? tar_in_bad(err, "its pax records are broken") : 0;
	}
	free(type == 'L' ? e->path : e->link);
	*(type == 'L' ? &e->path : &e->link) = TAKE_PTR(text);
	return 0;
}

/* 1: *e is the next entry; 0: the end. */
static int next_entry(struct unpack *k, struct tar_entry *e, struct bg_err **err)
{
	for (;;) {
		struct tar_entry extra = {0};
		struct tar_head h;
		int r = tar_in_exactly(&k->in, &h, sizeof(h), err);

		if (r < 0)
			return r;
		if (tar_head_is_zero(&h))
			return 0;
		if (!strchr("xgLK", h.type) || h.type == '\0') {
			r = tar_head_read(&h, e);
			return r < 0 ? tar_in_bad(err, "a head is broken") : 1;
		}
		r = tar_head_read(&h, &extra);
		if (r >= 0)
			r = take_extra(k, h.type, extra.size, e, err);
		else
			r = tar_in_bad(err, "a head is broken");
		tar_entry_done(&extra);
		if (r < 0)
			return r;
	}
}

/* In reverse: what is inside comes before what it is in. */
static int finish_folders(struct unpack *k, struct bg_err **err)
{
	while (k->n_folders > 0) {
		const struct folder *f = &k->folders[--k->n_folders];
		_free_ char *path = f->path;
		const char *name = NULL;
		_close_ int fd = -1;
		int r = enter(k, path, &name, err);

		if (r < 0)
			return r;
		fd = openat(k->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : set_meta(k, fd, f);
		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "owner and mode of %s", path);
	}
	return 0;
}

static int unpack_all(struct unpack *k, struct bg_err **err)
{
	struct tar_entry e = {0};
	const uint8_t *p;
	int r, done;

	while ((r = next_entry(k, &e, err)) > 0) {
		r = make_entry(k, &e, err);
		tar_entry_done(&e);
		if (r < 0)
			return r;
	}
	tar_entry_done(&e);
	done = finish_folders(k, r < 0 ? NULL : err);
	/* Writers pad: they must not find the pipe closed. */
	while (r >= 0 && tar_in_some(&k->in, &p, TAR_PIECE) > 0)
		;
	return r < 0 ? r : done;
}

/* Where to: the folder itself, or its parent and a new name for the top of the copy. */
static int open_base(struct unpack *k, const char *path, bool folder_only, struct bg_err **err)
{
	_free_ char *parent = strdup(path);
	size_t len = strlen(path);
	char *slash;

	if (!parent)
		return no_memory(err);
	k->base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (k->base >= 0 && k->u->top)
		k->rename = strdup(k->u->top);
	if (k->base >= 0)
		return k->u->top && !k->rename ? no_memory(err) : 0;
	if (folder_only || len == 0 || path[len - 1] == '/')
		return failed(err, "folder", path);
	slash = strrchr(parent, '/');
	k->rename = strdup(slash ? slash + 1 : parent);
	if (!k->rename)
		return no_memory(err);
	strcpy(slash ? slash + (slash == parent) : parent, slash ? "" : ".");
	k->base = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return k->base < 0 ? failed(err, "folder", parent) : 0;
}

static int unpack_new(struct bg_tar_unpacking *u, struct unpack **ret, struct bg_err **err)
{
	struct unpack *k = malloc(sizeof(*k));

	if (!k)
		return no_memory(err);
	memset(k, 0, offsetof(struct unpack, in));
	tar_in_init(&k->in, u->in_fd);
	k->u = u;
	k->base = k->parent_fd = -1;
	*ret = k;
	return 0;
}

static void unpack_free(struct unpack *k)
{
	while (k->n_folders > 0)
		free(k->folders[--k->n_folders].path);
	free(k->folders);
	free(k->rename);
	free(k->top);
	free(k->parent);
	bg_close(k->parent_fd);
	bg_close(k->base);
	free(k);
}

int bg_tar_unpack_at(struct bg_tar_unpacking *u, int folder, struct bg_err **err)
{
	struct unpack *k;
	int r = unpack_new(u, &k, err);

	if (r < 0)
		return r;
	k->base = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	k->rename = u->top ? strdup(u->top) : NULL;
	if (k->base < 0)
		r = failed(err, "folder", "");
	else if (u->top && !k->rename)
		r = no_memory(err);
	else
		r = unpack_all(k, err);
	unpack_free(k);
	return r;
}

int bg_tar_unpack(
	struct bg_tar_unpacking *u, const char *path, bool folder_only, struct bg_err **err)
{
	struct unpack *k;
	int r = unpack_new(u, &k, err);

	if (r < 0)
		return r;
	r = open_base(k, path, folder_only, err);
	if (r >= 0)
		r = unpack_all(k, err);
	unpack_free(k);
	return r;
}
