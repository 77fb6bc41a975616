/* SPDX-License-Identifier: ISC */
/*
 * workspace_back.c: Everything that a guest sends is unpacked into a repository of our own and
 * checked there; the user's repository gets one branch at the end.
 */
#include "cli/workspace_back.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/child.h"
#include "cli/workspace_pack.h"
#include "cli/workspace_there.h"
#include "common/console.h"
#include "common/fd.h"

#define PACK_MAX   (16 * GIB)
#define KNOWN_MAX  1000 /* commits a guest may say it was given: git is asked about each */
#define EMPTY_TREE "4b825dc642cb6eb9a060e54bf8d69288fbee4904" /* git knows it without having it */

/* $2: the commit to bring. stdin: commits that are here; those that are there too need not travel.
 */
static const char pack_script[] =
	"cd \"$1\" || exit 1\n"
	"{ echo \"$2\"; while read -r o; do\n"
	"git cat-file -e \"$o^{commit}\" 2>/dev/null && echo \"^$o\"; done; } |\n"
	"git pack-objects -q --revs --thin --delta-base-offset --stdout\n";

/* An index of our own with the same entries, whose times may be brought up to date. Plumbing obeys
 * no setting about looks. */
#define OWN_INDEX                                                                                  \
	"cd \"$1\" || exit 1; export GIT_LITERAL_PATHSPECS=1 GIT_INDEX_FILE\n"                     \
	"i=$(mktemp) || exit 1; trap 'rm -f \"$i\"' EXIT\n"                                        \
	"cp \"$(git rev-parse --git-path index)\" \"$i\" 2>/dev/null || rm -f \"$i\"\n"            \
	"GIT_INDEX_FILE=$i; git update-index -q --refresh >/dev/null 2>&1\n"
#define DIFF_INDEX "git --no-pager diff-index --no-renames --no-ext-diff --ignore-submodules=all "

/* $2: the commit that was brought. What may have changed since, raw; then, behind an empty field,
 * new names. */
static const char names_script[] = OWN_INDEX DIFF_INDEX
	"--raw -z \"$2\" -- && printf '\\0' && git ls-files -z --others --exclude-standard\n";

/* stdin: names. New files are added to our index, for the patch to have them. */
static const char diff_script[] = OWN_INDEX
	"git ls-files -z --others --exclude-standard | xargs -0 git add -N -- >/dev/null 2>&1\n"
	"xargs -0 -n 500 " DIFF_INDEX
	"-p --no-textconv -U3 --src-prefix=a/ --dst-prefix=b/ $3 $4 \"$2\" --\n";

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* There must be a copy, and a git that tells of it. */
static int look(const struct guest *g, const struct ws_back *what, struct ws_there *ret,
	struct bg_err **err)
{
	int r = ws_look(g, what->guest_path, ret, err);

	if (r >= 0 && ret->manifest.there && ret->repo)
		r = ws_look_git(g, what->guest_path, ret, err);
	if (r < 0)
		return r;
	if (!ret->manifest.there || !ret->repo) {
		r = bg_err_set(err, BG_ERR_WORKSPACE, ENOENT,
			"%s:%s was not made by `vm run` or `workspace prepare`", what->name,
			what->guest_path);
		bg_err_hint(err, "`banger vm workspace prepare %s PATH` makes it one", what->name);
	} else if (!ret->has_git) {
		r = bg_err_set(err, BG_ERR_WORKSPACE, ENOENT, "there is no git in %s", what->name);
		bg_err_hint(err,
			"install it there, as with `banger vm exec %s -- apt-get install git`",
			what->name);
	}
	return r;
}

static bool has_commit(const char *dir, const char *oid)
{
	char name[GIT_OID_MAX + 16];
	const char *argv[] = {"rev-parse", "-q", "--verify", name, NULL};
	_free_ char *found = NULL;

	snprintf(name, sizeof(name), "%s^{commit}", oid);
	return git_line(dir, argv, &found, NULL) >= 0 && found;
}

/* Of all commits that were brought those that are still here, one a line. */
static char *known_commits(const struct git_repo *repo, const struct ws_manifest *m)
{
	_free_ char *list = NULL;
	char *text = NULL, *save = NULL;
	size_t len = 0, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f || asprintf(&list, "%s\n%s", m->git.head, m->shallow) < 0)
		return NULL;
	for (char *line = strtok_r(list, "\n", &save); line && n++ < KNOWN_MAX;
		line = strtok_r(NULL, "\n", &save))
		if (git_oid_valid(line) && has_commit(repo->top, line))
			fprintf(f, "%s\n", line);
	return fclose(f) == 0 ? text : NULL;
}

