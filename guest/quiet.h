/* SPDX-License-Identifier: ISC */
/* quiet.h: the kernel's periodic work that a VM does not need is turned off, so that an idle guest sleeps. */
#ifndef BG_GUEST_QUIET_H
#define BG_GUEST_QUIET_H

/* Once, before the image's init, whose sysctl.d may turn each of them on again. What a kernel does not have is
 * passed over. Needs /proc. */
void quiet_kernel(void);

#endif
