/* SPDX-License-Identifier: ISC */
/* See workspace_state.h. Filters: gitattributes(5); the files: git's own, in the work tree's .git
 * directory. */
#include "cli/workspace_state.h"

#include <fcntl.h>
#include <stdio.h>

#include "cli/child.h"
#include "cli/workspace_there.h"
#include "common/fd.h"

enum { FILTERS_MAX = 32, SMALL_MAX = 1024 * 1024 };
#define NAMES_MAX (512 * MIB)

const char *const ws_progress_files[] = {"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD",
	"MERGE_MSG", "MERGE_MODE", "SQUASH_MSG", NULL};

/* What cannot go along: they name commits and files that the copy does not have. */
static const struct {
	const char *file, *what;
} busy[] = {{"rebase-merge", "a rebase"}, {"rebase-apply", "a rebase or am"},
	{"sequencer", "a series of picks or reverts"}, {"BISECT_LOG", "a bisection"}};

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int append(char **text, size_t *len, const char *more, size_t more_len)
{
	char *grown = realloc(*text, *len + more_len + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + *len, more, more_len);
	grown[*len + more_len] = '\0';
	*text = grown;
	*len += more_len;
	return 0;
}

/* The commits that a merge, pick or revert in progress names: they have to be in the copy. */
static int take_heads(struct ws_tree *tree, int git, struct bg_err **err)
{
	size_t len = 0;
	int r = 0;

	for (size_t i = 0; i < 3 && r >= 0; i++) {
		_free_ char *text = NULL;
		size_t n = 0;

		if (bg_read_file_at(git, ws_progress_files[i], SMALL_MAX, &text, &n) >= 0)
			r = append(&tree->heads, &len, text, n);
	}
	return r < 0 ? out_of_memory(err) : 0;
}

static struct ws_filter *find_filter(struct ws_tree *tree, const char *name, size_t len, bool make)
{
	struct ws_filter *f;

	for (size_t i = 0; i < tree->filter_count; i++)
		if (strlen(tree->filters[i].name) == len &&
			strncmp(tree->filters[i].name, name, len) == 0)
			return &tree->filters[i];
	if (!make || tree->filter_count == FILTERS_MAX)
		return NULL;
	if (!tree->filters)
		tree->filters = calloc(FILTERS_MAX, sizeof(*tree->filters));
	if (!tree->filters)
		return NULL;
	f = &tree->filters[tree->filter_count];
	f->name = strndup(name, len);
	tree->filter_count += f->name != NULL;
	return f->name ? f : NULL;
}

/* "filter.NAME.KEY\nVALUE"; NAME may have dots. */
static void take_setting(struct ws_tree *tree, const char *entry)
{
	const char *value = strchr(entry, '\n'), *name = strchr(entry, '.'), *key = value;
	struct ws_filter *f;
	char **field;

	while (key && key > entry && *key != '.')
		key--;
	if (!value || !name || key <= name + 1)
		return;
	f = find_filter(tree, name + 1, (size_t)(key - name - 1), true);
	field = !f				     ? NULL
		: strncmp(key, ".clean\n", 7) == 0   ? &f->clean
		: strncmp(key, ".smudge\n", 8) == 0  ? &f->smudge
		: strncmp(key, ".process\n", 9) == 0 ? &f->process
						     : NULL;
	if (!field)
		return;
	free(*field);
	*field = strdup(value + 1);
}

