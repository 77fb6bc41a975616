/* SPDX-License-Identifier: ISC */
/* See workspace.h. */
#include "guest/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/copy_state.h"
#include "common/fd.h"
#include "common/tar.h"

#define TOKEN_KEY "token "

enum {
	DIGITS = BG_SHA256_HEX - 1,
	TOKEN_END = sizeof(TOKEN_KEY) - 1 + DIGITS + 1, /* with its NUL */
};

struct copy {
	const char *path;
	char *folder; /* what holds all that is kept beside copies: ".../.banger" */
	char *side;   /* this copy's: ".../.banger/repo" */
};

static int no_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int copy_init(struct copy *c, const char *path, struct bg_err **err)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	*c = (struct copy){.path = path};
	if (!slash || path[0] != '/' || !slash[1])
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "a whole path is needed");
	if (asprintf(&c->folder, "%.*s/.banger", (int)(slash - path), path) < 0 ||
		asprintf(&c->side, "%s%s", c->folder, slash) < 0)
		return no_memory(err);
	return 0;
}

static void copy_done(struct copy *c)
{
	free(c->folder);
	free(c->side);
}

static int open_side(const struct copy *c)
{
	return open(c->side, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int workspace_names(const char *text, size_t len,
	int (*f)(void *userdata, const char *name, struct bg_err **err), void *userdata,
	struct bg_err **err)
{
	int r = 0;

	for (size_t at = 0; r >= 0 && at < len; at += strlen(text + at) + 1)
		r = f(userdata, text + at, err);
	return r;
}

static bool ends_with(int record, const char *token)
{
	char end[TOKEN_END];
	struct stat st;

	return strlen(token) == DIGITS && fstat(record, &st) >= 0 && st.st_size >= TOKEN_END &&
	       pread(record, end, sizeof(end), st.st_size - TOKEN_END) == TOKEN_END &&
	       memcmp(end, TOKEN_KEY, strlen(TOKEN_KEY)) == 0 &&
	       memcmp(end + strlen(TOKEN_KEY), token, DIGITS + 1) == 0;
}

static int open_record(int side)
{
	return openat(side, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

bool workspace_token_fits(int side, const char *token)
{
	_close_ int record = open_record(side);

	return record >= 0 && ends_with(record, token);
}

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	bool empty = dir != NULL;

	while (empty && (e = readdir(dir)))
		empty = bg_streq(e->d_name, ".") || bg_streq(e->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

static const char *kind_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? "nothing" : "other";
	if (!S_ISDIR(st.st_mode))
		return "other";
	return is_empty(path) ? "empty" : "folder";
}

static bool has_git(const char *path)
{
	_free_ char *git = NULL;

	return asprintf(&git, "%s/.git", path) >= 0 && access(git, F_OK) == 0;
}

static int print_all(int fd, struct bg_err **err)
{
	int r = workspace_copy_content(fd, STDOUT_FILENO);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "read what was brought") : 0;
}

static int look(const struct copy *c, const char *token, struct bg_err **err)
{
	_close_ int side = open_side(c);
	_close_ int record = side < 0 ? -1 : open_record(side);
	bool same = record >= 0 && ends_with(record, token);

	printf("%s\n%s\n%s\n", kind_of(c->path),
		!has_git(c->path)				   ? "none"
		: side >= 0 && workspace_stamp_fits(side, c->path) ? "kept"
								   : "git",
		record < 0 ? "none"
		: same	   ? "same"
			   : "record");
	(void)fflush(stdout);
	return record < 0 || same ? 0 : print_all(record, err);
}

static int check(const struct copy *c, struct bg_err **err)
{
	_close_ int tree = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_free_ char *names = NULL;
	size_t len = 0;
	int r = tree < 0 ? -errno : bg_read_fd(STDIN_FILENO, WORKSPACE_LIST_MAX, &names, &len);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "%s", c->path)
		     : workspace_states(tree, names, len, err);
}

static int judge_stage(const struct copy *c, int stage, bool *loses, struct bg_err **err)
{
	_close_ int tree = open(c->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_free_ char *text = NULL;
	size_t len = 0;
	int r = bg_read_file_at(stage, "check", WORKSPACE_LIST_MAX, &text, &len);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "read the list of files");
	return workspace_judge(tree, text, len, loses, err);
}

/* The stream into a stage that was not there; what is left of an earlier one goes. */
static int receive(const struct copy *c, int side, struct bg_err **err)
{
	struct bg_tar_unpacking u = {
		.in_fd = STDIN_FILENO, .as_root = geteuid() == 0, .arrival = true};
	_free_ char *stage = NULL;
	int r = bg_rm_rf_at(side, "stage");

	if (r >= 0 && mkdirat(side, "stage", 0700) < 0)
		r = -errno;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make room in %s", c->side);
	if (asprintf(&stage, "%s/stage", c->side) < 0)
		return no_memory(err);
	r = bg_tar_unpack(&u, stage, true, err);
	if (r >= 0 && faccessat(side, "stage/end", F_OK, 0) < 0)
		r = bg_err_set(err, BG_ERR_IO, EPROTO, "the end is missing");
	if (r < 0)
		bg_err_context(err, "they did not arrive whole");
	return r;
}

static int place(const struct copy *c, int side, const char *token, const char *lost,
	size_t lost_len, struct bg_err **err)
{
	const struct place p = {
		.path = c->path, .side = side, .token = token, .lost = lost, .lost_len = lost_len};

	return workspace_place(&p, err);
}

/* Git's files go into the folder of the copy, not through a link to where somebody moved it. */
static int check_git(const struct copy *c, int stage, struct bg_err **err)
{
	_free_ char *git = NULL;
	struct stat st;

	if (faccessat(stage, "git", F_OK, 0) < 0)
		return 0;
	if (asprintf(&git, "%s/.git", c->path) < 0)
		return no_memory(err);
	if (lstat(git, &st) < 0 || S_ISDIR(st.st_mode))
		return 0;
	return bg_err_set(err, BG_ERR_WORKSPACE, ENOTDIR, "%s is not a folder", git);
}

static int judge_and_place(
	const struct copy *c, int side, const char *token, bool go, struct bg_err **err)
{
	_close_ int stage = openat(side, "stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool loses = false;
	int r;

	if (faccessat(stage, "delta", F_OK, 0) == 0 && !workspace_token_fits(side, token))
		return bg_err_set(err, BG_ERR_WORKSPACE, ESTALE,
			"somebody else brought files meanwhile; try again");
	r = check_git(c, stage, err);
	if (r >= 0)
		r = judge_stage(c, stage, &loses, err);
	if (r >= 0 && go && !loses)
		r = place(c, side, token, "", 0, err);
	if (r >= 0)
		puts(go && !loses ? "done" : "held");
	return r;
}

static int put(const struct copy *c, const char *token, bool go, struct bg_err **err)
{
	_close_ int side = -1;
	int r = bg_mkdir_p(c->side, 0755);

	if (r >= 0 && chmod(c->folder, 0700) < 0)
		r = -errno;
	if (r >= 0)
		side = open_side(c);
	if (r < 0 || side < 0)
		return bg_err_sys(err, BG_ERR_IO, r < 0 ? -r : errno, "%s", c->side);
	r = receive(c, side, err);
	if (r >= 0)
		r = judge_and_place(c, side, token, go, err);
	if (r < 0)
		(void)bg_rm_rf_at(side, "stage");
	return r;
}

static int commit(const struct copy *c, const char *token, struct bg_err **err)
{
	_close_ int side = open_side(c);
	_free_ char *lost = NULL;
	size_t len = 0;
	int r = side < 0 ? -errno : bg_read_fd(STDIN_FILENO, WORKSPACE_LIST_MAX, &lost, &len);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "%s", c->side)
		     : place(c, side, token, lost, len, err);
}

static int drop(const struct copy *c, struct bg_err **err)
{
	_close_ int side = open_side(c);
	int r = side < 0 ? -errno : bg_rm_rf_at(side, "stage");

	return r < 0 && r != -ENOENT ? bg_err_sys(err, BG_ERR_IO, -r, "%s", c->side) : 0;
}

static int run(const struct copy *c, const char *const *argv, struct bg_err **err)
{
	const char *verb = argv[0], *token = argv[2] ? argv[2] : "";

	if (bg_streq(verb, "look"))
		return look(c, token, err);
	if (bg_streq(verb, "check"))
		return check(c, err);
	if (bg_streq(verb, "put"))
		return put(c, token, argv[2] && bg_streq(argv[3], "go"), err);
	if (bg_streq(verb, "commit"))
		return commit(c, token, err);
	if (bg_streq(verb, "drop"))
		return drop(c, err);
	return bg_err_set(err, BG_ERR_USAGE, EINVAL, "there is no verb \"%.40s\"", verb);
}

int workspace_run(const char *const *argv)
{
	_err_ struct bg_err *err = NULL;
	struct copy c;
	int r = copy_init(&c, argv[0] ? argv[1] : NULL, &err);

	if (r >= 0)
		r = run(&c, argv, &err);
	if (fflush(stdout) != 0 && r >= 0)
		r = bg_err_sys(&err, BG_ERR_IO, errno, "write");
	if (r < 0)
		(void)dprintf(STDERR_FILENO, "%s\n", err->message);
	copy_done(&c);
	return r < 0 ? 1 : 0;
}
