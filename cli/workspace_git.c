/* SPDX-License-Identifier: ISC */
/*
 * workspace_git.c: a .git directory for the copy, made here, so that the guest needs no git for it:
 * one commit without its parents ("shallow"), the index as it is here, a branch, and of the
 * settings those that change what files mean or who commits. The checkout is only read; what git
 * must write goes into a repository of our own in the pack's directory.
 */
#include <fcntl.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/workspace_pack.h"
#include "cli/workspace_state.h"
#include "common/fd.h"

#define TEXT_MAX     (512 * MIB)
#define SMALL_MAX    (1 * MIB)
#define EMPTY_BLOB   "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
#define EMPTY_BLOB_2 "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* Trees and blobs of the commit; without those of the one that is there already. */
static int list_tree(const struct ws_tree *tree, const char *head, const char *before, int out,
	struct bg_err **err)
{
	char now[GIT_OID_MAX + 8], not [GIT_OID_MAX + 8];
	const char *argv[] = {"rev-list", "--objects", "--no-object-names", "--missing=allow-any",
		now, *before ? not : NULL, NULL};

	snprintf(now, sizeof(now), "%s^{tree}", head);
	snprintf(not, sizeof(not ), "^%s^{tree}", before);
	return git_run(
		&(struct git_call){
			.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL, .out = out},
		err);
}

static int put_oid(int out, const char *oid, size_t len)
{
	char line[GIT_OID_MAX + 1];

	snprintf(line, sizeof(line), "%.*s", (int)BG_MIN(len, sizeof(line) - 2), oid);
	if (!git_oid_valid(line) || strspn(line, "0") == strlen(line) ||
		bg_streq(line, EMPTY_BLOB) || bg_streq(line, EMPTY_BLOB_2))
		return 0;
	strcat(line, "\n");
	return bg_write_all(out, line, strlen(line));
}

/* Blobs of the index: all of them, or those of merges under way. "MODE OID STAGE\tpath". */
static int list_index(const struct ws_tree *tree, bool all, int out)
{
	int r = 0;

	for (size_t at = 0; r >= 0 && at < tree->index_len; at += strlen(tree->index + at) + 1) {
		const char *line = tree->index + at, *oid = strchr(line, ' ');
		size_t len = oid ? strcspn(oid + 1, " ") : 0;

		if (!oid || strncmp(line, "160000 ", 7) == 0)
			continue;
		if (all || oid[1 + len + 1] != '0')
			r = put_oid(out, oid + 1, len);
	}
	return r;
}

/* Blobs that are added to the index and in no commit. ":MODE MODE OLD NEW STATUS", path. */
static int list_staged(const struct ws_tree *tree, int out, struct bg_err **err)
{
	static const char *const argv[] = {"diff-index", "--cached", "--raw", "-z", "--no-renames",
		"--no-abbrev", "--no-ext-diff", "--ignore-submodules=all", "HEAD", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	_free_ char *text = NULL;
	size_t len = 0, odd = 0;
	int r = git_text(&call, TEXT_MAX, &text, &len, err);

	for (size_t at = 0; r >= 0 && at < len; at += strlen(text + at) + 1) {
		char mode[8], oid[GIT_OID_MAX];

		if (odd++ % 2 == 1 || sscanf(text + at, ":%*s %7s %*s %64s", mode, oid) != 2 ||
			bg_streq(mode, "160000"))
			continue;
		r = put_oid(out, oid, strlen(oid));
		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "list the index");
	}
	return r;
}

/* The other parents of a merge in progress. */
static int list_heads(const struct ws_tree *tree, int out, struct bg_err **err)
{
	_free_ char *copy = strdup(tree->heads);
	char *save = NULL;
	int r = 0;

	if (!copy)
		return out_of_memory(err);
	for (char *oid = strtok_r(copy, "\n", &save); oid && r >= 0;
		oid = strtok_r(NULL, "\n", &save)) {
		if (!git_oid_valid(oid))
			continue;
		r = list_tree(tree, oid, tree->git.head, out, err);
		if (r >= 0 && put_oid(out, oid, strlen(oid)) < 0)
			r = bg_err_sys(err, BG_ERR_IO, errno, "list objects");
	}
	return r;
}

/* Names of all objects that the guest needs and lacks, into a file in memory. */
static int list_objects(
	const struct ws_tree *tree, const char *before, int out, struct bg_err **err)
{
	const char *head = tree->git.head;
	int r = 0;

	if (*head && !bg_streq(head, before)) {
		r = list_tree(tree, head, before, out, err);
		if (r >= 0 && put_oid(out, head, strlen(head)) < 0)
			r = bg_err_sys(err, BG_ERR_IO, errno, "list objects");
	}
	if (r >= 0 && tree->heads)
		r = list_heads(tree, out, err);
	if (r >= 0 && *head)
		r = list_staged(tree, out, err);
	if (r >= 0 && list_index(tree, !*head, out) < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "list objects");
	return r;
}

