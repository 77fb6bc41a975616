/* SPDX-License-Identifier: ISC */
/*
 * workspace_tree.c: what is in a checkout: git's list of names (or a walk, for a full copy), and
 * the stat of each, taken through no symbolic link, so that a directory that became a link leads
 * nobody out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "cli/child.h"
#include "cli/workspace_state.h"

enum { DEPTH_MAX = 256, INTENT_TO_ADD = 1 << 29 /* git's CE_INTENT_TO_ADD */ };
#define LIST_MAX  (512 * MIB)	 /* bytes of git's list */
#define RACY_NS	  (50 * 1000000) /* file times are as coarse as the kernel's tick */
#define NS_IN_S	  1000000000LL
#define LINK_MAX_ (64 * 1024)

int ws_list_add(struct ws_list *list, const struct ws_file *file)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		struct ws_file *files = reallocarray(list->files, room, sizeof(*files));

		if (!files) {
			free(file->path);
			return -ENOMEM;
		}
		list->files = files;
		list->room = room;
	}
	list->files[list->count++] = *file;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct ws_file *)a)->path, ((const struct ws_file *)b)->path);
}

/* Of one path the latest comes first. */
static int by_path_and_round(const void *a, const void *b)
{
	unsigned x = ((const struct ws_file *)a)->round, y = ((const struct ws_file *)b)->round;
	int order = by_path(a, b);

	return order ? order : (x < y) - (x > y);
}

/* Both git and manifests list in this order mostly. */
static bool is_sorted(const struct ws_list *list)
{
	for (size_t i = 1; i < list->count; i++)
		if (by_path(&list->files[i - 1], &list->files[i]) >= 0)
			return false;
	return true;
}

/* A path that is listed twice (a merge that is not done has up to three) stays once. */
void ws_list_sort(struct ws_list *list)
{
	size_t n = 0;

	if (is_sorted(list))
		return;
	qsort(list->files, list->count, sizeof(*list->files), by_path_and_round);
	for (size_t i = 0; i < list->count; i++) {
		if (n > 0 && bg_streq(list->files[n - 1].path, list->files[i].path))
			free(list->files[i].path);
		else
			list->files[n++] = list->files[i];
	}
	list->count = n;
}

struct ws_file *ws_list_find(const struct ws_list *list, const char *path)
{
	struct ws_file key = {.path = (char *)path};

	return list->count ? bsearch(&key, list->files, list->count, sizeof(key), by_path) : NULL;
}

void ws_list_done(struct ws_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->files[i].path);
	free(list->files);
	*list = (struct ws_list){.files = NULL};
}

