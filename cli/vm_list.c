/* SPDX-License-Identifier: ISC */
/*
 * vm_list.c: `vm list`: a table, the names alone, or a line of the user's own for each VM.
 */
#include "cli/vm_list.h"

#include <fnmatch.h>

#include "cli/client.h"
#include "cli/pulse.h"
#include "cli/vm_body.h"
#include "common/json.h"
#include "common/size.h"
#include "common/vm_record.h"

enum { UPTIME_TEXT = 64 };

const char *vm_state_word(const json_t *vm, enum style *style)
{
	const char *state = render_text(vm, "state"), *health = render_text(vm, "health");
	const json_t *failure = bg_vm_failure(vm);
	bool ready = false;

	(void)bg_json_get_bool(vm, "ready", &ready);
	*style = STYLE_YELLOW;
	if (bg_streq(state, "running")) {
		*style = STYLE_YELLOW;
		if (bg_streq(health, "vmm_silent"))
			return "VMM silent";
		if (ready && bg_streq(health, "agent_silent"))
			return "agent silent";
		*style = ready ? STYLE_GREEN : STYLE_YELLOW;
		return ready ? state : "not ready";
	}
	if (bg_streq(state, "suspended"))
		*style = *render_text(vm, "missing") ? STYLE_RED : STYLE_DIM;
	if (!bg_streq(state, "stopped"))
		return state;
	*style = failure || *render_text(vm, "missing") ? STYLE_RED : STYLE_DIM;
	if (*render_text(vm, "missing"))
		return "no disks";
	return failure ? "failed" : state;
}

const char *vm_uptime(const json_t *vm, char out[DURATION_TEXT])
{
	const char *started = render_text(vm, "started_at");
	int64_t seconds = *started ? render_seconds_since(started) : -1;

	if (seconds < 0 || !bg_streq(render_text(vm, "state"), "running"))
		return "";
	return render_age(seconds, out);
}

const char *vm_suspended_size(const json_t *vm, char out[BG_SIZE_TEXT])
{
	uint64_t bytes = (uint64_t)render_int(vm, "suspended_bytes");

	return bg_size_print_mib(BG_MAX(bytes / MIB, UINT64_C(1)), out);
}

/* Since when it runs; of a suspended one what it takes instead. */
static const char *uptime_or_size(const json_t *vm, char out[UPTIME_TEXT])
{
	char text[BG_MAX((int)DURATION_TEXT, (int)BG_SIZE_TEXT)];

	if (!bg_streq(render_text(vm, "state"), "suspended"))
		snprintf(out, UPTIME_TEXT, "%s", vm_uptime(vm, text));
	else
		snprintf(out, UPTIME_TEXT, "%s on disk", vm_suspended_size(vm, text));
	return out;
}

/* The texts that --filter may ask for. */
static const char *const filter_keys[] = {"state", "name", "image", "kernel", "health"};

static bool is_filter_key(const char *key, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(filter_keys); i++)
		if (strlen(filter_keys[i]) == len && strncmp(filter_keys[i], key, len) == 0)
			return true;
	return len == strlen("label") && strncmp(key, "label", len) == 0;
}

static int check_filters(const struct args *args, struct bg_err **err)
{
	const char *word;
	int r = 0;

	for (size_t i = 0; r >= 0 && (word = args_nth(args, "--filter", i)); i++) {
		size_t len = strcspn(word, "=");

		if (word[len] && is_filter_key(word, len))
			continue;
		r = bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "--filter: cannot filter by \"%.60s\"", word);
		bg_err_hint(
			err, "use state=, name=, image=, kernel=, health= or label=KEY[=VALUE]");
	}
	return r;
}

static bool passes(const json_t *vm, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *value = word + len + 1;
	char key[16];

	snprintf(key, sizeof(key), "%.*s", (int)len, word);
	if (bg_streq(key, "label"))
		return vm_has_label(vm, value);
	return fnmatch(value, render_text(vm, key), 0) == 0;
}

static void filter(json_t *vms, const struct args *args)
{
	vm_filter_labels(vms, args);
	for (size_t i = json_array_size(vms); i-- > 0;) {
		const char *word;
		bool pass = true;

		for (size_t n = 0; pass && (word = args_nth(args, "--filter", n)); n++)
			pass = passes(json_array_get(vms, i), word);
		if (!pass)
			json_array_remove(vms, i);
	}
}

