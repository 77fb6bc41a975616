/* SPDX-License-Identifier: ISC */
/* model.c: Arrays in the order of the screen, searched from the front. */
#include "tui/model.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "common/vm_record.h"

static const char *const type_words[] = {"vm", "image", "kernel", "operation", "check"};
static_assert(ARRAY_SIZE(type_words) == KIND_MAX_, "one for each kind");

const char *item_text(const json_t *record, const char *key)
{
	const char *s = json_string_value(json_object_get(record, key));

	return s ? s : "";
}

int64_t item_int(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

bool item_bool(const json_t *record, const char *key)
{
	return json_is_true(json_object_get(record, key));
}

const char *item_name(enum kind kind, const struct item *item)
{
	return item_text(item->record, kind == KIND_OP ? "target" : "name");
}

int64_t item_since(const struct model *m, const json_t *record, const char *key)
{
	struct tm tm = {0};
	const char *end = strptime(item_text(record, key), "%Y-%m-%dT%H:%M:%S", &tm);

	return end ? BG_MAX(m->now - (int64_t)timegm(&tm) * 1000, (int64_t)0) : -1;
}

static void item_done(struct item *item)
{
	json_decref(item->record);
	free(item->usage);
}

void model_done(struct model *m)
{
	for (int kind = 0; kind < KIND_MAX_; kind++) {
		for (size_t i = 0; i < m->lists[kind].count; i++)
			item_done(&m->lists[kind].items[i]);
		free(m->lists[kind].items);
	}
	json_decref(m->files);
	json_decref(m->daemon);
	memset(m, 0, sizeof(*m));
}

struct item *model_find(const struct model *m, enum kind kind, const char *key)
{
	const struct list *list = &m->lists[kind];

	for (size_t i = 0; i < list->count; i++)
		if (bg_streq(list->items[i].key, key))
			return &list->items[i];
	return NULL;
}

struct item *model_find_vm(const struct model *m, const char *name)
{
	const struct list *list = &m->lists[KIND_VM];

	for (size_t i = 0; i < list->count; i++)
		if (bg_streq(item_name(KIND_VM, &list->items[i]), name))
			return &list->items[i];
	return NULL;
}

unsigned model_marked(const struct model *m, enum kind kind)
{
	const struct list *list = &m->lists[kind];
	unsigned n = 0;

	for (size_t i = 0; i < list->count; i++)
		n += list->items[i].marked;
	return n;
}

static void remove_at(struct list *list, size_t i)
{
	item_done(&list->items[i]);
	list->count--;
	memmove(&list->items[i], &list->items[i + 1], (list->count - i) * sizeof(*list->items));
}

/* By name; operations by number, the newest first; checks stay in doctor's order. */
static int compare(enum kind kind, const struct item *a, const struct item *b)
{
	if (kind == KIND_OP) {
		long long x = atoll(a->key), y = atoll(b->key);

		return x == y ? 0 : x > y ? -1 : 1;
	}
	return kind == KIND_CHECK ? -1 : strcmp(item_name(kind, a), item_name(kind, b));
}

static struct item *insert(struct list *list, enum kind kind, struct item item)
{
	size_t i = 0;

	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		struct item *items = realloc(list->items, room * sizeof(*items));

		if (!items) {
			item_done(&item);
			return NULL;
		}
		list->items = items;
		list->room = room;
	}
	while (i < list->count && compare(kind, &list->items[i], &item) <= 0)
		i++;
	memmove(&list->items[i + 1], &list->items[i], (list->count - i) * sizeof(item));
	list->items[i] = item;
	list->count++;
	return &list->items[i];
}

static void note(struct model *m, const char *name, bool bad, const char *text, const char *more)
{
	struct note *n = &m->notes[0];

	memmove(&m->notes[1], n, (NOTES_MAX - 1) * sizeof(*n));
	m->n_notes = BG_MIN(m->n_notes + 1, (unsigned)NOTES_MAX);
	*n = (struct note){.at = m->now, .bad = bad};
	snprintf(n->name, sizeof(n->name), "%s", name);
	snprintf(n->text, sizeof(n->text), "%s%s%s", text, *more ? ": " : "", more);
}

static void note_vm(struct model *m, const json_t *old, const json_t *new)
{
	const char *was = item_text(old, "state"), *is = item_text(new, "state");
	const char *error = item_text(json_object_get(new, "error"), "message");

	if (!m->synced)
		return;
	if (!old)
		note(m, item_text(new, "name"), false, "created from", item_text(new, "image"));
	else if (!bg_streq(item_text(old, "name"), item_text(new, "name")))
		note(m, item_text(new, "name"), false, "renamed from", item_text(old, "name"));
	else if (!item_bool(old, "ready") && item_bool(new, "ready"))
		note(m, item_text(new, "name"), false, "ready", item_text(new, "address"));
	else if (!bg_streq(was, is))
		note(m, item_text(new, "name"), bg_vm_failure(new),
			bg_vm_failure(new) ? "failed" : is, error);
}

