/* SPDX-License-Identifier: ISC */
/*
 * cmd_vm_many.c: Each command picks its VMs, then gives one operation per VM to jobs.c, and prints
 * a line per VM as it ends.
 */
#include "cli/cmd_vm_many.h"

#include "cli/cmd_vm_io.h"
#include "cli/vm_body.h"
#include "cli/vm_pick.h"
#include "common/json.h"
#include "common/name.h"
#include "common/size.h"

const char *vm_report_target(const struct job *job)
{
	const char *name = render_text(job->op, "target");

	return *name ? name : job->name;
}

const json_t *vm_report_record(const struct job *job)
{
	return json_object_get(job->op, "result");
}

void vm_report_line(struct cli *cli, const struct job *job, const char *what, const char *address)
{
	char took[DURATION_TEXT];
	_free_ char *clean = term_clean(address);
	const struct term *t = &cli->out;

	fprintf(t->file, "%s%s%s %s in %s%s%s\n", term_style(t, STYLE_BOLD), vm_report_target(job),
		term_plain(t), what,
		render_duration((uint64_t)render_int(job->op, "elapsed_ms"), took),
		bg_isempty(clean) ? "" : ", at ", clean ? clean : "");
}

void vm_report_ready(struct cli *cli, const struct job *job, const char *what)
{
	const json_t *vm = vm_report_record(job);
	const char *lack = vm_lacks_ssh(vm);

	vm_report_line(cli, job, what, render_text(vm, "address"));
	if (lack)
		fprintf(cli->err.file, "%s %s\n", vm_report_target(job), lack);
}

/* In words, when it was to go on from its saved memory and could not. */
static void report_note(struct cli *cli, const struct job *job)
{
	_free_ char *note = term_clean(render_text(vm_report_record(job), "resume_note"));

	if (!bg_isempty(note))
		fprintf(cli->err.file, "%s was %s\n", vm_report_target(job), note);
}

static void report_started(struct cli *cli, const struct job *job)
{
	vm_report_ready(cli, job, "is ready");
	report_note(cli, job);
}

static void report_paused(struct cli *cli, const struct job *job)
{
	vm_report_line(cli, job, "paused", NULL);
}

static void report_suspended(struct cli *cli, const struct job *job)
{
	uint64_t bytes = (uint64_t)render_int(vm_report_record(job), "suspended_bytes");
	char what[64], size[BG_SIZE_TEXT];

	snprintf(what, sizeof(what), "suspended (%s on disk)",
		bg_size_print_mib(BG_MAX(bytes / MIB, UINT64_C(1)), size));
	vm_report_line(cli, job, what, NULL);
}

static void report_resumed(struct cli *cli, const struct job *job)
{
	vm_report_ready(cli, job, "is running again");
	report_note(cli, job);
}

static void report_restarted(struct cli *cli, const struct job *job)
{
	vm_report_ready(cli, job, "is ready again");
}

static void report_stopped(struct cli *cli, const struct job *job)
{
	vm_report_line(cli, job, "stopped", NULL);
}

/* A signal such as USR1 ends nothing. */
static void report_killed(struct cli *cli, const struct job *job)
{
	bool running = bg_streq(render_text(vm_report_record(job), "state"), "running");

	vm_report_line(cli, job, running ? "got the signal and runs on, sent" : "killed", NULL);
}

static void report_set(struct cli *cli, const struct job *job)
{
	vm_report_line(cli, job, "changed", NULL);
}

static void report_deleted(struct cli *cli, const struct job *job)
{
	vm_report_line(cli, job, "deleted", NULL);
}

/* One job for each VM. body is shared, and taken. */
static int run_picked(struct cli *cli, const struct vm_pick *pick, const char *verb,
	enum route route, json_t *body, const char *query, job_report *report)
{
	_free_ struct job *jobs = calloc(pick->count + 1, sizeof(*jobs));
	int status;

	if (!jobs)
		abort();
	for (size_t i = 0; i < pick->count; i++)
		jobs[i] = (struct job){.name = pick->names[i],
			.route = route,
			.body = json_incref(body),
			.query = query};
	status = jobs_run(cli, verb, jobs, pick->count, report);
	jobs_done(jobs, pick->count);
	json_decref(body);
	return status;
}

/* body is taken. */
static int run_many(struct cli *cli, const struct args *args, const char *verb, const char *done,
	enum route route, json_t *body, job_report *report, struct bg_err **err)
{
	_pick_ struct vm_pick pick = {0};
	int r = vm_pick(cli, args, done, &pick, err);

	if (r >= 0 && pick.count == 0 && !cli->json)
		fprintf(cli->err.file, "there is no VM to %s\n", verb);
	if (r >= 0)
		return run_picked(cli, &pick, verb, route, body, NULL, report);
	json_decref(body);
	return r;
}

int vm_start(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "start", "running", ROUTE_VM_START, NULL, report_started, err);
}

int vm_restart(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "restart", "stopped suspended", ROUTE_VM_RESTART, NULL,
		report_restarted, err);
}

