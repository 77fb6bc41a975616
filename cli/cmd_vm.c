/* SPDX-License-Identifier: ISC */
/*
 * cmd_vm.c: the commands about VMs that are one call or one operation: create,
 * show; and the rows of all others, which are in vm_list.c, cmd_vm_many.c and cmd_vm_io.c.
 */
#include "cli/cmd_cp.h"
#include "cli/cmd_exec.h"
#include "cli/cmd_stats.h"
#include "cli/cmd_vm_io.h"
#include "cli/cmd_vm_many.h"
#include "cli/vm_body.h"
#include "cli/vm_image.h"
#include "cli/vm_list.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/size.h"

/* An init is brought in by the image's package manager, which needs servers. */
static void warn_init(struct cli *cli, const char *name, const json_t *vm)
{
	bool wanted = false, nat = true;

	(void)bg_json_get_bool(vm, "with_init", &wanted);
	(void)bg_json_get_bool(vm, "nat", &nat);
	if (wanted && !nat)
		fprintf(cli->err.file,
			"%s: --with-init can bring nothing in while NAT is off; `banger vm set %s "
			"--nat` turns it "
			"on\n",
			name, name);
}

static void report_created(struct cli *cli, const struct job *job)
{
	const json_t *vm = vm_report_record(job);
	bool running = bg_streq(render_text(vm, "state"), "running");
	const char *name = vm_report_target(job);

	if (running)
		vm_report_ready(cli, job, "is ready");
	else
		vm_report_line(cli, job, "is made", render_text(vm, "address"));
	warn_init(cli, name, vm);
	if (!cli->out.tty)
		return;
	fprintf(cli->out.file, "%s  banger vm ", term_style(&cli->out, STYLE_DIM));
	if (running && vm_lacks_ssh(vm))
		fprintf(cli->out.file, "exec --tty %s -- sh%s\n", name, term_plain(&cli->out));
	else
		fprintf(cli->out.file, "%s %s%s\n", running ? "ssh" : "start", name,
			term_plain(&cli->out));
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

/* Takes body. Without any image the first try is followed by the offer to build one, and by a second. */
static int create(struct cli *cli, const char *name, json_t *body, struct bg_err **err)
{
	struct job job = {.name = name, .route = ROUTE_VM_CREATE, .body = body, .keep_error = true};
	int status = jobs_run(cli, "create", &job, 1, report_created), built;

	if (job.err && !json_object_get(body, "image")) {
		built = vm_image_offer(cli, job.err);
		if (built >= 0)
			bg_err_free(TAKE_PTR(job.err));
		if (built == BG_EXIT_OK)
			status = jobs_run(cli, "create", &job, 1, report_created);
		else if (built > 0)
			status = built;
	}
	if (job.err)
		*err = TAKE_PTR(job.err);
	jobs_done(&job, 1);
	return *err ? -EIO : status;
}

static int vm_create(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	const char *name = NULL;
	int r;

	r = create_name(args, &name, err);
	if (r >= 0)
		r = vm_body_sizes(args, body, err);
	if (r >= 0)
		r = vm_body_nat(args, body, err);
	if (r >= 0)
		r = vm_body_start(args, body, err);
	if (r >= 0)
		r = vm_body_labels(args, body, false, err);
	if (r >= 0)
		r = vm_body_ports(args, body, err);
	if (r < 0)
		return r;
	vm_body_text(body, "name", name);
	vm_body_text(body, "image", args_value(args, "--image"));
	vm_body_text(body, "kernel", args_value(args, "--kernel"));
	if (args_has(args, "--with-init"))
		json_object_set_new(body, "with_init", json_true());
	if (args_has(args, "--no-start"))
		json_object_set_new(body, "start", json_false());
	return create(cli, name ? name : "the new VM", TAKE_PTR(body), err);
}

static void show_error(const struct term *t, const json_t *vm)
{
	const json_t *error = NULL;

	if (bg_json_get_obj(vm, "error", &error) < 0)
		return;
	render_field(t, "error", STYLE_RED, "%s", render_text(error, "message"));
	render_field(t, "", STYLE_PLAIN, "%s", render_text(error, "hint"));
}

/* Of a running one too: they are lost when it stops. */
static void show_missing(const struct term *t, const json_t *vm)
{
	const char *missing = render_text(vm, "missing");

	if (!*missing)
		return;
	render_field(t, "missing", STYLE_RED, "its disks are missing: there is no %s", missing);
	render_field(t, "", STYLE_PLAIN,
		"put it back there; or give the VM up: `banger vm delete %s`",
		render_text(vm, "name"));
}

static void show_sizes(const struct term *t, const json_t *vm)
{
	const char *balloon = render_text(vm, "balloon_reason");
	char memory[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], work[BG_SIZE_TEXT];

	render_field(t, "cpu", STYLE_PLAIN, "%lld", (long long)render_int(vm, "cpus"));
	render_field(t, "memory", STYLE_PLAIN, "%s%s%s",
		bg_size_print_mib((uint64_t)render_int(vm, "memory_mib"), memory),
		*balloon ? ", " : "", balloon);
	render_field(t, "disk", STYLE_PLAIN, "%s of /, %s of /root%s%s",
		bg_size_print_mib((uint64_t)render_int(vm, "disk_mib"), disk),
		bg_size_print_mib((uint64_t)render_int(vm, "work_mib"), work),
		*render_text(vm, "storage") ? ", made by " : "", render_text(vm, "storage"));
	if (*render_text(vm, "storage_reason"))
		render_field(t, "storage", STYLE_PLAIN, "%s", render_text(vm, "storage_reason"));
	if (*render_text(vm, "disk_note"))
		render_field(t, "note", STYLE_YELLOW, "%s", render_text(vm, "disk_note"));
}

static void show_agent(const struct term *t, const json_t *vm)
{
	const json_t *gap = NULL;

	if (*render_text(vm, "agent_note"))
		render_field(t, "agent", STYLE_YELLOW, "%s", render_text(vm, "agent_note"));
	if (bg_json_get_obj(vm, "gap", &gap) < 0)
		return;
	render_field(t, "gap", STYLE_PLAIN, "%s, after %s: clock %s, randomness %s, network %s",
		render_text(gap, "at"), render_text(gap, "after"),
		json_is_true(json_object_get(gap, "clock")) ? "right" : "not set",
		json_is_true(json_object_get(gap, "randomness")) ? "renewed" : "not renewed",
		json_is_true(json_object_get(gap, "network")) ? "announced" : "not announced");
}

static void show_limits(const struct term *t, const json_t *vm)
{
	if (*render_text(vm, "limits"))
		render_field(t, "limits", STYLE_PLAIN, "%s", render_text(vm, "limits"));
}

static void show_suspended(const struct term *t, const json_t *vm)
{
	char size[BG_SIZE_TEXT];

	if (*render_text(vm, "suspended_at"))
		render_field(t, "saved", STYLE_PLAIN, "%s of memory on disk",
			vm_suspended_size(vm, size));
	render_time(t, "suspended", render_text(vm, "suspended_at"));
	if (*render_text(vm, "resume_note"))
		render_field(t, "resume", STYLE_YELLOW, "%s", render_text(vm, "resume_note"));
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

/* What it means for the guest, and what to do. */
static void show_nat(const struct term *t, const json_t *vm, bool nat)
{
	if (nat)
		render_field(t, "nat", STYLE_PLAIN, "on");
	else
		render_field(t, "nat", STYLE_PLAIN,
			"off: connections beyond this machine are refused; `banger vm set %s "
			"--nat` turns it on",
			render_text(vm, "name"));
}

static void show_all(const struct term *t, const json_t *vm)
{
	char up[DURATION_TEXT];
	enum style style;
	const char *state = vm_state_word(vm, &style), *since = vm_uptime(vm, up);
	_free_ char *labels = vm_labels_text(vm), *ports = vm_ports_text(vm),
		    *exposed = vm_exposed_text(vm), *starts = vm_start_text(vm);
	bool nat = false, peers = false;

	(void)bg_json_get_bool(vm, "nat", &nat);
	(void)bg_json_get_bool(vm, "peers", &peers);
	render_field(t, "name", STYLE_BOLD, "%s", render_text(vm, "name"));
	render_field(t, "state", style, "%s%s%s", state, *since ? " for " : "", since);
	show_error(t, vm);
	show_missing(t, vm);
	show_suspended(t, vm);
	render_field(t, "address", STYLE_PLAIN, "%s", render_text(vm, "address"));
	render_field(t, "image", STYLE_PLAIN, "%s", render_text(vm, "image"));
	render_field(t, "kernel", STYLE_PLAIN, "%s", render_text(vm, "kernel"));
	show_sizes(t, vm);
	show_nat(t, vm, nat);
	render_field(t, "peers", STYLE_PLAIN, "%s", peers ? "on" : "off");
	render_field(t, "published", STYLE_PLAIN, "%s", ports ? ports : "");
	render_field(t, "exposed", STYLE_PLAIN, "%s", exposed ? exposed : "");
	render_field(t, "starts", STYLE_PLAIN, "%s", starts ? starts : "");
	render_time(t, "next start", render_text(vm, "next_start_at"));
	render_field(t, "labels", STYLE_PLAIN, "%s", labels ? labels : "");
	show_vmm(t, vm);
	show_agent(t, vm);
	show_limits(t, vm);
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

#define FLAG_PARALLEL                                                                              \
	{                                                                                          \
		"--parallel", "N", ARG_NUMBER, "how many at once (default 8)"                      \
	}
#define FLAG_MANY {"--all", NULL, ARG_NONE, "all VMs not already in that state", 'a'}, FLAG_PARALLEL

static const struct flag cp_flags[] = {
	{"--recursive", NULL, ARG_NONE, NULL, 'r', "-R --archive -a"}, /* folders go whole anyway */
	FLAG_END,
};
static const struct flag no_flags[] = {FLAG_END};
static const struct flag list_flags[] = {
	{"--label", "KEY[=VALUE]", ARG_TEXT, "only VMs that have it; may be repeated", 'l'},
	{"--filter", "KEY=VALUE", ARG_TEXT,
		"only VMs whose state, name, image, kernel, health or label is that; a value may "
		"be a "
		"pattern; may be repeated",
		'f'},
	{"--quiet", NULL, ARG_NONE, "only the names", 'q'},
	{"--format", "TEXT", ARG_TEXT,
		"a line for each VM: '{{.name}} {{.address}}', fields as in --json"},
	{"--watch", NULL, ARG_NONE, "again at each change, until Ctrl-C", 'w'},
	{"--all", NULL, ARG_NONE, NULL, 'a'}, /* stopped ones are shown anyway */
	FLAG_JSON,
	FLAG_END,
};
static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag operation_flags[] = {FLAG_MANY, FLAG_JSON, FLAG_TIMING, FLAG_END};
static const struct flag delete_flags[] = {
	{"--force", NULL, ARG_NONE, "cancel what is under way on it first, such as its start", 'f'},
	{"--purge", NULL, ARG_NONE, NULL, 'v', "-p --volumes"}, /* nothing of it is kept anyway */
	FLAG_MANY,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag report_flags[] = {FLAG_JSON, FLAG_TIMING, FLAG_END};
static const struct flag prune_flags[] = {
	{"--force", NULL, ARG_NONE, "do not ask", 'f'},
	FLAG_PARALLEL,
	FLAG_TIMING,
	FLAG_END,
};
#define FLAG_RESTART                                                                               \
	{                                                                                          \
		"--restart", "WHEN", ARG_TEXT,                                                     \
			"start it again after an end that you did not ask for: no, on-failure or " \
			"always"                                                                   \
	}
static const struct flag create_flags[] = {
	{"--name", "NAME", ARG_NEW, "its name; banger finds one when you give none", 'n'},
	{"--image", "NAME", ARG_IMAGE, "the image it is made of"},
	{"--kernel", "NAME", ARG_KERNEL, "boot this kernel instead of the image's own"},
	{"--cpus", "N", ARG_NUMBER, "virtual CPUs", 'c', CPUS_ALSO},
	{"--memory", "SIZE", ARG_SIZE, "such as 2G or 512M", 'm', MEMORY_ALSO},
	{"--disk-size", "SIZE", ARG_SIZE, "of its / ; takes room on your disk only as it fills",
		.also = DISK_ALSO},
	{"--work-size", "SIZE", ARG_SIZE, "of its /root, which is a disk of its own"},
	{"--nat", NULL, ARG_NONE, "give it internet access, whatever default_nat says"},
	{"--no-nat", NULL, ARG_NONE, "no internet access"},
	{"--peers", NULL, ARG_NONE, "let it and your other VMs with --peers reach each other"},
	{"--no-peers", NULL, ARG_NONE, "turn that off"},
	{"--no-balloon", NULL, ARG_NONE, "keep memory that its guest frees until it stops"},
	{"--balloon", NULL, ARG_NONE, "give that memory back to this machine (the default)"},
	{"--label", "KEY=VALUE", ARG_TEXT, "a label to find it by; may be repeated", 'l'},
	{"--publish", "HOST:GUEST", ARG_TEXT,
		"lead this TCP port of 127.0.0.1 to that one of the VM; may be repeated", 'p'},
	{"--expose-host", "PORT", ARG_TEXT,
		"let it reach this TCP port of this machine's 127.0.0.1, as host.vm:PORT; may be "
		"repeated"},
	{"--with-init", NULL, ARG_NONE,
		"install an init if the image lacks one (needs internet access)"},
	{"--no-start", NULL, ARG_NONE, "make it and leave it stopped"},
	{"--autostart", NULL, ARG_NONE, "start it with the daemon (see `banger daemon install`)"},
	FLAG_RESTART,
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag stop_flags[] = {
	{"--timeout", "SECONDS", ARG_NUMBER, "kill it when it has not shut down by then", 't',
		"--time"},
	FLAG_MANY,
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag kill_flags[] = {
	{"--signal", "NAME", ARG_SIGNAL, "the signal to send: TERM, KILL, ... (default KILL)", 's'},
	FLAG_MANY,
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag set_flags[] = {
	{"--cpus", "N", ARG_NUMBER, "virtual CPUs, of a stopped VM", 'c', CPUS_ALSO},
	{"--memory", "SIZE", ARG_SIZE, "such as 2G or 512M, of a stopped VM", 'm', MEMORY_ALSO},
	{"--disk-size", "SIZE", ARG_SIZE, "let its / grow to this", .also = DISK_ALSO},
	{"--work-size", "SIZE", ARG_SIZE, "let its /root grow to this"},
	{"--nat", NULL, ARG_NONE, "give it internet access, whatever default_nat says"},
	{"--no-nat", NULL, ARG_NONE, "no internet access"},
	{"--peers", NULL, ARG_NONE, "let it and your other VMs with --peers reach each other"},
	{"--no-peers", NULL, ARG_NONE, "turn that off"},
	{"--no-balloon", NULL, ARG_NONE,
		"keep memory that its guest frees until it stops, from its next start"},
	{"--balloon", NULL, ARG_NONE, "give that memory back to this machine"},
	{"--with-init", NULL, ARG_NONE,
		"at the next start install an init if the image lacks one (needs internet access)"},
	{"--autostart", NULL, ARG_NONE, "start it with the daemon (see `banger daemon install`)"},
	{"--no-autostart", NULL, ARG_NONE, "turn that off"},
	FLAG_RESTART,
	{"--label", "KEY=VALUE", ARG_TEXT, "give it a label; KEY- takes it away; may be repeated"},
	{"--publish", "HOST:GUEST", ARG_TEXT,
		"lead this TCP port of 127.0.0.1 to that one of the VM; may be repeated", 'p'},
	{"--unpublish", "HOST", ARG_TEXT, "stop publishing this host port; may be repeated"},
	{"--expose-host", "PORT", ARG_TEXT,
		"let it reach this TCP port of this machine's 127.0.0.1, as host.vm:PORT; may be "
		"repeated"},
	{"--unexpose-host", "PORT", ARG_TEXT,
		"take this port of this machine away from it; may be repeated"},
	FLAG_MANY,
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag stats_flags[] = {
	{"--watch", NULL, ARG_NONE, "again every 2 seconds, until Ctrl-C"},
	FLAG_JSON,
	FLAG_END,
};
static const struct flag logs_flags[] = {
	{"--follow", NULL, ARG_NONE, "keep printing new output, until Ctrl-C", 'f'},
	{"--tail", "LINES", ARG_NUMBER, "only the last LINES lines", 'n', "--lines"},
	{"--boot", NULL, ARG_NONE, "only what came since it was last started", 'b'},
	{"--vmm", NULL, ARG_NONE, "what the VMM said, instead of the guest's console"},
	FLAG_END,
};

#define MANY_DETAILS                                                                               \
	"A name may be a pattern such as 'web-*', quoted so that the shell leaves it alone. A "    \
	"pattern and --all pass over VMs that need nothing done. Each VM gets a line of its own; " \
	"the exit status is that of the first that failed."

const struct command vm_commands[] = {
	{.path = "vm create",
		.alias = "create",
		.kind = ARG_NEW,
		.max_args = 1,
		.flags = create_flags,
		.usage = "[NAME]",
		.summary = "make a VM and start it",
		.details = "Waits until the VM is ready and shows what is done meanwhile. Ctrl-C "
			   "cancels and undoes it.",
		.example = "banger vm create web --memory 2G --nat",
		.run = vm_create},
	{.path = "vm start",
		.alias = "start",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...|--all",
		.summary = "start VMs, several at once",
		.details = MANY_DETAILS,
		.example = "banger vm start web db\nbanger vm start 'web-*'",
		.run = vm_start},
	{.path = "vm stop",
		.alias = "stop",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = stop_flags,
		.usage = "NAME...|--all",
		.summary = "shut VMs down cleanly; they keep their disks",
		.details = MANY_DETAILS,
		.example = "banger vm stop web db\nbanger vm stop --all",
		.run = vm_stop},
	{.path = "vm restart",
		.alias = "restart",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...|--all",
		.summary = "stop VMs and start them again",
		.details = MANY_DETAILS,
		.example = "banger vm restart web",
		.run = vm_restart},
	{.path = "vm kill",
		.alias = "kill",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = kill_flags,
		.usage = "NAME...|--all",
		.summary = "end VMs at once, as a power cut would",
		.details = MANY_DETAILS,
		.example = "banger vm kill web\nbanger vm kill --signal TERM web",
		.run = vm_kill},
	{.path = "vm pause",
		.alias = "pause",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...|--all",
		.summary = "let VMs stand still; they keep their memory",
		.details = "Nothing in a paused VM runs until `vm resume`. " MANY_DETAILS,
		.example = "banger vm pause web",
		.run = vm_pause},
	{.path = "vm suspend",
		.alias = "suspend",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...|--all",
		.summary = "write VMs' memory to the disk and end their VMMs",
		.details = "`vm resume` or `vm start` lets such a VM go on where it stood. "
			   "Sessions in it "
			   "(ssh, `vm exec`) end; what runs in it by itself goes on. `vm kill` "
			   "makes a "
			   "suspended VM a stopped one, without its memory. " MANY_DETAILS,
		.example = "banger vm suspend web\nbanger vm suspend --all",
		.run = vm_suspend},
	{.path = "vm resume",
		.alias = "resume",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = operation_flags,
		.usage = "NAME...|--all",
		.summary = "let paused and suspended VMs go on",
		.details =
			"A suspended VM whose memory no longer fits, because its disks, the VMM or "
			"this machine changed, boots from its disks instead and says "
			"why. " MANY_DETAILS,
		.example = "banger vm resume web\nbanger vm resume --all",
		.run = vm_resume},
	{.path = "vm set",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = set_flags,
		.usage = "NAME...|--all",
		.summary = "change VMs: sizes, NAT, labels",
		.details = "Disks grow and never shrink; the file system in the VM grows with "
			   "them. " MANY_DETAILS,
		.example =
			"banger vm set web --nat\nbanger vm set web --memory 4G --disk-size 40G\n"
			"banger vm set 'web-*' --label env=test",
		.run = vm_set},
	{.path = "vm rename",
		.alias = "rename",
		.kind = ARG_VM,
		.min_args = 2,
		.max_args = 2,
		.flags = report_flags,
		.usage = "NAME NEW",
		.summary = "give a VM another name",
		.details = "Also while it runs: its host name, NEW.vm and ssh-config follow. Its "
			   "disks, "
			   "address and host key stay.",
		.example = "banger vm rename web site",
		.run = vm_name},
	{.path = "vm delete",
		.alias = "vm rm, rm, delete",
		.kind = ARG_VMS,
		.max_args = ARGS_MANY,
		.flags = delete_flags,
		.usage = "NAME...|--all",
		.summary = "delete VMs and their disks",
		.details = "A running VM is killed first. Does not ask, and cannot be "
			   "undone. " MANY_DETAILS,
		.example = "banger vm delete web\nbanger vm delete 'test-*'",
		.run = vm_delete},
	{.path = "vm prune",
		.flags = prune_flags,
		.usage = "",
		.summary = "remove every VM that is stopped, after a question",
		.details =
			"Lists them and asks first. Without a terminal to ask on it does nothing "
			"unless -f is given.",
		.example = "banger vm prune",
		.run = vm_prune},
	{.path = "vm list",
		.alias = "vm ls, ls, ps, list",
		.flags = list_flags,
		.usage = "",
		.summary = "list the VMs",
		.example = "banger vm list\nbanger vm list -l env=test --filter state=running\n"
			   "banger vm list --format '{{.name}} {{.address}}'\n"
			   "banger vm stop $(banger vm list -q -l env=test)",
		.run = vm_list},
	{.path = "vm show",
		.alias = "vm inspect, inspect, show",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.usage = "NAME",
		.summary = "show a VM's details",
		.example = "banger vm show web",
		.run = vm_show},
	{.path = "vm logs",
		.alias = "logs",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.flags = logs_flags,
		.usage = "NAME",
		.summary = "print the console of a VM",
		.example = "banger vm logs web\nbanger vm logs -f -n 20 web",
		.run = vm_logs},
	{.path = "vm exec",
		.alias = "exec",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.takes_rest = true,
		.flags = exec_flags,
		.running = true,
		.usage = "NAME CMD...",
		.summary = "run a command in a VM, without network or ssh",
		.details =
			"Input, output and errors are those of the command, and so is the exit "
			"status; 128 and the signal's number when a signal ended it. Ctrl-C goes "
			"to the command; a second one leaves at once and ends it. With --tty and "
			"no command it is a login shell.",
		.example = "banger vm exec web systemctl status\n"
			   "banger vm exec web -- sha256sum < big.iso\n"
			   "banger vm exec -it -u postgres -w /srv web psql",
		.run = vm_exec},
	{.path = "vm cp",
		.alias = "cp",
		.kind = ARG_VM_FILE,
		.min_args = 2,
		.max_args = ARGS_MANY,
		.flags = cp_flags,
		.running = true,
		.usage = "SRC... DST",
		.summary = "copy files and folders into a VM, or out of it",
		.details =
			"What is in a VM is NAME:PATH; a path that does not begin with / is below "
			"/root, as is ~/PATH. Folders go whole, with modes, times, links and "
			"holes; "
			"DIR/. is what is in DIR. Several sources go into a folder. What is yours "
			"becomes root's in the VM; out of it everything is yours, and your umask "
			"holds. - is a tar stream on standard input or output.",
		.example = "banger vm cp site.conf web:/etc/nginx/\n"
			   "banger vm cp web:/var/log ./web-log\n"
			   "banger vm cp web:/srv/data db:/srv\n"
			   "tar c src | banger vm cp - web:/srv",
		.run = vm_cp},
	{.path = "vm ports",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.running = true,
		.usage = "NAME",
		.summary = "list what listens in a VM, with the processes",
		.example = "banger vm ports web",
		.run = vm_ports},
	{.path = "vm stats",
		.alias = "stats",
		.kind = ARG_VM,
		.max_args = 1,
		.flags = stats_flags,
		.running = true,
		.usage = "[NAME]",
		.summary = "what a VM uses, of the host and inside",
		.details = "Without NAME one line for each running VM, of the host alone.",
		.example = "banger vm stats --watch web\nbanger vm stats",
		.run = vm_stats},
	{.path = "vm connect",
		.kind = ARG_TEXT,
		.min_args = 2,
		.max_args = 2,
		.flags = no_flags,
		.running = true,
		.usage = "NAME PORT",
		.summary = "join input and output with a TCP port in a VM",
		.details = "The port is one of the VM's own loopback. Fit for ssh's ProxyCommand.",
		.example = "banger vm connect web 22 < /dev/null",
		.run = vm_connect},
	{.path = "vm ssh",
		.alias = "ssh, shell",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.takes_rest = true,
		.flags = ssh_flags,
		.running = true,
		.usage = "NAME [CMD...]",
		.summary = "open a shell in a VM, or run a command there",
		.details =
			"The exit status is that of the command. A command of one word is given to "
			"the shell in the VM as it is; several words arrive as they were typed. "
			"What ~/.ssh/config says under Host * about keys, proxies, forwarding and "
			"terminals does not apply: ask for it with these flags.",
		.example = "banger vm ssh web\nbanger vm ssh web -- uname -a\n"
			   "banger vm ssh web -L 8080:localhost:80\n"
			   "banger vm ssh web -- 'cd /srv && ls | wc -l'",
		.run = vm_ssh},
	{NULL},
};
