/* SPDX-License-Identifier: ISC */
/* The forms as they are edited. What they say, in the API's words: form_body.c. */
#include "tui/form.h"

#include <assert.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/name.h"
#include "common/size.h"

static const struct field_row create_fields[] = {
	{"Name", FIELD_NAME, "name", "", "made up; type another", .needed = true},
	{"Image", FIELD_IMAGE, "image", "--image", "empty: the default one"},
	{"CPUs", FIELD_NUMBER, "cpus", "--cpus", "empty: the default", BG_VCPU_MIN, BG_VCPU_MAX},
	{"Memory", FIELD_SIZE, "memory_mib", "--memory", "2G or 512M; empty: the default",
		BG_MEMORY_MIB_MIN, BG_MEMORY_MIB_MAX},
	{"Disk  /", FIELD_SIZE, "disk_mib", "--disk-size",
		"takes room as it fills; empty: the default", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX},
	{"Disk  /root", FIELD_SIZE, "work_mib", "--work-size",
		"a disk of its own; empty: the default", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX},
	{"Internet", FIELD_SWITCH, "nat", "--nat", "it may reach the network beyond this host",
		.on = true},
	{"Peers", FIELD_SWITCH, "peers", "--peers",
		"it and your other VMs with this reach each other"},
	{"Ports", FIELD_PORTS, "publish", "--publish", "HOST:GUEST ..., such as 8080:80 2222:22"},
	{"Labels", FIELD_LABELS, "labels", "--label", "KEY=VALUE ..."},
	{"Kernel", FIELD_KERNEL, "kernel", "--kernel", "empty: the image's own"},
	{"Start it", FIELD_SWITCH, "start", "--start", "", .on = true},
};
static const struct field_row set_fields[] = {
	{"CPUs", FIELD_NUMBER, "cpus", "--cpus", "of a stopped VM", BG_VCPU_MIN, BG_VCPU_MAX,
		.needed = true, .stopped = true},
	{"Memory", FIELD_SIZE, "memory_mib", "--memory", "of a stopped VM", BG_MEMORY_MIB_MIN,
		BG_MEMORY_MIB_MAX, .needed = true, .stopped = true},
	{"Disk  /", FIELD_SIZE, "disk_mib", "--disk-size", "grows only", BG_DISK_MIB_MIN,
		BG_DISK_MIB_MAX, .needed = true},
	{"Disk  /root", FIELD_SIZE, "work_mib", "--work-size", "grows only", BG_DISK_MIB_MIN,
		BG_DISK_MIB_MAX, .needed = true},
	{"Internet", FIELD_SWITCH, "nat", "--nat", "it may reach the network beyond this host"},
	{"Peers", FIELD_SWITCH, "peers", "--peers",
		"it and your other VMs with this reach each other"},
	{"Ports", FIELD_PORTS, "publish", "--publish", "HOST:GUEST ..., such as 8080:80 2222:22"},
	{"Labels", FIELD_LABELS, "labels", "--label", "KEY=VALUE ..."},
};
static const struct field_row ports_fields[] = {
	{"Ports", FIELD_PORTS, "publish", "--publish",
		"HOST:GUEST ...: 127.0.0.1:HOST leads to GUEST in it"},
};
static const struct field_row pull_fields[] = {
	{"Reference", FIELD_TEXT, "ref", "", "such as alpine:3.20, or HOST/NAME:TAG of a registry",
		.needed = true},
	{"Name", FIELD_NAME, "name", "--name", "empty: after the reference"},
	{"Kernel", FIELD_KERNEL, "kernel", "--kernel-ref", "empty: the only one there is"},
	{"Size", FIELD_SIZE, "size_mib", "--size", "empty: its content and some room",
		BG_DISK_MIB_MIN, BG_DISK_MIB_MAX},
};
static const struct field_row build_fields[] = {
	{"Name", FIELD_NAME, "name", "--name", "", .needed = true},
	{"Packages", FIELD_WORDS, "packages", "--packages",
		"Debian packages, on top of the usual ones"},
	{"Kernel", FIELD_KERNEL, "kernel", "--kernel", "empty: the only one there is"},
	{"Size", FIELD_SIZE, "size_mib", "--size", "empty: the default", BG_DISK_MIB_MIN,
		BG_DISK_MIB_MAX},
	{"Suite", FIELD_TEXT, "suite", "--suite", "empty: the default"},
};
static const struct field_row kernel_fields[] = {
	{"Catalog name", FIELD_TEXT, "catalog", "",
		"what a catalog calls it: `banger kernel search`", .needed = true},
	{"Name", FIELD_NAME, "name", "--name", "empty: the same"},
};
static const struct field_row rename_fields[] = {
	{"New name", FIELD_NAME, "name", "", "letters, digits and hyphens", .needed = true},
};
static const struct field_row export_fields[] = {
	{"File", FIELD_FILE, "path", "", "a new one", .needed = true},
};
static const struct field_row import_fields[] = {
	{"File or URL", FIELD_SOURCE, "from", "", "a bundle that export made", .needed = true},
	{"Name", FIELD_NAME, "name", "--name", "empty: as the bundle has it"},
	{"SHA-256", FIELD_TEXT, "sha256", "--sha256", "of the file, if it is known"},
};
static const struct field_row register_fields[] = {
	{"Name", FIELD_NAME, "name", "--name", "", .needed = true},
	{"Root FS", FIELD_FILE, "rootfs", "--rootfs", "an ext4 file system", .needed = true},
	{"Kernel", FIELD_KERNEL, "kernel", "--kernel-ref", "or the files that follow"},
	{"Kernel file", FIELD_FILE, "kernel_file", "--kernel", "a vmlinux or bzImage"},
	{"Modules", FIELD_FILE, "modules_file", "--modules", "of the kernel file"},
	{"Initrd", FIELD_FILE, "initrd_file", "--initrd", "unpacked before banger's own"},
};
static const struct field_row import_kernel_fields[] = {
	{"File", FIELD_FILE, "path", "", "a .deb, .rpm or bzImage", .needed = true},
	{"Modules", FIELD_FILE, "modules", "--modules", "if they are packaged apart"},
	{"Initrd", FIELD_FILE, "initrd", "--initrd", "unpacked before banger's own"},
	{"Name", FIELD_NAME, "name", "--name", "empty: after its release"},
};
static const struct field_row exec_fields[] = {
	{"Command", FIELD_WORDS, "argv", "", "empty: a shell"},
};

