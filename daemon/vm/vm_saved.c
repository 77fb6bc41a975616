/* SPDX-License-Identifier: ISC */
/* See vm_saved.h. */
#include "daemon/vm/vm_saved.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/trash.h"
#include "daemon/vm/vm_plan.h"

enum { CPUINFO_MAX = 256 * 1024, LINE_MAX_ = 128 };

/* ---- this machine ---- */

/* "6.1" of "6.1.0-18-amd64". */
static void kernel_line(char ret[LINE_MAX_])
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) >= 0)
		(void)sscanf(u.release, "%u.%u", &major, &minor);
	snprintf(ret, LINE_MAX_, "%u.%u", major, minor);
}

static void cpu_model(char ret[LINE_MAX_])
{
	_free_ char *text = NULL;
	const char *at;

	*ret = '\0';
	if (bg_read_file_at(AT_FDCWD, "/proc/cpuinfo", CPUINFO_MAX, &text, NULL) < 0)
		return;
	at = strstr(text, "model name");
	at = at ? strchr(at, ':') : NULL;
	if (at)
		snprintf(ret, LINE_MAX_, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
}

/* ---- files that must be the same ---- */

/* A disk behind the disk helper is written to after its VMM, by the kernel: there the time says nothing. */
static json_t *mark_of(const struct stat *st, bool timed)
{
	return json_pack("[I, I, I, I, I]", (json_int_t)st->st_dev, (json_int_t)st->st_ino,
		(json_int_t)st->st_size, timed ? (json_int_t)st->st_mtim.tv_sec : 0,
		timed ? (json_int_t)st->st_mtim.tv_nsec : 0);
}

/* NULL: there is no such file. */
static json_t *mark_path(const char *path, bool timed)
{
	struct stat st;

	return stat(path, &st) < 0 ? NULL : mark_of(&st, timed);
}

static json_t *mark_disks(const struct vm *vm)
{
	json_t *disks = json_object();
	const struct kernel_row *kernel;
	_free_ char *base = NULL;

	json_object_set_new(disks, "root.img", mark_path(vm->paths.disk_root, !vm_on_overlay(vm)));
	json_object_set_new(disks, "work.img", mark_path(vm->paths.disk_work, true));
	if (vm_disk_base(vm, &base, NULL) >= 0 && base)
		json_object_set_new(disks, "image", mark_path(base, true));
	if (kernels_get(vm->engine->kernels, vm->row->kernel, &kernel, NULL) >= 0 &&
		kernel->modules_disk)
		json_object_set_new(disks, "modules", mark_path(kernel->modules_disk, true));
	return disks;
}

/* ---- the record ---- */

static json_t *load(const struct vm *vm)
{
	return vm->row->saved ? json_loads(vm->row->saved, 0, NULL) : NULL;
}

int vm_saved_make(
	struct vm *vm, const json_t *files, const char *binary, int exe, struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(vm->engine->probe);
	char cpu[LINE_MAX_], line[LINE_MAX_];
	_json_ json_t *json = NULL;
	struct stat st;
	char *text;

	if (fstat(exe, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at the VMM's program");
	cpu_model(cpu);
	kernel_line(line);
	json = json_pack("{s:I, s:O, s:s, s:s, s:s?, s:s, s:o, s:s, s:s, s:s, s:s?, s:o}", "at",
		(json_int_t)time(NULL), "files", files, "vmm", vm->row->vmm, "accel",
		vm->row->accel, "version", choice ? choice->version : NULL, "binary", binary,
		"program", mark_of(&st, true), "machine", vm->row->machine, "cpu", cpu,
		"host_kernel", line, "address", vm->row->address, "disks", mark_disks(vm));
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	free(vm->row->saved);
	vm->row->saved = text;
	return 0;
}

void vm_saved_sweep(struct vm *vm)
{
	trash_unlink(vm->engine->trash, vm->paths.memory);
	trash_unlink(vm->engine->trash, vm->paths.devices);
}

void vm_saved_drop(struct vm *vm)
{
	free(TAKE_PTR(vm->row->saved));
	vm_saved_sweep(vm);
}

bool vm_saved_is(const struct vm *vm)
{
	return vm->row->saved != NULL;
}

static int64_t number(const json_t *json, const char *key)
{
	int64_t value = 0;

	(void)bg_json_get_int(json, key, 0, INT64_MAX, &value);
	return value;
}

uint64_t vm_saved_bytes(const struct vm *vm)
{
	_json_ json_t *json = load(vm);
	const json_t *file;
	uint64_t bytes = 0;
	size_t i;

	json_array_foreach (json_object_get(json, "files"), i, file)
		bytes += (uint64_t)number(file, "bytes");
	return bytes;
}

int64_t vm_saved_at(const struct vm *vm)
{
	_json_ json_t *json = load(vm);

	return json ? number(json, "at") : 0;
}

/* ---- does it fit ---- */

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = NULL;

	(void)bg_json_get_str(json, key, &text);
	return text ? text : "";
}

static int no(char why[VM_SAVED_WHY], const char *fmt, ...) _printf_(2, 3);

static int no(char why[VM_SAVED_WHY], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, VM_SAVED_WHY, fmt, ap);
	va_end(ap);
	return 0;
}

static bool same_size(const json_t *files, size_t i, const char *path)
{
	struct stat st;

	return lstat(path, &st) >= 0 && S_ISREG(st.st_mode) &&
	       (int64_t)st.st_size == number(json_array_get(files, i), "size");
}

static int check_files(const struct vm *vm, const json_t *json, char why[VM_SAVED_WHY])
{
	const json_t *files = json_object_get(json, "files");

	if (!same_size(files, VM_SAVED_MEMORY, vm->paths.memory) ||
		!same_size(files, VM_SAVED_DEVICES, vm->paths.devices))
		return no(why, "the files of its memory are not there or not whole");
	if (number(json_array_get(files, VM_SAVED_MEMORY), "size") !=
		(int64_t)(vm->row->memory_mib * MIB))
		return no(why, "its memory has another size now");
	return 1;
}

static int check_disks(const struct vm *vm, const json_t *json, char why[VM_SAVED_WHY])
{
	_json_ json_t *now = mark_disks(vm);
	json_t *then = json_object_get(json, "disks");
	const char *name;
	json_t *mark;

	json_object_foreach (then, name, mark)
		if (!json_equal(mark, json_object_get(now, name)))
			return no(why, "its disk %s was changed or replaced since", name);
	return json_object_size(then) == json_object_size(now) ? 1
							       : no(why, "it has other disks now");
}

/* An emulated guest sees nothing of the host's processor and kernel. */
static int check_host(const json_t *json, const struct vmm_choice *choice, char why[VM_SAVED_WHY])
{
	char cpu[LINE_MAX_], line[LINE_MAX_];

	if (choice->accel != VMM_ACCEL_KVM)
		return 1;
	cpu_model(cpu);
	kernel_line(line);
	if (!bg_streq(text_of(json, "cpu"), cpu))
		return no(
			why, "it was suspended on another processor (%.80s)", text_of(json, "cpu"));
	if (!bg_streq(text_of(json, "host_kernel"), line))
		return no(why, "it was suspended under Linux %.20s, and this is %s",
			text_of(json, "host_kernel"), line);
	return 1;
}

static int check_vmm(const json_t *json, const struct vmm_choice *choice, char why[VM_SAVED_WHY])
{
	_json_ json_t *program = NULL;

	if (!bg_streq(text_of(json, "vmm"), choice->driver->name) ||
		!bg_streq(text_of(json, "accel"), vmm_accel_str(choice->accel)))
		return no(why, "it was suspended under %.20s (%.10s), and is to run under %s (%s)",
			text_of(json, "vmm"), text_of(json, "accel"), choice->driver->name,
			vmm_accel_str(choice->accel));
	program = mark_path(choice->binary, true);
	return json_equal(program, json_object_get(json, "program")) ? 1 : 2;
}

int vm_saved_fits(const struct vm *vm, const struct vmm_choice *choice, char why[VM_SAVED_WHY])
{
	_json_ json_t *json = load(vm);
	int r = json ? check_files(vm, json, why) : no(why, "its record cannot be read");

	if (r > 0)
		r = check_disks(vm, json, why);
	if (r > 0)
		r = check_host(json, choice, why);
	return r > 0 ? check_vmm(json, choice, why) : r;
}

bool vm_saved_binary_is(const struct vm *vm, const char *digest)
{
	_json_ json_t *json = load(vm);

	return bg_streq(text_of(json, "binary"), digest);
}

bool vm_saved_files_are(const struct vm *vm, const json_t *files)
{
	_json_ json_t *json = load(vm);
	const json_t *then = json_object_get(json, "files");

	if (json_array_size(then) != VM_SAVED_FILES || json_array_size(files) != VM_SAVED_FILES)
		return false;
	for (size_t i = 0; i < VM_SAVED_FILES; i++) {
		const json_t *a = json_array_get(then, i), *b = json_array_get(files, i);

		if (number(a, "size") != number(b, "size") ||
			!bg_streq(text_of(a, "digest"), text_of(b, "digest")))
			return false;
	}
	return true;
}

bool vm_saved_machine_is(const struct vm *vm, const char *machine, char why[VM_SAVED_WHY])
{
	_json_ json_t *json = load(vm);

	if (!bg_streq(text_of(json, "machine"), machine))
		return no(why, "banger gives its VMM other devices or settings now") > 0;
	if (!bg_streq(text_of(json, "address"), vm->row->address ? vm->row->address : ""))
		return no(why, "its address %.20s is not to be had", text_of(json, "address")) > 0;
	return true;
}
