/* SPDX-License-Identifier: ISC */
/*
 * workspace_judge.c: what is at the names of a copy, and whether putting what came there loses
 * something. All of it is known before anything is changed: what is above a name (no folder, where
 * one is needed) and what is below it (a folder, where a file comes) are part of the answer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/copy_state.h"
#include "common/fd.h"
#include "guest/workspace.h"
#include "guest/workspace_walk.h"

enum { PIECE = 64 * 1024, TARGET_MAX = 64 * 1024, DEPTH_MAX = 256 };

static bool hash_file(int folder, const char *name, char out[BG_SHA256_HEX])
{
	_close_ int fd =
		openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct bg_sha256 hash;
	char buf[PIECE];
	ssize_t n;

	bg_sha256_init(&hash);
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != EINTR)
			return false;
		bg_sha256_add(&hash, buf, (size_t)BG_MAX(n, (ssize_t)0));
	}
	bg_sha256_end(&hash, out);
	return fd >= 0;
}

static bool hash_link(int folder, const char *name, char out[BG_SHA256_HEX])
{
	char target[TARGET_MAX];
	ssize_t n = readlinkat(folder, name, target, sizeof(target));

	if (n >= 0)
		bg_sha256_hex(target, (size_t)n, out);
	return n >= 0;
}

/* What cannot be read is of another kind: nobody overwrites it unasked. */
static void state_in(int folder, const char *name, struct bg_copy_state *ret)
{
	struct stat st;
	bool known = true;

	*ret = (struct bg_copy_state){.type = '-'};
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		ret->type = errno == ENOENT ? '-' : 'o';
		return;
	}
	ret->type = S_ISREG(st.st_mode)	  ? 'f'
		    : S_ISLNK(st.st_mode) ? 'l'
		    : S_ISDIR(st.st_mode) ? 'd'
					  : 'o';
	if (ret->type == 'f')
		known = hash_file(folder, name, ret->hash);
	else if (ret->type == 'l')
		known = hash_link(folder, name, ret->hash);
	if (!known)
		*ret = (struct bg_copy_state){.type = 'o'};
}

/* 'b': something above it is not a folder; w->blocked says which. */
static void state_of(struct walk *w, const char *name, struct bg_copy_state *ret)
{
	const char *last;
	int r = w->root < 0 ? -ENOENT : walk_enter(w, name, false, &last);

	*ret = (struct bg_copy_state){.type = r == -ENOENT ? '-' : r == -ENOTDIR ? 'b' : 'o'};
	if (r >= 0)
		state_in(w->fd, last, ret);
}

static void print_state(const struct bg_copy_state *s)
{
	char text[BG_COPY_TEXT];

	puts(bg_copy_state_text(s, text));
}

static int say_state(void *userdata, const char *name, struct bg_err **err)
{
	struct bg_copy_state s;

	(void)err;
	state_of(userdata, name, &s);
	if (s.type == 'b')
		s.type = '-';
	print_state(&s);
	return 0;
}

int workspace_states(int tree, const char *names, size_t len, struct bg_err **err)
{
	struct walk w = WALK_OF(tree);
	int r = workspace_names(names, len, say_state, &w, err);

	walk_forget(&w);
	return r;
}

/* "BEFORE NOW ./name" */
struct line {
	const char *name;
	struct bg_copy_state before, now;
};

struct judge {
	struct walk walk;
	struct line *lines;	     /* as they came */
	const char **names, **going; /* all, and those that go away; sorted */
	size_t count, room, n_going;
	bool loses;
};

