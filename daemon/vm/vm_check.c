/* SPDX-License-Identifier: ISC */
/* See vm_check.h. */
#include "daemon/vm/vm_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "common/agent_proto.h"
#include "common/name.h"
#include "common/size.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/helpers.h"
#include "daemon/vm/vm_files.h"
#include "daemon/vm/vm_plan.h"

/* ext4(5): s_magic of the superblock, which begins at 1024. */
enum { EXT_MAGIC_OFFSET = 1024 + 56, EXT_MAGIC = 0xef53 };

static int kernel_file(const struct kernel_row *kernel, const char *path, struct bg_err **err)
{
	struct stat st;

	if (!path || (stat(path, &st) >= 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
			     access(path, R_OK) >= 0))
		return 0;
	bg_err_set(err, BG_ERR_KERNEL_INVALID, ENOENT,
		"a file of kernel \"%s\" is gone or empty: %s", kernel->name, path);
	bg_err_hint(err, "`banger kernel delete %s`, then import it again", kernel->name);
	return -ENOENT;
}

int vm_check_kernel(const struct kernel_row *kernel, struct bg_err **err)
{
	const char *const files[] = {
		kernel->path, kernel->modules_cpio, kernel->modules_disk, kernel->initrd};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && r >= 0; i++)
		r = kernel_file(kernel, files[i], err);
	return r;
}

/* Not the file system's content: that is the guest's affair. size 0: any. */
static int check_disk(
	const struct image_row *image, const char *path, uint64_t size, struct bg_err **err)
{
	_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	uint8_t magic[2] = {0};
	const char *what = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		what = "is gone";
	else if ((uint64_t)st.st_size < size)
		what = "is shorter than it was";
	else if (pread(fd, magic, sizeof(magic), EXT_MAGIC_OFFSET) != sizeof(magic) ||
		 (magic[0] | magic[1] << 8) != EXT_MAGIC)
		what = "is damaged: it does not begin with a file system";
	if (!what)
		return 0;
	bg_err_set(err, BG_ERR_IMAGE_INVALID, EUCLEAN, "a disk of image \"%s\" %s: %s", image->name,
		what, path ? path : "none is recorded");
	bg_err_hint(
		err, "make or fetch the image again: `banger image delete %s` first", image->name);
	return -EUCLEAN;
}

int vm_check_image(const struct image_row *image, struct bg_err **err)
{
	int r = check_disk(image, image->rootfs, image->size_bytes, err);

	return r < 0 ? r : check_disk(image, image->work_seed, 0, err);
}

int vm_check_name(const char *name, struct bg_err **err)
{
	int r = bg_name_check("VM", name, err);

	if (r < 0 || !bg_streq(name, "host"))
		return r;
	r = bg_err_set(err, BG_ERR_NAME_INVALID, EINVAL,
		"a VM cannot be named \"host\": " BG_AGENT_HOST_NAME
		" is this machine in every guest");
	bg_err_hint(err, "take another name, such as host1");
	return r;
}

int vm_check_memory(uint64_t mib, struct bg_err **err)
{
	char want[BG_SIZE_TEXT], have[BG_SIZE_TEXT];
	struct sysinfo info;
	uint64_t all;

	if (sysinfo(&info) < 0)
		return 0;
	all = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit / MIB;
	if (mib <= all)
		return 0;
	return bg_err_set(err, BG_ERR_VM_LIMITS, ENOMEM,
		"%s of memory are more than this machine has with its swap, %s",
		bg_size_print_mib(mib, want), bg_size_print_mib(all, have));
}

int vm_check_disks(const struct vm *vm, struct bg_err **err)
{
	const char *path = vm_files_look(vm);

	if (!path)
		return 0;
	bg_err_set(err, BG_ERR_VM_DISKS, ENOENT,
		"the disks of VM \"%s\" are missing: there is no %s", vm->row->name, path);
	bg_err_hint(
		err, "put it back there; or give the VM up: `banger vm delete %s`", vm->row->name);
	return -ENOENT;
}

/* ---- the host ---- */

static int check_vmm(const struct vm_task *task, struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);

	if (choice->driver)
		return 0;
	*err = bg_err_copy(choice->err);
	return -ENOENT;
}

int vm_step_can_boot(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct net *net = task->engine->net;
	int r = check_vmm(task, err);

	(void)op;
	if (r < 0)
		return r;
	if (net_slots(net))
		return 0;
	if (net_error(net))
		helpers_hurry(task->engine->helpers); /* it may have been installed since */
	r = net_when_ready(net, vm_task_call_ended, task, &task->net_call, err);
	return r < 0 ? r : OP_WAIT;
}