/* The value of "labels.env" in a record; NULL: it has no such field. */
static const json_t *field(const json_t *vm, const char *path, size_t len)
{
	while (len > 0 && vm) {
		size_t n = BG_MIN(strcspn(path, "."), len);
		_free_ char *key = strndup(path, n);

		/* docker's templates write .Name */
		for (char *c = key; c && *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
		vm = key ? json_object_get(vm, key) : NULL;
		n += n < len;
		path += n;
		len -= n;
	}
	return vm;
}

static void print_value(FILE *f, const json_t *value)
{
	_free_ char *clean = NULL;

	if (json_is_string(value)) {
		clean = term_clean(json_string_value(value));
		fputs(clean ? clean : "", f);
	} else if (!json_is_null(value)) {
		json_dumpf(value, f, JSON_ENCODE_ANY | JSON_COMPACT);
	}
}

/* One line of --format; text without {{}} is printed as it is. */
static int print_format(FILE *f, const json_t *vm, const char *format, struct bg_err **err)
{
	while (*format) {
		size_t plain = strcspn(format, "{\\"), len;
		const char *end = strstr(format + plain, "}}");
		const json_t *value;

		fprintf(f, "%.*s", (int)plain, format);
		format += plain;
		if (strncmp(format, "\\t", 2) == 0 || strncmp(format, "\\n", 2) == 0) {
			fputc(format[1] == 't' ? '\t' : '\n', f);
			format += 2;
			continue;
		}
		if (strncmp(format, "{{.", 3) != 0 || !end) {
			if (*format)
				fputc(*format++, f);
			continue;
		}
		len = (size_t)(end - format) - 3;
		value = field(vm, format + 3, len);
		if (!value && strncmp(format + 3, "labels.", 7) != 0)
			return bg_err_set(err, BG_ERR_USAGE, EINVAL,
				"--format: a VM has no field \"%.*s\"",
				(int)BG_MIN(len, (size_t)60), format + 3);
		print_value(f, value);
		format = end + 2;
	}
	fputc('\n', f);
	return 0;
}

static void list_row(struct table *t, const json_t *vm, bool starts, bool ports, bool labels)
{
	_free_ char *text = labels ? vm_labels_text(vm) : NULL;
	_free_ char *started = starts ? vm_start_text(vm) : NULL;
	_free_ char *published = ports ? vm_ports_text(vm) : NULL;
	char memory[BG_SIZE_TEXT], disk[BG_SIZE_TEXT], up[UPTIME_TEXT];
	enum style style;
	const char *state = vm_state_word(vm, &style);

	table_cell(t, STYLE_BOLD, "%s", render_text(vm, "name"));
	table_cell(t, style, "%s", state);
	table_cell(t, STYLE_PLAIN, "%s", render_text(vm, "image"));
	table_cell(t, STYLE_PLAIN, "%lld", (long long)render_int(vm, "cpus"));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib((uint64_t)render_int(vm, "memory_mib"), memory));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print_mib((uint64_t)render_int(vm, "disk_mib"), disk));
	table_cell(t, STYLE_PLAIN, "%s", render_text(vm, "address"));
	table_cell(t, STYLE_PLAIN, "%s", uptime_or_size(vm, up));
	if (starts)
		table_cell(t, STYLE_PLAIN, "%s", started ? started : "");
	if (ports)
		table_cell(t, STYLE_PLAIN, "%s", published ? published : "");
	if (labels)
		table_cell(t, STYLE_DIM, "%s", text ? text : "");
}

static bool starts_by_itself(const json_t *vm)
{
	_free_ char *text = vm_start_text(vm);

	return !bg_isempty(text);
}

/* Columns that no VM fills are left out; the rightmost go first on a narrow terminal. */
static void print_table(struct cli *cli, const json_t *vms)
{
	enum { BASE = 8 };
	struct column columns[BASE + 3] = {{.title = "NAME", .min = 20}, {.title = "STATE"},
		{.title = "IMAGE", .min = 8, .drop = 3}, {.title = "CPU", .right = true, .drop = 5},
		{.title = "MEMORY", .right = true, .drop = 4},
		{.title = "DISK", .right = true, .drop = 6}, {.title = "ADDRESS", .drop = 1},
		{.title = "UPTIME", .drop = 2}};
	_unref_(table) struct table *t = NULL;
	bool labels = false, ports = false, starts = false;
	unsigned n = BASE;
	const json_t *vm;
	size_t i;

	json_array_foreach (vms, i, vm) {
		starts |= starts_by_itself(vm);
		labels |= json_object_size(json_object_get(vm, "labels")) > 0;
		ports |= json_array_size(json_object_get(vm, "publish")) > 0;
	}
	if (starts)
		columns[n++] = (struct column){.title = "STARTS", .drop = 9};
	if (ports)
		columns[n++] = (struct column){.title = "PORTS", .min = 10, .drop = 7};
	if (labels)
		columns[n++] = (struct column){.title = "LABELS", .min = 10, .drop = 8};
	t = table_new(columns, n);
	json_array_foreach (vms, i, vm)
		list_row(t, vm, starts, ports, labels);
	table_print(t, &cli->out);
}

