/* SPDX-License-Identifier: ISC */
/*
 * cmd_vm_run.c: vm run: from a checkout to a shell in a VM that has it. The VM of a checkout is the
 * one whose label "checkout" names it, so two checkouts of one name do not meet, and the daemon
 * is the only one who remembers.
 */
#include "cli/cmd_vm_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "cli/jobs.h"
#include "cli/session.h"
#include "cli/vm_body.h"
#include "cli/workspace_sync.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"

#define LABEL "checkout"

struct vm_run {
	struct cli *cli;
	const struct args *args;
	struct git_repo repo; /* top NULL: there is no checkout */
	char name[BG_NAME_MAX + 1];
	char key[BG_LABEL_VALUE_MAX + 1]; /* the label's value */
	bool rm, sync, reached;		  /* reached: the agent answered */
};

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* With PATH there must be a checkout; without, it is taken when there is one here. */
static int find_checkout(struct vm_run *run, struct bg_err **err)
{
	const char *path = run->args->count ? run->args->positional[0] : NULL;
	_err_ struct bg_err *e = NULL;
	int r = git_find(path ? path : ".", &run->repo, &e);

	if (r >= 0)
		return 0;
	if (!path && (e->code == BG_ERR_NOT_CHECKOUT || e->code == BG_ERR_TOOL_MISSING)) {
		git_repo_done(&run->repo);
		run->sync = false;
		return 0;
	}
	if (e->code == BG_ERR_NOT_CHECKOUT)
		bg_err_hint(&e, "`git init` makes it one; without PATH, and outside of a checkout, "
				"`banger vm run` opens a plain VM");
	else if (path && !strchr(path, '/') && access(path, F_OK) < 0)
		bg_err_hint(&e, "put -- before a command: `banger run -- %s`", path);
	if (err)
		*err = TAKE_PTR(e);
	return r;
}

/* What the label says: the path, or its hash where a label cannot hold it. */
static void make_key(struct vm_run *run)
{
	const char *top = run->repo.top;
	_free_ char *quoted = top ? ws_quote(top) : NULL;
	char hash[BG_SHA256_HEX];

	if (!top)
		return;
	if (bg_streq(quoted, top) && strlen(top) < sizeof(run->key))
		strcpy(run->key, top);
	else
		snprintf(run->key, sizeof(run->key), "sha256-%s",
			bg_sha256_hex(top, strlen(top), hash));
}

/* "My_Site.git" -> "my-site-git"; "2024" -> "vm-2024". */
static void name_after(const char *path, char out[BG_NAME_MAX + 1])
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t n = 0;

	if (!((base[0] >= 'a' && base[0] <= 'z') || (base[0] >= 'A' && base[0] <= 'Z')))
		n = (size_t)sprintf(out, "vm-");
	for (; *base && n < BG_NAME_MAX - 4; base++) {
		char c = *base >= 'A' && *base <= 'Z' ? (char)(*base - 'A' + 'a') : *base;

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[n++] = c;
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
}

static const json_t *vm_named(const json_t *vms, const char *name)
{
	const json_t *vm;
	size_t i;

	json_array_foreach (vms, i, vm)
		if (bg_streq(render_text(vm, "name"), name))
			return vm;
	return NULL;
}

static const json_t *vm_of_checkout(const struct vm_run *run, const json_t *vms)
{
	const json_t *vm;
	size_t i;

	json_array_foreach (vms, i, vm)
		if (bg_streq(render_text(json_object_get(vm, "labels"), LABEL), run->key))
			return vm;
	return NULL;
}

/* The first of name, name-2, name-3, ... that no VM has. */
static void find_free_name(struct vm_run *run, const json_t *vms)
{
	char base[BG_NAME_MAX + 1];

	name_after(run->repo.top, base);
	strcpy(run->name, base);
	for (unsigned n = 2; vm_named(vms, run->name); n++)
		snprintf(run->name, sizeof(run->name), "%.*s-%u", BG_NAME_MAX - 6, base, n);
}

static void report_on_errors(struct cli *cli, const struct job *job)
{
	char took[DURATION_TEXT];

	fprintf(cli->err.file, "%s is ready after %s\n", job->name,
		render_duration((uint64_t)render_int(job->op, "elapsed_ms"), took));
}

static void report_nothing(struct cli *cli, const struct job *job)
{
}

/* One operation on the VM; its exit status. The error, if any, is printed. */
static int run_job(
	struct vm_run *run, const char *verb, enum route route, json_t *body, job_report *report)
{
	return job_run_one(run->cli, verb, run->name, route, body, report);
}

static int create(struct vm_run *run, struct bg_err **err)
{
	json_t *body = json_object();
	int r = vm_body_nat(run->args, body, err);

	if (r >= 0)
		r = vm_body_sizes(run->args, body, err);
	if (r >= 0)
		r = vm_body_ports(run->args, body, err);
	if (r < 0) {
		json_decref(body);
		return r;
	}
	vm_body_text(body, "name", run->name);
	vm_body_text(body, "image", args_value(run->args, "--image"));
	if (*run->key && !run->rm)
		json_object_set_new(body, "labels", json_pack("{s:s}", LABEL, run->key));
	return run_job(run, "create", ROUTE_VM_CREATE, body, report_on_errors);
}

