/* SPDX-License-Identifier: ISC */
/*
 * dns.h: the name server of this user's guests, on a socket at the gateway's address that the
 * network helper bound: NAME.vm of running VMs and back for everybody who can ask, all other names for
 * guests by way of the host's resolvers. Called by the engine. Owns the socket and the queries
 * under way. Must never forward for somebody who is no guest, nor block.
 */
#ifndef DNS_H
#define DNS_H

#include "common/err.h"
#include "daemon/loop/loop.h"

struct dns;

/* The address of a VM by name as a number; 0 without one. *ret_exists: there is such a VM, running. */
typedef uint32_t (*dns_lookup_fn)(const char *name, bool *ret_exists, void *userdata);

/* The name of the VM at an address; NULL: nobody is. Borrowed until the next call. */
typedef const char *(*dns_name_fn)(uint32_t address, void *userdata);

/*
 * sock is taken: bound, of this user's gateway. upstream: "system" for the resolvers of
 * /etc/resolv.conf, or an address.
 */
int dns_new(struct loop *loop, int sock, const char *upstream, dns_lookup_fn lookup, dns_name_fn name,
	void *userdata, struct dns **ret, struct bg_err **err);
/* Tests: another port of the resolvers than 53, another file than /etc/resolv.conf. */
void dns_set_upstream(struct dns *dns, const char *resolv_conf, uint16_t port);
/* Where it answers, dotted. Borrowed. */
const char *dns_address(const struct dns *dns);
void dns_free(struct dns *dns);
BG_DEFINE_UNREF(dns, struct dns *, dns_free)

#endif
