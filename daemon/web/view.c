/* SPDX-License-Identifier: ISC */
/* view.c: One function per kind of record. */
#include "daemon/web/view.h"

#include <stdio.h>
#include <time.h>

#include "common/json.h"
#include "common/size.h"
#include "common/vm_record.h"
#include "daemon/web/template.h"

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));

	return text ? text : "";
}

static int64_t number_of(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

static bool flag_of(const json_t *record, const char *key)
{
	return json_is_true(json_object_get(record, key));
}

/* The page's script writes it as it is, so it is made readable here already. */
static void put(json_t *view, const char *key, const char *text)
{
	_free_ char *clean = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&clean, &len);

	if (!f)
		return;
	template_clean(text ? text : "", f);
	if (fclose(f) == 0)
		json_object_set_new(view, key, bg_json_str(clean));
}

static void put_flag(json_t *view, const char *key, bool on)
{
	json_object_set_new(view, key, json_boolean(on));
}

_printf_(3, 4) static void put_text(json_t *view, const char *key, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	put(view, key, text ? text : "");
}

static void put_bytes(json_t *view, const char *key, int64_t bytes)
{
	char text[BG_SIZE_TEXT];

	put(view, key, bg_size_print((uint64_t)BG_MAX(bytes, 0), text));
}

static void put_mib(json_t *view, const char *key, const json_t *record, const char *from)
{
	put_bytes(view, key, number_of(record, from) * (int64_t)MIB);
}

static void copy(json_t *view, const json_t *record, const char *const *keys)
{
	for (; *keys; keys++)
		put(view, *keys, text_of(record, *keys));
}

char *view_duration(int64_t s, char out[VIEW_DURATION])
{
	long long n = BG_MAX(s, 0);

	if (n < 60)
		snprintf(out, VIEW_DURATION, "%lld s", n);
	else if (n < 3600)
		snprintf(out, VIEW_DURATION, "%lld min", n / 60);
	else if (n < 86400)
		snprintf(out, VIEW_DURATION, "%lldh %lldm", n / 3600, n % 3600 / 60);
	else
		snprintf(out, VIEW_DURATION, "%lldd %lldh", n / 86400, n % 86400 / 3600);
	return out;
}

/* -1: it is not a time of the API. */
static int64_t seconds_of(const char *time)
{
	struct tm tm = {0};

	return strptime(time, "%Y-%m-%dT%H:%M:%SZ", &tm) ? (int64_t)timegm(&tm) : -1;
}

/* "2026-01-31 12:00" */
static void put_time(json_t *view, const char *key, const json_t *record, const char *from)
{
	const char *time = text_of(record, from);

	if (strlen(time) < 16)
		put(view, key, "");
	else
		put_text(view, key, "%.10s %.5s", time, time + 11);
}

/* What stands in the place of the state where that alone would mislead, and its look (a class of the style). */
static const char *state_word(const json_t *vm, const char **look)
{
	const char *state = text_of(vm, "state"), *health = text_of(vm, "health");
	bool ready = flag_of(vm, "ready");

	*look = state;
	if (bg_streq(state, "running")) {
		*look = flag_of(vm, "paused") ? "paused" : ready ? "running" : "starting";
		if (bg_streq(health, "vmm_silent"))
			return "VMM silent";
		if (ready && bg_streq(health, "agent_silent"))
			return "agent silent";
		/* it stands still until the disk of the host has some */
		return flag_of(vm, "paused") ? "no space" : ready ? state : "not ready";
	}
	if (!bg_streq(state, "stopped"))
		return state;
	if (*text_of(vm, "missing") || bg_vm_failure(vm))
		*look = "failed";
	return *text_of(vm, "missing") ? "no disks" : bg_streq(*look, "failed") ? *look : state;
}

static void put_list(json_t *view, const char *key, const json_t *list, const char *between,
	void (*print)(FILE *f, const json_t *item))
{
	_free_ char *text = NULL;
	const json_t *item;
	size_t len = 0, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	json_array_foreach (list, i, item) {
		fputs(i ? between : "", f);
		print(f, item);
	}
	fclose(f);
	put(view, key, text);
}

static void print_port(FILE *f, const json_t *item)
{
	fprintf(f, "%lld:%lld", (long long)number_of(item, "host"),
		(long long)number_of(item, "guest"));
}

static void print_exposed(FILE *f, const json_t *item)
{
	fprintf(f, "%lld", (long long)number_of(item, "port"));
}

static void put_labels(json_t *view, const json_t *vm)
{
	json_t *labels = json_object_get(vm, "labels"), *value;
	_free_ char *text = NULL;
	const char *key;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	json_object_foreach (labels, key, value)
		fprintf(f, "%s%s=%s", ftell(f) > 0 ? " " : "", key,
			json_is_string(value) ? json_string_value(value) : "");
	fclose(f);
	put(view, "labels", text);
}