static int pack_there(const struct guest *g, const struct ws_back *what, const char *head,
	const char *known, int out, struct bg_err **err)
{
	const char *const words[] = {what->guest_path, head, NULL};
	_close_ int in = child_memory("commits");
	struct guest_script s = {
		.text = pack_script, .words = words, .in = in, .out = out, .out_max = PACK_MAX};
	_free_ char *said = NULL, *joined = NULL, *clean = NULL;
	int r;

	if (in < 0 || bg_write_all(in, known, strlen(known)) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return out_of_memory(err);
	r = guest_run(g, &s, &said, err);
	joined = git_complaint(said);
	clean = term_clean(joined ? joined : "");
	return r <= 0 ? r
		      : bg_err_set(err, BG_ERR_WORKSPACE, EIO,
				"git in %s packed no commits: %.300s", what->name,
				bg_isempty(clean) ? "it did not say why" : clean);
}

static int explain(const struct ws_back *what, int r, struct bg_err **err)
{
	bg_err_context(err, "what %s sent", what->name);
	return r;
}

/* Into a repository of ours. --strict: every object is sound, and what it names is there. */
static int unpack(const char *own, const struct ws_back *what, int pack, const char *head,
	struct bg_err **err)
{
	static const char *const index[] = {
		"index-pack", "--stdin", "--fix-thin", "--strict", NULL};
	const char *const name[] = {"update-ref", "refs/heads/pulled", head, NULL};
	int r = lseek(pack, 0, SEEK_SET) < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "read the pack")
					     : 0;

	if (r >= 0)
		r = git_run(
			&(struct git_call){
				.dir = own, .argv = index, .in = pack, .out = CHILD_NULL},
			err);
	if (r >= 0)
		r = git_run(
			&(struct git_call){
				.dir = own, .argv = name, .in = CHILD_NULL, .out = CHILD_NULL},
			err);
	return r < 0 ? explain(what, r, err) : 0;
}

/* Its own branches, for counting what is new. */
static int name_known(const char *own, const char *known, struct bg_err **err)
{
	_free_ char *path = NULL, *text = NULL;
	size_t len = 0;
	unsigned n = 0;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return out_of_memory(err);
	for (const char *line = known; *line; line = strchr(line, '\n') + 1)
		fprintf(f, "%.*s refs/known/%u\n", (int)strcspn(line, "\n"), line, n++);
	if (fclose(f) != 0 || asprintf(&path, "%s/packed-refs", own) < 0)
		return out_of_memory(err);
	r = bg_write_file_at(AT_FDCWD, path, text, len, 0600);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write %s", path) : 0;
}

/* From our repository into the checkout's: one branch and what it needs. */
static int fetch(const char *into, const char *from, const char *refspec, struct bg_err **err)
{
	const char *argv[] = {"-c", "transfer.fsckObjects=true", "-c", "fetch.fsckObjects=true",
		"-c", "fetch.unpackLimit=1", "-c", "transfer.unpackLimit=1", "fetch", "-q",
		"--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
		"--no-auto-maintenance", "--no-prune", "--refmap=", from, refspec, NULL};

	return git_run(
		&(struct git_call){.dir = into, .argv = argv, .in = CHILD_NULL, .out = CHILD_NULL},
		err);
}

/* What is here under that name must not be lost: it may only grow. */
static int check_branch(const struct git_repo *repo, const char *own, const struct ws_back *what,
	const struct ws_pulled *pulled, struct bg_err **err)
{
	char ref[160], lost[GIT_OID_MAX * 2 + 8];
	const char *const old_argv[] = {"rev-parse", "-q", "--verify", ref, NULL};
	const char *const lost_argv[] = {"rev-list", "--max-count=1", lost, NULL};
	_free_ char *old = NULL, *found = NULL;
	int r;

	snprintf(ref, sizeof(ref), "refs/heads/%s", pulled->branch);
	r = git_line(repo->top, old_argv, &old, err);
	if (r < 0 || !old || !git_oid_valid(old) || what->force)
		return r;
	snprintf(lost, sizeof(lost), "%s..%s", pulled->head, old);
	r = git_line(own, lost_argv, &found, err);
	if (r < 0 || bg_isempty(found))
		return r;
	r = bg_err_set(err, BG_ERR_WORKSPACE_CONFLICT, EEXIST,
		"branch %s in %s has commits that %s does not have", pulled->branch, repo->top,
		what->name);
	bg_err_hint(err, "keep them: `git branch -m %s another-name`; --force replaces the branch",
		pulled->branch);
	return r;
}

