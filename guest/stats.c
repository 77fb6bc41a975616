/* SPDX-License-Identifier: ISC */
/* The applet that tells how the guest does: "name number" lines, read by cli/cmd_stats.c. See
 * proc(5). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "common/fd.h"
#include "guest/applet.h"

static void put(const char *name, unsigned long long n)
{
	(void)dprintf(STDOUT_FILENO, "%s %llu\n", name, n);
}

static void put_memory(void)
{
	static const struct {
		const char *key, *name;
	} rows[] = {{"MemTotal:", "memory_total_kib"}, {"MemAvailable:", "memory_available_kib"},
		{"SwapTotal:", "swap_total_kib"}, {"SwapFree:", "swap_free_kib"}};
	_free_ char *text = NULL;

	if (bg_read_file_at(AT_FDCWD, "/proc/meminfo", 64 * 1024, &text, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *at = strstr(text, rows[i].key);

		if (at)
			put(rows[i].name, strtoull(at + strlen(rows[i].key), NULL, 10));
	}
}

static void put_disk(const char *path, const char *total, const char *used)
{
	struct statvfs v;

	if (statvfs(path, &v) < 0)
		return;
	put(total, (unsigned long long)v.f_blocks * v.f_frsize);
	put(used, (unsigned long long)(v.f_blocks - v.f_bfree) * v.f_frsize);
}

int applet_stats(void)
{
	struct sysinfo si;

	if (sysinfo(&si) == 0) {
		put("uptime_s", (unsigned long long)si.uptime);
		put("processes", si.procs);
		/* thousandths; the kernel counts in units of 1/65536 */
		put("load1_milli", si.loads[0] * 1000 >> SI_LOAD_SHIFT);
		put("load5_milli", si.loads[1] * 1000 >> SI_LOAD_SHIFT);
		put("load15_milli", si.loads[2] * 1000 >> SI_LOAD_SHIFT);
	}
	put_memory();
	put_disk("/", "disk_total_bytes", "disk_used_bytes");
	put_disk("/root", "work_total_bytes", "work_used_bytes");
	return 0;
}
