/* SPDX-License-Identifier: ISC */
/* See space.h. One timer for all VMs: three system calls a look, none of which waits for a disk. */
#include "daemon/vm/space.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/space_pace.h"
#include "daemon/vm/vm_plan.h"

/*
 * VMs go on at one and a half times the reserve, so that they do not flutter. Below the reserve
 * those that write much are paused, and the others have half of it left to live on; below that
 * half, all are.
 */
enum {
	PROC_FILE_MAX = 4096,
	NEAR = 4, /* below this many reserves who writes is watched, at the shortest interval */
	MUCH_PART = 64, /* of the reserve, within about two seconds: 4 MiB/s where it is 512 MiB */
	DECAY = 8,	/* of what was written before, one part in so many is forgotten each time */
};

struct space {
	struct engine *engine;
	struct loop_source *timer; /* NULL: no VM runs */
	uint64_t due_usec;	   /* when it ends */
	struct space_pace pace;
	int meminfo;
};

/* False when the file cannot be read. text has PROC_FILE_MAX bytes. */
static bool read_proc(int fd, char *text)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, text, PROC_FILE_MAX - 1, 0);

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
static uint64_t dirty_bytes(int meminfo)
{
	char text[PROC_FILE_MAX];

	if (!read_proc(meminfo, text))
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
	_close_ int fd = -1;
	uint64_t written = 0;

	snprintf(path, sizeof(path), "/proc/%lld/io", (long long)vm->row->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (read_proc(fd, text))
		written = number_after(text, "\nwrite_bytes:");
	vm->writes -= vm->writes / DECAY;
	if (vm->written && written > vm->written)
		vm->writes += written - vm->written;
	vm->written = written;
}

/* -1 when it cannot be told. */
static int64_t free_bytes(const struct space *space)
{
	struct statvfs fs;
	uint64_t room, dirty;

	if (statvfs(space->engine->paths->state_dir, &fs) < 0)
		return -1;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	dirty = dirty_bytes(space->meminfo);
	return (int64_t)(room > dirty ? room - dirty : 0);
}

static void on_command_done(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;

	bool resumed = !err && !vm->paused;

	if (err)
		log_err(LOG_ERROR, "space", vm->row->name, err);
	vmm_call_free(TAKE_PTR(vm->space_call)); /* err went with it */
	if (resumed)
		vm_gap(vm, GAP_RESUME);
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

	/* The last command is under way; or its user's wish, which is not ours to change: it writes nothing. */
	if (vm->space_call || vm->row->state == VM_PAUSED || vm->row->state == VM_SUSPENDING ||
		vm->row->state == VM_RESUMING)
		return;
	if (vm->paused && room > reserve + reserve / 2)
		resume_vm(vm);
	else if (!vm->paused && !going && (room < reserve / 2 || (room < reserve && much)))
		pause_vm(vm, room);
}

struct sight {
	int64_t room;	  /* -1: it cannot be told */
	bool any, paused; /* does a VM run; does one wait for room */
};

static struct sight look(const struct space *space, int64_t reserve)
{
	struct sight sight = {.room = -1};

	for (struct vm *vm = vms_first(space->engine->vms); vm; vm = vm->next) {
		if (!vm->vmm)
			continue;
		if (!sight.any)
			sight.room = free_bytes(space);
		sight.any = true;
		if (sight.room < 0)
			break;
		if (sight.room < reserve * NEAR)
			count_writes(vm);
		else
			vm->written = 0; /* what it writes meanwhile is not much at once */
		look_at(vm, sight.room, reserve);
		sight.paused |= vm->paused || vm->space_call;
	}
	return sight;
}

static void on_timer(void *userdata);

static int look_in(struct space *space, uint64_t usec)
{
	loop_source_free(TAKE_PTR(space->timer));
	space->due_usec = loop_now_usec() + usec;
	return loop_add_timer(space->engine->loop, "space", usec, on_timer, space, &space->timer);
}

static void on_timer(void *userdata)
{
	struct space *space = userdata;
	int64_t reserve = (int64_t)(space->engine->config->disk_reserve_mib * MIB);
	uint64_t now = loop_now_usec(), usec;
	struct sight sight = look(space, reserve);

	if (!sight.any) {
		space->pace = (struct space_pace){0};
		loop_source_free(TAKE_PTR(space->timer));
		return;
	}
	usec = space_pace_next(&space->pace, sight.room, reserve * NEAR, now);
	if (sight.paused)
		usec = SPACE_PACE_MIN_USEC;
	else if (usec == SPACE_PACE_MAX_USEC)
		usec = loop_until_multiple(now, usec);
	if (look_in(space, usec) < 0)
		log_msg(LOG_ERROR, "space", "out of memory: the room is not watched any more",
			NULL);
}

void space_soon(struct space *space)
{
	if (!space || (space->timer && space->due_usec <= loop_now_usec() + SPACE_PACE_MIN_USEC))
		return;
	if (look_in(space, SPACE_PACE_MIN_USEC) < 0)
		log_msg(LOG_ERROR, "space", "out of memory: the room is not watched any more",
			NULL);
}

int space_new(struct engine *engine, struct space **ret, struct bg_err **err)
{
	_unref_(space) struct space *space = calloc(1, sizeof(*space));
	int r;

	if (!space)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	space->engine = engine;
	space->meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	r = look_in(space, SPACE_PACE_MIN_USEC);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the free space");
	*ret = TAKE_PTR(space);
	return 0;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	loop_source_free(space->timer);
	bg_close(space->meminfo);
	free(space);
}
