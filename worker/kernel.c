/* SPDX-License-Identifier: ISC */
/*
 * The kernel job: a Debian or RPM kernel package, a bzImage or a vmlinux becomes a boot image, a
 * cpio archive of the modules needed to boot, and an ext4 image with the whole module tree. Modules
 * are stored unpacked, so that any guest's modprobe can load them.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "worker/boot_modules.h"
#include "worker/bzimage.h"
#include "worker/depmod.h"
#include "worker/entry.h"
#include "worker/kernel_dm.h"

enum { FD_SOURCE, FD_IMAGE, FD_CPIO, FD_TREE, FD_MODULES };

struct kernel {
	struct job *job;
	const char *name;  /* of the file that is read, for messages */
	bool only_modules; /* what is read now need not hold a kernel */
	struct ext4 *tree;
	struct depmod *depmod;
	enum kernel_format format;	  /* of the image; KERNEL_NONE as long as there is none */
	char release[KERNEL_RELEASE_MAX]; /* as the image says; "" when it does not */
	char tree_release[KERNEL_RELEASE_MAX]; /* the directory below lib/modules; "" without one */
	uint64_t image_bytes;
	size_t boot_modules;
	bool snapshot; /* dm-snapshot is built in, or among the boot modules */
	uint8_t head[KERNEL_HEAD];
	size_t head_len;
	char tail[96]; /* the end of the previous piece: a banner may lie across two */
	size_t tail_len;
};

static int invalid(struct kernel *k, struct bg_err **err, const char *what)
{
	return bg_err_set(err, BG_ERR_KERNEL_INVALID, EINVAL, "\"%s\" %s", k->name, what);
}

/* Looks for "Linux version X " in a piece of a vmlinux, which has no header that says it. */
static void scan_banner(struct kernel *k, const char *p, size_t len)
{
	static const char banner[] = "Linux version ";
	const size_t n = sizeof(banner) - 1;

	while (!k->release[0] && len > n) {
		const char *hit = memmem(p, len, banner, n);

		if (!hit || (size_t)(p + len - hit) < n + KERNEL_RELEASE_MAX)
			return;
		/* The same words stand in a format string as "Linux version %s". */
		if (kernel_release_copy(hit + n, KERNEL_RELEASE_MAX, k->release) < 0)
			k->release[0] = '\0';
		len -= (size_t)(hit + n - p);
		p = hit + n;
	}
}

static void look_at(struct kernel *k, const char *p, size_t len)
{
	size_t n = BG_MIN(len, sizeof(k->head) - k->head_len);
	char seam[2 * sizeof(k->tail)];
	size_t part = BG_MIN(len, sizeof(k->tail));

	memcpy(k->head + k->head_len, p, n);
	k->head_len += n;
	if (k->release[0] || !elf_is_x86_64(k->head, k->head_len))
		return;
	memcpy(seam, k->tail, k->tail_len);
	memcpy(seam + k->tail_len, p, part);
	scan_banner(k, seam, k->tail_len + part);
	scan_banner(k, p, len);
	memcpy(k->tail, p + len - part, part);
	k->tail_len = part;
}

static int take_image_piece(struct kernel *k, const void *p, size_t len, struct bg_err **err)
{
	int r;

	if (len > BG_KERNEL_MAX - k->image_bytes)
		return invalid(k, err, "has a kernel image that is too large");
	look_at(k, p, len);
	k->image_bytes += len;
	r = bg_write_all(k->job->fd[FD_IMAGE], p, len);
	return r < 0 ? job_write_err(r, err, "write the kernel of \"%s\"", k->name) : 0;
}

static int end_image(struct kernel *k, struct bg_err **err)
{
	const char *why = "";
	int r;

	k->format = kernel_format(k->head, k->head_len);
	if (k->format == KERNEL_ELF) {
		r = vmlinux_check(k->head, k->head_len, k->image_bytes, &why);
		if (r < 0)
			return invalid(k, err, why);
		return k->release[0] ? 0
				     : invalid(k, err, "is an ELF file, but not a Linux kernel");
	}
	r = bzimage_check(k->head, k->head_len, k->image_bytes, &why);
	if (r < 0)
		return invalid(k, err, why);
	r = bzimage_release(k->head, k->head_len, k->release);
	if (r < 0 && r != -ENOENT)
		return invalid(k, err, "has a kernel image with a damaged version");
	return 0;
}

