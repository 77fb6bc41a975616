/* SPDX-License-Identifier: ISC */
/*
 * workspace_place.c: what was received beside a copy comes into it, each file by a rename, so that
 * nobody sees half of one. Called by workspace.c when nothing is lost by it, or when that was
 * agreed to.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "guest/workspace.h"
#include "guest/workspace_walk.h"

enum { PIECE = 64 * 1024, TARGET_MAX = 64 * 1024, DELTA_MAX = 256 * 1024 * 1024 };

struct work {
	int stage;	  /* what was received */
	int from;	  /* its folder "tree" */
	int tree;	  /* the copy */
	struct walk walk; /* in it */
	/* the place of the name at hand */
	int to;
	const char *last;
};

static int failed(const char *what, const char *name, int r, struct bg_err **err)
{
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "%s %s", what, name) : 0;
}

int workspace_copy_content(int from, int to)
{
	char buf[PIECE];
	ssize_t n;
	int r = 0;

	while (r >= 0 && (n = read(from, buf, sizeof(buf))) != 0)
		if (n > 0)
			r = bg_write_all(to, buf, (size_t)n);
		else if (errno != EINTR)
			r = -errno;
	return r;
}

static int copy_file(const struct work *w, const char *name, const char *temporary)
{
	_close_ int from = openat(w->from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_close_ int to =
		from < 0 ? -1
			 : openat(w->to, temporary,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;
	int r;

	if (to < 0 || fstat(from, &st) < 0)
		return -errno;
	r = workspace_copy_content(from, to);
	if (r >= 0 && ((geteuid() == 0 && fchown(to, st.st_uid, st.st_gid) < 0) ||
			      fchmod(to, st.st_mode & 07777) < 0))
		r = -errno;
	return r;
}

static int copy_link(const struct work *w, const char *name, const char *temporary)
{
	char target[TARGET_MAX];
	ssize_t n = readlinkat(w->from, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, w->to, temporary) < 0 ? -errno : 0;
}

/* A folder of the copy is another file system, where nothing can be renamed into. */
static int copy_over(const struct work *w, const char *name)
{
	_free_ char *temporary = NULL;
	struct stat st;
	int r;

	if (fstatat(w->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (asprintf(&temporary, "%s.banger-new", w->last) < 0)
		return -ENOMEM;
	r = bg_rm_rf_at(w->to, temporary);
	if (r >= 0)
		r = S_ISLNK(st.st_mode) ? copy_link(w, name, temporary)
					: copy_file(w, name, temporary);
	if (r >= 0 && renameat(w->to, temporary, w->to, w->last) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(w->to, temporary, 0);
	return r;
}

static int move(const struct work *w, const char *name)
{
	if (renameat(w->from, name, w->to, w->last) >= 0)
		return 0;
	return errno == EXDEV ? copy_over(w, name) : -errno;
}

/* Finds its folder; make: those that are missing are made. */
static int enter(struct work *w, const char *name, bool make)
{
	int r = walk_enter(&w->walk, name, make, &w->last);

	w->to = w->walk.fd;
	return r;
}

/* Its time is that of its arrival: what was built from the older one is built again. */
static int put_name(void *userdata, const char *name, struct bg_err **err)
{
	struct work *w = userdata;
	int r = enter(w, name, true);

	if (r >= 0)
		r = move(w, name);
	if (r == -EISDIR) /* one that is empty makes room */
		r = unlinkat(w->to, w->last, AT_REMOVEDIR) < 0 ? -errno : move(w, name);
	if (r >= 0)
		(void)utimensat(w->to, w->last, NULL, AT_SYMLINK_NOFOLLOW);
	return failed("put in place", name, r, err);
}

/* What is lost by agreement: what is there, or what stands in the way above it. */
static int remove_name(void *userdata, const char *name, struct bg_err **err)
{
	struct work *w = userdata;
	_free_ char *above = NULL;
	int r;

	walk_forget(&w->walk);
	r = enter(w, name, false);
	if (r == -ENOTDIR) {
		above = strndup(name, w->walk.blocked);
		r = above ? enter(w, above, false) : -ENOMEM;
	}
	if (r >= 0)
		r = bg_rm_rf_at(w->to, w->last);
	return failed("remove", name, r == -ENOENT ? 0 : r, err);
}

static int delete_name(void *userdata, const char *name, struct bg_err **err)
{
	struct work *w = userdata;
	int r = enter(w, name, false);

	if (r >= 0 && unlinkat(w->to, w->last, 0) < 0)
		r = -errno;
	return failed("delete", name, r == -ENOENT || r == -ENOTDIR ? 0 : r, err);
}

/* Folders that may be empty by now. */
static int rmdir_name(void *userdata, const char *name, struct bg_err **err)
{
	struct work *w = userdata;

	(void)err;
	walk_forget(&w->walk);
	if (enter(w, name, false) >= 0)
		(void)unlinkat(w->to, w->last, AT_REMOVEDIR);
	return 0;
}

static int dir_name(void *userdata, const char *name, struct bg_err **err)
{
	_free_ char *inside = NULL;
	struct work *w = userdata;

	if (asprintf(&inside, "%s/.", name) < 0)
		return failed("make the folder", name, -ENOMEM, err);
	return failed("make the folder", name, enter(w, inside, true), err);
}

static int for_each(struct work *w, const char *list,
	int (*f)(void *userdata, const char *name, struct bg_err **err), struct bg_err **err)
{
	_free_ char *text = NULL;
	size_t len = 0;
	int r = bg_read_file_at(w->stage, list, WORKSPACE_LIST_MAX, &text, &len);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "read the list \"%s\"", list)
		     : workspace_names(text, len, f, w, err);
}

static int open_tree(struct work *w, const char *path)
{
	w->tree = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	w->walk = WALK_OF(w->tree);
	return w->tree < 0 ? -errno : 0;
}

/* A copy that was not there, or was empty, comes whole, by one rename. */
static bool come_whole(const struct work *w, const char *path)
{
	_free_ char *parent = strndup(path, (size_t)(strrchr(path, '/') - path));

	if (!parent || (rmdir(path) < 0 && errno != ENOENT))
		return false;
	return (!*parent || bg_mkdir_p(parent, 0755) >= 0) &&
	       renameat(w->stage, "tree", AT_FDCWD, path) >= 0;
}

static int merge(struct work *w, const struct place *p, struct bg_err **err)
{
	int r = workspace_names(p->lost, p->lost_len, remove_name, w, err);

	if (r >= 0)
		r = for_each(w, "delete", delete_name, err);
	if (r >= 0)
		r = for_each(w, "rmdir", rmdir_name, err);
	if (r >= 0)
		r = for_each(w, "dirs", dir_name, err);
	return r < 0 ? r : for_each(w, "put", put_name, err);
}

static int place_files(struct work *w, const struct place *p, struct bg_err **err)
{
	bool whole = come_whole(w, p->path);
	int r = whole ? 0 : bg_mkdir_p(p->path, 0755);

	if (r >= 0)
		r = open_tree(w, p->path);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "%s", p->path);
	if (whole)
		return for_each(w, "dirs", dir_name, err);
	w->from = openat(w->stage, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->from < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "what was received")
			   : merge(w, p, err);
}

static int append(const struct work *w, const struct place *p)
{
	_close_ int record =
		openat(p->side, "manifest", O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	_free_ char *delta = NULL;
	size_t len = 0;
	int r = record < 0 ? -errno : bg_read_file_at(w->stage, "delta", DELTA_MAX, &delta, &len);

	if (r >= 0 && !workspace_token_fits(p->side, p->token))
		r = -ESTALE;
	return r < 0 ? r : bg_write_all(record, delta, len);
}

static int keep_record(const struct work *w, const struct place *p, struct bg_err **err)
{
	int r = renameat(w->stage, "manifest", p->side, "manifest") < 0 ? -errno : 0;

	if (r == -ENOENT)
		r = append(w, p);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write down what was brought") : 0;
}

int workspace_place(const struct place *p, struct bg_err **err)
{
	struct work w = {.from = -1, .tree = -1, .walk = WALK_OF(-1)};
	int r;

	w.stage = openat(p->side, "stage", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w.stage < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "what was received");
	r = place_files(&w, p, err);
	if (r >= 0 && faccessat(w.stage, "git", F_OK, 0) == 0)
		(void)workspace_stamp_keep(p->side, p->path);
	if (r >= 0)
		r = keep_record(&w, p, err);
	walk_forget(&w.walk);
	bg_close(w.stage);
	bg_close(w.from);
	bg_close(w.tree);
	if (r >= 0)
		(void)bg_rm_rf_at(p->side, "stage");
	return r;
}
