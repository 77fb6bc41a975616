/* SPDX-License-Identifier: ISC */
/*
 * cmd_vm.c: the commands about VMs that are one call or one operation: create,
 * start, stop, restart, kill, delete, list, show. ssh and logs are in cmd_vm_io.c.
 */
#include "cli/cmd_vm_io.h"
#include "cli/jobs.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/size.h"

static const char *target(const struct job *job)
{
	const char *name = render_text(job->op, "target");

	return *name ? name : job->name;
}

static const json_t *result_of(const struct job *job)
{
	return json_object_get(job->op, "result");
}

/* "web  started in 4.2 s  10.209.1.2" */
static void report_line(
	struct cli *cli, const struct job *job, const char *what, const char *address)
{
	char took[DURATION_TEXT];
	_free_ char *clean = term_clean(address);
	const struct term *t = &cli->out;

	fprintf(t->file, "%s%s%s %s in %s%s%s\n", term_style(t, STYLE_BOLD), target(job),
		term_plain(t), what,
		render_duration((uint64_t)render_int(job->op, "elapsed_ms"), took),
		bg_isempty(clean) ? "" : ", at ", clean ? clean : "");
}

static void report_created(struct cli *cli, const struct job *job)
{
	const json_t *vm = result_of(job);
	bool running = bg_streq(render_text(vm, "state"), "running");

	report_line(cli, job, running ? "is ready" : "is made", render_text(vm, "address"));
	if (!cli->out.tty)
		return;
	fprintf(cli->out.file, "%s  banger vm %s %s%s\n", term_style(&cli->out, STYLE_DIM),
		running ? "ssh" : "start", target(job), term_plain(&cli->out));
}

static void report_started(struct cli *cli, const struct job *job)
{
	report_line(cli, job, "is ready", render_text(result_of(job), "address"));
}

static void report_restarted(struct cli *cli, const struct job *job)
{
	report_line(cli, job, "is ready again", render_text(result_of(job), "address"));
}

static void report_stopped(struct cli *cli, const struct job *job)
{
	report_line(cli, job, "stopped", NULL);
}

static void report_killed(struct cli *cli, const struct job *job)
{
	report_line(cli, job, "killed", NULL);
}

static void report_set(struct cli *cli, const struct job *job)
{
	bool nat = false;

	(void)bg_json_get_bool(result_of(job), "nat", &nat);
	report_line(cli, job, nat ? "has NAT now, set" : "has no NAT now, set", NULL);
}

static void report_deleted(struct cli *cli, const struct job *job)
{
	report_line(cli, job, "deleted", NULL);
}

static bool named_before(const struct args *args, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (bg_streq(args->positional[j], args->positional[i]))
			return true;
	return false;
}

/* One job for each name; a name given twice counts once. body is shared, and taken. */
static int run_many(struct cli *cli, const struct args *args, const char *verb, enum route route,
	json_t *body, job_report *report)
{
	_free_ struct job *jobs = calloc(args->count, sizeof(*jobs));
	size_t count = 0;
	int status;

	if (!jobs)
		abort();
	for (size_t i = 0; i < args->count; i++)
		if (!named_before(args, i))
			jobs[count++] = (struct job){.name = args->positional[i],
				.route = route,
				.body = json_incref(body)};
	status = jobs_run(cli, verb, jobs, count, report);
	jobs_done(jobs, count);
	json_decref(body);
	return status;
}

static void set_text(json_t *body, const char *key, const char *value)
{
	if (value)
		json_object_set_new(body, key, bg_json_str(value));
}

static void set_number(json_t *body, const char *key, uint64_t value)
{
	if (value)
		json_object_set_new(body, key, json_integer((json_int_t)value));
}

static int create_sizes(const struct args *args, json_t *body, struct bg_err **err)
{
	uint64_t vcpus = 0, memory = 0, disk = 0, work = 0;
	int r;

	r = args_number(args, "--vcpu", BG_VCPU_MIN, BG_VCPU_MAX, &vcpus, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--memory", BG_MEMORY_MIB_MIN, BG_MEMORY_MIB_MAX, &memory, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--disk-size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &disk, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--work-size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &work, err);
	set_number(body, "vcpus", vcpus);
	set_number(body, "memory_mib", memory);
	set_number(body, "disk_mib", disk);
	set_number(body, "work_mib", work);
	return r;
}

/* NAME or --name, not two different ones. NULL: the daemon finds one. */
static int create_name(const struct args *args, const char **ret, struct bg_err **err)
{
	const char *flag = args_value(args, "--name");
	const char *word = args->count ? args->positional[0] : NULL;

	if (flag && word && !bg_streq(flag, word))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"two names for one VM: \"%.40s\" and --name %.40s", word, flag);
	*ret = word ? word : flag;
	return *ret ? bg_name_check("VM", *ret, err) : 0;
}

