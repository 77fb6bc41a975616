/* SPDX-License-Identifier: ISC */
/*
 * text.h: the edits that banger makes in files of the image which may also hold lines
 * of the user. Pure: old text in, new text out; applying an edit twice changes nothing.
 */
#ifndef BG_GUEST_TEXT_H
#define BG_GUEST_TEXT_H

#include "common/base.h"

#define TEXT_MARK  "# banger"
#define TEXT_BEGIN "# banger: begin (this block is rewritten at every start)"
#define TEXT_END   "# banger: end"

/*
 * /etc/hosts: lines that end with TEXT_MARK are ours and replaced; localhost is added
 * when no line has it. addr NULL: the name goes to 127.0.1.1. NULL when out of memory.
 */
char *text_hosts(const char *old, const char *hostname, const char *addr);
/*
 * authorized_keys: ours is one block between TEXT_BEGIN and TEXT_END at the end; all other
 * lines stay as they are. An empty keys removes the block.
 */
char *text_keys(const char *old, const char *keys);

#endif