/* A bzImage or vmlinux by itself. */
static int take_plain(struct kernel *k, struct bg_err **err)
{
	_free_ char *buf = malloc(MIB);
	off_t at = 0;

	if (!buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "copy the kernel");
	for (;;) {
		ssize_t n = pread(k->job->fd[FD_SOURCE], buf, MIB, at);
		int r;

		if (n < 0)
			return bg_err_sys(err, BG_ERR_WORKER, errno, "read \"%s\"", k->name);
		if (n == 0)
			return end_image(k, err);
		r = take_image_piece(k, buf, (size_t)n, err);
		if (r >= 0)
			r = job_tick(k->job, (uint64_t)at, NULL, err);
		if (r < 0)
			return r;
		at += n;
	}
}

/* Only the image itself can say what it has built in. */
static int take_bare(struct kernel *k, struct bg_err **err)
{
	int r = take_plain(k, err);

	if (r >= 0)
		k->snapshot = kernel_has_dm(k->job, k->job->fd[FD_SOURCE], k->format);
	return r;
}

static int take_image(struct kernel *k, struct source *s, struct bg_err **err)
{
	const void *p;
	int64_t offset;
	size_t len;
	int r;

	if (k->format != KERNEL_NONE)
		return invalid(k, err, "holds more than one kernel image");
	while ((r = source_block(s, &p, &len, &offset, err)) > 0) {
		if (offset < 0 || (uint64_t)offset != k->image_bytes)
			return invalid(k, err, "has a kernel image with holes");
		r = take_image_piece(k, p, len, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : end_image(k, err);
}

static int start_tree(struct kernel *k, const char *release, size_t len, struct bg_err **err)
{
	const struct ext4_opts opts = {.label = "banger-modules",
		.max_size = BG_MODULES_MAX,
		.max_entries = BG_IMAGE_ENTRIES_MAX};
	const struct ext4_attr dir = {.mode = 0755};
	int r;

	if (len >= KERNEL_RELEASE_MAX || kernel_release_copy(release, len, k->tree_release) < 0)
		return invalid(k, err, "has modules for a release with an odd name");
	r = depmod_new(&k->depmod);
	if (r >= 0)
		r = ext4_create(k->job->fd[FD_TREE], &opts, &k->tree);
	if (r >= 0)
		r = ext4_mkdir(k->tree, k->tree_release, &dir, NULL);
	return r < 0 ? job_write_err(r, err, "start the module tree") : 0;
}

/*
 * lib/modules/<release>/rest or usr/lib/modules/...: *rest is the name below the release, "" for
 * the directory itself; NULL when the path is something else.
 */
static int module_path(struct kernel *k, const char *path, const char **rest, struct bg_err **err)
{
	static const char dir[] = "lib/modules/";
	size_t len;

	*rest = NULL;
	if (strncmp(path, "usr/", 4) == 0)
		path += 4;
	if (strncmp(path, dir, sizeof(dir) - 1) != 0)
		return 0;
	path += sizeof(dir) - 1;
	len = strcspn(path, "/");
	if (len == 0)
		return 0;
	if (!k->tree) {
		int r = start_tree(k, path, len, err);

		if (r < 0)
			return r;
	}
	if (strlen(k->tree_release) != len || strncmp(path, k->tree_release, len) != 0)
		return invalid(k, err, "has modules for more than one release");
	*rest = path[len] ? path + len + 1 : path + len;
	return 0;
}

/* The length of "x.ko" in "x.ko", "x.ko.xz"…; 0 when the file is not a module. */
static size_t ko_length(const char *rest, bool *packed)
{
	static const char *const suffixes[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};
	size_t len = strlen(rest);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len <= n || !bg_streq(rest + len - n, suffixes[i]))
			continue;
		*packed = i > 0;
		return len - n + 3;
	}
	return 0;
}