static int check_image(const struct vm_run *run, const json_t *vm, struct bg_err **err)
{
	const char *asked = args_value(run->args, "--image"), *has = render_text(vm, "image");
	int r;

	if (!asked || bg_streq(asked, has))
		return 0;
	r = bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST, "%s is there already, made of image %s",
		run->name, has);
	bg_err_hint(err, "make another one with --name, or `banger vm delete %s` first", run->name);
	return r;
}

/* A VM that is there: started when it is stopped. */
static int reuse(struct vm_run *run, const json_t *vm, struct bg_err **err)
{
	const char *state = render_text(vm, "state");
	bool ready = false, nat = false;
	int status = check_image(run, vm, err);

	(void)bg_json_get_bool(vm, "ready", &ready);
	(void)bg_json_get_bool(vm, "nat", &nat);
	if (status < 0)
		return status;
	if (bg_streq(state, "running") && !ready) {
		status = bg_err_set(
			err, BG_ERR_VM_NOT_READY, EAGAIN, "%s runs but is not ready", run->name);
		bg_err_hint(err, "see how far it got: `banger vm logs %s`", run->name);
		return status;
	}
	if (args_has(run->args, "--nat") && !nat)
		status = run_job(
			run, "set", ROUTE_VM_SET, json_pack("{s:b}", "nat", true), report_nothing);
	if (status == BG_EXIT_OK && !bg_streq(state, "running"))
		status = run_job(run, "start", ROUTE_VM_START, NULL, report_on_errors);
	return status;
}

/* Of two that come at once for one checkout, one makes the VM and the other finds it. */
static int lock_checkout(const struct vm_run *run, int *ret, struct bg_err **err)
{
	_free_ char *path = NULL;
	char hash[BG_SHA256_HEX];

	bg_sha256_hex(run->key, strlen(run->key), hash);
	if (asprintf(&path, "%s/run-%.16s.lock", run->cli->paths.run_dir, hash) < 0)
		return out_of_memory(err);
	*ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret < 0 || flock(*ret, LOCK_EX) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "lock %s", path);
	return 0;
}

static int pick(struct vm_run *run, const json_t *vms, const json_t **ret, struct bg_err **err)
{
	const char *name = args_value(run->args, "--name");

	if (name) {
		*ret = vm_named(vms, name);
		strcpy(run->name, name);
	} else if (run->repo.top) {
		*ret = run->rm ? NULL : vm_of_checkout(run, vms);
		if (*ret)
			snprintf(run->name, sizeof(run->name), "%s", render_text(*ret, "name"));
		else
			find_free_name(run, vms);
	} else {
		do
			bg_name_random(run->name);
		while (vm_named(vms, run->name));
	}
	if (!*ret || !run->rm)
		return 0;
	return bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST,
		"--rm deletes the VM at the end, and %s was there before", run->name);
}

/* Its exit status when the VM could not be had, with the error printed; or -errno. */
static int bring_up(struct vm_run *run, struct bg_err **err)
{
	_json_ json_t *reply = NULL;
	_close_ int lock = -1;
	const json_t *vm = NULL;
	int r = client_wake(run->cli, err);

	if (r >= 0 && *run->key)
		r = lock_checkout(run, &lock, err);
	if (r >= 0)
		r = client_call(run->cli, CLIENT_START, ROUTE_VM_LIST, NULL, NULL, &reply, err);
	if (r >= 0)
		r = pick(run, json_object_get(reply, "vms"), &vm, err);
	if (r < 0)
		return r;
	return vm ? reuse(run, vm, err) : create(run, err);
}

static int bring_files(struct vm_run *run, struct bg_err **err)
{
	struct ws_sync what = {.name = run->name,
		.path = run->repo.top,
		.guest_path = WS_GUEST_PATH,
		.untracked = args_has(run->args, "--include-untracked"),
		.force = args_has(run->args, "--force")};
	struct ws_done done = {.host = NULL};
	int r = ws_mode_parse(args_value(run->args, "--mode"), &what.mode, err);

	if (r >= 0)
		r = ws_sync(run->cli, &what, &done, err);

	if (r >= 0) {
		run->reached = true;
		ws_report(run->cli, &run->cli->err, &what, &done);
	}
	ws_done_free(&done);
	return r;
}

