/* SPDX-License-Identifier: ISC */
/* cmd_image.c: the commands about images; `image build` is in cmd_image_build.c. */
#include <fcntl.h>
#include <limits.h>

#include "cli/cmd_image_build.h"
#include "cli/cmd_search.h"
#include "cli/image_from.h"
#include "cli/jobs.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/redact.h"
#include "common/size.h"

void image_report_made(struct cli *cli, const struct job *job)
{
	const json_t *image = json_object_get(job->op, "result");
	_free_ char *on_disk = render_on_disk(image);
	const struct term *t = &cli->out;
	char took[DURATION_TEXT];

	fprintf(t->file, "%s%s%s is made in %s, %s\n", term_style(t, STYLE_BOLD), job->name,
		term_plain(t), render_duration((uint64_t)render_int(job->op, "elapsed_ms"), took),
		on_disk ? on_disk : "");
	if (t->tty)
		fprintf(t->file, "%s  banger vm create --image %s%s\n", term_style(t, STYLE_DIM),
			job->name, term_plain(t));
}

/* The name may have been made of the file's. */
static void report_imported(struct cli *cli, const struct job *job)
{
	struct job named = *job;

	named.name = render_text(json_object_get(job->op, "result"), "name");
	image_report_made(cli, &named);
}

static void report_deleted(struct cli *cli, const struct job *job)
{
	const struct term *t = &cli->out;

	fprintf(t->file, "%s%s%s deleted\n", term_style(t, STYLE_BOLD), job->name, term_plain(t));
}

static void set_text(json_t *body, const char *key, const char *value)
{
	if (value)
		json_object_set_new(body, key, bg_json_str(value));
}

static int image_register(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	const char *name = NULL;
	int r;

	r = image_need_name(args, &name, err);
	if (r >= 0 && !args_has(args, "--rootfs"))
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "say where it is: --rootfs FILE");
	if (r >= 0)
		r = args_path(args, "--rootfs", body, "rootfs", err);
	if (r >= 0)
		r = args_path(args, "--kernel", body, "kernel_file", err);
	if (r >= 0)
		r = args_path(args, "--modules", body, "modules_file", err);
	if (r >= 0)
		r = args_path(args, "--initrd", body, "initrd_file", err);
	if (r < 0)
		return r;
	set_text(body, "name", name);
	set_text(body, "kernel", args_value(args, "--kernel-ref"));
	if (args_has(args, "--replace"))
		json_object_set_new(body, "replace", json_true());
	return job_run_one(cli, "register image", name, ROUTE_IMAGE_REGISTER, TAKE_PTR(body),
		image_report_made);
}

static void report_pulled(struct cli *cli, const struct job *job)
{
	const json_t *image = json_object_get(job->op, "result");
	_free_ char *on_disk = render_on_disk(image);
	const char *name = render_text(image, "name");
	const struct term *t = &cli->out;
	char took[DURATION_TEXT];

	fprintf(t->file, "%s is now image %s%s%s, %s, in %s\n", render_text(image, "source"),
		term_style(t, STYLE_BOLD), name, term_plain(t), on_disk ? on_disk : "",
		render_duration((uint64_t)render_int(job->op, "elapsed_ms"), took));
	if (t->tty)
		fprintf(t->file, "%s  banger vm create --image %s%s\n", term_style(t, STYLE_DIM),
			name, term_plain(t));
}

/*
 * The daemon's working directory is not ours: "oci:dir:tag" becomes "oci:/full/dir:tag". Anything
 * that is of another kind stays as it is. *ret is the caller's.
 */
static int full_source(const char *ref, char **ret, struct bg_err **err)
{
	static const char *const kinds[] = {"oci:", "docker-archive:"};
	char full[PATH_MAX];
	_free_ char *path = NULL, *out = strdup(ref);

	for (size_t i = 0; out && i < ARRAY_SIZE(kinds); i++) {
		const char *at = ref + strlen(kinds[i]), *end;

		if (strncmp(ref, kinds[i], strlen(kinds[i])) != 0)
			continue;
		end = at + strcspn(at, ":");
		path = strndup(at, (size_t)(end - at));
		if (!path || !realpath(path, full))
			return bg_err_sys(err, BG_ERR_USAGE, errno, "%s", path ? path : ref);
		free(TAKE_PTR(out));
		if (asprintf(&out, "%s%s%s", kinds[i], full, end) < 0)
			out = NULL;
	}
	*ret = TAKE_PTR(out);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int pull_from_catalog(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *wanted = args->positional[0], *name = args_value(args, "--name");
	json_t *body;
	int r = bg_name_check("image", wanted, err);

	if (r >= 0 && (args_has(args, "--size") || args_has(args, "--kernel-ref")))
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"an image of a catalog has its size and its kernel");
	if (r < 0)
		return r;
	body = json_pack("{s:s}", "catalog", wanted);
	set_text(body, "name", name);
	return job_run_one(
		cli, "pull image", name ? name : wanted, ROUTE_IMAGE_IMPORT, body, report_imported);
}

