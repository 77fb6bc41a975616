/* SPDX-License-Identifier: ISC */
/* See stay_mounted.h. Names of units: systemd.unit(5), "String escaping for inclusion in unit
 * names". */
#include "guest/stay_mounted.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/fd.h"

static const char dropin[] = "[Unit]\nDefaultDependencies=no\n";

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == ':' || c == '_' || c == '.';
}

int stay_mounted_unit(const char *path, char *out, size_t size)
{
	size_t n = 0;

	while (*path == '/')
		path++;
	for (const char *p = path; *p && n + 5 < size; p++) {
		if (*p == '/')
			out[n++] = '-';
		else if (is_plain(*p) && !(p == path && *p == '.'))
			out[n++] = *p;
		else
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", (unsigned char)*p);
	}
	if (n + sizeof(".mount") + 4 >= size)
		return -ENAMETOOLONG;
	strcpy(out + n, ".mount");
	return 0;
}

static bool starts_systemd(void)
{
	char target[PATH_MAX];
	ssize_t n = readlink("/sbin/init", target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strstr(target, "systemd") != NULL;
}

/* As systemd mounts it: one that is there it leaves as it is. */
static int mount_run(void)
{
	struct stat root, run;

	if (stat("/", &root) < 0 || stat("/run", &run) < 0)
		return -errno;
	if (root.st_dev != run.st_dev)
		return 0;
	return mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME,
		       "mode=0755,size=20%,nr_inodes=800k") < 0
		       ? -errno
		       : 0;
}

int stay_mounted(const char *dir)
{
	char unit[NAME_MAX + 1], folder[PATH_MAX], file[PATH_MAX + 32];
	_free_ char *real = realpath(dir, NULL);
	int r;

	if (!real)
		return -errno;
	if (!starts_systemd())
		return 0;
	r = stay_mounted_unit(real, unit, sizeof(unit));
	if (r >= 0)
		r = mount_run();
	if (r < 0)
		return r;
	(void)snprintf(folder, sizeof(folder), "/run/systemd/system/%s.d", unit);
	r = bg_mkdir_p(folder, 0755);
	(void)snprintf(file, sizeof(file), "%s/50-banger.conf", folder);
	return r < 0 ? r : bg_write_file_at(AT_FDCWD, file, dropin, strlen(dropin), 0644);
}
