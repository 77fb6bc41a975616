/* SPDX-License-Identifier: ISC */
/*
 * guest.h: the host's side of the agent protocol (common/agent_proto.h), one conversation per running
 * VM. It connects by itself, again and again until freed: the carrier may not be there yet (the
 * VMM or the guest is still starting) or break (the guest reboots).
 */
#ifndef GUEST_H
#define GUEST_H

#include "common/agent_proto.h"
#include "common/base.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct guest;
struct guest_call;

struct guest_target {
	const char *carrier;	 /* "virtio" or "vsock", as vmm_driver.agent */
	const char *socket_path; /* unix socket of the VMM */
	const char *vm_id;	 /* BG_ID_LEN hex digits: another guest's answer is an error that is logged */
};

/* Each WELCOME and STATUS; flags are enum bg_agent_flag. connected false: the conversation broke. */
typedef void (*guest_status_fn)(struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms,
	void *userdata);
typedef void (*guest_done_fn)(const struct bg_err *err, void *userdata);

int guest_open(struct loop *loop, const struct guest_target *target, guest_status_fn status, void *userdata,
	struct guest **ret, struct bg_err **err);
void guest_free(struct guest *guest);
BG_DEFINE_UNREF(guest, struct guest *, guest_free)

bool guest_connected(const struct guest *guest);
uint32_t guest_flags(const struct guest *guest);

/* Asks for a shutdown; done when the agent has said it begins, or BG_ERR_AGENT after deadline_usec. Freeing the call forgets it. */
int guest_shutdown(struct guest *guest, enum bg_agent_shutdown kind, uint64_t deadline_usec,
	guest_done_fn done, void *userdata, struct guest_call **ret, struct bg_err **err);
int guest_ping(struct guest *guest, uint64_t deadline_usec, guest_done_fn done, void *userdata,
	struct guest_call **ret, struct bg_err **err);
void guest_call_free(struct guest_call *call);
BG_DEFINE_UNREF(guest_call, struct guest_call *, guest_call_free)

#endif
