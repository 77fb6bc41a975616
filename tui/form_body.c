/* SPDX-License-Identifier: ISC */
/* What a form says: the API's body, with every field checked, and the command line that does the same. */
#include <stdarg.h>
#include <stdio.h>

#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/size.h"
#include "tui/form.h"

enum { WORDS_MAX = 128 };

static _printf_(2, 3) int wrong(struct field *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(field->error, sizeof(field->error), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int put_error(struct field *field, struct bg_err *err)
{
	int r = wrong(field, "%s", err->message);

	bg_err_free(err);
	return r;
}

/* Cuts text at its blanks, in place. */
static size_t cut_words(char *text, char *words[WORDS_MAX])
{
	char *save = NULL;
	size_t n = 0;

	for (char *word = strtok_r(text, " ,", &save); word && n < WORDS_MAX;
		word = strtok_r(NULL, " ,", &save))
		words[n++] = word;
	return n;
}

static int number(struct field *field, const struct field_row *row, json_t *body)
{
	char *end = NULL;
	long long n = strtoll(field->text, &end, 10);

	if (*end || n < row->min || n > row->max)
		return wrong(field, "a number from %lld to %lld", (long long)row->min,
			(long long)row->max);
	return json_object_set_new(body, row->json, json_integer(n));
}

static int size(struct field *field, const struct field_row *row, json_t *body)
{
	struct bg_err *err = NULL;
	uint64_t mib = 0;

	if (bg_size_parse_mib(row->label, field->text, (uint64_t)row->min, (uint64_t)row->max, &mib,
		    &err) < 0)
		return put_error(field, err);
	return json_object_set_new(body, row->json, json_integer((json_int_t)mib));
}

static int name(struct field *field, const struct field_row *row, const struct model *m, bool is_vm,
	json_t *body)
{
	struct bg_err *err = NULL;

	if (bg_name_check(is_vm ? "VM" : "image or kernel", field->text, &err) < 0)
		return put_error(field, err);
	if (is_vm && model_find_vm(m, field->text))
		return wrong(field, "there is a VM of this name");
	return json_object_set_new(body, row->json, json_string(field->text));
}

static int asset(
	struct field *field, const struct field_row *row, const struct model *m, json_t *body)
{
	enum kind kind = row->kind == FIELD_IMAGE ? KIND_IMAGE : KIND_KERNEL;

	if (!model_find(m, kind, field->text))
		return wrong(field, "there is no such %s", kind == KIND_IMAGE ? "image" : "kernel");
	return json_object_set_new(body, row->json, bg_json_str(field->text));
}

/* The labels as they are to be; those that were there and are not any more as null. */
static int labels(struct field *field, const struct field_row *row, const json_t *old, json_t *body)
{
	json_t *object = json_object(), *value;
	char text[FIELD_ROOM], *words[WORDS_MAX];
	const char *key;
	size_t n;

	memcpy(text, field->text, sizeof(text));
	n = cut_words(text, words);
	json_object_foreach ((json_t *)(uintptr_t)old, key, value)
		json_object_set_new(object, key, json_null());
	for (size_t i = 0; i < n; i++) {
		char *equal = strchr(words[i], '=');

		if (!equal || equal == words[i]) {
			json_decref(object);
			return wrong(field, "\"%.40s\" is not KEY=VALUE", words[i]);
		}
		*equal = '\0';
		json_object_set_new(object, words[i], bg_json_str(equal + 1));
	}
	return json_object_set_new(body, row->json, object);
}

static bool is_published(const json_t *list, long host, long guest)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port)
		if (item_int(port, "host") == host &&
			(guest == 0 || item_int(port, "guest") == guest))
			return true;
	return false;
}

static bool parse_port(const char *word, long *host, long *guest)
{
	char *end = NULL;

	*host = strtol(word, &end, 10);
	if (*end != ':')
		return false;
	*guest = strtol(end + 1, &end, 10);
	return !*end && *host > 0 && *host <= UINT16_MAX && *guest > 0 && *guest <= UINT16_MAX;
}

/* New ones are published; host ports that are named no more, or lead elsewhere now, are not. */
static int ports(struct field *field, const struct field_row *row, const json_t *old, json_t *body)
{
	_json_ json_t *all = json_array(), *add = json_array(), *gone = json_array();
	char text[FIELD_ROOM], *words[WORDS_MAX];
	long host, guest;
	const json_t *port;
	size_t n, i;

	memcpy(text, field->text, sizeof(text));
	n = cut_words(text, words);
	for (i = 0; i < n; i++) {
		if (!parse_port(words[i], &host, &guest))
			return wrong(field, "\"%.40s\" is not HOST:GUEST", words[i]);
		json_array_append_new(
			all, json_pack("{s:i, s:i}", "host", (int)host, "guest", (int)guest));
		if (!is_published(old, host, guest))
			json_array_append_new(add,
				json_pack("{s:i, s:i}", "host", (int)host, "guest", (int)guest));
	}
	json_array_foreach (old, i, port)
		if (!is_published(all, (long)item_int(port, "host"), (long)item_int(port, "guest")))
			json_array_append_new(gone, json_integer(item_int(port, "host")));
	if (json_array_size(add) > 0)
		json_object_set(body, row->json, add);
	if (json_array_size(gone) > 0)
		json_object_set(body, "unpublish", gone);
	return 0;
}

