/* SPDX-License-Identifier: ISC */
/*
 * workspace_sync.c: The order of a transfer: look, judge, pack, send, commit. What the user would
 * lose stops it before the first byte is sent.
 */
#include "cli/workspace_sync.h"

#include <fcntl.h>
#include <sys/file.h>

#include "cli/child.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "cli/workspace_memory.h"
#include "cli/workspace_pack.h"
#include "cli/workspace_state.h"
#include "cli/workspace_there.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/size.h"

#define CONFLICTS_MAX 10 /* names in an error; the number of the others is told */

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int ws_guest_path_check(const char *path, struct bg_err **err)
{
	bool ok = path[0] == '/' && path[1] && strlen(path) < 1024;

	for (const char *p = path; ok && *p; p += strcspn(p + 1, "/") + 1) {
		size_t len = strcspn(p + 1, "/");

		ok = len > 0 && !(len == 1 && p[1] == '.') &&
		     !(len == 2 && strncmp(p + 1, "..", 2) == 0);
	}
	for (const char *p = path; ok && *p; p++)
		ok = (unsigned char)*p >= 0x20 && *p != 0x7f;
	if (ok)
		return 0;
	return bg_err_set(err, BG_ERR_USAGE, EINVAL,
		"--guest-path %.60s: give a whole path in the guest, such as " WS_GUEST_PATH, path);
}

/* One sync at a time to one VM. */
static int lock_vm(const struct cli *cli, const char *name, int *ret, struct bg_err **err)
{
	_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/workspace-%s.lock", cli->paths.run_dir, name) < 0)
		return out_of_memory(err);
	*ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "lock %s", path);
	if (flock(*ret, LOCK_EX | LOCK_NB) == 0)
		return 0;
	r = bg_err_set(err, BG_ERR_VM_BUSY, EBUSY, "another banger brings files to %s", name);
	bg_err_hint(err, "wait until it is done");
	return r;
}

struct sync {
	const struct ws_sync *what;
	struct guest *guest;
	struct ws_tree tree;
	struct ws_there there;
	struct ws_plan plan;
	struct ws_pack pack;
	struct progress *progress;
	json_t *op;
	bool fresh; /* no .git there */
	uint64_t stage_began;
};

static void end_stage(struct sync *s)
{
	json_t *stages = json_object_get(s->op, "stages");
	json_t *last = json_array_get(stages, json_array_size(stages) - 1);

	if (!last)
		return;
	json_object_set_new(last, "state", json_string("done"));
	json_object_set_new(last, "ms", json_integer((json_int_t)(bg_now_ms() - s->stage_began)));
}

static void stage(struct sync *s, const char *name, const char *text)
{
	json_t *stages = json_object_get(s->op, "stages");

	end_stage(s);
	s->stage_began = bg_now_ms();
	json_array_append_new(stages, json_pack("{s:s, s:s, s:s, s:i}", "name", name, "text", text,
					      "state", "running", "ms", 0));
	progress_update(s->progress, 0, s->op);
	progress_draw(s->progress);
}

static int refuse(const struct sync *s, const char *why, const char *hint, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_WORKSPACE_CONFLICT, EEXIST, "%s:%s %s", s->what->name,
		s->what->guest_path, why);

	bg_err_hint(err, "%s", hint);
	return r;
}

/* Whether what is there can be the copy of this checkout. */
static int check_there(const struct sync *s, struct bg_err **err)
{
	const struct ws_manifest *m = &s->there.manifest;
	_free_ char *why = NULL;

	if (s->there.kind == WS_OTHER)
		return refuse(s, "is not a directory", "choose another --guest-path", err);
	if (!m->there || s->what->force)
		return 0;
	if (!bg_streq(m->host, s->tree.repo.top)) {
		_free_ char *clean = term_clean(m->host);

		if (asprintf(&why, "is the copy of %s, not of %s", clean, s->tree.repo.top) < 0)
			return out_of_memory(err);
		return refuse(s, why,
			"choose another --guest-path; --force turns it into a copy of this one",
			err);
	}
	if (m->mode != s->what->mode)
		return refuse(s, "was brought with the other --mode",
			"use the same --mode again; --force replaces its .git directory", err);
	return 0;
}

