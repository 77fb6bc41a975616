/* SPDX-License-Identifier: ISC */
/* See vm.h: the list of VMs, the one place where a state changes, and what comes from process and
 * agent. */
#include "daemon/vm/vm.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/net.h"
#include "daemon/driver/scope.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/console.h"
#include "daemon/vm/expose.h"
#include "daemon/vm/health.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_files.h"
#include "daemon/vm/vm_plan.h"
#include "daemon/vm/vm_users.h"

struct vms {
	struct engine *engine;
	struct vm *first; /* ordered by name */
	struct vm_files *files;
};

enum { RUN_DIR_ID_LEN = 12 }; /* digits of the id in a socket's path, which must stay short */

static void paths_clear(struct vm_paths *paths)
{
	free(paths->dir);
	free(paths->disk_root);
	free(paths->disk_work);
	free(paths->initrd);
	free(paths->memory);
	free(paths->devices);
	free(paths->host_key);
	free(paths->serial_log);
	free(paths->vmm_log);
	free(paths->run_dir);
}

static char *join(const char *dir, const char *name)
{
	char *path = NULL;

	return dir && asprintf(&path, "%s/%s", dir, name) >= 0 ? path : NULL;
}

static int paths_fill(struct vm *vm)
{
	const struct bg_paths *paths = vm->engine->paths;
	struct vm_paths *p = &vm->paths;

	if (asprintf(&p->dir, "%s/vms/%s", paths->state_dir, vm->row->id) < 0)
		p->dir = NULL;
	if (asprintf(&p->run_dir, "%s/vm/%.*s", paths->run_dir, RUN_DIR_ID_LEN, vm->row->id) < 0)
		p->run_dir = NULL;
	p->disk_root = join(p->dir, "root.img");
	p->disk_work = join(p->dir, "work.img");
	p->initrd = join(p->dir, "initrd");
	p->memory = join(p->dir, "memory.img");
	p->devices = join(p->dir, "devices.state");
	p->host_key = join(p->dir, "ssh_host_ed25519_key");
	p->serial_log = join(p->dir, "serial.log");
	p->vmm_log = join(p->dir, "vmm.log");
	return p->dir && p->run_dir && p->disk_root && p->disk_work && p->initrd && p->memory &&
			       p->devices && p->host_key && p->serial_log && p->vmm_log
		       ? 0
		       : -ENOMEM;
}

static void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	revive_clear(vm);
	vm_health_clear(vm);
	vm_gap_clear(vm);
	vmm_call_free(vm->space_call);
	scope_call_free(vm->scope_call);
	net_call_free(vm->nat_call);
	publish_close(vm);
	expose_close(vm);
	guest_free(vm->guest);
	vmm_free(vm->vmm);
	bg_err_free(vm->error);
	paths_clear(&vm->paths);
	free(vm->files);
	vm_row_free(vm->row);
	free(vm);
}

static void load_error(struct vm *vm)
{
	_json_ json_t *json = vm->row->error_json ? json_loads(vm->row->error_json, 0, NULL) : NULL;

	if (json)
		(void)bg_err_from_json(json, &vm->error);
}

static void link_in(struct vms *vms, struct vm *vm)
{
	struct vm **at = &vms->first;

	while (*at && strcmp((*at)->row->name, vm->row->name) < 0)
		at = &(*at)->next;
	vm->next = *at;
	*at = vm;
}

static void link_out(struct vms *vms, const struct vm *vm)
{
	struct vm **at = &vms->first;

	while (*at && *at != vm)
		at = &(*at)->next;
	assert(*at);
	*at = vm->next;
}

static int make_vm(struct vms *vms, struct vm_row *row, struct vm **ret, struct bg_err **err)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		vm_row_free(row);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	vm->engine = vms->engine;
	vm->row = row;
	vm->files = calloc(1, sizeof(*vm->files));
	if (!vm->files || paths_fill(vm) < 0) {
		vm_free(vm);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	load_error(vm);
	*ret = vm;
	return 0;
}

int vm_add(struct vms *vms, struct vm_row *row, struct vm **ret, struct bg_err **err)
{
	struct vm *vm = NULL;
	int r = make_vm(vms, row, &vm, err);

	if (r < 0)
		return r;
	link_in(vms, vm);
	if (ret)
		*ret = vm;
	return 0;
}

