/* SPDX-License-Identifier: ISC */
/*
 * git.c: git as a child with a clean environment. Every call goes through start_git, which turns
 * off what could run a program or reach a network.
 */
#include "cli/git.h"

#include <fcntl.h>
#include <stdio.h>

#include "cli/child.h"
#include "common/fd.h"

enum { ARGV_MAX = 96, LINE_MAX_ = 64 * 1024, COMPLAINT_MAX = 600 };

/* Settings of the user's that would run a program, write beside what is asked for, or ask a
 * network. */
static const char *const settings[] = {"core.fsmonitor=false", "core.hooksPath=/dev/null",
	"core.untrackedCache=false", "core.splitIndex=false", "index.sparse=false",
	"index.skipHash=false", "safe.bareRepository=all", "submodule.recurse=false",
	"fetch.recurseSubmodules=false", "fetch.writeCommitGraph=false", "protocol.allow=never",
	"protocol.file.allow=always", "gc.auto=0", "maintenance.auto=false",
	"credential.helper=", "pack.packSizeLimit=0", "pack.indexVersion=2", "core.quotePath=true",
	"color.ui=false"};

/* What would make git look at another repository than the one at -C, or do more than asked. */
static const char *const environment[] = {"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0",
	"GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C", "GIT_DIR", "GIT_WORK_TREE",
	"GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
	"GIT_EXTERNAL_DIFF", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS",
	"GIT_ICASE_PATHSPECS", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_TRACE",
	"GIT_TRACE2", "GIT_TRACE_SETUP", "GIT_REDIRECT_STDERR"};

static int no_git(int errnum, struct bg_err **err)
{
	int r = bg_err_sys(err, BG_ERR_TOOL_MISSING, errnum, "run git");

	bg_err_hint(err, "install it: `sudo apt install git`");
	return r;
}

/* The exit status, or -errno with *err set; *said is the caller's. */
static int start_git(const struct git_call *call, char **said, struct bg_err **err)
{
	const char *argv[ARGV_MAX] = {"git", "--no-pager", "-C", call->dir};
	const char *env[ARRAY_SIZE(environment) + 8];
	size_t n = 4, e = ARRAY_SIZE(environment);
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		argv[n++] = "-c";
		argv[n++] = settings[i];
	}
	for (const char *const *a = call->argv; *a && n < ARGV_MAX - 1; a++)
		argv[n++] = *a;
	argv[n] = NULL;
	memcpy(env, environment, sizeof(environment));
	for (const char *const *v = call->env; v && *v && e < ARRAY_SIZE(env) - 1; v++)
		env[e++] = *v;
	env[e] = NULL;
	r = child_run(
		&(struct child){.argv = argv, .env = env, .in = call->in, .out = call->out}, said);
	return r < 0 ? no_git(-r, err) : r;
}

char *git_complaint(char *said)
{
	static const char *const prefixes[] = {"fatal: ", "error: ", "warning: ", "remote: "};
	char *text = NULL, *save = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	for (char *line = f && said ? strtok_r(said, "\n", &save) : NULL; line;
		line = strtok_r(NULL, "\n", &save)) {
		for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
			if (strncmp(line, prefixes[i], strlen(prefixes[i])) == 0)
				line += strlen(prefixes[i]);
		if (*line && strncmp(line, "hint: ", 6) != 0 && ftell(f) < COMPLAINT_MAX)
			fprintf(f, "%s%.400s", ftell(f) > 0 ? "; " : "", line);
	}
	if (!f || fclose(f) != 0)
		return NULL;
	return text;
}

int git_run(const struct git_call *call, struct bg_err **err)
{
	const char *const *verb;
	_free_ char *said = NULL, *why = NULL;
	int r = start_git(call, &said, err);

	if (r <= 0)
		return r;
	for (verb = call->argv; bg_streq(*verb, "-c"); verb += 2)
		;
	why = git_complaint(said);
	return bg_err_set(err, BG_ERR_GIT, EIO, "git %s in %s: %s", *verb, call->dir,
		bg_isempty(why) ? "it did not say why" : why);
}

int git_text(const struct git_call *call, size_t max, char **ret, size_t *len, struct bg_err **err)
{
	_close_ int out = child_memory("git");
	struct git_call c = *call;
	int r;

	c.out = out;
	r = out < 0 ? bg_err_sys(err, BG_ERR_IO, -out, "run git") : git_run(&c, err);
	if (r < 0)
		return r;
	r = child_output(out, max, ret, len);
	return r < 0 ? bg_err_sys(err, BG_ERR_GIT, -r, "git %s in %s printed too much",
			       call->argv[0], call->dir)
		     : 0;
}

/* *ret NULL and 0 when git failed; *said is why. */
static int ask(
	const char *dir, const char *const *argv, char **ret, char **said, struct bg_err **err)
{
	_close_ int out = child_memory("git");
	size_t len = 0;
	int r;

	if (out < 0)
		return bg_err_sys(err, BG_ERR_IO, -out, "run git");
	r = start_git(&(struct git_call){.dir = dir, .argv = argv, .in = CHILD_NULL, .out = out},
		said, err);
	if (r < 0 || r > 0)
		return r < 0 ? r : 0;
	r = child_output(out, LINE_MAX_, ret, &len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_GIT, -r, "read what git said");
	if (len > 0 && (*ret)[len - 1] == '\n')
		(*ret)[len - 1] = '\0';
	return 0;
}