static int words(struct field *field, const struct field_row *row, json_t *body)
{
	json_t *list = json_array();
	char text[FIELD_ROOM], *cut[WORDS_MAX];
	size_t n;

	memcpy(text, field->text, sizeof(text));
	n = cut_words(text, cut);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, bg_json_str(cut[i]));
	return json_object_set_new(body, row->json, list);
}

/* The daemon has no folder of ours to begin at. */
static int file(struct field *field, const struct field_row *row, json_t *body)
{
	char path[FIELD_ROOM];

	if (row->kind == FIELD_SOURCE && strstr(field->text, "://"))
		return json_object_set_new(body, row->json, bg_json_str(field->text));
	if (*form_path(field->text, path) != '/')
		return wrong(field, "a path that begins with / or ~/");
	return json_object_set_new(body, row->json, bg_json_str(path));
}

static int put_value(
	struct form *f, size_t i, const struct model *m, const json_t *record, json_t *body)
{
	const struct field_row *row = &form_row(f)->fields[i];
	struct field *field = &f->fields[i];
	const json_t *old = json_object_get(record, row->json);

	if (row->stopped && !bg_streq(item_text(record, "state"), "stopped"))
		return wrong(field, "only while it is stopped");
	switch (row->kind) {
	case FIELD_NAME:
		return name(field, row, m, f->id == FORM_CREATE || f->id == FORM_RENAME, body);
	case FIELD_NUMBER:
		return number(field, row, body);
	case FIELD_SIZE:
		return size(field, row, body);
	case FIELD_SWITCH:
		return json_object_set_new(body, row->json, json_boolean(field->on));
	case FIELD_IMAGE:
	case FIELD_KERNEL:
		return asset(field, row, m, body);
	case FIELD_FILE:
	case FIELD_SOURCE:
		return file(field, row, body);
	case FIELD_LABELS:
		return labels(field, row, old, body);
	case FIELD_PORTS:
		return ports(field, row, old, body);
	case FIELD_WORDS:
		return words(field, row, body);
	case FIELD_TEXT:
		return json_object_set_new(body, row->json, bg_json_str(field->text));
	}
	return 0;
}

/* Whether the field says anything: of something that is there, only what was changed. */
static bool is_said(const struct form *f, size_t i)
{
	const struct field *field = &f->fields[i];

	if (form_row(f)->fields[i].kind == FIELD_SWITCH)
		return !*f->target || field->on != field->first_on;
	return *f->target ? !bg_streq(field->text, field->first) : *field->text != '\0';
}

int form_body(struct form *f, const struct model *m, json_t **ret)
{
	const struct item *item = *f->target ? model_find_vm(m, f->target) : NULL;
	_json_ json_t *body = json_object();
	int r = 0;

	for (size_t i = 0; i < form_row(f)->count && r >= 0; i++) {
		const struct field_row *row = &form_row(f)->fields[i];

		f->fields[i].error[0] = '\0';
		if (row->needed && !*f->fields[i].text)
			r = wrong(&f->fields[i], "may not be empty");
		else if (is_said(f, i))
			r = put_value(f, i, m, item ? item->record : NULL, body);
		if (r < 0)
			f->focus = i;
	}
	if (r < 0)
		return -EINVAL;
	*ret = json_incref(body);
	return 0;
}

static bool is_plain(const char *word)
{
	return *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678"
				     "9-_./:=@,+%") == strlen(word);
}

static void add_word(FILE *out, const char *word)
{
	if (is_plain(word)) {
		fprintf(out, " %s", word);
		return;
	}
	fputs(" '", out);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, out);
	fputc('\'', out);
}

/* A flag before each word of a list; a list that was there is told by its differences only. */
static void add_list(FILE *out, const struct field_row *row, const struct field *field)
{
	char text[FIELD_ROOM], *cut[WORDS_MAX], first[FIELD_ROOM + 2], look[FIELD_ROOM + 2];
	size_t n;

	memcpy(text, field->text, sizeof(text));
	snprintf(first, sizeof(first), " %s ", field->first);
	n = cut_words(text, cut);
	for (size_t i = 0; i < n; i++) {
		snprintf(look, sizeof(look), " %.250s ", cut[i]);
		if (strstr(first, look))
			continue;
		if (*row->flag)
			fprintf(out, " %s", row->flag);
		add_word(out, cut[i]);
	}
}

static void add_field(FILE *out, const struct form *f, size_t i)
{
	const struct field_row *row = &form_row(f)->fields[i];
	const struct field *field = &f->fields[i];
	char path[FIELD_ROOM];

	if (row->kind == FIELD_SWITCH) {
		if (field->on != field->first_on)
			fprintf(out, " --%s%s", field->on ? "" : "no-", row->flag + 2);
	} else if (row->kind == FIELD_LABELS || row->kind == FIELD_PORTS ||
		   row->kind == FIELD_WORDS) {
		add_list(out, row, field);
	} else {
		if (*row->flag)
			fprintf(out, " %s", row->flag);
		/* A quoted ~ would be a folder's name. */
		add_word(out, row->kind == FIELD_FILE || row->kind == FIELD_SOURCE
				      ? form_path(field->text, path)
				      : field->text);
	}
}

const char *form_command(const struct form *f, char *out, size_t room)
{
	FILE *stream = fmemopen(out, room, "w");

	*out = '\0';
	if (!stream)
		return out;
	fputs(form_row(f)->command, stream);
	if (*f->target)
		add_word(stream, f->target);
	for (size_t i = 0; i < form_row(f)->count; i++)
		if (is_said(f, i))
			add_field(stream, f, i);
	fclose(stream);
	out[room - 1] = '\0';
	return out;
}
