/* SPDX-License-Identifier: ISC */
/*
 * How fast the host's time stamp counter runs. A guest under software emulation sees that counter,
 * has nothing reliable to measure it by, and hangs early in its boot when it tries on a busy host:
 * it is told.
 */
#include <time.h>

#include "daemon/driver/vmm_impl.h"

enum {
	ENOUGH_USEC = 20 * 1000, /* good to about 30 ppm */
	SHORT_USEC = 5 * 1000,	 /* what a caller in a hurry waits for: 0.1 % */
	KHZ_MIN = 100 * 1000,
	KHZ_MAX = 20 * 1000 * 1000,
};

struct sample {
	uint64_t usec, ticks; /* usec 0: none */
};

static struct sample first;
static unsigned known_khz;

static struct sample take_sample(void)
{
	struct sample s = {0};
#ifdef __x86_64__
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	s.usec = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	s.ticks = __builtin_ia32_rdtsc();
#endif
	return s;
}

void vmm_tsc_begin(void)
{
	if (first.usec == 0)
		first = take_sample();
}

/* Not after a suspend in between: that is told by a value that no counter has. */
static unsigned khz_between(const struct sample *a, const struct sample *b)
{
	uint64_t khz = (b->ticks - a->ticks) * 1000 / (b->usec - a->usec);

	return khz >= KHZ_MIN && khz <= KHZ_MAX ? (unsigned)khz : 0;
}

unsigned vmm_tsc_khz(void)
{
	struct sample now;
	unsigned khz;

	if (known_khz > 0)
		return known_khz;
	vmm_tsc_begin();
	if (first.usec == 0)
		return 0;
	do
		now = take_sample();
	while (now.usec - first.usec < SHORT_USEC);
	khz = khz_between(&first, &now);
	if (now.usec - first.usec >= ENOUGH_USEC)
		known_khz = khz;
	if (khz == 0)
		first = now;
	return khz;
}
