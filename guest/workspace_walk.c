/* SPDX-License-Identifier: ISC */
/* See workspace_walk.h. */
#include "guest/workspace_walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

void walk_forget(struct walk *w)
{
	w->fd = bg_close(w->fd);
	free(w->folder);
	w->folder = NULL;
}

/* One component further; takes *fd. */
static int step(int *fd, const char *name, bool make)
{
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int next = openat(*fd, name, flags);

	if (next < 0 && errno == ENOENT && make) {
		if (mkdirat(*fd, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		next = openat(*fd, name, flags);
	}
	if (next < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	bg_close(*fd);
	*fd = next;
	return 0;
}

static int walk_to(struct walk *w, const char *folder, bool make, int *ret)
{
	_close_ int fd = fcntl(w->root, F_DUPFD_CLOEXEC, 3);
	int r = fd < 0 ? -errno : 0;

	for (const char *p = folder; r >= 0 && *p; p += strspn(p, "/")) {
		size_t len = strcspn(p, "/");
		_free_ char *name = strndup(p, len);

		r = !name ? -ENOMEM : bg_streq(name, "..") ? -EINVAL : step(&fd, name, make);
		p += len;
		w->blocked = (size_t)(p - folder);
	}
	if (r >= 0)
		*ret = TAKE_FD(fd);
	return r;
}

int walk_enter(struct walk *w, const char *name, bool make, const char **last)
{
	const char *slash = strrchr(name, '/');
	_free_ char *folder = strndup(name, slash ? (size_t)(slash - name) : 0);
	int fd = -1, r;

	if (!folder)
		return -ENOMEM;
	*last = slash ? slash + 1 : name;
	if (w->folder && bg_streq(w->folder, folder))
		return 0;
	r = walk_to(w, folder, make, &fd);
	if (r < 0)
		return r;
	walk_forget(w);
	w->fd = fd;
	w->folder = TAKE_PTR(folder);
	return 0;
}