/* A bare name, such as catalogs have, that one of them has. With a tag or a host it is a
 * registry's. */
static bool is_in_catalog(struct cli *cli, const struct args *args)
{
	return bg_name_valid(args->positional[0]) && !args_has(args, "--size") &&
	       !args_has(args, "--kernel-ref") && search_has_image(cli, args->positional[0]);
}

static int image_pull(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *ref = args->positional[0], *name = args_value(args, "--name");
	_json_ json_t *body = json_object();
	_free_ char *source = NULL;
	uint64_t size = 0;
	int r = name ? bg_name_check("image", name, err) : 0;

	if (r >= 0 && (args_has(args, "--catalog") || is_in_catalog(cli, args)))
		return pull_from_catalog(cli, args, err);
	if (r >= 0)
		r = args_size_mib(args, "--size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &size, err);
	if (r >= 0)
		r = full_source(ref, &source, err);
	if (r < 0)
		return r;
	set_text(body, "ref", source);
	set_text(body, "name", name);
	set_text(body, "kernel", args_value(args, "--kernel-ref"));
	if (size)
		json_object_set_new(body, "size_mib", json_integer((json_int_t)size));
	return job_run_one(cli, "pull image", ref, ROUTE_IMAGE_PULL, TAKE_PTR(body), report_pulled);
}

static int image_prune(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *reply = NULL;
	char size[BG_SIZE_TEXT];
	int64_t files, unused;
	int r = client_call(cli, CLIENT_START, ROUTE_IMAGE_PRUNE, NULL, NULL, &reply, err);

	if (r < 0)
		return r;
	files = render_int(reply, "files");
	unused = render_int(reply, "unused");
	if (cli->json)
		render_json(&cli->out, reply);
	else if (files == 0)
		fprintf(cli->out.file,
			"nothing to remove: no layers, no files that nothing names\n");
	else
		fprintf(cli->out.file,
			"%lld layer%s and %lld file%s that nothing named removed, %s freed\n",
			(long long)(files - unused), files - unused == 1 ? "" : "s",
			(long long)unused, unused == 1 ? "" : "s",
			bg_size_print((uint64_t)render_int(reply, "bytes"), size));
	return BG_EXIT_OK;
}

static void report_promoted(struct cli *cli, const struct job *job)
{
	const json_t *image = json_object_get(job->op, "result");
	const struct term *t = &cli->out;

	fprintf(t->file, "%s%s%s promoted: %s is now stored by banger\n", term_style(t, STYLE_BOLD),
		job->name, term_plain(t), render_text(json_object_get(image, "paths"), "rootfs"));
}

static int image_promote(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return job_run_one(cli, "promote image", args->positional[0], ROUTE_IMAGE_PROMOTE, NULL,
		report_promoted);
}

static void report_exported(struct cli *cli, const struct job *job)
{
	const json_t *bundle = json_object_get(job->op, "result");
	const struct term *t = &cli->out;
	char size[BG_SIZE_TEXT];

	fprintf(t->file, "%s%s%s exported to %s, %s\nsha256 %s\n", term_style(t, STYLE_BOLD),
		job->name, term_plain(t), render_text(bundle, "path"),
		bg_size_print((uint64_t)render_int(bundle, "bytes"), size),
		render_text(bundle, "sha256"));
}

/* The file is not there yet: its folder must be. */
static int full_path(const char *path, char full[PATH_MAX], struct bg_err **err)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	_free_ char *dir = slash == path ? strdup("/")
			   : slash	 ? strndup(path, (size_t)(slash - path))
					 : strdup(".");

	if (!*base || bg_streq(base, ".") || bg_streq(base, ".."))
		return bg_err_set(err, BG_ERR_USAGE, EISDIR, "%s names no file", path);
	if (!dir || !realpath(dir, full))
		return bg_err_sys(err, BG_ERR_USAGE, errno, "%s", path);
	if (strlen(full) + strlen(base) + 2 > PATH_MAX)
		return bg_err_sys(err, BG_ERR_USAGE, ENAMETOOLONG, "%s", path);
	strcat(full, full[1] ? "/" : "");
	strcat(full, base);
	return 0;
}

