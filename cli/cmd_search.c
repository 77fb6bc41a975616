/* SPDX-License-Identifier: ISC */
/* See cmd_search.h. */
#include "cli/cmd_search.h"

#include "common/json.h"
#include "common/size.h"

/* A catalog that could not be read: the others' entries are shown all the same. */
static void warn(struct cli *cli, const json_t *reply)
{
	const json_t *failed = json_object_get(reply, "error");
	_free_ char *clean = term_clean(render_text(failed, "message"));

	if (json_is_object(failed) && clean)
		fprintf(cli->err.file, "banger: %s\n", clean);
}

static bool is_wanted(const json_t *entry, const char *word)
{
	return !word || strcasestr(render_text(entry, "name"), word) ||
	       strcasestr(render_text(entry, "description"), word);
}

/* The entries with that word in them; a new list. */
static json_t *pick(const json_t *reply, const char *word)
{
	json_t *out = json_array(), *entry;
	size_t i;

	json_array_foreach (json_object_get(reply, "entries"), i, entry)
		if (is_wanted(entry, word))
			json_array_append(out, entry);
	return out;
}

static void print_table(struct cli *cli, const json_t *entries)
{
	static const struct column columns[] = {{.title = "NAME", .min = 20},
		{.title = "SIZE", .right = true, .drop = 1}, {.title = "DESCRIPTION", .min = 20},
		{.title = "CATALOG", .drop = 2}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	const json_t *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		char size[BG_SIZE_TEXT];

		table_cell(t, STYLE_BOLD, "%s", render_text(entry, "name"));
		table_cell(t, STYLE_PLAIN, "%s",
			bg_size_print((uint64_t)render_int(entry, "size"), size));
		table_cell(t, STYLE_PLAIN, "%s", render_text(entry, "description"));
		table_cell(t, STYLE_PLAIN, "%s", render_text(entry, "catalog"));
	}
	table_print(t, &cli->out);
}

static int search(struct cli *cli, const struct args *args, const char *kind, struct bg_err **err)
{
	const char *word = args->count ? args->positional[0] : NULL;
	_json_ json_t *reply = NULL, *entries = NULL;
	int r = client_call(cli, CLIENT_START, ROUTE_CATALOG_LIST, kind, NULL, &reply, err);

	if (r < 0)
		return r;
	entries = pick(reply, word);
	warn(cli, reply);
	if (cli->json)
		render_json(&cli->out, entries);
	else if (json_array_size(entries) > 0)
		print_table(cli, entries);
	else if (json_array_size(json_object_get(reply, "entries")) > 0)
		fprintf(cli->err.file, "No %s in the catalogs matches \"%s\".\n", kind, word);
	else
		fprintf(cli->err.file,
			"The catalogs have no %s; config.toml names them: catalogs = \"URL ...\"\n",
			kind);
	return json_is_object(json_object_get(reply, "error")) && json_array_size(entries) == 0
		       ? BG_EXIT_FAILED
		       : BG_EXIT_OK;
}

int search_images(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return search(cli, args, "image", err);
}

int search_kernels(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return search(cli, args, "kernel", err);
}

bool search_has_image(struct cli *cli, const char *name)
{
	_err_ struct bg_err *err = NULL;
	_json_ json_t *reply = NULL;
	const json_t *entry;
	size_t i;

	if (client_call(cli, CLIENT_START, ROUTE_CATALOG_LIST, "image", NULL, &reply, &err) < 0)
		return false;
	json_array_foreach (json_object_get(reply, "entries"), i, entry)
		if (bg_streq(render_text(entry, "name"), name))
			return true;
	warn(cli, reply);
	return false;
}
