/* SPDX-License-Identifier: ISC */
/*
 * The list job: what is in a folder below the one it was handed. It reads names and sizes, no file. The way down is walked one name at a
 * time without following a link, so it cannot lead out; Landlock holds that too.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "worker/job.h"

enum {
	READ_MAX = 20000, /* entries that are read; what comes behind them is not even counted */
	TOLD_MAX = 1000,  /* that are told */
	BYTES_MAX = 48 * 1024, /* of them, as JSON: an answer is one datagram */
};

struct entry {
	char *name;
	const char *kind;
	uint64_t size;
};

struct listing {
	struct entry *entries;
	size_t n, size;
};

static void listing_done(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->entries[i].name);
	free(l->entries);
}

static int no_folder(int errnum, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_FOLDER, errnum, "%s",
		errnum == ENOTDIR  ? "not a folder"
		: errnum == EINVAL ? "the path has a . or .. or an empty name in it"
				   : strerror(errnum));
}

/* One name of the path; "" behind the last. */
static bool take_name(const char **p, char out[NAME_MAX + 1])
{
	size_t len = strcspn(*p, "/");

	if (len > NAME_MAX)
		return false;
	memcpy(out, *p, len);
	out[len] = '\0';
	*p += len;
	*p += **p == '/';
	return len > 0 && !bg_streq(out, ".") && !bg_streq(out, "..");
}

static int open_below(int root, const char *path, int *ret, struct bg_err **err)
{
	_close_ int fd = openat(root, ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[NAME_MAX + 1];

	for (const char *p = path; fd >= 0 && *p;) {
		int next;

		if (!take_name(&p, name))
			return no_folder(EINVAL, err);
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return no_folder(errno, err);
		bg_close(fd);
		fd = next;
	}
	*ret = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? no_folder(errno, err) : 0;
}

static const char *kind_of(unsigned mode)
{
	return S_ISDIR(mode) ? "folder" : S_ISREG(mode) ? "file" : S_ISLNK(mode) ? "link" : "other";
}

static int add(struct listing *l, int fd, const char *name, struct bg_err **err)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* it is gone, or not for us to see */
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 64;
		struct entry *p = realloc(l->entries, size * sizeof(*p));

		if (!p)
			return bg_err_set(err, BG_ERR_WORKER, ENOMEM, "out of memory");
		l->entries = p;
		l->size = size;
	}
	l->entries[l->n] = (struct entry){
		strdup(name), kind_of(st.st_mode), S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0};
	return l->entries[l->n].name ? (int)(l->n++, 0)
				     : bg_err_set(err, BG_ERR_WORKER, ENOMEM, "out of memory");
}

/* Hidden ones are not for a picker. */
static int read_all(struct job *job, DIR *dir, struct listing *l, bool *more, struct bg_err **err)
{
	const struct dirent *de;
	int r = 0;

	for (unsigned n = 0; r >= 0 && (de = readdir(dir)); n++) {
		if (n == READ_MAX) {
			*more = true;
			break;
		}
		if (de->d_name[0] == '.')
			continue;
		r = n % 256 == 0 ? job_alive(job, err) : 0;
		if (r >= 0)
			r = add(l, dirfd(dir), de->d_name, err);
	}
	return r;
}

static int folders_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int folder =
		(x->kind[0] == 'f' && x->kind[1] == 'o') - (y->kind[0] == 'f' && y->kind[1] == 'o');

	return folder ? -folder : strcmp(x->name, y->name);
}

/* How long the name is as JSON, at most; and what stands around it. */
static size_t cost(const char *name)
{
	size_t n = 64;

	for (; *name; name++)
		n += (unsigned char)*name < 0x20 ? 6 : *name == '"' || *name == '\\' ? 2 : 1;
	return n;
}

static json_t *tell(const struct listing *l, bool more)
{
	json_t *list = json_array();
	size_t bytes = 0, left_out = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];
		json_t *name = json_string(
			e->name); /* NULL: it is not UTF-8, which no request could say either */

		bytes += name ? cost(e->name) : 0;
		if (!name || json_array_size(list) == TOLD_MAX || bytes > BYTES_MAX) {
			json_decref(name);
			left_out++;
			continue;
		}
		json_array_append_new(list, json_pack("{s:o, s:s, s:I}", "name", name, "kind",
						    e->kind, "size", (json_int_t)e->size));
	}
	return json_pack("{s:o, s:I, s:b}", "entries", list, "left_out", (json_int_t)left_out,
		"more", (int)more);
}

int job_list(struct job *job, json_t **ret, struct bg_err **err)
{
	_cleanup_(listing_done) struct listing l = {0};
	const char *path = "";
	bool more = false;
	DIR *dir = NULL;
	int fd = -1, r;

	r = bg_json_need_str(job->params, "path", BG_ERR_WORKER, &path, err);
	if (r >= 0)
		r = open_below(job->fd[0], path, &fd, err);
	if (r < 0)
		return r;
	dir = fdopendir(fd);
	if (!dir) {
		bg_close(fd);
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read the folder");
	}
	r = read_all(job, dir, &l, &more, err);
	(void)closedir(dir);
	if (r < 0)
		return r;
	if (l.n > 0)
		qsort(l.entries, l.n, sizeof(*l.entries), folders_first);
	*ret = tell(&l, more);
	return 0;
}
