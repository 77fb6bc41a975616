/* SPDX-License-Identifier: ISC */
/*
 * The file picker: a page of links, so that it works without JavaScript. A folder leads to the same page; a file leads back to the form, with its
 * path in the field. Paths are in links alone, encoded byte by byte; what may be listed is decided behind GET /v1/files.
 */
#include <stdio.h>

#include "common/json.h"
#include "daemon/engine.h"
#include "daemon/web/template.h"
#include "daemon/web/view.h"
#include "daemon/web/web_impl.h"

enum { WORD_MAX = 16 };

static const struct pick {
	const char *word, *form, *field, *fields, *back;
} picks[] = {
#define X(word_, form_, field_, fields_, back_) {word_, form_, field_, fields_, back_},
#include "daemon/web/picks.def"
#undef X
};

static const struct pick *pick_of(const struct visit *visit)
{
	const char *word = http_call_field(visit->call, "for", 0);

	for (size_t i = 0; i < ARRAY_SIZE(picks); i++)
		if (bg_streq(picks[i].word, word))
			return &picks[i];
	return NULL;
}

static void print_encoded(FILE *f, const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *text; text++)
		if (strchr(plain, *text))
			fputc(*text, f);
		else
			fprintf(f, "%%%02X", (unsigned char)*text);
}

/* The next word of a list of fields; false: there is none. */
static bool next_field(const char **fields, char out[WORD_MAX])
{
	int n = 0;

	if (sscanf(*fields, " %15[a-z0-9]%n", out, &n) != 1)
		return false;
	*fields += n;
	return true;
}

/* "&from=...&name=..." of what the form had. NULL when out of memory. */
static char *kept(const struct visit *visit, const struct pick *pick)
{
	const char *fields = pick->fields;
	char name[WORD_MAX], *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	while (f && next_field(&fields, name)) {
		const char *value = http_call_field(visit->call, name, 0);

		if (bg_isempty(value))
			continue;
		fprintf(f, "&%s=", name);
		print_encoded(f, value);
	}
	if (f)
		(void)fclose(f);
	return text;
}

/* What can be in a form's field as it is. */
static bool is_plain(const char *name)
{
	_free_ char *clean = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&clean, &len);

	if (!f)
		return false;
	template_clean(name, f);
	return fclose(f) == 0 && bg_streq(clean, name) && !strpbrk(name, "\t\n");
}

static char *encoded_path(const char *folder, const char *name)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	if (folder) {
		print_encoded(f, folder);
		if (!bg_streq(folder, "/"))
			print_encoded(f, "/");
	}
	print_encoded(f, name);
	(void)fclose(f);
	return text;
}

static json_t *view_entry(const char *folder, const json_t *entry)
{
	const char *kind = json_string_value(json_object_get(entry, "kind")),
		   *name = json_string_value(json_object_get(entry, "name"));
	bool plain = is_plain(name), enter = plain && bg_streq(kind, "folder"),
	     take = plain && bg_streq(kind, "file");
	_free_ char *url = encoded_path(folder, name);
	json_t *view = view_file(entry);

	json_object_set_new(view, "url", bg_json_str(url ? url : ""));
	json_object_set_new(view, "enter", json_boolean(enter));
	json_object_set_new(view, "take", json_boolean(take));
	json_object_set_new(view, "odd",
		json_string(enter || take	     ? ""
			    : !plain		     ? "its name cannot be typed"
			    : bg_streq(kind, "link") ? "a link"
						     : "no file"));
	return view;
}

static void add_entries(const json_t *files, json_t *view)
{
	const char *folder = json_string_value(json_object_get(files, "path"));
	const char *parent = json_string_value(json_object_get(files, "parent"));
	_free_ char *up = parent ? encoded_path(NULL, parent) : NULL;
	json_t *list = json_array();
	const json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(files, "entries"), i, entry)
		json_array_append_new(list, view_entry(folder, entry));
	json_object_set_new(view, "files", list);
	json_object_set_new(view, "folder", bg_json_str(folder ? folder : ""));
	json_object_set_new(view, "up", bg_json_str(up ? up : ""));
	json_object_set(view, "left_out", json_object_get(files, "left_out"));
	json_object_set(view, "more", json_object_get(files, "more"));
}

static void show(struct visit *visit, const struct pick *pick, const json_t *files)
{
	_free_ char *keep = kept(visit, pick);
	json_t *view = json_pack("{s:s, s:s, s:s, s:s, s:s}", "for", pick->word, "form", pick->form,
		"field", pick->field, "back", pick->back, "keep", keep ? keep : "");

	json_object_set_new(
		view, bg_streq(pick->back, "/kernels") ? "nav_kernels" : "nav_images", json_true());
	add_entries(files, view);
	page_reply(visit, 200, visit->route->template, view);
}

static void ask(struct visit *visit, const char *folder);

static void on_files(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;
	const json_t *list = json_object_get(body, "entries");

	if (status >= 400)
		page_reply_api_error(visit, status, body);
	else if (json_is_null(json_object_get(body, "path")) && json_array_size(list) == 1)
		ask(visit, json_string_value(json_object_get(json_array_get(list, 0), "name")));
	else
		show(visit, pick_of(visit), body);
}

static void ask(struct visit *visit, const char *folder)
{
	_free_ char *url = encoded_path(NULL, folder), *path = NULL;

	if (!url || asprintf(&path, "/v1/files%s%s", *folder ? "?path=" : "", url) < 0)
		path = NULL;
	http_ask(visit->web->engine, HTTP_GET, path ? path : "/v1/files", NULL, on_files, visit);
}

void pick_show(struct visit *visit)
{
	const char *folder = http_call_field(visit->call, "in", 0);
	struct bg_err *err = NULL;

	if (pick_of(visit)) {
		ask(visit, folder ? folder : "");
		return;
	}
	bg_err_set(&err, BG_ERR_NO_ROUTE, ENOENT, "there is nothing to choose a file for");
	page_reply_error(visit, 404, err);
}

/* The kernel that was chosen before is so again. */
static void choose_kernel(const char *name, json_t *view)
{
	json_t *kernel;
	size_t i;

	json_array_foreach (json_object_get(view, "kernels"), i, kernel)
		if (bg_streq(json_string_value(json_object_get(kernel, "name")), name))
			json_object_set_new(kernel, "chosen", json_true());
}

void pick_fill(const struct visit *visit, json_t *view)
{
	const struct pick *pick = pick_of(visit);
	const char *fields = pick ? pick->fields : "";
	json_t *form = json_object();
	char name[WORD_MAX];

	json_object_set_new(
		view, "picker", json_boolean(!bg_isempty(visit->web->engine->config->web_folders)));
	while (next_field(&fields, name)) {
		const char *value = http_call_field(visit->call, name, 0);

		json_object_set_new(form, name, bg_json_str(value ? value : ""));
		if (bg_streq(name, "kernel"))
			choose_kernel(value, view);
	}
	if (pick)
		json_object_set(view, pick->form, form);
	json_decref(form);
}
