/* SPDX-License-Identifier: ISC */
/*
 * priv_client.h: the unprivileged side of the network helper: start it, encode
 * requests, decode replies into plain values or one error. The stubs stand in
 * the order of common/priv_verbs.def, as the answers in privhelper/verb_net.c do.
 *
 * Called by the monitor (spawn) and the engine (the rest). Has no event loop and
 * no state: the engine owns the socket, sends a message with priv_msg_send() and
 * matches replies, which come in the order of the requests. Must never be given a
 * message whose descriptors somebody still needs to close: the caller does that.
 */
#ifndef BG_DAEMON_PRIV_PRIV_CLIENT_H
#define BG_DAEMON_PRIV_PRIV_CLIENT_H

#include <sys/types.h>

#include "common/err.h"
#include "common/priv_proto.h"
#include "host/priv_check.h"

struct priv_hello {
	unsigned index;	    /* of this user in the pool */
	unsigned slots;	    /* slots 0 to slots - 1 may be attached */
	char gateway[16];   /* the host's address on every tap of this user */
	uint32_t abilities; /* set of enum priv_ability */
};

struct priv_net {
	char tap[PRIV_NAME]; /* owned by this user: open it with TUNSETIFF,
				IFF_TAP|IFF_NO_PI|IFF_VNET_HDR */
	char guest[16];	     /* "10.209.0.2", prefix length 32 */
	char gateway[16];
	char mac[18]; /* of the guest's card */
	bool fresh;   /* made by this request, not found from an earlier one */
};

/*
 * Starts the helper at path with a SEQPACKET socketpair: fd 3 there, *ret_sock
 * (close-on-exec, blocking) here. The caller owns both results, and reaps the pid. It
 * may not have set no_new_privs. -ENOENT, -EACCES and such from exec: priv_helper_check
 * says what they mean.
 */
int priv_spawn_helper(const char *path, int *ret_sock, pid_t *ret_pid);

/* Requests: 0, or -EINVAL for a value that no helper would accept. id is not 0. */
int priv_encode_hello(uint32_t id, struct priv_msg *ret);
int priv_encode_net_attach(uint32_t id, unsigned slot, struct priv_msg *ret);
int priv_encode_net_detach(uint32_t id, unsigned slot, struct priv_msg *ret);
int priv_encode_net_nat(uint32_t id, unsigned slot, bool on, bool peers, struct priv_msg *ret);
/* The descriptors are borrowed until the message was sent. */
int priv_encode_dns_port(uint32_t id, int udp, int tcp, struct priv_msg *ret);
int priv_encode_list(uint32_t id, struct priv_msg *ret);
int priv_encode_cleanup(uint32_t id, struct priv_msg *ret);
/* The descriptors are borrowed until the message was sent. */
int priv_encode_disk_attach(
	uint32_t id, unsigned slot, int base, int overlay, struct priv_msg *ret);
int priv_encode_disk_detach(uint32_t id, unsigned slot, struct priv_msg *ret);

/*
 * Replies, whose descriptors stay in the message. err is helper.*: a refusal says which right,
 * limit or file stands in the way. -EBADMSG with helper.failed for a reply that is malformed or
 * to another verb.
 */
int priv_decode_hello(const struct priv_msg *msg, struct priv_hello *ret, struct bg_err **err);
int priv_decode_net_attach(const struct priv_msg *msg, struct priv_net *ret, struct bg_err **err);
int priv_decode_net_detach(const struct priv_msg *msg, bool *ret_existed, struct bg_err **err);
int priv_decode_list(const struct priv_msg *msg, uint64_t *ret_slots, struct bg_err **err);
int priv_decode_cleanup(const struct priv_msg *msg, uint64_t *ret_slots, struct bg_err **err);
/* node: a name in BG_DISK_NODE_DIR. */
int priv_decode_disk_attach(const struct priv_msg *msg, char node[PRIV_NAME], struct bg_err **err);
int priv_decode_disk_detach(const struct priv_msg *msg, bool *ret_existed, struct bg_err **err);
int priv_decode_net_nat(const struct priv_msg *msg, bool *ret_changed, struct bg_err **err);
int priv_decode_dns_port(const struct priv_msg *msg, struct bg_err **err);

/* The request that a reply answers; 0 when the helper could not start. -EBADMSG if it is none. */
int priv_reply_id(const struct priv_msg *msg, uint32_t *ret);

#endif