void vm_rename(struct vm *vm, char **name)
{
	struct engine *engine = vm->engine;
	char *was = vm->row->name;

	link_out(engine->vms, vm);
	vm->row->name = *name;
	*name = was;
	link_in(engine->vms, vm);
	/* In this order: who knows VMs by their id sees the same one, who knows them by name a new one before the old one goes. */
	events_publish(engine->events, "vm", "changed", vm->row->name, vm_to_json(vm));
	events_publish(engine->events, "vm", "deleted", was, json_null());
}

void vm_remove(struct vm *vm)
{
	struct engine *engine = vm->engine;
	_free_ char *name = strdup(vm->row->name);

	link_out(engine->vms, vm);
	vm_free(vm);
	if (name)
		events_publish(engine->events, "vm", "deleted", name, json_null());
}

/* Not by name yet. */
static int push(struct vms *vms, struct vm_row *row)
{
	struct vm *vm;
	int r = make_vm(vms, row, &vm, NULL);

	if (r < 0)
		return r;
	vm->next = vms->first;
	vms->first = vm;
	return 0;
}

static int load_row(struct vm_row *row, void *userdata)
{
	/* Of a damaged or a newer database: what its process does is seen by vms_recover. */
	if (row->state < 0 || row->state >= VM_STATE_MAX_) {
		log_msg(LOG_ERROR, "vm", "a state that there is not: taken for stopped", "vm",
			row->name ? row->name : row->id, NULL);
		row->state = VM_STOPPED;
	}
	return push(userdata, row);
}

/* Of a thousand, to look for each one's place would take longer than all the rest of a start. */
static struct vm *merge_by_name(struct vm *a, struct vm *b)
{
	struct vm *first = NULL, **at = &first;

	while (a && b) {
		struct vm **less = strcmp(a->row->name, b->row->name) <= 0 ? &a : &b;

		*at = *less;
		at = &(*at)->next;
		*less = *at;
	}
	*at = a ? a : b;
	return first;
}

static struct vm *sort_by_name(struct vm *list)
{
	struct vm *middle = list, *rest;

	if (!list || !list->next)
		return list;
	for (const struct vm *end = list->next; end && end->next; end = end->next->next)
		middle = middle->next;
	rest = TAKE_PTR(middle->next);
	return merge_by_name(sort_by_name(list), sort_by_name(rest));
}

