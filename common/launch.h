/* SPDX-License-Identifier: ISC */
/*
 * launch.h: the border between bangerd and banger-launch, the program that seals itself and then
 * becomes the VMM:
 *
 *   banger-launch [--abi N] --limit BYTES [--WORD PATH]... -- PROGRAM ARGUMENT...
 *
 * --limit: no file grows beyond (RLIMIT_FSIZE, soft; bangerd raises it before it grows a disk).
 * --WORD: a row of launch_grants.def. --abi: plays a kernel with an older Landlock; tests.
 * Descriptor 3 is the seccomp filter; 0 to 2 and those from 4 on are the program's.
 */
#ifndef BG_COMMON_LAUNCH_H
#define BG_COMMON_LAUNCH_H

#define BG_LAUNCH_PROGRAM "banger-launch"

enum { BG_LAUNCH_FD_FILTER = 3, BG_LAUNCH_FD_FIRST = 4 };
/* Its exit status when it could not become the program; why is on its stderr, the VMM's log. */
enum { BG_LAUNCH_FAILED = 126 };

enum bg_launch_grant {
#define X(name, word, rights, flags) BG_LAUNCH_##name,
#include "common/launch_grants.def"
#undef X
	BG_LAUNCH_MAX_
};

#endif
