/* SPDX-License-Identifier: ISC */
/* vm_dns.c: Answers come from the list of VMs at the moment of the question; nothing is kept. */
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

static void note_error(struct engine *engine, struct bg_err *err)
{
	log_err(LOG_WARN, "dns", "VMs have no names", err);
	bg_err_free(engine->dns_err);
	engine->dns_err = err;
	dns_free(TAKE_PTR(engine->dns));
}

static void on_redirected(struct bg_err *err, void *userdata)
{
	struct engine *engine = userdata;

	if (err)
		note_error(engine, bg_err_copy(err));
	net_call_free(TAKE_PTR(engine->dns_call));
}

/* The gateway is another when the administrator chose another pool. */
static int serve(struct engine *engine, struct bg_err **err)
{
	const char *gateway = net_gateway(engine->net);
	int udp, tcp, r = 0;

	if (engine->dns && !bg_streq(dns_address(engine->dns), gateway))
		dns_free(TAKE_PTR(engine->dns));
	if (!engine->dns)
		r = dns_new(engine->loop, gateway, engine->config->dns, look_up, look_back, engine,
			&engine->dns, err);
	if (r < 0)
		return r;
	dns_sockets(engine->dns, &udp, &tcp);
	return net_dns(engine->net, udp, tcp, on_redirected, engine, &engine->dns_call, err);
}

static void on_ready(struct bg_err *err, void *userdata)
{
	struct bg_err *own = err ? bg_err_copy(err) : NULL;
	struct engine *engine = userdata;

	net_call_free(TAKE_PTR(engine->dns_call));
	bg_err_free(TAKE_PTR(engine->dns_err));
	if (!own && serve(engine, &own) >= 0)
		return;
	note_error(engine, own);
}

void vm_dns_start(struct engine *engine)
{
	_err_ struct bg_err *err = NULL;

	if (bg_isempty(engine->config->dns) || engine->dns_call)
		return;
	if (net_when_ready(engine->net, on_ready, engine, &engine->dns_call, &err) < 0)
		log_err(LOG_WARN, "dns", "VMs have no names", err);
}
