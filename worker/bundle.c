/* SPDX-License-Identifier: ISC */
/* See bundle.h. The manifest: all of it may come from a stranger. */
#include "worker/bundle.h"

#include <assert.h>
#include <stdio.h>

#include "common/image_env.h"
#include "common/name.h"
#include "common/sha256.h"
#include "worker/bzimage.h"

#define OS_MAX 200

static const struct {
	const char *name;
	uint64_t max; /* bytes, holes included */
} known[] = {
	[BUNDLE_ROOTFS] = {"rootfs.ext4", (uint64_t)BG_DISK_MIB_MAX << 20},
	[BUNDLE_SEED] = {"work-seed.ext4", (uint64_t)BG_DISK_MIB_MAX << 20},
	[BUNDLE_KERNEL] = {"kernel", BG_KERNEL_MAX},
	[BUNDLE_MODULES_CPIO] = {"modules.cpio", BG_KERNEL_MAX},
	[BUNDLE_MODULES_DISK] = {"modules.ext4", BG_MODULES_MAX},
	[BUNDLE_INITRD] = {"initrd", BG_KERNEL_MAX},
};
static_assert(ARRAY_SIZE(known) == BUNDLE_FILES, "one row per file");

enum bundle_file bundle_file(const char *name)
{
	int i = 0;

	while (i < BUNDLE_FILES && !bg_streq(known[i].name, name))
		i++;
	return (enum bundle_file)i;
}

const char *bundle_file_name(enum bundle_file file)
{
	return known[file].name;
}

_printf_(2, 3) static int bad(struct bg_err **err, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG, "the bundle's manifest %s", what);
}

static int take_file(
	const char *name, const json_t *value, struct bundle_entry *files, struct bg_err **err)
{
	enum bundle_file f = bundle_file(name);
	const char *digest = NULL;
	int64_t size = 0;

	if (f == BUNDLE_FILES)
		return bad(err, "lists a file that bundles do not have: \"%.80s\"", name);
	if (!json_is_object(value) ||
		bg_json_get_int(value, "size", 1, (int64_t)known[f].max, &size) < 0)
		return bad(err, "gives no possible size of %s", name);
	if (bg_json_get_str(value, "digest", &digest) < 0 || !bg_sha256_valid(digest))
		return bad(err, "gives no digest of %s", name);
	files[f].listed = true;
	files[f].size = (uint64_t)size;
	memcpy(files[f].digest, digest, DIGEST_HEX + 1);
	return 0;
}

static int take_files(
	const json_t *manifest, struct bundle_entry *files, json_t *out, struct bg_err **err)
{
	const json_t *list = NULL, *value;
	const char *name;

	if (bg_json_get_obj(manifest, "files", &list) < 0)
		return bad(err, "lists no files");
	json_object_foreach ((json_t *)(uintptr_t)list, name, value) {
		int r = take_file(name, value, files, err);

		if (r < 0)
			return r;
	}
	if (!files[BUNDLE_ROOTFS].listed)
		return bad(err, "lists no %s", known[BUNDLE_ROOTFS].name);
	json_object_set(out, "files", (json_t *)(uintptr_t)list);
	return 0;
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static int take_image(const json_t *manifest, json_t *out, struct bg_err **err)
{
	const char *name = NULL, *os = NULL;
	const json_t *image = NULL;
	json_t *env = NULL;
	bool sshd = false;

	if (bg_json_get_obj(manifest, "image", &image) < 0)
		return bad(err, "has no \"image\"");
	if (bg_json_get_str(image, "name", &name) < 0 || !bg_name_valid(name))
		return bad(err, "gives no valid name of the image");
	if (bg_json_get_bool(image, "has_sshd", &sshd) < 0)
		return bad(err, "does not say whether the image has an ssh server");
	if (json_object_get(image, "os") && !json_is_null(json_object_get(image, "os")) &&
		(bg_json_get_str(image, "os", &os) < 0 || strlen(os) > OS_MAX || !printable(os)))
		return bad(err, "gives no possible name of the operating system");
	if (image_env_take(json_object_get(image, "env"), &env) < 0)
		return bad(err, "has an environment that is not a list of strings, or over 8 KiB");
	json_object_set_new(out, "image",
		json_pack("{s:s, s:b, s:o, s:o*}", "name", name, "has_sshd", sshd, "os",
			bg_json_str(os), "env", env));
	return 0;
}

static int take_kernel(
	const json_t *manifest, const struct bundle_entry *files, json_t *out, struct bg_err **err)
{
	const char *format = NULL, *release = NULL;
	char clean[KERNEL_RELEASE_MAX];
	const json_t *kernel = NULL;
	int64_t modules = 0;
	bool cow = false;

	if (!files[BUNDLE_KERNEL].listed) {
		for (int i = BUNDLE_KERNEL; i < BUNDLE_FILES; i++)
			if (files[i].listed)
				return bad(err, "lists %s, but no kernel", known[i].name);
		return 0;
	}
	if (bg_json_get_obj(manifest, "kernel", &kernel) < 0)
		return bad(err, "says nothing of its kernel");
	if (bg_json_get_str(kernel, "format", &format) < 0 ||
		(!bg_streq(format, "elf") && !bg_streq(format, "bzimage")))
		return bad(err, "gives no format of the kernel");
	if (bg_json_get_int(kernel, "modules", 0, UINT16_MAX, &modules) < 0)
		return bad(err, "does not count the kernel's modules");
	if (json_object_get(kernel, "release") &&
		!json_is_null(json_object_get(kernel, "release")) &&
		(bg_json_get_str(kernel, "release", &release) < 0 ||
			strlen(release) >= KERNEL_RELEASE_MAX ||
			kernel_release_copy(release, strlen(release), clean) < 0))
		return bad(err, "gives no possible release of the kernel");
	/* Missing in those of earlier versions. */
	if (json_object_get(kernel, "cow") && bg_json_get_bool(kernel, "cow", &cow) < 0)
		return bad(err, "does not say whether its kernel can join disks");
	json_object_set_new(out, "kernel",
		json_pack("{s:s, s:I, s:o, s:b}", "format", format, "modules", (json_int_t)modules,
			"release", bg_json_str(release), "cow", cow));
	return 0;
}

int bundle_manifest_parse(const char *text, size_t len,
	struct bundle_entry files[static BUNDLE_FILES], json_t **ret, struct bg_err **err)
{
	_json_ json_t *manifest = NULL, *out = json_object();
	json_error_t why;
	int64_t format = 0;
	int r;

	memset(files, 0, sizeof(*files) * BUNDLE_FILES);
	manifest = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!manifest || !out)
		return bad(err, "is not JSON: line %d: %s", why.line, why.text);
	if (bg_json_get_int(manifest, "format", 1, INT64_MAX, &format) < 0)
		return bad(err, "has no \"format\"");
	if (format != BUNDLE_FORMAT) {
		r = bad(err, "is of format %lld, this banger reads %d", (long long)format,
			BUNDLE_FORMAT);
		bg_err_hint(err, "take a newer banger");
		return r;
	}
	if (!bg_streq(json_string_value(json_object_get(manifest, "arch")), "x86_64"))
		return bad(err, "is not for x86_64");
	r = take_files(manifest, files, out, err);
	if (r >= 0)
		r = take_image(manifest, out, err);
	if (r >= 0)
		r = take_kernel(manifest, files, out, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(out);
	return 0;
}
