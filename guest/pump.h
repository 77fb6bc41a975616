/* SPDX-License-Identifier: ISC */
/* pump.h: bytes from one descriptor to another, in a process that has nothing else to do. */
#ifndef BG_GUEST_PUMP_H
#define BG_GUEST_PUMP_H

/* Until from ends or to takes no more. */
void pump(int from, int to);

#endif
