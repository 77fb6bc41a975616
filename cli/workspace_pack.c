/* SPDX-License-Identifier: ISC */
/*
 * workspace_pack.c: The archive is built in an unnamed file, so that a killed CLI leaves nothing.
 */
#include "cli/workspace_pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/paths.h"

static const char *const names[] = {[WS_CHECK] = "check",
	[WS_PUT] = "put",
	[WS_DELETE] = "delete",
	[WS_RMDIR] = "rmdir",
	[WS_DIRS] = "dirs"};
_Static_assert(ARRAY_SIZE(names) == WS_NAMES_MAX, "one name per list");

#define TMP_PREFIX "workspace-"

enum { MORE_MIN = 64 * 1024 };

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* Directories of processes that were killed before they could tidy up. */
static void remove_stale(int cache)
{
	int fd = dup(cache);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!dir) {
		bg_close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		size_t len = strlen(TMP_PREFIX);
		long pid = strncmp(e->d_name, TMP_PREFIX, len) == 0
				   ? strtol(e->d_name + len, NULL, 10)
				   : 0;

		if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
			(void)bg_rm_rf_at(cache, e->d_name);
	}
	closedir(dir);
}

int ws_tmp_make(const char *cache_dir, char **ret, struct bg_err **err)
{
	_free_ char *tmp = NULL;
	_close_ int cache = -1;
	int r = bg_paths_private_dir(cache_dir, err);

	if (r < 0)
		return r;
	cache = open(cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "%s", cache_dir);
	remove_stale(cache);
	if (asprintf(&tmp, "%s/" TMP_PREFIX "%d-XXXXXX", cache_dir, (int)getpid()) < 0)
		return out_of_memory(err);
	if (!mkdtemp(tmp))
		return bg_err_sys(err, BG_ERR_IO, errno, "make %s", tmp);
	*ret = TAKE_PTR(tmp);
	return 0;
}

void ws_tmp_remove(char *tmp)
{
	if (tmp)
		(void)bg_rm_rf_at(AT_FDCWD, tmp);
	free(tmp);
}