static int vm_create(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	const char *name = NULL;
	int r;

	r = create_name(args, &name, err);
	if (r >= 0)
		r = create_sizes(args, body, err);
	if (r >= 0 && args_has(args, "--nat") && args_has(args, "--no-nat"))
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "--nat or --no-nat, not both");
	if (r < 0)
		return r;
	set_text(body, "name", name);
	set_text(body, "image", args_value(args, "--image"));
	set_text(body, "kernel", args_value(args, "--kernel"));
	if (args_has(args, "--nat") || args_has(args, "--no-nat"))
		json_object_set_new(body, "nat", json_boolean(args_has(args, "--nat")));
	if (args_has(args, "--no-start"))
		json_object_set_new(body, "start", json_false());
	return job_run_one(cli, "create", name ? name : "the new VM", ROUTE_VM_CREATE,
		TAKE_PTR(body), report_created);
}

static int vm_start(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "start", ROUTE_VM_START, NULL, report_started);
}

static int vm_restart(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "restart", ROUTE_VM_RESTART, NULL, report_restarted);
}

static int vm_delete(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return run_many(cli, args, "delete", ROUTE_VM_DELETE, NULL, report_deleted);
}

static int vm_stop(struct cli *cli, const struct args *args, struct bg_err **err)
{
	uint64_t timeout = 0;
	json_t *body = NULL;
	int r;

	r = args_number(args, "--timeout", 1, 3600, &timeout, err);
	if (r < 0)
		return r;
	if (timeout)
		body = json_pack("{s:I}", "timeout_s", (json_int_t)timeout);
	return run_many(cli, args, "stop", ROUTE_VM_STOP, body, report_stopped);
}

static int vm_set(struct cli *cli, const struct args *args, struct bg_err **err)
{
	bool on = args_has(args, "--nat");

	if (on == args_has(args, "--no-nat"))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "give --nat or --no-nat%s",
			on ? ", not both" : "");
	return run_many(cli, args, "set", ROUTE_VM_SET, json_pack("{s:b}", "nat", on), report_set);
}

static int vm_kill(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args_value(args, "--signal");
	json_t *body = NULL;

	if (name && strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (name)
		body = json_pack("{s:o}", "signal", bg_json_str(name));
	return run_many(cli, args, "kill", ROUTE_VM_KILL, body, report_killed);
}

/* The state in one word, with what else the reader must know. */
static const char *state_word(const json_t *vm, enum style *style)
{
	const char *state = render_text(vm, "state");
	const json_t *error = NULL;
	bool ready = false;

	(void)bg_json_get_bool(vm, "ready", &ready);
	(void)bg_json_get_obj(vm, "error", &error);
	*style = STYLE_YELLOW;
	if (bg_streq(state, "running")) {
		*style = ready ? STYLE_GREEN : STYLE_YELLOW;
		return ready ? state : "not ready";
	}
	if (!bg_streq(state, "stopped"))
		return state;
	*style = error ? STYLE_RED : STYLE_DIM;
	return error ? "failed" : state;
}

static const char *uptime(const json_t *vm, char out[DURATION_TEXT])
{
	const char *started = render_text(vm, "started_at");
	int64_t seconds = *started ? render_seconds_since(started) : -1;

	if (seconds < 0 || !bg_streq(render_text(vm, "state"), "running"))
		return "";
	return render_age(seconds, out);
}

static void list_row(struct table *t, const json_t *vm)
{
	char memory[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], up[DURATION_TEXT];
	enum style style;
	const char *state = state_word(vm, &style);

	table_cell(t, STYLE_BOLD, "%s", render_text(vm, "name"));
	table_cell(t, style, "%s", state);
	table_cell(t, STYLE_PLAIN, "%s", render_text(vm, "image"));
	table_cell(t, STYLE_PLAIN, "%lld", (long long)render_int(vm, "vcpus"));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib((uint64_t)render_int(vm, "memory_mib"), memory));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib((uint64_t)render_int(vm, "disk_mib"), disk));
	table_cell(t, STYLE_PLAIN, "%s", render_text(vm, "address"));
	table_cell(t, STYLE_PLAIN, "%s", uptime(vm, up));
}

