/* SPDX-License-Identifier: ISC */
/*
 * vm_body.c: Flags to JSON and back to text: the two directions stand beside each other, so that
 * what is shown can be typed.
 */
#include "cli/vm_body.h"

#include "cli/render.h"
#include "common/json.h"
#include "common/limits.h"

void vm_body_text(json_t *body, const char *key, const char *value)
{
	if (value)
		json_object_set_new(body, key, bg_json_str(value));
}

static void set_number(json_t *body, const char *key, uint64_t value)
{
	if (value)
		json_object_set_new(body, key, json_integer((json_int_t)value));
}

/* --KEY and --no-KEY; neither: the body does not say. */
static int add_switch(const struct args *args, json_t *body, const char *on_flag,
	const char *off_flag, struct bg_err **err)
{
	bool on = args_has(args, on_flag), off = args_has(args, off_flag);

	if (on && off)
		return bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "%s or %s, not both", on_flag, off_flag);
	if (on || off)
		json_object_set_new(body, on_flag + 2, json_boolean(on));
	return 0;
}

int vm_body_sizes(const struct args *args, json_t *body, struct bg_err **err)
{
	uint64_t cpus = 0, memory = 0, disk = 0, work = 0;
	int r;

	r = args_number(args, "--cpus", BG_VCPU_MIN, BG_VCPU_MAX, &cpus, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--memory", BG_MEMORY_MIB_MIN, BG_MEMORY_MIB_MAX, &memory, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--disk-size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &disk, err);
	if (r >= 0)
		r = args_size_mib(
			args, "--work-size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &work, err);
	set_number(body, "cpus", cpus);
	set_number(body, "memory_mib", memory);
	set_number(body, "disk_mib", disk);
	set_number(body, "work_mib", work);
	return r < 0 ? r : add_switch(args, body, "--balloon", "--no-balloon", err);
}

int vm_body_nat(const struct args *args, json_t *body, struct bg_err **err)
{
	int r = add_switch(args, body, "--nat", "--no-nat", err);

	return r < 0 ? r : add_switch(args, body, "--peers", "--no-peers", err);
}

/* The words are the daemon's; docker's fourth one is what `always` is here: a VM that its user stops stays stopped. */
int vm_body_start(const struct args *args, json_t *body, struct bg_err **err)
{
	const char *policy = args_value(args, "--restart");

	if (bg_streq(policy, "unless-stopped"))
		policy = "always";
	if (policy && !bg_streq(policy, "no") && !bg_streq(policy, "on-failure") &&
		!bg_streq(policy, "always"))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"--restart: \"%.40s\" is not one of no, on-failure, always", policy);
	vm_body_text(body, "restart", policy);
	return add_switch(args, body, "--autostart", "--no-autostart", err);
}

char *vm_start_text(const json_t *vm)
{
	const char *policy = render_text(vm, "restart");
	bool autostart = false;
	char *text = NULL;

	(void)bg_json_get_bool(vm, "autostart", &autostart);
	if (bg_streq(policy, "no"))
		policy = "";
	if (asprintf(&text, "%s%s%s", autostart ? "auto" : "", autostart && *policy ? ", " : "",
		    policy) < 0)
		return NULL;
	return text;
}

/* "k=v" into labels; "k-" as null where that is allowed. */
static int add_label(json_t *labels, const char *word, bool removal, struct bg_err **err)
{
	size_t len = strlen(word), key_len = strcspn(word, "=");
	_free_ char *key = NULL;
	json_t *value;

	if (word[key_len])
		value = bg_json_str(word + key_len + 1);
	else if (removal && len > 1 && word[len - 1] == '-')
		value = json_null();
	else
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"--label: \"%.80s\" is not KEY=VALUE%s", word, removal ? " or KEY-" : "");
	key = strndup(word, word[key_len] ? key_len : len - 1);
	if (!key || json_object_set_new(labels, key, value) < 0)
		return bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "--label: \"%.80s\" is not text", word);
	return 0;
}

int vm_body_labels(const struct args *args, json_t *body, bool removal, struct bg_err **err)
{
	_json_ json_t *labels = json_object();
	const char *word;
	int r = 0;

	for (size_t i = 0; r >= 0 && (word = args_nth(args, "--label", i)); i++)
		r = add_label(labels, word, removal, err);
	if (r >= 0 && json_object_size(labels) > 0)
		json_object_set(body, "labels", labels);
	return r;
}