/* Whether an object is in the checkout's repository: what the manifest says is only a hint. */
static bool has_commit(const struct ws_tree *tree, const char *oid)
{
	char name[GIT_OID_MAX + 16];
	const char *argv[] = {"rev-parse", "-q", "--verify", name, NULL};
	_free_ char *found = NULL;

	snprintf(name, sizeof(name), "%s^{commit}", oid);
	return *oid && git_line(tree->repo.top, argv, &found, NULL) >= 0 && found;
}

static int put_packed(struct ws_pack *pack, const char *hash, struct bg_err **err)
{
	static const char *const kinds[] = {"pack", "idx"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_free_ char *from = NULL, *name = NULL;
		int r;

		if (asprintf(&from, "%s/pack-%s.%s", pack->tmp, hash, kinds[i]) < 0 ||
			asprintf(&name, "objects/pack/pack-%s.%s", hash, kinds[i]) < 0)
			return out_of_memory(err);
		r = ws_pack_git_file(pack, name, from, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* pack-objects writes beside its repository's objects before it renames: so it runs in ours. */
static int put_objects(struct ws_pack *pack, const struct ws_tree *tree, const char *own,
	const char *before, struct bg_err **err)
{
	_close_ int list = child_memory("objects");
	_free_ char *base = NULL, *hash = NULL;
	const char *argv[] = {"pack-objects", "-q", "--no-write-bitmap-index", NULL, NULL};
	struct git_call call = {.dir = own, .argv = argv, .in = list};
	size_t len = 0;
	int r;

	if (list < 0 || asprintf(&base, "%s/pack", pack->tmp) < 0)
		return out_of_memory(err);
	argv[3] = base;
	r = list_objects(tree, before, list, err);
	if (r < 0 || lseek(list, 0, SEEK_CUR) == 0)
		return r;
	(void)lseek(list, 0, SEEK_SET);
	r = git_text(&call, SMALL_MAX, &hash, &len, err);
	if (r < 0)
		return r;
	hash[strcspn(hash, "\n")] = '\0';
	if (!git_oid_valid(hash))
		return bg_err_set(err, BG_ERR_GIT, EPROTO, "git pack-objects named no pack");
	return put_packed(pack, hash, err);
}

static int in_memory(const char *text, size_t len, struct bg_err **err)
{
	int fd = child_memory("input");

	if (fd < 0 || bg_write_all(fd, text, len) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		bg_close(fd);
		return out_of_memory(err);
	}
	return fd;
}

static int run_in(const char *dir, const char *const *argv, const char *input, size_t len,
	struct bg_err **err)
{
	_close_ int in = in_memory(input, len, err);
	_free_ char *git_dir = NULL, *work_tree = NULL, *objects = NULL;

	/* marking what is not in the work tree asks for one, and looks at no file in it; an object
	 * that git has in the checkout already would get a new time there */
	if (asprintf(&git_dir, "GIT_DIR=%s", dir) < 0 ||
		asprintf(&work_tree, "GIT_WORK_TREE=%s", dir) < 0 ||
		asprintf(&objects, "GIT_OBJECT_DIRECTORY=%s/aside", dir) < 0)
		return out_of_memory(err);
	if (bg_mkdir_p(strchr(objects, '=') + 1, 0700) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a folder in %s", dir);
	return in < 0 ? in
		      : git_run(&(struct git_call){.dir = dir,
					.argv = argv,
					.env = (const char *const[]){git_dir, work_tree, objects,
						NULL},
					.in = in,
					.out = CHILD_NULL},
				err);
}

/* A name that is only to be added needs a file: an empty one, in our own folder. */
static int make_file(const char *top, const char *name)
{
	_free_ char *path = NULL, *folder = NULL;
	int r;

	if (asprintf(&path, "%s/%s", top, name) < 0 || !(folder = strdup(path)))
		return -ENOMEM;
	*strrchr(folder, '/') = '\0';
	r = bg_mkdir_p(folder, 0700);
	return r < 0 ? r : bg_write_file_at(AT_FDCWD, path, "", 0, 0600);
}

static int put_intended(const char *own, const struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {"--literal-pathspecs", "add", "-N", "-f",
		"--pathspec-from-file=-", "--pathspec-file-nul", NULL};
	static const char *const drop[] = {"update-index", "-z", "--force-remove", "--stdin", NULL};
	int r = run_in(own, drop, tree->intended, tree->intended_len, err);

	for (size_t at = 0; r >= 0 && at < tree->intended_len;
		at += strlen(tree->intended + at) + 1)
		if (make_file(own, tree->intended + at) < 0)
			return bg_err_sys(err, BG_ERR_IO, errno, "make a file in %s", own);
	return r < 0 ? r : run_in(own, argv, tree->intended, tree->intended_len, err);
}

/* An index with the same entries: no stat in it, so that git in the guest looks at the files. */
static int put_index(
	struct ws_pack *pack, const struct ws_tree *tree, const char *own, struct bg_err **err)
{
	static const char *const fill[] = {"update-index", "-z", "--index-info", NULL};
	static const char *const sparse[] = {
		"update-index", "-z", "--skip-worktree", "--stdin", NULL};
	static const char *const assumed[] = {
		"update-index", "-z", "--assume-unchanged", "--stdin", NULL};
	_free_ char *file = NULL;
	int r;

	if (tree->index_len == 0)
		return 0;
	if (asprintf(&file, "%s/index", own) < 0)
		return out_of_memory(err);
	r = run_in(own, fill, tree->index, tree->index_len, err);
	if (r >= 0 && tree->sparse_len > 0)
		r = run_in(own, sparse, tree->sparse, tree->sparse_len, err);
	if (r >= 0 && tree->assumed_len > 0)
		r = run_in(own, assumed, tree->assumed, tree->assumed_len, err);
	if (r >= 0 && tree->intended_len > 0)
		r = put_intended(own, tree, err);
	return r < 0 ? r : ws_pack_git_file(pack, "index", file, err);
}

static void put_quoted(FILE *f, const char *value)
{
	fputc('"', f);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', f);
		if (*value == '\n')
			fputs("\\n", f);
		else
			fputc(*value, f);
	}
	fputc('"', f);
}

static void put_value(FILE *f, const char *value)
{
	put_quoted(f, value);
	fputc('\n', f);
}

/* A password in an address is not for the guest. */
static bool has_password(const char *url)
{
	const char *host = strstr(url, "://"), *at = host ? strchr(host + 3, '@') : NULL;
	const char *slash = host ? strchr(host + 3, '/') : NULL;

	if (!at || (slash && slash < at))
		return false;
	/* over HTTP a name alone may be a token */
	return strncmp(url, "http", 4) == 0 || memchr(host + 3, ':', (size_t)(at - host - 3));
}

/* "section.key\nvalue" as git prints it; the keys asked for have one dot, or remote.origin. */
static void put_setting(FILE *f, char *entry)
{
	char *value = strchr(entry, '\n'), *key = strrchr(entry, '.');

	if (!value)
		return;
	*value++ = '\0';
	key = strrchr(entry, '.');
	*key++ = '\0';
	if (bg_streq(entry, "remote.origin") && has_password(value))
		return;
	if (bg_streq(entry, "remote.origin"))
		fputs("[remote \"origin\"]\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n", f);
	else
		fprintf(f, "[%s]\n", entry);
	fprintf(f, "\t%s = ", key);
	put_value(f, value);
}

/* A filter that is required and fails ends a commit, where one that is missing would let raw
 * content in. */
static void put_filter(FILE *f, const struct ws_filter *filter)
{
	fputs("[filter ", f);
	put_quoted(f, filter->name);
	fputs("]\n\trequired = true\n", f);
	if (filter->clean) {
		fputs("\tclean = ", f);
		put_value(f, filter->clean);
	}
	if (filter->smudge) {
		fputs("\tsmudge = ", f);
		put_value(f, filter->smudge);
	}
	if (filter->process) {
		fputs("\tprocess = ", f);
		put_value(f, filter->process);
	}
}

static int put_config(struct ws_pack *pack, const struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {"config", "--null", "--get-regexp",
		"^(user\\.(name|email)|core\\.(autocrlf|eol|filemode|symlinks|ignorecase|"
		"sparsecheckout|sparsecheckoutcone)|"
		"remote\\.origin\\.url)$",
		NULL};
	bool sha256 = strlen(tree->git.head) == 64;
	_free_ char *settings = NULL, *text = NULL;
	size_t len = 0, text_len = 0;
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	FILE *f;
	int r = git_text(&call, SMALL_MAX, &settings, &len, NULL);

	f = open_memstream(&text, &text_len);
	if (!f)
		return out_of_memory(err);
	fprintf(f,
		"[core]\n\trepositoryformatversion = %d\n\tfilemode = true\n\tbare = false\n"
		"\tlogallrefupdates = true\n%s",
		sha256, sha256 ? "[extensions]\n\tobjectformat = sha256\n" : "");
	/* status 1, and so no text: none of them is set */
	for (size_t at = 0, n; r >= 0 && at < len; at += n) {
		n = strlen(settings + at) + 1;
		put_setting(f, settings + at);
	}
	for (size_t i = 0; i < tree->filter_count; i++)
		if (tree->filters[i].used)
			put_filter(f, &tree->filters[i]);
	if (fclose(f) != 0 || ws_pack_git_memory(pack, "config", text, text_len) < 0)
		return out_of_memory(err);
	return 0;
}

/* What the user excludes, or gives attributes to, in this checkout alone. Nothing there: nothing
 * sent. */
static int put_info(
	struct ws_pack *pack, const struct ws_tree *tree, const char *name, struct bg_err **err)
{
	_free_ char *path = NULL, *text = NULL;
	size_t len = 0;
	int r = git_path(&tree->repo, name, &path, err);

	if (r < 0 || !path)
		return r;
	if (bg_read_file_at(AT_FDCWD, path, SMALL_MAX, &text, &len) < 0)
		return 0;
	return ws_pack_git_memory(pack, name, text, len) < 0 ? out_of_memory(err) : 0;
}

static int put_fresh(struct ws_pack *pack, const struct ws_tree *tree, struct bg_err **err)
{
	static const char *const dirs[] = {
		".git/refs/heads", ".git/refs/tags", ".git/objects/pack"};
	static const char *const infos[] = {
		"info/exclude", "info/attributes", "info/sparse-checkout"};
	int r = put_config(pack, tree, err);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(infos); i++)
		r = put_info(pack, tree, infos[i], err);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(dirs); i++)
		if (ws_pack_name(pack, WS_DIRS, dirs[i]) < 0)
			r = out_of_memory(err);
	return r;
}

/* A merge, pick or revert in progress, or that there is none (any more). */
static int put_progress(
	struct ws_pack *pack, const struct ws_tree *tree, bool fresh, struct bg_err **err)
{
	_close_ int git = open(tree->repo.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	for (const char *const *f = ws_progress_files; *f && r >= 0; f++) {
		_free_ char *text = NULL, *name = NULL;
		size_t len = 0;

		if (bg_read_file_at(git, *f, SMALL_MAX, &text, &len) >= 0)
			r = ws_pack_git_memory(pack, *f, text, len);
		else if (!fresh)
			r = asprintf(&name, ".git/%s", *f) < 0
				    ? -ENOMEM
				    : ws_pack_name(pack, WS_DELETE, name);
	}
	return r < 0 ? out_of_memory(err) : 0;
}

/* All commits that ever were brought, these too: none has its parents there. */
static int put_shallow(
	struct ws_pack *pack, const struct ws_tree *tree, const char *before, struct bg_err **err)
{
	_free_ char *now = NULL;
	char *text = NULL, *save = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f || asprintf(&now, "%s\n%s", tree->git.head, tree->heads ? tree->heads : "") < 0)
		return out_of_memory(err);
	fputs(before, f);
	for (char *oid = strtok_r(now, "\n", &save); oid; oid = strtok_r(NULL, "\n", &save))
		if (git_oid_valid(oid) && !strstr(before, oid))
			fprintf(f, "%s\n", oid);
	if (fclose(f) != 0)
		return out_of_memory(err);
	free(pack->next.shallow);
	pack->next.shallow = text;
	return !*text || ws_pack_git_memory(pack, "shallow", text, strlen(text)) >= 0
		       ? 0
		       : out_of_memory(err);
}

static int put_head(struct ws_pack *pack, const struct ws_tree *tree, struct bg_err **err)
{
	const struct ws_git *git = &tree->git;
	char text[sizeof(git->branch) + 16];
	int r = 0;

	if (*git->branch && *git->head) {
		snprintf(text, sizeof(text), "%s\n", git->head);
		r = ws_pack_git_memory(pack, git->branch, text, strlen(text));
	}
	snprintf(text, sizeof(text), "%s%s\n", *git->branch ? "ref: " : "",
		*git->branch ? git->branch : git->head);
	if (r >= 0)
		r = ws_pack_git_memory(pack, "HEAD", text, strlen(text));
	return r < 0 ? out_of_memory(err) : 0;
}

int ws_pack_git(struct ws_pack *pack, const struct ws_tree *tree, const struct ws_manifest *m,
	bool fresh, struct bg_err **err)
{
	bool known = !fresh && has_commit(tree, m->git.head);
	_free_ char *own = NULL;
	int r = git_own_repo(&tree->repo, pack->tmp, &own, err);

	if (r >= 0)
		r = put_objects(pack, tree, own, known ? m->git.head : "", err);
	if (r >= 0)
		r = put_index(pack, tree, own, err);
	if (r >= 0)
		r = fresh ? put_fresh(pack, tree, err)
			  : put_info(pack, tree, "info/sparse-checkout", err);
	if (r >= 0)
		r = put_progress(pack, tree, fresh, err);
	if (r >= 0)
		r = put_shallow(pack, tree, fresh || !m->shallow ? "" : m->shallow, err);
	/* HEAD comes last: until then the guest's git sees the old state, or no repository. */
	return r < 0 ? r : put_head(pack, tree, err);
}