static int print_lines(struct cli *cli, const json_t *vms, const char *format, struct bg_err **err)
{
	const json_t *vm;
	size_t i;
	int r = 0;

	json_array_foreach (vms, i, vm) {
		if (r >= 0)
			r = print_format(cli->out.file, vm, format, err);
	}
	return r < 0 ? r : BG_EXIT_OK;
}

/* A table and names need little of each record. */
static const char *query(const struct cli *cli, const struct args *args)
{
	const char *format = args_value(args, "--format");
	bool whole = cli->json || (format && !bg_streq(format, "table"));

	return whole ? NULL : "brief=1";
}

static int list_once(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *format = args_has(args, "--quiet") ? "{{.name}}" : args_value(args, "--format");
	bool filtered = args_has(args, "--label") || args_has(args, "--filter");
	_json_ json_t *reply = NULL;
	json_t *vms;
	int r = client_ask(cli, ROUTE_VM_LIST, query(cli, args), &reply, err);

	if (r < 0)
		return r;
	vms = json_object_get(reply, "vms");
	filter(vms, args);
	if (cli->json || bg_streq(format, "json")) {
		render_json(&cli->out, vms);
		return BG_EXIT_OK;
	}
	if (format && !bg_streq(format, "table"))
		return print_lines(cli, vms, format, err);
	if (json_array_size(vms) > 0)
		print_table(cli, vms);
	else if (filtered)
		fprintf(cli->err.file, "No VMs match.\n");
	else
		fprintf(cli->err.file, "There are no VMs yet. Make one: `banger vm create NAME`\n");
	return BG_EXIT_OK;
}

/* Whether a line that is here speaks of a VM. All of them are taken. */
static int take_changes(struct bg_http *events, bool *changed, struct bg_err **err)
{
	int r;

	for (;;) {
		_json_ json_t *line = NULL;

		r = bg_http_take_line(events, &line, err);
		if (r < 0 || !line)
			return r;
		*changed |= bg_streq(render_text(line, "type"), "vm");
	}
}

/* Until a VM has changed, or its uptime on a terminal has. */
static int wait_change(struct cli *cli, struct bg_http *events, struct bg_err **err)
{
	enum { UPTIME_MS = 60 * 1000, TOGETHER_MS = 100 };
	_pulse_ struct pulse pulse;
	bool changed = false;
	int r = 0;

	pulse_init(&pulse, cli);
	while (r >= 0) {
		/* What comes together is one change. */
		r = pulse_wait(&pulse, bg_http_fd(events),
			changed	       ? TOGETHER_MS
			: cli->out.tty ? UPTIME_MS
				       : -1,
			err);
		if (r == 0)
			return 0;
		if (r > 0)
			r = bg_http_pump(events, err);
		if (r >= 0)
			r = take_changes(events, &changed, err);
		if (r >= 0 && bg_http_ended(events))
			return bg_err_set(
				err, BG_ERR_DAEMON_UNREACHABLE, EPIPE, "the daemon went away");
	}
	return r;
}

/* On a terminal each list is drawn over the last one. */
static int watch(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *events = NULL;
	int r = client_stream(cli, ROUTE_EVENTS, NULL, NULL, &events, err);

	while (r >= 0 && !ferror(cli->out.file)) {
		if (cli->out.tty && !cli->json)
			fputs("\033[H\033[2J", cli->out.file);
		term_resize(&cli->out);
		r = list_once(cli, args, err);
		fflush(cli->out.file);
		if (r >= 0)
			r = wait_change(cli, events, err);
	}
	return r < 0 ? r : BG_EXIT_OK;
}

int vm_list(struct cli *cli, const struct args *args, struct bg_err **err)
{
	int r = check_filters(args, err);

	if (r < 0)
		return r;
	return args_has(args, "--watch") ? watch(cli, args, err) : list_once(cli, args, err);
}
