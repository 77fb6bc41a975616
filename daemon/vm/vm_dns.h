/* SPDX-License-Identifier: ISC */
/* vm_dns.h: the names of running VMs for daemon/dns. Called by the engine at its start, and with each new helper. */
#ifndef BG_DAEMON_VM_VM_DNS_H
#define BG_DAEMON_VM_VM_DNS_H

struct engine;

/* Answers at the gateway, and has this helper redirect port 53 there. Without it VMs have no names, and run. */
void vm_dns_start(struct engine *engine);

#endif
