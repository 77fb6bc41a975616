/* SPDX-License-Identifier: ISC */
/* See what_is_in.h. */
#include "worker/what_is_in.h"

#include "common/json.h"

const char *const os_release_paths[] = {"/etc/os-release", "/usr/lib/os-release", NULL};
const char *const sshd_paths[] = {"/usr/sbin/sshd", "/sbin/sshd", "/usr/sbin/dropbear", NULL};
const char *const init_paths[] = {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", NULL};

/* Takes quotes and their escapes off a value of os-release, in place. */
static void unquote(char *v)
{
	size_t len = strlen(v);
	char *out = v;

	if (len >= 2 && (v[0] == '"' || v[0] == '\'') && v[len - 1] == v[0]) {
		v[len - 1] = '\0';
		v++;
	}
	for (; *v; v++) {
		if (*v == '\\' && v[1])
			v++;
		*out++ = *v;
	}
	*out = '\0';
}

json_t *os_release_parse(char *text)
{
	static const char *const keys[] = {
		"ID", "NAME", "PRETTY_NAME", "VERSION_ID", "VERSION_CODENAME"};
	json_t *o = json_object();
	char *save = NULL;

	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; o && line;
		line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		unquote(value);
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (bg_streq(keys[i], line))
				json_object_set_new(o, line, bg_json_str(value));
	}
	return o;
}
