/* SPDX-License-Identifier: ISC */
/*
 * dns.h: the name server of this user's guests, on two ports of the gateway's address to which the
 * network helper redirects port 53: NAME.vm of running VMs and back for guests and this host, all other names for
 * guests by way of the host's resolvers. Called by the engine. Owns its sockets and the queries
 * under way. Must never forward for somebody who is not a guest, nor block.
 */
#ifndef BG_DAEMON_DNS_DNS_H
#define BG_DAEMON_DNS_DNS_H

#include "common/err.h"
#include "daemon/loop/loop.h"

struct dns;

/* The address of a VM by name as a number; 0 without one. *ret_exists: there is such a VM, running. */
typedef uint32_t (*dns_lookup_fn)(const char *name, bool *ret_exists, void *userdata);

/* The name of the VM at an address; NULL: nobody is. Borrowed until the next call. */
typedef const char *(*dns_name_fn)(uint32_t address, void *userdata);

/*
 * address: this user's gateway, dotted; it need not be there yet. upstream: "system" for the resolvers of
 * /etc/resolv.conf, or an address.
 */
int dns_new(struct loop *loop, const char *address, const char *upstream, dns_lookup_fn lookup,
	dns_name_fn name, void *userdata, struct dns **ret, struct bg_err **err);
/* For the helper; they stay the server's. */
void dns_sockets(const struct dns *dns, int *ret_udp, int *ret_tcp);
/* Tests: another port of the resolvers than 53, another file than /etc/resolv.conf. */
void dns_set_upstream(struct dns *dns, const char *resolv_conf, uint16_t port);
/* Where it answers, dotted. Borrowed. */
const char *dns_address(const struct dns *dns);
void dns_free(struct dns *dns);
BG_DEFINE_UNREF(dns, struct dns *, dns_free)

#endif
