/* SPDX-License-Identifier: ISC */
/*
 * cmd_workspace.c: the commands about a checkout and its copy in a VM. vm run itself is in
 * cmd_vm_run.c.
 */
#include "cli/cmd_vm_run.h"
#include "cli/workspace_back.h"
#include "common/json.h"
#include "common/name.h"

static void print_tree(struct cli *cli, const struct ws_sync *what, const struct ws_tree *tree)
{
	_json_ json_t *files = json_array();

	for (size_t i = 0; i < tree->list.count; i++) {
		const struct ws_file *f = &tree->list.files[i];
		_free_ char *name = ws_quote(f->path);

		if (cli->json)
			json_array_append_new(files, bg_json_str(name));
		else
			fprintf(cli->out.file, "%s%s\n", name, f->type == WS_DIR ? "/" : "");
	}
	if (cli->json) {
		_json_ json_t *record = json_pack("{s:s, s:o, s:s, s:O}", "name", what->name,
			"path", bg_json_str(tree->repo.top), "guest_path", what->guest_path,
			"files", files);

		render_json(&cli->out, record);
	}
}

/* Asks neither the daemon nor the guest. */
static int dry_run(struct cli *cli, const struct ws_sync *what, struct bg_err **err)
{
	struct ws_tree tree;
	int r = ws_tree_scan(what->path, what->mode, what->untracked, &tree, err);

	if (r >= 0)
		print_tree(cli, what, &tree);
	ws_tree_done(&tree);
	return r;
}

static void print_done(struct cli *cli, const struct ws_sync *what, const struct ws_done *done)
{
	_json_ json_t *record = json_pack(
		"{s:s, s:o, s:s, s:s, s:O, s:O, s:I, s:I, s:b, s:o, s:I, s:I, s:I, s:O, s:s?}",
		"name", what->name, "path", bg_json_str(done->host), "guest_path", what->guest_path,
		"mode", what->mode == WS_SHALLOW ? "shallow" : "full_copy", "sent", done->put,
		"deleted", done->gone, "unchanged", (json_int_t)done->same, "bytes",
		(json_int_t)done->bytes, "git", done->git, "head",
		*done->head ? json_string(done->head) : json_null(), "submodules_left_out",
		(json_int_t)done->submodules, "others_left_out", (json_int_t)done->odd,
		"elapsed_ms", (json_int_t)done->ms, "filters_missing", done->missing, "in_progress",
		done->busy);

	render_json(&cli->out, record);
}

static int workspace_prepare(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *guest_path = args_value(args, "--guest-path");
	struct ws_sync what = {.name = args->positional[0],
		.path = args->positional[1],
		.guest_path = guest_path ? guest_path : WS_GUEST_PATH,
		.untracked = args_has(args, "--include-untracked"),
		.force = args_has(args, "--force")};
	struct ws_done done = {.host = NULL};
	int r = ws_mode_parse(args_value(args, "--mode"), &what.mode, err);

	if (r >= 0)
		r = bg_name_check("VM", what.name, err);
	if (r >= 0)
		r = ws_guest_path_check(what.guest_path, err);
	if (r < 0)
		return r;
	if (args_has(args, "--dry-run"))
		return dry_run(cli, &what, err);
	r = ws_sync(cli, &what, &done, err);
	if (r >= 0 && cli->json)
		print_done(cli, &what, &done);
	else if (r >= 0)
		ws_report(cli, &cli->out, &what, &done);
	ws_done_free(&done);
	return r;
}

static int back_of(const struct args *args, struct ws_back *ret, struct bg_err **err)
{
	const char *guest_path = args_value(args, "--guest-path");
	int r = bg_name_check("VM", args->positional[0], err);

	*ret = (struct ws_back){.name = args->positional[0],
		.path = args->count > 1 ? args->positional[1] : NULL,
		.guest_path = guest_path ? guest_path : WS_GUEST_PATH,
		.force = args_has(args, "--force")};
	return r < 0 ? r : ws_guest_path_check(ret->guest_path, err);
}

static int workspace_diff(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct ws_back what;
	bool changed = false;
	int r = back_of(args, &what, err);

	if (r >= 0)
		r = ws_diff(cli, &what, &changed, err);
	if (r >= 0 && !changed)
		fprintf(cli->err.file, "%s:%s has no changes of its own\n", what.name,
			what.guest_path);
	return r;
}