static void note_op(struct model *m, const json_t *old, const json_t *new)
{
	const char *state = item_text(new, "state");

	if (!m->synced || bg_streq(state, "running") || bg_streq(item_text(old, "state"), state))
		return;
	if (bg_streq(state, "failed"))
		note(m, item_text(new, "target"), true, item_text(new, "kind"),
			item_text(json_object_get(new, "error"), "message"));
	else if (strncmp(item_text(new, "kind"), "vm.", 3) != 0 || bg_streq(state, "cancelled"))
		note(m, item_text(new, "target"), false, item_text(new, "kind"), state);
}

/* A list that grows without end is bounded: the oldest operations that ended go. */
static void bound_ops(struct list *list)
{
	for (size_t i = list->count; i-- > 0 && list->count > OPS_KEPT;)
		if (!bg_streq(item_text(list->items[i].record, "state"), "running"))
			remove_at(list, i);
}

static void forget_usage(struct item *item)
{
	if (!bg_streq(item_text(item->record, "state"), "running"))
		free(TAKE_PTR(item->usage));
}

/* A VM with another name stands elsewhere, and is the same otherwise. */
static struct item *replace(struct list *list, enum kind kind, struct item *item, json_t *record)
{
	bool moves = kind == KIND_VM &&
		     !bg_streq(item_text(item->record, "name"), item_text(record, "name"));
	size_t i = (size_t)(item - list->items);
	struct item moved;

	json_decref(item->record);
	item->record = json_incref(record);
	if (!moves)
		return item;
	moved = *item;
	list->count--;
	memmove(&list->items[i], &list->items[i + 1], (list->count - i) * sizeof(*item));
	return insert(list, kind, moved);
}

static void changed(struct model *m, enum kind kind, json_t *record)
{
	const char *key = item_text(record, kind == KIND_VM || kind == KIND_OP ? "id" : "name");
	struct item *item = model_find(m, kind, key);

	if (!*key || strlen(key) >= KEY_TEXT)
		return;
	if (kind == KIND_VM)
		note_vm(m, item ? item->record : NULL, record);
	if (kind == KIND_OP)
		note_op(m, item ? item->record : NULL, record);
	if (item) {
		item = replace(&m->lists[kind], kind, item, record);
	} else {
		struct item new = {.record = json_incref(record)};

		strcpy(new.key, key);
		item = insert(&m->lists[kind], kind, new);
	}
	if (!item)
		return;
	item->fresh = true;
	item->seen = m->now;
	if (kind == KIND_VM)
		forget_usage(item);
	if (kind == KIND_OP)
		bound_ops(&m->lists[kind]);
}

static void deleted(struct model *m, enum kind kind, const char *name)
{
	struct list *list = &m->lists[kind];

	for (size_t i = 0; i < list->count; i++) {
		if (!bg_streq(item_name(kind, &list->items[i]), name))
			continue;
		if (m->synced)
			note(m, name, false, kind == KIND_VM ? "deleted" : type_words[kind],
				kind == KIND_VM ? "" : "deleted");
		remove_at(list, i);
		return;
	}
}

void model_begin(struct model *m)
{
	m->synced = false;
	for (int kind = 0; kind < KIND_CHECK; kind++)
		for (size_t i = 0; i < m->lists[kind].count; i++)
			m->lists[kind].items[i].fresh = false;
}

static void sync_end(struct model *m)
{
	for (int kind = 0; kind < KIND_CHECK; kind++)
		for (size_t i = m->lists[kind].count; i-- > 0;)
			if (!m->lists[kind].items[i].fresh)
				remove_at(&m->lists[kind], i);
	m->synced = true;
	m->link = LINK_UP;
}

static void add_sample(struct usage *u, double cpu, double memory)
{
	if (u->count == SAMPLES) {
		memmove(u->cpu_samples, u->cpu_samples + 1,
			(SAMPLES - 1) * sizeof(*u->cpu_samples));
		memmove(u->memory_samples, u->memory_samples + 1,
			(SAMPLES - 1) * sizeof(*u->memory_samples));
		u->count--;
	}
	u->cpu_samples[u->count] = (float)cpu;
	u->memory_samples[u->count++] = (float)memory;
}

