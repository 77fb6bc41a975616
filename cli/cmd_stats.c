/* SPDX-License-Identifier: ISC */
/*
 * cmd_stats.c: what a VM listens on and what it uses. The guest's part comes from its agent as
 * lines of text, which are taken as untrusted; the host's part is what /proc says of the VMM, which
 * is the user's own process, and the room that its disks take.
 */
#include "cli/cmd_stats.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "cli/session.h"
#include "common/json.h"
#include "common/size.h"
#include "common/usage.h"
#include "common/vm_record.h"

enum { TEXT_MAX = 256 * 1024, SAMPLE_MS = 500, WATCH_MS = 2000 };

static int ask_guest(
	struct cli *cli, const char *vm, const char *kind, char **ret, struct bg_err **err)
{
	const struct session session = {.vm = vm, .kind = kind, .timeout_s = 30};
	int status = 0;
	int r = session_text(cli, &session, TEXT_MAX, &status, ret, err);

	if (r >= 0 && status != 0) {
		free(TAKE_PTR(*ret));
		r = bg_err_set(err, BG_ERR_AGENT, EIO, "the agent in %s could not tell (status %d)",
			vm, status);
	}
	return r;
}

/* "tcp 0.0.0.0 22 95 sshd"; NULL for a line that is none. */
static json_t *port_record(const char *line)
{
	char proto[8], address[64], name[64] = "";
	int port = 0, pid = 0;

	if (sscanf(line, "%7s %63s %d %d %63[^\n]", proto, address, &port, &pid, name) < 4)
		return NULL;
	return json_pack("{s:o, s:o, s:i, s:o, s:o}", "protocol", bg_json_str(proto), "address",
		bg_json_str(address), "port", port, "pid", pid ? json_integer(pid) : json_null(),
		"process", *name ? bg_json_str(name) : json_null());
}

static json_t *port_list(char *text)
{
	json_t *list = json_array();
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *record = port_record(line);

		if (record)
			json_array_append_new(list, record);
	}
	return list;
}

