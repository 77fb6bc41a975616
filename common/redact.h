/* SPDX-License-Identifier: ISC */
/*
 * redact.h: users and passwords in URLs are nobody's business: err.c and log.c let none of them
 * into a message. What has a URL with a password and prints it in another way calls this too.
 */
#ifndef BG_COMMON_REDACT_H
#define BG_COMMON_REDACT_H

#include <stddef.h>

#define BG_REDACTED "***@"

/* s: what follows "://" of a URL. Bytes of "user:password@", 0 when it has none. */
size_t bg_userinfo_len(const char *s);
/* The text with "***@" for each of those; text is freed, and may be NULL. The caller's. */
char *bg_redact(char *text);

#endif
