/* SPDX-License-Identifier: ISC */
/* cmd_kernel.c: the commands about kernels. */
#include <limits.h>

#include "cli/cmd_search.h"
#include "cli/jobs.h"
#include "common/json.h"
#include "common/name.h"
#include "common/size.h"

static void report_imported(struct cli *cli, const struct job *job)
{
	const json_t *kernel = json_object_get(job->op, "result");
	const char *name = render_text(kernel, "name");
	_free_ char *release = term_clean(render_text(kernel, "release"));
	const struct term *t = &cli->out;
	long long modules = (long long)render_int(kernel, "modules");

	fprintf(t->file, "%s%s%s imported", term_style(t, STYLE_BOLD), *name ? name : job->name,
		term_plain(t));
	if (!bg_isempty(release))
		fprintf(t->file, ": Linux %s", release);
	if (modules)
		fprintf(t->file, ", %lld modules", modules);
	fputc('\n', t->file);
}

static void report_deleted(struct cli *cli, const struct job *job)
{
	const struct term *t = &cli->out;

	fprintf(t->file, "%s%s%s deleted\n", term_style(t, STYLE_BOLD), job->name, term_plain(t));
}

static int kernel_import(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args_value(args, "--name"), *path = args->positional[0];
	char full[PATH_MAX];
	json_t *body;
	int r;

	if (name) {
		r = bg_name_check("kernel", name, err);
		if (r < 0)
			return r;
	}
	if (!realpath(path, full)) {
		r = bg_err_sys(err, BG_ERR_USAGE, errno, "%s", path);
		bg_err_hint(err, "give a Debian or RPM kernel package, a vmlinux or a bzImage");
		return r;
	}
	body = json_pack("{s:o}", "path", bg_json_str(full));
	if (name)
		json_object_set_new(body, "name", json_string(name));
	if (args_has(args, "--replace"))
		json_object_set_new(body, "replace", json_true());
	r = args_path(args, "--modules", body, "modules", err);
	if (r >= 0)
		r = args_path(args, "--initrd", body, "initrd", err);
	if (r < 0) {
		json_decref(body);
		return r;
	}
	return job_run_one(cli, "import kernel", name ? name : path, ROUTE_KERNEL_IMPORT, body,
		report_imported);
}

static int kernel_pull(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *wanted = args->positional[0], *name = args_value(args, "--name");
	json_t *body;
	int r = bg_name_check("kernel", wanted, err);

	if (r >= 0 && name)
		r = bg_name_check("kernel", name, err);
	if (r < 0)
		return r;
	body = json_pack("{s:s}", "catalog", wanted);
	if (name)
		json_object_set_new(body, "name", json_string(name));
	return job_run_one(cli, "pull kernel", wanted, ROUTE_KERNEL_PULL, body, report_imported);
}

static int kernel_delete(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return jobs_run_names(cli, "delete kernel", args->positional, args->count,
		ROUTE_KERNEL_DELETE, report_deleted);
}

