/* SPDX-License-Identifier: ISC */
/* cmd_image_build.c: image build: of nothing by the daemon, or in a VM of another image (image_from.c). */
#include "cli/cmd_image_build.h"

#include <fcntl.h>

#include "cli/image_from.h"
#include "cli/jobs.h"
#include "cli/vm_body.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"

enum { PACKAGES_FILE_MAX = 256 * 1024 };

const struct flag image_build_flags[] = {
	{"--name", "NAME", ARG_NEW, "the image's name"},
	{"--packages", "FILE", ARG_FILE,
		"packages to install too, as words; # starts a comment, - reads stdin"},
	{"--from-image", "NAME", ARG_IMAGE, "begin with this image; the rest runs in a VM of it"},
	{"--docker", NULL, ARG_NONE, "add docker, with compose"},
	{"--minimal", NULL, ARG_NONE,
		"without git, editor, python3 and the like: what it takes to boot and be reached"},
	{"--script", "FILE", ARG_FILE, "run it as root in the VM, after all else"},
	{"--kernel", "NAME", ARG_KERNEL, "the kernel its VMs boot"},
	{"--size", "SIZE", ARG_SIZE, "of the file system; VMs may have larger ones"},
	{"--suite", "NAME", ARG_TEXT, "the Debian release"},
	{"--mirror", "URL", ARG_TEXT, "where packages come from"},
	FLAG_JSON,
	FLAG_TIMING,
	FLAG_END,
};

/* As the Debian policy has it: lower case letters, digits, + - . and at least two of them. */
static bool package_valid(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	return len >= 2 && s[len] == '\0' && s[0] != '-' && s[0] != '+' && s[0] != '.';
}

static int parse_packages(const char *file, char *text, json_t *list, struct bg_err **err)
{
	char *save_line = NULL, *save_word = NULL;
	int number = 0;

	/* strtok_r would skip empty lines, and with them the count. */
	for (char *line = text; line; line = save_line) {
		number++;
		save_line = strchr(line, '\n');
		if (save_line)
			*save_line++ = '\0';
		line[strcspn(line, "#")] = '\0';
		for (char *w = strtok_r(line, " \t\r", &save_word); w;
			w = strtok_r(NULL, " \t\r", &save_word)) {
			if (!package_valid(w))
				return bg_err_set(err, BG_ERR_USAGE, EINVAL,
					"%s:%d: \"%.60s\" is not the name of a Debian package",
					file, number, w);
			json_array_append_new(list, json_string(w));
		}
	}
	return 0;
}

static int read_packages(const char *file, json_t *body, struct bg_err **err)
{
	_json_ json_t *list = json_array();
	_free_ char *text = NULL;
	int r;

	if (!file)
		return 0;
	if (bg_streq(file, "-"))
		r = bg_read_fd(STDIN_FILENO, PACKAGES_FILE_MAX, &text, NULL);
	else
		r = bg_read_file_at(AT_FDCWD, file, PACKAGES_FILE_MAX, &text, NULL);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_USAGE, -r, "--packages: %s", file);
	r = parse_packages(file, text, list, err);
	if (r >= 0)
		json_object_set(body, "packages", list);
	return r;
}

int image_need_name(const struct args *args, const char **ret, struct bg_err **err)
{
	*ret = args_value(args, "--name");
	if (!*ret)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "name the image: --name NAME");
	return bg_name_check("image", *ret, err);
}

static int build_from(struct cli *cli, const struct args *args, const char *name,
	const json_t *packages, uint64_t size, struct bg_err **err)
{
	const struct image_from from = {.name = name,
		.base = args_value(args, "--from-image"),
		.kernel = args_value(args, "--kernel"),
		.script = args_value(args, "--script"),
		.packages = packages,
		.docker = args_has(args, "--docker"),
		.size_mib = size};

	if (args_has(args, "--suite") || args_has(args, "--mirror") || args_has(args, "--minimal"))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"--suite, --mirror and --minimal are for images made of nothing, not for "
			"--from-image");
	if (!from.script && !from.docker && !packages)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"say what to add to image \"%s\": --packages, --docker or --script",
			from.base);
	return image_build_from(cli, &from, err);
}

/* As --from-image does it, but that Debian's packages turn their services on by themselves. */
static void add_docker(json_t *body)
{
	static const char *const packages[] = {
		"docker.io", "docker-compose", "iptables", "apparmor"};
	json_t *list = json_object_get(body, "packages");

	if (!list)
		json_object_set_new(body, "packages", list = json_array());
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		json_array_append_new(list, json_string(packages[i]));
}

int image_build(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	const char *name = NULL;
	uint64_t size = 0;
	int r;

	r = image_need_name(args, &name, err);
	if (r >= 0)
		r = args_size_mib(args, "--size", BG_DISK_MIB_MIN, BG_DISK_MIB_MAX, &size, err);
	if (r >= 0)
		r = read_packages(args_value(args, "--packages"), body, err);
	if (r < 0)
		return r;
	if (args_has(args, "--from-image"))
		return build_from(cli, args, name, json_object_get(body, "packages"), size, err);
	if (args_has(args, "--script")) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"--script runs in a VM of an image: name it with --from-image");
		bg_err_hint(err, "a plain Debian first: `banger image build --name debian`");
		return r;
	}
	if (args_has(args, "--docker"))
		add_docker(body);
	if (args_has(args, "--minimal"))
		json_object_set_new(body, "minimal", json_true());
	vm_body_text(body, "name", name);
	vm_body_text(body, "kernel", args_value(args, "--kernel"));
	vm_body_text(body, "suite", args_value(args, "--suite"));
	vm_body_text(body, "mirror", args_value(args, "--mirror"));
	if (size)
		json_object_set_new(body, "size_mib", json_integer((json_int_t)size));
	return job_run_one(
		cli, "build image", name, ROUTE_IMAGE_BUILD, TAKE_PTR(body), image_report_made);
}