static int read_settings(struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {
		"config", "--null", "--get-regexp", "^filter\\..*\\.(clean|smudge|process)$", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	_free_ char *text = NULL;
	size_t len = 0;

	(void)err;
	/* status 1, and so no text: there is none */
	if (git_text(&call, SMALL_MAX, &text, &len, NULL) < 0)
		return 0;
	for (size_t at = 0; at < len; at += strlen(text + at) + 1)
		take_setting(tree, text + at);
	return 0;
}

static int names_of_index(const struct ws_tree *tree)
{
	_close_ int fd = child_memory("names");
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (fd < 0 || !f)
		return -ENOMEM;
	for (size_t at = 0; at < tree->index_len; at += strlen(tree->index + at) + 1) {
		const char *path = strchr(tree->index + at, '\t');

		if (path)
			fwrite(path + 1, 1, strlen(path + 1) + 1, f);
	}
	if (fclose(f) != 0 || bg_write_all(fd, text, len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -ENOMEM;
	return TAKE_FD(fd);
}

/* "path", "filter", "value": remembers the paths of the filters that are set up here. */
static int take_attributes(struct ws_tree *tree, const char *text, size_t len)
{
	const char *path = NULL;
	unsigned field = 0;
	int r = 0;

	for (size_t at = 0; r >= 0 && at < len; at += strlen(text + at) + 1) {
		struct ws_filter *f;

		if (field == 0)
			path = text + at;
		f = field == 2 ? find_filter(tree, text + at, strlen(text + at), false) : NULL;
		field = (field + 1) % 3;
		if (!f)
			continue;
		f->used = true;
		r = append(&tree->filtered, &tree->filtered_len, f->name, strlen(f->name) + 1);
		if (r >= 0)
			r = append(&tree->filtered, &tree->filtered_len, path, strlen(path) + 1);
	}
	return r;
}

static int scan_filters(struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {"check-attr", "-z", "--stdin", "filter", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv};
	_close_ int names = -1;
	_free_ char *text = NULL;
	size_t len = 0;
	int r = read_settings(tree, err);

	if (r < 0 || !tree->filter_count || !tree->index_len)
		return r;
	names = call.in = names_of_index(tree);
	if (names < 0)
		return out_of_memory(err);
	r = git_text(&call, NAMES_MAX, &text, &len, err);
	if (r >= 0 && take_attributes(tree, text, len) < 0)
		r = out_of_memory(err);
	return r;
}

int ws_extra_scan(struct ws_tree *tree, struct bg_err **err)
{
	_close_ int git = open(tree->repo.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (git < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "%s", tree->repo.dir);
	for (size_t i = 0; i < ARRAY_SIZE(busy) && !tree->busy; i++)
		if (faccessat(git, busy[i].file, F_OK, 0) == 0)
			tree->busy = busy[i].what;
	r = take_heads(tree, git, err);
	return r < 0 ? r : scan_filters(tree, err);
}

/* Of a command line its program, as far as that can be told. */
static char *program_of(const struct ws_filter *f)
{
	const char *command = f->process ? f->process : f->clean ? f->clean : "";

	command += strspn(command, " ");
	return strndup(command, strcspn(command, " "));
}

static const char ask_script[] =
	"for p; do command -v \"$p\" >/dev/null 2>&1 && echo 1 || echo 0; done\n";

/* In the order of the filters that are used: 1 or 0, a line each. */
static void take_answers(struct ws_tree *tree, const char *text)
{
	for (size_t i = 0; i < tree->filter_count; i++) {
		if (!tree->filters[i].used)
			continue;
		tree->filters[i].missing = *text != '1';
		text += text[0] && text[1] ? 2 : 0;
	}
}

static int mark_unchanged(struct ws_tree *tree)
{
	int r = 0;

	for (size_t at = 0; r >= 0 && at < tree->filtered_len;) {
		const char *name = tree->filtered + at, *path = name + strlen(name) + 1;
		const struct ws_filter *f = find_filter(tree, name, strlen(name), false);

		if (f && f->missing)
			r = append(&tree->assumed, &tree->assumed_len, path, strlen(path) + 1);
		at += strlen(name) + strlen(path) + 2;
	}
	return r;
}

int ws_extra_ask(const struct guest *g, struct ws_tree *tree, struct bg_err **err)
{
	const char *words[FILTERS_MAX + 1] = {NULL};
	struct guest_script script = {.text = ask_script, .words = words, .in = GUEST_NONE};
	_free_ char *text = NULL;
	size_t len = 0, n = 0;
	int r;

	for (size_t i = 0; i < tree->filter_count && n < GUEST_WORDS_MAX; i++)
		if (tree->filters[i].used)
			words[n++] = program_of(&tree->filters[i]);
	if (n == 0)
		return 0;
	r = ws_script(g, "looking for the programs of filters", &script, &text, &len, err);
	while (n > 0)
		free((char *)(uintptr_t)words[--n]);
	if (r < 0)
		return r;
	take_answers(tree, text);
	return mark_unchanged(tree) < 0 ? out_of_memory(err) : 0;
}

static void add_file(struct bg_sha256 *hash, int git, const char *name)
{
	_free_ char *text = NULL;
	size_t len = 0;

	if (bg_read_file_at(git, name, SMALL_MAX, &text, &len) >= 0) {
		bg_sha256_add(hash, name, strlen(name) + 1);
		bg_sha256_add(hash, text, len + 1);
	}
}

void ws_extra_hash(struct ws_tree *tree)
{
	_close_ int git = open(tree->repo.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct bg_sha256 hash;

	bg_sha256_init(&hash);
	bg_sha256_add(&hash, tree->sparse ? tree->sparse : "", tree->sparse_len);
	bg_sha256_add(&hash, "", 1);
	bg_sha256_add(&hash, tree->assumed ? tree->assumed : "", tree->assumed_len);
	bg_sha256_add(&hash, "", 1);
	bg_sha256_add(&hash, tree->intended ? tree->intended : "", tree->intended_len);
	for (const char *const *f = ws_progress_files; *f; f++)
		add_file(&hash, git, *f);
	add_file(&hash, git, "info/sparse-checkout");
	bg_sha256_end(&hash, tree->state);
}

void ws_extra_done(struct ws_tree *tree)
{
	for (size_t i = 0; i < tree->filter_count; i++) {
		free(tree->filters[i].name);
		free(tree->filters[i].clean);
		free(tree->filters[i].smudge);
		free(tree->filters[i].process);
	}
	free(tree->filters);
	free(tree->filtered);
	free(tree->heads);
	free(tree->assumed);
	free(tree->intended);
}