int git_line(const char *dir, const char *const *argv, char **ret, struct bg_err **err)
{
	_free_ char *said = NULL;

	return ask(dir, argv, ret, &said, err);
}

bool git_oid_valid(const char *oid)
{
	size_t len = strspn(oid, "0123456789abcdef");

	return !oid[len] && (len == 40 || len == 64);
}

static int not_checkout(const char *path, char *said, struct bg_err **err)
{
	_free_ char *why = NULL;
	int r;

	if (said && !strstr(said, "not a git repository")) {
		why = git_complaint(said);
		return bg_err_set(err, BG_ERR_GIT, EIO, "git in %s: %s", path, why ? why : "?");
	}
	r = bg_err_set(err, BG_ERR_NOT_CHECKOUT, ENOENT, "%s is not in a git checkout", path);
	bg_err_hint(err, "`git init` makes it one");
	return r;
}

static int find_head(struct git_repo *repo, struct bg_err **err)
{
	static const char *const head[] = {"rev-parse", "-q", "--verify", "HEAD^{commit}", NULL};
	static const char *const branch[] = {"symbolic-ref", "-q", "HEAD", NULL};
	_free_ char *oid = NULL;
	int r = git_line(repo->top, head, &oid, err);

	if (r >= 0)
		r = git_line(repo->top, branch, &repo->branch, err);
	if (r < 0)
		return r;
	if (oid && git_oid_valid(oid))
		strcpy(repo->head, oid);
	if (!repo->branch)
		repo->branch = strdup("");
	return repo->branch ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int git_find(const char *path, struct git_repo *ret, struct bg_err **err)
{
	static const char *const top[] = {"rev-parse", "--show-toplevel", NULL};
	static const char *const dir[] = {"rev-parse", "--absolute-git-dir", NULL};
	_free_ char *real = realpath(path, NULL), *said = NULL;
	int r;

	*ret = (struct git_repo){.top = NULL};
	if (!real)
		return bg_err_sys(err, BG_ERR_USAGE, errno, "%s", path);
	r = ask(real, top, &ret->top, &said, err);
	if (r >= 0 && !ret->top)
		r = not_checkout(path, said, err);
	if (r >= 0)
		r = git_line(ret->top, dir, &ret->dir, err);
	if (r >= 0 && !ret->dir)
		r = not_checkout(path, NULL, err);
	return r < 0 ? r : find_head(ret, err);
}

void git_repo_done(struct git_repo *repo)
{
	free(repo->top);
	free(repo->dir);
	free(repo->branch);
	*repo = (struct git_repo){.top = NULL};
}

/* Where a file of repo's .git directory is; the caller's. *ret NULL: git did not say. */
int git_path(const struct git_repo *repo, const char *name, char **ret, struct bg_err **err)
{
	const char *argv[] = {"rev-parse", "--git-path", name, NULL};
	_free_ char *path = NULL;
	int r = git_line(repo->top, argv, &path, err);

	if (r < 0 || !path || *path == '/') {
		*ret = TAKE_PTR(path);
		return r;
	}
	if (asprintf(ret, "%s/%s", repo->top, path) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

/* The alternates file has a path a line; a path that holds a line end cannot be said. */
static int lend_objects(const struct git_repo *repo, const char *own, struct bg_err **err)
{
	_free_ char *objects = NULL, *file = NULL, *line = NULL;
	int r = git_path(repo, "objects", &objects, err);

	if (r < 0 || !objects || strchr(objects, '\n') || *objects == '"')
		return r < 0 ? r
			     : bg_err_set(err, BG_ERR_GIT, EINVAL,
				       "%s: git cannot use objects of a path like this", repo->top);
	if (asprintf(&file, "%s/objects/info/alternates", own) < 0 ||
		asprintf(&line, "%s\n", objects) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_write_file_at(AT_FDCWD, file, line, strlen(line), 0600);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write %s", file) : 0;
}

int git_own_repo(const struct git_repo *repo, const char *folder, char **ret, struct bg_err **err)
{
	static const char *const format[] = {"rev-parse", "--show-object-format", NULL};
	_free_ char *hash = NULL, *flag = NULL, *own = NULL, *info = NULL;
	int r = git_line(repo->top, format, &hash, err);

	if (r < 0)
		return r;
	if (asprintf(&flag, "--object-format=%s", hash ? hash : "sha1") < 0 ||
		asprintf(&own, "%s/own.git", folder) < 0 ||
		asprintf(&info, "%s/objects/info", own) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = git_run(&(struct git_call){.dir = folder,
			    .argv = (const char *const[]){"init", "-q", "--bare",
				    "--template=", "--initial-branch=main", flag, "own.git", NULL},
			    .in = CHILD_NULL,
			    .out = CHILD_NULL},
		err);
	if (r >= 0 && bg_mkdir_p(info, 0700) < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "make %s", info);
	if (r >= 0)
		r = lend_objects(repo, own, err);
	if (r >= 0)
		*ret = TAKE_PTR(own);
	return r;
}
