/* SPDX-License-Identifier: ISC */
/* See helper_hint.h. */
#include "common/helper_hint.h"

#include <limits.h>
#include <stdio.h>

#include "common/base.h"

#define IN_CHECKOUT "scripts/install-helper"
#define DISK	    " --disk"

/* text with the part at `at`, len bytes long, replaced. */
static char *spliced(const char *text, const char *at, size_t len, const char *with)
{
	char *out = NULL;

	return asprintf(&out, "%.*s%s%s", (int)(at - text), text, with, at + len) < 0 ? NULL : out;
}

char *bg_helper_hint_in(char *text, const char *programs, const char *package)
{
	const char *at = text ? strstr(text, IN_CHECKOUT) : NULL;
	_free_ char *owned = text, *with = NULL;
	size_t len = strlen(IN_CHECKOUT);
	bool disk;

	if (!at)
		return TAKE_PTR(owned);
	disk = strncmp(at + len, DISK, strlen(DISK)) == 0;
	/* Other flags are the script's own, in a package too. */
	if (*package && (disk || strncmp(at + len, " --", 3) != 0)) {
		if (asprintf(&with, "apt install %s%s", package, disk ? "-disk" : "") < 0)
			with = NULL;
		len += disk ? strlen(DISK) : 0;
	} else if (asprintf(&with, "%s/install-helper", programs) < 0) {
		with = NULL;
	}
	return with ? spliced(text, at, len, with) : TAKE_PTR(owned);
}

char *bg_helper_hint(char *text)
{
	char self[PATH_MAX], in_tree[PATH_MAX + sizeof("/../cli/banger")];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[BG_MAX(n, (ssize_t)0)] = '\0';
	/* A build tree has the program in a folder "cli": see cli/meson.build. */
	if (n > 0 && strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	snprintf(in_tree, sizeof(in_tree), "%s/../cli/banger", self);
	if (access(in_tree, X_OK) == 0)
		return text;
	return bg_helper_hint_in(text, BG_PROGRAM_DIR, BG_HELPER_PACKAGE);
}