static int count_commits(
	const char *own, const char *head, struct ws_pulled *pulled, struct bg_err **err)
{
	static const char *const count[] = {
		"rev-list", "--count", "refs/heads/pulled", "--not", "--glob=refs/known/*", NULL};
	_free_ char *number = NULL;
	int r = git_line(own, count, &number, err);

	strcpy(pulled->head, head);
	pulled->commits = r >= 0 && number ? strtoull(number, NULL, 10) : 0;
	return r;
}

static int receive(const struct guest *g, const struct git_repo *repo, const struct ws_back *what,
	const char *head, const char *known, const char *tmp, struct ws_pulled *ret,
	struct bg_err **err)
{
	_close_ int pack = open(tmp, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	_free_ char *own = NULL;
	char refspec[256];
	int r;

	if (pack < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a file in %s", tmp);
	r = git_own_repo(repo, tmp, &own, err);
	if (r >= 0)
		r = name_known(own, known, err);
	if (r >= 0)
		r = pack_there(g, what, head, known, pack, err);
	if (r >= 0)
		r = unpack(own, what, pack, head, err);
	if (r >= 0)
		r = count_commits(own, head, ret, err);
	if (r >= 0)
		r = check_branch(repo, own, what, ret, err);
	snprintf(refspec, sizeof(refspec), "+refs/heads/pulled:refs/heads/%s", ret->branch);
	return r < 0 ? r : fetch(repo->top, own, refspec, err);
}

static int pull(const struct guest *g, const struct git_repo *repo, const struct ws_back *what,
	const struct ws_there *there, struct ws_pulled *ret, struct bg_err **err)
{
	const char *base = there->manifest.git.head;
	_free_ char *known = NULL;
	char *tmp = NULL;
	int r;

	if (!*there->git.head || bg_streq(there->git.head, base))
		return 0;
	known = known_commits(repo, &there->manifest);
	if (!known)
		return out_of_memory(err);
	if (*base && !*known) {
		r = bg_err_set(err, BG_ERR_WORKSPACE, EXDEV,
			"%s:%s is not of this repository: %s has no commit %.12s", what->name,
			what->guest_path, repo->top, base);
		bg_err_hint(err,
			"name the checkout that was brought there: "
			"`banger vm workspace pull %s PATH`",
			what->name);
		return r;
	}
	r = ws_tmp_make(g->cli->paths.cache_dir, &tmp, err);
	if (r >= 0)
		r = receive(g, repo, what, there->git.head, known, tmp, ret, err);
	ws_tmp_remove(tmp);
	return r;
}

int ws_pull(struct cli *cli, const struct ws_back *what, struct ws_pulled *ret, struct bg_err **err)
{
	struct guest g = {.cli = cli, .name = what->name};
	struct ws_there there = {.kind = WS_NOTHING};
	struct git_repo repo;
	int r = git_find(what->path, &repo, err);

	*ret = (struct ws_pulled){.commits = 0};
	snprintf(ret->branch, sizeof(ret->branch), "banger/%s", what->name);
	if (r >= 0)
		r = look(&g, what, &there, err);
	if (r >= 0)
		r = pull(&g, &repo, what, &there, ret, err);
	ws_manifest_done(&there.manifest);
	git_repo_done(&repo);
	return r;
}

static int add_name(struct ws_list *ret, const char *path, uint32_t mode)
{
	struct ws_file f = {.path = strdup(path), .mode = mode};

	return f.path ? ws_list_add(ret, &f) : -ENOMEM;
}

/* ":100644 100755 OID OID M": the mode that a file got, when it got another one; else 0. */
static uint32_t new_mode(const char *raw)
{
	uint32_t was = 0, is = 0;

	return sscanf(raw, ":%" SCNo32 " %" SCNo32, &was, &is) == 2 && was && is && was != is ? is
											      : 0;
}

/* Names, each once. They are the guest's: only ever sent back to it. */
static int take_names(const char *text, size_t len, struct ws_list *ret)
{
	bool raw = true;
	int r = 0;

	for (size_t at = 0; r >= 0 && at < len; at += strlen(text + at) + 1) {
		uint32_t mode = raw ? new_mode(text + at) : 0;

		if (!text[at]) {
			raw = false;
			continue;
		}
		if (raw)
			at += strlen(text + at) + 1;
		if (at < len)
			r = add_name(ret, text + at, mode);
	}
	ws_list_sort(ret);
	return r;
}

static int put_names(const struct ws_list *names, const bool *drop)
{
	_close_ int fd = child_memory("names");
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (fd < 0 || !f)
		return -ENOMEM;
	for (size_t i = 0; i < names->count; i++)
		if (!drop || !drop[i]) {
			fprintf(f, "./%s", names->files[i].path);
			fputc('\0', f);
		}
	if (fclose(f) != 0 || bg_write_all(fd, text, len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -ENOMEM;
	return len > 0 ? TAKE_FD(fd) : -ENODATA;
}

static bool as_brought(
	const struct bg_copy_state *there, const struct ws_file *now, const struct ws_file *was)
{
	bool mode = now->mode && was->type == WS_FILE && !(now->mode & 0100) != !(was->mode & 0100);

	return there->type == (char)was->type && bg_streq(there->hash, was->hash) && !mode;
}

/* Names that are as they were brought are not the guest's doing: they differed here already. */
static int sort_out(const struct guest *g, const struct ws_back *what, const struct ws_manifest *m,
	const struct ws_list *names, struct bg_err **err)
{
	_free_ struct bg_copy_state *states = calloc(names->count + 1, sizeof(*states));
	_free_ bool *drop = calloc(names->count + 1, sizeof(*drop));
	_close_ int all = put_names(names, NULL);
	int r;

	if (!states || !drop || all < 0)
		return all == -ENODATA ? -ENODATA : out_of_memory(err);
	r = ws_check(g, what->guest_path, all, names->count, states, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names->count; i++) {
		const struct ws_file *was = ws_list_find(&m->list, names->files[i].path);

		drop[i] =
			was ? as_brought(&states[i], &names->files[i], was) : states[i].type == '-';
	}
	r = put_names(names, drop);
	return r == -ENOMEM ? out_of_memory(err) : r;
}

static const char *base_of(const struct ws_manifest *m)
{
	if (*m->git.head)
		return m->git.head;
	return EMPTY_TREE;
}

/* The descriptor of a list of names that the guest changed; -ENODATA without an error: none. */
static int changed_names(const struct guest *g, const struct ws_back *what,
	const struct ws_manifest *m, struct bg_err **err)
{
	const char *const words[] = {what->guest_path, base_of(m), NULL};
	struct guest_script s = {.text = names_script, .words = words, .in = GUEST_NONE};
	struct ws_list names = {.files = NULL};
	_free_ char *text = NULL;
	size_t len = 0;
	int r = ws_script(g, "looking for changes", &s, &text, &len, err);

	if (r >= 0 && take_names(text, len, &names) < 0)
		r = out_of_memory(err);
	if (r >= 0)
		r = sort_out(g, what, m, &names, err);
	ws_list_done(&names);
	return r;
}

/* On a terminal what a guest says must not drive it; colors stay. */
static int print_patch(struct cli *cli, const char *text, size_t len)
{
	struct console console = {.state = CONSOLE_TEXT};
	_free_ char *clean = NULL;

	if (!cli->out.tty)
		return bg_write_all(STDOUT_FILENO, text, len);
	clean = malloc(len + CONSOLE_HELD);
	if (!clean)
		return -ENOMEM;
	return bg_write_all(STDOUT_FILENO, clean, console_clean(&console, text, len, clean));
}

static int diff(const struct guest *g, const struct ws_back *what, const struct ws_manifest *m,
	bool *changed, struct bg_err **err)
{
	const char *const words[] = {what->guest_path, base_of(m),
		g->cli->out.color ? "--color=always" : "--color=never",
		g->cli->out.tty ? "-p" : "--binary", NULL};
	_close_ int names = changed_names(g, what, m, err);
	struct guest_script s = {.text = diff_script, .words = words, .in = names};
	_free_ char *text = NULL;
	size_t len = 0;
	int r;

	if (names == -ENODATA)
		return 0;
	if (names < 0)
		return names;
	r = ws_script(g, "git diff", &s, &text, &len, err);
	if (r < 0)
		return r;
	*changed = len > 0;
	r = print_patch(g->cli, text, len);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write the output") : 0;
}

static int check_host(const struct ws_back *what, const struct ws_manifest *m, struct bg_err **err)
{
	_free_ char *clean = term_clean(m->host);
	struct git_repo repo;
	int r;

	if (!what->path)
		return 0;
	r = git_find(what->path, &repo, err);
	if (r >= 0 && !bg_streq(repo.top, m->host))
		r = bg_err_set(err, BG_ERR_WORKSPACE_CONFLICT, EXDEV,
			"%s:%s is the copy of %s, not of %s", what->name, what->guest_path, clean,
			repo.top);
	git_repo_done(&repo);
	return r;
}

int ws_diff(struct cli *cli, const struct ws_back *what, bool *changed, struct bg_err **err)
{
	struct guest g = {.cli = cli, .name = what->name};
	struct ws_there there = {.kind = WS_NOTHING};
	int r = look(&g, what, &there, err);

	*changed = false;
	if (r >= 0)
		r = check_host(what, &there.manifest, err);
	if (r >= 0)
		r = diff(&g, what, &there.manifest, changed, err);
	ws_manifest_done(&there.manifest);
	return r;
}
