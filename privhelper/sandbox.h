/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: what the helper takes over from its caller and what it keeps, in
 * three of its four stages (main opens things between inherit and drop).
 *
 *   inherit  must make everything that the caller chose harmless or refuse;
 *            must not look at the socket's content or open anything of use.
 *   open     (main) may use the ledger's group; must not read a message.
 *   drop     must leave CAP_NET_ADMIN, CAP_NET_BIND_SERVICE and no group of its own, and see the way
 *            back fail; must come before the first message is read.
 *   seal     must leave the system calls of the verbs only; must be last.
 */
#ifndef BG_PRIVHELPER_SANDBOX_H
#define BG_PRIVHELPER_SANDBOX_H

#include "common/priv_proto.h"

/* The descriptors that the rules of the seal name. */
struct sandbox_fds {
	int sock, ledger, netlink, nft, nft_events, legacy, tun_dir, ipv6_dir, ipv4_dir, ip_forward;
};

/* PRIV_CODE_OK or PRIV_CODE_ENVIRONMENT. sock is valid when it returns, whatever the result. */
enum priv_code sandbox_inherit(int sock);
/* Makes these two effective. PRIV_CODE_OK or PRIV_CODE_NO_CAPABILITY. */
enum priv_code sandbox_raise(void);
/* PRIV_CODE_OK or PRIV_CODE_SANDBOX. ledger_path must no longer be openable. */
enum priv_code sandbox_drop(const char *ledger_path);
enum priv_code sandbox_seal(const struct sandbox_fds *fds);

#endif
