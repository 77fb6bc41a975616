/* SPDX-License-Identifier: ISC */
/*
 * vm_table.c: The table itself. A pair of state and event that has no row is refused with the
 * state's name.
 */
#include "daemon/vm/vm_table.h"

#include <assert.h>

#include "daemon/vm/vm_plan.h"

static const struct vm_transition table[] = {
	{VM_CREATING, VM_EV_MADE, VM_STOPPED, NULL},
	{VM_CREATING, VM_EV_BOOT, VM_STARTING, NULL},
	{VM_CREATING, VM_EV_UNMAKE, VM_DELETING, NULL},

	{VM_STOPPED, VM_EV_START, VM_STARTING, &vm_plan_start},
	{VM_STOPPED, VM_EV_STOP, VM_STOPPED, &vm_plan_nothing},
	{VM_STOPPED, VM_EV_RESTART, VM_STARTING, &vm_plan_start},
	{VM_STOPPED, VM_EV_DELETE, VM_DELETING, &vm_plan_delete},
	{VM_STOPPED, VM_EV_SET, VM_STOPPED, &vm_plan_set},
	{VM_STOPPED, VM_EV_BOOT, VM_STARTING, NULL},

	{VM_STARTING, VM_EV_UP, VM_RUNNING, NULL},
	{VM_STARTING, VM_EV_DOWN, VM_STOPPED, NULL},
	{VM_STARTING, VM_EV_UNMAKE, VM_DELETING, NULL},

	{VM_RUNNING, VM_EV_START, VM_RUNNING, &vm_plan_nothing},
	{VM_RUNNING, VM_EV_STOP, VM_STOPPING, &vm_plan_stop},
	{VM_RUNNING, VM_EV_RESTART, VM_STOPPING, &vm_plan_restart},
	{VM_RUNNING, VM_EV_KILL, VM_STOPPING, &vm_plan_kill},
	{VM_RUNNING, VM_EV_DELETE, VM_DELETING, &vm_plan_delete},
	{VM_RUNNING, VM_EV_SET, VM_RUNNING, &vm_plan_set},
	{VM_RUNNING, VM_EV_PAUSE, VM_PAUSED, &vm_plan_pause},
	{VM_RUNNING, VM_EV_RESUME, VM_RUNNING, &vm_plan_nothing},
	{VM_RUNNING, VM_EV_SUSPEND, VM_SUSPENDING, &vm_plan_suspend},
	{VM_RUNNING, VM_EV_DOWN, VM_STOPPED, NULL},
	{VM_RUNNING, VM_EV_RESET, VM_STARTING, &vm_plan_reboot},

	{VM_STOPPING, VM_EV_DOWN, VM_STOPPED, NULL},
	{VM_STOPPING, VM_EV_STILL_UP, VM_RUNNING, NULL},
	{VM_STOPPING, VM_EV_STILL_PAUSED, VM_PAUSED, NULL},

	{VM_DELETING, VM_EV_DELETE, VM_DELETING, &vm_plan_delete},
	{VM_DELETING, VM_EV_DOWN, VM_DELETING, NULL},

	{VM_PAUSED, VM_EV_START, VM_RESUMING, &vm_plan_unpause},
	{VM_PAUSED, VM_EV_STOP, VM_STOPPING, &vm_plan_stop},
	{VM_PAUSED, VM_EV_RESTART, VM_STOPPING, &vm_plan_restart},
	{VM_PAUSED, VM_EV_KILL, VM_STOPPING, &vm_plan_kill},
	{VM_PAUSED, VM_EV_DELETE, VM_DELETING, &vm_plan_delete},
	{VM_PAUSED, VM_EV_SET, VM_PAUSED, &vm_plan_set},
	{VM_PAUSED, VM_EV_PAUSE, VM_PAUSED, &vm_plan_nothing},
	{VM_PAUSED, VM_EV_RESUME, VM_RESUMING, &vm_plan_unpause},
	{VM_PAUSED, VM_EV_SUSPEND, VM_SUSPENDING, &vm_plan_suspend},
	{VM_PAUSED, VM_EV_DOWN, VM_STOPPED, NULL},
	{VM_PAUSED, VM_EV_STILL_UP, VM_RUNNING, NULL},

	{VM_SUSPENDING, VM_EV_SAVED, VM_SUSPENDED, NULL},
	{VM_SUSPENDING, VM_EV_STILL_UP, VM_RUNNING, NULL},
	{VM_SUSPENDING, VM_EV_STILL_PAUSED, VM_PAUSED, NULL},
	{VM_SUSPENDING, VM_EV_DOWN, VM_STOPPED, NULL},

	{VM_SUSPENDED, VM_EV_START, VM_RESUMING, &vm_plan_resume},
	{VM_SUSPENDED, VM_EV_KILL, VM_STOPPING, &vm_plan_forget},
	{VM_SUSPENDED, VM_EV_DELETE, VM_DELETING, &vm_plan_delete},
	{VM_SUSPENDED, VM_EV_SET, VM_SUSPENDED, &vm_plan_set},
	{VM_SUSPENDED, VM_EV_RESUME, VM_RESUMING, &vm_plan_resume},
	{VM_SUSPENDED, VM_EV_SUSPEND, VM_SUSPENDED, &vm_plan_nothing},

	{VM_RESUMING, VM_EV_BOOT, VM_STARTING, NULL},
	{VM_RESUMING, VM_EV_UP, VM_RUNNING, NULL},
	{VM_RESUMING, VM_EV_SAVED, VM_SUSPENDED, NULL},
	{VM_RESUMING, VM_EV_STILL_PAUSED, VM_PAUSED, NULL},
	{VM_RESUMING, VM_EV_DOWN, VM_STOPPED, NULL},
};