static int open_beneath(int dirfd, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int64_t ns_of(const struct timespec *t)
{
	return t->tv_sec * NS_IN_S + t->tv_nsec;
}

/* false: neither a file nor a link. */
static bool take_stat(struct ws_file *f, const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	f->type = S_ISLNK(st->st_mode) ? WS_LINK : WS_FILE;
	f->mode = st->st_mode & 0777;
	f->size = (uint64_t)st->st_size;
	f->ino = st->st_ino;
	f->mtime = ns_of(&st->st_mtim);
	f->ctime = ns_of(&st->st_ctim);
	if (f->ctime > ns_of(&now) - RACY_NS)
		f->mtime = f->ctime = 0;
	return S_ISLNK(st->st_mode) || S_ISREG(st->st_mode);
}

/* What is at path into f. -ENOENT: nothing, or not by this name. -EISDIR; -ENXIO: of another kind.
 */
static int look_at(int root, const char *path, struct ws_file *f)
{
	_close_ int fd = open_beneath(root, path, O_PATH);
	struct stat st;

	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV ? -ENOENT : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return take_stat(f, &st) ? 0 : -ENXIO;
}

bool ws_tree_has_file(const struct ws_tree *tree, const char *path)
{
	struct ws_file f;

	return look_at(tree->fd, path, &f) >= 0;
}

int ws_tree_open(const struct ws_tree *tree, struct ws_file *file)
{
	_close_ int fd = open_beneath(tree->fd, file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return take_stat(file, &st) && file->type == WS_FILE ? TAKE_FD(fd) : -ESTALE;
}

char *ws_tree_readlink(const struct ws_tree *tree, const char *path)
{
	_close_ int fd = open_beneath(tree->fd, path, O_PATH);
	_free_ char *target = malloc(LINK_MAX_);
	ssize_t n = fd < 0 || !target ? -1 : readlinkat(fd, "", target, LINK_MAX_ - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	return strdup(target);
}

static int hash_fd(int fd, char out[BG_SHA256_HEX])
{
	char buffer[64 * 1024];
	struct bg_sha256 hash;
	ssize_t n;

	bg_sha256_init(&hash);
	while ((n = read(fd, buffer, sizeof(buffer))) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		bg_sha256_add(&hash, buffer, (size_t)BG_MAX(n, (ssize_t)0));
	}
	bg_sha256_end(&hash, out);
	return 0;
}

int ws_tree_hash(const struct ws_tree *tree, struct ws_file *file)
{
	_free_ char *target = NULL;
	_close_ int fd = -1;

	if (file->type == WS_DIR)
		return 0;
	if (file->type == WS_LINK) {
		target = ws_tree_readlink(tree, file->path);
		if (!target)
			return -ESTALE;
		bg_sha256_hex(target, strlen(target), file->hash);
		return 0;
	}
	fd = ws_tree_open(tree, file);
	return fd < 0 ? fd : hash_fd(fd, file->hash);
}

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int add(struct ws_tree *tree, const char *path, struct ws_file *f, struct bg_err **err)
{
	f->path = strdup(path);
	if (!f->path || ws_list_add(&tree->list, f) < 0)
		return out_of_memory(err);
	return 0;
}

static int add_dir(struct ws_tree *tree, const char *path, struct bg_err **err)
{
	struct ws_file f = {.type = WS_DIR, .mode = 0755};

	return add(tree, path, &f, err);
}

/* A name that git lists. One that is not here is left out: it was deleted. */
static int add_listed(struct ws_tree *tree, const char *path, struct bg_err **err)
{
	struct ws_file f = {.size = 0};
	int r = look_at(tree->fd, path, &f);

	if (r == -ENOENT || r == -EISDIR)
		return 0;
	tree->odd += r == -ENXIO;
	if (r == -ENXIO)
		return 0;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "%s/%s", tree->repo.top, path);
	return add(tree, path, &f, err);
}

static int append(char **text, size_t *len, const char *more, size_t more_len)
{
	char *grown = realloc(*text, *len + more_len + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + *len, more, more_len);
	*text = grown;
	*len += more_len;
	return 0;
}

/* Of an intended one git lists the empty file. */
static bool maybe_intended(const char *line)
{
	const char *oid = strchr(line, ' ');

	return oid &&
	       (strncmp(oid + 1, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391 0", 42) == 0 ||
		       strncmp(oid + 1,
			       "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813 0",
			       66) == 0);
}

static int mark(char **list, size_t *len, const char *path, struct bg_err **err)
{
	return append(list, len, path, strlen(path) + 1) < 0 ? out_of_memory(err) : 0;
}

/*
 * "H 100644 OID 0\tpath": git's tag, then what `ls-files --stage` prints. Small letters: taken for
 * unchanged. S: left aside, though it may be here, as local settings are.
 */
static int take_tracked(struct ws_tree *tree, const char *line, struct bg_err **err)
{
	const char *path = strchr(line, '\t');
	int r = 0;

	if (!path || strlen(line) < 8 || line[1] != ' ')
		return bg_err_set(err, BG_ERR_GIT, EPROTO, "git ls-files in %s printed \"%.60s\"",
			tree->repo.top, line);
	path++;
	tree->empty |= maybe_intended(line + 2);
	if (line[0] == 'S' || line[0] == 's')
		r = mark(&tree->sparse, &tree->sparse_len, path, err);
	if (r >= 0 && line[0] >= 'a' && line[0] <= 'z')
		r = mark(&tree->assumed, &tree->assumed_len, path, err);
	if (r < 0)
		return r;
	if (strncmp(line + 2, "160000 ", 7) == 0) {
		tree->submodules++;
		return add_dir(tree, path, err);
	}
	return add_listed(tree, path, err);
}

static int scan_tracked(struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {"ls-files", "-z", "-v", "--stage", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	_free_ char *text = NULL;
	size_t len = 0, kept = 0;
	int r = git_text(&call, LIST_MAX, &text, &len, err);

	for (size_t at = 0; r >= 0 && at < len; at += strlen(text + at) + 1)
		r = take_tracked(tree, text + at, err);
	/* Without the tags it is what the guest's git prints: the two are compared by hash. */
	for (size_t at = 0, n; r >= 0 && at < len; at += n) {
		n = strlen(text + at) + 1;
		memmove(text + kept, text + at + 2, n - 2);
		kept += n - 2;
	}
	if (r < 0)
		return r;
	bg_sha256_hex(text, kept, tree->git.index);
	tree->index = TAKE_PTR(text);
	tree->index_len = kept;
	return 0;
}

/* "path", NUL, lines of which the last ends with "flags: HEX": where the next path begins, or NULL.
 */
static const char *take_flags(struct ws_tree *tree, const char *path, const char *end, int *r)
{
	const char *lines = path + strlen(path) + 1;
	const char *at = lines < end ? strstr(lines, "flags: ") : NULL;
	const char *line_end = at ? strchr(at, '\n') : NULL;

	if (line_end && strtoul(at + 7, NULL, 16) & INTENT_TO_ADD)
		*r = append(&tree->intended, &tree->intended_len, path, strlen(path) + 1);
	return line_end ? line_end + 1 : NULL;
}

/* Of what has no content in the index some is only to be added. Asked so that git looks at no file,
 * which could run a filter. */
static int scan_intended(struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {"ls-files", "-z", "--debug", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	_free_ char *text = NULL;
	size_t len = 0;
	int r = git_text(&call, LIST_MAX, &text, &len, err);

	if (r < 0)
		return r;
	for (const char *at = text; r >= 0 && at && at < text + len;)
		at = take_flags(tree, at, text + len, &r);
	return r < 0 ? out_of_memory(err) : 0;
}

static int scan_untracked(struct ws_tree *tree, struct bg_err **err)
{
	static const char *const argv[] = {
		"ls-files", "-z", "--others", "--exclude-standard", NULL};
	struct git_call call = {.dir = tree->repo.top, .argv = argv, .in = CHILD_NULL};
	_free_ char *text = NULL;
	size_t len = 0;
	int r = git_text(&call, LIST_MAX, &text, &len, err);

	for (size_t at = 0, n; r >= 0 && at < len; at += n + 1) {
		n = strlen(text + at);
		if (n > 0 && text[at + n - 1] == '/') /* a checkout in the checkout */
			tree->odd++;
		else
			r = add_listed(tree, text + at, err);
	}
	return r;
}

static int walk(struct ws_tree *tree, int parent, const char *name, const char *path, int depth,
	struct bg_err **err);

static int walk_entry(struct ws_tree *tree, int dir, const char *name, const char *path, int depth,
	struct bg_err **err)
{
	struct ws_file f = {.size = 0};
	int r = look_at(dir, name, &f);

	if (r == -EISDIR)
		return walk(tree, dir, name, path, depth, err);
	tree->odd += r == -ENXIO;
	if (r == -ENXIO || r == -ENOENT)
		return 0;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "%s/%s", tree->repo.top, path);
	return add(tree, path, &f, err);
}

/* All below a directory; one that is empty is itself listed. path is "" for the root. */
static int walk(struct ws_tree *tree, int parent, const char *name, const char *path, int depth,
	struct bg_err **err)
{
	int fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	size_t found = 0;

	if (!dir || depth > DEPTH_MAX) {
		r = bg_err_sys(err, BG_ERR_IO,
			fd < 0 ? -fd
			: dir  ? ELOOP
			       : errno,
			"%s/%s", tree->repo.top, path);
		dir ? (void)closedir(dir) : (void)bg_close(fd);
		return r;
	}
	while (r >= 0 && (e = readdir(dir))) {
		_free_ char *full = NULL;

		if (bg_streq(e->d_name, ".") || bg_streq(e->d_name, ".."))
			continue;
		found++;
		if (asprintf(&full, "%s%s%s", path, *path ? "/" : "", e->d_name) < 0)
			r = out_of_memory(err);
		else
			r = walk_entry(tree, dirfd(dir), e->d_name, full, depth + 1, err);
	}
	closedir(dir);
	return r >= 0 && !found && *path ? add_dir(tree, path, err) : r;
}

/* Objects that git reads from elsewhere (clone --shared, --reference, a linked folder). */
static int check_objects(const struct ws_tree *tree, struct bg_err **err)
{
	struct stat st;
	int r;

	if (fstatat(tree->fd, ".git/objects/info/alternates", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		fstatat(tree->fd, ".git/objects", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISDIR(st.st_mode))
		return 0;
	r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
		"%s cannot be copied in full: git keeps some of its objects elsewhere",
		tree->repo.top);
	bg_err_hint(err,
		"leave out `--mode full_copy`, or bring them in: `git -C %s repack -ad`, then "
		"remove "
		".git/objects/info/alternates",
		tree->repo.top);
	return r;
}

/* The metadata of a linked work tree, and of a submodule's, are elsewhere: a copy would be broken.
 */
static int check_whole(const struct ws_tree *tree, struct bg_err **err)
{
	struct stat st;
	int r;

	if (fstatat(tree->fd, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return check_objects(tree, err);
	r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
		"%s cannot be copied in full: its .git directory is %s", tree->repo.top,
		tree->repo.dir);
	bg_err_hint(err, "leave out `--mode full_copy`, or name the checkout that .git belongs to");
	return r;
}

static int scan(struct ws_tree *tree, struct bg_err **err)
{
	int r;

	if (strlen(tree->repo.branch) >= sizeof(tree->git.branch))
		return bg_err_set(err, BG_ERR_USAGE, ENAMETOOLONG,
			"%s: the branch has too long a name", tree->repo.top);
	strcpy(tree->git.head, tree->repo.head);
	strcpy(tree->git.branch, tree->repo.branch);
	if (tree->mode == WS_FULL_COPY) {
		r = check_whole(tree, err);
		return r < 0 ? r : walk(tree, tree->fd, ".", "", 0, err);
	}
	r = scan_tracked(tree, err);
	if (r >= 0 && tree->empty)
		r = scan_intended(tree, err);
	if (r >= 0)
		r = ws_extra_scan(tree, err);
	if (r >= 0)
		ws_extra_hash(tree);
	return r >= 0 && tree->untracked ? scan_untracked(tree, err) : r;
}

int ws_tree_scan(const char *path, enum ws_mode mode, bool untracked, struct ws_tree *ret,
	struct bg_err **err)
{
	int r;

	*ret = (struct ws_tree){.mode = mode, .untracked = untracked, .fd = -1};
	r = git_find(path, &ret->repo, err);
	if (r < 0)
		return r;
	ret->fd = open(ret->repo.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "%s", ret->repo.top);
	r = scan(ret, err);
	ws_list_sort(&ret->list);
	return r;
}

void ws_tree_done(struct ws_tree *tree)
{
	ws_extra_done(tree);
	git_repo_done(&tree->repo);
	ws_list_done(&tree->list);
	free(tree->index);
	free(tree->sparse);
	tree->fd = bg_close(tree->fd);
	tree->index = tree->sparse = NULL;
}