static int vm_list(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const struct column columns[] = {{.title = "NAME", .min = 20}, {.title = "STATE"},
		{.title = "IMAGE", .min = 8, .drop = 3}, {.title = "CPU", .right = true, .drop = 5},
		{.title = "MEMORY", .right = true, .drop = 4},
		{.title = "DISK", .right = true, .drop = 6}, {.title = "ADDRESS", .drop = 1},
		{.title = "UPTIME", .drop = 2}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	_json_ json_t *reply = NULL;
	const json_t *vms, *vm;
	size_t i;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_VM_LIST, NULL, NULL, &reply, err);
	if (r < 0)
		return r;
	vms = json_object_get(reply, "vms");
	if (cli->json) {
		render_json(&cli->out, vms);
		return BG_EXIT_OK;
	}
	json_array_foreach (vms, i, vm)
		list_row(t, vm);
	if (json_array_size(vms) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file, "There are no VMs yet. Make one: `banger vm create NAME`\n");
	return BG_EXIT_OK;
}

static void show_error(const struct term *t, const json_t *vm)
{
	const json_t *error = NULL;

	if (bg_json_get_obj(vm, "error", &error) < 0)
		return;
	render_field(t, "error", STYLE_RED, "%s", render_text(error, "message"));
	render_field(t, "", STYLE_PLAIN, "%s", render_text(error, "hint"));
}

static void show_sizes(const struct term *t, const json_t *vm)
{
	char memory[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], work[BG_SIZE_TEXT];

	render_field(t, "cpu", STYLE_PLAIN, "%lld", (long long)render_int(vm, "vcpus"));
	render_field(t, "memory", STYLE_PLAIN, "%s",
		bg_size_print_mib((uint64_t)render_int(vm, "memory_mib"), memory));
	render_field(t, "disk", STYLE_PLAIN, "%s of /, %s of /root%s%s",
		bg_size_print_mib((uint64_t)render_int(vm, "disk_mib"), disk),
		bg_size_print_mib((uint64_t)render_int(vm, "work_mib"), work),
		*render_text(vm, "storage") ? ", made by " : "", render_text(vm, "storage"));
	if (*render_text(vm, "storage_reason"))
		render_field(t, "storage", STYLE_PLAIN, "%s", render_text(vm, "storage_reason"));
}

static void show_vmm(const struct term *t, const json_t *vm)
{
	const char *reason = render_text(vm, "vmm_reason");
	char pid[32] = "";

	if (render_int(vm, "pid"))
		snprintf(pid, sizeof(pid), ", pid %lld", (long long)render_int(vm, "pid"));
	if (*render_text(vm, "vmm"))
		render_field(t, "vmm", STYLE_PLAIN, "%s, %s%s%s%s%s", render_text(vm, "vmm"),
			render_text(vm, "accel"), pid, *reason ? " (" : "", reason,
			*reason ? ")" : "");
}

static void show_paths(const struct term *t, const json_t *vm)
{
	const json_t *paths = json_object_get(vm, "paths");

	render_field(t, "folder", STYLE_PLAIN, "%s", render_text(paths, "dir"));
	render_field(t, "serial log", STYLE_PLAIN, "%s", render_text(paths, "serial_log"));
	render_field(t, "vmm log", STYLE_PLAIN, "%s", render_text(paths, "vmm_log"));
}

static void show_all(const struct term *t, const json_t *vm)
{
	char up[DURATION_TEXT];
	enum style style;
	const char *state = state_word(vm, &style), *since = uptime(vm, up);
	bool nat = false;

	(void)bg_json_get_bool(vm, "nat", &nat);
	render_field(t, "name", STYLE_BOLD, "%s", render_text(vm, "name"));
	render_field(t, "state", style, "%s%s%s", state, *since ? " for " : "", since);
	show_error(t, vm);
	render_field(t, "address", STYLE_PLAIN, "%s", render_text(vm, "address"));
	render_field(t, "image", STYLE_PLAIN, "%s", render_text(vm, "image"));
	render_field(t, "kernel", STYLE_PLAIN, "%s", render_text(vm, "kernel"));
	show_sizes(t, vm);
	render_field(t, "nat", STYLE_PLAIN, "%s", nat ? "on" : "off");
	show_vmm(t, vm);
	render_time(t, "created", render_text(vm, "created_at"));
	render_field(t, "operation", STYLE_YELLOW, "%s", render_text(vm, "operation"));
	show_paths(t, vm);
	render_field(t, "id", STYLE_PLAIN, "%s", render_text(vm, "id"));
}

static int vm_show(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *vm = NULL;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_VM_SHOW, args->positional[0], NULL, &vm, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, vm);
	else
		show_all(&cli->out, vm);
	return BG_EXIT_OK;
}