static_assert((int)VM_CREATING == STORE_VM_CREATING && (int)VM_STOPPED == STORE_VM_STOPPED &&
		      (int)VM_DELETING == STORE_VM_DELETING,
	"what the store knows of them");

static const char *const state_names[] = {
	[VM_CREATING] = "creating",
	[VM_STOPPED] = "stopped",
	[VM_STARTING] = "starting",
	[VM_RUNNING] = "running",
	[VM_STOPPING] = "stopping",
	[VM_DELETING] = "deleting",
	[VM_PAUSED] = "paused",
	[VM_SUSPENDING] = "suspending",
	[VM_SUSPENDED] = "suspended",
	[VM_RESUMING] = "resuming",
};
static_assert(ARRAY_SIZE(state_names) == VM_STATE_MAX_, "one name per state");

static const char *const event_names[] = {
	[VM_EV_START] = "start",
	[VM_EV_STOP] = "stop",
	[VM_EV_RESTART] = "restart",
	[VM_EV_KILL] = "kill",
	[VM_EV_DELETE] = "delete",
	[VM_EV_SET] = "change",
	[VM_EV_PAUSE] = "pause",
	[VM_EV_RESUME] = "resume",
	[VM_EV_SUSPEND] = "suspend",
	[VM_EV_MADE] = "made",
	[VM_EV_BOOT] = "boot",
	[VM_EV_UP] = "up",
	[VM_EV_DOWN] = "down",
	[VM_EV_STILL_UP] = "still-up",
	[VM_EV_STILL_PAUSED] = "still-paused",
	[VM_EV_SAVED] = "saved",
	[VM_EV_RESET] = "reset",
	[VM_EV_UNMAKE] = "unmake",
};
static_assert(ARRAY_SIZE(event_names) == VM_EVENT_MAX_, "one name per event");

const char *vm_state_str(enum vm_state state)
{
	assert((unsigned)state < VM_STATE_MAX_);
	return state_names[state];
}

const char *vm_event_str(enum vm_event event)
{
	assert((unsigned)event < VM_EVENT_MAX_);
	return event_names[event];
}

const struct vm_transition *vm_transition_find(enum vm_state state, enum vm_event event)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].state == state && table[i].event == event)
			return &table[i];
	return NULL;
}