/* Commits, a branch or an index that were made there are not overwritten by what changed here. */
static int check_git(struct sync *s, struct bg_err **err)
{
	const struct ws_there *t = &s->there;
	int r;

	if (s->fresh && s->what->mode == WS_SHALLOW)
		s->plan.git = true;
	if (!s->plan.git || s->what->force || s->fresh || (t->kept && t->manifest.there))
		return 0;
	r = ws_look_git(s->guest, s->what->guest_path, &s->there, err);
	if (r < 0 || !t->has_git)
		return r;
	if (t->manifest.there ? ws_git_equal(&t->git, &t->manifest.git) : false)
		return 0;
	if (ws_git_equal(&t->git, &s->tree.git))
		return 0;
	return refuse(s, "has commits or staged changes of its own, and so has the checkout here",
		"bring the commits home with `banger vm workspace pull`; --force makes git there "
		"what it is here",
		err);
}

/* With --force across modes or repositories git's metadata there are replaced as a whole. */
static bool replaces_git(const struct sync *s)
{
	const struct ws_manifest *m = &s->there.manifest;

	return s->what->force && s->there.repo &&
	       (!m->there || m->mode != s->what->mode || !bg_streq(m->host, s->tree.repo.top));
}

static int name_conflicts(const struct sync *s, char **names, size_t count, struct bg_err **err)
{
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return out_of_memory(err);
	for (size_t i = 0; i < BG_MIN(count, (size_t)CONFLICTS_MAX); i++)
		fprintf(f, "%s%s", i ? ", " : "", names[i]);
	if (count > CONFLICTS_MAX)
		fprintf(f, " and %zu more", count - CONFLICTS_MAX);
	if (fclose(f) != 0)
		return out_of_memory(err);
	r = bg_err_set(err, BG_ERR_WORKSPACE_CONFLICT, EEXIST,
		"changed in %s:%s as well as here: %s", s->what->name, s->what->guest_path, text);
	bg_err_hint(err, "VM unchanged; --force overwrites them with your copies");
	return r;
}

/* The lost ones into `lost` ("./name" each with NUL) for --force, else an error that names them. */
static int judge(
	const struct sync *s, const struct bg_copy_state *states, int lost, struct bg_err **err)
{
	const struct ws_pack *pack = &s->pack;
	char *named[CONFLICTS_MAX];
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < pack->check_count; i++) {
		const struct ws_file *f = pack->now[i] ? pack->now[i] : pack->before[i];
		const struct bg_copy_state was = ws_state_of(pack->before[i]),
					   will = ws_state_of(pack->now[i]);

		if (!bg_copy_loses(&states[i], &was, &will))
			continue;
		if (s->what->force)
			r = dprintf(lost, "./%s", f->path) < 0 ? -errno : bg_write_all(lost, "", 1);
		else if (count < CONFLICTS_MAX)
			named[count] = ws_quote(f->path);
		count++;
	}
	if (r >= 0 && count > 0 && !s->what->force)
		r = name_conflicts(s, named, count, err);
	else if (r < 0)
		r = bg_err_sys(err, BG_ERR_IO, -r, "list files");
	for (size_t i = 0; !s->what->force && i < BG_MIN(count, (size_t)CONFLICTS_MAX); i++)
		free(named[i]);
	return r;
}

/* 1: it is in place; 0: it is held there, and what would be lost by it is in lost. */
static int send_pack(struct sync *s, int lost, bool go, struct bg_err **err)
{
	const char *const words[] = {
		"put", s->what->guest_path, s->there.manifest.token, go ? "go" : "hold", NULL};
	struct guest_script script = {.kind = GUEST_WORKSPACE, .words = words, .in = s->pack.fd};
	_free_ struct bg_copy_state *states = calloc(s->pack.check_count + 1, sizeof(*states));
	_free_ char *text = NULL;
	const char *at;
	size_t len = 0;
	int r;

	if (!states)
		return out_of_memory(err);
	r = ws_script(s->guest, "receiving the files", &script, &text, &len, err);
	if (r < 0)
		return r;
	at = text;
	if (ws_states_parse(&at, s->pack.check_count, states) < 0 ||
		(!bg_streq(at, "held\n") && !(go && bg_streq(at, "done\n"))))
		return ws_confused(s->guest, "the state of its files", err);
	return bg_streq(at, "done\n") ? 1 : judge(s, states, lost, err);
}