int ws_pack_open(const char *cache_dir, struct ws_pack *ret, struct bg_err **err)
{
	int r;

	*ret = (struct ws_pack){.fd = -1};
	r = ws_tmp_make(cache_dir, &ret->tmp, err);
	if (r < 0)
		return r;
	ret->fd = open(ret->tmp, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (ret->fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a file in %s", ret->tmp);
	for (size_t i = 0; i < WS_NAMES_MAX; i++) {
		ret->names[i].file = open_memstream(&ret->names[i].text, &ret->names[i].len);
		if (!ret->names[i].file)
			return out_of_memory(err);
	}
	return tar_out_init(&ret->tar, ret->fd) < 0 ? out_of_memory(err) : 0;
}

void ws_pack_done(struct ws_pack *pack)
{
	for (size_t i = 0; i < WS_NAMES_MAX; i++) {
		if (pack->names[i].file)
			fclose(pack->names[i].file);
		free(pack->names[i].text);
	}
	ws_tmp_remove(pack->tmp);
	free(pack->before);
	free(pack->now);
	free(pack->record);
	ws_manifest_done(&pack->next);
	tar_out_done(&pack->tar);
	pack->fd = bg_close(pack->fd);
	*pack = (struct ws_pack){.fd = -1};
}

int ws_pack_name(struct ws_pack *pack, enum ws_names list, const char *path)
{
	FILE *f = pack->names[list].file;

	return fprintf(f, "./%s", path) < 0 || fputc('\0', f) < 0 ? -ENOMEM : 0;
}

static int add_check(struct ws_pack *pack, const struct ws_file *before, const struct ws_file *now)
{
	if (pack->check_count == pack->check_room) {
		size_t room = pack->check_room ? pack->check_room * 2 : 256;
		const struct ws_file **b = reallocarray(pack->before, room, sizeof(*b)), **n;

		if (b)
			pack->before = b;
		n = b ? reallocarray(pack->now, room, sizeof(*n)) : NULL;
		if (!n)
			return -ENOMEM;
		pack->now = n;
		pack->check_room = room;
	}
	pack->before[pack->check_count] = before;
	pack->now[pack->check_count++] = now;
	return 0;
}

static char *in_tree(const char *path)
{
	char *name = NULL;

	return asprintf(&name, "tree/%s", path) < 0 ? NULL : name;
}

static int put_link(
	struct ws_pack *pack, const struct ws_tree *tree, struct ws_file *f, const char *name)
{
	_free_ char *target = ws_tree_readlink(tree, f->path);

	if (!target)
		return -ESTALE;
	bg_sha256_hex(target, strlen(target), f->hash);
	return tar_out_link(&pack->tar, name, target);
}

static int put_file(
	struct ws_pack *pack, const struct ws_tree *tree, struct ws_file *f, const char *name)
{
	_close_ int fd = ws_tree_open(tree, f);

	if (fd < 0)
		return fd;
	pack->bytes += f->size;
	return tar_out_file(&pack->tar, name, f->mode, fd, f->size, f->hash);
}

static int put_one(struct ws_pack *pack, const struct ws_tree *tree, struct ws_file *f,
	const struct ws_file *before)
{
	_free_ char *name = in_tree(f->path);
	int r = name ? add_check(pack, before, f) : -ENOMEM;

	if (r >= 0)
		r = ws_pack_name(pack, f->type == WS_DIR ? WS_DIRS : WS_PUT, f->path);
	if (r < 0)
		return r;
	if (f->type == WS_DIR)
		return tar_out_dir(&pack->tar, name, 0755);
	return f->type == WS_LINK ? put_link(pack, tree, f, name) : put_file(pack, tree, f, name);
}

static int put_error(const struct ws_tree *tree, const char *path, int r, struct bg_err **err)
{
	int e;

	if (r != -ESTALE && r != -ENOENT)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s/%s", tree->repo.top, path);
	e = bg_err_set(err, BG_ERR_WORKSPACE, ESTALE, "%s/%s changed while it was read",
		tree->repo.top, path);
	bg_err_hint(err, "nothing was changed in the guest; try again");
	return e;
}

/* The folders that a deleted path may have left empty, the deepest first. */
static int name_parents(struct ws_pack *pack, const char *path)
{
	_free_ char *folder = strdup(path);
	char *slash;
	int r = folder ? 0 : -ENOMEM;

	while (r >= 0 && (slash = strrchr(folder, '/'))) {
		*slash = '\0';
		r = ws_pack_name(pack, WS_RMDIR, folder);
	}
	return r;
}

/* In reverse order: what is in a folder goes before the folder. */
static int name_gone(struct ws_pack *pack, const struct ws_plan *plan)
{
	int r = 0;

	for (size_t i = plan->gone_count; r >= 0 && i-- > 0;) {
		const struct ws_file *f = plan->gone[i];

		r = add_check(pack, f, NULL);
		if (r >= 0)
			r = ws_pack_name(pack, f->type == WS_DIR ? WS_RMDIR : WS_DELETE, f->path);
		if (r >= 0)
			r = name_parents(pack, f->path);
	}
	return r;
}

static int copy_to(struct ws_list *list, const struct ws_file *f)
{
	struct ws_file copy = *f;

	copy.path = strdup(f->path);
	return copy.path ? ws_list_add(list, &copy) : -ENOMEM;
}

/* What the guest will have when this is done. */
static int make_next(struct ws_pack *pack, const struct ws_tree *tree, const struct ws_manifest *m,
	const struct ws_plan *plan)
{
	struct ws_manifest *next = &pack->next;
	int r = 0;

	next->mode = tree->mode;
	next->git = tree->git;
	strcpy(next->state, tree->state);
	next->host = strdup(tree->repo.top);
	if (!next->shallow)
		next->shallow = strdup(m->shallow ? m->shallow : "");
	for (size_t i = 0; r >= 0 && i < tree->list.count; i++)
		r = copy_to(&next->list, &tree->list.files[i]);
	for (size_t i = 0; r >= 0 && i < plan->kept_count; i++)
		r = copy_to(&next->list, plan->kept[i]);
	ws_list_sort(&next->list);
	return next->host && next->shallow ? r : -ENOMEM;
}

int ws_pack_fill(struct ws_pack *pack, struct ws_tree *tree, const struct ws_manifest *m,
	const struct ws_plan *plan, bool fresh, struct bg_err **err)
{
	int r = 0;

	/* the folder is there even when nothing else travels */
	r = tar_out_dir(&pack->tar, "tree", 0755);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "write the archive");
	for (size_t i = 0; i < plan->put_count; i++) {
		struct ws_file *f = plan->put[i];

		r = put_one(pack, tree, f, ws_list_find(&m->list, f->path));
		if (r < 0)
			return put_error(tree, f->path, r, err);
	}
	if (name_gone(pack, plan) < 0)
		return out_of_memory(err);
	if (plan->git)
		r = ws_pack_git(pack, tree, m, fresh, err);
	if (plan->git && r >= 0 && tar_out_memory(&pack->tar, "git", 0600, "", 0) < 0)
		r = out_of_memory(err);
	if (r >= 0 && make_next(pack, tree, m, plan) < 0)
		r = out_of_memory(err);
	return r;
}

int ws_pack_git_memory(struct ws_pack *pack, const char *name, const void *data, size_t len)
{
	_free_ char *path = NULL, *member = NULL;
	int r;

	if (asprintf(&path, ".git/%s", name) < 0)
		return -ENOMEM;
	member = in_tree(path);
	r = member ? ws_pack_name(pack, WS_PUT, path) : -ENOMEM;
	return r < 0 ? r : tar_out_memory(&pack->tar, member, 0644, data, len);
}

int ws_pack_git_file(struct ws_pack *pack, const char *name, const char *from, struct bg_err **err)
{
	_free_ char *path = NULL, *member = NULL;
	_close_ int fd = open(from, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "%s", from);
	if (asprintf(&path, ".git/%s", name) < 0 || !(member = in_tree(path)))
		return out_of_memory(err);
	r = ws_pack_name(pack, WS_PUT, path);
	if (r >= 0)
		r = tar_out_file(&pack->tar, member, 0644, fd, (uint64_t)st.st_size, NULL);
	pack->bytes += (uint64_t)st.st_size;
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "pack %s", from) : 0;
}

