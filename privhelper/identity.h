/* SPDX-License-Identifier: ISC */
/*
 * identity.h: who this helper works for. Asked once, at start, of the kernel
 * only: no name service, nothing that the caller says. A missing answer is a
 * refusal.
 */
#ifndef BG_PRIVHELPER_IDENTITY_H
#define BG_PRIVHELPER_IDENTITY_H

#include <sys/types.h>

#include "common/priv_proto.h"

/*
 * The real uid, when it may use the helper: not root's nor the system's nor one that stands for many, the same in all three
 * ids and at the socket's other end, and a member of the group that owns
 * LEDGER_DIR. PRIV_CODE_OK, IDENTITY, NOT_MEMBER or LEDGER.
 */
enum priv_code identity_check(int sock, unsigned min_uid, uid_t *ret);

#endif