static void list_row(struct table *t, const json_t *kernel)
{
	char size[BG_SIZE_TEXT];

	table_cell(t, STYLE_BOLD, "%s", render_text(kernel, "name"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(kernel, "release"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(kernel, "format"));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print((uint64_t)render_int(kernel, "size_bytes"), size));
	table_cell(t, STYLE_PLAIN, "%lld", (long long)render_int(kernel, "modules"));
	table_cell(t, STYLE_PLAIN, "%zu", json_array_size(json_object_get(kernel, "used_by")));
}

static int kernel_list(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const struct column columns[] = {{.title = "NAME", .min = 20},
		{.title = "RELEASE", .min = 12, .drop = 1}, {.title = "FORMAT", .drop = 4},
		{.title = "SIZE", .right = true, .drop = 3},
		{.title = "MODULES", .right = true, .drop = 2},
		{.title = "USED BY", .right = true, .drop = 5}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	_json_ json_t *reply = NULL;
	const json_t *kernels, *kernel;
	size_t i;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_KERNEL_LIST, NULL, NULL, &reply, err);
	if (r < 0)
		return r;
	kernels = json_object_get(reply, "kernels");
	if (cli->json) {
		render_json(&cli->out, kernels);
		return BG_EXIT_OK;
	}
	json_array_foreach (kernels, i, kernel)
		list_row(t, kernel);
	if (json_array_size(kernels) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file,
			"There are no kernels yet. Import one: `banger kernel import FILE`\n");
	return BG_EXIT_OK;
}

static void show_all(const struct term *t, const json_t *kernel)
{
	_free_ char *used_by = render_list(json_object_get(kernel, "used_by"));
	_free_ char *on_disk = render_on_disk(kernel);
	char size[BG_SIZE_TEXT];

	render_field(t, "name", STYLE_BOLD, "%s", render_text(kernel, "name"));
	render_field(t, "release", STYLE_PLAIN, "%s", render_text(kernel, "release"));
	render_field(t, "format", STYLE_PLAIN, "%s", render_text(kernel, "format"));
	render_field(t, "size", STYLE_PLAIN, "%s, with its modules %s",
		bg_size_print((uint64_t)render_int(kernel, "size_bytes"), size),
		on_disk ? on_disk : "");
	render_field(t, "modules", STYLE_PLAIN, "%lld", (long long)render_int(kernel, "modules"));
	render_field(t, "used by", STYLE_PLAIN, "%s", used_by ? used_by : "");
	render_time(t, "created", render_text(kernel, "created_at"));
	render_field(t, "path", STYLE_PLAIN, "%s", render_text(kernel, "path"));
}

static int kernel_show(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args->positional[0];
	_json_ json_t *kernel = NULL;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_KERNEL_SHOW, name, NULL, &kernel, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, kernel);
	else
		show_all(&cli->out, kernel);
	return BG_EXIT_OK;
}

static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag delete_flags[] = {FLAG_TIMING, FLAG_END};
static const struct flag import_flags[] = {
	{"--name", "NAME", ARG_NEW, "its name; by default from its release or file name"},
	{"--modules", "FILE", ARG_FILE,
		"its modules, where they are packaged apart: a package, or a tar with "
		"lib/modules/"},
	{"--initrd", "FILE", ARG_FILE, "unpacked before banger's own initramfs"},
	{"--replace", NULL, ARG_NONE,
		"replace the kernel of this name: VMs have the new one from their next start"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};

static const struct flag pull_flags[] = {
	{"--name", "NAME", ARG_NEW, "its name here; by default the catalog's"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};

const struct command kernel_commands[] = {
	{.path = "kernel import",
		.kind = ARG_FILE,
		.min_args = 1,
		.max_args = 1,
		.flags = import_flags,
		.usage = "FILE",
		.summary = "add a kernel, with its modules when the file has them",
		.details = "FILE is a Debian (linux-image) or RPM (kernel-core, kernel-default) "
			   "package, a "
			   "vmlinux or a bzImage. It is copied.",
		.example = "apt download linux-image-cloud-amd64\n"
			   "banger kernel import ./linux-image-*.deb --name cloud",
		.run = kernel_import},
	{.path = "kernel pull",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 1,
		.flags = pull_flags,
		.usage = "NAME",
		.summary = "fetch a kernel that a catalog has",
		.details = "Catalogs are named in config.toml: catalogs = \"URL URL…\". What was "
			   "fetched must have the sha256 that its catalog says.",
		.example = "banger kernel pull generic",
		.run = kernel_pull},
	{.path = "kernel search",
		.kind = ARG_TEXT,
		.max_args = 1,
		.flags = print_flags,
		.usage = "[WORD]",
		.summary = "list what the catalogs offer",
		.details = "With WORD only those that have it in their name or description.",
		.example = "banger kernel search",
		.run = search_kernels},
	{.path = "kernel list",
		.alias = "kernel ls",
		.flags = print_flags,
		.usage = "",
		.summary = "list the kernels",
		.example = "banger kernel list",
		.run = kernel_list},
	{.path = "kernel show",
		.kind = ARG_KERNEL,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.usage = "NAME",
		.summary = "show a kernel's details",
		.example = "banger kernel show cloud",
		.run = kernel_show},
	{.path = "kernel delete",
		.alias = "kernel rm",
		.kind = ARG_KERNEL,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = delete_flags,
		.usage = "NAME...",
		.summary = "remove kernels that nothing uses",
		.example = "banger kernel delete cloud old-cloud",
		.run = kernel_delete},
	{NULL},
};
