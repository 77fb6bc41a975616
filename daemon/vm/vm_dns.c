/* SPDX-License-Identifier: ISC */
#include "daemon/vm/vm_dns.h"

#include <arpa/inet.h>

#include "common/log.h"
#include "daemon/dns/dns.h"
#include "daemon/engine.h"

/* NAME.vm is there while the VM has an address: from its start to its end. */
static uint32_t look_up(const char *name, bool *ret_exists, void *userdata)
{
	const struct engine *engine = userdata;
	const struct vm *vm = vms_find(engine->vms, name);
	struct in_addr address;

	*ret_exists = vm && vm->row->address && inet_pton(AF_INET, vm->row->address, &address) == 1;
	return *ret_exists ? ntohl(address.s_addr) : 0;
}

static const char *look_back(uint32_t address, void *userdata)
{
	const struct engine *engine = userdata;

	for (const struct vm *vm = vms_first(engine->vms); vm; vm = vm->next) {
		struct in_addr own;

		if (vm->row->address && inet_pton(AF_INET, vm->row->address, &own) == 1 &&
			ntohl(own.s_addr) == address)
			return vm->row->name;
	}
	return NULL;
}

static void on_socket(int sock, struct bg_err *err, void *userdata)
{
	struct engine *engine = userdata;

	bg_err_free(TAKE_PTR(engine->dns_err));
	if (err)
		engine->dns_err = bg_err_copy(err);
	else
		(void)dns_new(engine->loop, sock, engine->config->dns, look_up, look_back, engine,
			&engine->dns, &engine->dns_err);
	if (engine->dns_err)
		log_err(LOG_WARN, "dns", "VMs have no names", engine->dns_err);
	net_call_free(TAKE_PTR(engine->dns_call));
}

void vm_dns_start(struct engine *engine)
{
	_err_ struct bg_err *err = NULL;

	if (bg_isempty(engine->config->dns) || engine->dns || engine->dns_call)
		return;
	if (net_dns(engine->net, on_socket, engine, &engine->dns_call, &err) < 0)
		log_err(LOG_WARN, "dns", "VMs have no names", err);
}