static int make_files(struct vms *vms, struct bg_err **err)
{
	_free_ char *dir = NULL;

	if (asprintf(&dir, "%s/vms", vms->engine->paths->state_dir) >= 0)
		vms->files = vm_files_new(dir);
	return vms->files ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int vms_new(struct engine *engine, struct vms **ret, struct bg_err **err)
{
	_unref_(vms) struct vms *vms = calloc(1, sizeof(*vms));
	int r;

	if (!vms)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	vms->engine = engine;
	engine->asset_users = &vm_users;
	r = make_files(vms, err);
	if (r >= 0)
		r = store_vm_each(engine->store, load_row, vms, err);
	vms->first = sort_by_name(vms->first);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(vms);
	return 0;
}

void vms_free(struct vms *vms)
{
	struct vm *vm;

	if (!vms)
		return;
	while ((vm = vms->first)) {
		vms->first = vm->next;
		vm_free(vm);
	}
	vm_files_free(vms->files);
	free(vms);
}

struct vm *vms_first(const struct vms *vms)
{
	return vms->first;
}

const char *vm_missing(const struct vm *vm)
{
	const struct vms *vms = vm->engine->vms;

	if (vm->row->state == VM_CREATING || vm->row->state == VM_DELETING)
		return NULL;
	return vm_files_missing(vms->files, vms, vm);
}

struct vm *vms_find(const struct vms *vms, const char *name)
{
	struct vm *vm = vms->first;

	while (vm && !bg_streq(vm->row->name, name))
		vm = vm->next;
	return vm;
}

struct vm *vms_find_id(const struct vms *vms, const char *id)
{
	struct vm *vm = vms->first;

	while (vm && !bg_streq(vm->row->id, id))
		vm = vm->next;
	return vm;
}

int vms_get(const struct vms *vms, const char *name, struct vm **ret, struct bg_err **err)
{
	*ret = vms_find(vms, name);
	if (!*ret)
		return bg_err_set(
			err, BG_ERR_VM_NOT_FOUND, ENOENT, "there is no VM named \"%s\"", name);
	return 0;
}

bool vms_run_as(const struct vms *vms, pid_t pid)
{
	for (const struct vm *vm = vms->first; vm; vm = vm->next)
		if (vm->vmm && vmm_pid(vm->vmm) == pid)
			return true;
	return false;
}

unsigned vms_count(const struct vms *vms, enum vm_state state)
{
	unsigned n = 0;

	for (const struct vm *vm = vms->first; vm; vm = vm->next)
		n += vm->row->state == (int)state;
	return n;
}

static int lowest_free(uint64_t held, unsigned n_slots)
{
	for (unsigned i = 0; i < n_slots; i++)
		if (!(held & UINT64_C(1) << i))
			return (int)i;
	return -ENOSPC;
}

int vms_free_slot(const struct vms *vms, const struct vm *who, unsigned n_slots, uint64_t others)
{
	int home = who ? who->row->home_slot : -1, free_one;
	uint64_t held = others, homes = 0;

	for (const struct vm *vm = vms->first; vm; vm = vm->next) {
		/* The address of a suspended guest is in its memory. */
		int slot = vm->row->slot < 0 && vm->row->saved && vm != who ? vm->row->home_slot
									    : vm->row->slot;

		if (slot >= 0)
			held |= UINT64_C(1) << slot;
		if (vm->row->home_slot >= 0)
			homes |= UINT64_C(1) << vm->row->home_slot;
	}
	if (home >= 0 && (unsigned)home < n_slots && !(held & UINT64_C(1) << home))
		return home;
	free_one = lowest_free(held | homes, n_slots);
	return free_one >= 0 || !who ? free_one : lowest_free(held, n_slots);
}

static void publish(struct vm *vm)
{
	events_publish(vm->engine->events, "vm", "changed", vm->row->name, vm_to_json(vm));
}

void vm_save(struct vm *vm)
{
	store_vm_put(vm->engine->store, vm->row);
	publish(vm);
}

void vm_move(struct vm *vm, enum vm_event event)
{
	const struct vm_transition *t = vm_transition_find((enum vm_state)vm->row->state, event);

	assert(t);
	log_msg(LOG_DEBUG, "vm", vm_event_str(event), "vm", vm->row->name, "from",
		vm_state_str((enum vm_state)vm->row->state), "to", vm_state_str(t->next), NULL);
	vm->row->state = t->next;
	vm_save(vm);
}

void vm_set_error(struct vm *vm, const struct bg_err *err)
{
	_json_ json_t *json = err ? bg_err_to_json(err) : NULL;
	struct bg_err *copy = bg_err_copy(err); /* err may be vm->error itself */

	bg_err_free(vm->error);
	vm->error = copy;
	free(vm->row->error_json);
	vm->row->error_json = json ? json_dumps(json, JSON_COMPACT) : NULL;
}

void vm_exit_error(const struct vm *vm, int status, struct bg_err **ret)
{
	const char *name = vm->row->vmm ? vm->row->vmm : "VMM";

	if (status == -1)
		bg_err_set(ret, BG_ERR_VMM_DIED, ESRCH, "%s of VM \"%s\" is gone", name,
			vm->row->name);
	else if (WIFSIGNALED(status))
		bg_err_set(ret, BG_ERR_VMM_DIED, ESRCH,
			"%s of VM \"%s\" was killed by signal %d (%s)", name, vm->row->name,
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		bg_err_set(ret, BG_ERR_VMM_DIED, ESRCH, "%s of VM \"%s\" ended with status %d",
			name, vm->row->name, WEXITSTATUS(status));
	bg_err_hint(ret, "see `banger vm logs --vmm %s` and `banger vm logs %s`", vm->row->name,
		vm->row->name);
}

bool vm_wants_again(const struct vm *vm, int status)
{
	const struct vmm_driver *driver = vmm_driver_by_name(vm->row->vmm ? vm->row->vmm : "");

	if (!driver || !driver->reset_ends || vm->halted ||
		(status != -1 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)))
		return false;
	return console_end_of_vm(vm) == CONSOLE_RESET;
}

bool vm_ended_badly(const struct vm *vm, int status)
{
	if (vm->halted)
		return false;
	if (status == -1)
		return console_end_of_vm(vm) == CONSOLE_GOES_ON;
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

int vm_boot_again(struct vm *vm, struct bg_err **err)
{
	struct op *op;

	log_msg(LOG_INFO, "vm", "the guest reboots", "vm", vm->row->name, NULL);
	return vm_ask(vm, VM_EV_RESET, &(struct vm_options){0}, &op, err);
}

/* Nobody asked for it: the guest powered off (status 0) or rebooted, or the VMM crashed. */
static void went_down_by_itself(struct vm *vm, int status)
{
	_err_ struct bg_err *err = NULL;
	bool bad = vm_ended_badly(vm, status);

	if (vm_wants_again(vm, status) && vm_boot_again(vm, &err) >= 0)
		return;
	if (err)
		log_err(LOG_ERROR, "vm", vm->row->name, err);
	if (bad) {
		bg_err_free(TAKE_PTR(err));
		vm_exit_error(vm, status, &err);
		log_err(LOG_WARN, "vm", vm->row->name, err);
		vm_set_error(vm, err);
	}
	if (vm_transition_find((enum vm_state)vm->row->state, VM_EV_DOWN))
		vm_move(vm, VM_EV_DOWN);
	vm_settle(vm);
	revive_ended(vm, bad);
}

void vm_on_vmm_exit(struct vmm *vmm, int status, void *userdata)
{
	struct vm *vm = userdata;

	(void)vmm;
	vm_health_clear(vm);
	vm_gap_clear(vm);
	vmm_call_free(TAKE_PTR(vm->space_call));
	expose_close(vm);
	guest_free(TAKE_PTR(vm->guest));
	vmm_free(TAKE_PTR(vm->vmm));
	vm->ready = vm->paused = false;
	vm->written = vm->writes = 0;
	vm->exit_status = status;
	vm->row->pid = 0;
	vm->row->pid_start = 0;
	if (vm->on_exit)
		vm->on_exit(vm, status, vm->on_exit_data);
	else if (!vm->op)
		went_down_by_itself(vm, status);
	/* else: the operation finds the process gone at its next step */
}

static bool flags_ready(uint32_t flags)
{
	return (flags & BG_AGENT_F_ROOT) && (flags & (BG_AGENT_F_SSHD | BG_AGENT_F_NO_SSHD));
}

/* What of its row the guest's flags change, which is nearly never. */
static bool take_flags(struct vm *vm, uint32_t flags)
{
	bool sshd = (flags & BG_AGENT_F_SSHD) != 0;
	bool late = vm->error && !vm->op && !vm->paused; /* it was late, not broken */

	if (late)
		vm_set_error(vm, NULL);
	if (sshd == vm->row->has_sshd)
		return late;
	vm->row->has_sshd = sshd;
	return true;
}

/* Once for each boot: a log line, and news for followers. */
static bool take_disk_note(struct vm *vm, uint32_t flags)
{
	const char *note = vm_disk_note(flags);

	if (note == vm->disk_note)
		return false;
	vm->disk_note = note;
	if (note)
		log_msg(LOG_WARN, "vm", note, "vm", vm->row->name, NULL);
	return true;
}

/* A guest may be hostile: being ready or not is news, and not a row of the database. */
static void on_guest_status(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata)
{
	struct vm *vm = userdata;
	bool was_ready = vm->ready, row_changed = false;
	bool noted = connected && take_disk_note(vm, flags);

	(void)guest;
	(void)uptime_ms;
	vm->ready = connected && flags_ready(flags);
	if (vm->ready)
		row_changed = take_flags(vm, flags);
	if (row_changed)
		vm_save(vm);
	else if (vm->ready != was_ready || noted)
		publish(vm);
	vm_gap_on_agent(vm, connected);
	expose_on_agent(vm, connected);
	if (vm->on_guest)
		vm->on_guest(vm, vm->on_guest_data);
}

void vm_hold(struct vm *vm, struct vmm *vmm)
{
	const struct vmm_driver *driver = vmm_driver_of(vmm);
	_free_ char *socket = join(vm->paths.run_dir, driver->agent_socket);
	struct guest_target target = {
		.carrier = driver->agent,
		.socket_path = socket,
		.vm_id = vm->row->id,
	};
	_err_ struct bg_err *err = NULL;

	assert(!vm->vmm);
	vm->halted = false;
	vm->vmm = vmm;
	space_soon(vm->engine->space);
	console_watch(vm->engine->console, vm);
	/* Adopted: an earlier daemon paused it, and recorded why. */
	vm->paused = vm->error && vm->error->code == BG_ERR_NO_SPACE;
	if (!socket ||
		guest_open(vm->engine->loop, &target, on_guest_status, vm, &vm->guest, &err) < 0)
		log_err(LOG_ERROR, "vm", vm->row->name, err);
}