#define FIELDS(rows) .fields = rows, .count = ARRAY_SIZE(rows)
static const struct form_row form_rows[] = {
	[FORM_CREATE] = {"create a VM", "create", "banger vm create", "/v1/vms",
		FIELDS(create_fields)},
	[FORM_SET] = {"set", "set", "banger vm set", "/v1/vms/{}/set", FIELDS(set_fields)},
	[FORM_PORTS] = {"published ports", "set", "banger vm set", "/v1/vms/{}/set",
		FIELDS(ports_fields)},
	[FORM_PULL] = {"pull an image", "pull", "banger image pull", "/v1/images/pull",
		FIELDS(pull_fields)},
	[FORM_BUILD] = {"build an image", "build", "banger image build", "/v1/images/build",
		FIELDS(build_fields)},
	[FORM_KERNEL] = {"pull a kernel", "pull", "banger kernel pull", "/v1/kernels/pull",
		FIELDS(kernel_fields)},
	[FORM_RENAME] = {"rename", "rename", "banger vm rename", "/v1/vms/{}/set",
		FIELDS(rename_fields)},
	[FORM_EXPORT] = {"export", "export", "banger image export", "/v1/images/{}/export",
		FIELDS(export_fields)},
	[FORM_IMPORT] = {"import an image", "import", "banger image import", "/v1/images/import",
		FIELDS(import_fields)},
	[FORM_REGISTER] = {"register an image", "register", "banger image register",
		"/v1/images/register", FIELDS(register_fields)},
	[FORM_IMPORT_KERNEL] = {"import a kernel", "import", "banger kernel import",
		"/v1/kernels/import", FIELDS(import_kernel_fields)},
	[FORM_EXEC] = {"run a command", "run", "banger vm exec", NULL, FIELDS(exec_fields)},
};
static_assert(ARRAY_SIZE(form_rows) == FORM_MAX_, "one for each form");

