/* SPDX-License-Identifier: ISC */
/*
 * gap.h: what is put right in a guest that stood still, as the host asks (struct bg_agent_gap): the kernel's
 * randomness, which a twin of this guest has too; the wall clock; the place of its address in the host's tables. The
 * agent's own work, in its process: a fork or a program would be something that runs before it.
 */
#ifndef BG_GUEST_GAP_H
#define BG_GUEST_GAP_H

#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>

#include "common/agent_proto.h"
#include "common/base.h"

/* parts and time_usec in host order, here and there; see conversation_gap_fn. A part that fails is said on the console and missing in done. */
void gap_put_right(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done);

/* How far a clock that says now is to be set for one that says right; 0: it is not. */
int64_t gap_step(int64_t now_usec, int64_t right_usec, uint32_t parts);
/* The announcement (RFC 5227, 3): a request whose sender and target are the same. */
void gap_arp(const uint8_t mac[ETH_ALEN], in_addr_t address, struct ether_arp *ret);

#endif
