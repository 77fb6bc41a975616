/* SPDX-License-Identifier: ISC */
/* See vm_files.h. Nothing wakes the loop: changes stay in the kernel's queue until somebody asks. */
#include "daemon/vm/vm_files.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/vm/vm.h"

/* More of them than this, and all VMs are looked at anew. */
enum { EVENTS_MAX = 64, BUFFER = 16384 };

#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define SELF  (IN_DELETE_SELF | IN_MOVE_SELF)
#define OVER  (SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)

struct vm_files {
	char *dir;
	int inotify; /* -1: nothing can be watched */
	int top;     /* the watch of dir; -1: none */
};

struct vm_files *vm_files_new(const char *dir)
{
	struct vm_files *files = calloc(1, sizeof(*files));

	if (!files)
		return NULL;
	files->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	files->top = -1;
	files->dir = strdup(dir);
	if (!files->dir) {
		vm_files_free(files);
		return NULL;
	}
	return files;
}

void vm_files_free(struct vm_files *files)
{
	if (!files)
		return;
	bg_close(files->inotify);
	free(files->dir);
	free(files);
}

/* Returns the watch, or -1. */
static int watch(const struct vm_files *files, const char *path)
{
	return files->inotify < 0
		       ? -1
		       : inotify_add_watch(files->inotify, path, NAMES | SELF | IN_ONLYDIR);
}

static bool concerns(
	const struct vm_files *files, const struct vm *vm, const struct inotify_event *e)
{
	if (e->wd == files->top)
		return e->len > 0 && bg_streq(e->name, vm->row->id);
	return e->wd == vm->files->watch;
}

static void forget(struct vm_files *files, const struct vms *vms, const struct inotify_event *e)
{
	bool all = !e || (e->mask & IN_Q_OVERFLOW) || (e->wd == files->top && (e->mask & OVER));

	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next)
		if (all || concerns(files, vm, e))
			vm->files->known = false;
	if (all)
		files->top = -1;
}

/* Returns how many there were. */
static int read_events(struct vm_files *files, const struct vms *vms)
{
	char text[BUFFER] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(files->inotify, text, sizeof(text));
	int count = 0;

	for (ssize_t at = 0; at < n; count++) {
		const struct inotify_event *e = (const void *)(text + at);

		if (count < EVENTS_MAX)
			forget(files, vms, e);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return count;
}

/* Takes in what has changed since the last call. */
static void refresh(struct vm_files *files, const struct vms *vms)
{
	int n, sum = 0;

	if (files->inotify < 0)
		return;
	while ((n = read_events(files, vms)) > 0)
		sum += n;
	if (sum > EVENTS_MAX || files->top < 0)
		forget(files, vms, NULL);
	if (files->top < 0)
		files->top = watch(files, files->dir);
}

/* The target of a link can go without a word of the folder that has the link. */
static bool is_there(const char *path, bool *plain)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno != ENOENT && errno != ENOTDIR;
	if (!S_ISLNK(st.st_mode))
		return true;
	*plain = false;
	return access(path, F_OK) >= 0 || (errno != ENOENT && errno != ENOTDIR);
}

static const char *look(const struct vm *vm, bool *plain)
{
	const char *const paths[] = {vm->paths.dir, vm->paths.disk_root, vm->paths.disk_work};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!is_there(paths[i], plain))
			return paths[i];
	return NULL;
}

const char *vm_files_look(const struct vm *vm)
{
	bool plain;

	return look(vm, &plain);
}

const char *vm_files_missing(struct vm_files *files, const struct vms *vms, const struct vm *vm)
{
	struct vm_files_seen *seen = vm->files;
	bool plain = true;
	int wd;

	refresh(files, vms);
	if (seen->known)
		return seen->missing;
	/* Watched first: what changes after the look is heard of. */
	wd = watch(files, vm->paths.dir);
	seen->watch = BG_MAX(wd, 0);
	seen->missing = look(vm, &plain);
	/* When a folder comes that is not there, its parent says so. */
	seen->known = plain && files->top >= 0 && (wd >= 0 || seen->missing == vm->paths.dir);
	return seen->missing;
}