static void print_ports(struct cli *cli, const char *name, const json_t *list)
{
	static const struct column columns[] = {{.title = "PROTOCOL"},
		{.title = "ADDRESS", .min = 10}, {.title = "PORT", .right = true},
		{.title = "PROCESS", .min = 8}, {.title = "PID", .right = true, .drop = 1}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	const json_t *port;
	char pid[16];
	size_t i;

	json_array_foreach (list, i, port) {
		snprintf(pid, sizeof(pid), "%lld", (long long)render_int(port, "pid"));
		table_cell(t, STYLE_PLAIN, "%s", render_text(port, "protocol"));
		table_cell(t, STYLE_PLAIN, "%s", render_text(port, "address"));
		table_cell(t, STYLE_BOLD, "%lld", (long long)render_int(port, "port"));
		table_cell(t, STYLE_PLAIN, "%s", render_text(port, "process"));
		table_cell(t, STYLE_DIM, "%s", render_int(port, "pid") ? pid : "");
	}
	if (json_array_size(list) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file, "%s has no listening ports.\n", name);
}

int vm_ports(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_free_ char *text = NULL;
	_json_ json_t *list = NULL;
	int r = ask_guest(cli, args->positional[0], "ports", &text, err);

	if (r < 0)
		return r;
	list = port_list(text);
	if (cli->json)
		render_json(&cli->out, list);
	else
		print_ports(cli, args->positional[0], list);
	return BG_EXIT_OK;
}

/* CPU time of the VMM so far, and when that was. */
struct sample {
	double cpu_s, at_s;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* False: its VMM has just ended. */
static bool read_usage(const json_t *vm, struct bg_usage *ret)
{
	const json_t *paths = json_object_get(vm, "paths");
	const char *const files[] = {render_text(paths, "disk"), render_text(paths, "work"), NULL};

	return bg_usage_read((pid_t)render_int(vm, "pid"), files, ret) >= 0;
}

static void take_sample(const json_t *vm, struct sample *ret)
{
	struct bg_usage usage;

	if (read_usage(vm, &usage))
		*ret = (struct sample){usage.cpu_s, now_s()};
}

static json_t *host_record(const json_t *vm, const struct sample *first)
{
	int64_t pss = bg_usage_pss((pid_t)render_int(vm, "pid"));
	struct bg_usage usage = {0};
	double percent = 0, at = now_s();

	if (read_usage(vm, &usage) && at > first->at_s)
		percent = 100 * (usage.cpu_s - first->cpu_s) / (at - first->at_s);
	return json_pack("{s:f, s:f, s:I, s:o, s:I, s:I}", "cpu_percent", percent, "cpu_seconds",
		usage.cpu_s, "memory_bytes", (json_int_t)usage.memory_bytes, "pss_bytes",
		pss ? json_integer(pss) : json_null(), "disk_bytes", (json_int_t)usage.disk_bytes,
		"written_bytes", (json_int_t)usage.written_bytes);
}

static void of_total(const struct term *t, const char *label, uint64_t used_kib, uint64_t total_kib)
{
	char used[BG_SIZE_TEXT], total[BG_SIZE_TEXT];

	if (total_kib)
		render_field(t, label, STYLE_PLAIN, "%s of %s (%d %%)",
			bg_size_print_mib(used_kib / 1024, used),
			bg_size_print_mib(total_kib / 1024, total),
			(int)(100 * used_kib / total_kib));
}

static uint64_t number(const json_t *record, const char *key)
{
	return (uint64_t)BG_MAX(render_int(record, key), (int64_t)0);
}

static void print_stats(struct cli *cli, const json_t *stats)
{
	const json_t *host = json_object_get(stats, "host"),
		     *guest = json_object_get(stats, "guest");
	const struct term *t = &cli->out;
	char memory[BG_SIZE_TEXT], pss[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], written[BG_SIZE_TEXT],
		up[DURATION_TEXT], cpu[DURATION_TEXT];
	uint64_t total = number(guest, "memory_total_kib");

	render_field(t, "name", STYLE_BOLD, "%s", render_text(stats, "name"));
	render_field(t, "host cpu", STYLE_PLAIN, "%.0f %%, %s since its start",
		json_number_value(json_object_get(host, "cpu_percent")),
		render_age((int64_t)json_number_value(json_object_get(host, "cpu_seconds")), cpu));
	render_field(t, "host memory", STYLE_PLAIN, "%s%s%s%s",
		bg_size_print_mib(number(host, "memory_bytes") / MIB, memory),
		number(host, "pss_bytes") ? ", " : "",
		number(host, "pss_bytes") ? bg_size_print_mib(number(host, "pss_bytes") / MIB, pss)
					  : "",
		number(host, "pss_bytes") ? " of it its own" : "");
	if (number(host, "code_cache_mib"))
		render_field(t, "emulation", STYLE_PLAIN,
			"up to %lluM of that is translated code: KVM is not used",
			(unsigned long long)number(host, "code_cache_mib"));
	render_field(t, "host disk", STYLE_PLAIN, "%s, %s written since its start",
		bg_size_print_mib(number(host, "disk_bytes") / MIB, disk),
		bg_size_print_mib(number(host, "written_bytes") / MIB, written));
	render_field(t, "load", STYLE_PLAIN, "%.2f  %.2f  %.2f",
		(double)number(guest, "load1_milli") / 1000,
		(double)number(guest, "load5_milli") / 1000,
		(double)number(guest, "load15_milli") / 1000);
	of_total(t, "memory", total - BG_MIN(total, number(guest, "memory_available_kib")), total);
	of_total(t, "disk /", number(guest, "disk_used_bytes") / 1024,
		number(guest, "disk_total_bytes") / 1024);
	of_total(t, "disk /root", number(guest, "work_used_bytes") / 1024,
		number(guest, "work_total_bytes") / 1024);
	render_field(t, "processes", STYLE_PLAIN, "%llu",
		(unsigned long long)number(guest, "processes"));
	render_field(
		t, "up", STYLE_PLAIN, "%s", render_age((int64_t)number(guest, "uptime_s"), up));
}

static int one_round(struct cli *cli, const char *name, struct sample *sample, struct bg_err **err)
{
	_json_ json_t *vm = NULL, *stats = NULL;
	_free_ char *text = NULL;
	int r = client_call(cli, CLIENT_START, ROUTE_VM_SHOW, name, NULL, &vm, err);

	if (r >= 0 && sample->at_s <= 0) {
		take_sample(vm, sample);
		(void)poll(NULL, 0, SAMPLE_MS);
	}
	if (r >= 0)
		r = ask_guest(cli, name, "stats", &text, err);
	if (r < 0)
		return r;
	stats = json_pack("{s:s, s:o, s:o}", "name", name, "host", host_record(vm, sample), "guest",
		bg_guest_stats(text));
	json_object_set(json_object_get(stats, "host"), "code_cache_mib",
		json_object_get(vm, "code_cache_mib"));
	take_sample(vm, sample);
	if (cli->json)
		render_json(&cli->out, stats);
	else
		print_stats(cli, stats);
	fflush(cli->out.file);
	return 0;
}

static void usage_row(struct table *t, const json_t *vm)
{
	const json_t *host = json_object_get(vm, "host");
	char memory[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], written[BG_SIZE_TEXT], cpu[DURATION_TEXT];

	table_cell(t, STYLE_BOLD, "%s", render_text(vm, "name"));
	table_cell(
		t, STYLE_PLAIN, "%.0f %%", json_number_value(json_object_get(host, "cpu_percent")));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib(number(host, "memory_bytes") / MIB, memory));
	table_cell(t, STYLE_PLAIN, "%s", bg_size_print_mib(number(host, "disk_bytes") / MIB, disk));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib(number(host, "written_bytes") / MIB, written));
	table_cell(t, STYLE_PLAIN, "%s",
		render_age((int64_t)json_number_value(json_object_get(host, "cpu_seconds")), cpu));
}

