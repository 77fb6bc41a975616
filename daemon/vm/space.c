/* SPDX-License-Identifier: ISC */
/* See space.h. One ticker for all VMs: two system calls a tick, none of which waits for a disk. */
#include "daemon/vm/space.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

/*
 * Four looks a second: within one, 512 MiB (the default reserve) is a write rate of 2 GB/s. VMs go
 * on at one and a half times the reserve, so that they do not flutter. Below the reserve those that
 * write much are paused, and the others have half of it left to live on; below that half, all are.
 */
enum {
	TICK_USEC = 250000,
	PROC_FILE_MAX = 4096,
	NEAR = 4,	/* who writes is watched below this many reserves */
	MUCH_PART = 64, /* of the reserve, within about two seconds: 4 MiB/s where it is 512 MiB */
	DECAY = 8,	/* of what was written before, one part in so many is forgotten each tick */
};

struct space {
	struct engine *engine;
	struct loop_source *ticker;
};

/* False when the file cannot be read. text has PROC_FILE_MAX bytes. */
static bool read_proc(const char *path, char *text)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, PROC_FILE_MAX - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static uint64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* What the host has been given to write and has not yet: it will want its room whatever we pause.
 */
static uint64_t dirty_bytes(void)
{
	char text[PROC_FILE_MAX];

	if (!read_proc("/proc/meminfo", text))
		return 0;
	return (number_after(text, "\nDirty:") + number_after(text, "\nWriteback:")) * KIB;
}

/*
 * What its VMM has written of late. Not what its disks have grown: a write that is still in the
 * host's cache has taken no room yet.
 */
static void count_writes(struct vm *vm)
{
	char path[64], text[PROC_FILE_MAX];
	uint64_t written = 0;

	snprintf(path, sizeof(path), "/proc/%lld/io", (long long)vm->row->pid);
	if (read_proc(path, text))
		written = number_after(text, "\nwrite_bytes:");
	vm->writes -= vm->writes / DECAY;
	if (vm->written && written > vm->written)
		vm->writes += written - vm->written;
	vm->written = written;
}

/* -1 when it cannot be told. */
static int64_t free_bytes(const struct engine *engine)
{
	struct statvfs fs;
	uint64_t room, dirty;

	if (statvfs(engine->paths->state_dir, &fs) < 0)
		return -1;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	dirty = dirty_bytes();
	return (int64_t)(room > dirty ? room - dirty : 0);
}

static void on_command_done(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;

	if (err)
		log_err(LOG_ERROR, "space", vm->row->name, err);
	vmm_call_free(TAKE_PTR(vm->space_call)); /* err went with it */
}

static bool command(struct vm *vm, enum vmm_command what)
{
	_err_ struct bg_err *err = NULL;

	if (vmm_send_command(vm->vmm, what, on_command_done, vm, &vm->space_call, &err) >= 0)
		return true;
	log_err(LOG_ERROR, "space", vm->row->name, err);
	return false;
}

static void pause_vm(struct vm *vm, int64_t room)
{
	_err_ struct bg_err *err = NULL;

	if (!command(vm, VMM_PAUSE))
		return;
	bg_err_set(&err, BG_ERR_NO_SPACE, ENOSPC,
		"VM \"%s\" is paused: %lld MiB are free for its disk, and %llu MiB are kept back",
		vm->row->name, (long long)(room / (int64_t)MIB),
		(unsigned long long)vm->engine->config->disk_reserve_mib);
	bg_err_hint(
		&err, "free some room in %s: it goes on by itself", vm->engine->paths->state_dir);
	log_err(LOG_WARN, "space", vm->row->name, err);
	vm->paused = true;
	if (vm->op)
		op_set_text(vm->op, "paused until there is room on the disk");
	vm_set_error(vm, err);
	vm_save(vm);
}

static void resume_vm(struct vm *vm)
{
	if (!command(vm, VMM_RESUME))
		return;
	log_msg(LOG_INFO, "space", "there is room again: goes on", "vm", vm->row->name, NULL);
	vm->paused = false;
	if (vm->op)
		op_set_text(vm->op, "waiting for the guest");
	vm_set_error(vm, NULL);
	vm_save(vm);
}

static void look_at(struct vm *vm, int64_t room, int64_t reserve)
{
	bool much = vm->writes > (uint64_t)reserve / MUCH_PART;
	bool going = vm->row->state == VM_DELETING; /* and its disks with it */

	if (vm->space_call)
		return; /* the last command is under way */
	if (vm->paused && room > reserve + reserve / 2)
		resume_vm(vm);
	else if (!vm->paused && !going &&
		 (room < reserve / 2 || (room < reserve && much)))
		pause_vm(vm, room);
}

static void on_tick(void *userdata)
{
	const struct space *space = userdata;
	int64_t reserve = (int64_t)(space->engine->config->disk_reserve_mib * MIB), room = -1;
	bool asked = false;

	for (struct vm *vm = vms_first(space->engine->vms); vm; vm = vm->next) {
		if (!vm->vmm)
			continue;
		if (!asked)
			room = free_bytes(space->engine);
		asked = true;
		if (room < 0)
			return;
		if (room < reserve * NEAR)
			count_writes(vm);
		else
			vm->written = 0; /* what it writes meanwhile is no sudden much */
		look_at(vm, room, reserve);
	}
}

int space_new(struct engine *engine, struct space **ret, struct bg_err **err)
{
	_unref_(space) struct space *space = calloc(1, sizeof(*space));
	int r;

	if (!space)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	space->engine = engine;
	r = loop_add_ticker(engine->loop, "space", TICK_USEC, on_tick, space, &space->ticker);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the free space");
	*ret = TAKE_PTR(space);
	return 0;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	loop_source_free(space->ticker);
	free(space);
}