static int unpack_module(struct kernel *k, const char *data, size_t len, char **ret,
	size_t *ret_len, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct archive_entry *entry;
	int r = source_open_memory(k->job, data, len, SOURCE_RAW, &s, err);

	if (r < 0)
		return r;
	source_set_code(s, BG_ERR_KERNEL_INVALID);
	r = source_next(s, &entry, err);
	if (r == 0)
		return invalid(k, err, "has an empty module");
	return r < 0 ? r : source_slurp(s, BG_MODULE_MAX, ret, ret_len, err);
}

static int put_file(struct kernel *k, const char *path, struct archive_entry *entry,
	const char *data, size_t len, struct ext4_node **ret, struct bg_err **err)
{
	struct ext4_attr attr;
	int r;

	entry_attr(entry, &attr);
	attr.uid = attr.gid = 0;
	r = ext4_file_open(k->tree, path, &attr);
	if (r >= 0)
		r = ext4_file_write(k->tree, data, len, 0);
	if (r >= 0)
		r = ext4_file_close(k->tree, len, ret);
	return r < 0 ? entry_err(r, BG_ERR_KERNEL_INVALID, path, err) : 0;
}

static int take_module(struct kernel *k, struct source *s, struct archive_entry *entry,
	const char *rest, size_t ko, bool packed, struct bg_err **err)
{
	_free_ char *data = NULL, *plain = NULL, *path = NULL;
	struct ext4_node *node = NULL;
	size_t len, plain_len;
	int r = source_slurp(s, BG_MODULE_MAX, &data, &len, err);

	if (r >= 0 && packed) {
		r = unpack_module(k, data, len, &plain, &plain_len, err);
		if (r < 0)
			return r;
		free(data);
		data = TAKE_PTR(plain);
		len = plain_len;
	}
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/%.*s", k->tree_release, (int)ko, rest) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "take a module");
	r = put_file(k, path, entry, data, len, &node, err);
	if (r < 0)
		return r;
	r = depmod_add(k->depmod, path + strlen(k->tree_release) + 1, data, len, node);
	if (r == -ENOEXEC)
		return bg_err_set(err, BG_ERR_KERNEL_INVALID, ENOEXEC,
			"\"%s\": /%s is not a kernel module", k->name, rest);
	return r < 0 ? bg_err_sys(err, BG_ERR_WORKER, -r, "take the module %s", rest) : 0;
}

static int take_list(struct kernel *k, const char *rest, const char *data, size_t len)
{
	if (bg_streq(rest, "modules.builtin")) {
		k->snapshot = k->snapshot || memmem(data, len, "/dm-snapshot.ko\n", 16);
		return depmod_builtin(k->depmod, data, len);
	}
	if (bg_streq(rest, "modules.builtin.modinfo"))
		return depmod_builtin_modinfo(k->depmod, data, len);
	return 0;
}

/* Anything else below the release: lists are kept, links to build trees are not. */
static int take_rest(struct kernel *k, struct source *s, struct archive_entry *entry,
	const char *rest, struct bg_err **err)
{
	_free_ char *data = NULL, *path = NULL;
	mode_t type = archive_entry_filetype(entry);
	size_t len;
	int r;

	if (type != AE_IFREG && type != AE_IFDIR)
		return 0;
	if (asprintf(&path, "%s/%s", k->tree_release, rest) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "take a file");
	if (type == AE_IFDIR) {
		const struct ext4_attr attr = {.mode = 0755, .mtime = archive_entry_mtime(entry)};

		r = ext4_mkdir(k->tree, path, &attr, NULL);
		return r < 0 ? entry_err(r, BG_ERR_KERNEL_INVALID, path, err) : 0;
	}
	r = source_slurp(s, BG_MODULE_MAX, &data, &len, err);
	if (r >= 0)
		r = put_file(k, path, entry, data, len, NULL, err);
	if (r < 0)
		return r;
	r = take_list(k, rest, data, len);
	return r < 0 ? bg_err_sys(err, BG_ERR_WORKER, -r, "take %s", rest) : 0;
}

/* openSUSE's packages carry a packed vmlinux for debuggers beside the image that boots. */
static bool is_image(const char *path, struct archive_entry *entry)
{
	const char *dot = strrchr(path, '.');

	if (archive_entry_filetype(entry) != AE_IFREG || strncmp(path, "boot/vmlinu", 11) != 0)
		return false;
	return path[11] == 'z' || (path[11] == 'x' && !bg_streq(dot, ".gz") &&
					  !bg_streq(dot, ".xz") && !bg_streq(dot, ".zst"));
}