static const struct flag no_flags[] = {FLAG_END};
static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag operation_flags[] = {FLAG_JSON, FLAG_TIMING, FLAG_END};
static const struct flag delete_flags[] = {FLAG_TIMING, FLAG_END};
static const struct flag create_flags[] = {
	{"--name", "NAME", ARG_NEW, "its name; banger finds one when you give none"},
	{"--image", "NAME", ARG_IMAGE, "the image it is made of"},
	{"--kernel", "NAME", ARG_KERNEL, "boot this kernel instead of the image's own"},
	{"--vcpu", "N", ARG_NUMBER, "virtual CPUs"},
	{"--memory", "SIZE", ARG_SIZE, "such as 2G or 512M"},
	{"--disk-size", "SIZE", ARG_SIZE, "of its / ; takes room on your disk only as it fills"},
	{"--work-size", "SIZE", ARG_SIZE, "of its /root, which is a disk of its own"},
	{"--nat", NULL, ARG_NONE, "let it reach the network beyond this machine"},
	{"--no-nat", NULL, ARG_NONE, "keep it from there"},
	{"--no-start", NULL, ARG_NONE, "make it and leave it stopped"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag stop_flags[] = {
	{"--timeout", "SECONDS", ARG_NUMBER, "kill it when it has not shut down by then"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag kill_flags[] = {
	{"--signal", "NAME", ARG_SIGNAL, "the signal to send: TERM, KILL, ... (default KILL)"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag set_flags[] = {
	{"--nat", NULL, ARG_NONE, "let it reach the network beyond this machine"},
	{"--no-nat", NULL, ARG_NONE, "keep it from there"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag logs_flags[] = {
	{"--follow", NULL, ARG_NONE, "go on printing what comes, until Ctrl-C", 'f'},
	{"--tail", "LINES", ARG_NUMBER, "only the last ones of what is there", 'n'},
	{"--vmm", NULL, ARG_NONE, "what the VMM said, instead of the guest's console"},
	FLAG_END,
};

const struct command vm_commands[] = {
	{.path = "vm create",
		.kind = ARG_NEW,
		.max_args = 1,
		.flags = create_flags,
		.usage = "[NAME]",
		.summary = "make a VM and start it",
		.details = "Waits until the VM is ready and shows what is done meanwhile. Ctrl-C "
			   "cancels: what was begun is undone.",
		.example = "banger vm create web --memory 2G --nat",
		.run = vm_create},
	{.path = "vm start",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...",
		.summary = "start VMs, all at once",
		.example = "banger vm start web db",
		.run = vm_start},
	{.path = "vm stop",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = stop_flags,
		.usage = "NAME...",
		.summary = "shut VMs down cleanly; they keep their disks",
		.example = "banger vm stop web db",
		.run = vm_stop},
	{.path = "vm restart",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...",
		.summary = "stop VMs and start them again",
		.example = "banger vm restart web",
		.run = vm_restart},
	{.path = "vm kill",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = kill_flags,
		.usage = "NAME...",
		.summary = "end VMs at once, as a power cut would",
		.example = "banger vm kill web\nbanger vm kill --signal TERM web",
		.run = vm_kill},
	{.path = "vm set",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = set_flags,
		.usage = "NAME...",
		.summary = "change VMs; a running one at once",
		.example = "banger vm set web --nat",
		.run = vm_set},
	{.path = "vm delete",
		.alias = "vm rm",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = delete_flags,
		.usage = "NAME...",
		.summary = "remove VMs with their disks, for good",
		.details = "A VM that runs is killed first. There is no question and no way back.",
		.example = "banger vm delete web",
		.run = vm_delete},
	{.path = "vm list",
		.alias = "vm ls",
		.flags = print_flags,
		.usage = "",
		.summary = "list the VMs",
		.example = "banger vm list\nbanger vm list --json | jq -r '.[].name'",
		.run = vm_list},
	{.path = "vm show",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.usage = "NAME",
		.summary = "tell all about a VM",
		.example = "banger vm show web",
		.run = vm_show},
	{.path = "vm logs",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.flags = logs_flags,
		.usage = "NAME",
		.summary = "print the console of a VM",
		.example = "banger vm logs web\nbanger vm logs -f -n 20 web",
		.run = vm_logs},
	{.path = "vm ssh",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.takes_rest = true,
		.flags = no_flags,
		.usage = "NAME [-- CMD...]",
		.summary = "open a shell in a VM, or run a command there",
		.details = "The exit status is that of the command. One word after -- is given to "
			   "the shell in the VM as it is; several arrive there as they were typed.",
		.example = "banger vm ssh web\nbanger vm ssh web -- uname -a\n"
			   "banger vm ssh web -- 'cd /srv && ls | wc -l'",
		.run = vm_ssh},
	{NULL},
};