static int image_export(struct cli *cli, const struct args *args, struct bg_err **err)
{
	char full[PATH_MAX];
	int r = full_path(args->positional[1], full, err);

	return r < 0 ? r
		     : job_run_one(cli, "export image", args->positional[0], ROUTE_IMAGE_EXPORT,
			       json_pack("{s:o}", "path", bg_json_str(full)), report_exported);
}

/* A URL as it is; else the whole path of a file. */
static int bundle_source(const char *from, json_t *body, struct bg_err **err)
{
	char full[PATH_MAX];

	if (strstr(from, "://")) {
		if (strncmp(from, "http://", 7) != 0 && strncmp(from, "https://", 8) != 0 &&
			strncmp(from, "file:///", 8) != 0)
			return bg_err_set(err, BG_ERR_USAGE, EPROTONOSUPPORT,
				"%s: a URL begins with http://, https:// or file:///", from);
		set_text(body, "from", from);
		return 0;
	}
	if (!realpath(from, full))
		return bg_err_sys(err, BG_ERR_USAGE, errno, "%s", from);
	set_text(body, "from", full);
	return 0;
}

static int image_import(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args_value(args, "--name"), *from = args->positional[0];
	_free_ char *shown = bg_redact(strdup(from));
	_json_ json_t *body = json_object();
	int r = name ? bg_name_check("image", name, err) : 0;

	if (r >= 0)
		r = bundle_source(from, body, err);
	if (r < 0)
		return r;
	set_text(body, "name", name);
	set_text(body, "sha256", args_value(args, "--sha256"));
	return job_run_one(cli, "import image", name ? name : shown, ROUTE_IMAGE_IMPORT,
		TAKE_PTR(body), report_imported);
}

static int image_delete(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return jobs_run_names(cli, "delete image", args->positional, args->count,
		ROUTE_IMAGE_DELETE, report_deleted);
}

static void list_row(struct table *t, const json_t *image)
{
	char real[BG_SIZE_TEXT], shared[BG_SIZE_TEXT], size[BG_SIZE_TEXT];

	table_cell(t, STYLE_BOLD, "%s", render_text(image, "name"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(image, "os"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(image, "kernel"));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print((uint64_t)render_int(image, "size_bytes"), size));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print((uint64_t)render_int(image, "real_bytes"), real));
	table_cell(t, STYLE_PLAIN, "%s",
		bg_size_print((uint64_t)render_int(image, "shared_bytes"), shared));
	table_cell(t, STYLE_PLAIN, "%s", render_text(image, "source"));
	table_cell(t, STYLE_PLAIN, "%zu", json_array_size(json_object_get(image, "used_by")));
}

static int image_list(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const struct column columns[] = {{.title = "NAME", .min = 20},
		{.title = "OS", .min = 12, .drop = 3}, {.title = "KERNEL", .min = 12, .drop = 2},
		{.title = "SIZE", .right = true, .drop = 4},
		{.title = "ON DISK", .right = true, .drop = 1},
		{.title = "SHARED", .right = true, .drop = 5}, {.title = "SOURCE", .drop = 6},
		{.title = "VMS", .right = true, .drop = 7}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	_json_ json_t *reply = NULL;
	const json_t *images, *image;
	size_t i;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_IMAGE_LIST, NULL, NULL, &reply, err);
	if (r < 0)
		return r;
	images = json_object_get(reply, "images");
	if (cli->json) {
		render_json(&cli->out, images);
		return BG_EXIT_OK;
	}
	json_array_foreach (images, i, image)
		list_row(t, image);
	if (json_array_size(images) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file,
			"There are no images yet. Build one: `banger image build --name debian`\n");
	return BG_EXIT_OK;
}