int vm_pause(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "pause", "paused suspended stopped", ROUTE_VM_PAUSE, NULL,
		report_paused, err);
}

int vm_resume(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(
		cli, args, "resume", "running stopped", ROUTE_VM_RESUME, NULL, report_resumed, err);
}

int vm_suspend(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "suspend", "suspended stopped", ROUTE_VM_SUSPEND, NULL,
		report_suspended, err);
}

int vm_delete(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_pick_ struct vm_pick pick = {0};
	int r = vm_pick(cli, args, NULL, &pick, err);

	if (r < 0)
		return r;
	if (pick.count == 0 && !cli->json)
		fprintf(cli->err.file, "there is no VM to delete\n");
	return run_picked(cli, &pick, "delete", ROUTE_VM_DELETE, NULL,
		args_has(args, "--force") ? "force=1" : NULL, report_deleted);
}

int vm_stop(struct cli *cli, const struct args *args, struct bg_err **err)
{
	uint64_t timeout = 0;
	json_t *body = NULL;
	int r;

	r = args_number(args, "--timeout", 1, 3600, &timeout, err);
	if (r < 0)
		return r;
	if (timeout)
		body = json_pack("{s:I}", "timeout_s", (json_int_t)timeout);
	return run_many(
		cli, args, "stop", "stopped suspended", ROUTE_VM_STOP, body, report_stopped, err);
}

int vm_set(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	int r = vm_body_sizes(args, body, err);

	if (r >= 0)
		r = vm_body_nat(args, body, err);
	if (r >= 0)
		r = vm_body_start(args, body, err);
	if (r >= 0)
		r = vm_body_labels(args, body, true, err);
	if (r >= 0)
		r = vm_body_ports(args, body, err);
	if (args_has(args, "--with-init"))
		json_object_set_new(body, "with_init", json_true());
	if (r >= 0 && json_object_size(body) == 0) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "what should change?");
		bg_err_hint(err, "`banger vm set --help` lists what can");
	}
	if (r < 0)
		return r;
	return run_many(cli, args, "set", NULL, ROUTE_VM_SET, TAKE_PTR(body), report_set, err);
}

static void report_renamed(struct cli *cli, const struct job *job)
{
	const struct term *t = &cli->out;

	fprintf(t->file, "%s is now called %s%s%s\n", job->name, term_style(t, STYLE_BOLD),
		render_text(vm_report_record(job), "name"), term_plain(t));
}

int vm_name(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *from = args->positional[0], *to = args->positional[1];
	int r = bg_name_check("VM", to, err);

	return r < 0 ? r
		     : job_run_one(cli, "rename", from, ROUTE_VM_SET,
			       json_pack("{s:s}", "name", to), report_renamed);
}

int vm_kill(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args_value(args, "--signal");
	json_t *body = NULL;

	if (name && strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (name)
		body = json_pack("{s:o}", "signal", bg_json_str(name));
	return run_many(
		cli, args, "kill", "stopped suspended", ROUTE_VM_KILL, body, report_killed, err);
}

/* Not running, and nothing is under way on it: also one whose deletion failed. */
static bool is_prunable(const json_t *vm)
{
	const char *state = render_text(vm, "state");

	return (bg_streq(state, "stopped") || bg_streq(state, "deleting")) &&
	       !*render_text(vm, "operation");
}

static int ask_prune(struct cli *cli, const struct vm_pick *pick, struct bg_err **err)
{
	char answer[16] = "";

	if (!cli->err.tty || !isatty(STDIN_FILENO)) {
		int r = bg_err_set(err, BG_ERR_USAGE, EPERM,
			"%zu VM%s would be deleted, and there is no terminal to ask on",
			pick->count, pick->count == 1 ? "" : "s");

		bg_err_hint(err, "`banger vm prune -f` does not ask");
		return r;
	}
	for (size_t i = 0; i < pick->count; i++)
		fprintf(cli->err.file, "  %s\n", pick->names[i]);
	fprintf(cli->err.file, "Delete %s? This cannot be undone. [y/N] ",
		pick->count == 1 ? "this VM and its disks" : "these VMs and their disks");
	fflush(cli->err.file);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return bg_err_set(err, BG_ERR_CANCELLED, ECANCELED, "nothing was deleted");
	return 0;
}

int vm_prune(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_pick_ struct vm_pick pick = {0};
	_json_ json_t *reply = NULL;
	const json_t *vm;
	size_t i;
	int r = client_call(cli, CLIENT_START, ROUTE_VM_LIST, NULL, NULL, &reply, err);

	if (r < 0)
		return r;
	json_array_foreach (json_object_get(reply, "vms"), i, vm)
		if (is_prunable(vm))
			vm_pick_add(&pick, render_text(vm, "name"));
	if (pick.count == 0) {
		fprintf(cli->err.file, "there is no VM to delete: all of them run\n");
		return BG_EXIT_OK;
	}
	if (!args_has(args, "--force"))
		r = ask_prune(cli, &pick, err);
	return r < 0 ? r
		     : run_picked(
			       cli, &pick, "delete", ROUTE_VM_DELETE, NULL, NULL, report_deleted);
}