static int commit(struct sync *s, int lost, struct bg_err **err)
{
	const char *const words[] = {"commit", s->what->guest_path, s->there.manifest.token, NULL};
	struct guest_script script = {.kind = GUEST_WORKSPACE, .words = words, .in = lost};
	_free_ char *text = NULL;
	size_t len = 0;

	if (lseek(lost, 0, SEEK_SET) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "list files");
	stage(s, "commit", "putting them in place");
	return ws_script(s->guest, "putting the files in place", &script, &text, &len, err);
}

static void drop(const struct sync *s)
{
	const char *const words[] = {"drop", s->what->guest_path, NULL};
	struct guest_script script = {.kind = GUEST_WORKSPACE, .words = words, .in = GUEST_NONE};

	(void)guest_run(s->guest, &script, NULL, NULL);
}

/* Mostly one session: the guest puts in place what loses nothing there. */
static int transfer(struct sync *s, struct bg_err **err)
{
	_close_ int lost = child_memory("lost");
	int r;

	if (lost < 0 || (replaces_git(s) && bg_write_all(lost, "./.git", sizeof("./.git")) < 0))
		return out_of_memory(err);
	r = send_pack(s, lost, !s->what->force, err);
	if (r < 0)
		drop(s);
	else if (r == 0)
		r = commit(s, lost, err);
	if (r < 0)
		return r;
	ws_memory_keep(
		s->guest, s->what->guest_path, s->pack.record, s->pack.record_len, s->pack.more);
	return 0;
}

static int plan(struct sync *s, struct bg_err **err)
{
	static const struct ws_manifest none = {.there = false};
	/* in a folder that is gone or empty nothing of what was brought is left */
	int r;

	if (s->there.kind == WS_NOTHING || s->there.kind == WS_EMPTY) {
		ws_manifest_done(&s->there.manifest);
		s->there.manifest = none;
	}
	r = check_there(s, err);
	s->fresh = !s->there.repo || replaces_git(s);
	if (r >= 0)
		r = ws_plan_make(&s->tree, &s->there.manifest, &s->plan, err);
	return r < 0 ? r : check_git(s, err);
}

static bool anything(const struct sync *s)
{
	return s->plan.put_count || s->plan.gone_count || s->plan.git || s->plan.restat ||
	       !s->there.manifest.there;
}

static int run(struct sync *s, struct bg_err **err)
{
	int r;

	stage(s, "scan", "reading the checkout");
	r = ws_tree_scan(s->what->path, s->what->mode, s->what->untracked, &s->tree, err);
	if (r < 0)
		return r;
	stage(s, "look", "comparing with the guest");
	r = ws_look(s->guest, s->what->guest_path, &s->there, err);
	if (r >= 0 && s->tree.filtered_len > 0) {
		r = ws_extra_ask(s->guest, &s->tree, err);
		ws_extra_hash(&s->tree);
	}
	if (r >= 0)
		r = plan(s, err);
	if (r < 0 || !anything(s))
		return r;
	stage(s, "send", "sending files");
	r = ws_pack_open(s->guest->cli->paths.cache_dir, &s->pack, err);
	if (r >= 0)
		r = ws_pack_fill(&s->pack, &s->tree, &s->there.manifest, &s->plan, s->fresh, err);
	if (r >= 0)
		r = ws_pack_end(&s->pack, &s->there.manifest, err);
	return r < 0 ? r : transfer(s, err);
}

static json_t *names_of(const struct ws_file *const *files, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		_free_ char *name = ws_quote(files[i]->path);

		json_array_append_new(list, bg_json_str(name));
	}
	return list;
}

static json_t *missing_filters(const struct ws_tree *tree)
{
	json_t *list = json_array();

	for (size_t i = 0; i < tree->filter_count; i++)
		if (tree->filters[i].missing)
			json_array_append_new(list, bg_json_str(tree->filters[i].name));
	return list;
}

static void fill_done(const struct sync *s, struct ws_done *ret)
{
	*ret = (struct ws_done){.host = strdup(s->tree.repo.top),
		.sent = s->plan.put_count,
		.deleted = s->plan.gone_count,
		.same = s->plan.same,
		.submodules = s->tree.submodules,
		.odd = s->tree.odd,
		.bytes = s->pack.bytes,
		.git = s->plan.git,
		.put = names_of((const struct ws_file *const *)s->plan.put, s->plan.put_count),
		.gone = names_of(s->plan.gone, s->plan.gone_count),
		.missing = missing_filters(&s->tree),
		.busy = s->tree.busy};
	strcpy(ret->head, s->tree.git.head);
}