const struct form_row *form_row(const struct form *f)
{
	return &form_rows[f->id];
}

static void labels_text(const json_t *labels, char *out, size_t room)
{
	const char *key;
	json_t *value;
	size_t len = 0;

	json_object_foreach ((json_t *)(uintptr_t)labels, key, value)
		if (len < room)
			len += (size_t)snprintf(out + len, room - len, "%s%s=%s", len ? " " : "",
				key, json_string_value(value) ? json_string_value(value) : "");
}

static void ports_text(const json_t *list, char *out, size_t room)
{
	const json_t *port;
	size_t i, len = 0;

	json_array_foreach (list, i, port)
		if (len < room)
			len += (size_t)snprintf(out + len, room - len, "%s%lld:%lld",
				len ? " " : "", (long long)item_int(port, "host"),
				(long long)item_int(port, "guest"));
}

/* What a record has at the field's key, as the field shows it. */
static void take_value(struct field *field, const struct field_row *row, const json_t *record)
{
	const json_t *value = json_object_get(record, row->json);
	char size[BG_SIZE_TEXT];

	if (row->kind == FIELD_SWITCH)
		field->on = value ? json_is_true(value) : row->on;
	else if (row->kind == FIELD_SIZE && json_is_integer(value))
		snprintf(field->text, FIELD_ROOM, "%s",
			bg_size_print_mib((uint64_t)json_integer_value(value), size));
	else if (row->kind == FIELD_NUMBER && json_is_integer(value))
		snprintf(field->text, FIELD_ROOM, "%lld", (long long)json_integer_value(value));
	else if (row->kind == FIELD_LABELS)
		labels_text(value, field->text, FIELD_ROOM);
	else if (row->kind == FIELD_PORTS)
		ports_text(value, field->text, FIELD_ROOM);
	else if (json_is_string(value))
		snprintf(field->text, FIELD_ROOM, "%s", json_string_value(value));
}

void form_begin(struct form *f, enum form_id id, const json_t *target, const json_t *daemon)
{
	const json_t *start = target ? target : json_object_get(daemon, "defaults");

	memset(f, 0, sizeof(*f));
	f->open = true;
	f->id = id;
	if (target)
		snprintf(f->target, sizeof(f->target), "%s", item_text(target, "name"));
	for (size_t i = 0; i < form_row(f)->count; i++) {
		const struct field_row *row = &form_row(f)->fields[i];
		struct field *field = &f->fields[i];

		field->on = row->on;
		if (target || id == FORM_CREATE)
			take_value(field, row, start);
		if (id == FORM_CREATE && row->kind == FIELD_NAME)
			bg_name_random(field->text);
		memcpy(field->first, field->text, FIELD_ROOM);
		field->first_on = field->on;
		if (id == FORM_EXPORT)
			snprintf(field->text, FIELD_ROOM, "~/%s.tar.zst", f->target);
		field->at = strlen(field->text);
	}
}

static const struct field_row *focused(const struct form *f)
{
	return &form_row(f)->fields[f->focus];
}

static bool is_file(const struct form *f)
{
	return focused(f)->kind == FIELD_FILE || focused(f)->kind == FIELD_SOURCE;
}

static bool has_choices(const struct form *f)
{
	return focused(f)->kind == FIELD_IMAGE || focused(f)->kind == FIELD_KERNEL || is_file(f);
}

const char *form_path(const char *text, char out[FIELD_ROOM])
{
	const char *home = getenv("HOME");
	bool of_home = text[0] == '~' && text[1] == '/' && home && home[0] == '/';

	snprintf(out, FIELD_ROOM, "%s%s", of_home ? home : "", of_home ? text + 1 : text);
	return out;
}

