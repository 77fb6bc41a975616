/* SPDX-License-Identifier: ISC */
/* doctor_build.c: what `banger image build` needs of this machine: two programs, ids of the user's own, a user namespace. */
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cli/doctor.h"
#include "common/fd.h"
#include "common/program.h"

enum { IDS = 65536 /* that an image can have */, FIRST_ID = 100000 /* useradd's SUB_UID_MIN */ };

/* One of "USER:start:count". count 0: the line is something else. */
struct range {
	char owner[64];
	unsigned long start, count;
};

static bool next_range(FILE *in, struct range *ret)
{
	char line[256];

	if (!fgets(line, sizeof(line), in))
		return false;
	if (sscanf(line, "%63[^:]:%lu:%lu", ret->owner, &ret->start, &ret->count) != 3)
		ret->count = 0;
	return true;
}

static bool has_subids(const char *file, const char *user)
{
	FILE *in = fopen(file, "re");
	struct range range;
	char uid[16];
	bool found = false;

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
	while (in && !found && next_range(in, &range))
		found = range.count >= IDS &&
			(bg_streq(range.owner, user) || bg_streq(range.owner, uid));
	if (in)
		(void)fclose(in);
	return found;
}

/* Behind every range that somebody has. */
static unsigned long free_ids(const char *file, unsigned long from)
{
	FILE *in = fopen(file, "re");
	struct range range;

	while (in && next_range(in, &range))
		if (range.count && range.start + range.count > from)
			from = range.start + range.count;
	if (in)
		(void)fclose(in);
	return from;
}

static void say_no_ids(const char *user, struct finding *f)
{
	unsigned long from = free_ids("/etc/subgid", free_ids("/etc/subuid", FIRST_ID));

	finding_set(f, FINDING_WARN,
		"%s has no %d ids of its own in /etc/subuid and /etc/subgid: `banger image build` "
		"needs them",
		*user ? user : "this user", IDS);
	finding_hint(f, "`sudo usermod --add-subuids %lu-%lu --add-subgids %lu-%lu %s`", from,
		from + IDS - 1, from, from + IDS - 1, *user ? user : "$USER");
}

/* May this user have a user namespace? *why: the setting that says no, or "". */
static bool may_unshare(const char **why)
{
	static const struct {
		const char *path, *no, *name;
	} settings[] = {
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"kernel.apparmor_restrict_unprivileged_userns = 1"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0",
			"kernel.unprivileged_userns_clone = 0"},
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces = 0"},
	};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	(void)waitpid(pid, &status, 0);
	*why = "";
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_free_ char *text = NULL;

		if (bg_read_file_at(AT_FDCWD, settings[i].path, 32, &text, NULL) >= 0 &&
			strncmp(text, settings[i].no, 1) == 0 && text[1] == '\n')
			*why = settings[i].name;
	}
	return pid < 0 || status == 0;
}

static bool check_namespace(struct finding *f)
{
	const char *why;

	if (may_unshare(&why))
		return true;
	finding_set(f, FINDING_WARN,
		"this user may not have a user namespace%s%s: `banger image build` needs one",
		*why ? ": " : "", why);
	finding_hint(f, "have the setting changed that forbids it (sysctl), or build images "
			"elsewhere and `banger image import` them");
	return false;
}

void check_build(const struct doctor *d, struct finding *f)
{
	_free_ char *tool = NULL, *map = NULL;
	const struct passwd *pw = getpwuid(getuid());
	const char *user = pw ? pw->pw_name : "";

	(void)d;
	if (bg_program_find("mmdebstrap", &tool) < 0 || bg_program_find("newuidmap", &map) < 0) {
		finding_set(f, FINDING_WARN, "%s is not in PATH: `banger image build` needs it",
			tool ? "newuidmap" : "mmdebstrap");
		finding_hint(f, "`sudo apt install mmdebstrap uidmap`");
	} else if (!has_subids("/etc/subuid", user) || !has_subids("/etc/subgid", user)) {
		say_no_ids(user, f);
	} else if (check_namespace(f)) {
		finding_set(f, FINDING_OK, "%s and newuidmap, and ids for a user namespace", tool);
	}
}