/* Fedora and its kin keep the image among the modules, and put it into /boot when it is installed.
 */
static int take_module_image(
	struct kernel *k, struct source *s, const char *rest, struct bg_err **err)
{
	if (!bg_streq(rest, "vmlinuz") || k->format != KERNEL_NONE || k->only_modules)
		return 0;
	return take_image(k, s, err);
}

static int take_entry(
	struct kernel *k, struct source *s, struct archive_entry *entry, struct bg_err **err)
{
	const char *path, *rest;
	bool packed = false;
	size_t ko;
	int r = entry_path(s, entry, &path, err);

	if (r < 0)
		return r;
	if (is_image(path, entry))
		return k->only_modules ? 0 : take_image(k, s, err);
	r = module_path(k, path, &rest, err);
	if (r < 0 || !rest)
		return r;
	if (strncmp(rest, "vmlinu", 6) == 0)
		return archive_entry_filetype(entry) == AE_IFREG
			       ? take_module_image(k, s, rest, err)
			       : 0;
	ko = archive_entry_filetype(entry) == AE_IFREG ? ko_length(rest, &packed) : 0;
	if (ko)
		return take_module(k, s, entry, rest, ko, packed, err);
	return take_rest(k, s, entry, rest, err);
}

static int take_data_tar(struct kernel *k, struct source *deb, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct archive_entry *entry;
	int r = source_open_entry(k->job, deb, SOURCE_TAR, &s, err);

	while (r >= 0 && (r = source_next(s, &entry, err)) > 0)
		r = take_entry(k, s, entry, err);
	return r;
}

static int take_deb(struct kernel *k, int fd, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct archive_entry *entry;
	int r = source_open_fd(k->job, fd, SOURCE_AR, &s, err);

	if (r < 0)
		return r;
	source_set_code(s, BG_ERR_KERNEL_INVALID);
	while ((r = source_next(s, &entry, err)) > 0) {
		const char *name = archive_entry_pathname(entry);

		if (name && strncmp(name, "data.tar", 8) == 0)
			return take_data_tar(k, s, err);
	}
	return r < 0 ? r : invalid(k, err, "is an archive, but no Debian package");
}