/* Digits alone, 1 to 65535; 0 for anything else. */
static unsigned port_of(const char *text, size_t len)
{
	unsigned long n;

	if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
		return 0;
	n = strtoul(text, NULL, 10);
	return n <= UINT16_MAX ? (unsigned)n : 0;
}

static int add_publish(json_t *list, const char *word, struct bg_err **err)
{
	size_t len = strcspn(word, ":");
	unsigned host = port_of(word, len), guest = 0;
	int r;

	if (word[len])
		guest = port_of(word + len + 1, strlen(word + len + 1));
	if (host && guest) {
		json_array_append_new(list, json_pack("{s:i, s:i}", "host", host, "guest", guest));
		return 0;
	}
	r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "--publish: \"%.40s\" is not HOST:GUEST", word);
	bg_err_hint(err, "two ports of 1 to 65535, such as 8080:80");
	return r;
}

static int add_port(json_t *list, const char *flag, const char *word, struct bg_err **err)
{
	unsigned port = port_of(word, strlen(word));

	if (!port)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"%s: \"%.40s\" is not a port of this machine", flag, word);
	json_array_append_new(list, json_integer(port));
	return 0;
}

static int add_exposed(json_t *list, const char *word, struct bg_err **err)
{
	return add_port(list, "--expose-host", word, err);
}

static int add_unexposed(json_t *list, const char *word, struct bg_err **err)
{
	return add_port(list, "--unexpose-host", word, err);
}

static int add_unpublish(json_t *list, const char *word, struct bg_err **err)
{
	return add_port(list, "--unpublish", word, err);
}

static int add_list(const struct args *args, const char *flag, const char *key, json_t *body,
	int (*add)(json_t *list, const char *word, struct bg_err **err), struct bg_err **err)
{
	_json_ json_t *list = json_array();
	const char *word;
	int r = 0;

	for (size_t i = 0; r >= 0 && (word = args_nth(args, flag, i)); i++)
		r = add(list, word, err);
	if (r >= 0 && json_array_size(list) > 0)
		json_object_set(body, key, list);
	return r;
}

int vm_body_ports(const struct args *args, json_t *body, struct bg_err **err)
{
	int r = add_list(args, "--publish", "publish", body, add_publish, err);

	if (r >= 0)
		r = add_list(args, "--unpublish", "unpublish", body, add_unpublish, err);
	if (r >= 0)
		r = add_list(args, "--expose-host", "expose", body, add_exposed, err);
	return r < 0 ? r : add_list(args, "--unexpose-host", "unexpose", body, add_unexposed, err);
}

/* "one, two"; the caller's. */
static char *ports_text(const json_t *vm, const char *key, void (*put)(FILE *f, const json_t *item))
{
	const json_t *item;
	char *text = NULL;
	size_t len = 0, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	json_array_foreach (json_object_get(vm, key), i, item) {
		fputs(i ? ", " : "", f);
		put(f, item);
	}
	fclose(f);
	return text;
}

static void put_exposed(FILE *f, const json_t *item)
{
	fprintf(f, "host.vm:%d", (int)render_int(item, "port"));
}

char *vm_exposed_text(const json_t *vm)
{
	return ports_text(vm, "expose", put_exposed);
}

static void put_published(FILE *f, const json_t *item)
{
	fprintf(f, "127.0.0.1:%d to %d", (int)render_int(item, "host"),
		(int)render_int(item, "guest"));
}

char *vm_ports_text(const json_t *vm)
{
	return ports_text(vm, "publish", put_published);
}

bool vm_has_label(const json_t *vm, const char *word)
{
	size_t key_len = strcspn(word, "=");
	const json_t *labels = json_object_get(vm, "labels");
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)labels, key, value)
		if (strlen(key) == key_len && strncmp(key, word, key_len) == 0)
			return !word[key_len] ||
			       bg_streq(json_string_value(value), word + key_len + 1);
	return false;
}

void vm_filter_labels(json_t *vms, const struct args *args)
{
	for (size_t i = json_array_size(vms); i-- > 0;) {
		const char *word;

		for (size_t n = 0; (word = args_nth(args, "--label", n)); n++)
			if (!vm_has_label(json_array_get(vms, i), word))
				break;
		if (word)
			json_array_remove(vms, i);
	}
}

char *vm_labels_text(const json_t *vm)
{
	const json_t *labels = json_object_get(vm, "labels");
	const char *key, *comma = "";
	char *text = NULL;
	json_t *value;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		const char *word = json_string_value(value);

		fprintf(f, "%s%s%s%s", comma, key, bg_isempty(word) ? "" : "=", word ? word : "");
		comma = ", ";
	}
	fclose(f);
	return text;
}