/* The line below the name: what is wrong, else what it publishes, else its labels. */
static void put_note(json_t *view, const json_t *vm)
{
	const json_t *error = json_object_get(vm, "error");
	const char *ports = text_of(view, "ports");

	put_flag(view, "bad", bg_vm_failure(vm) || *text_of(vm, "missing"));
	if (*text_of(vm, "missing"))
		put_text(view, "note", "%s is missing", text_of(vm, "missing"));
	else if (json_is_object(error))
		put(view, "note", text_of(error, "message"));
	else if (*ports)
		put_text(view, "note", "publishes %s", ports);
	else
		put(view, "note", text_of(view, "labels"));
	put(view, "hint", text_of(error, "hint"));
}

static void put_up(json_t *view, const json_t *vm, int64_t now)
{
	int64_t since = seconds_of(text_of(vm, "started_at"));
	char text[VIEW_DURATION];
	bool up = bg_streq(text_of(vm, "state"), "running") && since >= 0;

	put(view, "up", up ? view_duration(now - since, text) : "");
}

static void put_sizes(json_t *view, const json_t *vm)
{
	put_text(view, "cpus", "%lld", (long long)number_of(vm, "cpus"));
	put_mib(view, "memory", vm, "memory_mib");
	json_object_set_new(
		view, "mem_bytes", json_integer(number_of(vm, "memory_mib") * (int64_t)MIB));
	put_mib(view, "disk", vm, "disk_mib");
	put_mib(view, "work", vm, "work_mib");
	put_text(view, "runs_on", "%s%s%s", text_of(vm, "vmm"), *text_of(vm, "accel") ? ", " : "",
		text_of(vm, "accel"));
	put(view, "nat", flag_of(vm, "nat") ? "on" : "off");
	put_flag(view, "nat_on", flag_of(vm, "nat"));
	put_flag(view, "peers_on", flag_of(vm, "peers"));
}

json_t *view_vm(const json_t *vm, int64_t now)
{
	static const char *const same[] = {
		"name", "image", "kernel", "address", "operation", "storage", "id", NULL};
	const char *state = text_of(vm, "state"), *look;
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, vm, same);
	put(view, "state", state_word(vm, &look));
	put_text(view, "look", "s-%s", look);
	put_flag(view, "runs", bg_streq(state, "running"));
	put_flag(view, "rests", bg_streq(state, "stopped"));
	put_flag(view, "still", bg_streq(state, "paused"));
	put_flag(view, "sleeps", bg_streq(state, "paused") || bg_streq(state, "suspended"));
	put_flag(view, "lives", bg_streq(state, "running") || bg_streq(state, "paused"));
	put_flag(view, "busy", *text_of(vm, "operation"));
	put_flag(view, "open", bg_streq(state, "running") && flag_of(vm, "ready"));
	put_list(view, "ports", json_object_get(vm, "publish"), " ", print_port);
	put_list(view, "exposed", json_object_get(vm, "expose"), " ", print_exposed);
	put_labels(view, vm);
	put_note(view, vm);
	put_up(view, vm, now);
	put_sizes(view, vm);
	put_time(view, "created", vm, "created_at");
	return view;
}

static const json_t *stage_now(const json_t *op)
{
	const json_t *stages = json_object_get(op, "stages"), *stage, *ret = NULL;
	size_t i;

	json_array_foreach (stages, i, stage)
		if (bg_streq(text_of(stage, "state"), "running"))
			ret = stage;
	return ret;
}

/* "38.2M of 71M" when the unit is bytes. */
static void put_amount(const json_t *progress, char *out, size_t size)
{
	long long done = (long long)number_of(progress, "done"),
		  total = (long long)number_of(progress, "total");
	const char *unit = text_of(progress, "unit");
	char a[BG_SIZE_TEXT], b[BG_SIZE_TEXT];

	out[0] = '\0';
	if (total <= 0)
		return;
	if (bg_streq(unit, "bytes"))
		snprintf(out, size, ", %s of %s", bg_size_print((uint64_t)BG_MAX(done, 0), a),
			bg_size_print((uint64_t)total, b));
	else
		snprintf(out, size, ", %lld of %lld %.20s", done, total, unit);
}

static void put_progress(json_t *view, const json_t *op)
{
	const json_t *progress = json_object_get(op, "progress"), *stage = stage_now(op);
	int64_t done = number_of(progress, "done"), total = number_of(progress, "total");
	const char *own = text_of(progress, "text");
	char amount[80];

	put_amount(progress, amount, sizeof(amount));
	put_text(view, "text", "%s%s", *own ? own : text_of(stage, "text"), amount);
	/* Nothing to measure: a bar that only moves. */
	put_flag(view, "measured", total > 0);
	put_text(view, "percent", "%lld",
		total > 0 ? (long long)BG_MIN(100, BG_MAX(done, 0) * 100 / total) : 0LL);
}

/* "vm.create" of "web": "create". */
static const char *verb_of(const char *kind)
{
	const char *dot = strchr(kind, '.');

	return dot ? dot + 1 : kind;
}

static void put_end(json_t *view, const json_t *op)
{
	const json_t *error = json_object_get(op, "error");
	char text[VIEW_DURATION];

	put(view, "error", text_of(error, "message"));
	put(view, "hint", text_of(error, "hint"));
	put(view, "took", view_duration(number_of(op, "elapsed_ms") / 1000, text));
}