/* Where the last name of what is typed begins. */
static const char *last_name(const char *text)
{
	const char *slash = strrchr(text, '/');

	return slash ? slash + 1 : text;
}

bool form_folder(const struct form *f, char out[FIELD_ROOM])
{
	const char *text = f->fields[f->focus].text;

	if (!is_file(f) || strstr(text, "://"))
		return false;
	form_path(text, out);
	*(char *)(uintptr_t)last_name(out) = '\0';
	return true;
}

/* Names in the folder that is typed, once the daemon has listed it. */
static size_t file_choices(
	const struct form *f, const struct model *m, const char *out[FORM_CHOICES])
{
	const char *typed = last_name(f->fields[f->focus].text);
	char folder[FIELD_ROOM];
	const json_t *name;
	size_t n = 0, i;

	if ((!f->list && !*typed) || !form_folder(f, folder) || !bg_streq(folder, m->folder))
		return 0;
	json_array_foreach (m->files, i, name)
		if (n < FORM_CHOICES && strncmp(json_string_value(name), typed, strlen(typed)) == 0)
			out[n++] = json_string_value(name);
	return n == 1 && bg_streq(out[0], typed) && !f->list ? 0 : n;
}

size_t form_choices(const struct form *f, const struct model *m, const char *out[FORM_CHOICES])
{
	enum kind kind = focused(f)->kind == FIELD_IMAGE ? KIND_IMAGE : KIND_KERNEL;
	const char *typed = f->fields[f->focus].text;
	const struct list *list = &m->lists[kind];
	size_t n = 0;

	if (is_file(f))
		return file_choices(f, m, out);
	if (!has_choices(f) || (!f->list && !*typed))
		return 0;
	for (size_t i = 0; i < list->count && n < FORM_CHOICES; i++)
		if (strncmp(list->items[i].key, typed, strlen(typed)) == 0)
			out[n++] = list->items[i].key;
	return n == 1 && bg_streq(out[0], typed) && !f->list ? 0 : n;
}

static void set_text(struct field *field, const char *text)
{
	snprintf(field->text, FIELD_ROOM, "%s", text);
	field->at = strlen(field->text);
	field->error[0] = '\0';
}

static void move_focus(struct form *f, int by)
{
	size_t count = form_row(f)->count;

	f->focus = (f->focus + count + (size_t)(long)by) % count;
	f->list = false;
	f->choice = 0;
}

/* Bytes of the character before the cursor, or at it. */
static size_t before(const struct field *field)
{
	size_t n = field->at > 0;

	while (n < field->at && ((unsigned char)field->text[field->at - n] & 0xc0) == 0x80)
		n++;
	return n;
}