static void print_usage(struct cli *cli, const json_t *list)
{
	static const struct column columns[] = {{.title = "NAME", .min = 10},
		{.title = "CPU", .right = true}, {.title = "MEMORY", .right = true},
		{.title = "DISK", .right = true, .drop = 2},
		{.title = "WRITTEN", .right = true, .drop = 3},
		{.title = "CPU TIME", .right = true, .drop = 1}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	const json_t *vm;
	size_t i;

	json_array_foreach (list, i, vm)
		usage_row(t, vm);
	if (json_array_size(list) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file, "No VM is running.\n");
}

/* What the running VMs use of the host, over the next wait_ms. */
static json_t *usage(const json_t *vms, int wait_ms)
{
	_free_ struct sample *first = calloc(json_array_size(vms) + 1, sizeof(*first));
	json_t *list = json_array();
	const json_t *vm;
	size_t i;

	json_array_foreach (vms, i, vm) {
		if (first && render_int(vm, "pid"))
			take_sample(vm, &first[i]);
	}
	(void)poll(NULL, 0, wait_ms);
	json_array_foreach (vms, i, vm) {
		if (first && render_int(vm, "pid"))
			json_array_append_new(
				list, json_pack("{s:s, s:o}", "name", render_text(vm, "name"),
					      "host", host_record(vm, &first[i])));
	}
	return list;
}

/* On a terminal each round is drawn over the last one. */
static int watch_all(struct cli *cli, bool watch, struct bg_err **err)
{
	bool clear = watch && cli->out.tty && !cli->json;
	int r;

	do {
		_json_ json_t *reply = NULL, *list = NULL;

		r = client_call(cli, CLIENT_START, ROUTE_VM_LIST, NULL, NULL, &reply, err);
		if (r < 0)
			break;
		list = usage(json_object_get(reply, "vms"), watch ? WATCH_MS : SAMPLE_MS);
		if (clear)
			fputs("\033[H\033[2J", cli->out.file);
		if (cli->json)
			render_json(&cli->out, list);
		else
			print_usage(cli, list);
		fflush(cli->out.file);
	} while (watch && !ferror(cli->out.file));
	return r < 0 ? r : BG_EXIT_OK;
}

int top(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return watch_all(cli, !args_has(args, "--once"), err);
}

/* On a terminal each round is drawn over the last one. */
int vm_stats(struct cli *cli, const struct args *args, struct bg_err **err)
{
	bool watch = args_has(args, "--watch");
	struct sample sample = {0};
	int r;

	if (args->count == 0)
		return watch_all(cli, watch, err);
	do {
		if (watch && cli->out.tty && !cli->json)
			fputs("\033[H\033[2J", cli->out.file);
		r = one_round(cli, args->positional[0], &sample, err);
		if (r >= 0 && watch)
			(void)poll(NULL, 0, WATCH_MS);
	} while (r >= 0 && watch && !ferror(cli->out.file));
	return r < 0 ? r : BG_EXIT_OK;
}