json_t *view_op(const json_t *op)
{
	static const char *const same[] = {"id", "kind", "target", "state", NULL};
	const char *kind = text_of(op, "kind"), *state = text_of(op, "state");
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, op, same);
	put(view, "verb", verb_of(kind));
	put_text(view, "noun", "%.*s", (int)strcspn(kind, "."), kind);
	put_flag(view, "of_vm", strncmp(kind, "vm.", 3) == 0);
	put_flag(view, "running", bg_streq(state, "running"));
	put_text(view, "look", "s-%s",
		bg_streq(state, "running")  ? "starting"
		: bg_streq(state, "done")   ? "running"
		: bg_streq(state, "failed") ? state
					    : "stopped");
	put_progress(view, op);
	put_end(view, op);
	put_time(view, "created", op, "created_at");
	return view;
}

static void print_user(FILE *f, const json_t *item)
{
	fputs(json_is_string(item) ? json_string_value(item) : "", f);
}

static void put_users(json_t *view, const json_t *record)
{
	const json_t *list = json_object_get(record, "used_by");

	put_list(view, "used_by", list, ", ", print_user);
	put_flag(view, "unused", json_array_size(list) == 0);
}

json_t *view_image(const json_t *image)
{
	static const char *const same[] = {"name", "kernel", "os", "source", NULL};
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, image, same);
	put_bytes(view, "size", number_of(image, "size_bytes"));
	put_bytes(view, "real", number_of(image, "real_bytes"));
	put_users(view, image);
	put_flag(view, "managed", flag_of(image, "managed"));
	put_time(view, "created", image, "created_at");
	return view;
}

json_t *view_kernel(const json_t *kernel)
{
	static const char *const same[] = {"name", "release", "format", NULL};
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, kernel, same);
	put_bytes(view, "real", number_of(kernel, "real_bytes"));
	put_text(view, "modules", "%lld", (long long)number_of(kernel, "modules"));
	put_users(view, kernel);
	put_time(view, "created", kernel, "created_at");
	return view;
}

json_t *view_file(const json_t *entry)
{
	static const char *const same[] = {"name", NULL};
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, entry, same);
	put_bytes(view, "size", number_of(entry, "size"));
	return view;
}

json_t *view_host(const json_t *daemon, int64_t now)
{
	static const char *const same[] = {"version", "socket", "state_dir", "log", "config", NULL};
	const json_t *vmm = json_object_get(daemon, "vmm"),
		     *storage = json_object_get(daemon, "storage");
	const json_t *helper = json_object_get(daemon, "helper"),
		     *error = json_object_get(helper, "error");
	int64_t since = seconds_of(text_of(daemon, "started_at"));
	char text[VIEW_DURATION];
	json_t *view = json_object();

	if (!view)
		return NULL;
	copy(view, daemon, same);
	put_text(view, "pid", "%lld", (long long)number_of(daemon, "pid"));
	put_bytes(view, "rss", number_of(daemon, "rss_kib") * (int64_t)KIB);
	put(view, "up", since >= 0 ? view_duration(now - since, text) : "");
	put_text(view, "vmm", "%s", *text_of(vmm, "name") ? text_of(vmm, "name") : "none");
	put(view, "accel", text_of(vmm, "accel"));
	put(view, "vmm_reason", text_of(vmm, "reason"));
	put(view, "driver", text_of(storage, "driver"));
	put(view, "driver_reason", text_of(storage, "reason"));
	put(view, "helper_error", text_of(error, "message"));
	put(view, "helper_hint", text_of(error, "hint"));
	put_text(view, "slots", "%lld", (long long)number_of(helper, "slots"));
	put(view, "store", text_of(json_object_get(daemon, "store"), "mode"));
	put_flag(view, "config_changed", flag_of(daemon, "config_changed"));
	put_text(view, "sessions", "%lld",
		(long long)number_of(json_object_get(daemon, "web"), "sessions"));
	return view;
}

/* Numbers for the curves, words for the cells. */
json_t *view_usage(const json_t *usage)
{
	int64_t cpu = json_is_number(json_object_get(usage, "cpu_percent"))
			      ? (int64_t)json_number_value(json_object_get(usage, "cpu_percent"))
			      : 0;
	int64_t memory = number_of(usage, "memory_bytes");
	json_t *view = json_object();

	if (!view)
		return NULL;
	put(view, "name", text_of(usage, "name"));
	json_object_set_new(view, "cpu", json_integer(cpu));
	json_object_set_new(view, "mem", json_integer(memory));
	/* Not known at the first look. */
	if (json_is_number(json_object_get(usage, "cpu_percent")))
		put_text(view, "cpu_text", "%lld %%", (long long)cpu);
	put_bytes(view, "mem_text", memory);
	return view;
}

json_t *view_list(const json_t *list, json_t *(*make)(const json_t *record))
{
	json_t *ret = json_array();
	const json_t *record;
	size_t i;

	json_array_foreach (list, i, record)
		json_array_append_new(ret, make(record));
	return ret;
}