static size_t behind(const struct field *field)
{
	size_t n = field->text[field->at] != '\0';

	while (((unsigned char)field->text[field->at + n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void take_out(struct field *field, size_t from, size_t n)
{
	memmove(field->text + from, field->text + from + n, strlen(field->text + from + n) + 1);
	field->at = from;
	field->error[0] = '\0';
}

static void put_in(struct field *field, const char *text, size_t n)
{
	size_t len = strlen(field->text);

	if (len + n >= FIELD_ROOM)
		return;
	memmove(field->text + field->at + n, field->text + field->at, len - field->at + 1);
	memcpy(field->text + field->at, text, n);
	field->at += n;
	field->error[0] = '\0';
}

static void put_char(struct field *field, int c)
{
	char text[4];
	size_t n = 0;

	if (c < 0x80) {
		text[n++] = (char)c;
	} else {
		if (c < 0x800)
			text[n++] = (char)(0xc0 | c >> 6);
		else if (c < 0x10000)
			text[n++] = (char)(0xe0 | c >> 12);
		else
			text[n++] = (char)(0xf0 | c >> 18);
		if (c >= 0x10000)
			text[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		if (c >= 0x800)
			text[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		text[n++] = (char)(0x80 | (c & 0x3f));
	}
	put_in(field, text, n);
}

void form_paste(struct form *f, const char *text)
{
	struct field *field = &f->fields[f->focus];

	if (focused(f)->kind == FIELD_SWITCH)
		return;
	for (; *text; text++) {
		char c = *text == '\n' || *text == '\r' || *text == '\t' ? ' ' : *text;

		if ((unsigned char)c >= 0x20 && c != 0x7f)
			put_in(field, &c, 1);
	}
}

static void edit(struct field *field, int key)
{
	size_t at = field->at;

	if (key == KEY_LEFT_)
		field->at -= before(field);
	else if (key == KEY_RIGHT_)
		field->at += behind(field);
	else if (key == KEY_HOME_)
		field->at = 0;
	else if (key == KEY_END_)
		field->at = strlen(field->text);
	else if (key == KEY_BACKSPACE_ || key == KEY_CTRL('H'))
		take_out(field, at - before(field), before(field));
	else if (key == KEY_DELETE_)
		take_out(field, at, behind(field));
	else if (key == KEY_CTRL('U'))
		set_text(field, "");
	else if (key == KEY_CTRL('W')) {
		while (at > 0 && field->text[at - 1] == ' ')
			at--;
		while (at > 0 && field->text[at - 1] != ' ')
			at--;
		take_out(field, at, field->at - at);
	} else if (key >= ' ' && key != 0x7f && key < KEY_UP_)
		put_char(field, key);
}

/* A folder is not the end: what is in it is the next choice. */
static void take_choice(struct form *f, const char *choice, bool go_on)
{
	struct field *field = &f->fields[f->focus];
	size_t kept = is_file(f) ? (size_t)(last_name(field->text) - field->text) : 0;
	char text[2 * FIELD_ROOM];
	bool folder;

	snprintf(text, sizeof(text), "%.*s%.255s", (int)kept, field->text, choice);
	folder = is_file(f) && *choice && choice[strlen(choice) - 1] == '/' &&
		 strlen(text) < FIELD_ROOM;
	set_text(field, text);
	f->list = folder;
	f->choice = 0;
	if (go_on && !folder)
		move_focus(f, 1);
}

/* With a list under the field: Up and Down choose, Enter and Tab take. False: not a key for it. */
static bool choose(struct form *f, const struct model *m, int key)
{
	const char *choices[FORM_CHOICES];
	size_t n = form_choices(f, m, choices);

	if (key == KEY_DOWN_ && has_choices(f) && !f->list) {
		f->list = true;
		f->choice = 0;
		return form_choices(f, m, choices) > 0;
	}
	if (n == 0 || (!f->list && key != KEY_TAB_))
		return false;
	if (key == KEY_DOWN_ || key == KEY_UP_)
		f->choice = (f->choice + n + (key == KEY_DOWN_ ? 1 : n - 1)) % n;
	else if (key == KEY_ESCAPE_)
		f->list = false;
	else if (key == KEY_ENTER_ || key == KEY_TAB_) {
		take_choice(f, choices[BG_MIN(f->choice, n - 1)], key == KEY_TAB_);
	} else
		return false;
	return true;
}

enum form_end form_key(struct form *f, const struct model *m, int key)
{
	struct field *field = &f->fields[f->focus];
	bool is_switch = focused(f)->kind == FIELD_SWITCH;

	if (choose(f, m, key))
		return FORM_GOES_ON;
	if (key == KEY_ESCAPE_)
		return FORM_LEAVE;
	if (key == KEY_ENTER_)
		return f->sent ? FORM_GOES_ON : FORM_SUBMIT;
	if (key == KEY_TAB_ || key == KEY_DOWN_)
		move_focus(f, 1);
	else if (key == KEY_BACK_TAB_ || key == KEY_UP_)
		move_focus(f, -1);
	else if (is_switch)
		field->on = field->on != (key == ' ' || key == KEY_LEFT_ || key == KEY_RIGHT_);
	else
		edit(field, key);
	f->error[0] = '\0';
	return FORM_GOES_ON;
}
