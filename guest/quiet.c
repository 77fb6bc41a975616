/* SPDX-License-Identifier: ISC */
/* See quiet.h. How often each one woke an idle guest was counted with Debian's kernel 6.1 and the
 * trace event timer_expire_entry. */
#include "guest/quiet.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base.h"
#include "common/fd.h"

static const struct setting {
	const char *path, *value;
} settings[] = {
	/* kcompactd looks twice a second whether memory should be compacted ahead of need; when
	 * huge pages are asked for it is compacted all the same. */
	{"/proc/sys/vm/compaction_proactiveness", "0"},
	/* The lockup detectors: a timer every four seconds for each processor. The host's
	 * scheduling, above all in emulation, looks like a lockup to them. */
	{"/proc/sys/kernel/watchdog", "0"},
	/* Neighbours that somebody told the kernel to keep fresh ("managed"): there are none, and
	 * each table is looked through every five seconds all the same. Since Linux 6.0. */
	{"/proc/sys/net/ipv4/neigh/default/interval_probe_time_ms", "600000"},
	{"/proc/sys/net/ipv6/neigh/default/interval_probe_time_ms", "600000"},
};

void quiet_kernel(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_close_ int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0)
			(void)bg_write_all(fd, settings[i].value, strlen(settings[i].value));
	}
}