static void report_pulled(struct cli *cli, const struct ws_back *what, const struct ws_pulled *p)
{
	if (cli->json) {
		_json_ json_t *record = json_pack("{s:s, s:s, s:o, s:I}", "name", what->name,
			"branch", p->branch, "head", *p->head ? json_string(p->head) : json_null(),
			"commits", (json_int_t)p->commits);

		render_json(&cli->out, record);
	} else if (!*p->head) {
		fprintf(cli->out.file, "%s has no commits of its own\n", what->name);
	} else {
		fprintf(cli->out.file, "%s: %llu commit%s in branch %s, at %.12s\n", what->name,
			(unsigned long long)p->commits, p->commits == 1 ? "" : "s", p->branch,
			p->head);
	}
}

static int workspace_pull(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct ws_pulled pulled;
	struct ws_back what;
	int r = back_of(args, &what, err);

	if (r >= 0 && !what.path)
		what.path = ".";
	if (r >= 0)
		r = ws_pull(cli, &what, &pulled, err);
	if (r >= 0)
		report_pulled(cli, &what, &pulled);
	return r;
}

static const struct flag prepare_flags[] = {
	{"--guest-path", "PATH", ARG_TEXT, "where it goes in the VM (" WS_GUEST_PATH ")"},
	{"--include-untracked", NULL, ARG_NONE,
		"files too that git does not track and does not ignore"},
	{"--mode", "MODE", ARG_TEXT, WS_MODE_HELP},
	{"--dry-run", NULL, ARG_NONE, "only print the names of the files that belong to it"},
	{"--force", NULL, ARG_NONE, "overwrite what was changed in the VM as well as here"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};

static const struct flag diff_flags[] = {
	{"--guest-path", "PATH", ARG_TEXT, "where the copy is in the VM (" WS_GUEST_PATH ")"},
	FLAG_END,
};
static const struct flag pull_flags[] = {
	{"--guest-path", "PATH", ARG_TEXT, "where the copy is in the VM (" WS_GUEST_PATH ")"},
	{"--force", NULL, ARG_NONE, "replace a branch that has other commits"},
	FLAG_JSON,
	FLAG_END,
};

const struct command workspace_commands[] = {
	{.path = "vm run",
		.alias = "run",
		.kind = ARG_FILE,
		.max_args = 1,
		.takes_rest = true,
		.flags = run_flags,
		.usage = "[PATH [CMD...] | -- CMD...]",
		.summary = "open a shell or run a command in a VM with your checkout",
		.details = "The first time in a checkout a VM is made that is named after it; the "
			   "next "
			   "time that VM is used again, and gets what changed since. The checkout "
			   "is in "
			   "/root/repo there, where CMD runs; the exit status is that of CMD. "
			   "Without PATH "
			   "the checkout is the one you are in; where there is none, a plain VM is "
			   "made.",
		.example = "banger vm run\nbanger vm run ~/src/site make test\nbanger vm run "
			   "--rm -- ./try-this",
		.run = vm_run},
	{.path = "vm workspace prepare",
		.kind = ARG_TEXT,
		.min_args = 2,
		.max_args = 2,
		.flags = prepare_flags,
		.usage = "NAME PATH",
		.summary = "bring a git checkout into a VM, or what changed in it since",
		.details =
			"Files travel as they are in the work tree, committed or not. Again, only "
			"what changed here travels, and what is deleted here goes away there. "
			"Changes that were made in the VM stay; where both changed, nothing is "
			"done and the files are named. The checkout itself is only read.",
		.example = "banger vm workspace prepare web ~/src/site\n"
			   "banger vm workspace prepare web . --dry-run",
		.run = workspace_prepare},
	{.path = "vm workspace diff",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 2,
		.flags = diff_flags,
		.usage = "NAME [PATH]",
		.summary = "print what was changed in a VM's copy as a patch",
		.details =
			"Commits made there and work that is not committed, new files too, against "
			"the commit that was brought; files that are as they were brought are left "
			"out. With PATH only when the copy is one of that checkout.",
		.example = "banger vm workspace diff web\nbanger vm workspace diff web | git apply",
		.run = workspace_diff},
	{.path = "vm workspace pull",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 2,
		.flags = pull_flags,
		.usage = "NAME [PATH]",
		.summary = "fetch a VM's commits into branch banger/NAME",
		.details = "Into the checkout at PATH, or the one you are in. Only that branch is "
			   "made "
			   "or grows: work tree, index, HEAD and all other branches stay, no hook "
			   "runs.",
		.example = "banger vm workspace pull web\ngit log ..banger/web",
		.run = workspace_pull},
	{NULL},
};