static void show_paths(const struct term *t, const json_t *image)
{
	const json_t *paths = json_object_get(image, "paths");

	render_field(t, "rootfs", STYLE_PLAIN, "%s", render_text(paths, "rootfs"));
	render_field(t, "work seed", STYLE_PLAIN, "%s", render_text(paths, "work_seed"));
	render_field(t, "build log", STYLE_PLAIN, "%s", render_text(paths, "build_log"));
}

static void show_kernel(const struct term *t, const json_t *image)
{
	_free_ char *release = term_clean(render_text(image, "kernel_release"));
	long long modules = (long long)render_int(image, "modules");
	bool own = false;

	(void)bg_json_get_bool(image, "owns_kernel", &own);
	if (bg_isempty(release))
		render_field(t, "kernel", STYLE_PLAIN, "%s", render_text(image, "kernel"));
	else
		render_field(t, "kernel", STYLE_PLAIN, "%s (Linux %s, %lld modules)%s",
			render_text(image, "kernel"), release, modules, own ? ", its own" : "");
}

static const char *known(const json_t *image, const char *key)
{
	bool is = false;

	return bg_json_get_bool(image, key, &is) < 0 ? "unknown" : is ? "yes" : "no";
}

static void show_all(const struct term *t, const json_t *image)
{
	_free_ char *used_by = render_list(json_object_get(image, "used_by"));
	_free_ char *on_disk = render_on_disk(image);
	char size[BG_SIZE_TEXT];
	const char *os = render_text(image, "os");
	bool managed = false;

	(void)bg_json_get_bool(image, "managed", &managed);
	render_field(t, "name", STYLE_BOLD, "%s", render_text(image, "name"));
	render_field(t, "os", STYLE_PLAIN, "%s", bg_isempty(os) ? "unknown" : os);
	show_kernel(t, image);
	render_field(t, "size", STYLE_PLAIN, "%s, %s",
		bg_size_print((uint64_t)render_int(image, "size_bytes"), size),
		on_disk ? on_disk : "");
	render_field(t, "ssh server", STYLE_PLAIN, "%s", known(image, "has_sshd"));
	render_field(t, "source", STYLE_PLAIN, "%s%s", render_text(image, "source"),
		managed ? "" : ", used where it lies");
	render_field(t, "used by", STYLE_PLAIN, "%s", used_by ? used_by : "");
	render_time(t, "created", render_text(image, "created_at"));
	show_paths(t, image);
}

static int image_show(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args->positional[0];
	_json_ json_t *image = NULL;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_IMAGE_SHOW, name, NULL, &image, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, image);
	else
		show_all(&cli->out, image);
	return BG_EXIT_OK;
}

