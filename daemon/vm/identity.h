/* SPDX-License-Identifier: ISC */
/*
 * identity.h: ed25519 keys in OpenSSH's formats: the user's own key and each guest's host
 * key. Needs no ssh-keygen. Formats: OpenSSH's PROTOCOL.key and RFC 8709.
 */
#ifndef BG_DAEMON_VM_IDENTITY_H
#define BG_DAEMON_VM_IDENTITY_H

#include "common/err.h"

/*
 * A fresh key pair. *ret_private_pem is the text of an unencrypted private key file (free it
 * with identity_free_pem), *ret_public_line "ssh-ed25519 AAAA… comment" without a line
 * end. The comment may be "" but holds no line end.
 */
int identity_make_key(
	const char *comment, char **ret_private_pem, char **ret_public_line, struct bg_err **err);
/* Wipes and frees. Takes NULL. */
void identity_free_pem(char *pem);

static inline void identity_pem_unrefp(char **pem)
{
	identity_free_pem(*pem);
}
#define _pem_ _cleanup_(identity_pem_unrefp)

#endif