static int take_line(void *userdata, const char *text, struct bg_err **err)
{
	struct judge *j = userdata;
	struct line *x;

	if (j->count == j->room) {
		size_t room = j->room ? 2 * j->room : 256;
		void *grown = reallocarray(j->lines, room, sizeof(*j->lines));

		if (!grown)
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		j->lines = grown;
		j->room = room;
	}
	x = &j->lines[j->count++];
	if (!bg_copy_state_take(&text, &x->before) || *text++ != ' ' ||
		!bg_copy_state_take(&text, &x->now) || *text++ != ' ')
		return bg_err_set(err, BG_ERR_IO, EBADMSG, "the list of files makes no sense");
	x->name = text;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_names(struct judge *j, struct bg_err **err)
{
	j->names = calloc(j->count + 1, sizeof(*j->names));
	j->going = calloc(j->count + 1, sizeof(*j->going));
	if (!j->names || !j->going)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (size_t i = 0; i < j->count; i++) {
		j->names[i] = j->lines[i].name;
		if (j->lines[i].now.type == '-')
			j->going[j->n_going++] = j->lines[i].name;
	}
	qsort(j->names, j->count, sizeof(*j->names), by_name);
	qsort(j->going, j->n_going, sizeof(*j->going), by_name);
	return 0;
}

static bool goes(const struct judge *j, const char *name)
{
	return bsearch(&name, j->going, j->n_going, sizeof(*j->going), by_name) != NULL;
}

/* Whether something that goes is below a folder: the first name that is not before "folder/". */
static bool something_goes_in(const struct judge *j, const char *folder)
{
	size_t low = 0, high = j->n_going, len = strlen(folder);

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strncmp(j->going[middle], folder, len);

		if (order < 0 || (order == 0 && j->going[middle][len] < '/'))
			low = middle + 1;
		else
			high = middle;
	}
	return low < j->n_going && strncmp(j->going[low], folder, len) == 0 &&
	       j->going[low][len] == '/';
}

static bool all_goes(
	const struct judge *j, int parent, const char *name, const char *path, int depth);

static bool entry_goes(
	const struct judge *j, int dir, const char *name, const char *path, int depth)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return S_ISDIR(st.st_mode) ? all_goes(j, dir, name, path, depth) : goes(j, path);
}

/* Whether a folder holds nothing but what goes, and empty folders that are only there for that. */
static bool all_goes(
	const struct judge *j, int parent, const char *name, const char *path, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool all = dir && depth < DEPTH_MAX && (something_goes_in(j, path) || goes(j, path));
	const struct dirent *e;

	while (all && (e = readdir(dir))) {
		_free_ char *below = NULL;

		if (bg_streq(e->d_name, ".") || bg_streq(e->d_name, ".."))
			continue;
		all = asprintf(&below, "%s/%s", path, e->d_name) >= 0 &&
		      entry_goes(j, dirfd(dir), e->d_name, below, depth + 1);
	}
	if (dir)
		closedir(dir);
	else
		bg_close(fd);
	return all;
}

/* What is above it and is touched itself is judged by its own line. */
static bool unblocked(const struct judge *j, const char *name)
{
	_free_ char *text = strndup(name, j->walk.blocked);
	const char *above = text;

	return text && bsearch(&above, j->names, j->count, sizeof(*j->names), by_name) != NULL;
}

static void judge_line(struct judge *j, const struct line *x)
{
	bool file = x->now.type == 'f' || x->now.type == 'l';
	struct bg_copy_state there;
	const char *last;

	state_of(&j->walk, x->name, &there);
	if (there.type == 'b' && unblocked(j, x->name))
		there.type = '-';
	if (there.type == 'd' && file && walk_enter(&j->walk, x->name, false, &last) >= 0 &&
		all_goes(j, j->walk.fd, last, x->name, 0))
		there.type = 'e';
	print_state(&there);
	j->loses |= bg_copy_loses(&there, &x->before, &x->now);
}

int workspace_judge(int tree, const char *text, size_t len, bool *loses, struct bg_err **err)
{
	struct judge j = {.walk = WALK_OF(tree)};
	int r = workspace_names(text, len, take_line, &j, err);

	if (r >= 0)
		r = list_names(&j, err);
	for (size_t i = 0; r >= 0 && i < j.count; i++)
		judge_line(&j, &j.lines[i]);
	walk_forget(&j.walk);
	free(j.lines);
	free(j.names);
	free(j.going);
	*loses = j.loses;
	return r;
}
