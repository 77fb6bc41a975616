/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: what the helper takes over from its caller and what it keeps, in
 * three of its four stages (main opens things between inherit and drop).
 *
 *   inherit  must make everything that the caller chose harmless or refuse;
 *            must not look at the socket's content or open anything of use.
 *   open     (main) may use the ledger's group; must not read a message.
 *   drop     must leave the role's capabilities and no group that the role does not
 *            keep, and see the way back fail; must come before the first message.
 *   seal     must leave the system calls of the verbs only; must be last.
 */
#ifndef BG_PRIVHELPER_SANDBOX_H
#define BG_PRIVHELPER_SANDBOX_H

#include "common/priv_proto.h"

/* PRIV_CODE_OK or PRIV_CODE_ENVIRONMENT. sock is valid when it returns, whatever the result. */
enum priv_code sandbox_inherit(int sock);
/* Makes exactly these capabilities effective. PRIV_CODE_OK or PRIV_CODE_NO_CAPABILITY. */
enum priv_code sandbox_raise(uint64_t caps);
/*
 * PRIV_CODE_OK or PRIV_CODE_SANDBOX. Keeps caps, gives up the ledger's group: ledger_path must no
 * longer be openable. NULL: the group stays, as the role says why.
 */
enum priv_code sandbox_drop(uint64_t caps, const char *ledger_path);

/* What must hold, at most two of it. */
enum seal_rule {
	RULE_ANY = 0,
	RULE_FD = 1,	  /* the first argument is this descriptor */
	RULE_COMMAND = 2, /* the second is exactly value */
	RULE_FLAGS = 4,	  /* the third is */
	RULE_LENGTH = 8,  /* the third is at most value */
};

struct seal_row {
	int syscall;
	unsigned rule;
	int fd;
	uint32_t value;
	const char *reason;
};

/* These calls and no other, for good. PRIV_CODE_OK or PRIV_CODE_SANDBOX. */
enum priv_code sandbox_seal(const struct seal_row *rows, size_t n);

#endif