static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag delete_flags[] = {FLAG_TIMING, FLAG_END};
static const struct flag promote_flags[] = {FLAG_JSON, FLAG_TIMING, FLAG_END};
static const struct flag import_flags[] = {
	{"--name", "NAME", ARG_NEW, "the image's name; by default from the file's"},
	{"--sha256", "HEX", ARG_TEXT, "what the file must have, as export printed it"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag pull_flags[] = {
	{"--catalog", NULL, ARG_NONE, "only look into the catalogs of config.toml"},
	{"--name", "NAME", ARG_NEW, "the image's name; without, the last word of the reference"},
	{"--kernel-ref", "NAME", ARG_KERNEL, "the kernel its VMs boot"},
	{"--size", "SIZE", ARG_SIZE, "of the file system; VMs may have larger ones"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};
static const struct flag register_flags[] = {
	{"--name", "NAME", ARG_NEW, "the image's name"},
	{"--rootfs", "FILE", ARG_FILE, "an ext4 file system"},
	{"--kernel-ref", "NAME", ARG_KERNEL, "the kernel its VMs boot"},
	{"--kernel", "FILE", ARG_FILE,
		"the same as a file: it becomes a kernel of the image's name, and goes with it"},
	{"--modules", "FILE", ARG_FILE, "its modules: a package, or a tar with lib/modules/"},
	{"--initrd", "FILE", ARG_FILE, "unpacked before banger's own initramfs"},
	{"--replace", NULL, ARG_NONE, "replace what was registered as NAME, if no VM uses it"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};

const struct command image_commands[] = {
	{.path = "image build",
		.alias = "build",
		.flags = image_build_flags,
		.usage = "--name NAME",
		.summary = "make a Debian image, with your packages",
		.details =
			"Shows what is done meanwhile. Ctrl-C cancels and leaves nothing behind.",
		.example = "banger image build --name debian\n"
			   "banger image build --name small --minimal\n"
			   "banger image build --name containers --docker\n"
			   "echo git tmux build-essential | "
			   "banger image build --name dev --packages -\n"
			   "banger image build --name team --from-image debian --docker --script "
			   "setup.sh",
		.run = image_build},
	{.path = "image register",
		.flags = register_flags,
		.usage = "--name NAME --rootfs FILE",
		.summary = "use a root file system where it lies",
		.details =
			"The file stays yours: banger reads it, and neither moves nor removes it.",
		.example = "banger image register --name mine --rootfs ./rootfs.ext4 "
			   "--kernel-ref debian",
		.run = image_register},
	{.path = "image pull",
		.alias = "pull",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 1,
		.flags = pull_flags,
		.usage = "REFERENCE",
		.summary = "get an image from a container registry or a catalog",
		.details =
			"REFERENCE is [HOST[:PORT]/]NAME[:TAG][@sha256:...]; without a host it is "
			"Docker Hub's, or, for a bare NAME, that of a catalog which has it. "
			"Credentials are those of `podman login` or `docker login`. "
			"Layers are kept for the next pull; one that was interrupted goes on where "
			"it ended. Images on disk: oci:DIR[:TAG] is an OCI layout, "
			"docker-archive:FILE[:NAME:TAG] what `docker save` wrote.",
		.example = "banger image pull debian:12 --name bookworm\n"
			   "banger image pull localhost:5000/team/dev\n"
			   "docker save team/dev >dev.tar && banger image pull "
			   "docker-archive:dev.tar\n"
			   "banger image pull --catalog debian-dev",
		.run = image_pull},
	{.path = "image prune",
		.flags = print_flags,
		.usage = "",
		.summary = "remove the layers kept of pulled images",
		.details = "Images stay as they are; the next pull fetches its layers again. Also "
			   "removes files of images that\n"
			   "nothing names any more (`banger doctor` counts them).",
		.example = "banger image prune",
		.run = image_prune},
	{.path = "image export",
		.kind = ARG_IMAGE,
		.then_files = true,
		.min_args = 2,
		.max_args = 2,
		.flags = promote_flags,
		.usage = "NAME FILE",
		.summary = "write an image with its kernel to one file",
		.details =
			"Another machine needs nothing else to make VMs of it: see `banger image "
			"import`. Prints the file's sha256.",
		.example = "banger image export debian debian.tar.zst",
		.run = image_export},
	{.path = "image import",
		.kind = ARG_FILE,
		.min_args = 1,
		.max_args = 1,
		.flags = import_flags,
		.usage = "FILE|URL",
		.summary = "take an image with its kernel out of such a file",
		.example = "banger image import debian.tar.zst\n"
			   "banger image import https://example.org/dev.tar.zst --sha256 HEX "
			   "--name dev",
		.run = image_import},
	{.path = "image promote",
		.kind = ARG_IMAGE,
		.min_args = 1,
		.max_args = 1,
		.flags = promote_flags,
		.usage = "NAME",
		.summary = "copy a registered image into banger's own storage",
		.details = "From then on it does not depend on the file it was made of.",
		.example = "banger image promote mine",
		.run = image_promote},
	{.path = "image search",
		.kind = ARG_TEXT,
		.max_args = 1,
		.flags = print_flags,
		.usage = "[WORD]",
		.summary = "list what the catalogs offer",
		.details = "With WORD only those that have it in their name or description.",
		.example = "banger image search",
		.run = search_images},
	{.path = "image list",
		.alias = "image ls, images",
		.flags = print_flags,
		.usage = "",
		.summary = "list the images",
		.example = "banger image list",
		.run = image_list},
	{.path = "image show",
		.kind = ARG_IMAGE,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.usage = "NAME",
		.summary = "show an image's details",
		.example = "banger image show debian",
		.run = image_show},
	{.path = "image delete",
		.alias = "image rm, rmi",
		.kind = ARG_IMAGE,
		.min_args = 1,
		.max_args = ARGS_MANY,
		.flags = delete_flags,
		.usage = "NAME...",
		.summary = "remove images that no VM uses",
		.example = "banger image delete debian old-debian",
		.run = image_delete},
	{NULL},
};