int ws_mode_parse(const char *mode, enum ws_mode *ret, struct bg_err **err)
{
	*ret = bg_streq(mode, "full_copy") ? WS_FULL_COPY : WS_SHALLOW;
	if (!mode || *ret == WS_FULL_COPY || bg_streq(mode, "shallow"))
		return 0;
	return bg_err_set(
		err, BG_ERR_USAGE, EINVAL, "--mode: \"%.40s\" is not shallow or full_copy", mode);
}

int ws_sync(struct cli *cli, const struct ws_sync *what, struct ws_done *ret, struct bg_err **err)
{
	_unref_(progress) struct progress *progress = progress_new(&cli->err, &what->name, 1);
	_json_ json_t *op = json_pack("{s:s, s:[], s:n}", "state", "running", "stages", "progress");
	struct guest guest = {.cli = cli, .name = what->name};
	struct sync s = {.what = what,
		.guest = &guest,
		.progress = progress,
		.op = op,
		.tree.fd = -1,
		.pack.fd = -1};
	_close_ int lock = -1;
	uint64_t began = bg_now_ms();
	int r;

	/* the daemon makes the folder of the lock */
	r = client_wake(cli, err);
	if (r >= 0)
		r = lock_vm(cli, what->name, &lock, err);
	if (r >= 0)
		r = run(&s, err);
	if (r >= 0) {
		end_stage(&s);
		progress_update(progress, 0, op);
	}
	progress_end(progress, 0);
	progress_clear(progress);
	if (r >= 0) {
		fill_done(&s, ret);
		ret->ms = bg_now_ms() - began;
	}
	if (r >= 0 && cli->timing) {
		json_object_set_new(op, "elapsed_ms", json_integer((json_int_t)ret->ms));
		progress_timing(&cli->err, what->name, op);
	}
	ws_pack_done(&s.pack);
	ws_plan_done(&s.plan);
	ws_manifest_done(&s.there.manifest);
	ws_tree_done(&s.tree);
	return r;
}

void ws_done_free(struct ws_done *done)
{
	free(done->host);
	json_decref(done->put);
	json_decref(done->gone);
	json_decref(done->missing);
	*done = (struct ws_done){.host = NULL};
}

static void warn(
	struct cli *cli, const char *name, size_t count, const char *what, const char *hint)
{
	if (count > 0)
		fprintf(cli->err.file, "%s: %zu %s left out%s\n", name, count, what, hint);
}

void ws_report(struct cli *cli, const struct term *t, const struct ws_sync *what,
	const struct ws_done *done)
{
	char size[BG_SIZE_TEXT], took[DURATION_TEXT];

	warn(cli, what->name, done->submodules,
		done->submodules == 1 ? "submodule is" : "submodules are",
		"; `--mode full_copy` brings them");
	warn(cli, what->name, done->odd, done->odd == 1 ? "name is" : "names are",
		": no file, link or directory, or a checkout inside the checkout");
	if (done->busy)
		fprintf(cli->err.file,
			"%s: %s is in progress here; git in the VM does not know of it\n",
			what->name, done->busy);
	for (size_t i = 0; i < json_array_size(done->missing); i++)
		fprintf(cli->err.file,
			"%s: the program of filter \"%s\" is not in the VM: git there takes files "
			"with it for "
			"unchanged; install it and prepare again\n",
			what->name, json_string_value(json_array_get(done->missing, i)));
	fprintf(t->file, "%s%s%s:%s ", term_style(t, STYLE_BOLD), what->name, term_plain(t),
		what->guest_path);
	if (!done->sent && !done->deleted && !done->git)
		fprintf(t->file, "is up to date, %zu files, %s\n", done->same,
			render_duration(done->ms, took));
	else
		fprintf(t->file, "%zu sent (%s), %zu deleted, %zu unchanged in %s\n", done->sent,
			bg_size_print(done->bytes, size), done->deleted, done->same,
			render_duration(done->ms, took));
}