static int work(struct vm_run *run, struct bg_err **err)
{
	static const char *const shell[] = {NULL};
	bool tty = run->cli->out.tty && isatty(STDIN_FILENO);
	char term[128];
	const char *const env[] = {term, NULL};
	struct session session = {.vm = run->name,
		.argv = run->args->rest ? (const char *const *)run->args->rest : shell,
		.env = tty ? env : NULL,
		.workdir = run->sync ? WS_GUEST_PATH : NULL,
		.tty = tty,
		.signals = true,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO};
	int status = 0, r = run->sync ? bring_files(run, err) : 0;

	if (r < 0)
		return r;
	if (args_has(run->args, "--detach"))
		return BG_EXIT_OK;
	snprintf(term, sizeof(term), "TERM=%s", getenv("TERM") ? getenv("TERM") : "dumb");
	fflush(run->cli->err.file);
	r = session_run(run->cli, &session, &status, err);
	run->reached |= r >= 0;
	return r < 0 ? r : status;
}

/* Signals that came while nobody took them must not cancel the deletion. */
static void forget_signals(const sigset_t *set)
{
	const struct timespec none = {0};

	while (sigtimedwait(set, NULL, &none) > 0 || errno == EINTR)
		;
}

/* Nothing of a signal ends this process before the VM is dealt with: the session takes them. */
static int work_and_remove(struct vm_run *run, struct bg_err **err)
{
	static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	sigset_t set, old;
	int status, r;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		sigaddset(&set, held[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	status = work(run, err);
	forget_signals(&set);
	if (run->reached) {
		r = run_job(run, "delete", ROUTE_VM_DELETE, NULL, report_nothing);
		status = r != BG_EXIT_OK && status == BG_EXIT_OK ? r : status;
	} else {
		fprintf(run->cli->err.file,
			"%s was not reached; kept so that you can inspect it: `banger vm logs "
			"%s`\n",
			run->name, run->name);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

static void remind(const struct vm_run *run)
{
	if (run->cli->err.tty && run->reached && !run->args->rest)
		fprintf(run->cli->err.file, "%s still runs; `banger vm stop %s` stops it\n",
			run->name, run->name);
}

static int run_in_vm(struct vm_run *run, struct bg_err **err)
{
	const char *name = args_value(run->args, "--name");
	int r = name ? bg_name_check("VM", name, err) : 0;

	if (r >= 0 && run->args->rest && !run->args->rest[0])
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "there is no command behind --");
	if (r >= 0 && args_has(run->args, "--detach") && (run->args->rest || run->rm))
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "--detach runs nothing: not with %s",
			run->rm ? "--rm" : "a command");
	if (r >= 0)
		r = find_checkout(run, err);
	if (r < 0)
		return r;
	make_key(run);
	r = bring_up(run, err);
	if (r != BG_EXIT_OK)
		return r;
	if (run->rm)
		return work_and_remove(run, err);
	r = work(run, err);
	remind(run);
	return r;
}

int vm_run(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct vm_run run = {.cli = cli,
		.args = args,
		.rm = args_has(args, "--rm"),
		.sync = !args_has(args, "--no-sync")};
	int r = run_in_vm(&run, err);

	git_repo_done(&run.repo);
	return r;
}

const struct flag run_flags[] = {
	{"--name", "NAME", ARG_NEW, "use or make this VM, instead of one named after the checkout",
		'n'},
	{"--image", "NAME", ARG_IMAGE, "the image a new VM is made of"},
	{"--cpus", "N", ARG_NUMBER, "virtual CPUs of a new VM", 'c', CPUS_ALSO},
	{"--memory", "SIZE", ARG_SIZE, "of a new VM, such as 2G or 512M", 'm', MEMORY_ALSO},
	{"--disk-size", "SIZE", ARG_SIZE, "of / of a new VM", .also = DISK_ALSO},
	{"--work-size", "SIZE", ARG_SIZE, "of /root of a new VM"},
	{"--publish", "HOST:GUEST", ARG_TEXT,
		"for a new VM: lead this TCP port of 127.0.0.1 to that one of the VM; may be "
		"repeated",
		'p'},
	{"--expose-host", "PORT", ARG_TEXT,
		"for a new VM: let it reach this TCP port of this machine's 127.0.0.1, as "
		"host.vm:PORT; may be repeated"},
	{"--nat", NULL, ARG_NONE, "give it internet access, whatever default_nat says"},
	{"--no-nat", NULL, ARG_NONE, "no internet access for a new VM"},
	{"--detach", NULL, ARG_NONE, "bring VM and files up, and run nothing", 'd'},
	{"--interactive", NULL, ARG_NONE, NULL, 'i', "-t --tty -it"}, /* as the terminal is */
	{"--rm", NULL, ARG_NONE,
		"a new VM, deleted at the end; it stays when it could not be reached"},
	{"--no-sync", NULL, ARG_NONE, "bring no files"},
	{"--include-untracked", NULL, ARG_NONE,
		"bring files too that git does not track and does not ignore"},
	{"--mode", "MODE", ARG_TEXT, WS_MODE_HELP},
	{"--force", NULL, ARG_NONE, "overwrite what was changed in the VM as well as here"},
	FLAG_TIMING,
	FLAG_END,
};