static void take_usage(struct model *m, const json_t *record)
{
	struct item *item = model_find_vm(m, item_text(record, "name"));
	const json_t *cpu = json_object_get(record, "cpu_percent");
	int64_t cpus;

	if (item && !item->usage)
		item->usage = calloc(1, sizeof(*item->usage));
	if (!item || !item->usage)
		return;
	cpus = BG_MAX(item_int(item->record, "cpus"), (int64_t)1);
	item->usage->cpu = json_is_number(cpu) ? json_number_value(cpu) : -1;
	item->usage->host = item_int(record, "memory_bytes");
	item->usage->disk = item_int(record, "disk_bytes");
	if (json_is_object(json_object_get(record, "guest")))
		model_guest(m, item_text(record, "name"), json_object_get(record, "guest"));
	if (item->usage->cpu >= 0)
		add_sample(item->usage, item->usage->cpu / (double)cpus, (double)item->usage->host);
}

void model_guest(struct model *m, const char *name, const json_t *guest)
{
	struct item *item = model_find_vm(m, name);
	int64_t total = item_int(guest, "memory_total_kib") * 1024;

	if (!item || !item->usage || total <= 0)
		return;
	item->usage->guest_total = total;
	item->usage->guest =
		BG_MAX(total - item_int(guest, "memory_available_kib") * 1024, (int64_t)0);
}

void model_event(struct model *m, const json_t *line)
{
	const char *type = item_text(line, "type"), *name = item_text(line, "name");
	json_t *record = json_object_get(line, "record");
	const json_t *one;
	size_t i;

	m->heard = m->now;
	if (bg_streq(type, "sync"))
		sync_end(m);
	if (bg_streq(type, "usage"))
		json_array_foreach (json_object_get(line, "vms"), i, one)
			take_usage(m, one);
	for (int kind = 0; kind < KIND_CHECK; kind++) {
		if (!bg_streq(type, type_words[kind]))
			continue;
		if (bg_streq(item_text(line, "action"), "deleted"))
			deleted(m, (enum kind)kind, name);
		else if (json_is_object(record))
			changed(m, (enum kind)kind, record);
	}
}

bool model_want_folder(struct model *m, const char *folder)
{
	if (m->folder_asked && bg_streq(m->folder, folder))
		return false;
	m->folder_asked = true;
	json_decref(m->files);
	m->files = NULL;
	snprintf(m->folder, sizeof(m->folder), "%s", folder);
	return true;
}

void model_files(struct model *m, const char *folder, const json_t *reply)
{
	const json_t *entry;
	size_t i;

	if (!bg_streq(folder, m->folder) || m->files)
		return;
	m->files = json_array();
	json_array_foreach (json_object_get(reply, "entries"), i, entry) {
		const char *name = item_text(entry, "name"), *kind = item_text(entry, "kind");
		bool enter = bg_streq(kind, "folder");

		if (enter || bg_streq(kind, "file"))
			json_array_append_new(m->files,
				json_sprintf("%s%s", name,
					enter && name[strlen(name) - (*name != 0)] != '/' ? "/"
											  : ""));
	}
}

void model_checks(struct model *m, const json_t *report)
{
	struct list *list = &m->lists[KIND_CHECK];
	json_t *check;
	size_t i;

	while (list->count > 0)
		remove_at(list, list->count - 1);
	json_array_foreach (json_object_get(report, "checks"), i, check)
		changed(m, KIND_CHECK, check);
}

enum face vm_face(const struct item *item, const char **word)
{
	const json_t *r = item->record;
	const char *state = item_text(r, "state"), *health = item_text(r, "health");
	bool failed = bg_vm_failure(r);

	*word = state;
	if (bg_streq(state, "running")) {
		if (bg_streq(health, "vmm_silent") || bg_streq(health, "agent_silent"))
			*word = *health == 'v' ? "VMM silent" : "silent";
		else if (item_bool(r, "paused"))
			*word = "no space"; /* it stands still until the host's disk has some */
		else if (!item_bool(r, "ready"))
			*word = "not ready";
		else
			return FACE_RUNNING;
		return FACE_BUSY;
	}
	if (bg_streq(state, "paused") || bg_streq(state, "suspended"))
		return *state == 'p' ? FACE_PAUSED : FACE_SUSPENDED;
	if (!bg_streq(state, "stopped"))
		return FACE_BUSY;
	if (*item_text(r, "missing"))
		*word = "no disks";
	else if (failed)
		*word = "failed";
	return failed || *item_text(r, "missing") ? FACE_FAILED : FACE_STOPPED;
}