/* "BEFORE NOW ./name": by now the hashes of what travels are known. */
static void list_checks(struct ws_pack *pack)
{
	FILE *f = pack->names[WS_CHECK].file;

	for (size_t i = 0; i < pack->check_count; i++) {
		const struct ws_file *before = pack->before[i], *now = pack->now[i];
		const struct bg_copy_state was = ws_state_of(before), will = ws_state_of(now);
		char a[BG_COPY_TEXT], b[BG_COPY_TEXT];

		fprintf(f, "%s %s ./%s", bg_copy_state_text(&was, a), bg_copy_state_text(&will, b),
			(now ? now : before)->path);
		fputc('\0', f);
	}
}

/* A record that grew by half, and not by little, is written anew. */
static bool too_long(const struct ws_manifest *m)
{
	return m->len - m->first_len > BG_MAX((size_t)MORE_MIN, m->first_len / 2);
}

static int put_record(struct ws_pack *pack, const struct ws_manifest *m)
{
	pack->more = ws_manifest_extends(m, &pack->next);
	if (pack->more) {
		pack->record = ws_manifest_print_changes(m, &pack->next, &pack->record_len);
		if (!pack->record)
			return -ENOMEM;
		pack->more = !too_long(&pack->next);
	}
	if (!pack->more) {
		free(pack->record);
		pack->record = ws_manifest_print(&pack->next, &pack->record_len);
	}
	if (!pack->record)
		return -ENOMEM;
	return tar_out_memory(&pack->tar, pack->more ? "delta" : "manifest", 0600, pack->record,
		pack->record_len);
}

int ws_pack_end(struct ws_pack *pack, const struct ws_manifest *m, struct bg_err **err)
{
	int r = put_record(pack, m);

	list_checks(pack);
	for (size_t i = 0; r >= 0 && i < WS_NAMES_MAX; i++) {
		r = fflush(pack->names[i].file) == 0 ? 0 : -ENOMEM;
		if (r >= 0)
			r = tar_out_memory(&pack->tar, names[i], 0600, pack->names[i].text,
				pack->names[i].len);
	}
	/* a cut archive may look whole to tar: the guest looks for this one */
	if (r >= 0)
		r = tar_out_memory(&pack->tar, "end", 0600, "", 0);
	if (r >= 0)
		r = tar_out_end(&pack->tar);
	if (r >= 0 && lseek(pack->fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? bg_err_sys(err, r == -ENOSPC ? BG_ERR_NO_SPACE : BG_ERR_IO, -r,
			       "write the archive in %s", pack->tmp)
		     : 0;
}