/* The cpio inside an RPM, or a plain tar. */
static int take_entries(struct kernel *k, int fd, enum source_kind kind, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct archive_entry *entry;
	int r = source_open_fd(k->job, fd, kind, &s, err);

	if (r < 0)
		return r;
	source_set_code(s, BG_ERR_KERNEL_INVALID);
	while ((r = source_next(s, &entry, err)) > 0) {
		r = take_entry(k, s, entry, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int check_package(struct kernel *k, struct bg_err **err)
{
	if (k->release[0] && k->tree_release[0] && !bg_streq(k->release, k->tree_release))
		return bg_err_set(err, BG_ERR_KERNEL_INVALID, EINVAL,
			"\"%s\": the kernel is %s but its modules are for %s", k->name, k->release,
			k->tree_release);
	if (!k->release[0])
		memcpy(k->release, k->tree_release, sizeof(k->release));
	return 0;
}

static int no_kernel(struct kernel *k, struct bg_err **err)
{
	int r = invalid(k, err, "holds no kernel");

	bg_err_hint(err, "it may be a metapackage: give the package that it depends on "
			 "(linux-image-VERSION, kernel-core, kernel-default)");
	return r;
}

static int finish_tree(struct kernel *k, struct bg_err **err)
{
	bool module = false;
	int r = depmod_write(k->depmod, k->tree, k->tree_release);

	if (r < 0)
		return entry_err(r, BG_ERR_KERNEL_INVALID, k->tree_release, err);
	r = boot_modules_write(k->depmod, k->tree, k->job->fd[FD_CPIO], &k->boot_modules, &module);
	k->snapshot = k->snapshot || module;
	if (r < 0)
		return job_write_err(r, err, "write the boot modules of \"%s\"", k->name);
	r = ext4_finish(k->tree, 0, 0, NULL);
	return r < 0 ? entry_err(r, BG_ERR_KERNEL_INVALID, k->tree_release, err) : 0;
}

static json_t *describe(struct kernel *k)
{
	return json_pack("{s:s, s:o, s:I, s:I, s:b}", "format",
		k->format == KERNEL_ELF ? "elf" : "bzimage", "release",
		k->release[0] ? bg_json_str(k->release) : json_null(), "modules",
		(json_int_t)(k->depmod ? depmod_count(k->depmod) : 0), "boot_modules",
		(json_int_t)k->boot_modules, "cow", (int)k->snapshot);
}

static int start(struct kernel *k, struct bg_err **err)
{
	int r;

	k->name = "kernel";
	r = bg_json_or_str(k->job->params, "name", BG_ERR_WORKER, &k->name, err);
	if (r < 0)
		return r;
	for (int i = FD_IMAGE; i <= FD_TREE; i++)
		if (ftruncate(k->job->fd[i], 0) < 0)
			return job_write_err(-errno, err, "empty the outputs");
	return 0;
}

static int format_of(struct kernel *k, int fd, enum kernel_format *ret, struct bg_err **err)
{
	_free_ uint8_t *head = malloc(KERNEL_HEAD);
	ssize_t n = head ? pread(fd, head, KERNEL_HEAD, 0) : -1;

	if (n < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read \"%s\"", k->name);
	*ret = kernel_format(head, (size_t)n);
	return 0;
}

static int no_kernel_file(struct kernel *k, struct bg_err **err)
{
	int r = invalid(k, err, "is not a kernel");

	bg_err_hint(err, "give a bzImage, a vmlinux for x86-64, or a Debian or RPM package");
	return r;
}

static int take_source(struct kernel *k, struct bg_err **err)
{
	int fd = k->job->fd[FD_SOURCE], r;
	enum kernel_format format;

	r = format_of(k, fd, &format, err);
	if (r < 0)
		return r;
	if (format == KERNEL_NONE)
		return no_kernel_file(k, err);
	if (format != KERNEL_DEB && format != KERNEL_RPM)
		return take_bare(k, err);
	r = format == KERNEL_DEB ? take_deb(k, fd, err) : take_entries(k, fd, SOURCE_RPM, err);
	if (r < 0)
		bg_err_context(err, "\"%s\"", k->name);
	else if (k->format == KERNEL_NONE)
		r = no_kernel(k, err);
	return r;
}

/* Another archive for the tree: some distributions package kernel and modules apart. */
static int take_more_modules(struct kernel *k, struct bg_err **err)
{
	int fd = k->job->fd[FD_MODULES], r;
	const char *name = NULL;
	enum kernel_format format;

	r = bg_json_or_str(k->job->params, "modules", BG_ERR_WORKER, &name, err);
	if (r < 0 || !name)
		return r;
	k->name = name;
	k->only_modules = true;
	r = format_of(k, fd, &format, err);
	if (r < 0)
		return r;
	r = format == KERNEL_DEB   ? take_deb(k, fd, err)
	    : format == KERNEL_RPM ? take_entries(k, fd, SOURCE_RPM, err)
				   : take_entries(k, fd, SOURCE_TAR, err);
	if (r < 0)
		bg_err_context(err, "\"%s\"", k->name);
	if (r < 0 || (k->tree && depmod_count(k->depmod) > 0))
		return r;
	invalid(k, err, "holds no modules");
	bg_err_hint(err, "give a package, or a tar archive with lib/modules/VERSION/ in it");
	return -EINVAL;
}

static int kernel(struct kernel *k, json_t **ret, struct bg_err **err)
{
	int r = start(k, err);

	if (r >= 0)
		r = take_source(k, err);
	if (r >= 0)
		r = take_more_modules(k, err);
	if (r >= 0)
		r = check_package(k, err);
	if (r >= 0 && k->tree)
		r = finish_tree(k, err);
	if (r < 0)
		return r;
	*ret = describe(k);
	return *ret ? 0 : bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "describe the kernel");
}

int job_kernel(struct job *job, json_t **ret, struct bg_err **err)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "take a kernel");
	k->job = job;
	r = kernel(k, ret, err);
	depmod_free(k->depmod);
	ext4_free(k->tree);
	free(k);
	return r;
}
